/* SPDX-License-Identifier: Apache-2.0 */
/* As root: ids and capabilities are the kernel's to give. */
#include "cli/runas.h"

#include <errno.h>
#include <linux/securebits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"

#define UID 54321
#define GID 54322

static void test_find(void **state)
{
	static const struct {
		const char *text;
		int err;
		uid_t uid;
		gid_t gid;
	} cases[] = {
		{"54321:54322", 0, UID, GID},
		{"4294967294:4294967294", 0, 4294967294, 4294967294},
		{"nobody", 0, 65534, 65534},
		{"65534", 0, 65534, 65534},
		{"root", -EINVAL},
		{"0", -EINVAL},
		{"0:5", -EINVAL},
		{"00:5", -EINVAL},
		{"no-such-user", -ENOENT},
		{"54321", -ENOENT}, /* no entry, so no group */
		{"nobody:nogroup", -ENOENT},
		{"4294967295:5", -ENOENT}, /* -1: leave as it is */
		{"5:4294967295", -ENOENT},
		{"4294967296:5", -ENOENT},
		{"99999999999999999999:5", -ENOENT},
		{"-1:-1", -ENOENT},
		{"+5:5", -ENOENT},
		{" 5:5", -ENOENT},
		{"5:5 ", -ENOENT},
		{"5:5:5", -ENOENT},
		{"0x5:5", -ENOENT},
		{":", -ENOENT},
		{":5", -ENOENT},
		{"5:", -ENOENT},
		{"", -ENOENT},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct runas poison = {
			.uid = 1, .gid = 2, .home = (char *)3, .name = (char *)4};
		struct runas r = poison;

		print_message("%s\n", cases[i].text);
		assert_int_equal(runas_find(cases[i].text, &r), cases[i].err);
		if (cases[i].err) {
			assert_memory_equal(&r, &poison, sizeof(r));
			continue;
		}
		assert_int_equal(r.uid, cases[i].uid);
		assert_int_equal(r.gid, cases[i].gid);
		assert_int_equal(!r.name, !!strchr(cases[i].text, ':'));
		assert_int_equal(!r.home, !r.name);
		runas_clear(&r);
	}
}

/* What the process that stays root finds. */
struct found {
	int fd, answer;
	pid_t target;
};

struct told {
	uid_t opener, target_uid;
	pid_t pid, target;
};

static int open_it(void *data, int pidfd)
{
	const struct found *f = data;
	struct told t = {.opener = geteuid(), .pid = getpid(), .target_uid = -1};
	char path[40], line[256];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		(void)sscanf(line, "Pid: %d", &t.target);
	if (file)
		fclose(file);
	snprintf(path, sizeof(path), "/proc/%d/status", t.target);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		(void)sscanf(line, "Uid: %*u %*u %*u %u", &t.target_uid);
	if (file)
		fclose(file);
	return write(f->fd, &t, sizeof(t)) == sizeof(t) ? f->answer : -EIO;
}

static bool has_no_capabilities(void)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/self/status", "re");
	unsigned long long set;
	char line[256];
	int none = 0;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "Cap%*3[InhPrmEfAb]: %llx", &set) == 1 &&
		    strncmp(line, "CapBnd", 6) != 0)
			none += !set;
	return none == 4;
}

/* Exits with 0 if all is as it should be, else with the number of the first thing that is not. */
static void become(const struct found *f, unsigned int securebits)
{
	struct runas r = {.uid = UID, .gid = GID};
	uid_t ids[3];

	if (securebits && prctl(PR_SET_SECUREBITS, securebits))
		_exit(1);
	if (runas_open(&r, open_it, (void *)f) != f->answer)
		_exit(2);
	if (getresuid(&ids[0], &ids[1], &ids[2]) || ids[0] != UID || ids[1] != UID || ids[2] != UID)
		_exit(3);
	if (getresgid(&ids[0], &ids[1], &ids[2]) || ids[0] != GID || ids[1] != GID || ids[2] != GID)
		_exit(4);
	if (getgroups(0, NULL) != 0)
		_exit(5);
	if (!has_no_capabilities())
		_exit(6);
	if (setuid(0) == 0)
		_exit(7);
	/* No child is left: what opened the session is another's. */
	_exit(wait(NULL) < 0 && errno == ECHILD ? 0 : 8);
}

static void test_open(void **state)
{
	static const unsigned int securebits[] = {
		0,
		SECBIT_NO_SETUID_FIXUP,
		SECBIT_KEEP_CAPS | SECBIT_KEEP_CAPS_LOCKED,
		SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED,
	};
	static const int answers[] = {0, -EACCES};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(securebits) / sizeof(*securebits); i++) {
		struct found f = {.answer = answers[i % 2]};
		int pipe_fds[2], status;
		struct told t;
		pid_t child;

		assert_int_equal(pipe(pipe_fds), 0);
		f.fd = pipe_fds[1];
		child = fork();
		if (child == 0)
			become(&f, securebits[i / 2]);
		close(pipe_fds[1]);
		assert_int_equal(read(pipe_fds[0], &t, sizeof(t)), sizeof(t));
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
		assert_int_equal(t.opener, 0);
		assert_int_equal(t.target, child);
		assert_int_equal(t.target_uid, UID); /* it was that user before the session began */
		assert_int_not_equal(t.pid, child);
		close(pipe_fds[0]);
	}
}

static void test_only_root(void **state)
{
	int status;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		struct runas r;

		_exit(setuid(65534) || runas_find("nobody", &r) != -EPERM);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_open),
		cmocka_unit_test(test_only_root),
	};

	if (geteuid() != 0) {
		puts("SKIP: needs root");
		return 77;
	}
	return cmocka_run_group_tests_name("runas", tests, NULL, NULL);
}
