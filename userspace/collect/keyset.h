/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keyset: keys of 24 bytes in the order in which they came, each once. Where one is looked for
 * depends on a secret of this process: programs choose the keys, and could choose them so that all
 * meet.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What is folded into one count, or a destination. Saved in states. */
struct fold_key {
	uint8_t what;       /* FoldedKind << 4 | enum fold_form */
	uint8_t how;        /* Protocol << 4 | Outcome */
	uint16_t port;      /* of an address; of an untracked socket its type */
	uint32_t scope;     /* likewise; its protocol's number */
	uint8_t address[16]; /* network order; or a digest of the path, or the family */
};
_Static_assert(sizeof(struct fold_key) == 24, "fold_key");

static inline unsigned int key_kind(const struct fold_key *key)
{
	return key->what >> 4;
}

static inline unsigned int key_form(const struct fold_key *key)
{
	return key->what & 0x0f;
}

static inline unsigned int key_protocol(const struct fold_key *key)
{
	return key->how >> 4;
}

static inline unsigned int key_outcome(const struct fold_key *key)
{
	return key->how & 0x0f;
}

struct keyset {
	struct fold_key *keys;
	uint32_t *slots; /* 1 + index into keys; 0: free */
	uint32_t count, room;
};

/* Its index, or -ENOENT. */
ssize_t keyset_find(const struct keyset *s, const struct fold_key *key);
/* Its index, also if it was there already (*@ret_new false), or -ENOMEM. */
ssize_t keyset_add(struct keyset *s, const struct fold_key *key, bool *ret_new);
void keyset_clear(struct keyset *s);
