/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "attest/claims.h"
#include "attest/claims_files.h"
#include "attest/claims_words.h"
#include "attest/member.h"
#include "base/base64url.h"
#include "base/environment.h"

#define SECONDS_MAX (INT64_C(1) << 40) /* far beyond any date, and far from any overflow */

/* Indices of files, each of which is (@manifests), or isn't, a manifest. */
static int take_indices(const char **why, const json_t *o, const char *claim,
			const struct claims *c, bool manifests, size_t max, uint8_t *ret,
			size_t *ret_count)
{
	const json_t *list, *value;
	int err = member_array(why, o, claim, max, &list);

	if (err)
		return err;
	for (size_t i = 0; i < json_array_size(list); i++) {
		value = json_array_get(list, i);
		if (!json_is_integer(value) || json_integer_value(value) < 0 ||
		    json_integer_value(value) >= (json_int_t)c->files_count)
			return member_bad(why, claim);
		ret[i] = json_integer_value(value);
		if ((c->files[ret[i]].role == CLAIMS_MANIFEST) != manifests)
			return member_bad(why, claim);
	}
	*ret_count = json_array_size(list);
	return 0;
}

/* Letters, digits, '_', and '*' at the end. */
static bool is_name(const char *text)
{
	size_t len = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");

	return !strcmp(text + len, text[len] ? "*" : "") && *text &&
	       strlen(text) <= CLAIMS_VARIABLE_MAX;
}

/* A name that a later version knows is not passed over: whoever judges names must hear of it. */
static int take_names(const char **why, const json_t *o, const char *claim,
		      struct claims_process *ret)
{
	const json_t *list;
	int err;

	if (!json_object_get(o, "environment"))
		return 0;
	err = member_array(why, o, claim, CLAIMS_VARIABLES_MAX, &list);
	if (err)
		return err;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *value = json_array_get(list, i);
		const char *name = json_string_value(value);
		int number;

		if (!name || json_string_length(value) != strlen(name) || !is_name(name))
			return member_bad(why, claim);
		number = environment_number(name);
		if (number < 0)
			ret->environment_unknown = true;
		else
			environment_add(ret->environment, number);
	}
	return json_array_size(list) ? 0 : member_bad(why, claim);
}

static int take_process(const char **why, const json_t *o, const struct claims *c,
			struct claims_process *ret)
{
	return member_u32(why, o, "submods.workload.process.pid", &ret->pid) ?:
	       member_number(why, o, "submods.workload.process.started_ns", INT64_MAX, &ret->started_ns) ?:
	       member_u32(why, o, "submods.workload.process.exec_seq", &ret->exec_seq) ?:
	       member_u32(why, o, "submods.workload.process.uid", &ret->uid) ?:
	       member_u32(why, o, "submods.workload.process.gid", &ret->gid) ?:
	       take_indices(why, o, "submods.workload.process.files", c, false, CLAIMS_PROCESS_FILES_MAX, ret->files,
			    &ret->files_count) ?:
	       take_names(why, o, "submods.workload.process.environment", ret) ?:
	       member_true_maybe(why, o, "submods.workload.process.environment_cut", &ret->environment_cut);
}

static int take_ancestors(const char **why, const json_t *o, const struct claims *c,
			  struct claims_workload *w)
{
	const char *const claim = "submods.workload.ancestors";
	const json_t *list, *a;
	struct claims_process *to;
	int err = member_array(why, o, claim, CLAIMS_ANCESTORS_MAX, &list);

	for (size_t i = 0; !err && i < json_array_size(list); i++) {
		a = json_array_get(list, i);
		to = &w->ancestors[i];
		err = member_u32(why, a, "submods.workload.ancestors.pid", &to->pid) ?:
		      member_number(why, a, "submods.workload.ancestors.started_ns", INT64_MAX, &to->started_ns) ?:
		      member_u32(why, a, "submods.workload.ancestors.exec_seq", &to->exec_seq) ?:
		      take_indices(why, a, "submods.workload.ancestors.files", c, false, CLAIMS_PROCESS_FILES_MAX,
				   to->files, &to->files_count) ?:
		      take_names(why, a, "submods.workload.ancestors.environment", to) ?:
		      member_true_maybe(why, a, "submods.workload.ancestors.environment_cut", &to->environment_cut);
		w->ancestors_count = i + 1;
	}
	return err ?: member_true_maybe(why, o, "submods.workload.ancestors_cut", &w->ancestors_cut);
}

