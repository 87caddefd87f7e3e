/* SPDX-License-Identifier: Apache-2.0 */
/* verify: what IMA measured since the boot. */
#include <errno.h>
#include <string.h>

#include "attest/verify_impl.h"
#include "base/text.h"

/* What was found on the way to the quoted value, and counts only once it is reached. */
struct appraisal {
	struct verification *v;
	bool unlisted, wrong_aggregate;
	uint64_t first_unlisted;
	char path[96]; /* of it, printable */
	bool daemon;
};

static void note_unlisted(struct appraisal *a, const struct ima_entry *e)
{
	_cleanup_buffer_ struct buffer b = {};

	a->unlisted = true;
	a->first_unlisted = e->number;
	text_printable(&b, e->path.at, e->path.left, TEXT_ASCII);
	if (b.len >= sizeof(a->path))
		b.len = sizeof(a->path) - 1;
	if (b.len)
		memcpy(a->path, b.data, b.len);
	a->path[b.len] = '\0';
}

/*
 * PCRs as they were when the kernel was started, by which it calculates the aggregate: systemd
 * measures into some of 0-9 later. In the bank that is quoted, that is what is quoted where the
 * boot log does not tell. In another one the log alone tells; that its events are the same in both
 * banks is shown by the aggregate itself. -ENOENT: nothing does.
 */
static int as_started(const struct verification *v, const struct ima_entry *e, struct pcr_bank *ret)
{
	if (e->alg != v->bank->alg)
		return v->boot_log && !e->number ? eventlog_replay(v->boot_log, e->alg, ret)
						 : -ENOENT;
	*ret = *v->bank;
	for (uint32_t pcr = 0; pcr < TPM2_PCRS; pcr++)
		if (v->led & 1u << pcr)
			memcpy(ret->values[pcr], v->booted.values[pcr], ret->size);
	return 0;
}

/*
 * The first entry is the kernel's own: in whatever bank the kernel was told to calculate it
 * (ima_hash=), it is compared, but with kernels before 5.8, whose banks are worth what SHA-1 is. A
 * later one may be that of a kernel that was started by kexec, or a file: the name alone is what
 * IMA has of one on a mount that was detached. So its value must tell.
 */
static int check_aggregate(struct appraisal *a, const struct ima_state *s,
			   const struct ima_entry *e, bool *ret_is)
{
	const struct verification *v = a->v;
	enum ima_aggregate found;
	struct pcr_bank started;
	int err;

	*ret_is = !e->number;
	if (e->violation || (v->pcrs & IMA_AGGREGATE_PCRS) != IMA_AGGREGATE_PCRS)
		return 0;
	err = as_started(v, e, &started) ?: ima_aggregate_check(e, &started, 1, &found);
	/* One that was started by kexec found them as they are now. */
	if (!err && found == IMA_AGGREGATE_WRONG && e->number)
		err = ima_aggregate_check(e, v->bank, 1, &found);
	if (err == -ENOENT || err == -EINVAL) {
		a->wrong_aggregate |= !e->number && v->boot_log && !s->padded;
		return 0;
	}
	if (err)
		return err;
	*ret_is = true;
	a->wrong_aggregate |= found == IMA_AGGREGATE_WRONG;
	return 0;
}

static int appraise(void *context, const struct ima_state *s, const struct ima_entry *e)
{
	struct appraisal *a = context;
	const struct claims_host *host = &a->v->host_claims;
	bool aggregate = false;
	int err = e->boot_aggregate ? check_aggregate(a, s, e, &aggregate) : 0;

	if (err || aggregate)
		return err;
	if (!a->unlisted && !e->violation && !allowlist_has(&a->v->verifier->allowed, e))
		note_unlisted(a, e);
	for (size_t i = 0; !e->violation && e->alg == TPM2_SHA256 && i < host->files_count; i++)
		if (host->files[i].role == CLAIMS_EXECUTABLE && host->files[i].digest_len == 32 &&
		    !memcmp(host->files[i].digest, e->digest.at, 32))
			a->daemon = true;
	return 0;
}

static const struct claims_file *daemon_of(const struct verification *v)
{
	for (size_t i = 0; i < v->host_claims.files_count; i++)
		if (v->host_claims.files[i].role == CLAIMS_EXECUTABLE &&
		    v->host_claims.files[i].digest_len == SHA256_SIZE)
			return &v->host_claims.files[i];
	return NULL;
}

/*
 * A part of a list that does not go on from what is kept may be true all the same. It was made
 * before what another agent of that host sent was judged; or the TPM was restarted, as by
 * hibernation. So nothing is refused by a part: the rest is asked for, or all of it where the clock
 * tells no better.
 */
static bool need_list(struct verification *v, const char *why)
{
	const struct tpm2_clock *kept = &v->cached->clock, *now = &v->attest.clock;
	const bool late = now->restarts == kept->restarts && now->ms < kept->ms;

	return need_host(v, late ? v->cached->list.entries : 0, why);
}

/* Where the list that was sent begins: at its first entry, or behind what is kept. */
static bool begin(struct verification *v, struct reader *list, bool *daemon)
{
	const struct cmw_item *item = &v->host[IMA_LOG];
	const struct hoststate *s = v->cached;
	const struct claims_file *file = daemon_of(v);
	const uint16_t bank = TPM2_SHA256;
	uint64_t skipped = 0, ahead;
	size_t used = 0;

	*list = reader_of(item->content, item->len);
	*daemon = false;
	if (!v->ima_from)
		return !ima_init(&v->list, &bank, 1) || broken(v, -EINVAL);
	if (!kept_by_policy(v) || !s->ima || s->clock.resets != v->attest.clock.resets)
		return need_host(v, 0, "nothing is kept of the IMA list's beginning");
	if (v->ima_from > s->list.entries)
		return need_host(v, s->list.entries, "entries are missing");
	v->list = s->list;
	ahead = s->list.entries - v->ima_from;
	if (ima_skip(&v->list, list->at, list->left, ahead, &skipped, &used))
		return fail(v, VERIFY_malformed_ima_log, "evidence: format",
			    "the IMA list is malformed");
	if (skipped < ahead)
		return need_list(v, "the IMA list is shorter than it was before");
	*list = reader_of(list->at + used, list->left - used);
	*daemon = s->daemon && file && !memcmp(&s->daemon_digest, file->digest, SHA256_SIZE);
	return true;
}

