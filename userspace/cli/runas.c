/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/runas.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"

static bool number(const char *text, unsigned long *ret)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*ret = strtoul(text, &end, 10);
	return !errno && !*end && *ret < UINT32_MAX;
}

static int from_entry(const struct passwd *entry, struct runas *ret)
{
	ret->uid = entry->pw_uid;
	ret->gid = entry->pw_gid;
	ret->name = strdup(entry->pw_name);
	ret->home = strdup(entry->pw_dir);
	return ret->name && ret->home ? 0 : -ENOMEM;
}

static int find(const char *text, struct runas *ret)
{
	_cleanup_free_ char *user = strdup(text);
	char *colon = user ? strchr(user, ':') : NULL;
	const struct passwd *entry;
	unsigned long uid, gid;

	if (!user)
		return -ENOMEM;
	if (colon) {
		*colon = '\0';
		if (!number(user, &uid) || !number(colon + 1, &gid))
			return -ENOENT;
		*ret = (struct runas){.uid = uid, .gid = gid};
		return 0;
	}
	entry = number(user, &uid) ? getpwuid(uid) : getpwnam(user);
	return entry ? from_entry(entry, ret) : -ENOENT;
}

int runas_find(const char *text, struct runas *ret)
{
	struct runas r = {0};
	int err;

	if (geteuid() != 0)
		return -EPERM;
	err = find(text, &r);
	if (!err && r.uid == 0)
		err = -EINVAL;
	if (err)
		runas_clear(&r);
	else
		*ret = r;
	return err;
}

void runas_clear(struct runas *r)
{
	free(r->home);
	free(r->name);
	r->home = r->name = NULL;
}

/*
 * The kernel takes them away with the last user id that was root's, but not under every securebit.
 * The ambient ones go with them.
 */
static int drop_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

	return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

static int become(const struct runas *r)
{
	int err;

	if (r->name ? initgroups(r->name, r->gid) : setgroups(0, NULL))
		return -errno;
	if (setresgid(r->gid, r->gid, r->gid) || setresuid(r->uid, r->uid, r->uid))
		return -errno;
	err = drop_capabilities();
	if (err)
		return err;
	if (r->home)
		(void)setenv("HOME", r->home, 1);
	if (r->name) {
		(void)setenv("USER", r->name, 1);
		(void)setenv("LOGNAME", r->name, 1);
	}
	return 0;
}

/* Waits until the other one is that user, then opens. Never returns. */
static void stay_root(int ready, int result, int pidfd, int (*open)(void *data, int pidfd),
		      void *data)
{
	int err = -ECANCELED;
	char go;

	if (read(ready, &go, 1) == 1)
		err = open(data, pidfd);
	_exit(write(result, &err, sizeof(err)) == sizeof(err) ? 0 : 1);
}

/*
 * Forked twice: a child of this process would be of its session, and it has root's power. -errno,
 * or 0 in this process.
 */
static int start_beside(const int ready[2], const int result[2], int pidfd,
			int (*open)(void *data, int pidfd), void *data)
{
	pid_t child = fork();
	int status;

	if (child < 0)
		return -errno;
	if (child == 0) {
		child = fork();
		if (child != 0)
			_exit(child < 0);
		close(ready[1]);
		close(result[0]);
		/* It has to be another's child by then, else the session would take it. */
		stay_root(ready[0], result[1], pidfd, open, data);
	}
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EAGAIN;
}

int runas_open(const struct runas *r, int (*open)(void *data, int pidfd), void *data)
{
	_cleanup_close_ int ready_out = -1, result_in = -1, self = -1;
	int ready[2], result[2], err;

	self = syscall(SYS_pidfd_open, getpid(), 0);
	if (self < 0 || pipe2(ready, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(result, O_CLOEXEC) < 0) {
		err = -errno;
		close(ready[0]);
		close(ready[1]);
		return err;
	}
	err = start_beside(ready, result, self, open, data);
	close(ready[0]);
	close(result[1]);
	ready_out = ready[1];
	result_in = result[0];
	err = err ?: become(r);
	if (err)
		return err;
	if (write(ready_out, "", 1) != 1)
		return -errno;
	return read(result_in, &err, sizeof(err)) == sizeof(err) ? err : -ECONNRESET;
}
