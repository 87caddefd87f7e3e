/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "attest/claims.h"
#include "attest/claims_files.h"
#include "attest/claims_words.h"
#include "attest/ossl.h"
#include "base/base64url.h"
#include "base/environment.h"

/*
 * What can't be made becomes null, which claims_parse() refuses by name: nothing is left out
 * without a word.
 */
static void set(json_t *o, const char *name, json_t *value)
{
	if (!value || json_object_set_new(o, name, value) < 0)
		json_object_set_new(o, name, json_null());
}

static void append(json_t *list, json_t *value)
{
	if (!value || json_array_append_new(list, value) < 0)
		json_array_append_new(list, json_null());
}

static json_t *base64_json(const void *data, size_t len)
{
	_cleanup_free_ char *text = base64url_new(data, len);

	return text ? json_string(text) : NULL;
}

static json_t *hex_json(const void *data, size_t len)
{
	char text[2 * 66 + 1];

	hex_encode(data, len, text);
	return json_string(text);
}

static json_t *uuid_json(const struct uuid *u)
{
	char text[UUID_TEXT_SIZE];

	uuid_format(u, text);
	return json_string(text);
}

static json_t *files_json(const struct claims_file *files, size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		append(list, claims_file_json(&files[i]));
	return list;
}

static json_t *indices_json(const uint8_t *indices, size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		append(list, json_integer(indices[i]));
	return list;
}

static void set_environment(json_t *o, const struct claims_process *p)
{
	json_t *names;

	if (p->environment[0] | p->environment[1]) {
		names = json_array();
		for (unsigned int i = 0; i < ENVIRONMENT_NUMBERS; i++)
			if (environment_has(p->environment, i))
				append(names, json_string(environment_name(i)));
		set(o, "environment", names);
	}
	if (p->environment_cut)
		set(o, "environment_cut", json_true());
}

static json_t *process_json(const struct claims_process *p, bool owner)
{
	json_t *o = json_pack("{sIsIsI}", "pid", (json_int_t)p->pid, "started_ns",
			      (json_int_t)p->started_ns, "exec_seq", (json_int_t)p->exec_seq);

	if (owner) {
		set(o, "uid", json_integer(p->uid));
		set(o, "gid", json_integer(p->gid));
	}
	set(o, "files", indices_json(p->files, p->files_count));
	set_environment(o, p);
	return o;
}

static json_t *task_json(const struct claims_task *t)
{
	json_t *o = json_object(), *scope;

	if (t->id)
		set(o, "id", json_string(t->id));
	if (t->purpose)
		set(o, "purpose", json_string(t->purpose));
	if (t->expires)
		set(o, "expires", json_integer(t->expires));
	if (t->scope_count) {
		scope = json_array();
		for (size_t i = 0; i < t->scope_count; i++)
			append(scope, json_string(t->scope[i]));
		set(o, "scope", scope);
	}
	return o;
}

static json_t *workload_json(const struct claims_workload *w)
{
	json_t *o, *ancestors = json_array(), *programs;

	o = json_pack("{s:s, s:{s:o, s:I, s:s, s:b}}", "agent", w->agent, "session", "id",
		      uuid_json(&w->session.id), "started", (json_int_t)w->session.started,
		      "origin", claims_origins[w->session.origin], "late", w->session.late);
	if (w->task.present)
		set(o, "task", task_json(&w->task));
	if (w->principal)
		set(o, "principal",
		    json_pack("{ssss}", "subject", w->principal, "assurance", "asserted"));
	set(o, "process", process_json(&w->process, true));
	for (size_t i = 0; i < w->ancestors_count; i++)
		append(ancestors, process_json(&w->ancestors[i], false));
	set(o, "ancestors", ancestors);
	if (w->ancestors_cut)
		set(o, "ancestors_cut", json_true());
	programs = json_pack("{sIso}", "count", (json_int_t)w->programs_count, "root",
			     base64_json(&w->programs_root, sizeof(w->programs_root)));
	if (w->programs_cut)
		set(programs, "cut", json_true());
	set(o, "programs", programs);
	set(o, "execs", json_integer(w->execs));
	set(o, "manifest_roots", indices_json(w->manifests, w->manifests_count));
	set(o, "isolation", json_string(claims_isolations[w->isolation]));
	set(o, "loaded_code", json_string("unknown"));
	set(o, "lost", json_integer(w->lost));
	if (w->folded)
		set(o, "folded", json_true());
	if (w->untagged_children)
		set(o, "untagged_children", json_true());
	return o;
}

