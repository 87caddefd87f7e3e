/* SPDX-License-Identifier: Apache-2.0 */
/* verify: how the host booted. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attest/verify_impl.h"

#define BOOT_PCRS 0xffu
#define KERNEL_PCRS (1u << 4 | 1u << 9)
#define SECURE_BOOT_PCR 7
#define OS_SEPARATOR "os-separator"

/* ---- without host evidence ---- */

static bool same_as_kept(struct verification *v)
{
	const struct hoststate *s = v->cached;
	const uint64_t from = s->ima ? s->list.entries : 0;

	if (v->pcrs != s->pcrs)
		return need_host(v, from, "other PCRs are quoted than before");
	for (uint32_t pcr = 0; pcr < TPM2_PCRS; pcr++)
		if (pcr != IMA_PCR && v->pcrs & 1u << pcr &&
		    memcmp(v->bank->values[pcr], s->bank.values[pcr], v->bank->size))
			return need_host(v, from, "a PCR of the boot is not as it was");
	v->boot_judged = s->boot;
	return pass(v, "boot: PCRs", "as they were judged before");
}

/* ---- the log ---- */

static bool is_explained(const struct verification *v, uint32_t pcr)
{
	for (size_t i = 0; i < v->policy->boot.values_count; i++)
		if (v->policy->boot.values[i].pcr == pcr)
			return true;
	return pcr == IMA_PCR;
}

static bool replay_systemd(struct verification *v, struct pcr_bank *bank)
{
	const struct cmw_item *item = &v->host[SYSTEMD_LOG];
	int err;

	if (!item->content)
		return true;
	err = systemdlog_parse(item->content, item->len, &v->systemd_log);
	if (err)
		return err == -ENOMEM ? broken(v, err)
				      : fail(v, VERIFY_malformed_systemd_log, "evidence: format",
					     "systemd's log is malformed");
	err = systemdlog_replay(&v->systemd_log, bank);
	if (err)
		return err == -ENOMEM ? broken(v, err)
				      : fail(v, VERIFY_boot_log_bank, "boot: log",
					     "systemd's log has no digests for sha256");
	return true;
}

/* Values that were quoted come from the logs, or the policy names them. What is absent from both
 * and not at its beginning fails; absent and at its beginning shows nothing. */
static bool check_replay(struct verification *v)
{
	struct pcr_bank bank;
	int err = eventlog_replay(v->boot_log, TPM2_SHA256, &bank);

	if (err == -ENOENT)
		return fail(v, VERIFY_boot_log_bank, "boot: log", "it has no digests for sha256");
	if (err)
		return broken(v, err);
	v->booted = bank;
	if (!replay_systemd(v, &bank))
		return false;
	for (uint32_t pcr = 0; pcr < TPM2_PCRS; pcr++) {
		if (!(v->pcrs & 1u << pcr))
			continue;
		if (!memcmp(bank.values[pcr], v->bank->values[pcr], bank.size))
			v->led |= 1u << pcr;
		else if (!is_explained(v, pcr) || v->policy->boot.closed & 1u << pcr)
			return fail(v, VERIFY_boot_log_mismatch, "boot: log",
				    "it does not lead to the value of PCR %u", pcr);
	}
	return pass(v, "boot: log", "%zu events lead to the quoted values", v->boot_log->count);
}

/* ---- rules ---- */

struct rules {
	struct eventlog_rule *list;
	size_t count; /* the policy's; the kernel's is behind them */
	bool kernel;
};

/* The policy knows what was loaded by that PCR: every event in it, or its value. */
static bool is_known(const struct affiant_boot *b, uint32_t pcr)
{
	for (size_t i = 0; i < b->values_count; i++)
		if (b->values[i].pcr == pcr && !b->values[i].values.any)
			return true;
	return b->closed & 1u << pcr;
}

/*
 * PCRs in which a kernel counts. What is there may have been extended by root later, unless
 * boot_aggregate tells that it was not, or all of it is the policy's.
 */
static uint32_t kernel_pcrs(const struct affiant_policy *p)
{
	uint32_t pcrs = 0;

	for (uint32_t pcr = 0; pcr < TPM2_PCRS; pcr++)
		if (KERNEL_PCRS & 1u << pcr && (!p->ima.not_required || is_known(&p->boot, pcr)))
			pcrs |= 1u << pcr;
	return pcrs;
}

