/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/power.h"

#include <linux/capability.h>

#include "pipeline.h"

#define KEY 5
#define CAP(c) (UINT64_C(1) << (c))

static bool is_guarded, is_launcher;
#define TRUSTED 77
static uint64_t unseen; /* the session of which an exec was not told */

static bool guarded(void *data, const struct object_facts *file)
{
	(void)data, (void)file;
	return is_guarded;
}

static bool launcher(void *data, const struct object_facts *file)
{
	(void)data, (void)file;
	return is_launcher;
}

static bool trusted(void *data, uint32_t uid)
{
	(void)data;
	return uid == 0 || uid == TRUSTED;
}

static bool not_told(void *data, uint64_t session)
{
	(void)data;
	return session == unseen;
}

static struct pipeline *start(void)
{
	struct pipeline *p = pipeline_new();

	is_guarded = is_launcher = false;
	unseen = 0;
	p->attribute->config.guarded = guarded;
	p->attribute->config.launcher = launcher;
	p->attribute->config.unseen = not_told;
	p->attribute->config.trusted = trusted;
	return p;
}

static bool had(struct pipeline *p)
{
	return power_had(p->attribute, session_find(&p->attribute->table, KEY));
}

static void exec_as(struct pipeline *p, struct proc *by, uint32_t flags, uint64_t capabilities)
{
	union exec_buffer b;

	by->exec_seq++;
	exec_fill(p, &b, EVENT_EXEC, by, NULL, "/bin/x");
	if ((flags & (EXEC_ROOT | EXEC_SETUID)) == EXEC_ROOT)
		b.e.uid = b.e.euid = 0;
	b.e.flags = flags;
	b.e.cap_permitted = capabilities;
	give(p, &b.e);
}

static void test_who_has_it(void **state)
{
	static const struct {
		uint32_t flags;
		uint64_t capabilities;
		bool power;
	} cases[] = {
		{0, 0, false},
		{EXEC_INIT_USERNS, 0, false},
		{EXEC_INIT_USERNS, CAP(CAP_NET_RAW) | CAP(CAP_NET_ADMIN) | CAP(CAP_KILL), false},
		{EXEC_INIT_USERNS, CAP(CAP_NET_RAW) | CAP(CAP_DAC_OVERRIDE), true},
		{EXEC_INIT_USERNS, CAP(CAP_SYS_PTRACE), true},
		{EXEC_INIT_USERNS, CAP(CAP_BPF), true},
		{EXEC_INIT_USERNS, CAP(CAP_SETUID), true},
		{EXEC_INIT_USERNS, CAP(60), true}, /* one that is still to come */
		/* in a user namespace of its own it has them over nothing that counts */
		{0, CAP(CAP_SYS_ADMIN) | CAP(CAP_DAC_OVERRIDE), false},
		{EXEC_ROOT, 0, true},
		{EXEC_ROOT | EXEC_INIT_USERNS, 0, true},
		{EXEC_DISK_GROUP | EXEC_INIT_USERNS, 0, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct pipeline *p = start();
		struct proc a = begin_session(p, KEY, 100);

		exec_as(p, &a, cases[i].flags, cases[i].capabilities);
		assert_int_equal(had(p), cases[i].power);
		/* It does not go away. */
		exec_as(p, &a, EXEC_INIT_USERNS, 0);
		assert_int_equal(had(p), cases[i].power);
		pipeline_free(p);
	}
}

/* Whose files count as root's can change them. */
static void test_trusted_owner(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct pipeline *p = start();
		struct proc a = begin_session(p, KEY, 100);
		union exec_buffer b;

		a.exec_seq++;
		exec_fill(p, &b, EVENT_EXEC, &a, NULL, "/bin/x");
		*(i ? &b.e.uid : &b.e.euid) = TRUSTED;
		give(p, &b.e);
		assert_true(had(p));
		pipeline_free(p);
	}
}

/* ping, or sudo: what it is has to be sure, and it must not execute anything with it. */
static void test_setuid_program(void **state)
{
	const uint32_t sudo = EXEC_SETUID | EXEC_ROOT | EXEC_INIT_USERNS;
	struct pipeline *p = start();
	struct proc a = begin_session(p, KEY, 100), child;

	(void)state;
	exec_as(p, &a, EXEC_INIT_USERNS, 0);
	child = do_fork(p, &a, 101);
	is_guarded = true;
	exec_as(p, &child, sudo, ~0ull);
	assert_false(had(p));
	/* It gave it up before it executed something. */
	exec_as(p, &child, EXEC_INIT_USERNS, 0);
	assert_false(had(p));

	/* The same by itself, and with the bit of the next file: secureexec says nothing of which. */
	child = do_fork(p, &a, 102);
	exec_as(p, &child, sudo, ~0ull);
	child = do_fork(p, &child, 103);
	exec_as(p, &child, sudo, ~0ull);
	assert_true(had(p));
	pipeline_free(p);

	p = start();
	a = begin_session(p, KEY, 100);
	exec_as(p, &a, EXEC_INIT_USERNS, 0);
	child = do_fork(p, &a, 101);
	exec_as(p, &child, sudo, ~0ull); /* anybody can have written that file */
	assert_true(had(p));
	pipeline_free(p);
}

