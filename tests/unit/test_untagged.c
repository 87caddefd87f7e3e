/* SPDX-License-Identifier: Apache-2.0 */
/* Who found no room among the tags is named in Lost records, once, and not by the thousand. */
#include "pipeline.h"

#include "collect/loss.h"
#include "collect/untagged.h"

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

/* As the daemon does it, once a second; @tags: the kernel's count. NULL: there was nothing. */
static const Affiant__V1__Lost *tell_losses(struct pipeline *p, uint64_t tags)
{
	const uint64_t kernel[LOSS_ALL] = {[LOSS_TAG] = tags};
	Affiant__V1__Lost *m;

	attribute_tick(p->attribute, p->attribute->now_ns + S);
	m = loss_since(p->attribute, kernel);
	if (!m)
		return NULL;
	do_note(p, NOTE_LOST, &m->base);
	affiant__v1__lost__free_unpacked(m, NULL);
	return NEXT(p, PART_MAIN, LOST)->lost;
}

static void reload(struct pipeline *p)
{
	Affiant__V1__State *m = state_save(p->attribute);

	attribute_free(p->attribute);
	assert_int_equal(attribute_new(&p->config, &p->attribute), 0);
	attribute_tick(p->attribute, p->now);
	assert_int_equal(state_load(p->attribute, m), 0);
	affiant__v1__state__free_unpacked(m, NULL);
}

static void names_them(void **state)
{
	struct pipeline *p = *state;
	struct proc run = begin_session(p, 42, 100), child = do_untagged(p, &run, 101);
	const Affiant__V1__Lost *m;

	skip_all(p);
	m = tell_losses(p, 1);
	assert_non_null(m);
	assert_int_equal(m->n_counts, 1);
	assert_string_equal(m->counts[0]->stage, "tag");
	assert_int_equal(m->counts[0]->count, 1);
	assert_int_equal(m->n_processes, 1);
	assert_id(m->processes[0]->id, &child);
	assert_id(m->processes[0]->parent, &run);
	assert_memory_equal(m->processes[0]->session.data,
			    session_find(&p->attribute->table, 42)->id.bytes, UUID_SIZE);
	assert_null(tell_losses(p, 1));
	no_more(p);
}

/* Each one once, also when the daemon begins anew. */
static void names_each_once(void **state)
{
	struct pipeline *p = *state;
	struct proc run = begin_session(p, 42, 100);
	bool named[200] = {false};
	const Affiant__V1__Lost *m;
	unsigned int records = 0;

	for (uint32_t i = 0; i < 200; i++)
		do_untagged(p, &run, 1000 + i);
	skip_all(p);
	while ((m = tell_losses(p, 200))) {
		assert_int_equal(m->n_counts, records ? 0 : 1);
		assert_true(m->n_processes > 0 && m->n_processes <= UNTAGGED_NAMES_MAX);
		for (size_t i = 0; i < m->n_processes; i++) {
			uint32_t at = m->processes[i]->id->tgid - 1000;

			assert_true(at < 200 && !named[at]);
			named[at] = true;
		}
		reload(p);
		assert_true(++records < 10);
	}
	assert_int_equal(records, 4);
	for (size_t i = 0; i < 200; i++)
		assert_true(named[i]);
}

/* An agent that makes them without end does not fill the ledger with their names. */
static void names_so_many_in_a_while(void **state)
{
	struct pipeline *p = *state;
	struct proc run = begin_session(p, 42, 100);
	const Affiant__V1__Lost *m;
	uint64_t counted = 0;
	size_t names = 0;

	skip_all(p);
	for (uint32_t second = 0; second < 600; second++) {
		for (uint32_t i = 0; i < 100; i++)
			do_untagged(p, &run, 1000 + 100 * second + i);
		m = tell_losses(p, 100ull * (second + 1));
		assert_non_null(m);
		assert_int_equal(m->n_counts, 1);
		counted += m->counts[0]->count;
		names += m->n_processes;
	}
	assert_int_equal(counted, 60000);
	assert_true(names > UNTAGGED_BURST && names <= UNTAGGED_BURST + 600 * UNTAGGED_PER_SECOND);
	assert_true(p->attribute->untagged->count <= UNTAGGED_WAITING_MAX);
}

/* A note that was told already: its names wait no longer, whatever the order. */
static void forgets_what_was_told_before(void **state)
{
	struct pipeline *p = *state;
	struct proc run = begin_session(p, 42, 100);
	const uint64_t kernel[LOSS_ALL] = {[LOSS_TAG] = 3};
	Affiant__V1__Lost *m;

	for (uint32_t i = 0; i < 3; i++)
		do_untagged(p, &run, 101 + i);
	m = loss_since(p->attribute, kernel);
	assert_int_equal(p->attribute->untagged->count, 3);
	untagged_named(p->attribute, m);
	assert_int_equal(p->attribute->untagged->count, 0);
	untagged_named(p->attribute, m);
	affiant__v1__lost__free_unpacked(m, NULL);
}

static void refuses_what_names_nobody(void **state)
{
	Affiant__V1__LostProcess m = AFFIANT__V1__LOST_PROCESS__INIT;
	Affiant__V1__ProcessId id = AFFIANT__V1__PROCESS_ID__INIT;
	uint8_t session[UUID_SIZE] = {1};
	struct untagged_process p;

	(void)state;
	assert_int_equal(untagged_of_message(&m, &p), -EBADMSG);
	m.id = m.parent = &id;
	assert_int_equal(untagged_of_message(&m, &p), -EBADMSG);
	SET(&m, session, pb_bytes(session, UUID_SIZE));
	assert_int_equal(untagged_of_message(&m, &p), 0);
	m.session.len--;
	assert_int_equal(untagged_of_message(&m, &p), -EBADMSG);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(names_them),
		TEST(names_each_once),
		TEST(names_so_many_in_a_while),
		TEST(forgets_what_was_told_before),
		cmocka_unit_test(refuses_what_names_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
