/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/peer.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#define SKIP(reason)                                                                               \
	do {                                                                                       \
		print_message("[  REASON  ] %s\n", reason);                                        \
		skip();                                                                            \
	} while (0)

static void test_pins_the_peer(void **state)
{
	struct peer p = {};
	struct peer_message m;
	char buffer[16];
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	assert_int_equal(peer_pin(fds[0], &p), 0);
	assert_int_equal(p.pid, getpid());
	assert_int_equal(p.uid, geteuid());
	assert_true(peer_alive(&p));
	assert_true(fcntl(p.pidfd, F_GETFD) & FD_CLOEXEC);

	assert_int_equal(peer_receive(fds[0], buffer, sizeof(buffer), true, &m), -EAGAIN);
	assert_int_equal(send(fds[1], "hello", 5, 0), 5);
	assert_int_equal(peer_receive(fds[0], buffer, sizeof(buffer), true, &m), 0);
	assert_int_equal(m.len, 5);
	assert_memory_equal(buffer, "hello", 5);
	assert_true(m.has_credentials);
	assert_int_equal(m.pid, getpid());
	assert_int_equal(m.uid, getuid());
	assert_false(m.cut);
	assert_int_equal(m.fds_count, 0);

	assert_int_equal(send(fds[1], "more than sixteen bytes", 23, 0), 23);
	assert_int_equal(peer_receive(fds[0], buffer, sizeof(buffer), true, &m), 0);
	assert_true(m.cut);
	close(fds[1]);
	assert_int_equal(peer_receive(fds[0], buffer, sizeof(buffer), true, &m), -ECONNRESET);
	close(fds[0]);
	peer_unpin(&p);
	assert_false(peer_alive(&p));
}

/* What is sent before credentials were asked for carries none: nobody's word. */
static void test_too_early(void **state)
{
	struct peer p = {};
	struct peer_message m;
	char buffer[16];
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	assert_int_equal(send(fds[1], "early", 5, 0), 5);
	assert_int_equal(peer_pin(fds[0], &p), 0);
	assert_int_equal(peer_receive(fds[0], buffer, sizeof(buffer), true, &m), 0);
	assert_true(!m.has_credentials || m.pid <= 0);
	close(fds[0]);
	close(fds[1]);
	peer_unpin(&p);
}

static size_t count_fds(void)
{
	_cleanup_closedir_ DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	while (readdir(d))
		n++;
	return n;
}

static void send_descriptors(int fd, const int *fds, size_t count)
{
	char control[CMSG_SPACE(4 * sizeof(int))] = {};
	struct iovec iov = {(char *)"x", 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = CMSG_SPACE(count * sizeof(int))};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(c), fds, count * sizeof(int));
	assert_int_equal(sendmsg(fd, &msg, 0), 1);
}

/* They are never in the table of descriptors: closing one there can wait for its filesystem. */
static void test_takes_no_descriptors(void **state)
{
	const int passed[] = {0, 1, 2, 0};
	struct peer p = {};
	struct peer_message m;
	char buffer[16];
	size_t before;
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	assert_int_equal(peer_pin(fds[0], &p), 0);
	before = count_fds();
	for (size_t n = 1; n <= 4; n++) {
		send_descriptors(fds[1], passed, n);
		assert_int_equal(peer_receive(fds[0], buffer, sizeof(buffer), false, &m), 0);
		assert_int_equal(m.fds_count, 0);
		assert_true(m.fds_cut);
		assert_int_equal(m.pid, getpid());
		assert_int_equal(count_fds(), before);
	}
	send_descriptors(fds[1], passed, 4);
	assert_int_equal(peer_receive(fds[0], buffer, sizeof(buffer), true, &m), 0);
	assert_int_equal(m.fds_count, 4);
	peer_message_close(&m);
	assert_int_equal(count_fds(), before);
	close(fds[0]);
	close(fds[1]);
	peer_unpin(&p);
}

