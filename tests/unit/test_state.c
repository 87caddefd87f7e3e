/* SPDX-License-Identifier: Apache-2.0 */
/* What is saved is what is loaded, and what contradicts itself is refused. */
#include <dirent.h>

#include "saved.h"
#include "world.h"

static struct world world;

static int set_up(void **state)
{
	struct pipeline *p = pipeline_new();

	world_make(&world, 4242, 600, false, 100);
	p->config.connections_max = 1000;
	p->enrich.slow = true;
	for (size_t i = 0; i < world.count; i++) {
		struct event_header *h = (void *)world.items[i].bytes;

		give(p, h);
		/* At the end digests are awaited. */
		if (i + 100 < world.count)
			digest_ready(p->attribute, &p->enrich);
	}
	skip_all(p);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	pipeline_free(*state);
	world_free(&world);
	return 0;
}

static void has_something_of_everything(void **state)
{
	Affiant__V1__State *m = saved(*state);
	size_t ended = 0, openers = 0, cut = 0;

	for (size_t i = 0; i < m->n_sessions; i++)
		ended += m->sessions[i]->has_ended_wall_ns;
	for (size_t i = 0; i < m->n_connections; i++)
		openers += m->connections[i]->has_opener;
	for (size_t i = 0; i < m->n_actors; i++)
		cut += m->actors[i]->ancestry_cut;
	assert_true(m->n_sessions > ended && ended && m->n_ended && openers && cut);
	assert_true(m->n_images && m->n_actors && m->n_processes && m->n_connections && m->n_held &&
		    m->n_cpus);
	assert_true(m->clock && m->boottime_ns);
	affiant__v1__state__free_unpacked(m, NULL);
}

/* Saving changes nothing, and what was loaded is saved as it was; held records are told by then. */
static void comes_back_as_it_was(void **state)
{
	struct pipeline *p = *state;
	size_t first_len, second_len, held;
	uint8_t *first, *second;

	first = save(p->attribute, &first_len);
	second = save(p->attribute, &second_len);
	assert_int_equal(first_len, second_len);
	assert_memory_equal(first, second, first_len);
	free(first);
	free(second);

	held = p->attribute->table.held;
	assert_true(held > 0);
	assert_int_equal(load(p, saved(p)), 0);
	assert_int_equal(p->count - p->read, held);
	skip_all(p);
	first = save(p->attribute, &first_len);
	assert_int_equal(load(p, saved(p)), 0);
	second = save(p->attribute, &second_len);
	assert_int_equal(first_len, second_len);
	assert_memory_equal(first, second, first_len);
	no_more(p);
	free(first);
	free(second);
}

/* Whether the kernel has somebody in it is asked again. */
static void keeps_who_left_last(void **state)
{
	struct pipeline *p = *state;
	struct process *member, *next;
	struct process_key last;
	struct session *s;
	uint64_t key;

	p->config.ends_by_note = p->attribute->config.ends_by_note = true;
	key = p->attribute->table.processes->actor->session->key;
	HASH_ITER (hh, p->attribute->table.processes, member, next) {
		Affiant__V1__NoteGone gone = AFFIANT__V1__NOTE_GONE__INIT;

		if (member->actor->session->key != key)
			continue;
		last = member->key;
		SET(&gone, tgid, last.tgid);
		SET(&gone, start_boottime_ns, last.start);
		do_note(p, NOTE_GONE, &gone.base);
	}
	skip_all(p);
	assert_int_equal(load(p, saved(p)), 0);
	s = session_find(&p->attribute->table, key);
	assert_non_null(s);
	assert_true(s->vacancy.is);
	assert_int_equal(s->vacancy.last->key.tgid, last.tgid);
	assert_ptr_equal(s->vacancy.last->session, s);
	assert_int_equal(p->attribute->table.vacant, 1);
}

static void shares_what_was_shared(void **state)
{
	struct pipeline *p = *state;
	size_t before = HASH_COUNT(p->attribute->table.paths), after;

	assert_int_equal(load(p, saved(p)), 0);
	after = HASH_COUNT(p->attribute->table.paths);
	/* Held records took theirs along. */
	assert_true(after && after <= before);
}

static Affiant__V1__StateSession *living(Affiant__V1__State *m)
{
	for (size_t i = 0; i < m->n_sessions; i++)
		if (!m->sessions[i]->ended_wall_ns && m->sessions[i]->processes)
			return m->sessions[i];
	fail();
	return NULL;
}

static Affiant__V1__StateSession *other_living(Affiant__V1__State *m)
{
	Affiant__V1__StateSession *one = living(m);

	for (size_t i = m->n_sessions; i--;)
		if (!m->sessions[i]->ended_wall_ns && m->sessions[i] != one)
			return m->sessions[i];
	fail();
	return NULL;
}

