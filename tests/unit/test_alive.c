/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/alive.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define TICK_NS (1000000000ull / sysconf(_SC_CLK_TCK))

/* From its third field on, behind a blank. */
static char *stat_of(pid_t pid, char line[static 1024])
{
	char path[32];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_non_null(fgets(line, 1024, f));
	fclose(f);
	return strrchr(line, ')') + 1;
}

static int is_alive(int pidfd, uint32_t tgid, uint64_t start)
{
	return alive_is(NULL, 0, &(struct alive_process){pidfd, tgid, start});
}

static char state_of(pid_t pid)
{
	char line[1024];

	return stat_of(pid, line)[1];
}

/* As the kernel tells it, but for what is finer than a tick. */
static uint64_t start_of(pid_t pid)
{
	char line[1024], *at = stat_of(pid, line);

	for (int field = 3; field <= 22; field++)
		at = strchr(at, ' ') + 1;
	return strtoull(at, NULL, 10) * TICK_NS;
}

/* Its name is made to mislead. */
static pid_t child(void)
{
	int ready[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_NAME, "a) Z 1 1 1 (");
		if (write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_true(pid > 0);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void knows_the_living_from_the_dead(void **state)
{
	pid_t pid = child();
	int pidfd = syscall(SYS_pidfd_open, pid, 0);
	uint64_t start = start_of(pid);
	siginfo_t info;

	(void)state;
	assert_true(pidfd >= 0);
	assert_int_equal(is_alive(pidfd, pid, start), 1);
	assert_int_equal(is_alive(pidfd, pid, start + TICK_NS - 1), 1);
	/* Another one of that pid. */
	assert_int_equal(is_alive(pidfd, pid, start + TICK_NS), 0);
	assert_int_equal(is_alive(pidfd, pid, start - 1), 0);
	/* Dead, and nobody has waited for it; and gone. */
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(is_alive(pidfd, pid, start), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(is_alive(pidfd, pid, start), 0);
	/* Not by its pid alone. */
	assert_int_equal(is_alive(pidfd, getpid(), start_of(getpid())), 0);
	close(pidfd);
}

static void *end_group(void *go)
{
	char c;

	_exit(read(*(int *)go, &c, 1) != 0);
}

/* Its first thread has ended, which makes it look dead. */
static void knows_a_process_without_its_first_thread(void **state)
{
	int go[2], pidfd;
	siginfo_t info;
	pthread_t t;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(go), 0);
	pid = fork();
	if (!pid) {
		close(go[1]);
		if (pthread_create(&t, NULL, end_group, go))
			_exit(2);
		pthread_exit(NULL);
	}
	close(go[0]);
	pidfd = syscall(SYS_pidfd_open, pid, 0);
	for (int i = 0; i < 5000 && state_of(pid) != 'Z'; i++)
		usleep(1000);
	assert_int_equal(state_of(pid), 'Z');
	assert_int_equal(is_alive(pidfd, pid, start_of(pid)), 1);
	close(go[1]);
	assert_int_equal(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(is_alive(pidfd, pid, start_of(pid)), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(pidfd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_the_living_from_the_dead),
		cmocka_unit_test(knows_a_process_without_its_first_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
