/* SPDX-License-Identifier: Apache-2.0 */
/* All that a selector takes is of one session, until a note says that it is over. */
#include "pipeline.h"

#include "collect/hold.h"

#define SELECTOR 77 /* pipeline.h: of "chosen" */
#define KEY 5

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

static void note(struct pipeline *p, uint64_t key, bool over)
{
	Affiant__V1__NoteHold m = AFFIANT__V1__NOTE_HOLD__INIT;

	SET(&m, key, key);
	SET(&m, selector, SELECTOR);
	if (over)
		SET(&m, over, true);
	do_note(p, NOTE_HOLD, &m.base);
}

static struct proc match(struct pipeline *p, uint64_t key, uint32_t tgid)
{
	struct proc run = {.session = key,
			   .tgid = tgid,
			   .start = p->now,
			   .exec_seq = 4,
			   .flags = TAG_SELECTED};
	union exec_buffer b;

	exec_fill(p, &b, EVENT_EXEC, &run, NULL, "/bin/agent");
	b.e.flags = EXEC_SELECTED;
	b.e.selector = SELECTOR;
	give(p, &b);
	return run;
}

/* One that comes and goes. */
static void run_once(struct pipeline *p, uint64_t key, uint32_t tgid)
{
	struct proc run = match(p, key, tgid);

	do_exit(p, &run, 0);
}

static void restart(struct pipeline *p)
{
	Affiant__V1__State *m = state_save(p->attribute);

	assert_non_null(m);
	attribute_free(p->attribute);
	assert_int_equal(attribute_new(&p->config, &p->attribute), 0);
	assert_int_equal(state_load(p->attribute, m), 0);
	affiant__v1__state__free_unpacked(m, NULL);
}

static void joins_one_session_until_it_is_over(void **state)
{
	struct pipeline *p = *state;
	const Affiant__V1__Record *r;

	note(p, KEY, false);
	assert_int_equal(hold_of_selector(p->attribute, SELECTOR)->key, KEY);
	run_once(p, KEY, 200);
	r = NEXT(p, PART_SESSION_STARTED, SESSION_STARTED);
	assert_true(r->session_started->joined);
	assert_false(r->session_started->has_late);
	assert_string_equal(r->session_started->selector, "exe /bin/agent");
	NEXT(p, PART_MAIN, EXEC);
	NEXT(p, PART_MAIN, EXIT);
	no_more(p);

	/* Nobody is in it, and it goes on. */
	run_once(p, KEY, 201);
	r = NEXT(p, PART_MAIN, EXEC);
	assert_int_equal(r->process->n_ancestry, 0);
	NEXT(p, PART_MAIN, EXIT);
	no_more(p);

	restart(p);
	assert_int_equal(hold_find(p->attribute, KEY)->selector, SELECTOR);
	run_once(p, KEY, 202);
	NEXT(p, PART_MAIN, EXEC);
	NEXT(p, PART_MAIN, EXIT);
	no_more(p);

	note(p, KEY, true);
	r = NEXT(p, PART_SESSION_ENDED, SESSION_ENDED);
	assert_int_equal(r->session_ended->processes, 3);
	assert_int_equal(r->session_ended->execs, 3);
	assert_int_equal(r->session_ended->reason, AFFIANT__V1__SESSION_END_REASON__END_LAST_EXIT);
	assert_null(hold_find(p->attribute, KEY));
	assert_int_equal(HASH_COUNT(p->attribute->table.sessions), 0);

	/* One that the kernel matched before it heard of it. */
	run_once(p, KEY, 203);
	r = NEXT(p, PART_SESSION_STARTED, SESSION_STARTED);
	assert_false(r->session_started->has_joined);
	NEXT(p, PART_MAIN, EXEC);
	NEXT(p, PART_MAIN, EXIT);
	NEXT(p, PART_SESSION_ENDED, SESSION_ENDED);
	no_more(p);
}

static void ends_with_its_last_process_once_it_is_over(void **state)
{
	struct pipeline *p = *state;
	struct proc run;

	note(p, KEY, false);
	run = match(p, KEY, 200);
	note(p, KEY, true);
	skip_all(p);
	assert_int_equal(HASH_COUNT(p->attribute->table.sessions), 1);
	do_exit(p, &run, 0);
	NEXT(p, PART_MAIN, EXIT);
	NEXT(p, PART_SESSION_ENDED, SESSION_ENDED);
	no_more(p);
	assert_int_equal(HASH_COUNT(p->attribute->table.sessions), 0);
}

