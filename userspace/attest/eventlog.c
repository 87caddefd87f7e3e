/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/eventlog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define SHA1_SIZE 20
#define LOCALITY_MAX 4
#define OLD_HEAD_SIZE 32 /* of a TCG_PCR_EVENT; of a TCG_PCR_EVENT2 up to the digests: */
#define HEAD_SIZE 12

DEFINE_CLEANUP(struct eventlog *, eventlog_free)

void eventlog_free(struct eventlog *l)
{
	if (!l)
		return;
	free(l->events);
	free(l);
}

/* TCG_PCR_EVENT, the format of TPM 1.2 and of the header */
static int get_old_event(struct reader *r, struct eventlog_event *ret)
{
	uint32_t size;

	return reader_u32le(r, &ret->pcr) ?: reader_u32le(r, &ret->type) ?:
	       reader_bytes(r, SHA1_SIZE, &ret->digests) ?: reader_u32le(r, &size) ?:
	       reader_bytes(r, size, &ret->data);
}

/* Bytes of a digest, by the header; 0: it doesn't name that algorithm. */
static size_t size_of(const struct eventlog *l, uint16_t alg, uint32_t *ret_bit)
{
	for (size_t i = 0; i < l->algs_count; i++) {
		if (l->algs[i].alg != alg)
			continue;
		*ret_bit = 1u << i;
		return l->algs[i].size;
	}
	return 0;
}

/*
 * TPML_DIGEST_VALUES, little-endian: exactly one of each of the header's algorithms, in any order
 */
static int get_digests(const struct eventlog *l, struct reader *r, struct reader *ret)
{
	const struct reader begin = *r;
	uint32_t count, seen = 0;
	int err;

	err = reader_u32le(r, &count);
	if (err)
		return err;
	if (count != l->algs_count)
		return -EBADMSG;
	for (uint32_t i = 0; i < count; i++) {
		struct reader digest;
		uint32_t bit = 0;
		uint16_t alg;
		size_t size;

		err = reader_u16le(r, &alg);
		if (err)
			return err;
		size = size_of(l, alg, &bit);
		if (!size || seen & bit)
			return -EBADMSG;
		seen |= bit;
		err = reader_bytes(r, size, &digest);
		if (err)
			return err;
	}
	*ret = reader_of(begin.at + sizeof(count), r->at - begin.at - sizeof(count));
	return 0;
}

/* TCG_PCR_EVENT2 */
static int get_event(const struct eventlog *l, struct reader *r, struct eventlog_event *ret)
{
	uint32_t size;

	if (l->tier == EVENTLOG_SHA1)
		return get_old_event(r, ret);
	return reader_u32le(r, &ret->pcr) ?: reader_u32le(r, &ret->type) ?:
	       get_digests(l, r, &ret->digests) ?: reader_u32le(r, &size) ?:
	       reader_bytes(r, size, &ret->data);
}

/* TCG_EfiSpecIdEvent, behind the signature */
static int get_header(struct eventlog *l, struct reader *r)
{
	uint32_t class, count;
	uint8_t fixed[4], vendor_size;
	struct reader vendor;
	int err;

	err = reader_u32le(r, &class) ?: reader_copy(r, sizeof(fixed), fixed) ?: reader_u32le(r, &count);
	if (err)
		return err;
	if (!count || count > EVENTLOG_ALGS_MAX)
		return -EBADMSG;
	for (uint32_t i = 0, bit; i < count; i++) {
		uint16_t alg, size;

		err = reader_u16le(r, &alg) ?: reader_u16le(r, &size);
		if (err)
			return err;
		if (!size || size_of(l, alg, &bit) ||
		    (tpm2_digest_size(alg) && tpm2_digest_size(alg) != size))
			return -EBADMSG;
		l->algs[i].alg = alg;
		l->algs[i].size = size;
		l->algs_count++;
	}
	return reader_u8(r, &vendor_size) ?: reader_bytes(r, vendor_size, &vendor) ?: reader_end(r);
}

static bool starts_with(const struct reader *r, const char *signature)
{
	return r->left >= 16 && !memcmp(r->at, signature, 16);
}

/*
 * Tier and algorithms, by the first event; in an SHA-1 log that is an event like any other, and
 * stays.
 */
