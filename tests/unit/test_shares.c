/* SPDX-License-Identifier: Apache-2.0 */
/* The count of what sessions hold comes right again, and is never set right while it changes. */
#define PIPELINE_WITHOUT_ENRICH
#include "core_fixture.h"

#include <unistd.h>

#include "daemon/core.h"

#define SOURCE_NO_RING
#define SOURCE_NO_TAGS
#define SOURCE_EACH_TAG
#define SOURCE_SHARES
#include "source_none.h"

/* ---- the kernel's side ---- */

struct source {
	uint64_t session;
	struct share share;
	bool has_share;
	uint32_t tags; /* of the session, that there are */
	void (*meanwhile)(struct source *s); /* while the tags are read */
	int32_t adjusted;
	unsigned int adjustments, forgotten;
	bool unknown;
};

int source_each_tag(struct source *s, int (*each)(pid_t tgid, const struct tag *tag, void *data),
		    void *data)
{
	const struct tag tag = {.session = s->session};

	for (uint32_t i = 0; i < s->tags; i++)
		if (each(1000 + i, &tag, data))
			return 1;
	if (s->meanwhile)
		s->meanwhile(s);
	return 0;
}

int source_share(const struct source *s, uint64_t session, struct share *ret)
{
	if (!s->has_share || session != s->session)
		return -ENOENT;
	*ret = s->share;
	return 0;
}

int source_walk_shares(struct source *s, struct source_walk *w,
		       int (*each)(uint64_t session, const struct share *share, void *data),
		       void *data)
{
	w->on = false;
	return s->has_share ? each(s->session, &s->share, data) : 0;
}

int source_share_adjust(struct source *s, uint64_t session, int32_t tags)
{
	assert_true(session == s->session);
	s->has_share = true;
	s->share.tags += tags;
	s->share.changes++;
	s->adjusted += tags;
	s->adjustments++;
	return 0;
}

int source_share_forget(struct source *s, uint64_t session)
{
	assert_true(session == s->session);
	s->has_share = false;
	s->forgotten++;
	return 0;
}

bool source_untagged(const struct source *s, uint64_t session)
{
	(void)s, (void)session;
	return false;
}

bool source_untagged_unknown(const struct source *s)
{
	return s->unknown;
}

size_t source_ring_used(const struct source *s)
{
	(void)s;
	return 0;
}

void source_untagged_known(struct source *s)
{
	s->unknown = false;
}

/* ---- the daemon's ---- */

struct fixture {
	struct pipeline *p;
	struct source source;
	struct core core;
	char directory[CORE_DIRECTORY_SIZE];
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (core_begin(&f->core, &f->source, &f->p, f->directory))
		return 1;
	f->source.session = 42;
	f->source.has_share = true;
	begin_session(f->p, 42, 5000001);
	begin_session(f->p, 43, 5000002);
	skip_all(f->p);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	shares_free(f->core.shares);
	core_end(&f->core, f->p, f->directory);
	free(f);
	return 0;
}

static void look(struct fixture *f, unsigned int times)
{
	while (times--)
		shares_look(&f->core);
}

static void leaves_what_is_right(void **state)
{
	struct fixture *f = *state;

	f->source.tags = f->source.share.tags = 7;
	look(f, 5);
	assert_int_equal(f->source.adjustments, 0);
	assert_int_equal(f->source.forgotten, 0);
}

static void corrects_at_the_second_look(void **state)
{
	static const struct {
		uint32_t counted, there;
	} cases[] = {{9, 7}, {3, 7}, {1, 0}, {-2, 0}, {0, 5}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct fixture *f = *state;

		f->source.adjustments = 0;
		f->source.share.tags = cases[i].counted;
		f->source.tags = cases[i].there;
		look(f, 1);
		assert_int_equal(f->source.adjustments, 0);
		look(f, 1);
		assert_int_equal(f->source.adjustments, 1);
		assert_int_equal(f->source.share.tags, cases[i].there);
		look(f, 3);
		assert_int_equal(f->source.adjustments, 1);
	}
}

/* Its share found no room, or went: what it holds is counted anew. */
static void counts_who_has_no_share(void **state)
{
	struct fixture *f = *state;

	f->source.has_share = false;
	f->source.tags = 4;
	look(f, 2);
	assert_true(f->source.has_share);
	assert_int_equal(f->source.share.tags, 4);
}

static void fork_and_exit(struct source *s)
{
	s->share.changes += 2;
}

static void fork_child(struct source *s)
{
	s->share.changes++;
	s->share.tags++;
	s->tags++;
}

/* What is read then is of no one moment. */
static void waits_while_it_changes(void **state)
{
	struct fixture *f = *state;

	f->source.share.tags = 5;
	f->source.tags = 6;
	f->source.meanwhile = fork_and_exit;
	look(f, 5);
	f->source.meanwhile = fork_child;
	look(f, 5);
	assert_int_equal(f->source.adjustments, 0);
	f->source.meanwhile = NULL;
	look(f, 1);
	assert_int_equal(f->source.adjustments, 0);
	look(f, 1);
	assert_int_equal(f->source.adjusted, 1);
}

/* A hook between its count and its tag, at one look. */
static void takes_no_hook_for_a_mistake(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 4; i++) {
		f->source.share.tags = f->source.tags + 1;
		look(f, 1);
		f->source.share.tags = f->source.tags;
		look(f, 1);
	}
	assert_int_equal(f->source.adjustments, 0);
}

static void forgets_who_is_over(void **state)
{
	struct fixture *f = *state;

	look(f, 3);
	assert_int_equal(f->source.forgotten, 0); /* it lives */
	f->source.session = 44;
	f->source.share.flows = 1;
	look(f, 3);
	assert_int_equal(f->source.forgotten, 0);
	f->source.share.flows = 0;
	look(f, 1);
	assert_int_equal(f->source.forgotten, 0);
	look(f, 1);
	assert_int_equal(f->source.forgotten, 1);
	assert_int_equal(f->source.adjustments, 0);
}

/* The event that would have said so found no room in the ring. */
static void marks_a_session_once(void **state)
{
	struct fixture *f = *state;
	uint64_t bytes = journal_bytes(f->core.journal);

	f->source.share.flags = SHARE_UNTAGGED;
	look(f, 1);
	assert_true(session_find(&f->p->attribute->table, 42)->untagged);
	assert_false(session_find(&f->p->attribute->table, 43)->untagged);
	assert_true(journal_bytes(f->core.journal) > bytes);
	bytes = journal_bytes(f->core.journal);
	look(f, 3);
	assert_int_equal(journal_bytes(f->core.journal), bytes);
}

static void marks_all_when_it_can_be_any(void **state)
{
	struct fixture *f = *state;

	f->source.unknown = true;
	look(f, 1);
	assert_false(f->source.unknown);
	assert_true(session_find(&f->p->attribute->table, 42)->untagged);
	assert_true(session_find(&f->p->attribute->table, 43)->untagged);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(leaves_what_is_right),
		TEST(corrects_at_the_second_look),
		TEST(counts_who_has_no_share),
		TEST(waits_while_it_changes),
		TEST(takes_no_hook_for_a_mistake),
		TEST(forgets_who_is_over),
		TEST(marks_a_session_once),
		TEST(marks_all_when_it_can_be_any),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
