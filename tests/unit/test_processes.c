/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions and processes: what events make of them, and what records tell. */
#include "pipeline.h"

static int set_up(void **state)
{
	*state = pipeline_new();
	return 0;
}

static int tear_down(void **state)
{
	pipeline_free(*state);
	return 0;
}

static void assert_text(ProtobufCBinaryData b, const char *want)
{
	assert_int_equal(b.len, strlen(want));
	assert_memory_equal(b.data, want, b.len);
}

static void assert_exe(const Affiant__V1__Process *p, const char *exe)
{
	struct file_digest want = digest_of(exe);

	assert_non_null(p->executable);
	assert_text(p->executable->path, exe);
	assert_int_equal(p->executable->digest->state, AFFIANT__V1__HASH_STATE__HASH_OBSERVED);
	assert_memory_equal(p->executable->digest->sha256.data, want.sha256.bytes, 32);
}

/* What was not seen to exec: a path, and no digest. */
static void assert_claimed(const Affiant__V1__Process *p, const char *exe)
{
	assert_true(p->late);
	assert_non_null(p->executable);
	assert_text(p->executable->path, exe);
	assert_int_equal(p->executable->digest->state, AFFIANT__V1__HASH_STATE__HASH_CLAIMED);
	assert_false(p->executable->digest->has_sha256);
	assert_false(p->executable->has_build_id);
	assert_null(p->executable->package);
}

/* ---- one session ---- */

static void tells_a_session_from_beginning_to_end(void **state)
{
	struct pipeline *p = *state;
	const Affiant__V1__Record *r;
	struct proc run, child, grandchild;
	uint8_t id[16];

	run = begin_session(p, 42, 100);
	r = NEXT(p, PART_SESSION_STARTED, SESSION_STARTED);
	assert_string_equal(r->agent->name, "research");
	assert_string_equal(r->task->id, "T-1");
	assert_string_equal(r->principal->subject, "alice");
	assert_int_equal(r->session_started->origin, AFFIANT__V1__SESSION_ORIGIN__ORIGIN_RUN);
	assert_int_equal(r->wall_ns, r->boottime_ns + WALL_OFFSET);
	assert_int_equal(r->clock_state, AFFIANT__V1__CLOCK_STATE__CLOCK_SYNCHRONISED);
	assert_int_equal(r->process->id->tgid, 100);
	memcpy(id, r->session->id.data, 16);
	assert_claimed(r->process, "/usr/bin/affiant");

	r = NEXT(p, PART_MAIN, EXEC);
	assert_id(r->process->id, &run);
	assert_exe(r->process, "/usr/bin/agent");
	assert_text(r->exec->filename, "/usr/bin/agent");
	assert_text(r->process->cwd, "/home/work");
	assert_int_equal(r->process->argc, 2);
	assert_text(r->process->argv[1], "-x");
	assert_int_equal(r->process->uid, 1000);
	assert_int_equal(r->process->n_ancestry, 0);
	assert_false(r->process->ancestry_cut);
	assert_false(r->process->has_late);

	child = do_fork(p, &run, 101);
	no_more(p);
	do_exec(p, &child, &run, "/bin/sh");
	r = NEXT(p, PART_MAIN, EXEC);
	assert_id(r->process->id, &child);
	assert_id(r->process->parent, &run);
	assert_int_equal(r->process->n_ancestry, 1);
	assert_id(r->process->ancestry[0]->id, &run);
	assert_text(r->process->ancestry[0]->exe, "/usr/bin/agent");

	grandchild = do_fork(p, &child, 102);
	do_exit(p, &grandchild, 256);
	r = NEXT(p, PART_MAIN, EXIT);
	assert_id(r->process->id, &grandchild);
	assert_exe(r->process, "/bin/sh"); /* it never executed anything itself */
	assert_int_equal(r->process->n_ancestry, 2);
	assert_text(r->process->ancestry[0]->exe, "/bin/sh");
	assert_text(r->process->ancestry[1]->exe, "/usr/bin/agent");
	assert_int_equal(r->exit->status, 256);
	assert_int_equal(r->exit->lifetime_ns, r->boottime_ns - grandchild.start);
	assert_memory_equal(r->session->id.data, id, 16);
	assert_string_equal(r->agent->name, "research");

	do_exit(p, &run, 9);
	NEXT(p, PART_MAIN, EXIT);
	no_more(p);
	do_exit(p, &child, 0);
	NEXT(p, PART_MAIN, EXIT);
	r = NEXT(p, PART_SESSION_ENDED, SESSION_ENDED);
	assert_int_equal(r->session_ended->reason, AFFIANT__V1__SESSION_END_REASON__END_LAST_EXIT);
	assert_int_equal(r->session_ended->processes, 3);
	assert_int_equal(r->session_ended->execs, 2);
	assert_int_equal(r->session_ended->status, 9);
	assert_memory_equal(r->session->id.data, id, 16);
	no_more(p);
	assert_int_equal(HASH_COUNT(p->attribute->table.processes), 0);
	assert_int_equal(HASH_COUNT(p->attribute->table.sessions), 0);
	assert_int_equal(p->entered, 3);
	assert_int_equal(p->began, 1);
}

static void names_records_for_good(void **state)
{
	struct pipeline *p = *state, *again = pipeline_new();

	begin_session(p, 42, 100);
	begin_session(again, 42, 100);
	assert_int_equal(p->count, 2);
	assert_int_equal(again->count, 2);
	for (size_t i = 0; i < 2; i++)
		assert_memory_equal(p->records[i].r->id.data, again->records[i].r->id.data, 16);
	assert_memory_not_equal(p->records[0].r->id.data, p->records[1].r->id.data, 16);
	pipeline_free(again);
}

static void drops_what_comes_twice(void **state)
{
	struct pipeline *p = *state;
	struct proc run = begin_session(p, 42, 100),
		    child = {.session = 42, .tgid = 101, .start = p->now, .exec_seq = 2};
	struct event_fork f = fork_event(p, &run, &child);
	struct event_exit e = {.status = 0};

	head_fill(p, &e.header, 1, EVENT_EXIT, sizeof(e), &child);
	for (int i = 0; i < 3; i++) {
		give(p, &f);
		give(p, &e);
	}
	assert_int_equal(p->count, 3);
	assert_int_equal(p->attribute->counts.doubles, 4);
	assert_int_equal(HASH_COUNT(p->attribute->table.processes), 1);
}

