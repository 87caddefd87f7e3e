/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What events did not tell: exits that were lost, sessions that never began, children without a
 * tag.
 */
#define PIPELINE_WITHOUT_ENRICH
#include "core_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/effort.h"
#include "daemon/core.h"

#define SOURCE_NO_RING
#define SOURCE_UNTAGGED
#define SOURCE_DESCENDANTS
#define SOURCE_WALK_CONNECTIONS
#include "source_none.h"

/* ---- the kernel's side ---- */

struct source {
	struct tag tags[8];
	pid_t tgids[8];
	size_t count, ring_used;
	int answer;        /* of source_tag() */
	struct tag tagged; /* what it was asked for */
	unsigned int asked;
	pid_t untagged;
	bool any_untagged;   /* the kernel knows of some without a tag */
	unsigned int passes; /* source_tag_untagged() */
	unsigned int descents; /* source_tag_descendants() */
	uint64_t live; /* the connection of the one socket there is; 0: none */
	unsigned int looks;
	unsigned int sweeps;
};

int source_tag_of(struct source *s, pid_t tgid, struct tag *ret)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->tgids[i] == tgid) {
			*ret = s->tags[i];
			return 0;
		}
	return -ENOENT;
}

int source_each_tag(struct source *s, int (*each)(pid_t tgid, const struct tag *tag, void *data),
		    void *data)
{
	for (size_t i = 0; i < s->count; i++)
		if (each(s->tgids[i], &s->tags[i], data))
			return 1;
	return 0;
}

int source_walk_connections(struct source *s, int *iter, void (*each)(uint64_t number, void *data),
			    void *data)
{
	(void)iter;
	s->looks++;
	each(4711, data); /* of somebody who is not known here */
	if (s->live)
		each(s->live, data);
	return 0;
}

int source_sweep_flows(struct source *s, uint64_t now_ns)
{
	(void)now_ns;
	s->sweeps++;
	return 0;
}

int source_untag(struct source *s, pid_t tgid, uint64_t start_boottime)
{
	(void)start_boottime;
	s->untagged = tgid;
	return 0;
}

int source_tag_descendants(struct source *s)
{
	s->descents++;
	return 0;
}

bool source_any_untagged(const struct source *s)
{
	return s->any_untagged;
}

int source_tag_untagged(struct source *s)
{
	s->passes++;
	return 0;
}

size_t source_ring_used(const struct source *s)
{
	return s->ring_used;
}

int source_tag(struct source *s, int pidfd, const struct tag *tag)
{
	(void)pidfd;
	s->tagged = *tag;
	s->asked++;
	return s->answer;
}

/* ---- the daemon's ---- */


struct fixture {
	struct pipeline *p;
	struct source source;
	struct core core;
	char directory[CORE_DIRECTORY_SIZE];
	struct proc run;
};

static void give_tag(struct fixture *f, const struct proc *p)
{
	f->source.tgids[f->source.count] = p->tgid;
	f->source.tags[f->source.count++] =
		(struct tag){.start_boottime = p->start, .session = p->session};
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (core_begin(&f->core, &f->source, &f->p, f->directory))
		return 1;
	f->p->now = core_boottime_ns();
	f->run = begin_session(f->p, 42, 5000001);
	skip_all(f->p);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	shares_free(f->core.shares);
	strangers_free(f->core.strangers);
	core_end(&f->core, f->p, f->directory);
	free(f);
	return 0;
}

static size_t processes(const struct fixture *f)
{
	return HASH_COUNT(f->p->attribute->table.processes);
}

/* ---- lost exits ---- */

static void leaves_what_has_a_tag(void **state)
{
	struct fixture *f = *state;

	give_tag(f, &f->run);
	for (int i = 0; i < 4; i++)
		reconcile(&f->core);
	no_more(f->p);
	assert_int_equal(processes(f), 1);
}

static void finds_a_lost_exit_at_the_second_look(void **state)
{
	struct fixture *f = *state;
	uint64_t bytes = journal_bytes(f->core.journal);

	reconcile(&f->core);
	no_more(f->p);
	reconcile(&f->core);
	assert_false(NEXT(f->p, PART_MAIN, EXIT)->exit->has_status);
	NEXT(f->p, PART_SESSION_ENDED, SESSION_ENDED);
	no_more(f->p);
	/* So that a restart finds the same. */
	assert_true(journal_bytes(f->core.journal) > bytes);
	assert_int_equal(processes(f), 0);
}

