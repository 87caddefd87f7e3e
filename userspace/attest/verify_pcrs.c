/* SPDX-License-Identifier: Apache-2.0 */
/* verify: the TPM's clock, the PCRs that were quoted, and the claims of the host. */
#include <errno.h>
#include <string.h>

#include "attest/verify_impl.h"

#define BOOT_PCRS 0xffu

/* ---- clock ---- */

static bool check_firmware(struct verification *v)
{
	const struct affiant_policy *p = v->policy;
	const uint64_t version = v->attest.firmware;

	for (size_t i = 0; i < p->firmware_count; i++)
		if (p->firmware[i] == version)
			return pass(v, "quote: firmware", "%016llx", (unsigned long long)version);
	if (!p->any_firmware)
		return fail(v, VERIFY_firmware, "quote: firmware",
			    "version %016llx is none of the policy's", (unsigned long long)version);
	return not_judged(v, "quote: firmware", "version %016llx", (unsigned long long)version);
}

/* Within one reset the clock only goes forward; quotes that were made at the same time may arrive
 * in another order. */
static bool check_same_reset(struct verification *v, const struct hoststate *s)
{
	const struct tpm2_clock *now = &v->attest.clock;
	const uint64_t late = 1000 * ((uint64_t)v->policy->max_age + v->policy->skew);

	if (now->restarts < s->clock.restarts ||
	    (now->restarts == s->clock.restarts && now->ms < s->clock.ms &&
	     s->clock.ms - now->ms > late))
		return fail(v, VERIFY_clock_backwards, "quote: clock",
			    "the TPM's clock went backwards");
	if (v->attest.firmware != s->firmware)
		return fail(v, VERIFY_firmware_changed, "quote: firmware",
			    "it changed without a reset");
	return true;
}

bool verify_clock(struct verification *v)
{
	const struct tpm2_clock *now = &v->attest.clock;
	const struct hoststate *s = v->cached;

	if (s && now->resets < s->clock.resets)
		return fail(v, VERIFY_clock_reset_backwards, "quote: clock",
			    "reset count %u, after %u: a TPM that was rolled back", now->resets,
			    s->clock.resets);
	if (s && now->resets == s->clock.resets && !check_same_reset(v, s))
		return false;
	if (s && now->resets != s->clock.resets && !v->judged_host)
		return need_host(v, 0, "the host was started anew");
	pass(v, "quote: clock", "reset %u, restart %u%s", now->resets, now->restarts,
	     now->safe ? "" : ", after an unclean stop");
	return check_firmware(v);
}

/* ---- PCRs ---- */

static bool check_selection(struct verification *v)
{
	const struct tpm2_attest *a = &v->attest;
	const struct affiant_boot *b = &v->policy->boot;
	uint32_t needed = b->mode == AFFIANT_BOOT_LOG ? BOOT_PCRS | b->closed : 0;

	if (!a->selections_count)
		return fail(v, VERIFY_quote_selection, "quote: PCRs", "it has none");
	for (size_t i = 0; i < a->selections_count; i++) {
		if (!a->selections[i].pcrs)
			return fail(v, VERIFY_quote_selection, "quote: PCRs",
				    "a bank is named, and none of its PCRs");
		for (size_t k = 0; k < i; k++)
			if (a->selections[k].alg == a->selections[i].alg)
				return fail(v, VERIFY_quote_selection, "quote: PCRs",
					    "a bank is named twice");
		if (a->selections[i].pcrs & PCR_RESETTABLE)
			return fail(v, VERIFY_quote_resettable, "quote: PCRs",
				    "16 and 23 can be reset by anybody");
		if (!tpm2_digest(a->selections[i].alg))
			return fail(v, VERIFY_quote_bank, "quote: PCRs",
				    "a bank of an unknown algorithm");
		if (a->selections[i].alg == TPM2_SHA256) {
			v->bank = &v->quoted[i];
			v->pcrs = a->selections[i].pcrs;
		}
	}
	if (!v->bank)
		return fail(v, VERIFY_quote_bank, "quote: PCRs", "the bank sha256 is not quoted");
	if (!v->policy->ima.not_required)
		needed |= 1u << IMA_PCR;
	/* Who leaves one of these out would have boot_aggregate compared with nothing. */
	if (!v->policy->ima.not_required && b->mode == AFFIANT_BOOT_LOG)
		needed |= IMA_AGGREGATE_PCRS;
	for (size_t i = 0; i < b->values_count; i++)
		needed |= 1u << b->values[i].pcr;
	if (needed & ~v->pcrs)
		return fail(v, VERIFY_quote_selection, "quote: PCRs",
			    "PCR %d is not quoted, and the policy rests on it",
			    __builtin_ctz(needed & ~v->pcrs));
	return true;
}