static void remembers_so_many_forebears(void **state)
{
	struct pipeline *p = *state;
	struct proc chain[LINEAGE_MAX + 5];

	chain[0] = begin_session(p, 42, 100);
	for (unsigned int i = 1; i < LINEAGE_MAX + 5; i++) {
		const Affiant__V1__Process *r;
		unsigned int known = i < LINEAGE_MAX ? i : LINEAGE_MAX;
		char exe[32];

		chain[i] = do_fork(p, &chain[i - 1], 100 + i);
		snprintf(exe, sizeof(exe), "/bin/p%u", i);
		do_exec(p, &chain[i], &chain[i - 1], exe);
		skip_all(p);
		r = p->records[p->count - 1].r->process;
		assert_int_equal(r->n_ancestry, known);
		assert_int_equal(r->ancestry_cut, i > LINEAGE_MAX);
		for (unsigned int n = 0; n < known; n++)
			assert_id(r->ancestry[n]->id, &chain[i - 1 - n]);
	}
}

/* The lineage is that of the fork, whatever the parent becomes; the parent is who it is now. */
static void tells_lineage_as_it_was(void **state)
{
	struct pipeline *p = *state;
	struct proc run = begin_session(p, 42, 100), child, sub, at_fork;
	const Affiant__V1__Record *r;

	child = do_fork(p, &run, 101);
	at_fork = run;
	do_exec(p, &run, NULL, "/bin/later");
	sub = do_fork(p, &run, 102);
	skip_all(p);
	do_exit(p, &child, 0);
	r = NEXT(p, PART_MAIN, EXIT);
	assert_id(r->process->parent, &at_fork);
	assert_text(r->process->ancestry[0]->exe, "/usr/bin/agent");
	do_exit(p, &sub, 0);
	r = NEXT(p, PART_MAIN, EXIT);
	assert_id(r->process->parent, &run);
	assert_text(r->process->ancestry[0]->exe, "/bin/later");
}

static void tells_a_new_parent(void **state)
{
	struct pipeline *p = *state;
	struct proc run = begin_session(p, 42, 100), child = do_fork(p, &run, 101),
		    orphan = do_fork(p, &child, 102);
	struct proc init = {.tgid = 1, .start = 1};
	const Affiant__V1__Record *r;

	do_exit(p, &child, 0);
	skip_all(p);
	do_exec(p, &orphan, &init, "/bin/daemon");
	r = NEXT(p, PART_MAIN, EXEC);
	assert_id(r->process->parent, &init);
	assert_false(r->process->parent->has_exec_seq); /* what init executed is not known */
	assert_id(r->process->ancestry[0]->id, &child);
	/* A subreaper of the session is known in full. */
	do_exec(p, &orphan, &run, "/bin/daemon");
	r = NEXT(p, PART_MAIN, EXEC);
	assert_id(r->process->parent, &run);
}

/*
 * Every record carries what the launcher said, and paths are the process's choice: together they
 * have to fit.
 */
static void fits_into_a_record(void **state)
{
	static char purpose[65000];
	struct pipeline *p = *state;
	size_t sizes[] = {40000, 58500, 64000};

	for (int i = 0; i < 3; i++) {
		struct event_header *h = session_event(p, 50 + i, "research"), *large;
		Affiant__V1__StateSession *m;
		struct proc run = {.session = 50 + i, .tgid = 100, .start = p->now, .exec_seq = 1};
		const Affiant__V1__Record *r;
		char exe[600];

		m = affiant__v1__state_session__unpack(NULL, h->size - sizeof(*h) - h->tid,
						       (const uint8_t *)(h + 1));
		memset(purpose, 'x', sizes[i]);
		m->head->task->purpose = purpose;
		large = note_event(p, NOTE_SESSION, &m->base);
		give(p, large);
		m->head->task->purpose = NULL;
		affiant__v1__state_session__free_unpacked(m, NULL);
		free(large);
		free(h);

		do_adopt(p, &run, NULL, "/bin/agent");
		for (int n = 0; n < LINEAGE_MAX + 2; n++) {
			memset(exe, 'a' + n, sizeof(exe));
			for (int k = 0; k < 500; k += 100)
				exe[k] = '/';
			exe[200 + 20 * n] = '\0';
			do_exec(p, &run, NULL, exe);
			run = do_fork(p, &run, 101 + n);
		}
		do_exit(p, &run, 0);
		skip_all(p);
		r = p->records[p->count - 1].r;
		assert_true(p->records[p->count - 1].len <= TELL_RECORD_MAX + 20);
		assert_int_equal(r->process->id->tgid, run.tgid);
		assert_true(r->process->ancestry_cut);
		assert_int_equal(r->process->n_ancestry, i == 0 ? LINEAGE_MAX : 0);
		assert_int_equal(r->process->executable != NULL, i < 2);
		assert_int_equal(strlen(r->task->purpose), sizes[i]);
	}
}

/* ---- digests ---- */

static void holds_records_until_their_digest(void **state)
{
	struct pipeline *p = *state;
	struct proc run = begin_session(p, 42, 100), child = do_fork(p, &run, 101);
	struct event_connect c;

	skip_all(p);
	p->enrich.slow = true;
	do_exec(p, &run, NULL, "/bin/slow");
	c = do_connect(p, &run, 80);
	do_outcome(p, &c, 0);
	no_more(p);
	/* Others don't wait. */
	do_exit(p, &child, 0);
	NEXT(p, PART_MAIN, EXIT);
	no_more(p);
	assert_true(digest_ready(p->attribute, &p->enrich));
	assert_exe(NEXT(p, PART_MAIN, EXEC)->process, "/bin/slow");
	assert_exe(NEXT(p, PART_OUTCOME, CONNECT)->process, "/bin/slow");
	no_more(p);
	/* The image is known from now on. */
	do_close(p, &c);
	assert_exe(NEXT(p, PART_MAIN, CLOSE)->process, "/bin/slow");
	assert_int_equal(p->attribute->table.held, 0);
}

