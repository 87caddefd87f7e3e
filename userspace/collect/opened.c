/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/opened.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "collect/decode.h"
#include "collect/object.h"
#include "collect/procroot.h"

bool opened_is_object(const struct chain_config *config, int fd, const struct object_id *id)
{
	struct object_id own;
	struct stat st;

	if (object_stat_exact(id->magic))
		return fstat(fd, &st) == 0 && st.st_ino == id->inode &&
		       (major(st.st_dev) << 20 | minor(st.st_dev)) == id->device;
	return config->identify(config->context, fd, &own) == 0 && object_id_same(&own, id);
}

char *opened_path(int fd)
{
	char link[32], path[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path));
	return n > 0 ? strndup(path, n) : NULL;
}

/* The same words: what it comes to where there is no process any more to look it up with. */
static bool reads_as(const char *path, const char *cwd, const char *name)
{
	size_t len = *name == '/' || !strcmp(cwd, "/") ? 0 : strlen(cwd);

	while (!strncmp(name, "./", 2))
		name += 2 + strspn(name + 2, "/");
	if (*name == '/')
		return !strcmp(path, name);
	return !strncmp(path, cwd, len) && path[len] == '/' && !strcmp(path + len + 1, name);
}

bool opened_is_named(const struct chain_config *config, int fd, const struct event_exec *exec,
		     const char *name)
{
	_cleanup_close_ int root = -1, found = -1;
	_cleanup_free_ char *path = opened_path(fd);
	char cwd[PATH_TEXT_SIZE];
	struct object_id id;
	struct exec_strings x;

	exec_strings(exec, &x);
	path_from_components(x.cwd, x.cwd_len, exec->flags & EXEC_PATH_CUT, cwd);
	if (path && reads_as(path, cwd, name))
		return true;
	root = procroot_open(exec->header.actor.tgid);
	if (root < 0)
		return false;
	/* What was just executed is in memory. */
	found = procroot_resolve(root, cwd, name, true);
	return found >= 0 && config->identify(config->context, found, &id) == 0 &&
	       opened_is_object(config, fd, &id);
}
