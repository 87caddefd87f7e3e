/* SPDX-License-Identifier: Apache-2.0 */
/* verify: whose TPM it is, and whether the quote is its attestation key's. */
#include <errno.h>
#include <string.h>

#include "attest/batch.h"
#include "attest/enrol.h"
#include "attest/verify_impl.h"

#define OPEN_END INT64_MAX

DEFINE_CLEANUP(STACK_OF(X509) *, certificate_chain_free)
DEFINE_CLEANUP(struct sha256_context *, sha256_free)
DEFINE_CLEANUP(ASN1_TIME *, ASN1_TIME_free)

/* ---- who ---- */

/* In seconds; one that can't be read is @otherwise. */
static int64_t seconds_of(const ASN1_TIME *time, int64_t otherwise)
{
	_cleanup_(ASN1_TIME_freep) ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
	int days, seconds;

	return epoch && ASN1_TIME_diff(&days, &seconds, epoch, time) == 1
		       ? days * INT64_C(86400) + seconds
		       : otherwise;
}

/* When the first certificate of a chain ends. */
static int64_t end_of(const STACK_OF(X509) * chain, int64_t now)
{
	int64_t until = OPEN_END, end;

	for (int i = 0; i < sk_X509_num(chain); i++) {
		end = seconds_of(X509_get0_notAfter(sk_X509_value(chain, i)), now);
		if (end < until)
			until = end;
	}
	return until;
}

static bool is_software(struct verification *v, bool software)
{
	v->software = software;
	return !software || v->policy->allow_software_tpm ||
	       fail(v, VERIFY_software_tpm, "host: TPM",
		    "a program: whoever is root on its host has its keys");
}

static bool check_ek_chain(struct verification *v)
{
	const struct cmw_item *item = &v->host[EK_CHAIN];
	_cleanup_(certificate_chain_freep) STACK_OF(X509) *chain = NULL;
	struct certificate_tpm tpm;
	const char *why = "";
	int err;

	if (v->host_policy->no_ek_certificate) {
		not_judged(v, "host: EK certificate", "the policy knows this EK without one");
		return is_software(v, !v->host_policy->hardware);
	}
	if (!item->content)
		return fail(v, VERIFY_ek_no_certificate, "host: EK certificate",
			    "the TPM has none");
	err = certificate_chain_of_pem(item->content, item->len, &chain);
	if (err)
		return err == -ENOMEM ? broken(v, err)
				      : fail(v, VERIFY_malformed_host, "evidence: format",
					     "ek_chain is malformed");
	err = certificate_check_ek(v->verifier->tpm_roots, chain, &v->ek, v->request->now, &tpm,
				   &why);
	if (err)
		return err == -ENOMEM ? broken(v, err)
				      : fail(v, VERIFY_ek_chain, "host: EK certificate", "%s", why);
	v->until = end_of(chain, v->request->now);
	pass(v, "host: EK certificate", "%s %s%s", tpm.manufacturer, tpm.model,
	     tpm.software ? ", a software TPM" : "");
	return is_software(v, tpm.software);
}

static bool check_ek(struct verification *v)
{
	const struct cmw_item *item = &v->host[EK_PUBLIC];
	uint8_t ueid[CLAIMS_UEID_SIZE];
	const char *why = "";
	int err;

	if (tpm2_public_parse(item->content, item->len, &v->ek))
		return fail(v, VERIFY_malformed_host, "evidence: format", "ek_public is malformed");
	if (enrol_check_ek(&v->ek, &why))
		return fail(v, VERIFY_ek_invalid, "host: EK", "%s", why);
	err = claims_ueid(item->content, item->len, ueid);
	if (err)
		return broken(v, err);
	if (memcmp(ueid, v->result->claims.ueid, sizeof(ueid)))
		return fail(v, VERIFY_ek_mismatch, "host: EK", "the claim ueid names another one");
	return check_ek_chain(v);
}

/*
 * A TPM that was cleared (TPM2_Clear) counts its resets from 0 on, and has lost its AK: what is
 * kept of the former one tells nothing of this one. But only where this one was enrolled later: by
 * a rolled back TPM and the AK that it had then, nobody is to get rid of what is kept.
 */
static void forget_former_ak(struct verification *v, const struct cmw_item *ak)
{
	const struct hoststate *s = v->cached;

	if (s && v->enrolled > s->enrolled &&
	    (s->ak.len != ak->len || memcmp(s->ak.data, ak->content, ak->len)))
		v->cached = NULL;
}

