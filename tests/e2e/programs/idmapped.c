/* SPDX-License-Identifier: Apache-2.0 */
/*
 * idmapped DIRECTORY TARGET UID: mounts DIRECTORY on TARGET with root's files shown as UID's. As
 * root.
 */
#include "forge.h"

#include <linux/mount.h>
#include <signal.h>
#include <sys/syscall.h>

/* A user namespace in which the file system's root is UID. */
static int namespace_of(const char *uid)
{
	char path[64], map[64];
	int ready[2], fd;
	pid_t child;

	pipe_of(ready);
	child = fork();
	if (child == 0) {
		if (unshare(CLONE_NEWUSER))
			err(1, "unshare");
		signal_byte(ready[1]);
		pause();
	}
	await_byte(ready[0]);
	snprintf(map, sizeof(map), "0 %s 1", uid);
	snprintf(path, sizeof(path), "/proc/%d/uid_map", child);
	write_file(path, map);
	snprintf(path, sizeof(path), "/proc/%d/gid_map", child);
	write_file(path, map);
	snprintf(path, sizeof(path), "/proc/%d/ns/user", child);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

int main(int argc, char **argv)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP};
	int tree;

	usage_unless(argc == 4, "idmapped DIRECTORY TARGET UID");
	attr.userns_fd = namespace_of(argv[3]);
	tree = syscall(SYS_open_tree, AT_FDCWD, argv[1], OPEN_TREE_CLONE | O_CLOEXEC);
	if (tree < 0)
		skip("no open_tree here: %m");
	if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)))
		skip("no idmapped mount of this file system: %m");
	if (syscall(SYS_move_mount, tree, "", AT_FDCWD, argv[2], MOVE_MOUNT_F_EMPTY_PATH))
		err(1, "%s", argv[2]);
	return 0;
}
