/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attest/verify_impl.h"
#include "base/text.h"

static const char *const code_names[] = {[VERIFY_NONE] = "",
#define X(name) [VERIFY_##name] = #name,
					 VERIFY_CODES(X)
#undef X
};

const char *verify_code_name(enum verify_code c)
{
	return c < VERIFY_CODES_END ? code_names[c] : "";
}

#define SEPARATED_PCRS 0xffu

/* ---- checks ---- */

/* Names and paths that strangers chose, perhaps cut within a character. */
static void make_utf8(char *text)
{
	size_t left = strlen(text), n;
	uint32_t c;

	for (uint8_t *at = (uint8_t *)text; left; at += n, left -= n) {
		n = utf8_decode(at, left, &c);
		if (n)
			continue;
		*at = '?';
		n = 1;
	}
}

__attribute__((format(printf, 4, 0))) static void note(struct verification *v, const char *name,
						       enum verify_outcome outcome,
						       const char *format, va_list ap)
{
	struct verify_result *r = v->result;
	struct verify_check *c;

	if (r->checks_count == VERIFY_CHECKS_MAX)
		r->checks_count--; /* never: the stages make fewer. The last one still tells. */
	c = &r->checks[r->checks_count++];
	c->name = name;
	c->outcome = outcome;
	vsnprintf(c->showed, sizeof(c->showed), format, ap);
	make_utf8(c->showed);
}

bool pass(struct verification *v, const char *name, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	note(v, name, VERIFY_PASSED, format, ap);
	va_end(ap);
	return true;
}

bool not_judged(struct verification *v, const char *name, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	note(v, name, VERIFY_NOT_JUDGED, format, ap);
	va_end(ap);
	return true;
}

bool fail(struct verification *v, enum verify_code code, const char *name, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	note(v, name, VERIFY_FAILED, format, ap);
	va_end(ap);
	v->result->code = code;
	v->result->verdict =
		code <= VERIFY_host_evidence_needed ? AFFIANT_UNDECIDED : AFFIANT_REFUSED;
	return false;
}

bool need_host(struct verification *v, uint64_t from, const char *why)
{
	v->result->ima_from = from;
	return fail(v, VERIFY_host_evidence_needed, "host: evidence",
		    "%s: host evidence is needed, from IMA entry %llu", why,
		    (unsigned long long)from);
}

bool broken(struct verification *v, int err)
{
	v->err = err;
	return false;
}

bool policy_has(const struct affiant_digests *d, const void *digest, size_t len)
{
	if (d->any)
		return true;
	for (size_t i = 0; len == sizeof(d->list->sha256) && i < d->count; i++)
		if (!memcmp(d->list[i].sha256, digest, len))
			return true;
	return false;
}

bool policy_names(const struct affiant_texts *t, const char *text)
{
	for (size_t i = 0; i < t->count; i++)
		if (!strcmp(t->list[i], text))
			return true;
	return false;
}

/* ---- the verifier ---- */

static int add_roots(struct certificate_store *s, const struct affiant_pem *roots, size_t count)
{
	int err = 0;

	for (size_t i = 0; !err && i < count; i++)
		err = certificate_store_add(s, roots[i].text, roots[i].len, roots[i].software);
	return err;
}

/* A set without bits would refuse all evidence, and what was meant by it is not known. */
static const char *agent_mistake(const struct affiant_agent *a)
{
	if (!a->id || !*a->id)
		return "an agent has no id";
	if (a->minimum >= AFFIANT_TIERS)
		return "an agent's minimum is no tier";
	if (!a->states ||
	    a->states & ~(AFFIANT_STATES_PROVEN | AFFIANT_STATE_UNPROVEN | AFFIANT_STATE_CLAIMED))
		return "an agent's states are none, or not all of those that an executable can be "
		       "taken in";
	if (!a->isolations || a->isolations >> (AFFIANT_VERIFY_UNKNOWN + 1))
		return "an agent's isolations are none, or not all of those that there are";
	if (!a->custodies || a->custodies & ~AFFIANT_ANY_CUSTODY)
		return "an agent's custodies are none, or not all of those that there are";
	return NULL;
}

