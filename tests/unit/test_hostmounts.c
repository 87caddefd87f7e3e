/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/hostmounts.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "hostdevice.h"

#define S 1000000000ull

static char dir[] = "/tmp/affiant-hostmounts-XXXXXX";

static time_t ahead_s; /* of what the host's clock says, until it is set back */

/* In place of libc's. */
int clock_gettime(clockid_t clock, struct timespec *ts)
{
	int err = syscall(SYS_clock_gettime, clock, ts);

	ts->tv_sec += clock == CLOCK_REALTIME ? ahead_s : 0;
	return err;
}

static uint32_t device_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return major(st.st_dev) << 20 | minor(st.st_dev);
}

/* In a namespace of its own, which is not process 1's. */
static void own_namespace(void)
{
	if (geteuid() || unshare(CLONE_NEWNS) ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) {
		print_message("not allowed to mount anything here\n");
		skip();
	}
}

static void test_trust(void **state)
{
	struct hostmounts *m = NULL;

	(void)state;
	assert_int_equal(hostmounts_new(&m), 0);
	assert_true(hostmounts_trust(m, host_device()));
	assert_false(hostmounts_trust(m, 4095u << 20 | 77));
	assert_true(hostmounts_have(m, host_device()));
	assert_false(hostmounts_have(m, 4095u << 20 | 77));
	hostmounts_free(m);
	hostmounts_free(NULL);
}

/* What is ours alone is there, but no setuid program of the host's comes from it. */
static void test_changes(void **state)
{
	struct hostmounts *m = NULL;
	uint64_t before;
	uint32_t device;

	(void)state;
	own_namespace();
	assert_int_equal(hostmounts_new(&m), 0);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(mount("t", dir, "tmpfs", 0, NULL), 0);
		device = device_of(dir);
		/* What is not known yet is not told as if it were. */
		before = clock_ns(CLOCK_BOOTTIME);
		assert_true(hostmounts_wait(m, before, 5 * S));
		assert_true(hostmounts_have(m, device));
		assert_false(hostmounts_trust(m, device));
		assert_true(hostmounts_known_ns(m) >= before);
		assert_int_equal(umount(dir), 0);
		assert_true(hostmounts_wait(m, clock_ns(CLOCK_BOOTTIME), 5 * S));
		assert_false(hostmounts_have(m, device));
	}
	hostmounts_free(m);
}

/* What the thread is just reading is not known yet, whenever it is asked for. */
static void test_asked_while_it_reads(void **state)
{
	struct hostmounts *m = NULL;
	uint32_t device;

	(void)state;
	own_namespace();
	for (int i = 0; i < 2000; i++)
		assert_int_equal(mount("/proc", "/proc", NULL, MS_BIND, NULL), 0);
	assert_int_equal(hostmounts_new(&m), 0);
	for (int i = 0; i < 5; i++) {
		uint64_t unmounted;

		assert_int_equal(mount("t", dir, "tmpfs", 0, NULL), 0);
		device = device_of(dir);
		assert_true(hostmounts_wait(m, clock_ns(CLOCK_BOOTTIME), 5 * S));
		usleep(200000); /* it does not pause any more, and reads at once */
		assert_int_equal(umount(dir), 0);
		unmounted = clock_ns(CLOCK_BOOTTIME);
		while (hostmounts_known_ns(m) < unmounted)
			sched_yield();
		assert_false(hostmounts_have(m, device));
	}
	hostmounts_free(m);
}

/*
 * Somebody mounts and unmounts all the time: it is read now and then, and who waits is told, however
 * long that takes on a busy machine.
 */
static void test_flood(void **state)
{
	struct hostmounts *m = NULL;
	uint64_t began, cpu_ns, changes = 0, told = 0;
	pid_t pid;

	(void)state;
	own_namespace();
	pid = fork();
	if (!pid) {
		for (;;)
			if (mount("t", dir, "tmpfs", 0, NULL) || umount(dir))
				_exit(1);
	}
	assert_int_equal(hostmounts_new(&m), 0);
	alarm(120);
	cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	began = clock_ns(CLOCK_BOOTTIME);
	while (told <= 5 || clock_ns(CLOCK_BOOTTIME) < began + S) {
		changes += hostmounts_known_ns(m) < clock_ns(CLOCK_BOOTTIME);
		told += hostmounts_wait(m, clock_ns(CLOCK_BOOTTIME), 5 * S);
		usleep(1000);
	}
	alarm(0);
	cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns;
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_true(changes > 0);
	assert_true(cpu_ns < (clock_ns(CLOCK_BOOTTIME) - began) / 2);
	hostmounts_free(m);
	umount(dir);
}

/* A reference outlives it: what was known remains so, as of then. */
static void test_reference(void **state)
{
	struct hostmounts *m = NULL, *other;

	(void)state;
	assert_int_equal(hostmounts_new(&m), 0);
	other = hostmounts_ref(m);
	assert_true(hostmounts_stop(m));
	hostmounts_free(m);
	assert_true(hostmounts_trust(other, host_device()));
	assert_false(hostmounts_wait(other, UINT64_MAX, S / 100));
	hostmounts_unref(other);
}

/* A wait that began before the host's clock was set back by an hour is no longer for that. */
static void test_clock_set_back(void **state)
{
	struct hostmounts *m = NULL;
	uint64_t began = clock_ns(CLOCK_BOOTTIME);

	(void)state;
	assert_int_equal(hostmounts_new(&m), 0);
	ahead_s = 3600;
	alarm(10);
	assert_false(hostmounts_wait(m, UINT64_MAX, S / 100));
	alarm(0);
	ahead_s = 0;
	assert_true(clock_ns(CLOCK_BOOTTIME) - began < 5 * S);
	hostmounts_free(m);
}

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trust),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_asked_while_it_reads),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_reference),
		cmocka_unit_test(test_clock_set_back),
	};

	return cmocka_run_group_tests_name("hostmounts", tests, make_dir, remove_dir);
}
