/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seed: what a random test rolls its dice by. Another one each time, told in the report;
 * AFFIANT_SEED takes one of a report again.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

static inline unsigned int seed_of_run(const char *test)
{
	const char *given = getenv("AFFIANT_SEED");
	unsigned int seed = given ? strtoul(given, NULL, 0) : 0;

	if (!given && getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		abort();
	printf("%s: seed %u (AFFIANT_SEED=%u takes it again)\n", test, seed, seed);
	fflush(stdout);
	return seed;
}

/* A seed of its own for the @n-th of those that roll at once. */
static inline unsigned int seed_number(unsigned int seed, unsigned int n)
{
	unsigned int x = seed ^ (n + 1) * 0x9e3779b9u;

	x = (x ^ x >> 16) * 0x85ebca6bu;
	x = (x ^ x >> 13) * 0xc2b2ae35u;
	return (x ^ x >> 16) ?: 1;
}
