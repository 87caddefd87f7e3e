/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/hashcache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/cleanup.h"

struct entry {
	struct file_digest value;
	UT_hash_handle hh;
	unsigned char key[];
};

/* uthash keeps the order of insertion: the head is the oldest. */
struct hashcache {
	size_t key_size;
	size_t max;
	struct entry *entries;
};

int hashcache_new(size_t key_size, size_t max, struct hashcache **ret)
{
	struct hashcache *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->key_size = key_size;
	c->max = max ? max : 1;
	*ret = c;
	return 0;
}

static void drop(struct hashcache *c, struct entry *e)
{
	HASH_DEL(c->entries, e);
	free(e);
}

void hashcache_clear(struct hashcache *c)
{
	struct entry *e, *next;

	HASH_ITER (hh, c->entries, e, next)
		drop(c, e);
}

void hashcache_drop_device(struct hashcache *c, uint32_t device)
{
	struct entry *e, *next;

	HASH_ITER (hh, c->entries, e, next)
		if (object_counted(&e->value.facts)->device == device)
			drop(c, e);
}

void hashcache_free(struct hashcache *c)
{
	if (!c)
		return;
	hashcache_clear(c);
	free(c);
}

bool hashcache_get(struct hashcache *c, const void *key, struct file_digest *ret)
{
	struct entry *e;

	HASH_FIND(hh, c->entries, key, c->key_size, e);
	if (!e)
		return false;
	HASH_DELETE(hh, c->entries, e);
	HASH_ADD_KEYPTR(hh, c->entries, e->key, c->key_size, e);
	*ret = e->value;
	return true;
}

int hashcache_put(struct hashcache *c, const void *key, const struct file_digest *value)
{
	struct entry *e;

	HASH_FIND(hh, c->entries, key, c->key_size, e);
	if (e)
		drop(c, e);
	e = malloc(sizeof(*e) + c->key_size);
	if (!e)
		return -ENOMEM;
	e->value = *value;
	memcpy(e->key, key, c->key_size);
	HASH_ADD_KEYPTR(hh, c->entries, e->key, c->key_size, e);
	if (HASH_COUNT(c->entries) > c->max)
		drop(c, c->entries);
	return 0;
}

size_t hashcache_count(const struct hashcache *c)
{
	return HASH_COUNT(c->entries);
}