static bool check_ak(struct verification *v)
{
	const struct cmw_item *item = &v->host[AK_PUBLIC], *certificates = &v->host[AK_CHAIN];
	_cleanup_(certificate_chain_freep) STACK_OF(X509) *chain = NULL;
	uint8_t ueid[CLAIMS_UEID_SIZE];
	const char *why = "";
	int64_t until;
	int err;

	if (tpm2_public_parse(item->content, item->len, &v->ak))
		return fail(v, VERIFY_malformed_host, "evidence: format", "ak_public is malformed");
	if (enrol_check_ak(&v->ak, &why))
		return fail(v, VERIFY_ak_invalid, "host: AK", "%s", why);
	err = tpm2_name(v->ak.name_alg, item->content, item->len, &v->ak_name);
	if (err)
		return broken(v, err);
	if (!certificates->content)
		return fail(v, VERIFY_ak_not_enrolled, "host: AK certificate",
			    "there is none: the host is not enrolled");
	err = certificate_chain_of_pem(certificates->content, certificates->len, &chain);
	if (err)
		return err == -ENOMEM ? broken(v, err)
				      : fail(v, VERIFY_malformed_host, "evidence: format",
					     "ak_chain is malformed");
	err = certificate_check_ak(v->verifier->ak_roots, chain, &v->ak, v->request->now, ueid,
				   &why);
	if (err)
		return err == -ENOMEM ? broken(v, err)
				      : fail(v, VERIFY_ak_chain, "host: AK certificate", "%s", why);
	/* Only the activated credential shows that both live in one TPM: the certificate says with
	 * which EK. */
	if (memcmp(ueid, v->result->claims.ueid, sizeof(ueid)))
		return fail(v, VERIFY_ak_other_ek, "host: AK certificate",
			    "it was enrolled with another TPM's EK");
	until = end_of(chain, v->request->now);
	if (until < v->until)
		v->until = until;
	v->enrolled = seconds_of(X509_get0_notBefore(sk_X509_value(chain, 0)), 0);
	if (v->enrolled < 0)
		v->enrolled = 0;
	forget_former_ak(v, item);
	return pass(v, "host: AK certificate", "enrolled with this EK");
}

/* A policy without a digest is not known from another one: for it nothing is kept. */
bool kept_by_policy(const struct verification *v)
{
	static const uint8_t none[sizeof(v->policy->digest)];

	return v->cached && !memcmp(v->cached->policy, v->policy->digest, sizeof(none)) &&
	       memcmp(v->policy->digest, none, sizeof(none));
}

/* Whether what is kept may stand for host evidence. */
static bool is_usable(const struct verification *v)
{
	return kept_by_policy(v) && v->cached->until > v->request->now;
}

static bool recall(struct verification *v)
{
	const struct hoststate *s = v->cached;

	if (!is_usable(v))
		return need_host(v, 0,
				 s ? "what is kept of this host was judged by another policy, or "
				     "its certificates expired"
				   : "this host is not known yet");
	if (tpm2_public_parse(s->ek.data, s->ek.len, &v->ek) ||
	    tpm2_public_parse(s->ak.data, s->ak.len, &v->ak) ||
	    tpm2_name(v->ak.name_alg, s->ak.data, s->ak.len, &v->ak_name))
		return need_host(v, 0, "what is kept of this host is damaged");
	v->until = s->until;
	return is_software(v, s->software) && pass(v, "host: keys", "as they were judged before");
}

/* Whether the policy names that host, and what is kept of it: nobody else's state is asked for. */
bool verify_known(struct verification *v)
{
	const struct claims *c = &v->result->claims;
	const struct affiant_policy *p = v->policy;

	for (size_t i = 0; i < p->hosts_count; i++)
		if (!memcmp(p->hosts[i].ueid, c->ueid, sizeof(c->ueid)))
			v->host_policy = &p->hosts[i];
	if (!v->host_policy)
		return fail(v, VERIFY_host_unknown, "host: asset",
			    "the policy names no host with this ueid");
	v->result->asset = v->host_policy->asset;
	return true;
}

static bool ask_kept(struct verification *v)
{
	const struct verify_request *q = v->request;
	const struct claims *c = &v->result->claims;
	int err = 0;

	v->cached = q->cached;
	if (q->recall)
		err = q->recall(q->data, c->ueid, &v->cached);
	if (err)
		return broken(v, err);
	if (v->cached && memcmp(v->cached->ueid, c->ueid, sizeof(c->ueid)))
		v->cached = NULL;
	return true;
}

bool verify_identity(struct verification *v)
{
	if (!ask_kept(v))
		return false;
	v->until = OPEN_END;
	v->judged_host = v->has_host;
	if (!v->has_host)
		return recall(v);
	return check_ek(v) && check_ak(v);
}

/* ---- the quote ---- */

static const void *public_of(const struct verification *v, bool ak, size_t *ret_len)
{
	const struct cmw_item *item = &v->host[ak ? AK_PUBLIC : EK_PUBLIC];

	if (v->has_host) {
		*ret_len = item->len;
		return item->content;
	}
	*ret_len = ak ? v->cached->ak.len : v->cached->ek.len;
	return ak ? v->cached->ak.data : v->cached->ek.data;
}

/* What a good signature was: by this key, over these bytes. */
static int print_of(struct verification *v, struct sha256 *ret)
{
	const struct cmw_item *quote = &v->items[QUOTE], *signature = &v->items[SIGNATURE];
	_cleanup_(sha256_freep) struct sha256_context *c = NULL;
	const uint64_t sizes[2] = {quote->len, signature->len};

	return sha256_new(&c) ?: sha256_update(c, v->ak_name.data, v->ak_name.len) ?:
	       sha256_update(c, sizes, sizeof(sizes)) ?: sha256_update(c, quote->content, quote->len) ?:
	       sha256_update(c, signature->content, signature->len) ?: sha256_final(c, ret);
}