static int compare_ueids(const void *a, const void *b)
{
	return memcmp(*(const uint8_t *const *)a, *(const uint8_t *const *)b, CLAIMS_UEID_SIZE);
}

static int compare_ids(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_twice(const void **list, size_t count, int (*compare)(const void *, const void *))
{
	qsort(list, count, sizeof(*list), compare);
	for (size_t i = 1; i < count; i++)
		if (!compare(&list[i - 1], &list[i]))
			return true;
	return false;
}

/* Of two entries for one host or agent one would count, and who wrote the other would not see it. */
static int find_twice(const struct affiant_policy *p, bool *ret)
{
	const size_t most = p->hosts_count > p->agents_count ? p->hosts_count : p->agents_count;
	_cleanup_free_ const void **list = calloc(most + 1, sizeof(*list));

	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < p->hosts_count; i++)
		list[i] = p->hosts[i].ueid;
	*ret = is_twice(list, p->hosts_count, compare_ueids);
	for (size_t i = 0; i < p->agents_count; i++)
		list[i] = p->agents[i].id;
	*ret = *ret || is_twice(list, p->agents_count, compare_ids);
	return 0;
}

static const char *policy_mistake(const struct affiant_policy *p)
{
	const char *why = NULL;
	const uint32_t never = PCR_RESETTABLE | 1u << IMA_PCR;

	for (size_t i = 0; i < p->boot.values_count; i++)
		if (p->boot.values[i].pcr >= TPM2_PCRS || 1u << p->boot.values[i].pcr & never)
			return "a PCR of boot.values is not one of those that show how a host "
			       "booted";
	for (size_t i = 0; i < p->boot.rules_count; i++)
		if (p->boot.rules[i].digests.any || !p->boot.rules[i].pcrs ||
		    p->boot.rules[i].pcrs & never)
			return "a rule of boot.rules says nothing of PCRs that show how a host "
			       "booted";
	for (size_t i = 0; i < p->boot.rules_count; i++)
		if (p->boot.rules[i].early && p->boot.rules[i].pcrs & ~SEPARATED_PCRS)
			return "a rule of boot.rules is early in a PCR above 7, where no separator "
			       "shows what is";
	for (size_t i = 0; !why && i < p->agents_count; i++)
		why = agent_mistake(&p->agents[i]);
	if (p->max_age < 1 || p->max_age > 86400 || p->skew > 3600)
		return "max_age is not of 1 to 86400 seconds, or skew longer than 3600";
	return why;
}