#define CHILDREN 200
#define AT_ONCE 20

/* One turn of the loop, that may look at so many. */
static void turn(struct fixture *f)
{
	struct effort until = {UINT64_MAX, UINT64_MAX, effort.entries + AT_ONCE};

	effort_bound(&until, UINT64_MAX);
	reconcile(&f->core);
	effort_unbound();
	/* What a step walks is looked at before the next one. */
	assert_true(effort.entries <= until.entries + 1);
}

static void goes_on_where_a_turn_left_off(void **state)
{
	struct fixture *f = *state;
	unsigned int turns = 0, left = 0;

	for (uint32_t i = 0; i < CHILDREN; i++)
		do_fork(f->p, &f->run, 5000100 + i);
	skip_all(f->p);
	for (int look = 0; look < 2; look++)
		do {
			turn(f);
			turns++;
			left += reconcile_goes_on(&f->core);
		} while (reconcile_goes_on(&f->core) && turns < 10 * CHILDREN);
	assert_true(left >= 2 * CHILDREN / AT_ONCE - 2);
	for (int i = 0; i < CHILDREN + 1; i++)
		NEXT(f->p, PART_MAIN, EXIT);
	NEXT(f->p, PART_SESSION_ENDED, SESSION_ENDED);
	no_more(f->p);
	assert_int_equal(processes(f), 0);
}

/* Who goes while a look is under way is not looked at any more. */
static void goes_on_when_the_next_one_went(void **state)
{
	struct fixture *f = *state;
	struct proc children[CHILDREN];
	unsigned int turns = 0;

	for (uint32_t i = 0; i < CHILDREN; i++)
		children[i] = do_fork(f->p, &f->run, 5000100 + i);
	turn(f);
	assert_true(reconcile_goes_on(&f->core));
	for (uint32_t i = 0; i < CHILDREN; i++)
		do_exit(f->p, &children[i], 0);
	skip_all(f->p);
	while (reconcile_goes_on(&f->core) && turns++ < CHILDREN)
		turn(f);
	assert_false(reconcile_goes_on(&f->core));
	assert_int_equal(processes(f), 1);
}

/* Another process has the pid by now. */
static void tells_processes_of_a_pid_apart(void **state)
{
	struct fixture *f = *state;
	struct proc other = f->run;

	other.start++;
	give_tag(f, &other);
	reconcile(&f->core);
	reconcile(&f->core);
	NEXT(f->p, PART_MAIN, EXIT);
}

/* Its exit may still lie in the ring. */
static void waits_for_what_the_ring_holds(void **state)
{
	struct fixture *f = *state;

	f->source.ring_used = 64;
	for (int i = 0; i < 5; i++)
		reconcile(&f->core);
	no_more(f->p);
	/* It never runs empty; but what comes out of it is younger than the first look. */
	f->p->attribute->seen.now_ns = core_boottime_ns() + 2 * S;
	reconcile(&f->core);
	NEXT(f->p, PART_MAIN, EXIT);
}

static void waits_for_what_is_not_told_yet(void **state)
{
	struct fixture *f = *state;

	f->core.full = -ENOSPC;
	for (int i = 0; i < 3; i++)
		reconcile(&f->core);
	f->core.full = 0;
	f->core.events_len = 64;
	for (int i = 0; i < 3; i++)
		reconcile(&f->core);
	f->core.events_len = 0;
	no_more(f->p);
}

static void forgets_a_look_when_the_tag_is_there(void **state)
{
	struct fixture *f = *state;

	reconcile(&f->core);
	give_tag(f, &f->run);
	reconcile(&f->core);
	f->source.count = 0;
	reconcile(&f->core);
	no_more(f->p);
	reconcile(&f->core);
	NEXT(f->p, PART_MAIN, EXIT);
}

static void drops_tags_of_the_dead(void **state)
{
	struct fixture *f = *state;
	struct proc dead = {.tgid = 5000009, .start = 5, .session = 42},
		    alive = {.tgid = getpid(), .session = 42};

	give_tag(f, &f->run);
	f->source.tgids[0] = getpid();
	give_tag(f, &alive);
	reconcile(&f->core);
	assert_int_equal(f->source.untagged, 0);
	give_tag(f, &dead);
	reconcile(&f->core);
	assert_int_equal(f->source.untagged, dead.tgid);
}

/* ---- sessions that never began ---- */

