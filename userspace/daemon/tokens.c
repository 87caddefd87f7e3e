/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/tokens.h"

#include <errno.h>
#include <stdlib.h>
#include <uthash.h>

#define SECOND_NS 1000000000ull

/* A bucket as the time at which it is full again: one number says how full it is. */
struct bucket {
	UT_hash_handle hh;
	uint64_t session;
	uint64_t full_ns;
};

struct tokens {
	uint64_t each_ns, burst;
	struct bucket *buckets;
	uint64_t purged_ns;
};

int tokens_new(uint64_t rate, uint64_t burst, struct tokens **ret)
{
	struct tokens *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->each_ns = SECOND_NS / rate;
	t->burst = burst;
	*ret = t;
	return 0;
}

void tokens_free(struct tokens *t)
{
	struct bucket *b, *next;

	if (!t)
		return;
	HASH_ITER (hh, t->buckets, b, next) {
		HASH_DEL(t->buckets, b);
		free(b);
	}
	free(t);
}

static void purge(struct tokens *t, uint64_t now_ns)
{
	struct bucket *b, *next;

	if (now_ns - t->purged_ns < SECOND_NS)
		return;
	t->purged_ns = now_ns;
	HASH_ITER (hh, t->buckets, b, next) {
		if (b->full_ns > now_ns)
			continue;
		HASH_DEL(t->buckets, b);
		free(b);
	}
}

static struct bucket *bucket_of(struct tokens *t, uint64_t session, uint64_t now_ns)
{
	struct bucket *b;

	purge(t, now_ns);
	HASH_FIND(hh, t->buckets, &session, sizeof(session), b);
	if (!b) {
		b = calloc(1, sizeof(*b));
		if (!b)
			return NULL;
		b->session = session;
		HASH_ADD(hh, t->buckets, session, sizeof(b->session), b);
	}
	if (b->full_ns < now_ns)
		b->full_ns = now_ns;
	return b;
}

bool tokens_take(struct tokens *t, uint64_t session, uint64_t count, uint64_t now_ns)
{
	struct bucket *b = bucket_of(t, session, now_ns);

	count = count < t->burst ? count : t->burst;
	if (!b || b->full_ns + count * t->each_ns - now_ns > t->burst * t->each_ns)
		return false;
	b->full_ns += count * t->each_ns;
	return true;
}

void tokens_charge(struct tokens *t, uint64_t session, uint64_t count, uint64_t now_ns)
{
	struct bucket *b = bucket_of(t, session, now_ns);

	if (b)
		b->full_ns += count * t->each_ns;
}