static void test_dies(void **state)
{
	struct peer p = {.pidfd = -1};
	pid_t pid = fork();

	(void)state;
	if (!pid) {
		pause();
		_exit(0);
	}
	p.pid = pid;
	p.pidfd = syscall(SYS_pidfd_open, pid, 0);
	assert_true(peer_alive(&p));
	kill(pid, SIGKILL);
	assert_int_equal(waitid(P_PID, pid, NULL, WEXITED | WNOWAIT), 0);
	assert_false(peer_alive(&p)); /* a zombie */
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_false(peer_alive(&p));
	peer_unpin(&p);
}

static void test_status(void **state)
{
	struct peer_status s = {};
	const gid_t groups[] = {3, 70000, 5};
	int pipes[2], status;
	pid_t pid;
	char c;

	(void)state;
	assert_int_equal(peer_status(getpid(), &s), 0);
	assert_int_equal(s.tgid, getpid());
	assert_int_equal(s.uid[0], getuid());
	assert_int_equal(s.uid[1], geteuid());
	assert_int_equal(s.gid[3], getegid());
	peer_status_clear(&s);
	assert_int_equal(peer_status(INT32_MAX, &s), -ESRCH);
	assert_null(s.groups);
	if (geteuid() != 0)
		SKIP("needs root to take other groups");

	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	if (!pid) {
		if (setgroups(3, groups) || setresgid(10, 11, 12) || setresuid(20, 21, 22) ||
		    write(pipes[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(pipes[0], &c, 1), 1);
	assert_int_equal(peer_status(pid, &s), 0);
	assert_int_equal(s.uid[0], 20);
	assert_int_equal(s.uid[1], 21);
	assert_int_equal(s.uid[2], 22);
	assert_int_equal(s.uid[3], 21);
	assert_int_equal(s.gid[0], 10);
	assert_int_equal(s.groups_count, 3);
	assert_int_equal(s.groups[0] + s.groups[1] + s.groups[2], 70008);
	peer_status_clear(&s);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void test_pidfds(void **state)
{
	_cleanup_close_ int own = syscall(SYS_pidfd_open, getpid(), 0);
	_cleanup_close_ int null = open("/dev/null", O_RDONLY),
			    proc = open("/proc/self", O_RDONLY | O_DIRECTORY);
	_cleanup_close_ int child_fd = -1;
	pid_t pid = -5, child = fork();

	(void)state;
	if (!child)
		_exit(0);
	assert_int_equal(peer_pid_of_pidfd(own, &pid), 0);
	assert_int_equal(pid, getpid());
	pid = -5;
	assert_int_equal(peer_pid_of_pidfd(null, &pid), -EBADF);
	assert_int_equal(peer_pid_of_pidfd(proc, &pid), -EBADF);
	child_fd = syscall(SYS_pidfd_open, child, 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(peer_pid_of_pidfd(child_fd, &pid), -ESRCH);
	assert_int_equal(pid, -5);
}

static void test_resolves(void **state)
{
	struct peer p = {.pid = getpid(), .pidfd = -1};
	pid_t pid = -5;

	(void)state;
	assert_int_equal(peer_resolve(&p, getpid(), &pid), 0);
	assert_int_equal(pid, getpid());
	pid = -5;
	assert_int_equal(peer_resolve(&p, INT32_MAX, &pid), -ESRCH);
	assert_int_equal(peer_resolve(&p, 0, &pid), -ESRCH);
	assert_int_equal(peer_resolve(&p, -1, &pid), -ESRCH);
	assert_int_equal(pid, -5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pins_the_peer),
		cmocka_unit_test(test_too_early),
		cmocka_unit_test(test_dies),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_pidfds),
		cmocka_unit_test(test_resolves),
		cmocka_unit_test(test_takes_no_descriptors),
	};

	return cmocka_run_group_tests_name("peer", tests, NULL, NULL);
}
