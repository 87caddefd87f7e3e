/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/heldkeys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "attest/jose.h"

/* No padding: it is compared and hashed as bytes. */
struct owner {
	uint64_t session;
	uint64_t start;
	uint32_t pid;
	uint32_t exec_seq;
};

struct held_key {
	UT_hash_handle hh;
	struct owner owner;
	EVP_PKEY *key;
};

struct heldkeys {
	struct held_key *keys;
};

static struct owner owner_of(pid_t pid, const struct tag *tag)
{
	return (struct owner){tag->session, tag->start_boottime, pid, tag->exec_seq};
}

int heldkeys_new(struct heldkeys **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

static void forget(struct heldkeys *k, struct held_key *h)
{
	HASH_DEL(k->keys, h);
	EVP_PKEY_free(h->key);
	free(h);
}

void heldkeys_free(struct heldkeys *k)
{
	struct held_key *h, *next;

	if (!k)
		return;
	HASH_ITER (hh, k->keys, h, next)
		forget(k, h);
	free(k);
}

static struct held_key *find(struct heldkeys *k, pid_t pid, const struct tag *tag)
{
	struct owner owner = owner_of(pid, tag);
	struct held_key *h;

	HASH_FIND(hh, k->keys, &owner, sizeof(owner), h);
	return h;
}

EVP_PKEY *heldkeys_find(struct heldkeys *k, pid_t pid, const struct tag *tag)
{
	struct held_key *h = find(k, pid, tag);

	return h ? h->key : NULL;
}

void heldkeys_purge(struct heldkeys *k, heldkeys_lives lives, void *data)
{
	struct held_key *h, *next;

	HASH_ITER (hh, k->keys, h, next) {
		struct tag tag = {
			.session = h->owner.session,
			.start_boottime = h->owner.start,
			.exec_seq = h->owner.exec_seq,
		};

		if (!lives(data, h->owner.pid, &tag))
			forget(k, h);
	}
}

static bool full(const struct heldkeys *k, uint64_t session)
{
	size_t all = HASH_COUNT(k->keys), own = 0;

	if (all < HELDKEYS_SESSION_MAX || all >= HELDKEYS_MAX)
		return all >= HELDKEYS_MAX;
	for (const struct held_key *h = k->keys; h; h = h->hh.next)
		own += h->owner.session == session;
	return own >= HELDKEYS_SESSION_MAX;
}

int heldkeys_make(struct heldkeys *k, pid_t pid, const struct tag *tag, heldkeys_lives lives,
		  void *data, EVP_PKEY **ret)
{
	struct held_key *h = find(k, pid, tag);
	int err;

	if (h) {
		*ret = h->key;
		return 0;
	}
	if (full(k, tag->session))
		heldkeys_purge(k, lives, data);
	if (full(k, tag->session))
		return -ENOSPC;
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	err = jose_key_new(&h->key);
	if (err) {
		free(h);
		return err;
	}
	h->owner = owner_of(pid, tag);
	HASH_ADD(hh, k->keys, owner, sizeof(h->owner), h);
	*ret = h->key;
	return 0;
}

size_t heldkeys_count(const struct heldkeys *k)
{
	return HASH_COUNT(k->keys);
}