static int take_task(const char **why, const json_t *workload, struct claims_task *t)
{
	const json_t *o, *scope;
	int err;

	if (!json_object_get(workload, "task"))
		return 0;
	t->present = true;
	err = member_object(why, workload, "submods.workload.task", &o) ?:
	      member_text_maybe(why, o, "submods.workload.task.id", CLAIMS_TEXT_MAX, &t->id) ?:
	      member_text_maybe(why, o, "submods.workload.task.purpose", CLAIMS_TEXT_MAX, &t->purpose);
	if (!err && json_object_get(o, "expires"))
		err = member_number(why, o, "submods.workload.task.expires", SECONDS_MAX,
				    &t->expires)
			      ?: (t->expires ? 0
					     : member_bad(why, "submods.workload.task.expires"));
	if (err || !json_object_get(o, "scope"))
		return err;
	err = member_array(why, o, "submods.workload.task.scope", CLAIMS_SCOPES_MAX, &scope)
		      ?: (json_array_size(scope) ? 0
						 : member_bad(why, "submods.workload.task.scope"));
	for (size_t i = 0; !err && i < json_array_size(scope); i++) {
		err = member_copy_text(why, json_array_get(scope, i), "submods.workload.task.scope",
				       CLAIMS_TEXT_MAX, &t->scope[i]);
		t->scope_count = i + 1;
	}
	return err;
}

static int take_session(const char **why, const json_t *workload, struct claims_workload *w)
{
	unsigned int origin;
	const json_t *o;
	int err;

	err = member_object(why, workload, "submods.workload.session", &o) ?:
	      member_uuid(why, o, "submods.workload.session.id", &w->session.id) ?:
	      member_number(why, o, "submods.workload.session.started", SECONDS_MAX, &w->session.started) ?:
	      member_word(why, o, "submods.workload.session.origin", claims_origins, &origin) ?:
	      member_bool(why, o, "submods.workload.session.late", &w->session.late);
	if (!err)
		w->session.origin = origin;
	return err;
}

static int take_principal(const char **why, const json_t *workload, struct claims_workload *w)
{
	const json_t *o;

	if (!json_object_get(workload, "principal"))
		return 0;
	return member_object(why, workload, "submods.workload.principal", &o) ?:
	       member_text(why, o, "submods.workload.principal.subject", CLAIMS_TEXT_MAX, &w->principal) ?:
	       member_constant(why, o, "submods.workload.principal.assurance", "asserted");
}

static int take_programs(const char **why, const json_t *workload, struct claims_workload *w)
{
	const json_t *o;

	return member_object(why, workload, "submods.workload.programs", &o) ?:
	       member_number(why, o, "submods.workload.programs.count", INT64_MAX, &w->programs_count) ?:
	       member_bytes(why, o, "submods.workload.programs.root", &w->programs_root, sizeof(w->programs_root)) ?:
	       member_true_maybe(why, o, "submods.workload.programs.cut", &w->programs_cut);
}

static int take_workload(const char **why, const json_t *submods, struct claims *c)
{
	struct claims_workload *w = &c->workload;
	const json_t *o, *process;
	unsigned int isolation;
	int err;

	err = member_object(why, submods, "submods.workload", &o) ?:
	      member_text(why, o, "submods.workload.agent", CLAIMS_TEXT_MAX, &w->agent) ?:
	      take_session(why, o, w) ?:
	      take_task(why, o, &w->task) ?:
	      take_principal(why, o, w) ?:
	      member_object(why, o, "submods.workload.process", &process) ?:
	      take_process(why, process, c, &w->process) ?:
	      take_ancestors(why, o, c, w) ?:
	      take_programs(why, o, w) ?:
	      member_number(why, o, "submods.workload.execs", INT64_MAX, &w->execs) ?:
	      take_indices(why, o, "submods.workload.manifest_roots", c, true, CLAIMS_MANIFESTS_MAX, w->manifests,
			   &w->manifests_count) ?:
	      member_word(why, o, "submods.workload.isolation", claims_isolations, &isolation) ?:
	      member_constant(why, o, "submods.workload.loaded_code", "unknown") ?:
	      member_number(why, o, "submods.workload.lost", INT64_MAX, &w->lost) ?:
	      member_true_maybe(why, o, "submods.workload.folded", &w->folded) ?:
	      member_true_maybe(why, o, "submods.workload.untagged_children", &w->untagged_children);
	if (!err)
		w->isolation = isolation;
	return err;
}

static int take_log(const char **why, const json_t *host, const char *claim, bool *ret)
{
	static const char *const words[] = {"missing", "present", NULL};
	unsigned int word;
	int err = member_word(why, host, claim, words, &word);

	if (!err)
		*ret = word;
	return err;
}

