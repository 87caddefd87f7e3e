/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/hoststate.h"

#include <errno.h>
#include <string.h>

#include "attest/member.h"
#include "attest/ossl.h"
#include "base/base64url.h"

#define VALUES_SIZE (TPM2_PCRS * SHA256_SIZE)

static json_t *bytes_json(const void *data, size_t len)
{
	_cleanup_free_ char *text = base64url_new(data, len);

	return text ? json_string(text) : NULL;
}

static json_t *list_json(const struct ima_state *s)
{
	return json_pack("{sisisbsIsIsIsIsIso}", "order", (int)s->order, "log_alg", (int)s->log_alg,
			 "padded", s->padded, "entries", (json_int_t)s->entries, "violations",
			 (json_int_t)s->violations, "boots", (json_int_t)s->boots, "strays",
			 (json_int_t)s->strays, "unknown", (json_int_t)s->unknown, "value",
			 bytes_json(s->banks[0].value, SHA256_SIZE));
}

static json_t *clock_json(const struct hoststate *s)
{
	return json_pack("{sIsIsIsbsI}", "ms", (json_int_t)s->clock.ms, "resets",
			 (json_int_t)s->clock.resets, "restarts", (json_int_t)s->clock.restarts,
			 "safe", s->clock.safe, "firmware", (json_int_t)s->firmware);
}

char *hoststate_encode(const struct hoststate *s)
{
	uint8_t values[TPM2_PCRS][SHA256_SIZE];
	char boot_id[UUID_TEXT_SIZE];
	_cleanup_json_ json_t *o = NULL;

	for (size_t i = 0; i < TPM2_PCRS; i++)
		memcpy(values[i], s->bank.values[i], SHA256_SIZE);
	uuid_format(&s->boot_id, boot_id);
	o = json_pack("{ss so sI sI sb sb sb sb so ss so so so so so sI so so}", "type",
		      HOSTSTATE_TYPE, "policy", bytes_json(s->policy, sizeof(s->policy)), "until",
		      (json_int_t)s->until, "enrolled", (json_int_t)s->enrolled, "software",
		      s->software, "boot", s->boot, "ima", s->ima, "daemon", s->daemon,
		      "daemon_digest", bytes_json(&s->daemon_digest, SHA256_SIZE), "boot_id",
		      boot_id, "host_id", bytes_json(s->host_id, sizeof(s->host_id)), "ueid",
		      bytes_json(s->ueid, sizeof(s->ueid)), "ek", bytes_json(s->ek.data, s->ek.len),
		      "ak", bytes_json(s->ak.data, s->ak.len), "clock", clock_json(s), "pcrs",
		      (json_int_t)s->pcrs, "values", bytes_json(values, sizeof(values)), "claims",
		      bytes_json(s->claims.data, s->claims.len));
	if (!o || (s->ima && json_object_set_new(o, "list", list_json(&s->list))))
		return NULL;
	return json_dumps(o, JSON_COMPACT);
}

static int take_blob(const char **why, const json_t *o, const char *claim, size_t max, uint8_t *ret,
		     size_t *ret_len)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t len;
	int err = member_blob(why, o, claim, max, &bytes, &len);

	if (err)
		return err;
	memcpy(ret, bytes, len);
	*ret_len = len;
	return 0;
}

static int take_list(const char **why, const json_t *parent, struct ima_state *s)
{
	const uint16_t bank = TPM2_SHA256;
	uint64_t order, alg;
	const json_t *o;
	bool padded;
	int err;

	err = member_object(why, parent, "list", &o) ?: ima_init(s, &bank, 1) ?:
	      member_number(why, o, "list.order", IMA_BIG, &order) ?:
	      member_number(why, o, "list.log_alg", UINT16_MAX, &alg) ?:
	      member_bool(why, o, "list.padded", &padded) ?:
	      member_number(why, o, "list.entries", INT64_MAX, &s->entries) ?:
	      member_number(why, o, "list.violations", INT64_MAX, &s->violations) ?:
	      member_number(why, o, "list.boots", INT64_MAX, &s->boots) ?:
	      member_number(why, o, "list.strays", INT64_MAX, &s->strays) ?:
	      member_number(why, o, "list.unknown", INT64_MAX, &s->unknown) ?:
	      member_bytes(why, o, "list.value", s->banks[0].value, SHA256_SIZE);
	if (err)
		return err;
	if (!tpm2_digest_size(alg))
		return member_bad(why, "list.log_alg");
	s->order = order;
	s->log_alg = alg;
	s->padded = padded;
	return 0;
}

