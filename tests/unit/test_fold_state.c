/* SPDX-License-Identifier: Apache-2.0 */
/* What is being folded outlives the daemon, and what contradicts itself is refused. */
#include "pipeline.h"
#include "saved.h"

#include "collect/fold.h"
#include "record/folded.h"

static int set_up(void **state)
{
	Affiant__V1__NoteFold size = AFFIANT__V1__NOTE_FOLD__INIT;
	struct pipeline *p = pipeline_new();
	struct event_unix x = {.path_len = 4, .path = "/run", .flags = CONNECT_OPENER};
	struct proc run, child;
	struct event_connect c;

	SET(&size, state_bytes, 256 << 10);
	do_note(p, NOTE_FOLD, &size.base);
	run = begin_session(p, 100, 50);
	for (int i = 0; i < 200; i++) {
		c = do_connect(p, &run, 1 + i);
		do_outcome(p, &c, i % 2 ? ECONNREFUSED : 0);
	}
	do_connect(p, &run, 1000);
	head_fill(p, &x.header, 1, EVENT_UNIX, sizeof(x), &run);
	x.connection = event_source(&x.header);
	x.opener = x.header.actor;
	give(p, &x);
	child = do_fork(p, &run, 51);
	do_exec(p, &child, &run, "/usr/bin/agent");
	do_exit(p, &child, 0);
	/* More than a window has room for, as if. */
	p->attribute->folding->window->beyond[AFFIANT__V1__FOLDED_KIND__FOLDED_CLOSE].count = 3;
	skip_all(p);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	pipeline_free(*state);
	return 0;
}

static void comes_back_as_it_was(void **state)
{
	struct pipeline *p = *state;
	size_t before_len, after_len, connections = HASH_COUNT(p->attribute->table.connections);
	uint8_t *before = save(p->attribute, &before_len), *after;
	Affiant__V1__State *m = saved(p);

	assert_non_null(m->sessions[0]->fold->window);
	assert_true(m->sessions[0]->fold->window->n_entries > 100);
	assert_int_equal(m->sessions[0]->fold->window->n_beyond, 1);
	assert_true(m->sessions[0]->fold->named.len && m->sessions[0]->fold->ran.len);
	assert_int_equal(m->budgets->n_agents, 1);
	assert_int_equal(load(p, m), 0);
	after = save(p->attribute, &after_len);
	assert_int_equal(before_len, after_len);
	assert_memory_equal(before, after, before_len);
	free(before);
	free(after);
	/* What is folded is not awaited. */
	assert_int_equal(HASH_COUNT(p->attribute->table.connections), connections);
	attribute_tick(p->attribute, p->now + 10 * S);
	no_more(p);
}

/* The next record is the same, whether there was a restart before it or not. */
static void tells_the_same(void **state)
{
	struct pipeline *p = *state;
	Affiant__V1__State *m = saved(p);
	Affiant__V1__NoteFold *due;
	uint8_t *packed[2];
	size_t len[2];

	p->now += 3600 * S;
	due = fold_due(p->attribute, p->now);
	for (int i = 0; i < 2; i++) {
		struct event_header *h = NULL;
		const struct emitted *e;

		assert_int_equal(note_new(NOTE_FOLD, 77, p->now, &due->base, &h), 0);
		give(p, h);
		free(h);
		e = &p->records[p->count - 1];
		assert_int_equal(e->r->body_case, AFFIANT__V1__RECORD__BODY_FOLDED);
		assert_int_equal(e->part, PART_FOLDED);
		len[i] = e->len;
		packed[i] = malloc(e->len);
		memcpy(packed[i], e->bytes, e->len);
		if (!i)
			assert_int_equal(load(p, m), 0);
	}
	assert_int_equal(len[0], len[1]);
	assert_memory_equal(packed[0], packed[1], len[0]);
	free(packed[0]);
	free(packed[1]);
	affiant__v1__note_fold__free_unpacked(due, NULL);
}

static Affiant__V1__StateWindow *window(Affiant__V1__State *m)
{
	return m->sessions[0]->fold->window;
}