static int take_tpm(const char **why, const json_t *host, struct claims_host *h)
{
	uint8_t firmware[8];
	const json_t *o;
	size_t len;
	int err;

	err = member_object(why, host, "host.tpm", &o) ?:
	      member_text(why, o, "host.tpm.manufacturer", CLAIMS_TEXT_MAX, &h->tpm.manufacturer) ?:
	      member_text(why, o, "host.tpm.vendor", CLAIMS_TEXT_MAX, &h->tpm.vendor) ?:
	      member_hex(why, o, "host.tpm.firmware", firmware, sizeof(firmware), &len) ?:
	      (len == sizeof(firmware) ? 0 : member_bad(why, "host.tpm.firmware")) ?:
	      member_hex(why, o, "host.tpm.ak", h->tpm.ak_name, sizeof(h->tpm.ak_name), &h->tpm.ak_name_len) ?:
	      member_bool(why, o, "host.tpm.enrolled", &h->tpm.enrolled);
	if (err)
		return err;
	for (size_t i = 0; i < sizeof(firmware); i++)
		h->tpm.firmware = h->tpm.firmware << 8 | firmware[i];
	len = h->tpm.ak_name_len;
	return len == 34 || len == 50 || len == 66 ? 0 : member_bad(why, "host.tpm.ak");
}

static int take_host(const char **why, const json_t *o, struct claims_host *h)
{
	unsigned int lockdown, secure_boot;
	size_t len;
	int err;

	err = member_constant(why, o, "host.eat_profile", CLAIMS_HOST_PROFILE) ?:
	      member_hex(why, o, "host.host_id", h->host_id, sizeof(h->host_id), &len) ?:
	      (len == sizeof(h->host_id) ? 0 : member_bad(why, "host.host_id")) ?:
	      member_uuid(why, o, "host.boot_id", &h->boot_id) ?:
	      member_text(why, o, "host.kernel", CLAIMS_TEXT_MAX, &h->kernel) ?:
	      member_text_maybe(why, o, "host.cmdline", CLAIMS_CMDLINE_MAX, &h->cmdline) ?:
	      member_bytes(why, o, "host.cmdline_sha256", &h->cmdline_sha256, sizeof(h->cmdline_sha256)) ?:
	      member_word(why, o, "host.lockdown", claims_lockdowns, &lockdown) ?:
	      member_word(why, o, "host.secure_boot", claims_secure_boots, &secure_boot) ?:
	      take_log(why, o, "host.boot_log", &h->boot_log) ?:
	      take_log(why, o, "host.ima_log", &h->ima_log) ?:
	      take_log(why, o, "host.systemd_log", &h->systemd_log) ?:
	      take_tpm(why, o, h) ?:
	      claims_files_parse(why, o, "host.measurements", true, CLAIMS_HOST_FILES_MAX, h->files, &h->files_count);
	if (err)
		return err;
	h->lockdown = lockdown;
	h->secure_boot = secure_boot;
	return 0;
}

/* Printable ASCII without what JSON or a header would have to escape. */
static bool is_nonce(const char *text)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\')
			return false;
	return len >= CLAIMS_NONCE_MIN && len <= CLAIMS_NONCE_MAX;
}

static int take_cnf(const char **why, const json_t *payload, EVP_PKEY **ret)
{
	const json_t *o, *jwk;
	int err = member_object(why, payload, "cnf", &o) ?: member_object(why, o, "cnf.jwk", &jwk);
	const char *crv;

	if (err)
		return err;
	crv = json_string_value(json_object_get(jwk, "crv"));
	if (!crv || strcmp(crv, "P-256") || json_object_get(jwk, "d"))
		return member_bad(why, "cnf.jwk");
	err = jose_key_of_jwk(jwk, ret);
	return err == -EINVAL ? member_bad(why, "cnf.jwk") : err;
}

/* RFC 9711, section 4.2.7: a version, and the scheme that it follows. */
static int take_version(const char **why, const json_t *payload, char **ret)
{
	const json_t *list = json_object_get(payload, "swversion"),
		     *scheme = json_array_get(list, 1);

	if (json_array_size(list) != 2 || !json_is_integer(scheme) ||
	    json_integer_value(scheme) != CLAIMS_SEMVER)
		return member_bad(why, "swversion");
	return member_copy_text(why, json_array_get(list, 0), "swversion", CLAIMS_TEXT_MAX, ret);
}

