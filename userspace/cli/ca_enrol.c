/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "attest/authority.h"
#include "attest/enrol.h"
#include "attest/jose.h"
#include "attest/ossl.h"
#include "base/base64url.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/ca.h"
#include "cli/filing.h"

#define INIT_DAYS 3650
#define ISSUE_DAYS 365

DEFINE_CLEANUP(struct certificate_store *, certificate_store_free)
DEFINE_CLEANUP(STACK_OF(X509) *, certificate_chain_free)
#define _cleanup_pending_ _cleanup_(enrol_pending_clear)
#define _cleanup_authority_ _cleanup_(authority_clear)

static int fail(const char *what, int err)
{
	log_error("%s: %s", what, strerror(-err));
	return EXIT_FAILURE;
}

static char *path_in(const struct ca_options *o, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", o->dir, name) < 0 ? NULL : path;
}

/* Made if it is missing. */
static int make_dir(const char *path)
{
	if (!mkdir(path, 0700) || errno == EEXIST)
		return 0;
	log_error("%s: %s", path, strerror(errno));
	return -errno;
}

/* The key first: a certificate without one would be in the way of another attempt. */
int ca_init(const struct ca_options *o)
{
	_cleanup_free_ char *certificate_path = path_in(o, "ca.pem"),
			    *key_path = path_in(o, "ca.key");
	_cleanup_buffer_ struct buffer certificate = {}, key = {};
	_cleanup_authority_ struct authority a = {};
	int err;

	err = certificate_path && key_path
		      ? authority_new(o->curve, o->name, time(NULL), o->days ?: INIT_DAYS, &a)
		      : -ENOMEM;
	err = err ?: authority_pem(&a, &certificate, &key);
	if (err)
		return fail(o->dir, err);
	if (make_dir(o->dir) || filing_check_directory(o->dir) ||
	    filing_write(key_path, 0600, false, key.data, key.len))
		return EXIT_FAILURE;
	if (filing_write(certificate_path, 0644, false, certificate.data, certificate.len)) {
		unlink(key_path);
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

static int load_authority(const struct ca_options *o, struct authority *ret)
{
	_cleanup_free_ char *certificate_path = path_in(o, "ca.pem"),
			    *key_path = path_in(o, "ca.key");
	_cleanup_buffer_ struct buffer certificate = {}, key = {};
	int err;

	if (!certificate_path || !key_path)
		return -ENOMEM;
	err = filing_read_trusted(certificate_path, CERTIFICATE_PEM_MAX, &certificate)
		      ?: filing_read_trusted(key_path, CERTIFICATE_PEM_MAX, &key);
	if (err)
		return err;
	err = authority_load(certificate.data, certificate.len, key.data, key.len, ret);
	if (err)
		log_error("%s: ca.pem and ca.key are no authority's certificate and its key",
			  o->dir);
	return err;
}

static int load_store(const struct ca_options *o, struct certificate_store **ret)
{
	_cleanup_(certificate_store_freep) struct certificate_store *s = NULL;
	int err = certificate_store_new(&s);

	for (unsigned int i = 0; !err && i < o->trust_count; i++) {
		_cleanup_buffer_ struct buffer pem = {};

		err = filing_read_trusted(o->trust[i], CERTIFICATE_PEM_MAX, &pem);
		if (err)
			return err;
		err = certificate_store_add(s, pem.data, pem.len, false);
		if (err)
			log_error("%s: not one to %d certificates in PEM", o->trust[i],
				  CERTIFICATE_CHAIN_MAX);
	}
	if (!err)
		*ret = TAKE_PTR(s);
	return err;
}

/* Requests and answers come from whoever wants a certificate; the authority's own are @trusted. */
static int load_json(const char *path, bool trusted, json_t **ret)
{
	_cleanup_buffer_ struct buffer text = {};
	int err = trusted ? filing_read_trusted(path, ENROL_FILE_MAX, &text)
			  : filing_read(path, ENROL_FILE_MAX, &text);

	if (err)
		return err;
	err = jose_json(text.data, text.len, ENROL_DEPTH_MAX, ret);
	if (err)
		log_error("%s: not JSON, or nested too deeply, or with a member twice", path);
	return err;
}

static int write_json(const char *path, mode_t mode, const json_t *o)
{
	_cleanup_free_ char *text = o ? json_dumps(o, JSON_INDENT(1)) : NULL;
	_cleanup_buffer_ struct buffer b = {};

	if (!text)
		return fail(path, -ENOMEM);
	buffer_add_text(&b, text);
	buffer_add_char(&b, '\n');
	return buffer_error(&b) ? fail(path, -ENOMEM)
				: filing_write(path, mode, true, b.data, b.len);
}

/* Where a challenge for that AK waits for its answer; there is one at most. */
static char *pending_path(const struct ca_options *o, const struct tpm2_bytes *ak_name)
{
	char hex[2 * TPM2_NAME_MAX + 1];
	char *path;

	hex_encode(ak_name->data, ak_name->len, hex);
	return asprintf(&path, "%s/pending/%s.json", o->dir, hex) < 0 ? NULL : path;
}

/* Texts of a certificate are whatever its issuer let into it. */
static void say_tpm(const struct enrol_checked *c, const struct enrol_request *r)
{
	char ueid[BASE64URL_LEN(CLAIMS_UEID_SIZE) + 1], host[2 * sizeof(r->host_id) + 1];
	_cleanup_buffer_ struct buffer tpm = {};

	base64url_encode(c->ueid, sizeof(c->ueid), ueid);
	hex_encode(r->host_id, sizeof(r->host_id), host);
	if (*c->tpm.manufacturer || *c->tpm.model) {
		buffer_add_text(&tpm, ", TPM: ");
		text_printable(&tpm, c->tpm.manufacturer, strlen(c->tpm.manufacturer), TEXT_ASCII);
		buffer_add_char(&tpm, ' ');
		text_printable(&tpm, c->tpm.model, strlen(c->tpm.model), TEXT_ASCII);
	}
	log_notice("host %s, ueid %s%.*s%s", host, ueid, (int)tpm.len, tpm.data ?: "",
		   c->tpm.software ? " (a program)" : "");
}

static int check_request(const struct ca_options *o, const struct enrol_request *r,
			 struct enrol_checked *ret)
{
	_cleanup_(certificate_store_freep) struct certificate_store *store = NULL;
	char ueid[BASE64URL_LEN(CLAIMS_UEID_SIZE) + 1];
	const char *why = "no memory";

	if (!o->ueid && load_store(o, &store))
		return -EINVAL;
	if (enrol_check_request(r, store, time(NULL), ret, &why)) {
		log_error("refused: %s", why);
		return -EBADMSG;
	}
	base64url_encode(ret->ueid, sizeof(ret->ueid), ueid);
	if (o->ueid && strcmp(o->ueid, ueid)) {
		log_error("refused: the request's ueid is %s", ueid);
		return -EBADMSG;
	}
	if (ret->tpm.software && !o->software) {
		log_error("refused: this TPM is a program, whose keys its host's root can read; "
			  "--allow-software-tpm takes it all the same");
		return -EBADMSG;
	}
	return 0;
}

/*
 * Those that nobody answered in time: each holds a key. What can't be read is left for a person to
 * see.
 */
static void sweep_pending(const char *dir)
{
	_cleanup_closedir_ DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		_cleanup_pending_ struct enrol_pending p = {};
		_cleanup_json_ json_t *json = NULL;
		_cleanup_free_ char *path = NULL;
		const char *why;

		if (e->d_name[0] == '.' || asprintf(&path, "%s/%s", dir, e->d_name) < 0 ||
		    load_json(path, false, &json))
			continue;
		if (!enrol_pending_parse(json, &p, &why) && p.expires <= (uint64_t)time(NULL))
			unlink(path);
	}
}

int ca_challenge(const struct ca_options *o, const char *request)
{
	_cleanup_json_ json_t *json = NULL, *pending_json = NULL, *challenge_json = NULL;
	_cleanup_free_ char *path = NULL, *dir = path_in(o, "pending");
	_cleanup_pending_ struct enrol_pending p = {};
	struct enrol_challenge challenge;
	const char *why = "no memory";
	struct enrol_checked c;
	int err;

	if (load_json(request, false, &json))
		return EXIT_FAILURE;
	if (enrol_request_parse(json, &p.request, &why)) {
		log_error("%s: no enrolment request: %s", request, why);
		return EXIT_FAILURE;
	}
	if (check_request(o, &p.request, &c))
		return EXIT_FAILURE;
	err = enrol_challenge_make(&c, p.key, &challenge);
	if (err)
		return fail("no credential can be made for this EK", err);
	p.expires = time(NULL) + o->expires;
	path = pending_path(o, &c.ak_name);
	pending_json = enrol_pending_json(&p);
	challenge_json = enrol_challenge_json(&challenge);
	/* Who writes there chooses what answer is right. */
	if (!path || !dir || make_dir(dir) || filing_check_directory(dir))
		return EXIT_FAILURE;
	sweep_pending(dir);
	if (write_json(path, 0600, pending_json) || write_json(o->out, 0644, challenge_json))
		return EXIT_FAILURE;
	say_tpm(&c, &p.request);
	return EXIT_SUCCESS;
}

/* @path is gone afterwards: what is used is not used again, whoever else is at it. */
static int use_pending(const char *path, const struct enrol_answer *a, struct enrol_pending *ret)
{
	_cleanup_json_ json_t *json = NULL;
	const char *why = "no memory";

	if (access(path, F_OK) && errno == ENOENT) {
		log_error("refused: no challenge waits for this answer");
		return -ENOENT;
	}
	if (load_json(path, true, &json))
		return -EBADMSG;
	if (enrol_pending_parse(json, ret, &why)) {
		log_error("%s: damaged: %s", path, why);
		return -EBADMSG;
	}
	if (enrol_check_answer(ret, a, time(NULL), &why)) {
		log_error("refused: %s", why);
		return -EBADMSG;
	}
	if (unlink(path)) {
		log_error("refused: the challenge was answered already");
		return -errno;
	}
	return 0;
}

static int write_chain(const struct ca_options *o, X509 *certificate, const struct authority *a)
{
	_cleanup_(certificate_chain_freep) STACK_OF(X509) *chain = certificate_chain_new();
	_cleanup_buffer_ struct buffer pem = {};
	X509 *const list[] = {certificate, a->certificate};

	for (size_t i = 0; i < 2; i++) {
		if (!chain || X509_up_ref(list[i]) != 1)
			return fail(o->out, -ENOMEM);
		if (!sk_X509_push(chain, list[i])) {
			X509_free(list[i]);
			return fail(o->out, -ENOMEM);
		}
	}
	if (certificate_chain_pem(chain, &pem))
		return fail(o->out, -ENOMEM);
	return filing_write(o->out, 0644, true, pem.data, pem.len) ? EXIT_FAILURE : EXIT_SUCCESS;
}

int ca_issue(const struct ca_options *o, const char *answer)
{
	_cleanup_authority_ struct authority authority = {};
	_cleanup_pending_ struct enrol_pending p = {};
	_cleanup_(X509_freep) X509 *certificate = NULL;
	_cleanup_json_ json_t *json = NULL;
	_cleanup_free_ char *path = NULL;
	const char *why = "no memory";
	struct enrol_answer a;
	struct enrol_checked c;
	int err;

	if (load_authority(o, &authority) || load_json(answer, false, &json))
		return EXIT_FAILURE;
	if (enrol_answer_parse(json, &a, &why)) {
		log_error("%s: no answer to a challenge: %s", answer, why);
		return EXIT_FAILURE;
	}
	path = pending_path(o, &a.ak_name);
	if (!path || use_pending(path, &a, &p))
		return EXIT_FAILURE;
	/* The certificates were checked for the challenge. */
	if (enrol_check_request(&p.request, NULL, time(NULL), &c, &why)) {
		log_error("refused: %s", why);
		return EXIT_FAILURE;
	}
	err = authority_issue(&authority, &c.ak, c.ueid, time(NULL), o->days ?: ISSUE_DAYS,
			      &certificate);
	if (err)
		return fail("the authority's own certificate is not valid now", err);
	say_tpm(&c, &p.request);
	return write_chain(o, certificate, &authority);
}
