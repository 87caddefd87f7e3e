/* SPDX-License-Identifier: Apache-2.0 */
/* The files of enrol.h. */
#include <errno.h>
#include <string.h>

#include "attest/enrol.h"
#include "attest/member.h"
#include "attest/ossl.h"
#include "base/base64url.h"
#include "base/digest.h"

#define REQUEST "tag:affiant.dev,2026:enrolment-request#1"
#define CHALLENGE "tag:affiant.dev,2026:enrolment-challenge#1"
#define PENDING "tag:affiant.dev,2026:enrolment-pending#1"
#define ANSWER "tag:affiant.dev,2026:enrolment-answer#1"

static json_t *bytes_json(const void *data, size_t len)
{
	_cleanup_free_ char *text = base64url_new(data, len);

	return text ? json_string(text) : NULL;
}

static json_t *blob_json(const struct enrol_blob *b)
{
	return bytes_json(b->data, b->len);
}

static json_t *request_json(const struct enrol_request *r, const char *type)
{
	char host_id[2 * sizeof(r->host_id) + 1];
	_cleanup_json_ json_t *chain = json_array();

	hex_encode(r->host_id, sizeof(r->host_id), host_id);
	for (size_t i = 0; i < r->ek_chain_count; i++)
		if (json_array_append_new(chain, blob_json(&r->ek_chain[i])) < 0)
			return NULL;
	return json_pack("{sssssososO}", "type", type, "host_id", host_id, "ek_public",
			 blob_json(&r->ek_public), "ak_public", blob_json(&r->ak_public),
			 "ek_chain", chain);
}

json_t *enrol_request_json(const struct enrol_request *r)
{
	return request_json(r, REQUEST);
}

json_t *enrol_pending_json(const struct enrol_pending *p)
{
	json_t *o = request_json(&p->request, PENDING);

	if (json_object_set_new(o, "key", bytes_json(p->key, sizeof(p->key))) < 0 ||
	    json_object_set_new(o, "expires", json_integer(p->expires)) < 0) {
		json_decref(o);
		return NULL;
	}
	return o;
}

json_t *enrol_challenge_json(const struct enrol_challenge *c)
{
	return json_pack("{sssososo}", "type", CHALLENGE, "ak_name",
			 bytes_json(c->ak_name.data, c->ak_name.len), "credential",
			 bytes_json(c->credential.id_object, c->credential.id_object_len), "secret",
			 bytes_json(c->credential.encrypted, c->credential.encrypted_len));
}

json_t *enrol_answer_json(const struct enrol_answer *a)
{
	return json_pack("{sssoso}", "type", ANSWER, "ak_name",
			 bytes_json(a->ak_name.data, a->ak_name.len), "proof",
			 bytes_json(a->proof, sizeof(a->proof)));
}

void enrol_request_clear(struct enrol_request *r)
{
	free(r->ek_public.data);
	free(r->ak_public.data);
	for (size_t i = 0; i < r->ek_chain_count; i++)
		free(r->ek_chain[i].data);
	*r = (struct enrol_request){};
}

void enrol_pending_clear(struct enrol_pending *p)
{
	enrol_request_clear(&p->request);
	OPENSSL_cleanse(p, sizeof(*p));
}

static int take_blob(const char **why, const json_t *o, const char *name, size_t max,
		     struct enrol_blob *ret)
{
	return member_blob(why, o, name, max, &ret->data, &ret->len);
}

/* Into room that is there. */
static int take_into(const char **why, const json_t *o, const char *name, uint8_t *ret, size_t max,
		     size_t *ret_len)
{
	struct enrol_blob b = {};
	int err = take_blob(why, o, name, max, &b);

	if (!err) {
		memcpy(ret, b.data, b.len);
		*ret_len = b.len;
	}
	free(b.data);
	return err;
}

static int take_chain(const char **why, const json_t *o, struct enrol_request *r)
{
	const json_t *list;
	int err = member_array(why, o, "ek_chain", CERTIFICATE_CHAIN_MAX, &list);

	for (size_t i = 0; !err && i < json_array_size(list); i++) {
		r->ek_chain_count = i + 1;
		err = member_copy_blob(why, json_array_get(list, i), "ek_chain",
				       CERTIFICATE_DER_MAX, &r->ek_chain[i].data,
				       &r->ek_chain[i].len);
	}
	return err;
}

static int take_request(const char **why, const json_t *o, const char *type,
			struct enrol_request *r)
{
	size_t len = sizeof(r->host_id);

	return member_constant(why, o, "type", type) ?:
	       member_hex(why, o, "host_id", r->host_id, sizeof(r->host_id), &len) ?:
	       (len == sizeof(r->host_id) ? 0 : member_bad(why, "host_id")) ?:
	       take_blob(why, o, "ek_public", ENROL_PUBLIC_MAX, &r->ek_public) ?:
	       take_blob(why, o, "ak_public", ENROL_PUBLIC_MAX, &r->ak_public) ?:
	       take_chain(why, o, r);
}

int enrol_request_parse(const json_t *o, struct enrol_request *ret, const char **ret_why)
{
	struct enrol_request r = {};
	int err = take_request(ret_why, o, REQUEST, &r);

	if (err)
		enrol_request_clear(&r);
	else
		*ret = r;
	return err;
}

int enrol_pending_parse(const json_t *o, struct enrol_pending *ret, const char **ret_why)
{
	struct enrol_pending p = {};
	int err = take_request(ret_why, o, PENDING, &p.request) ?:
		  member_bytes(ret_why, o, "key", p.key, sizeof(p.key)) ?:
		  member_number(ret_why, o, "expires", INT64_MAX, &p.expires);

	if (err)
		enrol_request_clear(&p.request);
	else
		*ret = p;
	OPENSSL_cleanse(p.key, sizeof(p.key));
	return err;
}

static int take_name(const char **why, const json_t *o, struct tpm2_bytes *ret)
{
	return take_into(why, o, "ak_name", ret->data, sizeof(ret->data), &ret->len);
}

int enrol_challenge_parse(const json_t *o, struct enrol_challenge *ret, const char **ret_why)
{
	struct enrol_challenge c = {};
	int err = member_constant(ret_why, o, "type", CHALLENGE) ?:
		  take_name(ret_why, o, &c.ak_name) ?:
		  take_into(ret_why, o, "credential", c.credential.id_object, sizeof(c.credential.id_object),
			    &c.credential.id_object_len) ?:
		  take_into(ret_why, o, "secret", c.credential.encrypted, sizeof(c.credential.encrypted),
			    &c.credential.encrypted_len);

	if (!err)
		*ret = c;
	return err;
}

int enrol_answer_parse(const json_t *o, struct enrol_answer *ret, const char **ret_why)
{
	struct enrol_answer a = {};
	int err = member_constant(ret_why, o, "type", ANSWER) ?:
		  take_name(ret_why, o, &a.ak_name) ?:
		  member_bytes(ret_why, o, "proof", a.proof, sizeof(a.proof));

	if (!err)
		*ret = a;
	return err;
}