static void tells_each_image_by_itself(void **state)
{
	struct pipeline *p = *state;
	struct proc run = begin_session(p, 42, 100);
	const Affiant__V1__Record *r;
	struct event_connect c;
	struct image *first;

	skip_all(p);
	p->enrich.slow = true;
	do_exec(p, &run, NULL, "/bin/one");
	c = do_connect(p, &run, 80);
	do_exec(p, &run, NULL, "/bin/two");
	do_outcome(p, &c, 0); /* of the first image's attempt */
	do_exit(p, &run, 0);
	no_more(p);
	/* The second digest is there first. */
	first = p->enrich.awaited[0];
	p->enrich.awaited[0] = p->enrich.awaited[1];
	p->enrich.awaited[1] = first;
	digest_ready(p->attribute, &p->enrich);
	assert_exe(NEXT(p, PART_MAIN, EXEC)->process, "/bin/two");
	assert_exe(NEXT(p, PART_MAIN, EXIT)->process, "/bin/two");
	assert_exe(NEXT(p, PART_SESSION_ENDED, SESSION_ENDED)->process, "/bin/two");
	no_more(p);
	digest_ready(p->attribute, &p->enrich);
	assert_exe(NEXT(p, PART_MAIN, EXEC)->process, "/bin/one");
	r = NEXT(p, PART_OUTCOME, CONNECT);
	assert_exe(r->process, "/bin/one");
	no_more(p);
}

static void waits_for_no_digest_for_ever(void **state)
{
	struct pipeline *p = *state;
	struct proc run = begin_session(p, 42, 100);
	const Affiant__V1__Record *r;
	uint64_t deadline;

	skip_all(p);
	p->enrich.slow = true;
	attribute_tick(p->attribute, p->now);
	deadline = p->now + 2 * S;
	do_exec(p, &run, NULL, "/bin/slow");
	assert_int_equal(attribute_tick(p->attribute, deadline - 1), deadline);
	no_more(p);
	assert_int_equal(attribute_tick(p->attribute, deadline), UINT64_MAX);
	r = NEXT(p, PART_MAIN, EXEC);
	assert_int_equal(r->process->executable->digest->state,
			 AFFIANT__V1__HASH_STATE__HASH_TOO_LATE);
	assert_false(r->process->executable->digest->has_sha256);
	assert_text(r->process->executable->path, "/bin/slow");
	/* When it comes, nobody asks any more. */
	digest_ready(p->attribute, &p->enrich);
	do_exit(p, &run, 0);
	r = NEXT(p, PART_MAIN, EXIT);
	assert_int_equal(r->process->executable->digest->state,
			 AFFIANT__V1__HASH_STATE__HASH_TOO_LATE);
}

static void waits_not_at_all_when_told_so(void **state)
{
	struct pipeline *p = *state;
	struct proc run = begin_session(p, 42, 100);

	skip_all(p);
	p->enrich.slow = true;
	p->attribute->config.digest_wait_ns = 0;
	p->attribute->now_ns = 0;
	do_exec(p, &run, NULL, "/bin/slow");
	no_more(p);
	attribute_tick(p->attribute, 0);
	NEXT(p, PART_MAIN, EXEC);
	assert_null(p->attribute->table.drafts);
}

/* A process that makes records faster than its executable can be hashed. */
static void holds_so_many_records(void **state)
{
	struct pipeline *p = *state;
	struct proc run = begin_session(p, 42, 100), child = do_fork(p, &run, 101);

	skip_all(p);
	p->attribute->config.held_max = 50;
	p->enrich.slow = true;
	do_exec(p, &child, &run, "/bin/first");
	do_exec(p, &run, NULL, "/bin/second");
	for (int i = 0; i < 200; i++) {
		struct event_connect c = do_connect(p, &run, 80);

		do_outcome(p, &c, ECONNREFUSED);
		assert_true(p->attribute->table.held <= 51);
	}
	/* The oldest went first. */
	assert_int_equal(NEXT(p, PART_MAIN, EXEC)->process->id->tgid, 101);
	assert_int_equal(NEXT(p, PART_MAIN, EXEC)->process->id->tgid, 100);
	for (int i = 0; i < 200; i++)
		NEXT(p, PART_OUTCOME, CONNECT);
	no_more(p);
}

/* ---- adoption ---- */

static void adopts_what_runs_already(void **state)
{
	struct pipeline *p = *state;
	struct proc run = {.session = 42, .tgid = 100, .start = 7, .exec_seq = 3};
	struct proc child = {.session = 42, .tgid = 101, .start = 8, .exec_seq = 5};
	struct proc other = {.session = 42, .tgid = 102, .start = 9, .exec_seq = 5};
	const Affiant__V1__Record *r;

	do_session(p, 42, "research");
	do_adopt(p, &run, NULL, "/bin/agent");
	do_adopt(p, &child, &run, "/bin/child");
	do_adopt(p, &other, NULL, "/bin/other");
	NEXT(p, PART_SESSION_STARTED, SESSION_STARTED);
	no_more(p);
	do_connect(p, &child, 80);
	attribute_tick(p->attribute, p->now + 10 * S);
	r = NEXT(p, PART_MAIN, CONNECT);
	assert_true(r->process->late);
	assert_false(r->process->has_argc); /* argv can have been rewritten by now */
	assert_int_equal(r->process->n_ancestry, 1);
	assert_text(r->process->ancestry[0]->exe, "/bin/agent");
	do_exit(p, &other, 0);
	r = NEXT(p, PART_MAIN, EXIT);
	assert_int_equal(r->process->n_ancestry, 0);
	assert_false(r->process->ancestry_cut);
	/* A second word of it changes nothing. */
	do_adopt(p, &child, NULL, "/bin/wrong");
	do_exit(p, &child, 0);
	assert_claimed(NEXT(p, PART_MAIN, EXIT)->process, "/bin/child");
	/* What it forks is what it is; what it executes was seen. */
	child = do_fork(p, &run, 103);
	do_exit(p, &child, 0);
	assert_claimed(NEXT(p, PART_MAIN, EXIT)->process, "/bin/agent");
	do_exec(p, &run, NULL, "/bin/seen");
	r = NEXT(p, PART_MAIN, EXEC);
	assert_exe(r->process, "/bin/seen");
	assert_false(r->process->has_late);
}

/* It acts between its tag and the word of it. */
static void learns_what_an_early_actor_is(void **state)
{
	struct pipeline *p = *state;
	struct proc run = {.session = 42, .tgid = 100, .start = 7, .exec_seq = 3};
	const Affiant__V1__Record *r;
	struct event_connect c;

	do_session(p, 42, "research");
	c = do_connect(p, &run, 80);
	r = NEXT(p, PART_SESSION_STARTED, SESSION_STARTED);
	assert_id(r->process->id, &run);
	assert_null(r->process->executable);
	do_adopt(p, &run, NULL, "/bin/agent");
	do_outcome(p, &c, 0);
	r = NEXT(p, PART_OUTCOME, CONNECT);
	assert_null(r->process->executable);
	assert_string_equal(r->agent->name, "research");
	do_exit(p, &run, 0);
	r = NEXT(p, PART_MAIN, EXIT);
	assert_claimed(r->process, "/bin/agent");
	assert_false(r->process->ancestry_cut);
	r = NEXT(p, PART_SESSION_ENDED, SESSION_ENDED);
	assert_int_equal(r->session_ended->processes, 1);
}

