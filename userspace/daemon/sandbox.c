/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/sandbox.h"

#include <errno.h>
#include <linux/bpf.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "base/cleanup.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/*
 * A sanitizer's leak check at exit clones a tracer that attaches to the process. Builds with a
 * sanitizer allow it, no other build can.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static const int allowed[] = {
	/* memory; mmap and mprotect are below */
	SCMP_SYS(brk),
	SCMP_SYS(madvise),
	SCMP_SYS(mremap),
	SCMP_SYS(munmap),

	/*
	 * files: the ledger and journal, /proc, what is hashed; and what stdio and sd-event make of
	 *   them
	 */
	SCMP_SYS(access),
	SCMP_SYS(close),
	SCMP_SYS(close_range),
	SCMP_SYS(dup),
	SCMP_SYS(dup2),
	SCMP_SYS(dup3),
	SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2),
	SCMP_SYS(fadvise64),
	SCMP_SYS(fallocate),
	SCMP_SYS(fcntl),
	SCMP_SYS(fdatasync),
	SCMP_SYS(flock),
	SCMP_SYS(fstat),
	SCMP_SYS(fstatfs),
	SCMP_SYS(fsync),
	SCMP_SYS(ftruncate),
	SCMP_SYS(getdents64),
	SCMP_SYS(ioctl),
	SCMP_SYS(lseek),
	SCMP_SYS(lstat),
	SCMP_SYS(memfd_create),
	SCMP_SYS(mkdir),
	SCMP_SYS(mkdirat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(open),
	SCMP_SYS(open_by_handle_at), /* a cgroup's path, by its id */
	SCMP_SYS(openat),
	SCMP_SYS(openat2),
	SCMP_SYS(pipe2),
	SCMP_SYS(pread64),
	SCMP_SYS(pwrite64),
	SCMP_SYS(read),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(readv),
	SCMP_SYS(rename),
	SCMP_SYS(renameat),
	SCMP_SYS(renameat2),
	SCMP_SYS(stat),
	SCMP_SYS(statfs),
	SCMP_SYS(statx),
	SCMP_SYS(sync_file_range),
	SCMP_SYS(unlink),
	SCMP_SYS(unlinkat),
	SCMP_SYS(write),
	SCMP_SYS(writev),

	/* waiting */
	SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_pwait2),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(eventfd2),
	SCMP_SYS(inotify_add_watch),
	SCMP_SYS(inotify_init1),
	SCMP_SYS(inotify_rm_watch),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(pselect6),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(select),
	SCMP_SYS(signalfd4),
	SCMP_SYS(timer_delete),
	SCMP_SYS(timer_settime),
	SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_gettime),
	SCMP_SYS(timerfd_settime),

	/* time; adjtimex only reads without CAP_SYS_TIME */
	SCMP_SYS(adjtimex),
	SCMP_SYS(clock_adjtime),
	SCMP_SYS(clock_getres),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(nanosleep),
	SCMP_SYS(time),

	/* threads and signals of this process; clone is below */
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(futex),
	SCMP_SYS(get_robust_list),
	SCMP_SYS(getcpu),
	SCMP_SYS(getpid),
	SCMP_SYS(getppid),
	SCMP_SYS(getpriority),
	SCMP_SYS(gettid),
	SCMP_SYS(membarrier),
	SCMP_SYS(rseq),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigtimedwait),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(sched_yield),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(setpriority), /* a hashing thread's own */
	SCMP_SYS(sigaltstack),
	SCMP_SYS(tgkill),

	/* who we are, and, for one thread at a time, whom we open files for */
	SCMP_SYS(capget),
	SCMP_SYS(capset),
	SCMP_SYS(getegid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getgroups),
	SCMP_SYS(getrandom),
	SCMP_SYS(getresgid),
	SCMP_SYS(getresuid),
	SCMP_SYS(getrlimit),
	SCMP_SYS(getrusage),
	SCMP_SYS(getuid),
	SCMP_SYS(prlimit64),
	SCMP_SYS(setfsgid),
	SCMP_SYS(setfsuid),
	SCMP_SYS(setgroups),
	SCMP_SYS(sysinfo),
	SCMP_SYS(umask),
	SCMP_SYS(uname),

	/*
	 * the local socket, sd_notify and the journal; socket and socketpair are below. No bind;
	 *   connect, on what socket gave, to a software TPM that was started anew
	 */
	SCMP_SYS(accept4),
	SCMP_SYS(connect),
	SCMP_SYS(getpeername),
	SCMP_SYS(getsockname),
	SCMP_SYS(getsockopt),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(setsockopt),
	SCMP_SYS(shutdown),

	/* what the work is about; bpf is below */
	SCMP_SYS(fanotify_mark),
	SCMP_SYS(pidfd_open),
	SCMP_SYS(pidfd_send_signal),
};

