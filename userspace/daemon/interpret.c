/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/interpret.h"

#include <errno.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "daemon/account.h"
#include "daemon/schema.h"
#include "daemon/value.h"
#include "values.h"

#define PATTERN_MAX 256
#define LAUNCH_GROUP "affiant-launch"
#define READ_GROUP "affiant-read"

static int list_add(char ***list, size_t *count, const char *text)
{
	char **more = reallocarray(*list, *count + 1, sizeof(**list));

	if (!more)
		return -ENOMEM;
	*list = more;
	more[*count] = strdup(text);
	if (!more[*count])
		return -ENOMEM;
	(*count)++;
	return 0;
}

int interpret_defaults(struct config *c)
{
	c->max_tags = 65536;
	c->redact.usual = true;
	c->segment_bytes = 64 * MIB;
	c->state_bytes = GIB;
	c->hash = (struct config_hash){
		.mode = CONFIG_HASH_OBSERVE,
		.workers = 2,
		.cache_entries = 8192,
		.wait_ns = 2 * SECOND,
	};
	c->limits = (struct config_limits){
		.sessions = 4096, .connections = 131072, .udp_flows = EVENT_FLOWS_PER_MINUTE};
	c->tpm = (struct config_tpm){.timeout_ns = 5 * SECOND, .pcrs = 0x4fff};
	c->evidence =
		(struct config_evidence){.lifetime_ns = 300 * SECOND, .rate = 10, .burst = 100};
	return value_text(&c->trust_domain, "affiant.invalid") ?:
	       value_text(&c->tpm.tcti, "device:/dev/tpmrm0") ?:
	       value_text(&c->state_dir, "/var/lib/affiant") ?:
	       value_text(&c->runtime_dir, "/run/affiant") ?:
	       value_text(&c->pin_dir, "/sys/fs/bpf/affiant");
}