/* ---- selectors ---- */

static struct proc select_exec(struct pipeline *p, uint64_t key, uint32_t tgid, uint32_t selector)
{
	struct proc run = {.session = key,
			   .tgid = tgid,
			   .start = p->now,
			   .exec_seq = 4,
			   .flags = TAG_SELECTED};
	union exec_buffer b;

	exec_fill(p, &b, EVENT_EXEC, &run, NULL, "/bin/agent");
	b.e.flags = EXEC_SELECTED;
	b.e.selector = selector;
	give(p, &b);
	return run;
}

static void begins_sessions_by_selectors(void **state)
{
	struct pipeline *p = *state;
	struct proc run = select_exec(p, 5, 200, 77), second;
	const Affiant__V1__Record *r;
	uint8_t id[16];

	r = NEXT(p, PART_SESSION_STARTED, SESSION_STARTED);
	assert_string_equal(r->agent->name, "chosen");
	assert_string_equal(r->agent->spiffe_id, "spiffe://example.org/agent/chosen");
	assert_string_equal(r->session_started->selector, "exe /bin/agent");
	assert_int_equal(r->session_started->origin, AFFIANT__V1__SESSION_ORIGIN__ORIGIN_SELECTOR);
	assert_int_equal(r->session->isolation, AFFIANT__V1__ISOLATION__ISOLATION_NONE);
	assert_false(r->session_started->has_late);
	memcpy(id, r->session->id.data, 16);
	assert_int_equal(id[6] >> 4, 7);
	NEXT(p, PART_MAIN, EXEC);

	/* The same cgroup instance: the same session. */
	second = select_exec(p, 5, 201, 77);
	r = NEXT(p, PART_MAIN, EXEC);
	assert_memory_equal(r->session->id.data, id, 16);
	assert_int_equal(r->process->n_ancestry, 0);
	assert_false(r->process->ancestry_cut);
	do_exit(p, &run, 0);
	do_exit(p, &second, 0);
	skip_all(p);
	assert_int_equal(HASH_COUNT(p->attribute->table.sessions), 0);

	/* Its key comes again after its end: another session. */
	select_exec(p, 5, 202, 77);
	r = NEXT(p, PART_SESSION_STARTED, SESSION_STARTED);
	assert_memory_not_equal(r->session->id.data, id, 16);
	NEXT(p, PART_MAIN, EXEC);

	/* Another key, another selector. */
	select_exec(p, 6, 203, 78);
	r = NEXT(p, PART_SESSION_STARTED, SESSION_STARTED);
	assert_string_equal(r->agent->name, "other");
	assert_int_equal(r->session->isolation, AFFIANT__V1__ISOLATION__ISOLATION_UID);
}

static void says_what_began_late(void **state)
{
	struct proc run = {
		.session = 5, .tgid = 100, .start = 7, .exec_seq = 3, .flags = TAG_SELECTED};
	struct pipeline *p = *state;
	const Affiant__V1__Record *r;
	union exec_buffer b;

	exec_fill(p, &b, EVENT_ADOPT, &run, NULL, "/bin/agent");
	b.e.selector = 77;
	give(p, &b);
	r = NEXT(p, PART_SESSION_STARTED, SESSION_STARTED);
	assert_true(r->session_started->late);
	assert_false(r->session_started->has_selector_claimed);
	assert_string_equal(r->agent->name, "chosen");

	/* By its executable, which nobody saw it execute. */
	run.session = 6;
	run.tgid = 101;
	exec_fill(p, &b, EVENT_ADOPT, &run, NULL, "/bin/agent");
	b.e.selector = 77;
	b.e.flags = EXEC_BY_EXE;
	give(p, &b);
	r = NEXT(p, PART_SESSION_STARTED, SESSION_STARTED);
	assert_true(r->session_started->late);
	assert_true(r->session_started->selector_claimed);
	assert_claimed(r->process, "/bin/agent");

	/* The kernel saw that one. */
	run = select_exec(p, 7, 102, 77);
	r = NEXT(p, PART_SESSION_STARTED, SESSION_STARTED);
	assert_false(r->session_started->has_selector_claimed);
}

/*
 * No agent is named by guess: a selector that is not configured any more, a session whose beginning
 * was lost.
 */
static void names_no_agent_by_guess(void **state)
{
	struct proc run = {
		.session = 9, .tgid = 100, .start = 7, .exec_seq = 3, .flags = TAG_SELECTED};
	struct pipeline *p = *state;
	const Affiant__V1__Record *r;

	select_exec(p, 5, 200, 1234);
	r = NEXT(p, PART_SESSION_STARTED, SESSION_STARTED);
	assert_string_equal(r->agent->name, ATTRIBUTE_UNKNOWN_AGENT);
	assert_false(r->session_started->has_origin);
	NEXT(p, PART_MAIN, EXEC);
	/* This event tells no selector, and number 0 may be one. */
	do_connect(p, &run, 80);
	r = NEXT(p, PART_SESSION_STARTED, SESSION_STARTED);
	assert_string_equal(r->agent->name, ATTRIBUTE_UNKNOWN_AGENT);
	assert_null(r->session_started->selector);
	assert_true(r->session_started->late);
}

/* The exec that a selector matched was lost: what comes next tells the selector, too. */
static void knows_the_selector_of_a_lost_exec(void **state)
{
	struct proc run = {
		.session = 9, .tgid = 100, .start = 7, .exec_seq = 3, .flags = TAG_SELECTED};
	struct pipeline *p = *state;
	struct event_connect e = connect_event(p, &run, IPPROTO_TCP, 80);
	const Affiant__V1__Record *r;

	e.header.selector = 1 + 77;
	give(p, &e);
	r = NEXT(p, PART_SESSION_STARTED, SESSION_STARTED);
	assert_string_equal(r->agent->name, "chosen");
	assert_string_equal(r->session_started->selector, "exe /bin/agent");
	assert_int_equal(r->session_started->origin, AFFIANT__V1__SESSION_ORIGIN__ORIGIN_SELECTOR);
	assert_true(r->session_started->late);
}

/* ---- what was lost ---- */