static void ends_a_session_that_never_began(void **state)
{
	struct fixture *f = *state;
	uint64_t now = core_boottime_ns();
	struct session *s;

	give_tag(f, &f->run);
	do_session(f->p, 43, "research");
	s = session_find(&f->p->attribute->table, 43);
	s->started_ns = now - 50 * S;
	reconcile(&f->core);
	assert_non_null(session_find(&f->p->attribute->table, 43));
	s->started_ns = now > 70 * S ? now - 70 * S : 0;
	if (now > 70 * S) {
		reconcile(&f->core);
		assert_null(session_find(&f->p->attribute->table, 43));
	}
	assert_non_null(session_find(&f->p->attribute->table, 42));
	no_more(f->p);
}

/* All that was told of it was lost: somebody is in it. */
static void keeps_a_session_whose_beginning_was_lost(void **state)
{
	struct fixture *f = *state;
	struct proc run = {.session = 43, .tgid = getpid(), .start = 5};
	struct session *s;

	give_tag(f, &f->run);
	do_session(f->p, 43, "research");
	s = session_find(&f->p->attribute->table, 43);
	s->started_ns = 0;
	give_tag(f, &run);
	f->core.drained_ns = UINT64_MAX; /* all that happens is known at once */
	reconcile(&f->core);
	assert_non_null(session_find(&f->p->attribute->table, 43));
	assert_string_equal(NEXT(f->p, PART_SESSION_STARTED, SESSION_STARTED)->agent->name,
			    "research");
	assert_int_equal(s->live, 1);
}

/* ---- processes without a tag ---- */

/* A child of this test that waits to be killed, as the kernel tells of it. */
static struct proc child(uint64_t session)
{
	unsigned long long ticks = 0;
	char path[32], line[1024] = "";
	pid_t pid = fork();
	FILE *f;

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when a test fails */
		pause();
		_exit(0);
	}
	assert_true(pid > 0);
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	fclose(f);
	assert_int_equal(sscanf(strrchr(line, ')') + 1,
				" %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d "
				"%*d %*d %*d %*d %llu",
				&ticks),
			 1);
	return (struct proc){.session = session,
			     .tgid = pid,
			     .start = ticks * (S / sysconf(_SC_CLK_TCK)) + 12345};
}

static void end(const struct proc *p)
{
	kill(p->tgid, SIGKILL);
	assert_int_equal(waitpid(p->tgid, NULL, 0), p->tgid);
}

/* In the session of the fixture, and without a tag. */
static void enter(struct fixture *f, const struct proc *child)
{
	struct event_fork e = fork_event(f->p, &f->run, child);

	give(f->p, &e);
}

static void enter_untagged(struct fixture *f, const struct proc *child)
{
	struct event_untagged e = untagged_event(f->p, &f->run, child);

	give(f->p, &e);
}

/* It lost its tag: it is no exit. */
static void tags_again_who_lives(void **state)
{
	struct fixture *f = *state;
	struct proc c = child(42);

	give_tag(f, &f->run);
	enter(f, &c);
	reconcile(&f->core);
	assert_int_equal(f->source.asked, 0);
	reconcile(&f->core);
	assert_int_equal(f->source.asked, 1);
	assert_int_equal(f->source.tagged.session, 42);
	no_more(f->p);
	end(&c);
	reconcile(&f->core);
	assert_int_equal(f->source.asked, 1);
	assert_id(NEXT(f->p, PART_MAIN, EXIT)->process->id, &c);
}

/* The pid is another's: it began at another time. */
static void tags_nobody_else(void **state)
{
	struct fixture *f = *state;
	struct proc c = child(42);

	give_tag(f, &f->run);
	c.start += S;
	enter(f, &c);
	reconcile(&f->core);
	reconcile(&f->core);
	assert_int_equal(f->source.asked, 0);
	NEXT(f->p, PART_MAIN, EXIT);
	end(&c);
}

/* The kernel has them in mind, and tells of their end. */
static void waits_for_who_found_no_room(void **state)
{
	struct fixture *f = *state;
	struct proc c = child(42), dead = {.session = 42, .tgid = 5000005, .start = 1};

	give_tag(f, &f->run);
	enter_untagged(f, &c);
	enter_untagged(f, &dead);
	f->source.any_untagged = true;
	for (int i = 0; i < 4; i++)
		reconcile(&f->core);
	no_more(f->p);
	/* An exit was lost: who is gone is found. */
	f->p->attribute->losses[EVENT_EXIT] = 1;
	reconcile(&f->core);
	reconcile(&f->core);
	assert_id(NEXT(f->p, PART_MAIN, EXIT)->process->id, &dead);
	no_more(f->p);
	assert_int_equal(f->source.asked, 0);
	/* The kernel had no memory to keep in mind the one that lives. */
	f->source.any_untagged = false;
	reconcile(&f->core);
	assert_int_equal(f->source.asked, 1);
	end(&c);
}