static int make_rules(const struct affiant_policy *p, struct rules *ret)
{
	const struct affiant_boot *b = &p->boot;

	ret->count = b->rules_count;
	ret->kernel = !b->kernels.any;
	ret->list = calloc(b->rules_count + 1, sizeof(*ret->list));
	if (!ret->list)
		return -ENOMEM;
	for (size_t i = 0; i < b->rules_count; i++)
		ret->list[i] = (struct eventlog_rule){
			.pcrs = b->rules[i].pcrs,
			.digests = (const uint8_t *)b->rules[i].digests.list,
			.digests_count = b->rules[i].digests.count,
			.texts = b->rules[i].texts.list,
			.texts_count = b->rules[i].texts.count,
			.least = b->rules[i].least,
			.early = b->rules[i].early,
		};
	ret->list[b->rules_count] = (struct eventlog_rule){
		.pcrs = kernel_pcrs(p),
		.digests = (const uint8_t *)b->kernels.list,
		.digests_count = b->kernels.count,
		.least = 1,
	};
	return 0;
}

static bool check_rules(struct verification *v, const struct eventlog_facts *f,
			const struct rules *rules)
{
	size_t which = 0;

	switch (eventlog_check(v->boot_log, f, v->policy->boot.closed, rules->list,
			       rules->count + rules->kernel, &which)) {
	case EVENTLOG_FOUND_NOTHING:
		break;
	case EVENTLOG_FOUND_PCR:
		return fail(v, VERIFY_boot_log_unexplained, "boot: rules",
			    "PCR %zu has an event that can't be explained", which);
	case EVENTLOG_FOUND_EVENT:
		return fail(v, VERIFY_boot_event, "boot: rules",
			    "event %zu, in PCR %u, is none that the policy names", which,
			    v->boot_log->events[which].pcr);
	case EVENTLOG_FOUND_RULE:
		return which == rules->count
			       ? fail(v, VERIFY_kernel_unknown, "boot: kernel",
				      "none that the policy names is shown to be the one")
			       : fail(v, VERIFY_boot_rule, "boot: rules",
				      "too few events meet rule %zu of the policy", which);
	}
	return !rules->count || pass(v, "boot: rules", "%zu are met", rules->count);
}

static bool is_named(const struct systemdlog_entry *e, const struct rules *rules)
{
	const uint8_t *digest = systemdlog_digest(e, TPM2_SHA256);
	const char *text = systemdlog_text(e, TPM2_SHA256);

	for (size_t i = 0; i < rules->count; i++)
		if (eventlog_rule_meets(&rules->list[i], e->pcr, digest, SHA256_SIZE,
					reader_of(text, text ? strlen(text) : 0)))
			return true;
	return false;
}

/*
 * What firmware and boot loaders measured could be told as systemd's: it has no business in their
 * PCRs, and in a closed one it meets a rule like any other. But for one word, by which systemd ends
 * (systemd-pcrosseparator.service) what was measured before it, in PCRs 0-7 and others.
 */
static bool check_systemd(struct verification *v, const struct rules *rules)
{
	const uint32_t closed = v->policy->boot.closed;
	struct sha256 end;
	int err = sha256_of(OS_SEPARATOR, strlen(OS_SEPARATOR), &end);

	if (err)
		return broken(v, err);
	for (size_t i = 0; i < v->systemd_log.count; i++) {
		const struct systemdlog_entry *e = &v->systemd_log.entries[i];

		if (e->pcr != SYSTEMDLOG_NV &&
		    memcmp(systemdlog_digest(e, TPM2_SHA256), &end, sizeof(end)) &&
		    (BOOT_PCRS & 1u << e->pcr || (closed & 1u << e->pcr && !is_named(e, rules))))
			return fail(v, VERIFY_boot_log_unexplained, "boot: rules",
				    "systemd's log has an entry in PCR %u that can't be explained",
				    e->pcr);
	}
	return true;
}

#define LINE_MAX_SIZE 4096 /* a kernel's command line is no longer */

/* UTF-16 of ASCII, too. False: it is longer. */
static bool take_line(struct reader text, char ret[static LINE_MAX_SIZE], size_t *ret_len)
{
	*ret_len = 0;
	for (size_t i = 0; i < text.left; i++) {
		if (!text.at[i])
			continue;
		if (*ret_len == LINE_MAX_SIZE)
			return false;
		ret[(*ret_len)++] = text.at[i];
	}
	return true;
}

