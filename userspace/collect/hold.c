/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/hold.h"

#include <errno.h>
#include <stdlib.h>

#include "base/pb.h"
#include "collect/attribute.h"

struct hold *hold_find(const struct attribute *a, uint64_t key)
{
	struct hold *hold;

	HASH_FIND(hh, a->holds, &key, sizeof(key), hold);
	return hold;
}

struct hold *hold_of_selector(const struct attribute *a, uint32_t selector)
{
	for (struct hold *hold = a->holds; hold; hold = hold->hh.next)
		if (hold->selector == selector)
			return hold;
	return NULL;
}

static int add(struct attribute *a, const Affiant__V1__NoteHold *m)
{
	struct hold *hold;

	if (!m->key || hold_find(a, m->key) || HASH_COUNT(a->holds) >= HOLDS_MAX)
		return -EBADMSG;
	hold = calloc(1, sizeof(*hold));
	if (!hold)
		return -ENOMEM;
	hold->key = m->key;
	hold->selector = m->selector;
	HASH_ADD(hh, a->holds, key, sizeof(hold->key), hold);
	return 0;
}

static void end(struct attribute *a, const struct event_header *h, struct hold *hold)
{
	struct session *s = session_find(&a->table, hold->key);

	HASH_DEL(a->holds, hold);
	free(hold);
	if (s && !s->live && !s->vacancy.is)
		session_left(a, s, h, NULL);
}

void hold_noted(struct attribute *a, const struct event_header *h, const uint8_t *note, size_t len)
{
	Affiant__V1__NoteHold *m = affiant__v1__note_hold__unpack(NULL, len, note);
	struct hold *hold;

	if (!m)
		return;
	hold = hold_find(a, m->key);
	if (!m->over)
		(void)add(a, m);
	else if (hold)
		end(a, h, hold);
	affiant__v1__note_hold__free_unpacked(m, NULL);
}

void holds_clear(struct attribute *a)
{
	struct hold *hold, *next;

	HASH_ITER (hh, a->holds, hold, next) {
		HASH_DEL(a->holds, hold);
		free(hold);
	}
}

int holds_save(const struct attribute *a, Affiant__V1__State *to)
{
	to->holds = calloc(HASH_COUNT(a->holds) + 1, sizeof(*to->holds));
	if (!to->holds)
		return -ENOMEM;
	for (const struct hold *hold = a->holds; hold; hold = hold->hh.next) {
		Affiant__V1__NoteHold *m = malloc(sizeof(*m));

		if (!m)
			return -ENOMEM;
		affiant__v1__note_hold__init(m);
		SET(m, key, hold->key);
		SET(m, selector, hold->selector);
		to->holds[to->n_holds++] = m;
	}
	return 0;
}

int holds_load(struct attribute *a, const Affiant__V1__State *from)
{
	int err = 0;

	for (size_t i = 0; !err && i < from->n_holds; i++)
		err = add(a, from->holds[i]);
	return err;
}
