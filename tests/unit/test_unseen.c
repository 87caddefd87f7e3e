/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's marks of sessions that nobody knows go; those of sessions that may begin yet stay. */
#include "pipeline.h"

#define SOURCE_NO_RING
#define SOURCE_UNSEEN
#include "source_none.h"

#include "daemon/core.h"

struct source {
	struct tag tags[4];
	size_t tags_count;
	uint64_t keys[8];
	uint64_t at[8];
	size_t count;
	unsigned int asked; /* for all tags */
	bool broken;
};

int source_tag(struct source *s, int pidfd, const struct tag *tag)
{
	(void)s, (void)pidfd, (void)tag;
	return -ESRCH;
}

int source_tag_of(struct source *s, pid_t tgid, struct tag *ret)
{
	(void)s, (void)tgid, (void)ret;
	return -ENOENT;
}

int source_untag(struct source *s, pid_t tgid, uint64_t start_boottime)
{
	(void)s, (void)tgid, (void)start_boottime;
	return 0;
}

uint32_t source_tags_max(const struct source *s)
{
	return sizeof(s->tags) / sizeof(s->tags[0]);
}

int source_each_tag(struct source *s, int (*each)(pid_t tgid, const struct tag *tag, void *data),
		    void *data)
{
	s->asked++;
	for (size_t i = 0; i < s->tags_count; i++) {
		int err = each(100 + i, &s->tags[i], data);

		if (err)
			return err;
	}
	return s->broken ? -ENOMEM : 0;
}

int source_sweep_unseen(struct source *s, uint64_t before_ns,
			bool (*keep)(uint64_t session, void *data), void *data)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->count; i++) {
		if (s->at[i] < before_ns && !keep(s->keys[i], data))
			continue;
		s->keys[kept] = s->keys[i];
		s->at[kept++] = s->at[i];
	}
	s->count = kept;
	return 0;
}

void source_forget_unseen(struct source *s, uint64_t session, uint64_t before_ns)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->count; i++) {
		if (s->keys[i] == session && s->at[i] < before_ns)
			continue;
		s->keys[kept] = s->keys[i];
		s->at[kept++] = s->at[i];
	}
	s->count = kept;
}

static void mark(struct source *s, uint64_t key, uint64_t at)
{
	s->keys[s->count] = key;
	s->at[s->count++] = at;
}

struct fixture {
	struct pipeline *p;
	struct source source;
	struct core core;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->p = pipeline_new();
	f->core.attribute = f->p->attribute;
	f->core.source = &f->source;
	f->core.drained_ns = 1000 * S;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	pipeline_free(f->p);
	free(f);
	return 0;
}

static void forgets_who_is_in_no_session(void **state)
{
	struct fixture *f = *state;
	struct proc ended = begin_session(f->p, 43, 200);

	begin_session(f->p, 42, 100);
	do_exit(f->p, &ended, 0);
	assert_non_null(session_find(&f->p->attribute->table, 42));
	assert_null(session_find(&f->p->attribute->table, 43));
	f->source.tags[f->source.tags_count++] = (struct tag){.session = 77};
	f->source.tags[f->source.tags_count++] = (struct tag){.session = 44};
	mark(&f->source, 9, 100 * S);  /* nobody's */
	mark(&f->source, 42, 100 * S); /* lives */
	mark(&f->source, 43, 100 * S); /* ended lately: a digest may be awaited */
	mark(&f->source, 44, 100 * S); /* its first event was the one that was lost */
	mark(&f->source, 10, 941 * S); /* young: its events may be on their way */
	mark(&f->source, 11, 939 * S);
	unseen_sweep(&f->core);
	assert_int_equal(f->source.count, 4);
	assert_int_equal(f->source.keys[0], 42);
	assert_int_equal(f->source.keys[1], 43);
	assert_int_equal(f->source.keys[2], 44);
	assert_int_equal(f->source.keys[3], 10);
	assert_int_equal(f->source.asked, 1);
}

static void asks_for_tags_only_when_it_has_to(void **state)
{
	struct fixture *f = *state;

	begin_session(f->p, 42, 100);
	mark(&f->source, 42, 100 * S);
	mark(&f->source, 9, 999 * S);
	unseen_sweep(&f->core);
	assert_int_equal(f->source.count, 2);
	assert_int_equal(f->source.asked, 0);
}

static void keeps_all_when_tags_cannot_be_told(void **state)
{
	struct fixture *f = *state;

	f->source.broken = true;
	mark(&f->source, 9, 100 * S);
	unseen_sweep(&f->core);
	assert_int_equal(f->source.count, 1);
	/* Nor before the ring was read for the first time. */
	f->source.broken = false;
	f->core.drained_ns = 0;
	unseen_sweep(&f->core);
	assert_int_equal(f->source.count, 1);
	f->core.drained_ns = 1000 * S;
	unseen_sweep(&f->core);
	assert_int_equal(f->source.count, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(forgets_who_is_in_no_session),
		TEST(asks_for_tags_only_when_it_has_to),
		TEST(keeps_all_when_tags_cannot_be_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
