/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/told.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "collect/attribute.h"
#include "collect/decode.h"

struct told_record {
	UT_hash_handle hh;
	struct told_key {
		uint64_t source;
		uint64_t part;
	} key;
};

struct told_session {
	UT_hash_handle hh;
	struct uuid id;
};

struct told_set {
	struct told_record *records;
	struct told_session *ended;
	uint64_t notes;
	uint64_t highest;
	struct segment_frame last;            /* its payload is a copy */
	Affiant__V1__Record *lost, *lost_before;
};

int told_new(struct told_set **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

void told_free(struct told_set *t)
{
	struct told_session *e, *next_e;
	struct told_record *r, *next;

	if (!t)
		return;
	HASH_ITER (hh, t->records, r, next) {
		HASH_DEL(t->records, r);
		free(r);
	}
	HASH_ITER (hh, t->ended, e, next_e) {
		HASH_DEL(t->ended, e);
		free(e);
	}
	if (t->lost_before && t->lost_before != t->lost)
		affiant__v1__record__free_unpacked(t->lost_before, NULL);
	affiant__v1__record__free_unpacked(t->lost, NULL);
	free((void *)t->last.payload);
	free(t);
}

static void add_record(struct told_set *t, const struct told_key *key)
{
	struct told_record *r;

	HASH_FIND(hh, t->records, key, sizeof(*key), r);
	if (r)
		return;
	r = calloc(1, sizeof(*r));
	if (!r)
		return;
	r->key = *key;
	HASH_ADD(hh, t->records, key, sizeof(r->key), r);
}

static void add_ended(struct told_set *t, const struct segment_frame *frame)
{
	Affiant__V1__Record *r = affiant__v1__record__unpack(NULL, frame->len, frame->payload);
	struct told_session *e =
		r && r->session && r->session->id.len == UUID_SIZE ? calloc(1, sizeof(*e)) : NULL;

	if (e) {
		memcpy(e->id.bytes, r->session->id.data, UUID_SIZE);
		HASH_ADD(hh, t->ended, id, sizeof(e->id), e);
	}
	if (r)
		affiant__v1__record__free_unpacked(r, NULL);
}

/* Of what notes tell, few are. */
static void add_lost(struct told_set *t, const struct segment_frame *frame)
{
	Affiant__V1__Record *r = affiant__v1__record__unpack(NULL, frame->len, frame->payload);

	if (r && r->body_case == AFFIANT__V1__RECORD__BODY_LOST) {
		if (t->lost != t->lost_before)
			affiant__v1__record__free_unpacked(t->lost, NULL);
		t->lost = r;
		return;
	}
	if (r && r->body_case == AFFIANT__V1__RECORD__BODY_GAP &&
	    r->gap->reason == AFFIANT__V1__GAP_REASON__GAP_TRACING_REMOVED) {
		if (t->lost != t->lost_before)
			affiant__v1__record__free_unpacked(t->lost_before, NULL);
		t->lost_before = t->lost;
	}
	if (r)
		affiant__v1__record__free_unpacked(r, NULL);
}

static void keep_last(struct told_set *t, const struct segment_frame *frame)
{
	uint8_t *copy = realloc((void *)t->last.payload, frame->len ?: 1);

	if (!copy)
		return;
	if (frame->len)
		memcpy(copy, frame->payload, frame->len);
	t->last = *frame;
	t->last.payload = copy;
}

void told_add(void *told_set, const struct segment_frame *frame)
{
	const struct told_key key = {frame->source, frame->part};
	const uint64_t number = frame->source & (((uint64_t)1 << 48) - 1);
	struct told_set *t = told_set;

	keep_last(t, frame);
	if (frame->source == SEGMENT_NO_SOURCE)
		return;
	add_record(t, &key);
	if (frame->source >> 48 == NOTE_CPU && frame->part == PART_MAIN)
		add_lost(t, frame);
	if (frame->part == PART_SESSION_ENDED)
		add_ended(t, frame);
	if (frame->source >> 48 == NOTE_CPU && number >= t->notes && number < NOTE_REBOOT_SEQUENCE)
		t->notes = number + 1;
	if (frame->source >> 48 != NOTE_CPU && number > t->highest)
		t->highest = number;
}

bool told_has(const struct told_set *t, uint64_t source, uint32_t part)
{
	const struct told_key key = {source, part};
	struct told_record *found = NULL;

	if (t)
		HASH_FIND(hh, t->records, &key, sizeof(key), found);
	return found != NULL;
}

bool told_ended(const struct told_set *t, const struct uuid *session)
{
	struct told_session *found = NULL;

	if (t)
		HASH_FIND(hh, t->ended, session, sizeof(*session), found);
	return found != NULL;
}

bool told_any(const struct told_set *t)
{
	return t && t->records;
}

uint64_t told_newest_ns(const struct told_set *t)
{
	Affiant__V1__Record *r =
		t && t->last.payload
			? affiant__v1__record__unpack(NULL, t->last.len, t->last.payload)
			: NULL;
	uint64_t ns = r ? r->boottime_ns : 0;

	if (r)
		affiant__v1__record__free_unpacked(r, NULL);
	return ns;
}

const Affiant__V1__Lost *told_lost(const struct told_set *t)
{
	return t && t->lost ? t->lost->lost : NULL;
}

const Affiant__V1__Lost *told_lost_before(const struct told_set *t)
{
	return t && t->lost_before ? t->lost_before->lost : NULL;
}

uint64_t told_highest(const struct told_set *t)
{
	return t ? t->highest : 0;
}

uint64_t told_notes(const struct told_set *t)
{
	return t ? t->notes : 0;
}
