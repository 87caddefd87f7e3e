/* SPDX-License-Identifier: Apache-2.0 */
/* mounted_as PROGRAM PATH ARGUMENT...: executes PROGRAM mounted over PATH, in namespaces of its own. */
#include "program.h"

#include <sched.h>
#include <sys/mount.h>

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		err(1, "%s", path);
	close(fd);
}

int main(int argc, char **argv)
{
	char uid[32], gid[32];

	usage_unless(argc >= 3, "mounted_as PROGRAM PATH ARGUMENT...");
	snprintf(uid, sizeof(uid), "%u %u 1", getuid(), getuid());
	snprintf(gid, sizeof(gid), "%u %u 1", getgid(), getgid());
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
		skip("no user namespaces");
	put("/proc/self/setgroups", "deny");
	put("/proc/self/uid_map", uid);
	put("/proc/self/gid_map", gid);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount(argv[1], argv[2], NULL, MS_BIND, NULL))
		err(1, "%s over %s", argv[1], argv[2]);
	execv(argv[2], argv + 2);
	err(1, "%s", argv[2]);
}