static bool holds_word(struct reader text, const char *word)
{
	char plain[LINE_MAX_SIZE];
	size_t n;

	if (!take_line(text, plain, &n))
		return false;
	for (const char *at = plain, *end = plain + n;; at++) {
		at = memmem(at, end - at, word, strlen(word));
		if (!at)
			return false;
		if ((at == plain || at[-1] == ' ') &&
		    (at + strlen(word) == end || at[strlen(word)] == ' '))
			return true;
	}
}

/* lsm= may leave out what lockdown= asks for (security/lockdown). Within quotes it is none too few. */
static bool may_choose_lsm(struct reader text)
{
	char plain[LINE_MAX_SIZE];
	size_t n;

	return !take_line(text, plain, &n) || memmem(plain, n, "lsm=", 4);
}

static bool says_lockdown(struct reader text)
{
	return holds_word(text, "lockdown=integrity") ||
	       holds_word(text, "lockdown=confidentiality");
}

/*
 * In the policy's own words: what follows a '*' may be behind a "--", or within quotes. Nor may it
 * undo them.
 */
static bool has_lockdown(const struct verification *v, size_t event, struct reader text,
			 const struct eventlog_rule *rule)
{
	const struct eventlog_event *e = &v->boot_log->events[event];
	const uint8_t *digest = eventlog_digest(v->boot_log, e, TPM2_SHA256);
	struct eventlog_rule part = *rule;

	part.texts_count = 0;
	if (eventlog_rule_meets(&part, e->pcr, digest, SHA256_SIZE, text) && says_lockdown(text))
		return true;
	part = (struct eventlog_rule){.pcrs = rule->pcrs, .texts_count = 1};
	for (size_t i = 0; i < rule->texts_count; i++) {
		const struct reader own = reader_of(rule->texts[i], strlen(rule->texts[i]));
		const bool goes_on = own.left && own.at[own.left - 1] == '*';

		part.texts = &rule->texts[i];
		if (says_lockdown(own) && !(goes_on && may_choose_lsm(text)) &&
		    eventlog_rule_meets(&part, e->pcr, digest, SHA256_SIZE, text))
			return true;
	}
	return false;
}

/*
 * PCRs in which a command line shows how the kernel was started: those in which every event is the
 * policy's. Elsewhere a boot loader's echo could say the same. But root can extend any of them
 * later. So it must be known by PCR 4 which loader there was, and thereby where it measures; or
 * boot_aggregate, which is of PCRs 0-9 alone, tells.
 */
static uint32_t command_line_pcrs(const struct affiant_policy *p)
{
	const uint32_t at_start = p->ima.not_required ? 0 : IMA_AGGREGATE_PCRS;

	return p->boot.closed & ~BOOT_PCRS & (is_known(&p->boot, 4) ? UINT32_MAX : at_start);
}

/*
 * A kernel that was measured is the one that runs only if root can't put another one into its place
 * unseen.
 */
static bool is_locked_down(const struct verification *v, const struct eventlog_facts *f,
			   const struct rules *rules)
{
	const uint32_t pcrs = command_line_pcrs(v->policy);

	if (v->policy->boot.kernels_lock_down && f->secure_boot == EVENTLOG_YES)
		return true;
	for (size_t i = 0; i < v->boot_log->count; i++)
		if (f->events[i].kind != EVENTLOG_NOTHING &&
		    pcrs & 1u << v->boot_log->events[i].pcr)
			for (size_t k = 0; k < rules->count; k++)
				if (has_lockdown(v, i, f->events[i].text, &rules->list[k]))
					return true;
	return false;
}