/* By its name, which covers all that is public of it. */
static int ak_key(struct verification *v, EVP_PKEY **ret)
{
	struct sha256 name;
	EVP_PKEY *key;
	int err = sha256_of(v->ak_name.data, v->ak_name.len, &name);

	if (err)
		return err;
	*ret = verifier_key(v->verifier, &name);
	if (*ret)
		return 0;
	err = tpm2_public_key(&v->ak, &key);
	if (!err)
		*ret = verifier_keep(v->verifier, &name, key);
	return err;
}

static int check_signature(struct verification *v)
{
	struct verifier *verifier = v->verifier;
	struct sha256 print;
	EVP_PKEY *key;
	int err = print_of(v, &print);

	if (err)
		return err;
	for (size_t i = 0; i < QUOTES_KEPT; i++)
		if (!memcmp(&verifier->quotes[i], &print, sizeof(print)))
			return 0;
	err = ak_key(v, &key)
		      ?: tpm2_signature_verify(&v->signature, key, v->items[QUOTE].content,
					       v->items[QUOTE].len);
	if (!err)
		verifier->quotes[verifier->next_quote++ % QUOTES_KEPT] = print;
	return err;
}

/* The AK is a child of the EK, which is a primary of the endorsement hierarchy: a key of another
 * one sees obfuscated reset counts. */
static bool check_signer(struct verification *v)
{
	const struct tpm2_bytes hierarchy = tpm2_handle_name(TPM2_RH_ENDORSEMENT);
	struct tpm2_bytes ek_name, parent, expected;
	size_t len;
	const void *ek = public_of(v, false, &len);
	int err;

	err = tpm2_name(v->ek.name_alg, ek, len, &ek_name) ?:
	      tpm2_qualified_name(&hierarchy, &ek_name, &parent) ?:
	      tpm2_qualified_name(&parent, &v->ak_name, &expected);
	if (err)
		return broken(v, err);
	if (v->attest.qualified_signer.len != expected.len ||
	    memcmp(v->attest.qualified_signer.data, expected.data, expected.len))
		return fail(v, VERIFY_quote_signer, "quote: signer",
			    "it is not the AK below this EK in the endorsement hierarchy");
	return true;
}

/* The quote was made for a batch in which these very claims stand. */
static bool check_extra(struct verification *v)
{
	const struct cmw_item *eat = &v->items[EAT], *path = &v->items[PATH];
	const struct tpm2_bytes *extra = &v->attest.extra;
	struct sha256 leaf;
	int err;

	err = batch_leaf(BATCH_EVIDENCE, eat->content, v->token.signing_input_len, &leaf);
	if (err)
		return broken(v, err);
	err = batch_check(BATCH_EVIDENCE, &leaf, path->content, path->len, extra->data, extra->len);
	if (err == -EBADMSG)
		return fail(v, VERIFY_malformed_path, "evidence: format", "path is malformed");
	if (!err)
		return pass(v, "quote: claims", "it covers them");
	err = batch_leaf(BATCH_LEDGER, eat->content, v->token.signing_input_len, &leaf);
	if (err)
		return broken(v, err);
	if (!batch_check(BATCH_LEDGER, &leaf, path->content, path->len, extra->data, extra->len))
		return fail(v, VERIFY_quote_purpose, "quote: claims",
			    "the quote was made for the ledger");
	return fail(v, VERIFY_quote_extra, "quote: claims", "the quote was not made for them");
}

/*
 * Not by the AK that came with it: a forgery. Not by the one that is kept: a forgery, or the host
 * was enrolled anew, and has another AK. Host evidence tells; what is kept stays until it was
 * judged.
 */
static bool other_key(struct verification *v, enum verify_code code, const char *why)
{
	return v->has_host
		       ? fail(v, code, "quote: signature", "%s", why)
		       : need_host(v, 0, "the quote is not by the AK that is kept of this host");
}

bool verify_quote(struct verification *v)
{
	const struct tpm2_attest *a = &v->attest;
	int err;

	if (v->signature.scheme != v->ak.scheme || v->signature.hash != v->ak.scheme_hash)
		return other_key(v, VERIFY_quote_scheme,
				 "its scheme is not the one that the AK is bound to");
	err = check_signature(v);
	if (err)
		return err == -ENOMEM ? broken(v, err)
				      : other_key(v, VERIFY_quote_signature, "it is not the AK's");
	if (a->magic != TPM2_GENERATED)
		return fail(v, VERIFY_quote_magic, "quote: magic", "no TPM made it");
	if (a->type != TPM2_ST_ATTEST_QUOTE)
		return fail(v, VERIFY_quote_type, "quote: type", "it is no quote");
	pass(v, "quote: signature", "by the AK");
	return check_signer(v) && check_extra(v);
}