/* systemd-executor, then the service. */
static void test_launchers(void **state)
{
	struct pipeline *p = start();
	/* A selector takes it at its first exec. */
	struct proc a = {.session = KEY, .start = 7, .tgid = 100, .flags = TAG_SELECTED};

	(void)state;
	is_launcher = true;
	exec_as(p, &a, EXEC_ROOT | EXEC_INIT_USERNS, ~0ull);
	assert_false(had(p));
	is_launcher = false;
	exec_as(p, &a, EXEC_INIT_USERNS, 0);
	assert_false(had(p));
	/* The session runs: now the same program is one of its own. */
	is_launcher = true;
	exec_as(p, &a, EXEC_ROOT | EXEC_INIT_USERNS, ~0ull);
	assert_true(had(p));
	pipeline_free(p);
}

/* With a capability, or by a setuid bit, it does what a user tells it to. */
static void test_launcher_of_others(void **state)
{
	static const uint32_t flags[] = {EXEC_INIT_USERNS, EXEC_DISK_GROUP | EXEC_INIT_USERNS,
					 EXEC_ROOT | EXEC_SETUID | EXEC_INIT_USERNS};

	(void)state;
	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		struct pipeline *p = start();
		struct proc a = {.session = KEY, .start = 7, .tgid = 100, .flags = TAG_SELECTED};

		is_launcher = true;
		exec_as(p, &a, flags[i], CAP(CAP_DAC_OVERRIDE));
		assert_true(had(p));
		pipeline_free(p);
	}
}

static uint64_t over_at;

static void note_end(void *data, uint64_t session, uint64_t ended_ns)
{
	(void)data;
	assert_int_equal(session, KEY);
	over_at = ended_ns;
}

/* A cgroup's session can come again before the end of this one is heard of. */
static void test_tells_when_it_ended(void **state)
{
	struct pipeline *p = start();
	struct proc a = begin_session(p, KEY, 100);
	uint64_t before;

	(void)state;
	over_at = 0;
	p->attribute->config.over = note_end;
	exec_as(p, &a, EXEC_INIT_USERNS, 0);
	assert_int_equal(over_at, 0);
	before = p->now;
	do_exit(p, &a, 0);
	assert_in_range(over_at, before, p->now);
	pipeline_free(p);
}

static void test_what_nobody_saw(void **state)
{
	struct pipeline *p = start();
	struct proc a = begin_session(p, KEY, 100), lost = {.session = KEY, .start = 5, .tgid = 9};
	struct event_exit e = {};

	(void)state;
	exec_as(p, &a, EXEC_INIT_USERNS, 0);
	assert_false(had(p));
	unseen = KEY + 1; /* another session's exec found no room in the ring */
	assert_false(had(p));
	unseen = KEY;
	assert_true(had(p));
	unseen = 0;
	/* A process whose fork and exec were lost. */
	lost.exec_seq = 1;
	head_fill(p, &e.header, 0, EVENT_EXIT, sizeof(e), &lost);
	give(p, &e);
	assert_true(had(p));
	pipeline_free(p);
}

/* What it was before a selector found it, nobody knows. */
static void test_taken_while_it_runs(void **state)
{
	struct pipeline *p = start();
	struct proc a = {.session = KEY, .start = 7, .tgid = 100, .exec_seq = 3,
			 .flags = TAG_SELECTED};

	(void)state;
	do_adopt(p, &a, NULL, "/bin/agent");
	assert_true(had(p));
	pipeline_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_has_it),      cmocka_unit_test(test_setuid_program),
		cmocka_unit_test(test_launchers),       cmocka_unit_test(test_what_nobody_saw),
		cmocka_unit_test(test_tells_when_it_ended),
		cmocka_unit_test(test_taken_while_it_runs), cmocka_unit_test(test_trusted_owner),
		cmocka_unit_test(test_launcher_of_others),
	};

	return cmocka_run_group_tests_name("power", tests, NULL, NULL);
}