static json_t *log_json(bool present)
{
	return json_string(present ? "present" : "missing");
}

static json_t *host_json(const struct claims_host *h)
{
	char firmware[17];
	json_t *o;

	snprintf(firmware, sizeof(firmware), "%016" PRIx64, h->tpm.firmware);
	o = json_pack("{sssososs}", "eat_profile", CLAIMS_HOST_PROFILE, "host_id",
		      hex_json(h->host_id, sizeof(h->host_id)), "boot_id", uuid_json(&h->boot_id),
		      "kernel", h->kernel);
	if (h->cmdline)
		set(o, "cmdline", json_string(h->cmdline));
	set(o, "cmdline_sha256", base64_json(&h->cmdline_sha256, sizeof(h->cmdline_sha256)));
	set(o, "lockdown", json_string(claims_lockdowns[h->lockdown]));
	set(o, "secure_boot", json_string(claims_secure_boots[h->secure_boot]));
	set(o, "boot_log", log_json(h->boot_log));
	set(o, "ima_log", log_json(h->ima_log));
	set(o, "systemd_log", log_json(h->systemd_log));
	set(o, "tpm",
	    json_pack("{sssssssosb}", "manufacturer", h->tpm.manufacturer, "vendor", h->tpm.vendor,
		      "firmware", firmware, "ak", hex_json(h->tpm.ak_name, h->tpm.ak_name_len),
		      "enrolled", h->tpm.enrolled));
	set(o, "measurements", files_json(h->files, h->files_count));
	return o;
}

int claims_encode(const struct claims *c, json_t **ret, const char **ret_why)
{
	char issuer[sizeof(CLAIMS_ISSUER) + 2 * sizeof(c->host_id)] = CLAIMS_ISSUER;
	_cleanup_json_ json_t *o = json_object();
	struct claims check;
	int err;

	hex_encode(c->host_id, sizeof(c->host_id), issuer + strlen(CLAIMS_ISSUER));
	set(o, "eat_profile", json_string(CLAIMS_PROFILE));
	set(o, "eat_nonce", json_string(c->nonce));
	set(o, "aud", json_string(c->audience));
	set(o, "ueid", base64_json(c->ueid, sizeof(c->ueid)));
	set(o, "iat", json_integer(c->iat));
	set(o, "exp", json_integer(c->exp));
	set(o, "jti", uuid_json(&c->jti));
	set(o, "sub", json_string(c->sub));
	set(o, "iss", json_string(issuer));
	set(o, "kid", json_string(c->kid));
	set(o, "cnf", json_pack("{so}", "jwk", jose_jwk(c->cnf, false)));
	set(o, "key_custody", json_string(claims_custodies[c->custody]));
	set(o, "swname", json_string("affiantd"));
	set(o, "swversion", json_pack("[si]", c->version, CLAIMS_SEMVER));
	if (c->files_count)
		set(o, "measurements", files_json(c->files, c->files_count));
	set(o, "submods",
	    json_pack("{s:o, s:[s, [s, o]]}", "workload", workload_json(&c->workload), "host",
		      "DIGEST", CLAIMS_COSE_SHA256, base64_json(&c->host, sizeof(c->host))));
	err = claims_parse(o, &check, ret_why);
	if (err)
		return err == -EBADMSG ? -EINVAL : err;
	claims_clear(&check);
	*ret = TAKE_PTR(o);
	return 0;
}

int claims_host_encode(const struct claims_host *h, char **ret, struct sha256 *ret_digest,
		       const char **ret_why)
{
	_cleanup_json_ json_t *o = host_json(h);
	_cleanup_free_ char *text = NULL;
	struct claims_host check;
	int err;

	err = claims_host_parse(o, &check, ret_why);
	if (err)
		return err == -EBADMSG ? -EINVAL : err;
	claims_host_clear(&check);
	text = json_dumps(o, JSON_COMPACT);
	err = text ? sha256_of(text, strlen(text), ret_digest) : -ENOMEM;
	if (!err)
		*ret = TAKE_PTR(text);
	return err;
}
