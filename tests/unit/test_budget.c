/* SPDX-License-Identifier: Apache-2.0 */
/* What an agent and a session of it may fill, and what ordinary work takes of that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collect/attribute.h"
#include "collect/budget.h"
#include "collect/price.h"

#define S UINT64_C(1000000000)
#define DAY (86400 * S)
#define GIB (INT64_C(1) << 30)

static void sizes_follow_from_the_ledger(void **state)
{
	const struct bucket_size agent = bucket_size_of_agent(GIB);
	const struct bucket_size session = bucket_size_of_session(GIB);

	(void)state;
	assert_int_equal(agent.full, GIB / 4);
	assert_int_equal(agent.per_day, GIB / 8);
	assert_int_equal(agent.credit, GIB / 16);
	assert_int_equal(session.full, GIB / 4 / 4 * 3);
	assert_int_equal(session.per_day, GIB / 8 / 4 * 3);
	/*
	 * What one agent can push out at most: all that it is ever given, and what it gets on
	 * credit. Five days go by until that is as much as the ledger holds.
	 */
	assert_true(agent.full + agent.credit + 5 * (int64_t)agent.per_day < GIB);
}

static void fills_by_the_time_of_events(void **state)
{
	const struct bucket_size size = bucket_size_of_agent(GIB);
	struct bucket b = {0};

	(void)state;
	bucket_fill(&b, &size, 1000 * S);
	assert_int_equal(b.level, size.full);
	b.level = 0;
	/* A byte takes 0.6 ms: looking more often loses nothing. */
	for (uint64_t t = 1; t <= 100000; t++)
		bucket_fill(&b, &size, 1000 * S + t * 10000);
	assert_in_range(b.level, size.per_day / 86400 - 1, size.per_day / 86400 + 1);
	/* Events of different CPUs are not in order. */
	bucket_fill(&b, &size, 1);
	assert_in_range(b.level, size.per_day / 86400 - 1, size.per_day / 86400 + 1);
	bucket_fill(&b, &size, 1000 * S + DAY);
	assert_in_range(b.level, size.per_day - 1, size.per_day);
	bucket_fill(&b, &size, UINT64_MAX);
	assert_int_equal(b.level, size.full);
}

static void no_more_than_a_session_s_share(void **state)
{
	struct budgets all = {.state_bytes = 16384};
	struct budget *b = budget_get(&all, "a", S);
	struct bucket one = {0}, two = {0};
	unsigned int n = 0;

	(void)state;
	while (budget_spend(&all, b, &one, RANK_ORDINARY, 10, S))
		n++;
	assert_int_equal(n, 4096 / 4 * 3 / 10);
	/* The other session has what is left. */
	for (n = 0; budget_spend(&all, b, &two, RANK_ORDINARY, 10, S); n++)
		;
	assert_int_equal(n, (4096 - 307 * 10) / 10);
	assert_false(budget_deep(&all, b, &two));
	/* On credit: until a quarter of the bucket is owed. */
	for (n = 0; budget_spend(&all, b, &two, RANK_NOTABLE, 10, S); n++)
		;
	assert_in_range(n, 1020 / 10, 1040 / 10);
	assert_true(budget_deep(&all, b, &two));
	/* What is told in any case is made up for in the end. */
	for (n = 0; n < 1000; n++)
		budget_charge(&all, b, &two, 1000, S);
	assert_int_equal(b->bucket.level, -4096);
	assert_false(budget_spend(&all, b, &two, RANK_NOTABLE, 10, S));
	assert_true(budget_spend(&all, b, &two, RANK_ORDINARY, 10, S + 3 * DAY));
	budget_unref(b);
	budgets_clear(&all);
}

/* Of the agent alone, and over once nothing is owed; asking changes nothing. */
static void deep_until_nothing_is_owed(void **state)
{
	struct budgets all = {.state_bytes = 16384};
	struct budget *b = budget_get(&all, "a", S);

	(void)state;
	assert_false(budget_agent_deep(&all, "nobody", S, true));
	budget_charge(&all, b, NULL, 4096, S);
	budget_charge(&all, b, NULL, 512, S);
	assert_false(budget_agent_deep(&all, "a", S, false));
	assert_true(budget_agent_deep(&all, "a", S, true));
	budget_charge(&all, b, NULL, 1, S);
	assert_true(budget_agent_deep(&all, "a", S, false));
	/* 2048 bytes run in a day. */
	assert_false(budget_agent_deep(&all, "a", S + DAY / 64, false));
	assert_true(budget_agent_deep(&all, "a", S + DAY / 64, true));
	assert_false(budget_agent_deep(&all, "a", S + DAY / 4 + DAY / 64, true));
	assert_int_equal(b->bucket.level, -513);
	assert_true(budget_agent_deep(&all, "a", S, false));
	all.state_bytes = 0;
	assert_false(budget_agent_deep(&all, "a", S, true));
	budget_unref(b);
	budgets_clear(&all);
}