static void same_agent(Affiant__V1__State *m)
{
	m->budgets->agents = realloc(m->budgets->agents, 2 * sizeof(*m->budgets->agents));
	m->budgets->agents[1] = malloc(sizeof(**m->budgets->agents));
	affiant__v1__state_budget__init(m->budgets->agents[1]);
	m->budgets->agents[1]->agent = strdup(m->budgets->agents[0]->agent);
	m->budgets->n_agents = 2;
}
static void no_agent(Affiant__V1__State *m)
{
	free(m->budgets->agents[0]->agent);
	m->budgets->agents[0]->agent = NULL;
}
static void too_large(Affiant__V1__State *m)
{
	SET(m->budgets, state_bytes, BUDGET_STATE_MAX + 1);
}
static void half_a_key(Affiant__V1__State *m)
{
	m->sessions[0]->fold->named.len--;
}
static void too_many_keys(Affiant__V1__State *m)
{
	ProtobufCBinaryData *ran = &m->sessions[0]->fold->ran;

	free(ran->data);
	ran->len = (FOLD_KEYS_MAX + 1) * sizeof(struct fold_key);
	ran->data = calloc(1, ran->len);
	for (uint32_t i = 0; i <= FOLD_KEYS_MAX; i++)
		memcpy(ran->data + i * sizeof(struct fold_key) + 8, &i, sizeof(i));
}
static void short_key(Affiant__V1__State *m)
{
	window(m)->entries[0]->key.len--;
}
static void no_such_kind(Affiant__V1__State *m)
{
	window(m)->entries[0]->key.data[0] = FOLD_KINDS << 4;
}
static void no_such_kind_beyond(Affiant__V1__State *m)
{
	window(m)->beyond[0]->key.data[0] = 0xf0;
}
static void no_such_outcome(Affiant__V1__State *m)
{
	window(m)->entries[0]->key.data[1] |= 0x0f;
}
static void same_entry(Affiant__V1__State *m)
{
	memcpy(window(m)->entries[0]->key.data, window(m)->entries[1]->key.data,
	       sizeof(struct fold_key));
}
static void path_of_an_address(Affiant__V1__State *m)
{
	SET(window(m)->entries[0], path, pb_copy("/x", 2));
}

static void refuses_contradictions(void **state)
{
	static void (*const contradictions[])(Affiant__V1__State * m) = {
		same_agent,	     no_agent,	   too_large,	       half_a_key,
		too_many_keys,	     short_key,	   no_such_kind,       no_such_kind_beyond,
		no_such_outcome,     same_entry,   path_of_an_address,
	};
	struct pipeline *p = *state;
	size_t len;
	uint8_t *packed = save(p->attribute, &len);

	for (size_t i = 0; i < sizeof(contradictions) / sizeof(contradictions[0]); i++) {
		Affiant__V1__State *m = affiant__v1__state__unpack(NULL, len, packed);

		contradictions[i](m);
		if (load(p, m) != -EBADMSG)
			fail_msg("contradiction %zu", i);
	}
	free(packed);
}

/* Numbers can be any: what follows from them is bounded. */
static void takes_any_numbers(void **state)
{
	struct pipeline *p = *state;
	Affiant__V1__State *m = saved(p);

	m->budgets->agents[0]->bucket->level = INT64_MIN;
	m->sessions[0]->fold->bucket->level = INT64_MAX;
	m->sessions[0]->fold->bucket->boottime_ns = UINT64_MAX;
	m->sessions[0]->fold->number = UINT32_MAX;
	window(m)->from_boottime_ns = UINT64_MAX;
	for (size_t i = 0; i < window(m)->n_entries; i++)
		window(m)->entries[i]->count = UINT64_MAX;
	assert_int_equal(load(p, m), 0);
	assert_null(fold_due(p->attribute, p->now));
	attribute_finish(p->attribute, true);
	assert_true(p->count > p->read);
}

static const Affiant__V1__StateSession *session_in(const Affiant__V1__State *m, uint64_t key)
{
	for (size_t i = 0; i < m->n_sessions; i++)
		if (m->sessions[i]->key == key)
			return m->sessions[i];
	return NULL;
}

/* By a socket that outlived it: nothing else has it in mind any more. */
static void of_a_session_that_ended_long_ago(void **state)
{
	struct pipeline *p = *state;
	struct proc run = begin_session(p, 101, 60), other;
	struct event_connect c = do_connect(p, &run, 2000);
	const Affiant__V1__StateSession *found;
	Affiant__V1__State *m;

	do_outcome(p, &c, 0);
	do_exit(p, &run, 0);
	for (uint32_t i = 0; i < 65; i++) {
		other = begin_session(p, 200 + i, 1000 + i);
		do_exit(p, &other, 0);
	}
	do_close(p, &c);
	m = saved(p);
	found = session_in(m, 101);
	assert_non_null(found);
	assert_non_null(found->fold->window);
	affiant__v1__state__free_unpacked(m, NULL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(comes_back_as_it_was),
		TEST(tells_the_same),
		TEST(refuses_contradictions),
		TEST(takes_any_numbers),
		TEST(of_a_session_that_ended_long_ago),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
