/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/ima.h"

#include <errno.h>
#include <string.h>

#include "attest/hash.h"
#include "attest/imafield.h"

#define SHA1_SIZE 20
#define OLD_NAME_SIZE 256 /* IMA_EVENT_NAME_LEN_MAX + 1, hashed in full */
#define OLD_NAME_MAX 255u

int ima_init(struct ima_state *s, const uint16_t *algs, size_t count)
{
	struct ima_state n = {.log_alg = TPM2_SHA1, .banks_count = count};

	if (!count || count > IMA_BANKS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < count; i++) {
		if (!tpm2_digest(algs[i]))
			return -EINVAL;
		n.banks[i].alg = algs[i];
	}
	*s = n;
	return 0;
}

bool ima_measures(const struct ima_state *s)
{
	return s->entries > s->boots;
}

const uint8_t *ima_value(const struct ima_state *s, uint16_t alg)
{
	for (size_t i = 0; i < s->banks_count; i++)
		if (s->banks[i].alg == alg)
			return s->banks[i].value;
	return NULL;
}

/* An entry as it stands there, its fields unread */
struct raw {
	struct ima_entry entry;
	struct reader digest;
};

/* A template's name is 1–255 bytes long, in one order or the other. */
static int find_order(struct reader r, size_t digest_size, enum ima_order *ret)
{
	uint32_t pcr, len;
	struct reader digest;
	int err = reader_u32le(&r, &pcr) ?: reader_bytes(&r, digest_size, &digest) ?: reader_u32le(&r, &len);

	if (!err)
		*ret = len <= IMA_NAME_MAX ? IMA_LITTLE : IMA_BIG;
	return err;
}

/* -EAGAIN: cut */
static int get_data(enum ima_order order, struct reader *r, struct ima_entry *e)
{
	const struct reader begin = *r;
	struct reader skipped;
	uint32_t len;

	if (!ima_is_old(&e->template)) {
		if (ima_u32(order, r, &len))
			return -EAGAIN;
		if (len > IMA_DATA_MAX)
			return -EBADMSG;
		return reader_bytes(r, len, &e->data) ? -EAGAIN : 0;
	}
	if (reader_bytes(r, IMA_OLD_DIGEST_SIZE, &skipped) || ima_u32(order, r, &len))
		return -EAGAIN;
	if (len > OLD_NAME_MAX)
		return -EBADMSG;
	if (reader_bytes(r, len, &skipped))
		return -EAGAIN;
	e->data = reader_of(begin.at, r->at - begin.at);
	return 0;
}

/* 0, -EBADMSG, or -EAGAIN: cut. The reader moves only over a whole entry. */
static int get_raw(enum ima_order *order, uint16_t log_alg, struct reader *r, struct raw *ret)
{
	const size_t digest_size = tpm2_digest_size(log_alg);
	struct raw raw = {};
	struct reader at = *r;
	uint32_t len;
	int err;

	if (*order == IMA_ORDER_UNKNOWN && find_order(at, digest_size, order))
		return -EAGAIN;
	if (ima_u32(*order, &at, &raw.entry.pcr) || reader_bytes(&at, digest_size, &raw.digest) ||
	    ima_u32(*order, &at, &len))
		return -EAGAIN;
	if (raw.entry.pcr >= TPM2_PCRS || !len || len > IMA_NAME_MAX)
		return -EBADMSG;
	if (reader_bytes(&at, len, &raw.entry.template))
		return -EAGAIN;
	err = get_data(*order, &at, &raw.entry);
	if (err)
		return err;
	*r = at;
	*ret = raw;
	return 0;
}

struct replay {
	struct ima_state state;
	struct hash *hashes[IMA_BANKS_MAX];
	struct hash *log_hash; /* for padded banks */
	const uint8_t *met;    /* the value that is compared, in state */
	size_t met_size;
	const struct ima_quoted *quoted;
	ima_entry_fn fn;
	void *context;
};

static void replay_clear(struct replay *p)
{
	for (size_t i = 0; i < IMA_BANKS_MAX; i++)
		hash_free(p->hashes[i]);
	hash_free(p->log_hash);
}

static int replay_begin(struct replay *p)
{
	int err = 0;

	if (!tpm2_digest(p->state.log_alg))
		return -EINVAL;
	if (p->quoted) {
		p->met = ima_value(&p->state, p->quoted->alg);
		p->met_size = tpm2_digest_size(p->quoted->alg);
		if (!p->met)
			return -EINVAL;
	}
	for (size_t i = 0; !err && i < p->state.banks_count; i++)
		err = hash_new(p->state.banks[i].alg, &p->hashes[i]);
	if (!err && p->state.padded)
		err = hash_new(TPM2_SHA1, &p->log_hash);
	return err;
}

static bool is_met(const struct replay *p)
{
	return p->met && !memcmp(p->met, p->quoted->value, p->met_size);
}

/*
 * ima_calc_field_array_hash_tfm(): the data as they stand there; of the template "ima" digest and
 * padded name.
 */
static int template_digest(struct hash *h, const struct ima_entry *e, uint8_t *ret)
{
	uint8_t name[OLD_NAME_SIZE] = {};
	struct reader parts[2] = {e->data};

	if (!ima_is_old(&e->template))
		return hash_parts(h, parts, 1, ret);
	if (e->path.left)
		memcpy(name, e->path.at, e->path.left);
	parts[0] = e->digest;
	parts[1] = reader_of(name, sizeof(name));
	return hash_parts(h, parts, 2, ret);
}