static void looks_for_them_at_once_and_not_all_the_time(void **state)
{
	struct fixture *f = *state;
	uint64_t now = core_boottime_ns();

	reconcile_untagged(&f->core, now);
	assert_int_equal(f->source.passes, 0);
	f->source.any_untagged = true;
	for (uint64_t at = 0; at < S; at += S / 1000)
		reconcile_untagged(&f->core, now + at);
	assert_in_range(f->source.passes, 2, 20);
}

/* Of many tags a part is looked at each time, and after a while all were. */
static void looks_at_all_tags_in_turn(void **state)
{
	struct fixture *f = *state;
	struct proc dead = {.tgid = 5000009, .start = 5, .session = 42};

	give_tag(f, &f->run);
	f->source.tgids[0] = getpid();
	give_tag(f, &dead);
	f->core.stale_tags = 40000;
	for (int i = 0; i < 10 && !f->source.untagged; i++) {
		f->core.stale_tags = 40000;
		reconcile(&f->core);
	}
	assert_int_equal(f->source.untagged, dead.tgid);
}

/* ---- lost ends of connections ---- */

/* Two, established and so told; the first one's socket is still there. */
static void connect_two(struct fixture *f)
{
	for (int i = 0; i < 2; i++) {
		struct event_connect e = do_connect(f->p, &f->run, 80);

		do_outcome(f->p, &e, 0);
		if (i == 0)
			f->source.live = e.connection;
	}
	skip_all(f->p);
	give_tag(f, &f->run);
	assert_int_equal(HASH_COUNT(f->p->attribute->table.connections), 2);
}

static void forgets_a_connection_whose_close_was_lost(void **state)
{
	struct fixture *f = *state;
	struct table *t = &f->p->attribute->table;

	connect_two(f);
	/* Without a loss nobody looks. */
	reconcile(&f->core);
	assert_int_equal(f->source.looks, 0);

	f->p->attribute->losses[EVENT_CLOSE] = 1;
	reconcile(&f->core);
	assert_int_equal(HASH_COUNT(t->connections), 2);
	/* Its close may be among what the ring holds. */
	f->source.ring_used = 8;
	reconcile(&f->core);
	assert_int_equal(HASH_COUNT(t->connections), 2);
	f->source.ring_used = 0;
	reconcile(&f->core);
	assert_int_equal(HASH_COUNT(t->connections), 1);
	assert_non_null(connection_find(t, f->source.live));
	no_more(f->p);
}

static void keeps_a_connection_that_waits_for_its_outcome(void **state)
{
	struct fixture *f = *state;
	struct table *t = &f->p->attribute->table;

	give_tag(f, &f->run);
	do_connect(f->p, &f->run, 80);
	f->p->attribute->losses[EVENT_OUTCOME] = 1;
	for (int i = 0; i < 3; i++)
		reconcile(&f->core);
	assert_int_equal(HASH_COUNT(t->connections), 1);
	attribute_tick(f->p->attribute, UINT64_MAX); /* told as pending */
	reconcile(&f->core);
	reconcile(&f->core);
	assert_int_equal(HASH_COUNT(t->connections), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(leaves_what_has_a_tag),
		TEST(finds_a_lost_exit_at_the_second_look),
		TEST(goes_on_where_a_turn_left_off),
		TEST(goes_on_when_the_next_one_went),
		TEST(tells_processes_of_a_pid_apart),
		TEST(waits_for_what_the_ring_holds),
		TEST(waits_for_what_is_not_told_yet),
		TEST(forgets_a_look_when_the_tag_is_there),
		TEST(drops_tags_of_the_dead),
		TEST(ends_a_session_that_never_began),
		TEST(keeps_a_session_whose_beginning_was_lost),
		TEST(tags_again_who_lives),
		TEST(tags_nobody_else),
		TEST(waits_for_who_found_no_room),
		TEST(looks_for_them_at_once_and_not_all_the_time),
		TEST(looks_at_all_tags_in_turn),
		TEST(forgets_a_connection_whose_close_was_lost),
		TEST(keeps_a_connection_that_waits_for_its_outcome),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