/* 1: the quoted value was met. Kernels before 5.8 pad, which is another way to the same value. */
static int replay(struct verification *v, const struct reader *list, struct appraisal *a,
		  size_t *ret_used)
{
	const struct ima_quoted quoted = {.alg = TPM2_SHA256, .value = v->bank->values[IMA_PCR]};
	const struct ima_state start = v->list;
	int r = ima_replay(&v->list, list->at, list->left, &quoted, appraise, a, ret_used);

	if (r != 0 || start.padded || start.entries)
		return r;
	v->list = start;
	v->list.padded = true;
	*a = (struct appraisal){.v = v, .daemon = a->daemon};
	return ima_replay(&v->list, list->at, list->left, &quoted, appraise, a, ret_used);
}

static bool judge_list(struct verification *v, const struct appraisal *a)
{
	const struct affiant_ima *p = &v->policy->ima;
	const struct ima_state *s = &v->list;

	if (s->padded && !p->allow_padded)
		return fail(v, VERIFY_ima_padded, "ima: list",
			    "the kernel extends SHA-1 digests with zeros behind them");
	if (!ima_measures(s))
		return fail(v, VERIFY_ima_no_policy, "ima: list",
			    "nothing but the boot was measured: IMA has no policy");
	if (s->boots > 1 && !v->policy->boot.allow_kexec)
		return fail(v, VERIFY_kexec, "host: boot",
			    "another kernel was started without a reset");
	if (a->wrong_aggregate)
		return fail(v, VERIFY_ima_aggregate, "ima: boot_aggregate",
			    "it is of another boot");
	if (s->strays)
		return fail(v, VERIFY_ima_stray, "ima: list", "entries are of another PCR than 10");
	if (s->violations && !p->allow_violations)
		return fail(v, VERIFY_ima_violation, "ima: list",
			    "%llu files changed while they were measured",
			    (unsigned long long)s->violations);
	if (s->unknown && !p->allow_unknown_templates)
		return fail(v, VERIFY_ima_template, "ima: list", "an unknown template");
	if (a->unlisted)
		return fail(v, VERIFY_ima_unlisted, "ima: list",
			    "entry %llu is not on the allowlist: %s",
			    (unsigned long long)a->first_unlisted, a->path);
	return true;
}

static bool judge_tail(struct verification *v, const struct reader *list, size_t used)
{
	uint64_t tail = 0;
	size_t behind;

	if (ima_skip(&v->list, list->at + used, list->left - used, UINT64_MAX, &tail, &behind))
		return fail(v, VERIFY_malformed_ima_log, "evidence: format",
			    "the IMA list is malformed");
	pass(v, "ima: list", "%llu entries lead to the quoted value, all allowed",
	     (unsigned long long)v->list.entries);
	if (tail)
		not_judged(v, "ima: tail", "%llu entries behind the quote: nobody's word",
			   (unsigned long long)tail);
	return true;
}

static bool judge_sent(struct verification *v)
{
	struct appraisal a = {.v = v};
	struct reader list;
	size_t used = 0;
	int r;

	if (!v->host[IMA_LOG].content)
		return fail(v, VERIFY_ima_missing, "ima: list",
			    "there is none, and the policy wants one");
	if (!begin(v, &list, &a.daemon))
		return false;
	r = replay(v, &list, &a, &used);
	if (r == -ENOMEM)
		return broken(v, r);
	if (r < 0)
		return fail(v, VERIFY_malformed_ima_log, "evidence: format",
			    "the IMA list is malformed, or an entry's digest is not that of its "
			    "data");
	if (!r && v->ima_from)
		return need_list(v, "the IMA list does not go on from what is kept");
	if (!r)
		return fail(v, VERIFY_ima_mismatch, "ima: list",
			    "no part of it leads to the value of PCR 10");
	if (!judge_list(v, &a))
		return false;
	/* One that ran before is in the part that is kept: IMA lists no file twice. */
	if (!a.daemon && v->ima_from)
		return need_host(v, 0, "affiantd is another one than before");
	if (!a.daemon)
		return fail(v, VERIFY_ima_no_daemon, "ima: affiantd",
			    "its executable was not measured");
	v->daemon_seen = true;
	return judge_tail(v, &list, used);
}

bool verify_ima(struct verification *v)
{
	const struct hoststate *s = v->cached;
	const uint8_t *kept;

	if (v->policy->ima.not_required)
		return not_judged(v, "ima: list", "the policy asks for none");
	if (v->judged_host) {
		if (!judge_sent(v))
			return false;
	} else {
		kept = s->ima ? ima_value(&s->list, TPM2_SHA256) : NULL;
		if (!kept || memcmp(kept, v->bank->values[IMA_PCR], v->bank->size))
			return need_host(v, kept ? s->list.entries : 0, "more was measured since");
		v->list = s->list;
		v->daemon_seen = s->daemon;
		pass(v, "ima: list", "%llu entries, as they were judged before",
		     (unsigned long long)s->list.entries);
	}
	v->ima_judged = true;
	if (v->boot_judged && !v->software)
		v->result->tier = AFFIANT_RUNTIME_MEASURED;
	return true;
}
