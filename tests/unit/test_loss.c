/* SPDX-License-Identifier: Apache-2.0 */
/* Losses: what Lost records say adds up to what was lost, exactly, whatever happens in between. */
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

/* As the daemon does it, once a second. Whether there was something. */
static bool tell_losses(struct pipeline *p, const uint64_t kernel[static LOSS_ALL])
{
	Affiant__V1__Lost *m = loss_since(p->attribute, kernel);

	if (!m)
		return false;
	do_note(p, NOTE_LOST, &m->base);
	affiant__v1__lost__free_unpacked(m, NULL);
	return true;
}

static uint64_t count_of(Affiant__V1__LostCount *const *counts, size_t n, const char *stage,
			 const char *kind)
{
	uint64_t found = 0;

	for (size_t i = 0; i < n; i++)
		if (!strcmp(counts[i]->stage, stage) && !strcmp(counts[i]->kind, kind)) {
			assert_int_equal(found, 0); /* once at most */
			found = counts[i]->count;
			assert_true(found > 0);
		}
	return found;
}

static const struct {
	unsigned int kind;
	const char *stage, *name;
} kinds[] = {
	{EVENT_FORK, "ring", "fork"},
	{EVENT_EXEC, "ring", "exec"},
	{EVENT_EXIT, "ring", "exit"},
	{EVENT_ADOPT, "ring", "adopt"},
	{EVENT_CONNECT, "ring", "connect"},
	{EVENT_OUTCOME, "ring", "outcome"},
	{EVENT_CLOSE, "ring", "close"},
	{EVENT_UNIX, "ring", "connect_unix"},
	{EVENT_UNTRACKED, "ring", "untracked_socket"},
	{EVENT_TAG_LOST, "ring", "tag_lost"},
	{EVENT_LISTEN, "ring", "listen"},
	{LOSS_STORAGE, "storage", "outcome"},
	{LOSS_TAG, "tag", "process"},
	{LOSS_CGROUP, "cgroup", "cgroup"},
	{LOSS_SLOT, "hook", "slot"},
	{LOSS_HOOK, "hook", "run"},
	{LOSS_CHAIN, "chain", "open"},
	{LOSS_TABLE, "table", "connection"},
	{LOSS_JOURNAL, "journal", "byte"},
	{LOSS_RECORD, "ledger", "record"},
	{LOSS_EVENT, "decode", "event"},
	{LOSS_NUMBER, "sequence", "number"},
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static void names_every_kind(void **state)
{
	struct pipeline *p = *state;
	uint64_t totals[LOSS_ALL];
	const Affiant__V1__Lost *m;

	/* there is no event of type 0, and room for more types */
	assert_int_equal(KINDS, EVENT_TYPES - 1 + LOSS_ALL - LOSS_STORAGE);
	for (unsigned int i = 0; i < LOSS_ALL; i++) {
		totals[i] = i > LOSS_HOOK ? 0 : 100 + i;
		p->attribute->dropped[i] = 100 + i - totals[i];
	}
	assert_true(tell_losses(p, totals));
	m = NEXT(p, PART_MAIN, LOST)->lost;
	assert_int_equal(m->n_counts, KINDS);
	assert_int_equal(m->n_totals, KINDS);
	for (size_t i = 0; i < KINDS; i++) {
		assert_int_equal(count_of(m->counts, m->n_counts, kinds[i].stage, kinds[i].name),
				 100 + kinds[i].kind);
		assert_int_equal(count_of(m->totals, m->n_totals, kinds[i].stage, kinds[i].name),
				 100 + kinds[i].kind);
	}
	assert_false(tell_losses(p, totals));
	no_more(p);
}

static void reload(struct pipeline *p)
{
	Affiant__V1__State *m = state_save(p->attribute);

	attribute_free(p->attribute);
	assert_int_equal(attribute_new(&p->config, &p->attribute), 0);
	assert_int_equal(state_load(p->attribute, m), 0);
	affiant__v1__state__free_unpacked(m, NULL);
}

static void adds_up_exactly(void **state)
{
	struct pipeline *p = *state;
	uint64_t kernel[LOSS_ALL] = {0}, lost[LOSS_ALL] = {0};
	unsigned int seed = 7;

	for (int round = 0; round < 2000; round++) {
		unsigned int kind = kinds[rand_r(&seed) % KINDS].kind;
		uint64_t n = rand_r(&seed) % 1000;

		lost[kind] += n;
		/* Some are the kernel's, some the daemon's own, which begins anew. */
		if (kind > LOSS_HOOK)
			p->attribute->dropped[kind] += n;
		else
			kernel[kind] += n;
		if (rand_r(&seed) % 3 == 0)
			tell_losses(p, kernel);
		if (rand_r(&seed) % 10 == 0)
			reload(p);
	}
	tell_losses(p, kernel);

	for (size_t i = 0; i < KINDS; i++) {
		uint64_t sum = 0, last = 0;

		for (size_t n = 0; n < p->count; n++) {
			const Affiant__V1__Lost *m = p->records[n].r->lost;
			uint64_t total =
				count_of(m->totals, m->n_totals, kinds[i].stage, kinds[i].name);

			sum += count_of(m->counts, m->n_counts, kinds[i].stage, kinds[i].name);
			assert_int_equal(sum, total);
			last = total;
		}
		assert_int_equal(sum, lost[kinds[i].kind]);
		assert_int_equal(last, lost[kinds[i].kind]);
	}
}

/* A note that could not be written is made again. */
static void tells_what_could_not_be_told(void **state)
{
	struct pipeline *p = *state;
	uint64_t kernel[LOSS_ALL] = {[EVENT_EXEC] = 5};
	Affiant__V1__Lost *m = loss_since(p->attribute, kernel);

	affiant__v1__lost__free_unpacked(m, NULL);
	kernel[EVENT_EXEC] = 7;
	assert_true(tell_losses(p, kernel));
	m = NEXT(p, PART_MAIN, LOST)->lost;
	assert_int_equal(count_of(m->counts, m->n_counts, "ring", "exec"), 7);
}

static void give_number(struct pipeline *p, uint32_t cpu, uint64_t sequence, uint64_t time)
{
	struct event_untracked e = {.family = AF_INET};
	struct proc by = {.session = 1, .tgid = 1, .start = 1, .exec_seq = 1};

	head_fill(p, &e.header, cpu, EVENT_UNTRACKED, sizeof(e), &by);
	e.header.sequence = sequence;
	e.header.boottime_ns = time;
	give(p, &e);
}

static const Affiant__V1__Lost *last_lost(const struct pipeline *p)
{
	const Affiant__V1__Record *r = p->records[p->count - 1].r;

	assert_int_equal(r->body_case, AFFIANT__V1__RECORD__BODY_LOST);
	return r->lost;
}

static void tells_between_which_numbers(void **state)
{
	struct pipeline *p = *state;
	uint64_t kernel[LOSS_ALL] = {[EVENT_EXEC] = 3};
	const Affiant__V1__Lost *m;

	give_number(p, 4, 1, S);
	give_number(p, 4, 5, S);
	/* The numbers may still come, the count is certain. */
	assert_true(tell_losses(p, kernel));
	m = last_lost(p);
	assert_int_equal(m->n_counts, 1);
	assert_int_equal(m->n_ranges, 0);
	give_number(p, 4, 6, 2 * S + 1);
	assert_false(tell_losses(p, kernel));
	give_number(p, 4, 7, 4 * S);
	assert_true(tell_losses(p, kernel));
	m = last_lost(p);
	assert_int_equal(m->n_counts, 1);
	assert_int_equal(count_of(m->counts, m->n_counts, "sequence", "number"), 3);
	assert_int_equal(m->n_ranges, 1);
	assert_int_equal(m->ranges[0]->cpu, 4);
	assert_int_equal(m->ranges[0]->first, 2);
	assert_int_equal(m->ranges[0]->last, 4);
	assert_int_equal(count_of(m->totals, m->n_totals, "ring", "exec"), 3);
	assert_false(tell_losses(p, kernel));
}

static void tells_gaps_once_across_a_restart(void **state)
{
	struct pipeline *p = *state;
	uint64_t kernel[LOSS_ALL] = {0};

	give_number(p, 4, 1, S);
	give_number(p, 4, 5, S);
	give_number(p, 4, 6, 2 * S);
	give_number(p, 4, 7, 3 * S);
	/* Found, saved, loaded, told. */
	assert_int_equal(p->attribute->gaps_count, 1);
	reload(p);
	assert_int_equal(p->attribute->gaps_count, 1);
	assert_true(tell_losses(p, kernel));
	assert_int_equal(last_lost(p)->n_ranges, 1);
	assert_int_equal(
		count_of(last_lost(p)->totals, last_lost(p)->n_totals, "sequence", "number"), 3);
	reload(p);
	give_number(p, 4, 8, 5 * S);
	give_number(p, 4, 9, 7 * S);
	assert_false(tell_losses(p, kernel));
}

/* The note is read again before what led to it is found again. */
static void tells_gaps_once_when_a_journal_is_read_again(void **state)
{
	struct pipeline *p = *state;
	uint64_t kernel[LOSS_ALL] = {0};
	Affiant__V1__Lost m = AFFIANT__V1__LOST__INIT;
	Affiant__V1__LostRange range = AFFIANT__V1__LOST_RANGE__INIT, *list[] = {&range};

	give_number(p, 4, 1, S);
	give_number(p, 4, 5, S);
	SET(&range, cpu, 4);
	SET(&range, first, 2);
	SET(&range, last, 4);
	m.n_ranges = 1;
	m.ranges = list;
	do_note(p, NOTE_LOST, &m.base);
	assert_int_equal(last_lost(p)->n_ranges, 1);
	give_number(p, 4, 6, 3 * S);
	give_number(p, 4, 8, 5 * S);
	give_number(p, 4, 9, 7 * S);
	give_number(p, 4, 10, 9 * S);
	assert_true(tell_losses(p, kernel));
	assert_int_equal(last_lost(p)->n_ranges, 1);
	assert_int_equal(last_lost(p)->ranges[0]->first, 7);
	assert_int_equal(last_lost(p)->ranges[0]->last, 7);
}

static void bounds_its_ranges(void **state)
{
	struct pipeline *p = *state;
	uint64_t kernel[LOSS_ALL] = {[EVENT_EXEC] = 5000};

	for (uint64_t n = 1; n < 10000; n += 2)
		give_number(p, 4, n, S);
	give_number(p, 4, 10001, 3 * S);
	give_number(p, 4, 10003, 5 * S);
	assert_true(tell_losses(p, kernel));
	assert_int_equal(last_lost(p)->n_ranges, 64);
	assert_int_equal(count_of(last_lost(p)->counts, last_lost(p)->n_counts, "ring", "exec"),
			 5000);
	/* Those of the ranges that found no room are counted. */
	assert_int_equal(
		count_of(last_lost(p)->counts, last_lost(p)->n_counts, "sequence", "number"), 5000);
	assert_false(tell_losses(p, kernel));
}

/* What user space dropped is in the note; a state of before it knows less. */
static void tells_more_after_a_crash(void **state)
{
	struct pipeline *p = *state;
	uint64_t kernel[LOSS_ALL] = {[EVENT_EXEC] = 5};
	Affiant__V1__State *before;
	Affiant__V1__Lost *m;

	p->attribute->dropped[LOSS_CHAIN] = 4;
	assert_true(tell_losses(p, kernel));
	before = state_save(p->attribute);
	p->attribute->dropped[LOSS_CHAIN] = 20;
	kernel[EVENT_EXEC] = 7;
	m = loss_since(p->attribute, kernel);

	/* The journal behind the state has the note alone. */
	attribute_free(p->attribute);
	assert_int_equal(attribute_new(&p->config, &p->attribute), 0);
	assert_int_equal(state_load(p->attribute, before), 0);
	do_note(p, NOTE_LOST, &m->base);
	assert_false(tell_losses(p, kernel));
	p->attribute->dropped[LOSS_CHAIN] += 3;
	assert_true(tell_losses(p, kernel));
	assert_int_equal(count_of(last_lost(p)->counts, last_lost(p)->n_counts, "chain", "open"),
			 3);
	assert_int_equal(count_of(last_lost(p)->totals, last_lost(p)->n_totals, "chain", "open"),
			 23);
	assert_int_equal(last_lost(p)->n_counts, 1);
	affiant__v1__lost__free_unpacked(m, NULL);
	affiant__v1__state__free_unpacked(before, NULL);
}

static void tells_since_when(void **state)
{
	struct pipeline *p = *state;
	uint64_t kernel[LOSS_ALL] = {[EVENT_EXEC] = 5}, told;

	assert_true(tell_losses(p, kernel));
	assert_false(last_lost(p)->has_from_boottime_ns);
	told = p->records[p->count - 1].r->boottime_ns;
	assert_true(told > 0);
	reload(p);
	kernel[EVENT_EXEC] = 7;
	assert_true(tell_losses(p, kernel));
	assert_int_equal(last_lost(p)->from_boottime_ns, told);
}

static void loss_of(Affiant__V1__Lost *ret, Affiant__V1__LostCount counts[static 2],
		    Affiant__V1__LostCount *list[static 2], uint64_t execs, uint64_t opens)
{
	affiant__v1__lost__init(ret);
	for (int i = 0; i < 2; i++) {
		affiant__v1__lost_count__init(&counts[i]);
		counts[i].stage = (char *)(i ? "chain" : "ring");
		counts[i].kind = (char *)(i ? "open" : "exec");
		SET(&counts[i], count, i ? opens : execs);
		list[i] = &counts[i];
	}
	ret->totals = list;
	ret->n_totals = 2;
}

/* The state is gone, and the ledger has what was told: only what comes to it is told. */
static void goes_on_from_what_was_told(void **state)
{
	struct pipeline *p = *state;
	Affiant__V1__LostCount counts[4], *list[4];
	Affiant__V1__Lost told, before, *m;
	uint64_t kernel[LOSS_ALL] = {0};

	loss_of(&told, counts, list, 100, 7);
	loss_of(&before, counts + 2, list + 2, 60, 5);
	loss_resume(p->attribute, NULL, NULL);
	loss_resume(p->attribute, &told, &before);
	/* 60 of them other maps had counted. */
	kernel[EVENT_EXEC] = 40;
	assert_null(loss_since(p->attribute, kernel));
	kernel[EVENT_EXEC] = 43;
	p->attribute->dropped[LOSS_CHAIN]++;
	m = loss_since(p->attribute, kernel);
	assert_non_null(m);
	assert_int_equal(m->n_counts, 2);
	assert_int_equal(count_of(m->counts, m->n_counts, "ring", "exec"), 3);
	assert_int_equal(count_of(m->counts, m->n_counts, "chain", "open"), 1);
	assert_int_equal(count_of(m->totals, m->n_totals, "ring", "exec"), 103);
	assert_int_equal(count_of(m->totals, m->n_totals, "chain", "open"), 8);
	affiant__v1__lost__free_unpacked(m, NULL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(names_every_kind),
		TEST(adds_up_exactly),
		TEST(tells_what_could_not_be_told),
		TEST(tells_between_which_numbers),
		TEST(tells_gaps_once_across_a_restart),
		TEST(tells_gaps_once_when_a_journal_is_read_again),
		TEST(bounds_its_ranges),
		TEST(tells_more_after_a_crash),
		TEST(tells_since_when),
		TEST(goes_on_from_what_was_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
