/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config: what the operator wrote, checked as a whole before anything is done with it:
 * /etc/affiant/affiant.yaml, then conf.d/<name>.yaml beside it in the order of their names, which
 * may only add agents.
 *
 * A mistake is one line for a person: "file:line: agents[2].hash.mode: 'hodl' is not one of off,
 * observe".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/digest.h"

struct pattern;

#define CONFIG_PATH "/etc/affiant/affiant.yaml"

#define CONFIG_AGENTS_MAX 1024
#define CONFIG_SELECTORS_MAX 64 /* of one agent */
#define CONFIG_SELECTORS_ALL_MAX 4096
#define CONFIG_NAME_MAX 128 /* bytes of an agent's name: it is a segment of a SPIFFE ID's path */

enum config_hash_mode {
	CONFIG_HASH_OFF, /* every digest is HASH_DISABLED */
	CONFIG_HASH_OBSERVE,
};

struct config_hash {
	enum config_hash_mode mode;
	unsigned int workers;
	uint64_t max_size; /* bytes; 0: no bound */
	size_t cache_entries;
	uint64_t wait_ns; /* how long a record waits for a digest */
};

enum config_selector_kind {
	CONFIG_SELECT_UNIT,      /* a unit of the system manager (pattern.h) */
	CONFIG_SELECT_USER_UNIT, /* a unit of a user's own manager */
	CONFIG_SELECT_CGROUP,    /* a path below the unified hierarchy's root */
	CONFIG_SELECT_EXE, /* an absolute path */
	CONFIG_SELECT_USER,
};

struct config_selector {
	/*
	 * For struct selector.id (event.h): made from the agent's name and the selector itself, so
	 * that a tag which outlives the daemon means the same to the next one, whatever was added
	 * to the file. Never 0.
	 */
	uint32_t id;
	enum config_selector_kind kind;
	uid_t uid;               /* CONFIG_SELECT_USER */
	struct pattern *pattern; /* of unit, user_unit and cgroup; else NULL */
	bool exec_only;          /* 'adopt: no': leaves alone what runs already */
	char *value;             /* as written */
	char *words;             /* for people: "unit codex-*.service" */
};

struct config_agent {
	char *name;
	bool own_user; /* isolation: uid. 'uid' is for this agent alone, says the operator */
	uid_t uid;
	enum config_hash_mode hash; /* the agent's own, else that of the whole */
	struct config_selector *selectors;
	size_t selectors_count;
};

/* Who has a role, besides root. */
struct config_role {
	uid_t *users;
	size_t users_count;
	gid_t *groups;
	size_t groups_count;
};

/*
 * What is cut out of argv before it is written. A flag ("--token") hides the argument after it, and
 * what follows '=' in its own; a pattern (POSIX extended regular expression, case ignored, known to
 * compile) hides each match in an argument, or only what its first subexpression matches where it
 * has one.
 */
struct config_redact {
	bool usual; /* the rules that come with the program, too */
	char **flags;
	size_t flags_count;
	char **patterns;
	size_t patterns_count;
};

struct config_limits {
	size_t sessions;    /* live at once */
	size_t connections; /* open at once; beyond, the oldest is forgotten, and told as lost */
	uint32_t udp_flows; /* told of a socket in a minute; beyond, its datagrams are counted */
};

enum config_ek { CONFIG_EK_AUTO, CONFIG_EK_ECC_P256, CONFIG_EK_ECC_P384, CONFIG_EK_RSA_2048 };

struct config_tpm {
	char *tcti;          /* "device:PATH", "swtpm:path=PATH", or NULL: none */
	uint64_t timeout_ns; /* of one command */
	uint32_t pcrs;       /* a bit for each that is quoted, of the SHA-256 bank */
	enum config_ek ek;
};

struct config_evidence {
	uint64_t lifetime_ns;
	uint64_t rate, burst; /* of one session: requests a second, and at once */
};

struct config {
	char *trust_domain;
	char *state_dir, *runtime_dir, *pin_dir, *socket;
	uint32_t ring_bytes; /* a power of two; 0: what the host's memory allows */
	uint32_t max_tags;
	uint64_t segment_bytes;
	uint64_t state_bytes; /* all segments together */
	struct config_hash hash;
	struct config_redact redact;
	struct config_role launchers, readers;
	/*
	 * Programs that set sessions up as root: what they run as does not count as the session's.
	 */
	char **launcher_programs;
	size_t launcher_programs_count;
	uid_t *trusted_owners; /* whose files are as good as root's */
	size_t trusted_owners_count;
	struct config_limits limits;
	struct config_tpm tpm;
	struct config_evidence evidence;
	struct config_agent *agents;
	size_t agents_count;
	size_t selectors_count; /* of all agents */
	size_t patterns_count;  /* of those the ones with a pattern: at most PATTERNS_MAX */
	bool any_agent;         /* no agent is configured: root may name any */
	struct sha256 digest;   /* of the files' bytes, one after another as they were read */
};

/* The command line's word, which goes before the file's. NULL: not given. */
struct config_paths {
	const char *state_dir, *runtime_dir, *pin_dir, *socket;
};

/*
 * @path NULL: CONFIG_PATH, which may be absent. @paths may be NULL. 0, or a negative errno
 * (-EBADMSG for what is written there) with *@ret_why a line for a person, to be freed, or NULL
 * when memory ran out.
 */
int config_load(const char *path, const struct config_paths *paths, struct config **ret,
		char **ret_why);
void config_free(struct config *c);

/*
 * affiantd --check-config: loads, and says on @out what it found or what is wrong. As
 * config_load().
 */
int config_check(const char *path, FILE *out);

/* NULL when there is none of that name. Borrowed. */
const struct config_agent *config_agent(const struct config *c, const char *name);

/* The selector with that id and its agent, or NULL. Borrowed. */
const struct config_selector *config_selector(const struct config *c, uint32_t id,
					      const struct config_agent **ret_agent);

/* Records say so of an agent that nobody knows (collect/attribute.h). */
#define CONFIG_NAME_UNKNOWN "unknown"

/*
 * What may name an agent: letters, digits, '.', '-', '_' (SPIFFE-ID, section 2.2), not ".", ".." or
 * "unknown".
 */
bool config_name_valid(const char *name);