static void same_key(Affiant__V1__State *m)
{
	living(m)->key = other_living(m)->key;
}
static void short_id(Affiant__V1__State *m)
{
	living(m)->head->session->id.len--;
}
static void too_few(Affiant__V1__State *m)
{
	living(m)->processes = 0;
}
static void no_such_ended(Affiant__V1__State *m)
{
	m->ended[0] = m->n_sessions;
}
static void far_session(Affiant__V1__State *m)
{
	m->actors[0]->session = m->n_sessions;
}
static void far_image(Affiant__V1__State *m)
{
	m->actors[0]->image = UINT64_MAX;
}
static void far_actor(Affiant__V1__State *m)
{
	m->processes[0]->actor = m->n_actors;
}
static void twice(Affiant__V1__State *m)
{
	m->processes[0]->actor = m->processes[1]->actor;
}
static void far_actor_connection(Affiant__V1__State *m)
{
	m->connections[0]->actor = m->n_actors;
}
static void far_actor_held(Affiant__V1__State *m)
{
	m->held[0]->actor = m->n_actors;
}
static void empty_held(Affiant__V1__State *m)
{
	m->held[0]->record.len = 0;
}
static void told_too_much(Affiant__V1__State *m)
{
	m->connections[0]->told = TOLD_LAST + 1;
}
static void short_attempt(Affiant__V1__State *m)
{
	m->connections[0]->attempt.len -= 8;
}
static void far_cpu(Affiant__V1__State *m)
{
	m->cpus[0]->cpu = SEEN_CPUS;
}
static void same_cpu(Affiant__V1__State *m)
{
	m->cpus[0]->cpu = m->cpus[1]->cpu;
}
static void low_top(Affiant__V1__State *m)
{
	m->cpus[0]->low = m->cpus[0]->top + 1;
}

static void living_ended(Affiant__V1__State *m)
{
	for (size_t i = 0; i < m->n_sessions; i++)
		if (m->sessions[i] == living(m))
			m->ended[0] = i;
}

static void ended_with_a_process(Affiant__V1__State *m)
{
	SET(m->sessions[m->actors[m->processes[0]->actor]->session], ended_wall_ns, 1);
}

static void no_head(Affiant__V1__State *m)
{
	affiant__v1__record__free_unpacked(living(m)->head, NULL);
	living(m)->head = NULL;
}

static void far_opener(Affiant__V1__State *m)
{
	SET(m->connections[0], opener, m->n_sessions);
}

static void other_attempt(Affiant__V1__State *m)
{
	((struct event_header *)m->connections[0]->attempt.data)->type = EVENT_UNIX;
}

static void same_connection(Affiant__V1__State *m)
{
	memcpy(m->connections[0]->attempt.data, m->connections[1]->attempt.data,
	       m->connections[0]->attempt.len);
}

static void long_lineage(Affiant__V1__State *m)
{
	Affiant__V1__StateActor *a = m->actors[0];

	while (a->n_ancestry)
		affiant__v1__state_ancestor__free_unpacked(a->ancestry[--a->n_ancestry], NULL);
	free(a->ancestry);
	a->ancestry = calloc(LINEAGE_MAX + 1, sizeof(*a->ancestry));
	for (; a->n_ancestry <= LINEAGE_MAX; a->n_ancestry++) {
		a->ancestry[a->n_ancestry] = malloc(sizeof(**a->ancestry));
		affiant__v1__state_ancestor__init(a->ancestry[a->n_ancestry]);
	}
}

static void far_forebear(Affiant__V1__State *m)
{
	for (size_t i = 0; i < m->n_actors; i++)
		if (m->actors[i]->n_ancestry)
			SET(m->actors[i]->ancestry[0], image, m->n_images);
}

static void half_a_program(Affiant__V1__State *m)
{
	living(m)->programs.len--;
}

static Affiant__V1__StateEpoch *epoch(Affiant__V1__State *m)
{
	m->epoch = malloc(sizeof(*m->epoch));
	affiant__v1__state_epoch__init(m->epoch);
	SET(m->epoch, id, pb_copy("0123456789abcdef", 16));
	SET(m->epoch, past, ((uint64_t)1 << 48) - 1);
	SET(m->epoch, first, ((uint64_t)1 << 48) - 1);
	return m->epoch;
}
static void short_epoch(Affiant__V1__State *m)
{
	epoch(m)->id.len--;
}
static void far_first(Affiant__V1__State *m)
{
	epoch(m)->first++;
}
static void far_past(Affiant__V1__State *m)
{
	epoch(m)->past++;
}