/* What is ended by request does not wait for the note. */
static void ends_by_request(void **state)
{
	Affiant__V1__NoteEnd end = AFFIANT__V1__NOTE_END__INIT;
	struct pipeline *p = *state;
	struct proc run;

	SET(&end, key, KEY);
	note(p, KEY, false);
	run = match(p, KEY, 200);
	do_note(p, NOTE_END, &end.base);
	do_exit(p, &run, 0);
	assert_int_equal(HASH_COUNT(p->attribute->table.sessions), 0);
	run_once(p, KEY, 201);
	assert_int_equal(HASH_COUNT(p->attribute->table.sessions), 1);
	do_note(p, NOTE_END, &end.base);
	assert_int_equal(HASH_COUNT(p->attribute->table.sessions), 0);
}

/* As the daemon has it, which asks the kernel first: it does not ask while all are to join. */
static void is_left_without_an_end(void **state)
{
	Affiant__V1__NoteEnd over = AFFIANT__V1__NOTE_END__INIT;
	struct pipeline *p = *state;
	const Affiant__V1__Record *r;
	uint64_t left_ns;

	SET(&over, key, KEY);
	p->attribute->config.ends_by_note = true;
	note(p, KEY, false);
	run_once(p, KEY, 200);
	run_once(p, KEY, 201);
	left_ns = p->attribute->newest_ns;
	skip_all(p);
	assert_true(p->attribute->table.sessions->vacancy.is);
	note(p, KEY, true);
	no_more(p);
	do_note(p, NOTE_OVER, &over.base);
	r = NEXT(p, PART_SESSION_ENDED, SESSION_ENDED);
	assert_int_equal(r->session_ended->processes, 2);
	assert_int_equal(r->boottime_ns, left_ns);
	no_more(p);
}

/* Nobody is in it, but somebody may join it yet. */
static void ends_by_request_between_two(void **state)
{
	Affiant__V1__NoteEnd end = AFFIANT__V1__NOTE_END__INIT;
	struct pipeline *p = *state;
	const Affiant__V1__Record *r;

	SET(&end, key, KEY);
	p->attribute->config.ends_by_note = true;
	note(p, KEY, false);
	run_once(p, KEY, 200);
	skip_all(p);
	do_note(p, NOTE_END, &end.base);
	r = NEXT(p, PART_SESSION_ENDED, SESSION_ENDED);
	assert_int_equal(r->session_ended->reason, AFFIANT__V1__SESSION_END_REASON__END_REQUESTED);
	run_once(p, KEY, 201);
	NEXT(p, PART_MAIN, EXEC);
	NEXT(p, PART_MAIN, EXIT);
	do_note(p, NOTE_OVER, &end.base);
	no_more(p);
	assert_int_equal(HASH_COUNT(p->attribute->table.sessions), 0);
}

static void refuses_what_contradicts_itself(void **state)
{
	struct pipeline *p = *state;
	Affiant__V1__State *m;

	note(p, KEY, true);
	note(p, 0, false);
	assert_int_equal(HASH_COUNT(p->attribute->holds), 0);
	note(p, KEY, false);
	note(p, KEY, false);
	note(p, KEY + 1, false);
	assert_int_equal(HASH_COUNT(p->attribute->holds), 2);
	m = state_save(p->attribute);
	assert_int_equal(m->n_holds, 2);
	m->holds[1]->key = m->holds[0]->key;
	attribute_free(p->attribute);
	assert_int_equal(attribute_new(&p->config, &p->attribute), 0);
	assert_int_equal(state_load(p->attribute, m), -EBADMSG);
	affiant__v1__state__free_unpacked(m, NULL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(joins_one_session_until_it_is_over),
		TEST(ends_with_its_last_process_once_it_is_over),
		TEST(ends_by_request),
		TEST(is_left_without_an_end),
		TEST(ends_by_request_between_two),
		TEST(refuses_what_contradicts_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