static void makes_up_nothing_for_a_lost_fork(void **state)
{
	struct pipeline *p = *state;
	struct proc run = begin_session(p, 42, 100);
	struct proc child = {.session = 42, .tgid = 101, .start = p->now, .exec_seq = 2};
	const Affiant__V1__Record *r;

	skip_all(p);
	do_exec(p, &child, &run, "/bin/sh");
	r = NEXT(p, PART_MAIN, EXEC);
	assert_exe(r->process, "/bin/sh");
	assert_id(r->process->parent, &run);
	assert_int_equal(r->process->n_ancestry, 0);
	assert_true(r->process->ancestry_cut);
}

static void tells_the_parent_of_a_lost_fork(void **state)
{
	struct pipeline *p = *state;
	struct proc run = begin_session(p, 42, 100);
	struct proc lost = {.session = 42, .tgid = 101, .start = p->now, .exec_seq = 6}, child;
	const Affiant__V1__Record *r;

	(void)run;
	skip_all(p);
	child = do_fork(p, &lost, 102);
	do_exit(p, &child, 0);
	r = NEXT(p, PART_MAIN, EXIT);
	assert_id(r->process->parent, &lost);
	assert_int_equal(r->process->n_ancestry, 1);
	assert_id(r->process->ancestry[0]->id, &lost);
	assert_false(r->process->ancestry[0]->has_exe);
	assert_true(r->process->ancestry_cut);
	assert_null(r->process->executable);
}

static void shows_no_image_for_a_lost_exec(void **state)
{
	struct pipeline *p = *state;
	struct proc run = begin_session(p, 42, 100), old = run;
	const Affiant__V1__Record *r;
	struct event_connect c;

	skip_all(p);
	run.exec_seq += 2;
	c = do_connect(p, &run, 80);
	do_outcome(p, &c, 0);
	r = NEXT(p, PART_OUTCOME, CONNECT);
	assert_id(r->process->id, &run);
	assert_null(r->process->executable);
	assert_false(r->process->has_uid);
	/* A later event never shows an earlier image. */
	do_exit(p, &old, 0);
	r = NEXT(p, PART_MAIN, EXIT);
	assert_id(r->process->id, &run);
	assert_null(r->process->executable);
}

/* What a process executed unheard of is what its children run, too. */
static void hands_no_earlier_image_to_a_child(void **state)
{
	struct pipeline *p = *state;
	struct proc run = begin_session(p, 42, 100), child;
	const Affiant__V1__Record *r;

	skip_all(p);
	run.exec_seq++;
	child = do_fork(p, &run, 101);
	do_exit(p, &child, 0);
	r = NEXT(p, PART_MAIN, EXIT);
	assert_id(r->process->id, &child);
	assert_null(r->process->executable);
	assert_int_equal(r->process->n_ancestry, 1);
	assert_id(r->process->ancestry[0]->id, &run);
	assert_false(r->process->ancestry[0]->has_exe);
	do_exit(p, &run, 0);
	r = NEXT(p, PART_MAIN, EXIT);
	assert_null(r->process->executable);
}

static void finds_lost_exits(void **state)
{
	struct pipeline *p = *state;
	struct proc run = begin_session(p, 42, 100), child = do_fork(p, &run, 101);
	Affiant__V1__NoteGone gone = AFFIANT__V1__NOTE_GONE__INIT;
	const Affiant__V1__Record *r;

	skip_all(p);
	SET(&gone, tgid, child.tgid);
	SET(&gone, start_boottime_ns, child.start + 1);
	do_note(p, NOTE_GONE, &gone.base); /* another process of that pid */
	no_more(p);
	gone.start_boottime_ns = child.start;
	do_note(p, NOTE_GONE, &gone.base);
	r = NEXT(p, PART_MAIN, EXIT);
	assert_id(r->process->id, &child);
	assert_false(r->exit->has_status);
	assert_false(r->exit->has_lifetime_ns);
	do_note(p, NOTE_GONE, &gone.base);
	no_more(p);
	gone.tgid = run.tgid;
	gone.start_boottime_ns = run.start;
	do_note(p, NOTE_GONE, &gone.base);
	NEXT(p, PART_MAIN, EXIT);
	r = NEXT(p, PART_SESSION_ENDED, SESSION_ENDED);
	assert_false(r->session_ended->has_status);
	assert_int_equal(HASH_COUNT(p->attribute->table.sessions), 0);
}

/* ---- the end of a session ---- */

static void note_over(struct pipeline *p, uint64_t key)
{
	Affiant__V1__NoteEnd m = AFFIANT__V1__NOTE_END__INIT;

	SET(&m, key, key);
	do_note(p, NOTE_OVER, &m.base);
}

/* The fork of a child that lives may be the event that was lost. */
static void ends_when_the_kernel_knows_nobody(void **state)
{
	struct pipeline *p = *state;
	struct proc run = begin_session(p, 42, 100), child;
	const Affiant__V1__Record *r;
	uint64_t left_ns;

	p->attribute->config.ends_by_note = true;
	skip_all(p);
	do_exit(p, &run, 9);
	left_ns = NEXT(p, PART_MAIN, EXIT)->boottime_ns;
	no_more(p);
	assert_int_equal(p->attribute->table.vacant, 1);

	child = (struct proc){.session = 42, .tgid = 101, .start = left_ns - 1, .exec_seq = 2};
	do_connect(p, &child, 80);
	assert_int_equal(p->attribute->table.vacant, 0);
	note_over(p, 42); /* late: somebody is known again */
	assert_non_null(session_find(&p->attribute->table, 42));
	do_exit(p, &child, 0);
	r = NEXT(p, PART_MAIN, EXIT);
	assert_string_equal(r->agent->name, "research");
	left_ns = r->boottime_ns;

	p->now += 5 * S;
	note_over(p, 42);
	r = NEXT(p, PART_SESSION_ENDED, SESSION_ENDED);
	assert_int_equal(r->session_ended->reason, AFFIANT__V1__SESSION_END_REASON__END_LAST_EXIT);
	assert_int_equal(r->boottime_ns, left_ns);
	assert_int_equal(r->session_ended->status, 9);
	assert_int_equal(r->session_ended->processes, 2);
	assert_id(r->process->id, &child);
	assert_int_equal(p->attribute->table.vacant, 0);
	note_over(p, 42);
	no_more(p);
}