static bool take_values(struct verification *v)
{
	struct reader r = reader_of(v->items[PCRS].content, v->items[PCRS].len);
	const struct tpm2_attest *a = &v->attest;
	int err = 0;

	for (size_t i = 0; !err && i < a->selections_count; i++) {
		err = pcr_bank_init(&v->quoted[i], a->selections[i].alg);
		for (uint32_t pcr = 0; !err && pcr < TPM2_PCRS; pcr++)
			if (a->selections[i].pcrs & 1u << pcr)
				err = reader_copy(&r, v->quoted[i].size, v->quoted[i].values[pcr]);
	}
	err = err ?: reader_end(&r);
	return !err || fail(v, VERIFY_malformed_pcrs, "evidence: format",
			    "pcrs are not the values of the quote's selection");
}

static bool check_values(struct verification *v)
{
	const struct affiant_boot *b = &v->policy->boot;

	for (size_t i = 0; i < b->values_count; i++)
		if (!policy_has(&b->values[i].values, v->bank->values[b->values[i].pcr],
				v->bank->size))
			return fail(v, VERIFY_pcr_value, "quote: PCRs",
				    "PCR %u has a value that the policy does not name",
				    b->values[i].pcr);
	return true;
}

bool verify_pcrs(struct verification *v)
{
	const struct tpm2_attest *a = &v->attest;
	struct tpm2_bytes digest;
	int err;

	if (!check_selection(v) || !take_values(v))
		return false;
	err = pcr_digest(v->quoted, a->selections_count, a->selections, a->selections_count,
			 v->ak.scheme_hash, &digest);
	if (err)
		return broken(v, err);
	if (a->pcr_digest.len != digest.len || memcmp(a->pcr_digest.data, digest.data, digest.len))
		return fail(v, VERIFY_quote_pcrs, "quote: PCRs",
			    "their values are not the quoted ones");
	pass(v, "quote: PCRs", "sha256, %d of them", __builtin_popcount(v->pcrs));
	v->result->tier = v->software ? AFFIANT_SOFTWARE_TPM : AFFIANT_BOOT_UNKNOWN;
	return check_values(v);
}

/* ---- what the host says of itself ---- */

static bool check_boot_id(struct verification *v)
{
	const struct hoststate *s = v->cached;
	bool same_boot, same_reset;

	if (!s)
		return true;
	same_boot = !memcmp(&s->boot_id, &v->host_claims.boot_id, sizeof(s->boot_id));
	same_reset = s->clock.resets == v->attest.clock.resets;
	if (same_boot && !same_reset)
		return fail(v, VERIFY_tpm_reset, "quote: clock",
			    "the TPM was reset under a kernel that went on running");
	if (!same_boot && same_reset && !v->policy->boot.allow_kexec)
		return fail(v, VERIFY_kexec, "host: boot",
			    "another kernel was started without a reset");
	return true;
}

static bool parse_host_claims(struct verification *v, const struct cmw_item *item)
{
	_cleanup_json_ json_t *o = NULL;
	const char *why = "the JSON";
	int err;

	err = jose_json(item->content, item->len, CLAIMS_DEPTH_MAX, &o)
		      ?: claims_host_parse(o, &v->host_claims, &why);
	if (err)
		return err == -ENOMEM ? broken(v, err)
				      : fail(v, VERIFY_malformed_host_claims, "evidence: format",
					     "the host claims: %.120s is malformed", why);
	v->has_host_claims = true;
	return true;
}

static bool check_issuer(struct verification *v, const uint8_t host_id[static 16])
{
	const struct claims *c = &v->result->claims;

	return !memcmp(host_id, c->host_id, sizeof(c->host_id)) ||
	       fail(v, VERIFY_host_claims_mismatch, "host: claims",
		    "they are of another host than the token's issuer");
}

bool verify_host_claims(struct verification *v)
{
	const struct cmw_item *item = &v->host[HOST_CLAIMS];
	const struct claims *c = &v->result->claims;
	struct sha256 digest;
	int err;

	err = v->judged_host ? sha256_of(item->content, item->len, &digest)
			     : sha256_of(v->cached->claims.data, v->cached->claims.len, &digest);
	if (err)
		return broken(v, err);
	if (memcmp(&digest, &c->host, sizeof(digest)))
		return v->judged_host ? fail(v, VERIFY_host_claims_mismatch, "host: claims",
					     "they are not those that the token names")
				      : need_host(v, v->cached->ima ? v->cached->list.entries : 0,
						  "the host says something new of itself");
	if (!v->judged_host)
		return check_issuer(v, v->cached->host_id) &&
		       pass(v, "host: claims", "as they were judged before");
	if (item->len > HOSTSTATE_CLAIMS_MAX)
		return fail(v, VERIFY_malformed_host_claims, "evidence: format",
			    "the host claims are too long");
	if (!parse_host_claims(v, item))
		return false;
	if (!check_issuer(v, v->host_claims.host_id))
		return false;
	if (v->host_claims.tpm.ak_name_len != v->ak_name.len ||
	    memcmp(v->host_claims.tpm.ak_name, v->ak_name.data, v->ak_name.len))
		return fail(v, VERIFY_ak_claimed, "host: claims", "they name another AK");
	pass(v, "host: claims", "kernel %.100s", v->host_claims.kernel);
	return check_boot_id(v);
}