/* What the bank is extended with. */
static int bank_digest(struct replay *p, size_t bank, const struct raw *raw,
		       uint8_t ret[static TPM2_DIGEST_MAX])
{
	const uint16_t alg = p->state.padded ? TPM2_SHA1 : p->state.banks[bank].alg;
	const size_t size = tpm2_digest_size(alg);
	int err;

	memset(ret, 0, TPM2_DIGEST_MAX);
	if (raw->entry.violation) {
		memset(ret, 0xff, size);
		return 0;
	}
	err = template_digest(p->state.padded ? p->log_hash : p->hashes[bank], &raw->entry, ret);
	if (!err && alg == p->state.log_alg && memcmp(ret, raw->digest.at, size))
		return -EBADMSG;
	return err;
}

static int extend(struct replay *p, const struct raw *raw)
{
	uint8_t digest[TPM2_DIGEST_MAX];

	for (size_t i = 0; i < p->state.banks_count; i++) {
		uint8_t *value = p->state.banks[i].value;
		const size_t size = tpm2_digest_size(p->state.banks[i].alg);
		const struct reader parts[2] = {reader_of(value, size), reader_of(digest, size)};
		int err = bank_digest(p, i, raw, digest);

		if (err)
			return err;
		err = hash_parts(p->hashes[i], parts, 2, value);
		if (err)
			return err;
	}
	return 0;
}

static bool all_zero(const struct reader *r)
{
	for (size_t i = 0; i < r->left; i++)
		if (r->at[i])
			return false;
	return true;
}

static int replay_entry(struct replay *p, struct raw *raw)
{
	struct ima_entry *e = &raw->entry;
	int err;

	e->number = p->state.entries;
	e->violation = all_zero(&raw->digest);
	err = ima_fields(p->state.order, e);
	if (err)
		return err;
	e->boot_aggregate =
		e->has_path && e->path.left == 14 && !memcmp(e->path.at, "boot_aggregate", 14);
	p->state.entries++;
	p->state.violations += e->violation;
	p->state.boots += e->boot_aggregate;
	p->state.unknown += !e->known;
	if (e->pcr != IMA_PCR)
		p->state.strays++;
	else
		err = extend(p, raw);
	return err || !p->fn ? err : p->fn(p->context, &p->state, e);
}

int ima_replay(struct ima_state *s, const void *data, size_t len, const struct ima_quoted *quoted,
	       ima_entry_fn fn, void *context, size_t *ret_used)
{
	__attribute__((cleanup(replay_clear))) struct replay p = {
		.state = *s, .quoted = quoted, .fn = fn, .context = context};
	struct reader r = reader_of(data, len);
	int err = replay_begin(&p);

	while (!err && !is_met(&p)) {
		struct raw raw;

		err = get_raw(&p.state.order, p.state.log_alg, &r, &raw);
		if (!err)
			err = replay_entry(&p, &raw);
		else if (err == -EAGAIN)
			break;
	}
	if (err && err != -EAGAIN)
		return err;
	if (!p.state.entries)
		p.state.order = s->order; /* of a cut entry nothing is known */
	*ret_used = len - r.left;
	*s = p.state;
	return is_met(&p);
}

int ima_recognise(const struct ima_state *s, const void *data, size_t len,
		  const struct ima_quoted *quoted, bool *ret_padded)
{
	for (int padded = 0; padded < 2; padded++) {
		struct ima_state at = *s;
		size_t used;
		int r;

		at.padded = padded;
		r = ima_replay(&at, data, len, quoted, NULL, NULL, &used);
		if (r > 0)
			*ret_padded = padded;
		if (r)
			return r;
	}
	return 0;
}

int ima_skip(const struct ima_state *s, const void *data, size_t len, uint64_t most,
	     uint64_t *ret_entries, size_t *ret_used)
{
	struct reader r = reader_of(data, len);
	enum ima_order order = s->order;
	uint64_t entries = 0;
	struct raw raw;
	int err = 0;

	if (!tpm2_digest_size(s->log_alg))
		return -EINVAL;
	while (entries < most) {
		err = get_raw(&order, s->log_alg, &r, &raw);
		if (err)
			break;
		entries++;
	}
	if (err && err != -EAGAIN)
		return err;
	*ret_entries = entries;
	*ret_used = len - r.left;
	return 0;
}

int ima_aggregate_check(const struct ima_entry *e, const struct pcr_bank *banks, size_t count,
			enum ima_aggregate *ret)
{
	const struct pcr_bank *bank = NULL;
	struct tpm2_selection selection = {.alg = e->alg};
	struct tpm2_bytes digest;
	int err;

	if (!e->boot_aggregate || e->violation)
		return -EINVAL;
	for (size_t i = 0; !bank && i < count; i++)
		if (banks[i].alg == e->alg)
			bank = &banks[i];
	if (!bank)
		return -ENOENT;
	for (enum ima_aggregate a = IMA_AGGREGATE_0_7; a <= IMA_AGGREGATE_0_9; a++) {
		selection.pcrs = a == IMA_AGGREGATE_0_7 ? 0xff : 0x3ff;
		err = pcr_digest(bank, 1, &selection, 1, e->alg, &digest);
		if (err)
			return err;
		if (digest.len == e->digest.left &&
		    !memcmp(digest.data, e->digest.at, digest.len)) {
			*ret = a;
			return 0;
		}
	}
	*ret = IMA_AGGREGATE_WRONG;
	return 0;
}