static void vacant_with_a_process(Affiant__V1__State *m)
{
	uint64_t number = m->actors[m->processes[0]->actor]->session;

	SET(m->sessions[number], vacant, true);
}

static void another_ones_leaver(Affiant__V1__State *m)
{
	/* One that never began: nobody is in it. */
	for (size_t i = 0; i < m->n_sessions; i++) {
		Affiant__V1__StateSession *s = m->sessions[i];

		SET(s, vacant, !s->has_ended_wall_ns);
		SET(s, left_actor, m->n_actors);
	}
	while (m->n_processes)
		affiant__v1__state_process__free_unpacked(m->processes[--m->n_processes], NULL);
}

static void refuses_contradictions(void **state)
{
	static void (*const contradictions[])(Affiant__V1__State * m) = {
		same_key,        short_id,     too_few,
		no_such_ended,   far_session,  far_image,
		far_actor,       twice,        far_actor_connection,
		far_actor_held,  empty_held,   told_too_much,
		short_attempt,   far_cpu,      same_cpu,
		low_top,         living_ended, ended_with_a_process,
		no_head,         far_opener,   other_attempt,
		same_connection, long_lineage, far_forebear,
		half_a_program,  short_epoch,  far_first,
		far_past,        vacant_with_a_process, another_ones_leaver,
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

/* What is missing is taken for zero, and never followed. */
static void takes_empty_messages(void **state)
{
	struct pipeline *p = *state;
	Affiant__V1__State *m = malloc(sizeof(*m));

	affiant__v1__state__init(m);
	assert_int_equal(load(p, m), 0);
	m = malloc(sizeof(*m));
	affiant__v1__state__init(m);
	m->images = calloc(1, sizeof(*m->images));
	m->images[m->n_images++] = malloc(sizeof(**m->images));
	affiant__v1__state_image__init(m->images[0]);
	m->losses = calloc(1, sizeof(*m->losses));
	m->losses[m->n_losses++] = malloc(sizeof(**m->losses));
	affiant__v1__lost_count__init(m->losses[0]);
	assert_int_equal(load(p, m), 0);
	assert_int_equal(HASH_COUNT(p->attribute->table.sessions), 0);
}

/* ---- what fuzz_state begins with ---- */

#define SEEDS TEST_DATA "/fuzz/state"

/* Small ones, of moments at which much is open: --write puts them there anew. */
static void make_seed(struct pipeline *p, unsigned int number, uint8_t **ret, size_t *ret_len)
{
	struct world w;

	if (number % 2)
		world_make_renewed(&w, 40 + number, 60 + 40 * number);
	else
		world_make(&w, 40 + number, 60 + 40 * number, false, 100);
	p->enrich.slow = number % 3 == 0;
	for (size_t i = 0; i < w.count; i++)
		give(p, (void *)w.items[i].bytes);
	skip_all(p);
	*ret = save(p->attribute, ret_len);
	world_free(&w);
}

static int write_seeds(void)
{
	for (unsigned int n = 0; n < 6; n++) {
		struct pipeline *p = pipeline_new();
		char path[256];
		uint8_t *seed;
		size_t len;
		FILE *f;

		make_seed(p, n, &seed, &len);
		snprintf(path, sizeof(path), SEEDS "/world%u", n);
		f = fopen(path, "we");
		if (!f || fwrite(seed, 1, len, f) != len || fclose(f))
			return 1;
		free(seed);
		pipeline_free(p);
	}
	return 0;
}

/* A seed of an older format is refused at its first byte, and what is behind it is never fuzzed. */
static void seeds_are_states(void **state)
{
	struct pipeline *p = *state;
	DIR *d = opendir(SEEDS);
	struct dirent *e;
	size_t count = 0;

	assert_non_null(d);
	while ((e = readdir(d))) {
		static uint8_t bytes[1 << 20];
		Affiant__V1__State *m;
		char path[400];
		FILE *f;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), SEEDS "/%s", e->d_name);
		f = fopen(path, "re");
		assert_non_null(f);
		m = affiant__v1__state__unpack(NULL, fread(bytes, 1, sizeof(bytes), f), bytes);
		fclose(f);
		if (!m || load(p, m) || !HASH_COUNT(p->attribute->table.sessions))
			fail_msg("%s: test_state --write makes it anew", path);
		count++;
	}
	closedir(d);
	assert_true(count >= 6);
}

int main(int argc, char **argv)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(has_something_of_everything),
		TEST(comes_back_as_it_was),
		TEST(keeps_who_left_last),
		TEST(shares_what_was_shared),
		TEST(refuses_contradictions),
		TEST(takes_empty_messages),
		TEST(seeds_are_states),
	};

	if (argc > 1 && !strcmp(argv[1], "--write"))
		return write_seeds();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