/* An end that was told is not told again, and who comes yet is of that session. */
static void keeps_who_comes_after_the_end(void **state)
{
	struct pipeline *p = *state;
	struct proc run = begin_session(p, 42, 100), child;
	const Affiant__V1__Record *r;
	uint8_t id[16];

	r = NEXT(p, PART_SESSION_STARTED, SESSION_STARTED);
	memcpy(id, r->session->id.data, 16);
	child = (struct proc){.session = 42, .tgid = 101, .start = p->now, .exec_seq = 2};
	do_exit(p, &run, 0);
	skip_all(p);
	assert_null(session_find(&p->attribute->table, 42));
	do_exec(p, &child, &run, "/bin/sh");
	r = NEXT(p, PART_MAIN, EXEC);
	assert_memory_equal(r->session->id.data, id, 16);
	assert_string_equal(r->agent->name, "research");
	do_exit(p, &child, 0);
	NEXT(p, PART_MAIN, EXIT);
	no_more(p);
	assert_int_equal(HASH_COUNT(p->attribute->table.sessions), 0);
}

static void ends_by_request_when_nobody_is_known(void **state)
{
	struct pipeline *p = *state;
	Affiant__V1__NoteEnd m = AFFIANT__V1__NOTE_END__INIT;
	struct proc run = begin_session(p, 42, 100);
	const Affiant__V1__Record *r;

	p->attribute->config.ends_by_note = true;
	do_exit(p, &run, 0);
	skip_all(p);
	SET(&m, key, 42);
	do_note(p, NOTE_END, &m.base);
	r = NEXT(p, PART_SESSION_ENDED, SESSION_ENDED);
	assert_int_equal(r->session_ended->reason, AFFIANT__V1__SESSION_END_REASON__END_LAST_EXIT);
	note_over(p, 42);
	no_more(p);
	assert_null(session_find(&p->attribute->table, 42));

	/* One that never began goes without a word, and not before the kernel was asked. */
	do_session(p, 43, "research");
	m.key = 43;
	do_note(p, NOTE_END, &m.base);
	assert_non_null(session_find(&p->attribute->table, 43));
	note_over(p, 43);
	assert_null(session_find(&p->attribute->table, 43));
	no_more(p);
}

static void enters_who_was_met(void **state)
{
	struct pipeline *p = *state;
	struct proc run = begin_session(p, 42, 100), child;
	Affiant__V1__NoteMet m = AFFIANT__V1__NOTE_MET__INIT;
	const Affiant__V1__Record *r;

	skip_all(p);
	child = (struct proc){.session = 42, .tgid = 101, .start = p->now, .exec_seq = 5};
	SET(&m, tgid, child.tgid);
	SET(&m, start_boottime_ns, child.start);
	SET(&m, exec_seq, child.exec_seq);
	SET(&m, session, 42);
	do_note(p, NOTE_MET, &m.base);
	do_note(p, NOTE_MET, &m.base);
	assert_int_equal(session_find(&p->attribute->table, 42)->live, 2);
	no_more(p);
	do_exit(p, &run, 0);
	NEXT(p, PART_MAIN, EXIT);
	no_more(p);
	do_exit(p, &child, 0);
	r = NEXT(p, PART_MAIN, EXIT);
	assert_id(r->process->id, &child);
	assert_true(r->process->ancestry_cut);
	assert_null(r->process->executable);
	NEXT(p, PART_SESSION_ENDED, SESSION_ENDED);
	/* Of a session that nobody knows, but a selector's. */
	SET(&m, session, 44);
	SET(&m, flags, TAG_SELECTED);
	SET(&m, selector, 77);
	do_note(p, NOTE_MET, &m.base);
	r = NEXT(p, PART_SESSION_STARTED, SESSION_STARTED);
	assert_string_equal(r->agent->name, "chosen");
	assert_true(r->session_started->late);
}

/* All that is heard of a session is an exit. */
static void tells_a_session_of_which_little_is_left(void **state)
{
	struct proc run = {.session = 9, .tgid = 100, .start = 7, .exec_seq = 3};
	struct pipeline *p = *state;

	do_exit(p, &run, 0);
	NEXT(p, PART_SESSION_STARTED, SESSION_STARTED);
	NEXT(p, PART_MAIN, EXIT);
	NEXT(p, PART_SESSION_ENDED, SESSION_ENDED);
	no_more(p);
	/* Or a fork. */
	run.session = 10;
	run = do_fork(p, &run, 101);
	NEXT(p, PART_SESSION_STARTED, SESSION_STARTED);
	do_exit(p, &run, 0);
	NEXT(p, PART_MAIN, EXIT);
	NEXT(p, PART_SESSION_ENDED, SESSION_ENDED);
	no_more(p);
}

/* ---- children without a tag ---- */

static void follows_who_has_no_tag(void **state)
{
	struct pipeline *p = *state;
	struct proc run = begin_session(p, 42, 100), child, grandchild;
	const Affiant__V1__Record *r;

	skip_all(p);
	child = do_untagged(p, &run, 101);
	grandchild = do_untagged(p, &child, 102);
	assert_int_equal(p->attribute->table.untagged, 2);
	no_more(p); /* by name it is told with the losses */
	do_exit(p, &child, 7);
	r = NEXT(p, PART_MAIN, EXIT);
	assert_id(r->process->id, &child);
	assert_id(r->process->parent, &run);
	assert_true(r->session->untagged_children);
	/* The session goes on as long as any of it does. */
	do_exit(p, &run, 0);
	r = NEXT(p, PART_MAIN, EXIT);
	assert_true(r->session->untagged_children);
	no_more(p);
	do_exit(p, &grandchild, 0);
	r = NEXT(p, PART_MAIN, EXIT);
	assert_int_equal(r->process->n_ancestry, 2);
	assert_id(r->process->ancestry[0]->id, &child);
	r = NEXT(p, PART_SESSION_ENDED, SESSION_ENDED);
	assert_true(r->session->untagged_children);
	assert_int_equal(r->session_ended->processes, 3);
	assert_int_equal(p->attribute->table.untagged, 0);
}

static void marks_the_session_alone(void **state)
{
	struct pipeline *p = *state;
	struct proc run = begin_session(p, 42, 100), other = begin_session(p, 43, 200);
	const Affiant__V1__Record *r;

	do_exec(p, &run, &run, "/bin/sh");
	skip_all(p);
	do_untagged(p, &run, 101);
	assert_true(session_find(&p->attribute->table, 42)->untagged);
	assert_false(session_find(&p->attribute->table, 43)->untagged);
	do_exit(p, &other, 0);
	r = NEXT(p, PART_MAIN, EXIT);
	assert_false(r->session->has_untagged_children);
	r = NEXT(p, PART_SESSION_ENDED, SESSION_ENDED);
	assert_false(r->session->has_untagged_children);
}

