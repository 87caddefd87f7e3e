/* SPDX-License-Identifier: Apache-2.0 */
/* What is left of root after start-up. Each case in a process of its own: there is no way back. */
#include "daemon/privileges.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/cleanup.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#define EXIT_LIMIT 200 /* privileges_limit() failed */
#define EXIT_DROP 201

#define SKIP(reason)                                                                               \
	do {                                                                                       \
		print_message("[  REASON  ] %s\n", reason);                                        \
		skip();                                                                            \
	} while (0)

#define NEEDS_ROOT()                                                                               \
	do {                                                                                       \
		if (geteuid() != 0)                                                                \
			SKIP("only root has privileges to drop");                                  \
	} while (0)

/*
 * A child with one thread, as the daemon starts. In the child of a plain fork() ThreadSanitizer
 * starts a thread of its own, whose capabilities nobody could take.
 */
static pid_t fork_one_thread(void)
{
	return _Fork();
}

/* The wait status of a child that gave up its privileges and then did @act. */
static int confined(int (*act)(void))
{
	int status = -1;
	pid_t pid = fork_one_thread();

	if (!pid) {
		if (privileges_limit())
			_exit(EXIT_LIMIT);
		if (privileges_drop())
			_exit(EXIT_DROP);
		_exit(act());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void assert_exits(int (*act)(void), int code)
{
	int status = confined(act);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), code);
}

static void assert_killed(int (*act)(void))
{
	int status = confined(act);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

/* 0 when every address family but AF_UNIX is refused, in each of the ways to ask. */
static int try_sockets(void)
{
	static const int families[] = {AF_INET,  AF_INET6, AF_NETLINK, AF_PACKET,
				       AF_VSOCK, AF_ALG,   AF_XDP,     AF_BLUETOOTH};
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET,
				    SOCK_STREAM | SOCK_CLOEXEC};
	int fds[2];

	for (size_t f = 0; f < sizeof(families) / sizeof(*families); f++)
		for (size_t t = 0; t < sizeof(types) / sizeof(*types); t++) {
			errno = 0;
			if (socket(families[f], types[t], 0) >= 0 || errno != EPERM)
				return 1 + f;
		}
	if (socketpair(AF_TIPC, SOCK_STREAM, 0, fds) == 0 || errno != EPERM)
		return 20;
	/*
	 * The filter reads 64 bits, the kernel an int: bits above must not smuggle a family past
	 * it.
	 */
	errno = 0;
	if (syscall(SYS_socket, 0x100000000UL | AF_INET, SOCK_STREAM, 0) >= 0 || errno != EPERM)
		return 21;
	return 0;
}

static int try_unix(void)
{
	int fds[2], fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char c;

	if (fd < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds))
		return 1;
	return send(fds[0], "x", 1, MSG_NOSIGNAL) == 1 && recv(fds[1], &c, 1, 0) == 1 && c == 'x'
		       ? 0
		       : 2;
}

static void test_sockets(void **state)
{
	(void)state;
	NEEDS_ROOT();
	assert_exits(try_sockets, 0);
	assert_exits(try_unix, 0);
}

static int try_execve(void)
{
	char *const argv[] = {(char *)"true", NULL}, *const envp[] = {NULL};

	execve("/bin/true", argv, envp);
	return 1;
}

static int try_execveat(void)
{
	char *const argv[] = {(char *)"true", NULL}, *const envp[] = {NULL};

	syscall(SYS_execveat, AT_FDCWD, "/bin/true", argv, envp, 0);
	return 1;
}

static int try_fork(void)
{
	return syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL) == 0 ? 0 : 1;
}

static int try_vfork(void)
{
	return syscall(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL, NULL, NULL, NULL) == 0
		       ? 0
		       : 1;
}

static int try_ptrace(void)
{
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	return 1;
}

static int try_process_vm_writev(void)
{
	syscall(SYS_process_vm_writev, getppid(), NULL, 0UL, NULL, 0UL, 0UL);
	return 1;
}

static int try_mount(void)
{
	syscall(SYS_mount, "none", "/tmp", "tmpfs", 0UL, NULL);
	return 1;
}

static int try_init_module(void)
{
	syscall(SYS_init_module, NULL, 0UL, "");
	return 1;
}

static int try_kexec(void)
{
	syscall(SYS_kexec_load, 0UL, 0UL, NULL, 0UL);
	return 1;
}

static int try_setns(void)
{
	setns(-1, 0);
	return 1;
}

static int try_unshare(void)
{
	unshare(CLONE_NEWUSER);
	return 1;
}

static int try_io_uring(void)
{
	syscall(SYS_io_uring_setup, 1, NULL);
	return 1;
}

static void test_deadly(void **state)
{
	(void)state;
	NEEDS_ROOT();
	assert_killed(try_execve);
	assert_killed(try_execveat);
	assert_killed(try_process_vm_writev);
	assert_killed(try_mount);
	assert_killed(try_init_module);
	assert_killed(try_kexec);
	assert_killed(try_setns);
	assert_killed(try_unshare);
	assert_killed(try_io_uring);
}

static void test_deadly_but_to_sanitizers(void **state)
{
	(void)state;
	NEEDS_ROOT();
	if (SANITIZED)
		SKIP("a sanitizer's leak check forks and traces");
	assert_killed(try_fork);
	assert_killed(try_vfork);
	assert_killed(try_ptrace);
}

