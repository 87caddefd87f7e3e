/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/imafield.h"

#include <errno.h>
#include <string.h>

#include "attest/tpm2.h"

/* Templates and their formats (ima_template.c, builtin_templates) */
static const char *const templates[][2] = {
	{"ima", "d|n"},
	{"ima-ng", "d-ng|n-ng"},
	{"ima-sig", "d-ng|n-ng|sig"},
	{"ima-ngv2", "d-ngv2|n-ng"},
	{"ima-sigv2", "d-ngv2|n-ng|sig"},
	{"ima-buf", "d-ng|n-ng|buf"},
	{"ima-modsig", "d-ng|n-ng|sig|d-modsig|modsig"},
	{"evm-sig", "d-ng|n-ng|evmsig|xattrnames|xattrlengths|xattrvalues|iuid|igid|imode"},
};

/* Names of crypto/hash_info.c */
static const struct {
	const char *name;
	uint16_t alg;
} algs[] = {
	{"sha1", TPM2_SHA1},         {"sha256", TPM2_SHA256},     {"sha384", TPM2_SHA384},
	{"sha512", TPM2_SHA512},     {"sm3", TPM2_SM3_256},       {"sm3-256", TPM2_SM3_256},
	{"sha3-256", TPM2_SHA3_256}, {"sha3-384", TPM2_SHA3_384}, {"sha3-512", TPM2_SHA3_512},
};

static bool is(const struct reader *r, const char *text)
{
	return r->left == strlen(text) && !memcmp(r->at, text, r->left);
}

bool ima_is_old(const struct reader *name)
{
	return is(name, "ima");
}

int ima_u32(enum ima_order order, struct reader *r, uint32_t *ret)
{
	return order == IMA_BIG ? reader_u32be(r, ret) : reader_u32le(r, ret);
}

/* Up to a byte, which is left out of both */
static int split(struct reader *r, char end, struct reader *ret)
{
	const uint8_t *at = memchr(r->at, end, r->left);

	if (!at)
		return -EBADMSG;
	*ret = reader_of(r->at, at - r->at);
	r->left -= ret->left + 1;
	r->at = at + 1;
	return 0;
}

/* d-ng: "sha256:" NUL digest; d-ngv2: "ima:sha256:" NUL digest, or "verity:…" */
static int get_digest(struct reader field, bool v2, struct ima_entry *e)
{
	struct reader type, nothing;
	size_t size;
	int err;

	if (v2) {
		err = split(&field, ':', &type);
		if (err)
			return err;
		e->verity = is(&type, "verity");
		if (!e->verity && !is(&type, "ima"))
			return -EBADMSG;
	}
	err = split(&field, ':', &e->alg_name) ?: split(&field, '\0', &nothing);
	if (err || nothing.left)
		return -EBADMSG;
	for (size_t i = 0; i < sizeof(algs) / sizeof(*algs); i++)
		if (is(&e->alg_name, algs[i].name))
			e->alg = algs[i].alg;
	size = tpm2_digest_size(e->alg);
	if (size && field.left != size)
		return -EBADMSG;
	e->digest = field;
	return 0;
}

static int get_path(struct reader field, struct ima_entry *e)
{
	int err = split(&field, '\0', &e->path);

	if (err || field.left)
		return -EBADMSG;
	e->has_path = true;
	return 0;
}

static int get_field(const struct reader *id, struct reader field, struct ima_entry *e)
{
	if (is(id, "d-ng"))
		return get_digest(field, false, e);
	if (is(id, "d-ngv2"))
		return get_digest(field, true, e);
	if (is(id, "n-ng") || is(id, "n"))
		return get_path(field, e);
	if (is(id, "d")) {
		e->digest = field;
		if (field.left == IMA_OLD_DIGEST_SIZE)
			e->alg = TPM2_SHA1;
	}
	if (is(id, "sig"))
		e->signature = field;
	if (is(id, "modsig"))
		e->modsig = field;
	if (is(id, "buf"))
		e->buffer = field;
	return 0; /* the others have lengths like these, and nothing for us */
}

/* SHA-1, or MD5 with zeros behind it: the list does not say which. Then a name without NUL. */
static int get_old(enum ima_order order, struct ima_entry *e)
{
	struct reader r = e->data;
	uint32_t len;
	int err;

	err = reader_bytes(&r, IMA_OLD_DIGEST_SIZE, &e->digest) ?: ima_u32(order, &r, &len) ?:
	      reader_bytes(&r, len, &e->path) ?: reader_end(&r);
	if (err || memchr(e->path.at, '\0', e->path.left))
		return -EBADMSG;
	e->alg = TPM2_SHA1;
	e->has_path = true;
	return 0;
}

static bool is_digest(const struct reader *id)
{
	return is(id, "d") || is(id, "d-ng") || is(id, "d-ngv2");
}

static bool is_name(const struct reader *id)
{
	return is(id, "n") || is(id, "n-ng");
}

/*
 * A digest, a name, and no other of either: nobody vouches for a template's name, and by another
 * format what a file brought with it would be read as its digest.
 */
static bool is_format(struct reader r)
{
	struct reader id;

	for (size_t i = 0; r.left; i++) {
		id = r;
		if (split(&r, '|', &id) != 0)
			r.left = 0;
		if (is_digest(&id) != (i == 0) || is_name(&id) != (i == 1))
			return false;
	}
	return true;
}

/* A template without a name goes by its format. */
static struct reader format_of(const struct reader *name)
{
	for (size_t i = 0; i < sizeof(templates) / sizeof(*templates); i++)
		if (is(name, templates[i][0]))
			return reader_of(templates[i][1], strlen(templates[i][1]));
	return memchr(name->at, '|', name->left) && is_format(*name) ? *name : reader_of(NULL, 0);
}

int ima_fields(enum ima_order order, struct ima_entry *e)
{
	struct reader format = format_of(&e->template), r = e->data;
	int err;

	e->known = format.left > 0;
	if (ima_is_old(&e->template))
		return get_old(order, e);
	while (format.left) {
		struct reader id = format, field;
		uint32_t len;

		if (split(&format, '|', &id) != 0)
			format.left = 0;
		err = ima_u32(order, &r, &len) ?: reader_bytes(&r, len, &field) ?: get_field(&id, field, e);
		if (err)
			return err;
	}
	return e->known ? reader_end(&r) : 0;
}