static void agents_do_not_touch_each_other(void **state)
{
	struct budgets all = {.state_bytes = 16384};
	struct budget *a = budget_get(&all, "a", S), *b = budget_get(&all, "b", S);
	struct bucket of_a = {0}, of_b = {0};

	(void)state;
	while (budget_spend(&all, a, &of_a, RANK_NOTABLE, 100, S))
		;
	assert_true(budget_spend(&all, b, &of_b, RANK_ORDINARY, 3000, S));
	assert_ptr_equal(budget_find(&all, "a"), a);
	assert_null(budget_find(&all, "c"));
	budget_unref(a);
	budget_unref(b);
	budgets_clear(&all);
}

/* Whoever may name agents can't fill the memory with them; those that owe something stay. */
static void bounded_by_number(void **state)
{
	struct budgets all = {.state_bytes = 16384};
	struct budget *debtor = budget_get(&all, "debtor", S), *shared, *again;
	struct budget *held[BUDGET_AGENTS_MAX];
	char name[32];

	(void)state;
	budget_charge(&all, debtor, NULL, 4000, S);
	budget_unref(debtor);
	for (int i = 0; i < 2 * BUDGET_AGENTS_MAX; i++) {
		snprintf(name, sizeof(name), "agent%d", i);
		budget_unref(budget_get(&all, name, S));
	}
	assert_true(HASH_COUNT(all.agents) <= BUDGET_AGENTS_MAX);
	assert_ptr_equal(budget_find(&all, "debtor"), debtor);
	assert_true(debtor->bucket.level < 100);
	for (int i = 0; i < BUDGET_AGENTS_MAX; i++) {
		snprintf(name, sizeof(name), "held%d", i);
		held[i] = budget_get(&all, name, S);
	}
	shared = budget_get(&all, "one too many", S);
	again = budget_get(&all, "and another", S);
	assert_ptr_equal(shared, again);
	assert_string_equal(shared->agent, "");
	budget_unref(shared);
	budget_unref(again);
	for (int i = 0; i < BUDGET_AGENTS_MAX; i++)
		budget_unref(held[i]);
	budgets_clear(&all);
}

/* ---- what ordinary work takes ---- */

#define HEAD 190 /* bytes of agent, session, task and principal: as in docs/samples */

/* A process some levels below its session's first, with arguments of so many bytes. */
static uint64_t actor_price(struct table *t, const char *exe, unsigned int depth, size_t argv)
{
	struct session s = {.packed_len = HEAD, .refs = 10};
	struct event_exec e = {.exe_len = strlen(exe), .cwd_len = 30, .argv_len = argv};
	struct actor *a;
	struct lineage *l;
	struct image *i = image_new(t);
	uint64_t price;

	e.flags = EXEC_BEGIN;
	e.begin.inode = 1;
	i->exe = path_get(t, exe, strlen(exe));
	i->weight = price_image(&e);
	a = actor_new(t, &s, i);
	l = lineage_unknown();
	for (; l->count < depth; l->count++)
		l->up[l->count].image = image_ref(i);
	a->lineage = l;
	price = price_actor(a);
	actor_unref(a);
	image_unref(i);
	return price;
}

/* make -> sh -> cc -> cc1: twenty thousand processes, with half a kilobyte of arguments each. */
static void a_compile_of_20000_processes_stays_below(void **state)
{
	const uint64_t bytes = bucket_size_of_session(GIB).full;
	struct table t = {0};
	uint64_t each = actor_price(&t, "/usr/lib/gcc/x86_64-linux-gnu/12/cc1", 6, 512);

	(void)state;
	assert_true(20000 * (2 * each + PRICE_EXEC + 2 * 40 + PRICE_EXIT) < bytes);
	print_message("compile: %llu of %llu MB\n",
		      (unsigned long long)(20000 * (2 * each + 100) / 1000000),
		      (unsigned long long)bytes / 1000000);
	table_clear(&t);
}

/* An interpreter two levels below, whose connections are opened and closed. */
static void a_crawler_with_100000_connections_stays_below(void **state)
{
	const uint64_t bytes = bucket_size_of_session(GIB).full;
	struct table t = {0};
	uint64_t each = actor_price(&t, "/usr/bin/python3.11", 2, 60);

	(void)state;
	assert_true(100000 * (2 * each + PRICE_CONNECT + PRICE_CLOSE) < bytes);
	print_message("crawler: %llu of %llu MB\n",
		      (unsigned long long)(100000 * (2 * each + 160) / 1000000),
		      (unsigned long long)bytes / 1000000);
	table_clear(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_follow_from_the_ledger),
		cmocka_unit_test(fills_by_the_time_of_events),
		cmocka_unit_test(no_more_than_a_session_s_share),
		cmocka_unit_test(deep_until_nothing_is_owed),
		cmocka_unit_test(agents_do_not_touch_each_other),
		cmocka_unit_test(bounded_by_number),
		cmocka_unit_test(a_compile_of_20000_processes_stays_below),
		cmocka_unit_test(a_crawler_with_100000_connections_stays_below),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
