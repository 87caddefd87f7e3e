/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forge_chain untold|tried LOADER PROGRAM [ARGUMENT...]: PROGRAM, with another loader at its path than LOADER: the same with
 * bytes behind its end, on a filesystem that nobody marked, in a root and a mount namespace of its own. With "tried" it
 * executes PROGRAM and LOADER, by the loader's path, in vain before: both are told of as they are opened.
 *
 * forge_chain script SCRIPT TEXT: a script with that text, likewise, after SCRIPT was executed in vain.
 */
#include "program.h"

#include <dirent.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define LOADER "/lib64/ld-linux-x86-64.so.2"
#define READ_US 100000 /* until what was opened has been read: else equal events are merged */

static void check(long result, const char *what)
{
	if (result < 0)
		err(1, "%s", what);
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);

	check(fd, path);
	check(write(fd, text, strlen(text)), path);
	close(fd);
}

static void own_namespace(void)
{
	unsigned int uid = getuid(), gid = getgid();
	char map[64];

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		skip("user namespaces: %s", strerror(errno));
	put("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "%u %u 1", uid, uid);
	put("/proc/self/uid_map", map);
	snprintf(map, sizeof(map), "%u %u 1", gid, gid);
	put("/proc/self/gid_map", map);
	check(mount("none", "/mnt", "tmpfs", 0, NULL), "mount");
}

/* All is where it was, but /lib64, which is empty. */
static void own_root(void)
{
	DIR *root = opendir("/");
	const struct dirent *e;
	char from[300], to[300];

	check(root ? chdir("/mnt") : -1, "/mnt");
	while ((e = readdir(root))) {
		if (e->d_type != DT_DIR || e->d_name[0] == '.' || !strcmp(e->d_name, "mnt"))
			continue;
		snprintf(from, sizeof(from), "/%s", e->d_name);
		check(mkdir(e->d_name, 0755), e->d_name);
		check(mount(from, e->d_name, NULL, MS_BIND | MS_REC, NULL), e->d_name);
	}
	closedir(root);
	snprintf(to, sizeof(to), "/mnt%s", LOADER);
	check(symlink("usr/lib", "lib"), "lib");
	check(symlink("usr/bin", "bin"), "bin");
	check(mkdir("lib64", 0755), "lib64");
	put(to, "");
	check(mkdir("old", 0755), "old");
	check(syscall(SYS_pivot_root, ".", "old"), "pivot_root");
	check(chdir("/"), "/");
}

static void in_vain(const char *path)
{
	check(syscall(SYS_execve, path, 1, NULL) < 0 && errno == EFAULT ? 0 : -1, path);
	usleep(READ_US);
}

static void append(const char *from, const char *to)
{
	char command[256];

	snprintf(command, sizeof(command), "cp %s %s && echo another >>%s", from, to, to);
	check(system(command) ? -1 : 0, command);
}

int main(int argc, char **argv)
{
	usage_unless(argc > 3, "forge_chain untold|tried|script ...");
	if (!strcmp(argv[1], "script")) {
		in_vain(argv[2]);
		own_namespace();
		put("/mnt/script", argv[3]);
		execl("/mnt/script", "script", NULL);
		err(1, "/mnt/script");
	}
	own_namespace();
	append(argv[2], "/mnt/another");
	own_root();
	if (!strcmp(argv[1], "tried")) {
		check(mount(argv[2], LOADER, NULL, MS_BIND, NULL), LOADER);
		in_vain(argv[3]);
		in_vain(LOADER);
	}
	check(mount("/another", LOADER, NULL, MS_BIND, NULL), LOADER);
	execv(argv[3], argv + 3);
	err(1, "%s", argv[3]);
}