/* What it executed is known from its parent, unless it executed something itself. */
static void takes_back_who_had_no_tag(void **state)
{
	struct pipeline *p = *state;
	struct proc run = begin_session(p, 42, 100), same, changed;
	const Affiant__V1__Record *r;

	do_exec(p, &run, &run, "/usr/bin/agent");
	same = do_untagged(p, &run, 101);
	changed = do_untagged(p, &run, 102);
	skip_all(p);
	do_adopt(p, &same, &run, "/usr/bin/agent");
	changed.exec_seq++;
	do_adopt(p, &changed, &run, "/bin/other");
	no_more(p);
	assert_int_equal(p->attribute->table.untagged, 0);
	do_exit(p, &same, 0);
	r = NEXT(p, PART_MAIN, EXIT);
	assert_exe(r->process, "/usr/bin/agent");
	assert_true(r->process->late);
	assert_id(r->process->parent, &run);
	do_exit(p, &changed, 0);
	r = NEXT(p, PART_MAIN, EXIT);
	assert_text(r->process->executable->path, "/bin/other");
	assert_int_equal(r->process->executable->digest->state,
			 AFFIANT__V1__HASH_STATE__HASH_CLAIMED);
	assert_true(r->process->late);
	assert_id(r->process->ancestry[0]->id, &run);
}

/* Its parent is gone, so that its forebears are known from before alone. */
static void takes_back_an_orphan(void **state)
{
	struct pipeline *p = *state;
	struct proc run = begin_session(p, 42, 100), child, init = {.tgid = 1, .start = 1};
	const Affiant__V1__Record *r;

	child = do_untagged(p, &run, 101);
	child = do_untagged(p, &child, 102);
	skip_all(p);
	child.exec_seq++;
	do_adopt(p, &child, &init, "/bin/other");
	do_exit(p, &child, 0);
	r = NEXT(p, PART_MAIN, EXIT);
	assert_int_equal(r->process->n_ancestry, 2);
	assert_id(r->process->ancestry[1]->id, &run);
}

/* It found room when it executed something. */
static void takes_back_who_executes(void **state)
{
	struct pipeline *p = *state;
	struct proc run = begin_session(p, 42, 100), child = do_untagged(p, &run, 101);
	const Affiant__V1__Record *r;

	skip_all(p);
	do_exec(p, &child, &run, "/bin/sh");
	r = NEXT(p, PART_MAIN, EXEC);
	assert_exe(r->process, "/bin/sh");
	assert_id(r->process->ancestry[0]->id, &run);
	assert_int_equal(p->attribute->table.untagged, 0);
}

/* All that is heard of a session is that its process found no room. */
static void begins_a_session_without_a_tag(void **state)
{
	struct pipeline *p = *state;
	struct proc outside = {.tgid = 7, .start = 7, .exec_seq = 1},
		    run = {.session = 9, .tgid = 100, .start = 9, .flags = TAG_SELECTED};
	const Affiant__V1__Record *r;
	struct event_untagged e = untagged_event(p, &outside, &run);

	give(p, &e);
	r = NEXT(p, PART_SESSION_STARTED, SESSION_STARTED);
	assert_string_equal(r->agent->name, "chosen");
	assert_true(r->session->untagged_children);
	assert_true(r->session_started->late);
	do_exit(p, &run, 0);
	NEXT(p, PART_MAIN, EXIT);
	NEXT(p, PART_SESSION_ENDED, SESSION_ENDED);
	no_more(p);
}

static void keeps_so_many_without_a_tag(void **state)
{
	struct pipeline *p = *state;
	struct proc run = begin_session(p, 42, 100);

	for (uint32_t i = 0; i < 20000; i++)
		do_untagged(p, &run, 1000 + i);
	assert_int_equal(p->attribute->table.untagged, 16384);
	assert_int_equal(HASH_COUNT(p->attribute->table.processes), 16385);
}

static void marks_a_session_of_which_no_event_came(void **state)
{
	struct pipeline *p = *state;
	struct proc run = begin_session(p, 42, 100);
	Affiant__V1__NoteUntagged m = AFFIANT__V1__NOTE_UNTAGGED__INIT;

	skip_all(p);
	SET(&m, key, 43);
	do_note(p, NOTE_UNTAGGED, &m.base);
	assert_false(session_find(&p->attribute->table, 42)->untagged);
	m.key = 42;
	do_note(p, NOTE_UNTAGGED, &m.base);
	no_more(p);
	do_exit(p, &run, 0);
	assert_true(NEXT(p, PART_MAIN, EXIT)->session->untagged_children);
}

/* ---- ends ---- */

static void end_by_request(struct pipeline *p, uint64_t key)
{
	Affiant__V1__NoteEnd m = AFFIANT__V1__NOTE_END__INIT;

	SET(&m, key, key);
	do_note(p, NOTE_END, &m.base);
}

static void ends_by_request_once(void **state)
{
	struct pipeline *p = *state;
	struct proc run = begin_session(p, 42, 100);
	const Affiant__V1__Record *r;
	uint8_t id[16];

	skip_all(p);
	end_by_request(p, 42);
	r = NEXT(p, PART_SESSION_ENDED, SESSION_ENDED);
	assert_int_equal(r->session_ended->reason, AFFIANT__V1__SESSION_END_REASON__END_REQUESTED);
	assert_false(r->session_ended->has_status);
	memcpy(id, r->session->id.data, 16);
	end_by_request(p, 42);
	end_by_request(p, 43);
	no_more(p);
	/* Its processes stay recorded until they exit. */
	do_exec(p, &run, NULL, "/bin/more");
	r = NEXT(p, PART_MAIN, EXEC);
	assert_memory_equal(r->session->id.data, id, 16);
	do_exit(p, &run, 0);
	NEXT(p, PART_MAIN, EXIT);
	no_more(p);
	assert_int_equal(HASH_COUNT(p->attribute->table.sessions), 0);
}

static void tells_nothing_of_a_session_without_a_process(void **state)
{
	struct pipeline *p = *state;

	do_session(p, 42, "research");
	end_by_request(p, 42);
	no_more(p);
	assert_int_equal(HASH_COUNT(p->attribute->table.sessions), 0);
}