/* Trust domain: SPIFFE-ID, section 2.1. */
static int get_trust_domain(const struct values *x, const char *text, char **to)
{
	if (!text)
		return 0;
	if (strlen(text) > 255 || !*text ||
	    text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789.-_")])
		return document_mistake(
			x->document, x->ret_why, "trust_domain",
			"'%s' is not lower-case letters, digits, '.', '-' and '_', at most 255",
			text);
	return value_text(to, text);
}

int interpret_mode(const struct document *d, char **ret_why, const char *key, const char *text,
		   enum config_hash_mode *to)
{
	if (!text)
		return 0;
	if (!strcmp(text, "off"))
		*to = CONFIG_HASH_OFF;
	else if (!strcmp(text, "observe"))
		*to = CONFIG_HASH_OBSERVE;
	else if (!strcmp(text, "hold"))
		return document_mistake(d, ret_why, key,
					"'hold' is not available in this version: use 'observe', "
					"which hashes what runs "
					"without delaying it");
	else
		return document_mistake(d, ret_why, key, "'%s' is not one of off, observe", text);
	return 0;
}

/* ---- the sections ---- */

static int get_hash(const struct values *x, const struct raw_hash *raw, struct config_hash *h)
{
	uint64_t workers = h->workers, entries = h->cache_entries;
	const char *max = raw->max_size && !strcmp(raw->max_size, "none") ? NULL : raw->max_size;
	int err;

	err = interpret_mode(x->document, x->ret_why, "hash.mode", raw->mode, &h->mode) ?:
	      value_count(x, "hash.workers", raw->workers, 1, 64, &workers) ?:
	      value_size(x, "hash.max_size", max, 1, 1ULL << 50, &h->max_size) ?:
	      value_count(x, "hash.cache_entries", raw->cache_entries, 16, 1 << 20, &entries) ?:
	      value_duration(x, "hash.wait", raw->wait, 10 * MS, 10 * SECOND, &h->wait_ns);
	h->workers = workers;
	h->cache_entries = entries;
	return err;
}

/*
 * glibc expands counted repetitions, nested ones as often as their product says, and takes back
 * references, which need exponential time: an oversight could cost the daemon all its memory or
 * hang it.
 */
static bool pattern_costly(const char *text)
{
	unsigned long cost = 1, count;

	for (; *text; text++) {
		if (text[0] == '\\' && text[1]) {
			if (text[1] >= '1' && text[1] <= '9')
				return true;
			text++;
		} else if (*text == '{') {
			for (const char *at = text + 1; *at && *at != '}'; at += *at == ',') {
				count = strtoul(at, (char **)&at, 10);
				if (count > 1 && __builtin_mul_overflow(cost, count, &cost))
					return true;
				if (*at != ',' && *at != '}')
					break;
			}
			if (cost > 4096)
				return true;
		}
	}
	return false;
}

static int get_pattern(const struct values *x, const char *key, const char *text)
{
	char why[256];
	regex_t regex;
	int err;

	if (strlen(text) > PATTERN_MAX || pattern_costly(text))
		return document_mistake(x->document, x->ret_why, key,
					"'%.64s' is too costly: at most %d bytes, counts that "
					"multiply to 4096, no back "
					"references",
					text, PATTERN_MAX);
	err = regcomp(&regex, text, REG_EXTENDED | REG_ICASE);
	if (err) {
		regerror(err, &regex, why, sizeof(why));
		return document_mistake(x->document, x->ret_why, key,
					"'%s' is not a regular expression: %s", text, why);
	}
	/* One that matches nothing at all would mark every place of every argument. */
	err = regexec(&regex, "", 0, NULL, 0);
	regfree(&regex);
	if (!err)
		return document_mistake(x->document, x->ret_why, key,
					"'%s' matches the empty string", text);
	return 0;
}

static int get_redact(const struct values *x, const struct raw_redact *raw, struct config_redact *r)
{
	char key[64];
	int err = 0;

	if (raw->defaults && strcmp(raw->defaults, "on") && strcmp(raw->defaults, "off"))
		return document_mistake(x->document, x->ret_why, "redact.defaults",
					"'%s' is not one of on, off", raw->defaults);
	r->usual = !raw->defaults || !strcmp(raw->defaults, "on");

	for (unsigned int i = 0; !err && i < raw->flags.count; i++) {
		const char *flag = raw->flags.items[i];

		snprintf(key, sizeof(key), "redact.flags[%u]", i);
		if (flag[0] != '-' || !flag[1] || strchr(flag, '='))
			return document_mistake(
				x->document, x->ret_why, key,
				"'%s' is not a flag: it begins with '-' and has no '='", flag);
		err = list_add(&r->flags, &r->flags_count, flag);
	}
	for (unsigned int i = 0; !err && i < raw->patterns.count; i++) {
		snprintf(key, sizeof(key), "redact.patterns[%u]", i);
		err = get_pattern(x, key, raw->patterns.items[i])
			      ?: list_add(&r->patterns, &r->patterns_count, raw->patterns.items[i]);
	}
	return err;
}

static int get_role(const struct values *x, const char *name, const struct raw_role *raw,
		    const char *group, struct config_role *role)
{
	char key[64];

	role->users = calloc(raw ? raw->users.count + 1 : 1, sizeof(*role->users));
	role->groups = calloc(raw ? raw->groups.count + 1 : 1, sizeof(*role->groups));
	if (!role->users || !role->groups)
		return -ENOMEM;
	if (!raw) {
		/*
		 * Made by the package, without members. Where it isn't, nobody but root has the
		 * role.
		 */
		if (account_group(group, &role->groups[0]) == 0)
			role->groups_count = 1;
		return 0;
	}
	for (unsigned int i = 0; i < raw->users.count; i++) {
		snprintf(key, sizeof(key), "%s.users[%u]", name, i);
		if (account_user(raw->users.items[i], &role->users[i]))
			return document_mistake(x->document, x->ret_why, key,
						"there is no user '%s' on this host",
						raw->users.items[i]);
		role->users_count++;
	}
	for (unsigned int i = 0; i < raw->groups.count; i++) {
		snprintf(key, sizeof(key), "%s.groups[%u]", name, i);
		if (account_group(raw->groups.items[i], &role->groups[i]))
			return document_mistake(x->document, x->ret_why, key,
						"there is no group '%s' on this host",
						raw->groups.items[i]);
		role->groups_count++;
	}
	return 0;
}

/* What starts services and containers in the agent's cgroup, as far as it is there. */
static const char *const default_programs[] = {
	"/usr/lib/systemd/systemd-executor",
	"/usr/lib/systemd/systemd",
	"/usr/bin/runc",
	"/usr/sbin/runc",
	"/usr/bin/crun",
};

static int get_programs(const struct values *x, const struct raw_role *raw, struct config *c)
{
	char key[64];
	int err = 0;

	for (size_t i = 0; !err && i < sizeof(default_programs) / sizeof(*default_programs); i++)
		err = list_add(&c->launcher_programs, &c->launcher_programs_count,
			       default_programs[i]);
	for (unsigned int i = 0; !err && raw && i < raw->programs.count; i++) {
		const char *path = raw->programs.items[i];

		snprintf(key, sizeof(key), "launchers.programs[%u]", i);
		if (*path != '/' || !path[1] || path[strlen(path) - 1] == '/')
			return document_mistake(x->document, x->ret_why, key,
						"'%s' is not the absolute path of one file", path);
		err = list_add(&c->launcher_programs, &c->launcher_programs_count, path);
	}
	return err;
}

static int get_trusted_owners(const struct values *x, const struct raw_list *raw, struct config *c)
{
	char key[64];

	c->trusted_owners = calloc(raw->count + 1, sizeof(*c->trusted_owners));
	if (!c->trusted_owners)
		return -ENOMEM;
	for (unsigned int i = 0; i < raw->count; i++) {
		snprintf(key, sizeof(key), "trusted_owners[%u]", i);
		if (account_user(raw->items[i], &c->trusted_owners[i]))
			return document_mistake(x->document, x->ret_why, key,
						"there is no user '%s' on this host",
						raw->items[i]);
		c->trusted_owners_count++;
	}
	return 0;
}

static int get_bounds(const struct values *x, const struct raw_config *raw, struct config *c)
{
	uint64_t ring = c->ring_bytes, tags = c->max_tags, sessions = c->limits.sessions;
	uint64_t connections = c->limits.connections, flows = c->limits.udp_flows;
	int err;

	err = value_size(x, "ring_bytes", raw->ring_bytes, 16 * KIB, GIB, &ring) ?:
	      value_count(x, "max_tags", raw->max_tags, 64, 1 << 22, &tags) ?:
	      value_size(x, "segment_bytes", raw->segment_bytes, 64 * KIB, 4 * GIB, &c->segment_bytes) ?:
	      value_size(x, "state_bytes", raw->state_bytes, 128 * KIB, 1ULL << 48, &c->state_bytes) ?:
	      value_count(x, "limits.sessions", raw->limits.sessions, 1, 1 << 16, &sessions) ?:
	      value_count(x, "limits.connections", raw->limits.connections, 64, 1 << 24, &connections) ?:
	      value_count(x, "limits.udp_flows", raw->limits.udp_flows, 1, EVENT_FLOWS_MAX, &flows);
	if (err)
		return err;
	if (ring & (ring - 1))
		return document_mistake(x->document, x->ret_why, "ring_bytes",
					"'%s' is not a power of two", raw->ring_bytes);
	if (c->state_bytes < 2 * c->segment_bytes)
		return document_mistake(
			x->document, x->ret_why, raw->state_bytes ? "state_bytes" : "segment_bytes",
			"state_bytes must hold two segments at least (2 x segment_bytes)");
	c->ring_bytes = ring;
	c->max_tags = tags;
	c->limits = (struct config_limits){
		.sessions = sessions, .connections = connections, .udp_flows = flows};
	return 0;
}

/* An absolute path behind one of the two, or none. */
static int get_tcti(const struct values *x, const char *text, char **to)
{
	const char *path = text;

	if (!text)
		return 0;
	if (!strcmp(text, "none")) {
		free(*to);
		*to = NULL;
		return 0;
	}
	if (!strncmp(text, "device:", 7))
		path += 7;
	else if (!strncmp(text, "swtpm:path=", 11))
		path += 11;
	if (path == text || *path != '/' ||
	    strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return document_mistake(
			x->document, x->ret_why, "tpm.tcti",
			"'%s' is not one of device:PATH, swtpm:path=PATH (absolute), none", text);
	return value_text(to, text);
}

/*
 * sha256:0-7,8,14. A log explains PCRs 0 to 15; 16 and 23 can be reset by anybody, 17 to 22 are of
 * a dynamic launch.
 */
static int get_pcrs(const struct values *x, const char *text, uint32_t *to)
{
	const char *at = text;
	unsigned long first, last;
	uint32_t mask = 0;
	char *end;

	if (!text)
		return 0;
	if (strncmp(at, "sha256:", 7))
		return document_mistake(
			x->document, x->ret_why, "tpm.pcrs",
			"'%s' is not a selection of the SHA-256 bank, as in sha256:0-7,10", text);
	at += 7;
	do {
		if (*at < '0' || *at > '9')
			break;
		first = last = strtoul(at, &end, 10);
		if (*end == '-' && end[1] >= '0' && end[1] <= '9')
			last = strtoul(end + 1, &end, 10);
		at = end;
		if (first > last || last > 15)
			break;
		for (unsigned long i = first; i <= last; i++)
			mask |= 1u << i;
		if (!*at) {
			*to = mask;
			return 0;
		}
	} while (*at++ == ',');
	return document_mistake(x->document, x->ret_why, "tpm.pcrs",
				"'%s' is not a list of PCRs 0 to 15, as in sha256:0-7,10", text);
}

static int get_tpm(const struct values *x, const struct raw_tpm *raw, struct config_tpm *t)
{
	static const char *const eks[] = {"auto", "ecc-p256", "ecc-p384", "rsa-2048"};
	size_t i = 0;
	int err;

	err = get_tcti(x, raw->tcti, &t->tcti) ?:
	      value_duration(x, "tpm.timeout", raw->timeout, 100 * MS, 300 * SECOND, &t->timeout_ns) ?:
	      get_pcrs(x, raw->pcrs, &t->pcrs);
	if (err || !raw->ek)
		return err;
	while (i < sizeof(eks) / sizeof(*eks) && strcmp(eks[i], raw->ek))
		i++;
	if (i == sizeof(eks) / sizeof(*eks))
		return document_mistake(x->document, x->ret_why, "tpm.ek",
					"'%s' is not one of auto, ecc-p256, ecc-p384, rsa-2048",
					raw->ek);
	t->ek = i;
	return 0;
}

static int get_evidence(const struct values *x, const struct raw_evidence *raw,
			struct config_evidence *e)
{
	return value_duration(x, "evidence.lifetime", raw->lifetime, 10 * SECOND, 3600 * SECOND,
			      &e->lifetime_ns) ?:
	       value_count(x, "evidence.rate", raw->rate, 1, 1000000, &e->rate) ?:
	       value_count(x, "evidence.burst", raw->burst, 1, 1000000, &e->burst);
}

int interpret_config(const struct document *d, struct config *c, char **ret_why)
{
	static const struct raw_config nothing;
	const struct raw_config *raw = (document_root(d) ?: (const void *)&nothing);
	const struct values x = {d, ret_why};
	const size_t path_max = 1024, socket_max = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;

	return get_trust_domain(&x, raw->trust_domain, &c->trust_domain) ?:
	       value_path(&x, "state_dir", raw->state_dir, path_max, &c->state_dir) ?:
	       value_path(&x, "runtime_dir", raw->runtime_dir, path_max, &c->runtime_dir) ?:
	       value_path(&x, "pin_dir", raw->pin_dir, path_max, &c->pin_dir) ?:
	       value_path(&x, "socket", raw->socket, socket_max, &c->socket) ?:
	       get_bounds(&x, raw, c) ?:
	       get_hash(&x, &raw->hash, &c->hash) ?:
	       get_tpm(&x, &raw->tpm, &c->tpm) ?:
	       get_evidence(&x, &raw->evidence, &c->evidence) ?:
	       get_redact(&x, &raw->redact, &c->redact) ?:
	       get_programs(&x, raw->launchers, c) ?:
	       get_trusted_owners(&x, &raw->trusted_owners, c) ?:
	       get_role(&x, "launchers", raw->launchers, LAUNCH_GROUP, &c->launchers) ?:
	       get_role(&x, "readers", raw->readers, READ_GROUP, &c->readers);
}
