/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel maps that are removed and made anew: what ends by it, what is told, and what begins. */
#include "pipeline.h"

#define OLD 0xa1
#define NEW 0xa2

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

/* The daemon says that the events from here on are of the maps @id, which begin with @first. */
static void renew(struct pipeline *p, uint8_t id, uint64_t first, uint64_t untracked)
{
	Affiant__V1__NoteEpoch m = AFFIANT__V1__NOTE_EPOCH__INIT;
	uint8_t bytes[16] = {id};

	SET(&m, id, pb_bytes(bytes, sizeof(bytes)));
	SET(&m, first, first);
	SET(&m, to_boottime_ns, p->now + MS);
	SET(&m, untracked, untracked);
	do_note(p, NOTE_EPOCH, &m.base);
	for (size_t cpu = 0; cpu < 8; cpu++)
		p->sequence[cpu] = first - 1;
}

/* And says it again, at a journal's beginning. */
static void repeat(struct pipeline *p, uint8_t id)
{
	Affiant__V1__NoteEpoch m = AFFIANT__V1__NOTE_EPOCH__INIT;
	uint8_t bytes[16] = {id};

	SET(&m, id, pb_bytes(bytes, sizeof(bytes)));
	do_note(p, NOTE_EPOCH, &m.base);
}

static void assert_epoch(struct pipeline *p, uint8_t id)
{
	uint8_t bytes[16] = {id};

	assert_true(epoch_is(p->attribute, bytes));
	bytes[15] = 1;
	assert_false(epoch_is(p->attribute, bytes));
}

static void the_first_of_a_boot_is_no_gap(void **state)
{
	struct pipeline *p = *state;

	assert_false(p->attribute->epoch.known);
	assert_int_equal(epoch_highest(p->attribute), 0);
	renew(p, OLD, 5001, 0);
	no_more(p);
	assert_epoch(p, OLD);
	assert_int_equal(epoch_highest(p->attribute), 5000);
	begin_session(p, 42, 100);
	assert_true(epoch_highest(p->attribute) > 5000);
}

static const Affiant__V1__SessionEnded *ended(struct pipeline *p)
{
	return NEXT(p, PART_SESSION_ENDED, SESSION_ENDED)->session_ended;
}

static void what_lived_ends_and_a_gap_is_told(void **state)
{
	struct pipeline *p = *state;
	struct table *t = &p->attribute->table;
	const Affiant__V1__Gap *gap;
	struct event_connect pending;
	uint64_t last, number;
	struct proc a, b;

	renew(p, OLD, 1001, 0);
	a = begin_session(p, 42, 100);
	b = begin_session(p, 43, 200);
	do_fork(p, &b, 201);
	skip_all(p);
	pending = do_connect(p, &a, 443);
	last = p->now;
	number = event_source(&pending.header);

	renew(p, NEW, 90001, 3);
	assert_int_equal(NEXT(p, PART_MAIN, CONNECT)->connect->outcome,
			 AFFIANT__V1__OUTCOME__PENDING);
	for (int i = 0; i < 2; i++) {
		const Affiant__V1__SessionEnded *e = ended(p);

		assert_int_equal(e->reason, AFFIANT__V1__SESSION_END_REASON__END_TRACING_REMOVED);
		assert_true(e->processes >= 1);
	}
	assert_true(p->records[p->count - 2].source != p->records[p->count - 3].source);
	gap = NEXT(p, PART_MAIN, GAP)->gap;
	assert_int_equal(gap->reason, AFFIANT__V1__GAP_REASON__GAP_TRACING_REMOVED);
	assert_int_equal(gap->from_boottime_ns, last);
	assert_true(gap->to_boottime_ns > last);
	assert_int_equal(gap->untracked_processes, 3);
	no_more(p);

	assert_epoch(p, NEW);
	assert_null(t->sessions);
	assert_null(t->processes);
	assert_null(t->connections);
	assert_null(t->awaiting);
	assert_null(t->sockets);
	assert_null(connection_find(t, number));
	/* Whether an exec went unseen, the maps knew that are gone. */
	assert_non_null(session_find_any(t, 42));
	assert_int_equal(session_find_any(t, 42)->live, 0);
	assert_true(session_find_any(t, 42)->power);
	/* The same key again is another session. */
	begin_session(p, 42, 100);
	assert_int_equal(NEXT(p, PART_SESSION_STARTED, SESSION_STARTED)->body_case,
			 AFFIANT__V1__RECORD__BODY_SESSION_STARTED);
}

