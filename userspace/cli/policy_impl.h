/* SPDX-License-Identifier: Apache-2.0 */
/* The policy as it is written: what keys there are, all values still text. NULL: not there. */
#pragma once

#include <cyaml/cyaml.h>

#include "base/digest.h"
#include "cli/policy.h"
#include "yaml/document.h"

struct raw_texts {
	char **items;
	unsigned int count;
};

struct raw_trust {
	struct raw_texts tpm, software_tpm, enrolment, firmware;
	char *allow_software_tpm;
};

struct raw_host {
	char *ueid, *asset, *ek_certificate;
	struct raw_texts agents;
};

struct raw_value {
	char *pcr;
	struct raw_texts values;
};

struct raw_rule {
	struct raw_texts pcrs, digests, texts;
	char *least, *early;
};

struct raw_boot {
	char *mode, *secure_boot, *debugger, *dma_protection, *kexec, *kernels_lock_down;
	struct raw_value *values;
	unsigned int values_count;
	struct raw_rule *rules;
	unsigned int rules_count;
	struct raw_texts closed, kernels;
};

struct raw_ima {
	char *required, *violations, *padded, *templates;
	struct raw_texts allowlist;
};

struct raw_daemon {
	struct raw_texts executables, configurations, bpf;
};

struct raw_policy_agent {
	char *id, *tier, *late_sessions, *folded_sessions, *untagged_children, *lost, *principal,
		*task;
	struct raw_texts executables, scripts, interpreters, loaders, arguments, manifests,
		ancestors, programs;
	struct raw_texts isolation, key_custody, hash_states;
	struct raw_texts environment;
};

struct raw_policy {
	char *max_age, *skew;
	struct raw_trust trust;
	struct raw_host *hosts;
	unsigned int hosts_count;
	struct raw_boot boot;
	struct raw_ima ima;
	struct raw_daemon daemon;
	struct raw_policy_agent *agents;
	unsigned int agents_count;
};

extern const cyaml_schema_value_t policy_schema;

/* One reading. What is allocated lives as long as the policy. */
struct policy_reading {
	struct policy *policy;
	const struct document *document;
	int dir;
	struct sha256_context *digest; /* of all that decides */
	char **ret_why;
};

struct policy {
	struct affiant_policy rules;
	struct document *document;
	void **owned;
	size_t owned_count;
};

/* Zeroed, freed with the policy; NULL: no memory. */
void *policy_alloc(struct policy *p, size_t count, size_t size);
/* A file that is named at @key, with a NUL behind it; freed with the policy. */
int policy_read(struct policy_reading *x, const char *key, const char *name, size_t max, char **ret,
		size_t *ret_len);

int policy_words(struct policy_reading *x, const char *key, const struct raw_texts *list,
		 const char *const *words, uint32_t usual, uint32_t *ret);
int policy_word(struct policy_reading *x, const char *key, const char *text,
		const char *const *words, unsigned int *ret);
/* The first word: false. */
int policy_flag(struct policy_reading *x, const char *key, const char *text,
		const char *const *words, bool *ret);
int policy_digests(struct policy_reading *x, const char *key, const struct raw_texts *list,
		   struct affiant_digests *ret);
/* The same; no list: any. */
int policy_digests_or_any(struct policy_reading *x, const char *key, const struct raw_texts *list,
			  struct affiant_digests *ret);
int policy_texts(struct policy_reading *x, const char *key, const struct raw_texts *list,
		 struct affiant_texts *ret);

int policy_boot(struct policy_reading *x, const struct raw_boot *raw);
int policy_ima(struct policy_reading *x, const struct raw_ima *raw);
int policy_agents(struct policy_reading *x, const struct raw_policy *raw);
