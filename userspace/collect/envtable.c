// SPDX-License-Identifier: Apache-2.0
#include "collect/envtable.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/environment.h"

/* 112 names have 1024 slots to themselves with one multiplier in 460. */
#define TRIES 100000

static int add_prefix(struct envtable *t, unsigned int at, unsigned int bit, const char *name,
		      size_t len)
{
	uint8_t mask[16] = {}, value[16] = {};
	__u64 *to = t->prefixes[at];
	bool folded = true;

	if (at == ENVIRONMENT_PREFIXES || !len || len > ENVIRONMENT_PREFIX_MAX)
		return -E2BIG;
	for (size_t i = 0; i < len; i++)
		folded = folded && !(name[i] >= 'A' && name[i] <= 'Z');
	memset(mask, 0xff, len);
	memcpy(value, name, len);
	for (size_t i = 0; folded && i < len; i++)
		value[i] |= 0x20; /* of '_', too: no other byte of a name becomes that */
	if (folded)
		to[PREFIX_FOLD] = 0x2020202020202020;
	memcpy(&to[PREFIX_MASK0], mask, 8);
	memcpy(&to[PREFIX_MASK1], mask + 8, 8);
	memcpy(&to[PREFIX_VALUE0], value, 8);
	memcpy(&to[PREFIX_VALUE1], value + 8, 8);
	to[PREFIX_BIT] = bit;
	t->first |= 1ull << (name[0] & 63);
	if (folded)
		t->first |= 1ull << ((name[0] & ~0x20) & 63);
	return 0;
}

static bool place(struct envtable *t)
{
	memset(t->slots, 0, sizeof(t->slots));
	for (unsigned int i = 0; i < ENVIRONMENT_NAMES; i++) {
		uint8_t *slot;

		if (!t->names[i][0])
			continue;
		slot = &t->slots[environment_slot(t->names[i], t->multiplier)];
		if (*slot)
			return false;
		*slot = i + 1;
	}
	return true;
}

int envtable_make(struct envtable *ret)
{
	unsigned int prefixes = 0;
	int err;

	memset(ret, 0, sizeof(*ret));
	if (environment_count > ENVIRONMENT_NAMES)
		return -E2BIG;
	for (unsigned int i = 0; i < environment_count; i++) {
		const char *name = environment_name(i);
		size_t len = name ? strlen(name) : 0;

		if (len > ENVIRONMENT_NAME_MAX)
			return -E2BIG;
		if (len && name[len - 1] == '*') {
			err = add_prefix(ret, prefixes++, i, name, len - 1);
			if (err)
				return err;
		} else if (len) {
			memcpy(ret->names[i], name, len);
		}
	}
	ret->multiplier = 0x9e3779b97f4a7c15;
	for (unsigned int i = 0; i < TRIES; i++) {
		if (place(ret))
			return 0;
		ret->multiplier = ret->multiplier * 6364136223846793005 + 1442695040888963406;
	}
	return -ENOKEY;
}
