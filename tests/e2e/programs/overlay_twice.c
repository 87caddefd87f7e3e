/* SPDX-License-Identifier: Apache-2.0 */
/*
 * overlay_twice DIRECTORY LOWER LOWER NAME: mounts an overlay at DIRECTORY in a user and a mount namespace of its own,
 * executes `NAME 0.5` there, and does it again with the other LOWER. Each "LOWER" is a list of two directories. The device number
 * of the overlay, which is printed, is the next overlay's then.
 */
#include "program.h"

#include <sched.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

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

	snprintf(uid, sizeof(uid), "%u %u 1", getuid(), getuid());
	snprintf(gid, sizeof(gid), "%u %u 1", getgid(), getgid());
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
		skip("no user namespaces");
	put("/proc/self/setgroups", "deny");
	put("/proc/self/uid_map", uid);
	put("/proc/self/gid_map", gid);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		err(1, "private mounts");
}

static void execute_on(const char *at, const char *lower, const char *name)
{
	char text[4352];
	struct stat st;
	int status;
	pid_t child;

	snprintf(text, sizeof(text), "lowerdir=%s", lower);
	if (mount("overlay", at, "overlay", 0, text))
		skip("no overlays in user namespaces");
	snprintf(text, sizeof(text), "%s/%s", at, name);
	if (stat(text, &st))
		err(1, "%s", text);
	printf("%ju\n", (uintmax_t)st.st_dev);
	fflush(stdout);
	child = fork();
	if (child == 0) {
		execl(text, text, "0.5", (char *)NULL);
		err(1, "%s", text);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || status)
		errx(1, "%s failed", text);
	/* The daemon may still read it. */
	for (int i = 0; umount(at); i++) {
		if (i == 500)
			err(1, "umount");
		usleep(10000);
	}
}

int main(int argc, char **argv)
{
	usage_unless(argc == 5, "overlay_twice DIRECTORY LOWER LOWER NAME");
	own_namespaces();
	execute_on(argv[1], argv[2], argv[4]);
	execute_on(argv[1], argv[3], argv[4]);
	return 0;
}
