/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that the kernel has in a session, and of which no event told. */
#define PIPELINE_WITHOUT_ENRICH
#include "core_fixture.h"

#include <unistd.h>

#include "daemon/core.h"

#define SOURCE_NO_RING
#define SOURCE_NO_TAGS
#define SOURCE_EACH_TAG
#include "source_none.h"

struct source {
	struct tag tags[2];
	size_t count;
};

int source_each_tag(struct source *s, int (*each)(pid_t tgid, const struct tag *tag, void *data),
		    void *data)
{
	for (size_t i = 0; i < s->count; i++)
		if (each(100 + i, &s->tags[i], data))
			return 1;
	return 0;
}

size_t source_ring_used(const struct source *s)
{
	(void)s;
	return 0;
}

struct fixture {
	struct pipeline *p;
	struct source source;
	struct core core;
	char directory[CORE_DIRECTORY_SIZE];
	struct proc run;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (core_begin(&f->core, &f->source, &f->p, f->directory))
		return 1;
	f->p->attribute->config.ends_by_note = true;
	f->p->now = core_boottime_ns();
	f->run = begin_session(f->p, 42, 100);
	skip_all(f->p);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	strangers_free(f->core.strangers);
	core_end(&f->core, f->p, f->directory);
	free(f);
	return 0;
}

static void look(struct fixture *f)
{
	strangers_meet(&f->core);
	f->core.drained_ns = core_boottime_ns();
}

/* The one that is known, and a second one. */
static void make_two(struct fixture *f)
{
	f->source.tags[0] = (struct tag){.session = 42, .start_boottime = f->run.start};
	f->source.tags[1] = (struct tag){.session = 42, .start_boottime = f->p->now, .exec_seq = 7};
	f->source.count = 2;
}

static uint64_t live(const struct fixture *f)
{
	return session_find(&f->p->attribute->table, 42)->live;
}

static void enters_who_was_met_before(void **state)
{
	struct fixture *f = *state;
	uint64_t bytes = journal_bytes(f->core.journal);
	struct process *p;

	make_two(f);
	look(f);
	assert_int_equal(live(f), 1);
	look(f);
	assert_int_equal(live(f), 2);
	assert_true(journal_bytes(f->core.journal) > bytes);
	p = process_find(&f->p->attribute->table, 101, f->source.tags[1].start_boottime);
	assert_int_equal(p->actor->key.exec_seq, 7);
	assert_true(p->actor->lineage->cut);
	bytes = journal_bytes(f->core.journal);
	look(f);
	assert_int_equal(journal_bytes(f->core.journal), bytes);
}

/* The event of its fork may still lie in the ring. */
static void waits_for_what_was_not_read(void **state)
{
	struct fixture *f = *state;

	make_two(f);
	for (int i = 0; i < 4; i++)
		strangers_meet(&f->core);
	assert_int_equal(live(f), 1);
}

static void forgets_who_is_gone(void **state)
{
	struct fixture *f = *state;

	make_two(f);
	look(f);
	f->source.count = 1;
	look(f);
	f->source.count = 2;
	look(f);
	assert_int_equal(live(f), 1);
	look(f);
	assert_int_equal(live(f), 2);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(enters_who_was_met_before),
		TEST(waits_for_what_was_not_read),
		TEST(forgets_who_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
