/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema: the configuration as it is written: what keys there are, all values still text. NULL: not
 * there.
 */
#pragma once

#include <cyaml/cyaml.h>

#include "daemon/config.h"

struct raw_list {
	char **items;
	unsigned int count;
};

struct raw_hash {
	char *mode, *workers, *max_size, *cache_entries, *wait;
};

struct raw_user_unit {
	char *user, *unit;
};

struct raw_selector {
	char *unit, *cgroup, *exe, *user;
	char *adopt;
	struct raw_user_unit *user_unit;
};

struct raw_agent_hash {
	char *mode;
};

struct raw_agent {
	char *name, *isolation, *user;
	struct raw_agent_hash hash;
	struct raw_selector *selectors;
	unsigned int selectors_count;
};

struct raw_role {
	struct raw_list users, groups;
	struct raw_list programs; /* of launchers alone */
};

struct raw_redact {
	char *defaults;
	struct raw_list flags, patterns;
};

struct raw_limits {
	char *sessions, *connections, *udp_flows;
};

struct raw_tpm {
	char *tcti, *timeout, *pcrs, *ek;
};

struct raw_evidence {
	char *lifetime, *rate, *burst;
};

struct raw_config {
	char *trust_domain, *state_dir, *runtime_dir, *pin_dir, *socket;
	char *ring_bytes, *max_tags, *segment_bytes, *state_bytes;
	struct raw_hash hash;
	struct raw_redact redact;
	struct raw_role *launchers, *readers;
	struct raw_list trusted_owners;
	struct raw_limits limits;
	struct raw_tpm tpm;
	struct raw_evidence evidence;
	struct raw_agent *agents;
	unsigned int agents_count;
};

/* affiant.yaml; and conf.d/<name>.yaml, which has the 'agents' of the same struct alone. */
extern const cyaml_schema_value_t schema_config;
extern const cyaml_schema_value_t schema_agents;