static int try_refused(void)
{
	union bpf_attr attr = {};
	static const int bpf_commands[] = {BPF_PROG_LOAD,   BPF_MAP_CREATE,          BPF_OBJ_PIN,
					   BPF_PROG_ATTACH, BPF_RAW_TRACEPOINT_OPEN, BPF_BTF_LOAD,
					   BPF_LINK_UPDATE};

	for (size_t i = 0; i < sizeof(bpf_commands) / sizeof(*bpf_commands); i++)
		if (syscall(SYS_bpf, bpf_commands[i], &attr, sizeof(attr)) >= 0 || errno != EPERM)
			return 1 + i;
	if (mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		 0) != MAP_FAILED ||
	    errno != EPERM)
		return 10;
	if (bind(-1, NULL, 0) == 0 || errno != EPERM)
		return 11;
	if (kill(getppid(), 0) == 0 && !SANITIZED)
		return 12;
	if (syscall(SYS_clone3, NULL, 0UL) >= 0 || errno != ENOSYS)
		return 13;
	if (!SANITIZED && (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0 || errno != EPERM))
		return 14;
	return 0;
}

static void *answer(void *data)
{
	return data;
}

static int try_daily_work(void)
{
	union bpf_attr attr = {.map_fd = -1U};
	struct pollfd f = {.fd = -1};
	pthread_t thread;
	void *got = NULL;
	char path[64];
	int fd;

	if (syscall(SYS_bpf, BPF_MAP_LOOKUP_ELEM, &attr, sizeof(attr)) >= 0 || errno == EPERM)
		return 1;
	if (pthread_create(&thread, NULL, answer, &f) || pthread_join(thread, &got) || got != &f)
		return 2;
	snprintf(path, sizeof(path), "/proc/%d/exe", getppid());
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 3;
	fd = syscall(SYS_pidfd_open, getppid(), 0);
	if (fd < 0 || syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) < 0)
		return 4;
	/* A software TPM's socket. */
	if (connect(-1, NULL, 0) == 0 || errno != EBADF)
		return 5;
	return poll(&f, 1, 0) == 0 ? 0 : 6;
}

static void test_refused_and_allowed(void **state)
{
	(void)state;
	NEEDS_ROOT();
	assert_exits(try_refused, 0);
	assert_exits(try_daily_work, 0);
}

/* A thread that was there before the filter is under it too. */
static int gate[2];

static void *wait_and_try(void *data)
{
	char c;

	if (read(gate[0], &c, 1) != 1)
		return data;
	errno = 0;
	return socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == EPERM ? NULL : data;
}

static int threaded(void)
{
	pthread_t thread;
	void *wrong = gate;

	if (pipe(gate) || privileges_limit() || pthread_create(&thread, NULL, wait_and_try, gate) ||
	    privileges_drop())
		return 1;
	if (write(gate[1], "x", 1) != 1 || pthread_join(thread, &wrong))
		return 2;
	return wrong ? 3 : 0;
}

/*
 * One that was there before privileges_limit() keeps root's capabilities: that is seen, both times.
 */
static int too_late(void)
{
	pthread_t thread;

	if (pipe(gate) || pthread_create(&thread, NULL, wait_and_try, gate))
		return 1;
	if (privileges_limit() != -EBUSY)
		return 2;
	return privileges_drop() == -EBUSY ? 0 : 3;
}

static int in_child(int (*act)(void))
{
	int status = -1;
	pid_t pid = fork_one_thread();

	if (!pid)
		_exit(act());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void test_threads(void **state)
{
	(void)state;
	NEEDS_ROOT();
	assert_int_equal(in_child(threaded), 0);
	assert_int_equal(in_child(too_late), 0);
}

static uint64_t status_mask(const char *key)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/status", "re");
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)))
			return strtoull(line + strlen(key) + 1, NULL, 16);
	return UINT64_MAX;
}

static int try_capabilities(void)
{
	static const int kept[] = {
		CAP_BPF,    CAP_PERFMON, CAP_SYS_ADMIN, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH,
		CAP_SETUID, CAP_SETGID,  CAP_KILL};
	uint64_t want = 0;

	for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++)
		want |= UINT64_C(1) << kept[i];
	if (status_mask("CapPrm:") != want || status_mask("CapEff:") != want ||
	    status_mask("CapBnd:") != want)
		return 1;
	if (status_mask("CapInh:") || status_mask("CapAmb:"))
		return 2;
	if (status_mask("NoNewPrivs:") != 1 || status_mask("Seccomp:") != 2)
		return 3;
	if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1)
		return 4;
	return chown("/", 0, 0) == 0 ? 5 : 0;
}

static void test_capabilities(void **state)
{
	char text[256];

	(void)state;
	privileges_describe(text, sizeof(text));
	assert_string_equal(
		text, "bpf, perfmon, sys_admin, sys_ptrace, dac_read_search, setuid, setgid, kill");
	privileges_describe(text, 8);
	assert_string_equal(text, "bpf, pe");
	NEEDS_ROOT();
	assert_exits(try_capabilities, 0);
}

static int limited_user(void)
{
	return setresuid(65534, 65534, 65534) == 0 && privileges_limit() == -EPERM ? 0 : 1;
}

static void test_not_root(void **state)
{
	(void)state;
	NEEDS_ROOT();
	assert_int_equal(in_child(limited_user), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sockets),
		cmocka_unit_test(test_deadly),
		cmocka_unit_test(test_deadly_but_to_sanitizers),
		cmocka_unit_test(test_refused_and_allowed),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_capabilities),
		cmocka_unit_test(test_not_root),
	};

	return cmocka_run_group_tests_name("privileges", tests, NULL, NULL);
}