static int begin(struct eventlog *l, struct reader *r)
{
	struct reader at = *r;
	struct eventlog_event first;
	int err = get_old_event(&at, &first);

	if (err)
		return err;
	if (first.type != EV_NO_ACTION || !starts_with(&first.data, "Spec ID Event03")) {
		l->tier = EVENTLOG_SHA1;
		l->algs[0].alg = TPM2_SHA1;
		l->algs[0].size = SHA1_SIZE;
		l->algs_count = 1;
		return 0;
	}
	l->tier = EVENTLOG_AGILE;
	*r = at;
	first.data.at += 16;
	first.data.left -= 16;
	return get_header(l, &first.data);
}

/*
 * Where PCR 0 starts: the StartupLocality event. Firmware that measures the H-CRTM started it at
 * locality 4, said or not (TPM 2.0 Part 1, "H-CRTM before TPM2_Startup()").
 */
static int note_locality(struct eventlog *l, const struct eventlog_event *e, bool *said,
			 bool *extended)
{
	if (e->pcr != 0)
		return 0;
	if (e->type != EV_NO_ACTION) {
		if (!*extended && !*said && e->type == EV_EFI_HCRTM_EVENT)
			l->locality = LOCALITY_MAX;
		*extended = true;
		return 0;
	}
	if (!starts_with(&e->data, "StartupLocality"))
		return 0;
	if (*said || *extended || e->data.left != 17 || e->data.at[16] > LOCALITY_MAX)
		return -EBADMSG;
	l->locality = e->data.at[16];
	*said = true;
	return 0;
}

static int append(struct eventlog *l, size_t *capacity, const struct eventlog_event *e)
{
	if (l->count == EVENTLOG_EVENTS_MAX)
		return -E2BIG;
	if (l->count == *capacity) {
		const size_t more = *capacity ? 2 * *capacity : 64;
		struct eventlog_event *events = reallocarray(l->events, more, sizeof(*events));

		if (!events)
			return -ENOMEM;
		l->events = events;
		*capacity = more;
	}
	l->events[l->count++] = *e;
	return 0;
}

/*
 * Where the next event should begin: the rest of an area that was larger than the log. No event of
 * the crypto agile format begins so: it has a digest at least. One of the old format could, of no
 * type and no digest; a log that had it would not lead to the quoted values without it.
 */
static bool is_padding(const struct eventlog *l, const struct reader *r)
{
	const size_t head = l->tier == EVENTLOG_SHA1 ? OLD_HEAD_SIZE : HEAD_SIZE;

	return r->left >= head && (r->at[0] == 0 || r->at[0] == 0xff) &&
	       !memcmp(r->at, r->at + 1, r->left - 1);
}

int eventlog_parse(const void *data, size_t len, struct eventlog **ret)
{
	_cleanup_(eventlog_freep) struct eventlog *l = calloc(1, sizeof(*l));
	struct reader r = reader_of(data, len);
	bool said = false, extended = false;
	size_t capacity = 0;
	int err;

	if (!l)
		return -ENOMEM;
	if (len > EVENTLOG_SIZE_MAX)
		return -E2BIG;
	err = len ? begin(l, &r) : 0;
	while (!err && r.left && !is_padding(l, &r)) {
		struct eventlog_event e;

		err = get_event(l, &r, &e);
		if (!err && e.type != EV_NO_ACTION && e.pcr >= TPM2_PCRS)
			err = -EBADMSG;
		if (!err)
			err = note_locality(l, &e, &said, &extended) ?: append(l, &capacity, &e);
	}
	if (err)
		return err;
	*ret = TAKE_PTR(l);
	return 0;
}

const uint8_t *eventlog_digest(const struct eventlog *l, const struct eventlog_event *e,
			       uint16_t alg)
{
	struct reader r = e->digests, digest;
	uint32_t bit;
	uint16_t at;

	if (l->tier == EVENTLOG_SHA1)
		return alg == TPM2_SHA1 ? r.at : NULL;
	while (reader_u16le(&r, &at) == 0 && reader_bytes(&r, size_of(l, at, &bit), &digest) == 0)
		if (at == alg)
			return digest.at;
	return NULL;
}

int eventlog_replay(const struct eventlog *l, uint16_t alg, struct pcr_bank *ret)
{
	struct pcr_bank b;
	uint32_t bit;
	int err;

	err = pcr_bank_init(&b, alg);
	if (err)
		return err;
	if (!size_of(l, alg, &bit))
		return -ENOENT;
	pcr_bank_set_locality(&b, l->locality);
	for (size_t i = 0; i < l->count; i++) {
		const struct eventlog_event *e = &l->events[i];

		if (e->type == EV_NO_ACTION)
			continue;
		err = pcr_extend(&b, e->pcr, eventlog_digest(l, e, alg));
		if (err)
			return err;
	}
	*ret = b;
	return 0;
}