static int take_registered(const char **why, const json_t *payload, struct claims *c)
{
	uint8_t thumbprint[SHA256_SIZE];
	unsigned int custody;
	int err;

	err = member_constant(why, payload, "eat_profile", CLAIMS_PROFILE) ?:
	      member_text(why, payload, "eat_nonce", CLAIMS_NONCE_MAX, &c->nonce) ?:
	      (is_nonce(c->nonce) ? 0 : member_bad(why, "eat_nonce")) ?:
	      member_text(why, payload, "aud", CLAIMS_AUDIENCE_MAX, &c->audience) ?:
	      member_bytes(why, payload, "ueid", c->ueid, sizeof(c->ueid)) ?:
	      (c->ueid[0] == 1 ? 0 : member_bad(why, "ueid")) ?:		/* RFC 9711, section 4.2.1.1: RAND */
	      member_number(why, payload, "iat", SECONDS_MAX, &c->iat) ?:
	      member_number(why, payload, "exp", SECONDS_MAX, &c->exp) ?:
	      (c->exp > c->iat ? 0 : member_bad(why, "exp")) ?:
	      member_uuid(why, payload, "jti", &c->jti) ?:
	      member_text(why, payload, "sub", CLAIMS_SUBJECT_MAX, &c->sub) ?:
	      (strncmp(c->sub, "spiffe://", 9) ? member_bad(why, "sub") : 0) ?:
	      member_bytes(why, payload, "kid", thumbprint, sizeof(thumbprint)) ?:
	      take_cnf(why, payload, &c->cnf) ?:
	      member_word(why, payload, "key_custody", claims_custodies, &custody) ?:
	      member_constant(why, payload, "swname", "affiantd") ?:
	      take_version(why, payload, &c->version);
	if (err)
		return err;
	base64url_encode(thumbprint, sizeof(thumbprint), c->kid);
	c->custody = custody;
	return 0;
}

/*
 * A detached submodule (RFC 9711, section 4.2.18.1.2): the host claims come by themselves, once per
 * boot.
 */
static int take_host_digest(const char **why, const json_t *submods, struct sha256 *ret)
{
	const json_t *selector = json_object_get(submods, "host"),
		     *digest = json_array_get(selector, 1);
	const char *type = json_string_value(json_array_get(selector, 0));
	const char *algorithm = json_string_value(json_array_get(digest, 0));
	const json_t *value = json_array_get(digest, 1);

	if (json_array_size(selector) != 2 || !type || strcmp(type, "DIGEST") ||
	    json_array_size(digest) != 2 || !algorithm || strcmp(algorithm, CLAIMS_COSE_SHA256) ||
	    !json_is_string(value) ||
	    base64url_decode_exact(json_string_value(value), json_string_length(value), ret,
				   sizeof(*ret)))
		return member_bad(why, "submods.host");
	return 0;
}

static int take_issuer(const char **why, const json_t *payload, struct claims *c)
{
	const json_t *value = json_object_get(payload, "iss");
	const char *text = json_string_value(value);
	const size_t prefix = strlen(CLAIMS_ISSUER);
	size_t len;

	if (!text || json_string_length(value) != prefix + 2 * sizeof(c->host_id) ||
	    strncmp(text, CLAIMS_ISSUER, prefix) ||
	    hex_decode(text + prefix, 2 * sizeof(c->host_id), c->host_id, sizeof(c->host_id), &len))
		return member_bad(why, "iss");
	return 0;
}

/* What one claim says about another. */
static int check_together(const char **why, const struct claims *c)
{
	return c->workload.task.expires && c->exp > c->workload.task.expires
		       ? member_bad(why, "exp")
		       : 0;
}

int claims_parse(const json_t *payload, struct claims *ret, const char **ret_why)
{
	const char *why = "memory";
	const json_t *submods;
	int err;

	memset(ret, 0, sizeof(*ret));
	err = take_registered(&why, payload, ret) ?:
	      claims_files_parse(&why, payload, "measurements", false, CLAIMS_FILES_MAX, ret->files, &ret->files_count) ?:
	      member_object(&why, payload, "submods", &submods) ?:
	      take_workload(&why, submods, ret) ?:
	      take_host_digest(&why, submods, &ret->host) ?:
	      take_issuer(&why, payload, ret) ?:
	      check_together(&why, ret);
	if (!err)
		return 0;
	claims_clear(ret);
	*ret_why = why;
	return err;
}

int claims_host_parse(const json_t *o, struct claims_host *ret, const char **ret_why)
{
	const char *why = "memory";
	int err;

	memset(ret, 0, sizeof(*ret));
	err = json_is_object(o) ? take_host(&why, o, ret) : member_bad(&why, "host");
	if (!err)
		return 0;
	claims_host_clear(ret);
	*ret_why = why;
	return err;
}