static void what_was_told_to_end_is_not_told_again(void **state)
{
	Affiant__V1__NoteEnd m = AFFIANT__V1__NOTE_END__INIT;
	struct pipeline *p = *state;

	renew(p, OLD, 1, 0);
	begin_session(p, 42, 100);
	SET(&m, key, 42);
	do_note(p, NOTE_END, &m.base);
	do_session(p, 43, "never"); /* opened, and nobody is in it yet */
	skip_all(p);
	renew(p, NEW, 90001, 1);
	assert_int_equal(NEXT(p, PART_MAIN, GAP)->gap->untracked_processes, 1);
	no_more(p);
	assert_null(p->attribute->table.sessions);
}

/* Of the old maps' numbers none comes any more: what is missing below the newest is told. */
static void numbers_begin_anew(void **state)
{
	struct pipeline *p = *state;
	struct event_untracked e = {.family = AF_INET, .sock_type = SOCK_RAW};
	const uint64_t none[LOSS_ALL] = {0};
	Affiant__V1__Lost *lost;
	struct proc a;

	renew(p, OLD, 1, 0);
	a = begin_session(p, 42, 100);
	p->sequence[3] = 4;
	head_fill(p, &e.header, 3, EVENT_UNTRACKED, sizeof(e), &a);
	give(p, &e);
	renew(p, NEW, 90001, 1);
	lost = loss_since(p->attribute, none);
	assert_non_null(lost);
	assert_int_equal(lost->n_counts, 1);
	assert_string_equal(lost->counts[0]->stage, "sequence");
	assert_int_equal(lost->n_ranges, 1);
	assert_int_equal(lost->ranges[0]->cpu, 3);
	assert_int_equal(lost->ranges[0]->first, 1);
	assert_int_equal(lost->ranges[0]->last, 4);
	affiant__v1__lost__free_unpacked(lost, NULL);

	/* The old ones are doubles, if they come; of the new ones the very first counts. */
	skip_all(p);
	assert_int_equal(p->attribute->counts.doubles, 0);
	give(p, &e);
	assert_int_equal(p->attribute->counts.doubles, 1);
	p->sequence[3] = 90002;
	head_fill(p, &e.header, 3, EVENT_UNTRACKED, sizeof(e), &a);
	give(p, &e);
	e.header.sequence = 90001;
	give(p, &e);
	assert_int_equal(p->attribute->counts.doubles, 1);
	assert_int_equal(epoch_highest(p->attribute), 90003);
}

static uint64_t count_of(const Affiant__V1__Lost *m, bool total, const char *kind)
{
	Affiant__V1__LostCount **list = total ? m->totals : m->counts;

	for (size_t i = 0; i < (total ? m->n_totals : m->n_counts); i++)
		if (!strcmp(list[i]->kind, kind))
			return list[i]->count;
	return 0;
}

static void tell_lost(struct pipeline *p, const uint64_t totals[static LOSS_ALL])
{
	Affiant__V1__Lost *m = loss_since(p->attribute, totals);

	assert_non_null(m);
	do_note(p, NOTE_LOST, &m->base);
	affiant__v1__lost__free_unpacked(m, NULL);
}

/* The kernel counts from 0. What user space counts goes on. */
static void losses_begin_anew(void **state)
{
	struct pipeline *p = *state;
	uint64_t totals[LOSS_ALL] = {0};
	const Affiant__V1__Lost *m;

	renew(p, OLD, 1, 0);
	totals[EVENT_EXEC] = 100;
	totals[LOSS_HOOK] = 7;
	p->attribute->dropped[LOSS_RECORD] = 5;
	tell_lost(p, totals);
	skip_all(p);
	renew(p, NEW, 1000, 0);
	skip_all(p);
	memset(totals, 0, sizeof(totals));
	assert_null(loss_since(p->attribute, totals));
	p->attribute->dropped[LOSS_CGROUP] = 2; /* of the kernel's kinds, but the daemon's own */
	renew(p, OLD, 1500, 0);
	skip_all(p);
	totals[EVENT_EXEC] = 3;
	totals[LOSS_HOOK] = 1;
	tell_lost(p, totals);
	m = NEXT(p, PART_MAIN, LOST)->lost;
	assert_int_equal(count_of(m, false, "exec"), 3);
	assert_int_equal(count_of(m, true, "exec"), 103);
	assert_int_equal(count_of(m, false, "run"), 1);
	assert_int_equal(count_of(m, true, "run"), 8);
	assert_int_equal(count_of(m, false, "record"), 0);
	assert_int_equal(count_of(m, true, "record"), 5);
	assert_int_equal(count_of(m, false, "cgroup"), 2);
	/* And once more. */
	renew(p, NEW, 2000, 0);
	skip_all(p);
	memset(totals, 0, sizeof(totals));
	totals[EVENT_EXEC] = 2;
	tell_lost(p, totals);
	m = NEXT(p, PART_MAIN, LOST)->lost;
	assert_int_equal(count_of(m, false, "exec"), 2);
	assert_int_equal(count_of(m, true, "exec"), 105);
}

