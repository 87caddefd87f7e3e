/* SPDX-License-Identifier: Apache-2.0 */
/*
 * without_inotify instances|watches COMMAND...: as on a host where the user has as many inotify
 * instances, or watches, as one may have.
 */
#include "program.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

int main(int argc, char **argv)
{
	int instances = argc > 2 && !strcmp(argv[1], "instances");
	unsigned int call = instances ? SYS_inotify_init1 : SYS_inotify_add_watch;
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (instances ? EMFILE : ENOSPC)),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(*code), code};

	usage_unless(argc > 2 && (instances || !strcmp(argv[1], "watches")),
		     "without_inotify instances|watches COMMAND...");
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		err(1, "seccomp");
	execvp(argv[2], argv + 2);
	err(1, "%s", argv[2]);
}
