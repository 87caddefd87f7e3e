/* SPDX-License-Identifier: Apache-2.0 */
/*
 * many_mounts bind|overlay|tmpfs N DIRECTORY COMMAND...: executes COMMAND in a mount namespace of its
 * own with N more mounts below DIRECTORY: of one filesystem, or each of its own. Who is not root has a
 * user namespace of his own, too.
 */
#include "program.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		err(1, "%s", path);
	close(fd);
}

static void own_namespaces(void)
{
	char uid[32], gid[32];
	int mapped = geteuid() != 0;

	snprintf(uid, sizeof(uid), "0 %u 1", getuid());
	snprintf(gid, sizeof(gid), "0 %u 1", getgid());
	if (unshare(CLONE_NEWNS | (mapped ? CLONE_NEWUSER : 0)))
		skip("no namespaces: %m");
	if (mapped) {
		put("/proc/self/setgroups", "deny");
		put("/proc/self/uid_map", uid);
		put("/proc/self/gid_map", gid);
	}
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		err(1, "/");
}

static int make(const char *how, int i)
{
	char at[3][32], options[160];
	const char *kinds[] = {"m", "u", "w"};
	int overlay = !strcmp(how, "overlay");

	for (int k = 0; k < (overlay ? 3 : 1); k++) {
		snprintf(at[k], sizeof(at[k]), "%s%d", kinds[k], i);
		if (mkdir(at[k], 0755))
			err(1, "%s", at[k]);
	}
	if (!strcmp(how, "bind"))
		return mount(at[0], at[0], NULL, MS_BIND, NULL);
	if (!overlay)
		return mount("many", at[0], "tmpfs", 0, "size=4k");
	snprintf(options, sizeof(options), "userxattr,lowerdir=l,upperdir=%s,workdir=%s", at[1],
		 at[2]);
	return mount("many", at[0], "overlay", 0, options);
}

int main(int argc, char **argv)
{
	usage_unless(argc > 4, "many_mounts bind|overlay|tmpfs N DIRECTORY COMMAND...");
	own_namespaces();
	if (mount("place", argv[3], "tmpfs", 0, NULL) || chdir(argv[3]) || mkdir("l", 0755))
		err(1, "%s", argv[3]);
	for (int i = 0; i < atoi(argv[2]); i++)
		if (make(argv[1], i))
			skip("%s: %m", argv[1]);
	execvp(argv[4], argv + 4);
	err(1, "%s", argv[4]);
}