static void ends_with_the_boot(void **state)
{
	struct pipeline *p = *state;
	struct proc run = begin_session(p, 42, 100);
	const Affiant__V1__Record *r;
	uint64_t last;

	do_session(p, 43, "never begun");
	begin_session(p, 44, 101);
	end_by_request(p, 44);
	skip_all(p);
	p->enrich.slow = true;
	do_exec(p, &run, NULL, "/bin/slow");
	do_connect(p, &run, 80);
	last = p->now;
	attribute_finish(p->attribute, true);
	NEXT(p, PART_MAIN, EXEC);
	r = NEXT(p, PART_MAIN, CONNECT);
	assert_int_equal(r->connect->outcome, AFFIANT__V1__OUTCOME__PENDING);
	r = NEXT(p, PART_SESSION_ENDED, SESSION_ENDED);
	assert_int_equal(r->session_ended->reason, AFFIANT__V1__SESSION_END_REASON__END_REBOOT);
	assert_int_equal(r->boottime_ns, last);
	assert_int_equal(r->wall_ns, last + WALL_OFFSET);
	no_more(p);
}

/* ---- the clock ---- */

static void tells_a_step_of_the_clock_once(void **state)
{
	struct pipeline *p = *state;
	struct proc run = begin_session(p, 42, 100);
	Affiant__V1__NoteClock m = AFFIANT__V1__NOTE_CLOCK__INIT;
	const Affiant__V1__Record *r;

	skip_all(p);
	SET(&m, offset_ns, WALL_OFFSET - 3600 * (int64_t)S);
	SET(&m, state, AFFIANT__V1__CLOCK_STATE__CLOCK_STEPPED);
	do_note(p, NOTE_CLOCK, &m.base);
	/* The clock is known again before anything is told. */
	m.state = AFFIANT__V1__CLOCK_STATE__CLOCK_UNSYNCHRONISED;
	do_note(p, NOTE_CLOCK, &m.base);
	do_exec(p, &run, NULL, "/bin/a");
	r = NEXT(p, PART_MAIN, EXEC);
	assert_int_equal(r->clock_state, AFFIANT__V1__CLOCK_STATE__CLOCK_STEPPED);
	assert_int_equal(r->wall_ns, r->boottime_ns + WALL_OFFSET - 3600 * S);
	do_exec(p, &run, NULL, "/bin/b");
	r = NEXT(p, PART_MAIN, EXEC);
	assert_int_equal(r->clock_state, AFFIANT__V1__CLOCK_STATE__CLOCK_UNSYNCHRONISED);
}

/* ---- notes that make no sense ---- */

static void give_bytes(struct pipeline *p, uint16_t type, const void *bytes, size_t len,
		       uint32_t padding)
{
	union {
		struct event_header h;
		uint8_t bytes[512];
	} note = {.h = {.cpu = NOTE_CPU, .type = type, .sequence = p->notes++, .tid = padding}};

	memcpy(note.bytes + sizeof(note.h), bytes, len);
	note.h.size = (sizeof(note.h) + len + 7) / 8 * 8;
	give(p, &note);
}

static void ignores_notes_that_make_no_sense(void **state)
{
	struct pipeline *p = *state;
	struct event_header *good = session_event(p, 42, "research");
	Affiant__V1__StateSession *m;
	size_t len = good->size - sizeof(*good) - good->tid;
	uint8_t packed[512];

	for (uint16_t type = NOTE_SESSION; type <= NOTE_LAST; type++) {
		give_bytes(p, type, "\xff\xff\xff\xff", 4, 4);
		give_bytes(p, type, "", 0, 0);
		give_bytes(p, type, "\xff", 1, 8);
		give_bytes(p, type, "\xff", 1, UINT32_MAX);
	}
	/* What others rely on is missing, one by one. */
	for (int i = 0; i < 5; i++) {
		m = affiant__v1__state_session__unpack(NULL, len, (const uint8_t *)(good + 1));
		switch (i) {
		case 0:
			affiant__v1__record__free_unpacked(m->head, NULL);
			m->head = NULL;
			break;
		case 1:
			affiant__v1__session__free_unpacked(m->head->session, NULL);
			m->head->session = NULL;
			break;
		case 2:
			m->head->session->id.len = 15;
			break;
		case 3:
			affiant__v1__agent__free_unpacked(m->head->agent, NULL);
			m->head->agent = NULL;
			break;
		case 4:
			affiant__v1__session_started__free_unpacked(m->head->session_started, NULL);
			m->head->body_case = AFFIANT__V1__RECORD__BODY__NOT_SET;
			break;
		}
		give_bytes(p, NOTE_SESSION, packed, affiant__v1__state_session__pack(m, packed), 0);
		affiant__v1__state_session__free_unpacked(m, NULL);
	}
	no_more(p);
	assert_int_equal(HASH_COUNT(p->attribute->table.sessions), 0);
	assert_int_equal(p->attribute->clock.offset_ns, WALL_OFFSET);
	give(p, good);
	assert_int_equal(HASH_COUNT(p->attribute->table.sessions), 1);
	free(good);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(tells_a_session_from_beginning_to_end),
		TEST(names_records_for_good),
		TEST(drops_what_comes_twice),
		TEST(remembers_so_many_forebears),
		TEST(tells_lineage_as_it_was),
		TEST(tells_a_new_parent),
		TEST(fits_into_a_record),
		TEST(holds_records_until_their_digest),
		TEST(tells_each_image_by_itself),
		TEST(waits_for_no_digest_for_ever),
		TEST(waits_not_at_all_when_told_so),
		TEST(holds_so_many_records),
		TEST(adopts_what_runs_already),
		TEST(learns_what_an_early_actor_is),
		TEST(begins_sessions_by_selectors),
		TEST(says_what_began_late),
		TEST(names_no_agent_by_guess),
		TEST(knows_the_selector_of_a_lost_exec),
		TEST(makes_up_nothing_for_a_lost_fork),
		TEST(tells_the_parent_of_a_lost_fork),
		TEST(shows_no_image_for_a_lost_exec),
		TEST(hands_no_earlier_image_to_a_child),
		TEST(finds_lost_exits),
		TEST(ends_when_the_kernel_knows_nobody),
		TEST(keeps_who_comes_after_the_end),
		TEST(ends_by_request_when_nobody_is_known),
		TEST(enters_who_was_met),
		TEST(tells_a_session_of_which_little_is_left),
		TEST(follows_who_has_no_tag),
		TEST(marks_the_session_alone),
		TEST(takes_back_who_had_no_tag),
		TEST(takes_back_an_orphan),
		TEST(takes_back_who_executes),
		TEST(begins_a_session_without_a_tag),
		TEST(keeps_so_many_without_a_tag),
		TEST(marks_a_session_of_which_no_event_came),
		TEST(ends_by_request_once),
		TEST(tells_nothing_of_a_session_without_a_process),
		TEST(ends_with_the_boot),
		TEST(tells_a_step_of_the_clock_once),
		TEST(ignores_notes_that_make_no_sense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
