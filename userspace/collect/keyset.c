/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/keyset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Of this process: a place says nothing beyond it. */
static uint64_t secret[2];

static uint64_t hash(const struct fold_key *key)
{
	uint64_t words[3], h = secret[0];

	memcpy(words, key, sizeof(words));
	for (int i = 0; i < 3; i++) {
		unsigned __int128 product = (unsigned __int128)(h ^ words[i]) * secret[1];

		h = (uint64_t)product ^ (uint64_t)(product >> 64);
	}
	return h;
}

/* Twice as many slots as keys: some are free. */
static uint32_t *slot_of(const struct keyset *s, const struct fold_key *key)
{
	uint32_t mask = 2 * s->room - 1, at = hash(key) & mask;

	while (s->slots[at] && memcmp(&s->keys[s->slots[at] - 1], key, sizeof(*key)))
		at = (at + 1) & mask;
	return &s->slots[at];
}

static int grow(struct keyset *s)
{
	uint32_t room = s->room ? 2 * s->room : 8;
	struct keyset more = {.count = s->count, .room = room};

	if (!secret[1] && getrandom(secret, sizeof(secret), 0) != sizeof(secret))
		secret[0] = (uintptr_t)s; /* better a guessable one than none */
	secret[1] |= 1;
	more.keys = malloc(room * sizeof(*more.keys));
	more.slots = calloc(2 * (size_t)room, sizeof(*more.slots));
	if (!more.keys || !more.slots) {
		free(more.keys);
		free(more.slots);
		return -ENOMEM;
	}
	if (s->count)
		memcpy(more.keys, s->keys, s->count * sizeof(*s->keys));
	for (uint32_t i = 0; i < s->count; i++)
		*slot_of(&more, &more.keys[i]) = i + 1;
	keyset_clear(s);
	*s = more;
	return 0;
}

ssize_t keyset_find(const struct keyset *s, const struct fold_key *key)
{
	uint32_t found = s->count ? *slot_of(s, key) : 0;

	return found ? (ssize_t)found - 1 : -ENOENT;
}

ssize_t keyset_add(struct keyset *s, const struct fold_key *key, bool *ret_new)
{
	ssize_t at = keyset_find(s, key);
	uint32_t *slot;
	int err;

	if (at >= 0) {
		*ret_new = false;
		return at;
	}
	err = s->count == s->room ? grow(s) : 0;
	if (err)
		return err;
	slot = slot_of(s, key);
	s->keys[s->count++] = *key;
	*slot = s->count;
	*ret_new = true;
	return s->count - 1;
}

void keyset_clear(struct keyset *s)
{
	free(s->keys);
	free(s->slots);
	*s = (struct keyset){0};
}