static void the_same_again_changes_nothing(void **state)
{
	struct pipeline *p = *state;

	renew(p, OLD, 1, 0);
	begin_session(p, 42, 100);
	skip_all(p);
	repeat(p, OLD);
	no_more(p);
	assert_non_null(session_find(&p->attribute->table, 42));
	assert_int_equal(p->attribute->seen.first, 1);
}

/* The state is lost, and the journal that is left says of which maps it is: they go on. */
static void a_journal_alone_goes_on(void **state)
{
	struct event_untracked e = {.family = AF_INET, .sock_type = SOCK_RAW};
	const struct proc a = {.session = 9, .tgid = 7, .start = 7, .exec_seq = 1};
	const uint64_t none[LOSS_ALL] = {0};
	struct pipeline *p = *state;

	repeat(p, OLD);
	assert_epoch(p, OLD);
	p->sequence[3] = 7777776;
	for (int i = 0; i < 3; i++) {
		head_fill(p, &e.header, 3, EVENT_UNTRACKED, sizeof(e), &a);
		give(p, &e);
		p->now += 2 * S;
	}
	skip_all(p);
	repeat(p, OLD);
	no_more(p);
	/* What was before its first one is no loss. */
	assert_null(loss_since(p->attribute, none));
	renew(p, NEW, 9000000, 0);
	skip_all(p);
	assert_int_equal(p->records[p->count - 1].r->body_case, AFFIANT__V1__RECORD__BODY_GAP);
}

/* Of a version that knew no epochs, but told of this boot. */
static void an_old_state_is_followed_by_a_gap(void **state)
{
	struct pipeline *p = *state;

	begin_session(p, 42, 100);
	skip_all(p);
	renew(p, NEW, 90001, 1);
	(void)ended(p);
	(void)NEXT(p, PART_MAIN, GAP);
	no_more(p);
}

static void what_is_no_epoch_is_left_alone(void **state)
{
	Affiant__V1__NoteEpoch m = AFFIANT__V1__NOTE_EPOCH__INIT;
	uint8_t bytes[17] = {NEW};
	struct pipeline *p = *state;

	renew(p, OLD, 1, 0);
	begin_session(p, 42, 100);
	skip_all(p);
	for (int i = 0; i < 4; i++) {
		m = (Affiant__V1__NoteEpoch)AFFIANT__V1__NOTE_EPOCH__INIT;
		SET(&m, id, pb_bytes(bytes, i == 0 ? 15 : i == 1 ? 17 : 16));
		SET(&m, first, i == 2 ? (uint64_t)1 << 48 : 1000);
		SET(&m, to_boottime_ns, p->now);
		if (i == 3)
			m.has_id = false, m.id.len = 0;
		do_note(p, NOTE_EPOCH, &m.base);
		no_more(p);
		assert_epoch(p, OLD);
	}
}

static void a_saved_state_knows_it(void **state)
{
	struct pipeline *p = *state;
	Affiant__V1__State *m;
	uint64_t highest, newest;

	renew(p, OLD, 5001, 0);
	begin_session(p, 42, 100);
	highest = epoch_highest(p->attribute);
	newest = p->attribute->seen.now_ns;
	m = state_save(p->attribute);
	assert_non_null(m);
	attribute_free(p->attribute);
	assert_int_equal(attribute_new(&p->config, &p->attribute), 0);
	assert_int_equal(state_load(p->attribute, m), 0);
	affiant__v1__state__free_unpacked(m, NULL);
	assert_epoch(p, OLD);
	assert_int_equal(epoch_highest(p->attribute), highest);
	assert_int_equal(p->attribute->seen.first, 5001);
	assert_int_equal(p->attribute->newest_ns, newest);
	skip_all(p);
	repeat(p, OLD);
	no_more(p);
	/* Maps of before, whose numbers are lower: what is known of the highest stays. */
	renew(p, NEW, 301, 1);
	assert_int_equal(epoch_highest(p->attribute), highest);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(the_first_of_a_boot_is_no_gap),
		TEST(what_lived_ends_and_a_gap_is_told),
		TEST(what_was_told_to_end_is_not_told_again),
		TEST(numbers_begin_anew),
		TEST(losses_begin_anew),
		TEST(the_same_again_changes_nothing),
		TEST(a_journal_alone_goes_on),
		TEST(an_old_state_is_followed_by_a_gap),
		TEST(what_is_no_epoch_is_left_alone),
		TEST(a_saved_state_knows_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
