/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"

#define MUCH (1 << 20) /* more than a pipe holds: whoever writes waits for who reads */

static uint8_t sent[MUCH], got[MUCH + 1];

static void on_signal(int number)
{
	(void)number;
}

/* Another process goes on interrupting this one while its data go through a pipe. */
static pid_t interrupt(pid_t whom, int keep, int drop)
{
	pid_t pid = fork();
	int status;

	if (pid)
		return pid;
	close(drop);
	pid = fork();
	if (!pid) {
		while (!kill(whom, SIGUSR1))
			;
		_exit(0);
	}
	if (fcntl(keep, F_GETFL) & O_WRONLY)
		status = file_write(keep, sent, MUCH) != 0;
	else
		status = file_read(keep, got, MUCH + 1) != MUCH || memcmp(got, sent, MUCH) != 0;
	kill(pid, SIGKILL);
	_exit(status);
}

static void finish(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		assert_int_equal(errno, EINTR);
	assert_int_equal(status, 0);
}

static void test_interrupted(void **state)
{
	const struct sigaction a = {.sa_handler = on_signal}; /* no SA_RESTART */
	int ends[2];
	pid_t pid;

	(void)state;
	assert_int_equal(sigaction(SIGUSR1, &a, NULL), 0);
	for (size_t i = 0; i < MUCH; i++)
		sent[i] = i * 7 + i / 251;

	memset(got, 0xa5, sizeof(got));
	assert_int_equal(pipe(ends), 0);
	pid = interrupt(getpid(), ends[1], ends[0]);
	close(ends[1]);
	assert_int_equal(file_read(ends[0], got, sizeof(got)), MUCH);
	assert_memory_equal(got, sent, MUCH);
	close(ends[0]);
	finish(pid);

	memset(got, 0xa5, sizeof(got));
	assert_int_equal(pipe(ends), 0);
	pid = interrupt(getpid(), ends[0], ends[1]);
	close(ends[0]);
	assert_int_equal(file_write(ends[1], sent, MUCH), 0);
	close(ends[1]);
	finish(pid);
}

static void test_size(void **state)
{
	_cleanup_close_ int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	(void)state;
	memset(got, 0xa5, sizeof(got));
	assert_int_equal(file_read(fd, got, 4), 4);
	assert_memory_equal(got, "\177ELF\xa5", 5);
	assert_int_equal(file_read(fd, got, 0), 0);
}

static void test_errors(void **state)
{
	_cleanup_close_ int full = open("/dev/full", O_RDWR | O_CLOEXEC);

	(void)state;
	assert_int_equal(file_write(full, "x", 1), -ENOSPC);
	assert_int_equal(file_read(-1, got, 1), -EBADF);
	assert_int_equal(file_write(-1, "x", 1), -EBADF);
	assert_int_equal(file_write(-1, "", 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_interrupted),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
