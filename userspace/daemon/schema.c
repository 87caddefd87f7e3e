/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/schema.h"

#define TEXT_MAX 4096
#define LIST_MAX 256

#define TEXT(structure, key)                                                                       \
	CYAML_FIELD_STRING_PTR(#key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, structure, key, 0,  \
			       TEXT_MAX)
#define MAPPING(structure, key, fields)                                                            \
	CYAML_FIELD_MAPPING(#key, CYAML_FLAG_OPTIONAL, structure, key, fields)
#define MAPPING_PTR(structure, key, fields)                                                        \
	CYAML_FIELD_MAPPING_PTR(#key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, structure, key,    \
				fields)
#define LIST(structure, key)                                                                       \
	CYAML_FIELD_SEQUENCE_COUNT(#key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, structure,      \
				   key.items, key.count, &text_schema, 0, LIST_MAX)

static const cyaml_schema_value_t text_schema = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 0, TEXT_MAX),
};

static const cyaml_schema_field_t hash_fields[] = {
	TEXT(struct raw_hash, mode),     TEXT(struct raw_hash, workers),
	TEXT(struct raw_hash, max_size), TEXT(struct raw_hash, cache_entries),
	TEXT(struct raw_hash, wait),     CYAML_FIELD_END,
};

static const cyaml_schema_field_t redact_fields[] = {
	TEXT(struct raw_redact, defaults),
	LIST(struct raw_redact, flags),
	LIST(struct raw_redact, patterns),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t role_fields[] = {
	LIST(struct raw_role, users),
	LIST(struct raw_role, groups),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t launchers_fields[] = {
	LIST(struct raw_role, users),
	LIST(struct raw_role, groups),
	LIST(struct raw_role, programs),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t limits_fields[] = {
	TEXT(struct raw_limits, sessions),
	TEXT(struct raw_limits, connections),
	TEXT(struct raw_limits, udp_flows),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t tpm_fields[] = {
	TEXT(struct raw_tpm, tcti),
	TEXT(struct raw_tpm, timeout),
	TEXT(struct raw_tpm, pcrs),
	TEXT(struct raw_tpm, ek),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t evidence_fields[] = {
	TEXT(struct raw_evidence, lifetime),
	TEXT(struct raw_evidence, rate),
	TEXT(struct raw_evidence, burst),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t user_unit_fields[] = {
	TEXT(struct raw_user_unit, user),
	TEXT(struct raw_user_unit, unit),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t selector_fields[] = {
	TEXT(struct raw_selector, unit),
	MAPPING_PTR(struct raw_selector, user_unit, user_unit_fields),
	TEXT(struct raw_selector, cgroup),
	TEXT(struct raw_selector, exe),
	TEXT(struct raw_selector, user),
	TEXT(struct raw_selector, adopt),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t selector_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_selector, selector_fields),
};

static const cyaml_schema_field_t agent_hash_fields[] = {
	TEXT(struct raw_agent_hash, mode),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t agent_fields[] = {
	TEXT(struct raw_agent, name),
	TEXT(struct raw_agent, isolation),
	TEXT(struct raw_agent, user),
	MAPPING(struct raw_agent, hash, agent_hash_fields),
	CYAML_FIELD_SEQUENCE("selectors", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
			     struct raw_agent, selectors, &selector_schema, 0,
			     CONFIG_SELECTORS_MAX),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t agent_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_agent, agent_fields),
};

#define AGENTS                                                                                     \
	CYAML_FIELD_SEQUENCE("agents", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,                   \
			     struct raw_config, agents, &agent_schema, 0, CONFIG_AGENTS_MAX)

static const cyaml_schema_field_t config_fields[] = {
	TEXT(struct raw_config, trust_domain),
	TEXT(struct raw_config, state_dir),
	TEXT(struct raw_config, runtime_dir),
	TEXT(struct raw_config, pin_dir),
	TEXT(struct raw_config, socket),
	TEXT(struct raw_config, ring_bytes),
	TEXT(struct raw_config, max_tags),
	TEXT(struct raw_config, segment_bytes),
	TEXT(struct raw_config, state_bytes),
	MAPPING(struct raw_config, hash, hash_fields),
	MAPPING(struct raw_config, redact, redact_fields),
	MAPPING_PTR(struct raw_config, launchers, launchers_fields),
	MAPPING_PTR(struct raw_config, readers, role_fields),
	LIST(struct raw_config, trusted_owners),
	MAPPING(struct raw_config, limits, limits_fields),
	MAPPING(struct raw_config, tpm, tpm_fields),
	MAPPING(struct raw_config, evidence, evidence_fields),
	AGENTS,
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t agents_fields[] = {
	AGENTS,
	CYAML_FIELD_END,
};

const cyaml_schema_value_t schema_config = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_config, config_fields),
};

const cyaml_schema_value_t schema_agents = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_config, agents_fields),
};
