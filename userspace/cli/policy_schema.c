/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy_impl.h"

#define TEXT_MAX 4096

#define TEXT(structure, key)                                                                       \
	CYAML_FIELD_STRING_PTR(#key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, structure, key, 0,  \
			       TEXT_MAX)
#define MAPPING(structure, key, fields)                                                            \
	CYAML_FIELD_MAPPING(#key, CYAML_FLAG_OPTIONAL, structure, key, fields)
#define LIST(structure, key)                                                                       \
	CYAML_FIELD_SEQUENCE_COUNT(#key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, structure,      \
				   key.items, key.count, &text_schema, 0, POLICY_LIST_MAX)
#define MAPPINGS(structure, key, schema)                                                           \
	CYAML_FIELD_SEQUENCE(#key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, structure, key,       \
			     &schema, 0, POLICY_LIST_MAX)

static const cyaml_schema_value_t text_schema = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 0, TEXT_MAX),
};

static const cyaml_schema_field_t trust_fields[] = {
	LIST(struct raw_trust, tpm),
	LIST(struct raw_trust, software_tpm),
	LIST(struct raw_trust, enrolment),
	LIST(struct raw_trust, firmware),
	TEXT(struct raw_trust, allow_software_tpm),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t host_fields[] = {
	TEXT(struct raw_host, ueid),
	TEXT(struct raw_host, asset),
	TEXT(struct raw_host, ek_certificate),
	LIST(struct raw_host, agents),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t host_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_host, host_fields),
};

static const cyaml_schema_field_t value_fields[] = {
	TEXT(struct raw_value, pcr),
	LIST(struct raw_value, values),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t value_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_value, value_fields),
};

static const cyaml_schema_field_t rule_fields[] = {
	LIST(struct raw_rule, pcrs),  LIST(struct raw_rule, digests), LIST(struct raw_rule, texts),
	TEXT(struct raw_rule, least), TEXT(struct raw_rule, early),   CYAML_FIELD_END,
};

static const cyaml_schema_value_t rule_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_rule, rule_fields),
};

static const cyaml_schema_field_t boot_fields[] = {
	TEXT(struct raw_boot, mode),
	TEXT(struct raw_boot, secure_boot),
	TEXT(struct raw_boot, debugger),
	TEXT(struct raw_boot, dma_protection),
	TEXT(struct raw_boot, kexec),
	TEXT(struct raw_boot, kernels_lock_down),
	MAPPINGS(struct raw_boot, values, value_schema),
	MAPPINGS(struct raw_boot, rules, rule_schema),
	LIST(struct raw_boot, closed),
	LIST(struct raw_boot, kernels),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t ima_fields[] = {
	TEXT(struct raw_ima, required),  TEXT(struct raw_ima, violations),
	TEXT(struct raw_ima, padded),    TEXT(struct raw_ima, templates),
	LIST(struct raw_ima, allowlist), CYAML_FIELD_END,
};

static const cyaml_schema_field_t daemon_fields[] = {
	LIST(struct raw_daemon, executables),
	LIST(struct raw_daemon, configurations),
	LIST(struct raw_daemon, bpf),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t agent_fields[] = {
	TEXT(struct raw_policy_agent, id),
	TEXT(struct raw_policy_agent, tier),
	TEXT(struct raw_policy_agent, late_sessions),
	TEXT(struct raw_policy_agent, folded_sessions),
	TEXT(struct raw_policy_agent, untagged_children),
	TEXT(struct raw_policy_agent, lost),
	TEXT(struct raw_policy_agent, principal),
	TEXT(struct raw_policy_agent, task),
	LIST(struct raw_policy_agent, executables),
	LIST(struct raw_policy_agent, scripts),
	LIST(struct raw_policy_agent, interpreters),
	LIST(struct raw_policy_agent, loaders),
	LIST(struct raw_policy_agent, arguments),
	LIST(struct raw_policy_agent, manifests),
	LIST(struct raw_policy_agent, ancestors),
	LIST(struct raw_policy_agent, programs),
	LIST(struct raw_policy_agent, isolation),
	LIST(struct raw_policy_agent, key_custody),
	LIST(struct raw_policy_agent, hash_states),
	LIST(struct raw_policy_agent, environment),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t agent_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_policy_agent, agent_fields),
};

static const cyaml_schema_field_t policy_fields[] = {
	TEXT(struct raw_policy, max_age),
	TEXT(struct raw_policy, skew),
	MAPPING(struct raw_policy, trust, trust_fields),
	MAPPINGS(struct raw_policy, hosts, host_schema),
	MAPPING(struct raw_policy, boot, boot_fields),
	MAPPING(struct raw_policy, ima, ima_fields),
	MAPPING(struct raw_policy, daemon, daemon_fields),
	MAPPINGS(struct raw_policy, agents, agent_schema),
	CYAML_FIELD_END,
};

const cyaml_schema_value_t policy_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_policy, policy_fields),
};