/*
 * bpf(2): reading and writing maps, running what was loaded at start-up. No program is loaded and
 * no map made after start-up.
 */
static const int allowed_bpf[] = {
	BPF_MAP_LOOKUP_ELEM,  BPF_MAP_UPDATE_ELEM,    BPF_MAP_DELETE_ELEM, BPF_MAP_GET_NEXT_KEY,
	BPF_MAP_LOOKUP_BATCH, BPF_OBJ_GET_INFO_BY_FD, BPF_LINK_CREATE,     BPF_ITER_CREATE,
	BPF_PROG_TEST_RUN, /* the program that tells an object's identity */
};

/* Never by an honest path of ours: neither the daemon nor its libraries have one. */
static const int deadly[] = {
	SCMP_SYS(delete_module),
	SCMP_SYS(execve),
	SCMP_SYS(execveat),
	SCMP_SYS(finit_module),
	SCMP_SYS(fork),
	SCMP_SYS(init_module),
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(kexec_file_load),
	SCMP_SYS(kexec_load),
	SCMP_SYS(keyctl),
	SCMP_SYS(mount),
	SCMP_SYS(move_mount),
	SCMP_SYS(open_tree),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(pidfd_getfd),
	SCMP_SYS(pivot_root),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(ptrace),
	SCMP_SYS(reboot),
	SCMP_SYS(setns),
	SCMP_SYS(swapon),
	SCMP_SYS(unshare),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(vfork),
};

static void releasep(scmp_filter_ctx *filter)
{
	if (*filter)
		seccomp_release(*filter);
}

/*
 * One rule; libseccomp's negative errno. A system call this architecture does not have (SCMP_SYS is
 * negative then, and a rule may still be made) is not an error.
 */
static int rule(scmp_filter_ctx filter, uint32_t action, int call)
{
	return seccomp_rule_add(filter, action, call, 0);
}

static int rule_if(scmp_filter_ctx filter, uint32_t action, int call, struct scmp_arg_cmp condition)
{
	return seccomp_rule_add_array(filter, action, call, 1, &condition);
}

/* The ones whose arguments decide. */
static int add_conditional(scmp_filter_ctx filter)
{
	const struct scmp_arg_cmp unix_only = SCMP_A0(SCMP_CMP_EQ, AF_UNIX);
	const struct scmp_arg_cmp no_code = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	const struct scmp_arg_cmp a_thread =
		SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD);
	const struct scmp_arg_cmp a_process = SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0);
	const struct scmp_arg_cmp name_it = SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME);
	int err;

	/*
	 * No network (P5). Other families are refused, not deadly: a library may ask and mean no
	 * harm.
	 */
	err = rule_if(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), unix_only) ?:
	      rule_if(filter, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), unix_only) ?:
	      rule_if(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), no_code) ?:
	      rule_if(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), no_code) ?:
	      rule_if(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), a_thread) ?:
	      rule_if(filter, SANITIZED ? SCMP_ACT_ALLOW : SCMP_ACT_KILL_PROCESS, SCMP_SYS(clone), a_process) ?:
	      rule_if(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), name_it) ?:
	      /* A filter can't see clone3's flags: glibc goes back to clone when the kernel has none. */
	      rule(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3));
	for (size_t i = 0; !err && i < COUNT(allowed_bpf); i++)
		err = rule_if(filter, SCMP_ACT_ALLOW, SCMP_SYS(bpf),
			      SCMP_A0(SCMP_CMP_EQ, allowed_bpf[i]));
	return err;
}

static int add_sanitizer(scmp_filter_ctx filter)
{
	static const int calls[] = {SCMP_SYS(ptrace), SCMP_SYS(wait4), SCMP_SYS(prctl),
				    SCMP_SYS(kill), SCMP_SYS(getdents)};
	int err = 0;

	for (size_t i = 0; SANITIZED && !err && i < COUNT(calls); i++)
		err = rule(filter, SCMP_ACT_ALLOW, calls[i]);
	return err;
}

int sandbox_enter(void)
{
	__attribute__((cleanup(releasep))) scmp_filter_ctx filter =
		seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int err;

	if (!filter)
		return -ENOMEM;
	/*
	 * All threads at once, or none; and no way around it by another architecture's calls (x32,
	 * i386).
	 */
	err = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) ?:
	      seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) ?:
	      /* A binary tree: hundreds of calls are a few comparisons apart. */
	      seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2) ?:
	      add_sanitizer(filter);
	for (size_t i = 0; !err && i < COUNT(allowed); i++)
		err = rule(filter, SCMP_ACT_ALLOW, allowed[i]);
	for (size_t i = 0; !err && i < COUNT(deadly); i++)
		if (!(SANITIZED && deadly[i] == SCMP_SYS(ptrace)))
			err = rule(filter, SCMP_ACT_KILL_PROCESS, deadly[i]);
	return err ?: add_conditional(filter) ?: seccomp_load(filter);
}
