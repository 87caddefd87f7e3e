/* SPDX-License-Identifier: Apache-2.0 */
/* verify: the result, and what is kept of a host. */
#include <stdlib.h>
#include <string.h>

#include "attest/verify_impl.h"

const char *verify_tier_word(enum affiant_tier t)
{
	static const char *const words[AFFIANT_TIERS] = {
		[AFFIANT_UNATTESTED] = "unattested",
		[AFFIANT_SOFTWARE_TPM] = "software-tpm",
		[AFFIANT_BOOT_UNKNOWN] = "boot-unknown",
		[AFFIANT_BOOT_STATE] = "boot-state",
		[AFFIANT_RUNTIME_MEASURED] = "runtime-measured",
	};

	return t < AFFIANT_TIERS ? words[t] : "unattested";
}

const char *verify_verdict_word(enum affiant_verdict v)
{
	return v == AFFIANT_AFFIRMED ? "affirmed" : v == AFFIANT_REFUSED ? "refused" : "undecided";
}

const char *verify_outcome_word(enum verify_outcome o)
{
	return o == VERIFY_PASSED ? "passed" : o == VERIFY_FAILED ? "failed" : "not-judged";
}

const char *verify_reason(const struct verify_result *r)
{
	return r->verdict == AFFIANT_AFFIRMED || !r->checks_count
		       ? ""
		       : r->checks[r->checks_count - 1].showed;
}

json_t *verify_result_json(const struct verify_result *r)
{
	_cleanup_json_ json_t *o = json_object(), *checks = json_array();

	for (size_t i = 0; i < r->checks_count; i++)
		json_array_append_new(checks,
				      json_pack("{ss ss ss}", "check", r->checks[i].name, "outcome",
						verify_outcome_word(r->checks[i].outcome), "showed",
						r->checks[i].showed));
	if (json_array_size(checks) != r->checks_count ||
	    json_object_set_new(o, "verdict", json_string(verify_verdict_word(r->verdict))) ||
	    json_object_set_new(o, "code", json_string(verify_code_name(r->code))) ||
	    json_object_set_new(o, "reason", json_string(verify_reason(r))) ||
	    json_object_set_new(o, "tier", json_string(verify_tier_word(r->tier))) ||
	    json_object_set(o, "checks", checks))
		return NULL;
	if (r->code == VERIFY_host_evidence_needed)
		json_object_set_new(o, "ima_from", json_integer(r->ima_from));
	if (r->asset)
		json_object_set_new(o, "asset", json_string(r->asset));
	if (r->verdict == AFFIANT_AFFIRMED)
		json_object_set(o, "claims", r->payload);
	return json_incref(o);
}

static void keep_public(const struct cmw_item *item, void *data, size_t *ret_len)
{
	memcpy(data, item->content, item->len);
	*ret_len = item->len;
}

/* A public area of a kind that is taken is shorter than HOSTSTATE_PUBLIC_MAX. */
static void keep_host(struct verification *v, struct hoststate *s)
{
	const struct cmw_item *claims = &v->host[HOST_CLAIMS];
	const struct claims_host *h = &v->host_claims;

	memcpy(s->policy, v->policy->digest, sizeof(s->policy));
	memcpy(s->ueid, v->result->claims.ueid, sizeof(s->ueid));
	s->until = v->until;
	s->enrolled = v->enrolled;
	s->software = v->software;
	s->boot_id = h->boot_id;
	memcpy(s->host_id, h->host_id, sizeof(s->host_id));
	keep_public(&v->host[EK_PUBLIC], s->ek.data, &s->ek.len);
	keep_public(&v->host[AK_PUBLIC], s->ak.data, &s->ak.len);
	memcpy(s->claims.data, claims->content, claims->len);
	s->claims.len = claims->len;
	for (size_t i = 0; i < h->files_count; i++)
		if (h->files[i].role == CLAIMS_EXECUTABLE && h->files[i].digest_len == SHA256_SIZE)
			memcpy(&s->daemon_digest, h->files[i].digest, SHA256_SIZE);
}

void verify_keep(struct verification *v)
{
	struct hoststate *s = &v->result->host;

	if (v->judged_host) {
		if (v->host[EK_PUBLIC].len > HOSTSTATE_PUBLIC_MAX ||
		    v->host[AK_PUBLIC].len > HOSTSTATE_PUBLIC_MAX)
			return;
		keep_host(v, s);
	} else {
		*s = *v->cached;
	}
	s->boot = v->boot_judged;
	s->ima = v->ima_judged;
	s->daemon = v->daemon_seen;
	/* What arrives late does not set the clock back. */
	if (!v->cached || v->attest.clock.resets != v->cached->clock.resets ||
	    v->attest.clock.restarts != v->cached->clock.restarts ||
	    v->attest.clock.ms > v->cached->clock.ms)
		s->clock = v->attest.clock;
	else
		s->clock = v->cached->clock;
	s->firmware = v->attest.firmware;
	s->pcrs = v->pcrs;
	s->bank = *v->bank;
	s->list = v->list;
	v->result->has_host = true;
}
