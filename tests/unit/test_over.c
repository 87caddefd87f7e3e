/* SPDX-License-Identifier: Apache-2.0 */
/* A session ends when the kernel has nobody in it. */
#define PIPELINE_WITHOUT_ENRICH
#include "core_fixture.h"

#include <unistd.h>

#include "daemon/core.h"

#define SOURCE_NO_RING
#define SOURCE_NO_TAGS
#define SOURCE_EACH_TAG
#define SOURCE_UNTAGGED
#define SOURCE_SHARES
#include "source_none.h"

/* ---- the kernel's side ---- */

struct source {
	bool counted; /* there is a share */
	struct share share;
	struct tag tag; /* the only one there is; session 0: none */
	unsigned int asked, walked;
	bool any_untagged;
};

int source_each_tag(struct source *s, int (*each)(pid_t tgid, const struct tag *tag, void *data),
		    void *data)
{
	s->walked++;
	return s->tag.session ? each(101, &s->tag, data) : 0;
}

int source_share(const struct source *s, uint64_t session, struct share *ret)
{
	((struct source *)s)->asked++;
	(void)session;
	if (s->counted)
		*ret = s->share;
	return s->counted ? 0 : -ENOENT;
}

size_t source_ring_used(const struct source *s)
{
	(void)s;
	return 0;
}

bool source_any_untagged(const struct source *s)
{
	return s->any_untagged;
}

#define UNUSED(declaration, result)                                                                \
	declaration                                                                                \
	{                                                                                          \
		return result;                                                                     \
	}
#pragma GCC diagnostic ignored "-Wunused-parameter"
UNUSED(int source_tag_untagged(struct source *s), 0)
UNUSED(bool source_untagged(const struct source *s, uint64_t session), false)
UNUSED(bool source_untagged_unknown(const struct source *s), false)
UNUSED(void source_untagged_known(struct source *s), )
UNUSED(int source_walk_shares(struct source *s, struct source_walk *w,
			      int (*each)(uint64_t session, const struct share *share, void *data),
			     void *data),
       0)
UNUSED(int source_share_adjust(struct source *s, uint64_t session, int32_t tags), 0)
UNUSED(int source_share_forget(struct source *s, uint64_t session), 0)

/* ---- the daemon's ---- */

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

	core_end(&f->core, f->p, f->directory);
	free(f);
	return 0;
}

/* What was in the ring until now has been read. */
static void look(struct fixture *f)
{
	f->core.drained_ns = core_boottime_ns();
	sessions_over(&f->core);
}

static void leave(struct fixture *f)
{
	do_exit(f->p, &f->run, 0);
	NEXT(f->p, PART_MAIN, EXIT);
}

static void asks_nothing_while_somebody_is_known(void **state)
{
	struct fixture *f = *state;

	look(f);
	assert_int_equal(f->source.asked + f->source.walked, 0);
}

static void ends_at_the_second_look(void **state)
{
	struct fixture *f = *state;
	uint64_t bytes;

	f->source.counted = true;
	leave(f);
	bytes = journal_bytes(f->core.journal);
	look(f);
	no_more(f->p);
	/* What was in the ring then has not been read yet. */
	sessions_over(&f->core);
	no_more(f->p);
	look(f);
	NEXT(f->p, PART_SESSION_ENDED, SESSION_ENDED);
	assert_true(journal_bytes(f->core.journal) > bytes); /* a restart finds the same */
	assert_int_equal(f->source.walked, 0);
}

static void keeps_one_that_has_tags(void **state)
{
	struct fixture *f = *state;

	f->source.counted = true;
	f->source.share.tags = 1;
	leave(f);
	for (int i = 0; i < 5; i++)
		look(f);
	no_more(f->p);
	assert_int_equal(f->source.asked, 1); /* it is not asked all the time */
	f->source.share.tags = 0;
	usleep(300000);
	look(f);
	look(f);
	NEXT(f->p, PART_SESSION_ENDED, SESSION_ENDED);
}

/* There was no room to count it. */
static void looks_at_all_tags_of_one_that_is_not_counted(void **state)
{
	struct fixture *f = *state;

	f->source.tag.session = 42;
	leave(f);
	look(f);
	look(f);
	no_more(f->p);
	f->source.tag.session = 43;
	usleep(300000);
	look(f);
	look(f);
	NEXT(f->p, PART_SESSION_ENDED, SESSION_ENDED);
}

/* Who found no room among the tags is in it, too. */
static void keeps_one_that_may_have_some_without_a_tag(void **state)
{
	struct fixture *f = *state;

	f->source.counted = f->source.any_untagged = true;
	f->source.share.flags = SHARE_UNTAGGED;
	leave(f);
	look(f);
	look(f);
	no_more(f->p);
	f->source.any_untagged = false;
	usleep(300000);
	look(f);
	look(f);
	NEXT(f->p, PART_SESSION_ENDED, SESSION_ENDED);
}

/* Alone it was, and then somebody came of it. */
static void keeps_one_of_which_somebody_came(void **state)
{
	struct fixture *f = *state;
	struct proc child = {.session = 42, .tgid = 101, .start = f->p->now, .exec_seq = 2};

	f->source.counted = true;
	leave(f);
	look(f);
	do_fork(f->p, &child, 102);
	look(f);
	look(f);
	no_more(f->p);
	assert_non_null(session_find(&f->p->attribute->table, 42));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(asks_nothing_while_somebody_is_known),
		TEST(ends_at_the_second_look),
		TEST(keeps_one_that_has_tags),
		TEST(looks_at_all_tags_of_one_that_is_not_counted),
		TEST(keeps_one_that_may_have_some_without_a_tag),
		TEST(keeps_one_of_which_somebody_came),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