static bool check_facts(struct verification *v, const struct eventlog_facts *f)
{
	const struct affiant_boot *b = &v->policy->boot;
	const uint32_t unknown = ~v->led & BOOT_PCRS; /* explained by their values */
	uint32_t deciding = b->closed | 1u << SECURE_BOOT_PCR, unseparated;

	for (size_t i = 0; i < b->rules_count; i++)
		deciding |= b->rules[i].pcrs;
	if (!b->kernels.any)
		deciding |= KERNEL_PCRS;
	/* Elsewhere nothing rests on what stands before a separator, nor on what firmware reports. */
	unseparated = deciding & BOOT_PCRS & ~(f->separators | unknown);
	if (unseparated)
		return fail(v, VERIFY_boot_log_separator, "boot: log",
			    "PCR %d has not exactly one sound separator",
			    __builtin_ctz(unseparated));
	if (f->unexplained & deciding)
		return fail(v, VERIFY_boot_log_unexplained, "boot: log",
			    "PCR %d has an event that can't be explained",
			    __builtin_ctz(f->unexplained & deciding));
	if (f->secure_boot != EVENTLOG_YES && !b->allow_secure_boot_off)
		return fail(v, VERIFY_secure_boot, "boot: Secure Boot", "it is not shown to be on");
	if (unknown & 1u << SECURE_BOOT_PCR && !(b->allow_debugger && b->allow_dma_unprotected))
		return fail(v, VERIFY_boot_log_mismatch, "boot: log",
			    "it does not lead to the value of PCR %u", SECURE_BOOT_PCR);
	if (f->debugger && !b->allow_debugger)
		return fail(v, VERIFY_debugger, "boot: debugger", "firmware had one enabled");
	if (f->dma_unprotected && !b->allow_dma_unprotected)
		return fail(v, VERIFY_dma_unprotected, "boot: DMA protection", "it was disabled");
	return pass(v, "boot: Secure Boot", "%s",
		    f->secure_boot == EVENTLOG_YES ? "on" : "off or unknown, which passes");
}

/*
 * What a loader measured, and started, is its word: it is known by PCR 4, or by who signed it, in
 * PCR 7.
 */
static bool is_loader_known(const struct affiant_boot *b)
{
	return is_known(b, 4) || is_known(b, SECURE_BOOT_PCR);
}

static bool judge_log(struct verification *v, const struct eventlog_facts *f,
		      const struct rules *rules)
{
	if (!check_facts(v, f) || !check_rules(v, f, rules) || !check_systemd(v, rules))
		return false;
	if (!rules->kernel)
		return not_judged(v, "boot: kernel", "the policy asks for none");
	if (!is_loader_known(&v->policy->boot))
		return fail(v, VERIFY_kernel_replaceable, "boot: kernel",
			    "a known one, but any loader may have started another");
	if (!is_locked_down(v, f, rules))
		return fail(v, VERIFY_kernel_replaceable, "boot: kernel",
			    "a known one, but nothing shows that it is locked down");
	return pass(v, "boot: kernel", "a known one, locked down");
}

static bool read_log(struct verification *v)
{
	__attribute__((cleanup(eventlog_facts_clear))) struct eventlog_facts f = {};
	struct rules rules;
	bool good;
	int err = eventlog_read(v->boot_log, TPM2_SHA256, v->led, &f)
			  ?: make_rules(v->policy, &rules);

	if (err)
		return broken(v, err);
	good = judge_log(v, &f, &rules);
	free(rules.list);
	return good;
}

static bool parse_log(struct verification *v)
{
	const struct cmw_item *item = &v->host[BOOT_LOG];
	int err;

	if (!item->content || !item->len)
		return fail(v, VERIFY_boot_log_missing, "boot: log", "there is none");
	err = eventlog_parse(item->content, item->len, &v->boot_log);
	if (err)
		return err == -ENOMEM ? broken(v, err)
				      : fail(v, VERIFY_malformed_boot_log, "evidence: format",
					     "the boot log is malformed");
	return true;
}

bool verify_boot(struct verification *v)
{
	if (!v->judged_host) {
		if (!same_as_kept(v))
			return false;
	} else if (v->policy->boot.mode == AFFIANT_BOOT_NONE) {
		return not_judged(v, "boot: log", "the policy asks nothing of the boot");
	} else {
		for (uint32_t pcr = 0; pcr < 8; pcr++)
			if (pcr_is_initial(v->bank, pcr))
				return fail(v, VERIFY_pcrs_unextended, "boot: PCRs",
					    "PCR %u was never extended: no firmware measured this "
					    "boot",
					    pcr);
		if (!parse_log(v) || !check_replay(v) || !read_log(v))
			return false;
		v->boot_judged = true;
	}
	if (v->boot_judged && !v->software)
		v->result->tier = AFFIANT_BOOT_STATE;
	return true;
}
