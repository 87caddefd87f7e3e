/* SPDX-License-Identifier: Apache-2.0 */
/*
 * at_limit instances|watches|groups|marks|threads COMMAND...: as on a host where the user has as many
 * inotify instances or watches, fanotify groups or marks, or threads, as one may have.
 */
#include "program.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static const struct limit {
	const char *name;
	unsigned int call, other;
	int error;
} limits[] = {
	{"instances", SYS_inotify_init1, SYS_inotify_init, EMFILE},
	{"watches", SYS_inotify_add_watch, SYS_inotify_add_watch, ENOSPC},
	{"groups", SYS_fanotify_init, SYS_fanotify_init, EMFILE},
	{"marks", SYS_fanotify_mark, SYS_fanotify_mark, ENOSPC},
	{"threads", SYS_clone, SYS_clone3, EAGAIN},
};

static const struct limit *find(const char *name)
{
	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++)
		if (!strcmp(limits[i].name, name))
			return &limits[i];
	return NULL;
}

int main(int argc, char **argv)
{
	const struct limit *l = argc > 2 ? find(argv[1]) : NULL;
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, l ? l->call : 0, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, l ? l->other : 0, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (l ? l->error : 0)),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(*code), code};

	usage_unless(l != NULL, "at_limit instances|watches|groups|marks|threads COMMAND...");
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		err(1, "seccomp");
	execvp(argv[2], argv + 2);
	err(1, "%s", argv[2]);
}