/* A u64 that went through JSON's signed integers. */
static int take_u64(const char **why, const json_t *o, const char *name, const char *claim,
		    uint64_t *ret)
{
	const json_t *value = json_object_get(o, name);

	if (!json_is_integer(value))
		return member_bad(why, claim);
	*ret = json_integer_value(value);
	return 0;
}

static int take_clock(const char **why, const json_t *parent, struct hoststate *s)
{
	const json_t *o;

	return member_object(why, parent, "clock", &o) ?:
	       take_u64(why, o, "ms", "clock.ms", &s->clock.ms) ?:
	       member_u32(why, o, "clock.resets", &s->clock.resets) ?:
	       member_u32(why, o, "clock.restarts", &s->clock.restarts) ?:
	       member_bool(why, o, "clock.safe", &s->clock.safe) ?:
	       take_u64(why, o, "firmware", "clock.firmware", &s->firmware);
}

static int take_values(const char **why, const json_t *o, struct hoststate *s)
{
	uint8_t values[TPM2_PCRS][SHA256_SIZE];
	int err = pcr_bank_init(&s->bank, TPM2_SHA256) ?:
		  member_u32(why, o, "pcrs", &s->pcrs) ?:
		  member_bytes(why, o, "values", values, sizeof(values));

	if (err)
		return err;
	if (s->pcrs >> TPM2_PCRS)
		return member_bad(why, "pcrs");
	for (size_t i = 0; i < TPM2_PCRS; i++)
		memcpy(s->bank.values[i], values[i], SHA256_SIZE);
	return 0;
}

static int take_all(const char **why, const json_t *o, struct hoststate *s)
{
	uint64_t until, enrolled;
	int err;

	err = member_constant(why, o, "type", HOSTSTATE_TYPE) ?:
	      member_bytes(why, o, "policy", s->policy, sizeof(s->policy)) ?:
	      member_number(why, o, "until", INT64_MAX, &until) ?:
	      member_number(why, o, "enrolled", INT64_MAX, &enrolled) ?:
	      member_bool(why, o, "software", &s->software) ?:
	      member_bool(why, o, "boot", &s->boot) ?:
	      member_bool(why, o, "ima", &s->ima) ?:
	      member_bool(why, o, "daemon", &s->daemon) ?:
	      member_bytes(why, o, "daemon_digest", &s->daemon_digest, SHA256_SIZE) ?:
	      member_uuid(why, o, "boot_id", &s->boot_id) ?:
	      member_bytes(why, o, "host_id", s->host_id, sizeof(s->host_id)) ?:
	      member_bytes(why, o, "ueid", s->ueid, sizeof(s->ueid)) ?:
	      take_blob(why, o, "ek", sizeof(s->ek.data), s->ek.data, &s->ek.len) ?:
	      take_blob(why, o, "ak", sizeof(s->ak.data), s->ak.data, &s->ak.len) ?:
	      take_clock(why, o, s) ?:
	      take_values(why, o, s) ?:
	      take_blob(why, o, "claims", sizeof(s->claims.data), s->claims.data, &s->claims.len);
	if (err)
		return err;
	s->until = until;
	s->enrolled = enrolled;
	return s->ima ? take_list(why, o, &s->list) : 0;
}

int hoststate_parse(const void *data, size_t len, struct hoststate *ret, const char **ret_why)
{
	_cleanup_json_ json_t *o = NULL;
	struct hoststate *s = calloc(1, sizeof(*s));
	int err;

	*ret_why = "the JSON";
	if (!s)
		return -ENOMEM;
	err = len > HOSTSTATE_SIZE_MAX ? -EBADMSG : jose_json(data, len, 3, &o);
	err = err ?: take_all(ret_why, o, s);
	if (!err)
		*ret = *s;
	free(s);
	return err;
}