int verifier_new(const struct affiant_policy *p, struct verifier **ret, const char **ret_why)
{
	const char *mistake = policy_mistake(p);
	struct verifier *v;
	bool twice = false;
	int err = mistake ? 0 : find_twice(p, &twice);

	if (err)
		return err;
	if (mistake || twice) {
		*ret_why = mistake ?: "a host's ueid, or an agent's id, is there twice";
		return -EINVAL;
	}
	v = calloc(1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	v->policy = p;
	err = certificate_store_new(&v->tpm_roots) ?: certificate_store_new(&v->ak_roots);
	if (!err && (add_roots(v->tpm_roots, p->tpm_roots, p->tpm_roots_count) ||
		     add_roots(v->ak_roots, p->ak_roots, p->ak_roots_count))) {
		*ret_why = "a trusted certificate is malformed";
		err = -EINVAL;
	}
	err = err ?: allowlist_new(&p->ima, &v->allowed);
	if (err) {
		verifier_free(v);
		return err;
	}
	*ret = v;
	return 0;
}

void verifier_free(struct verifier *v)
{
	if (!v)
		return;
	certificate_store_free(v->tpm_roots);
	certificate_store_free(v->ak_roots);
	allowlist_clear(&v->allowed);
	for (size_t i = 0; i < KEYS_KEPT; i++)
		EVP_PKEY_free(v->keys[i].key);
	free(v);
}

EVP_PKEY *verifier_key(const struct verifier *v, const struct sha256 *name)
{
	for (size_t i = 0; i < KEYS_KEPT; i++)
		if (v->keys[i].key && !memcmp(&v->keys[i].name, name, sizeof(*name)))
			return v->keys[i].key;
	return NULL;
}

EVP_PKEY *verifier_keep(struct verifier *v, const struct sha256 *name, EVP_PKEY *key)
{
	struct kept_key *slot = &v->keys[v->next_key++ % KEYS_KEPT];

	EVP_PKEY_free(slot->key);
	*slot = (struct kept_key){*name, key};
	return key;
}

/* ---- one verification ---- */

/* What needs nothing but the token. */
static bool (*const early_stages[])(struct verification *v) = {
	verify_parse,
	verify_token,
	verify_binding,
	verify_known,
};

/* Identity before quote, quote before logs, logs before what the daemon says, that before the
 * agent's. */
static bool (*const stages[])(struct verification *v) = {
	verify_members, verify_identity,    verify_quote, verify_logs, verify_clock,
	verify_pcrs,    verify_host_claims, verify_boot,  verify_ima,  verify_daemon,
};

static void verification_free(struct verification *v)
{
	if (!v)
		return;
	cmw_clear(&v->parts.evidence);
	jose_parsed_clear(&v->token);
	if (v->has_host_claims)
		claims_host_clear(&v->host_claims);
	eventlog_free(v->boot_log);
	systemdlog_clear(&v->systemd_log);
	verify_result_free(v->result);
	free(v);
}

DEFINE_CLEANUP(struct verification *, verification_free)

static struct verification *verification_new(struct verifier *verifier,
					     const struct verify_request *request)
{
	struct verification *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->request = request;
	v->verifier = verifier;
	v->policy = verifier ? verifier->policy : NULL;
	v->result = calloc(1, sizeof(*v->result));
	if (!v->result) {
		free(v);
		return NULL;
	}
	return v;
}

static bool run(struct verification *v, bool (*const list[])(struct verification *v), size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!list[i](v))
			return false;
	return true;
}

#define RUN(v, list) run(v, list, sizeof(list) / sizeof(*(list)))

static bool run_all(struct verification *v)
{
	if (!RUN(v, early_stages) || !RUN(v, stages))
		return false;
	verify_keep(v);
	return verify_workload(v);
}

int verify(struct verifier *verifier, const struct verify_request *request,
	   struct verify_result **ret)
{
	_cleanup_(verification_freep) struct verification *v = verification_new(verifier, request);

	if (!v)
		return -ENOMEM;
	if (run_all(v))
		v->result->verdict = AFFIANT_AFFIRMED;
	if (v->err)
		return v->err;
	*ret = TAKE_PTR(v->result);
	return 0;
}

int verify_early(struct verifier *verifier, const struct verify_request *request,
		 uint8_t ret_ueid[static CLAIMS_UEID_SIZE])
{
	_cleanup_(verification_freep) struct verification *v = verification_new(verifier, request);

	if (!v)
		return -ENOMEM;
	if (!RUN(v, early_stages))
		return v->err ?: -EBADMSG;
	memcpy(ret_ueid, v->result->claims.ueid, CLAIMS_UEID_SIZE);
	return 0;
}

int verify_ueid(const void *evidence, size_t len, uint8_t ret[static CLAIMS_UEID_SIZE])
{
	const struct verify_request q = {.evidence = evidence, .len = len};
	_cleanup_(verification_freep) struct verification *v = verification_new(NULL, &q);

	if (!v)
		return -ENOMEM;
	if (!verify_parse(v))
		return v->err ?: -EBADMSG;
	memcpy(ret, v->result->claims.ueid, CLAIMS_UEID_SIZE);
	return 0;
}

void verify_result_free(struct verify_result *r)
{
	if (!r)
		return;
	if (r->has_claims)
		claims_clear(&r->claims);
	json_decref(r->payload);
	free(r);
}
