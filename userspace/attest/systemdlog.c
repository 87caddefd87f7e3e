/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/systemdlog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attest/hash.h"
#include "attest/jose.h"
#include "attest/member.h"
#include "attest/ossl.h"

#define DEPTH 4 /* the entry, its digests, one of them; "content" */
#define RECORD_SEPARATOR 0x1e

void systemdlog_clear(struct systemdlog *l)
{
	for (size_t i = 0; i < l->count; i++) {
		free(l->entries[i].text);
		free(l->entries[i].type);
	}
	free(l->entries);
	*l = (struct systemdlog){};
}

static uint16_t alg_of(const char *name)
{
	static const struct {
		const char *name;
		uint16_t alg;
	} algs[] = {{"sha1", TPM2_SHA1},
		    {"sha256", TPM2_SHA256},
		    {"sha384", TPM2_SHA384},
		    {"sha512", TPM2_SHA512}};

	for (size_t i = 0; i < sizeof(algs) / sizeof(*algs); i++)
		if (!strcmp(name, algs[i].name))
			return algs[i].alg;
	return 0;
}

/* {"hashAlg": "sha256", "digest": "<hex>"} */
static int get_digest(const json_t *o, struct systemdlog_entry *e)
{
	const char *name = json_string_value(json_object_get(o, "hashAlg"));
	const char *why = NULL;
	uint16_t alg;
	size_t len;
	int err;

	if (!name)
		return -EBADMSG;
	alg = alg_of(name);
	if (!alg)
		return 0;
	for (size_t i = 0; i < e->digests_count; i++)
		if (e->digests[i].alg == alg)
			return -EBADMSG;
	err = member_hex(&why, o, "digest", e->digests[e->digests_count].digest, TPM2_DIGEST_MAX,
			 &len);
	if (err)
		return err;
	e->digests[e->digests_count++].alg = alg;
	return len == tpm2_digest_size(alg) ? 0 : -EBADMSG;
}

/* Absent is NULL; anything but a string is malformed. */
static int get_text(const json_t *o, const char *name, char **ret)
{
	const json_t *value = json_object_get(o, name);

	if (!value)
		return 0;
	if (!json_is_string(value))
		return -EBADMSG;
	*ret = strdup(json_string_value(value));
	return *ret ? 0 : -ENOMEM;
}

static int get_entry(const json_t *o, struct systemdlog_entry *e)
{
	const json_t *pcr = json_object_get(o, "pcr"), *digests = json_object_get(o, "digests");
	const json_t *content = json_object_get(o, "content"), *digest;
	size_t i;
	int err;

	if (pcr && (!json_is_integer(pcr) || json_integer_value(pcr) < 0 ||
		    json_integer_value(pcr) >= TPM2_PCRS))
		return -EBADMSG;
	e->pcr = pcr ? json_integer_value(pcr) : SYSTEMDLOG_NV;
	if (!json_is_array(digests) || json_array_size(digests) > SYSTEMDLOG_DIGESTS_MAX)
		return -EBADMSG;
	json_array_foreach(digests, i, digest)
	{
		err = get_digest(digest, e);
		if (err)
			return err;
	}
	if (content && !json_is_object(content))
		return -EBADMSG;
	return get_text(content, "string", &e->text) ?: get_text(content, "eventType", &e->type);
}

static int append(struct systemdlog *l, const uint8_t *data, size_t len)
{
	_cleanup_json_ json_t *o = NULL;
	struct systemdlog_entry *entries;
	int err;

	if (l->count == SYSTEMDLOG_ENTRIES_MAX)
		return -E2BIG;
	err = jose_json(data, len, DEPTH, &o);
	if (err)
		return err;
	entries = reallocarray(l->entries, l->count + 1, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	l->entries = entries;
	entries[l->count] = (struct systemdlog_entry){};
	return get_entry(o, &entries[l->count++]);
}

int systemdlog_parse(const void *data, size_t len, struct systemdlog *ret)
{
	__attribute__((cleanup(systemdlog_clear))) struct systemdlog l = {};
	struct reader r = reader_of(data, len);
	int err;

	if (len > SYSTEMDLOG_SIZE_MAX)
		return -E2BIG;
	/*
	 * Each text has a separator before it and a line feed behind it: without that it may be cut
	 * short.
	 */
	while (r.left) {
		const uint8_t *end = memchr(r.at, '\n', r.left);

		if (*r.at != RECORD_SEPARATOR || !end)
			return -EBADMSG;
		err = append(&l, r.at + 1, end - r.at - 1);
		if (err)
			return err;
		r.left -= end + 1 - r.at;
		r.at = end + 1;
	}
	*ret = l;
	l = (struct systemdlog){};
	return 0;
}

const uint8_t *systemdlog_digest(const struct systemdlog_entry *e, uint16_t alg)
{
	for (size_t i = 0; i < e->digests_count; i++)
		if (e->digests[i].alg == alg)
			return e->digests[i].digest;
	return NULL;
}

int systemdlog_replay(const struct systemdlog *l, struct pcr_bank *bank)
{
	struct pcr_bank b = *bank;

	for (size_t i = 0; i < l->count; i++) {
		const struct systemdlog_entry *e = &l->entries[i];
		const uint8_t *digest = systemdlog_digest(e, b.alg);
		int err;

		if (e->pcr == SYSTEMDLOG_NV)
			continue;
		if (!digest)
			return -ENOENT;
		err = pcr_extend(&b, e->pcr, digest);
		if (err)
			return err;
	}
	*bank = b;
	return 0;
}

const char *systemdlog_text(const struct systemdlog_entry *e, uint16_t alg)
{
	const uint8_t *digest = systemdlog_digest(e, alg);
	uint8_t hash[TPM2_DIGEST_MAX];

	if (!e->text || !digest || hash_of(alg, e->text, strlen(e->text), hash) ||
	    memcmp(hash, digest, tpm2_digest_size(alg)))
		return NULL;
	return e->text;
}
