/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/request.h"

#include <errno.h>
#include <string.h>

#include "base/bounds.h"
#include "base/text.h"
#include "daemon/config.h"
#include "daemon/server.h"

/*
 * What may stand in a record's string field and on a line: UTF-8 without control characters (C0,
 * DEL, C1).
 */
static bool clean(const char *text, size_t max)
{
	const uint8_t *at = (const uint8_t *)text;
	size_t left = text ? strlen(text) : 0, step;
	uint32_t c;

	if (left > max)
		return false;
	for (; left; at += step, left -= step) {
		step = utf8_decode(at, left, &c);
		if (!step || c < 0x20 || (c >= 0x7f && c < 0xa0))
			return false;
	}
	return true;
}

/* There and empty is not the same as absent: evidence could not say which it is. */
static bool named(const char *text, size_t *sum)
{
	*sum += text ? strlen(text) : 0;
	return !text || (*text && clean(text, TASK_TEXT_MAX));
}

static const char *check_task(const Affiant__V1__Task *t, size_t *sum)
{
	if (!named(t->id, sum))
		return "task id: 1 to 1024 bytes of UTF-8 without control characters are needed";
	if (!named(t->purpose, sum))
		return "purpose: 1 to 1024 bytes of UTF-8 without control characters are needed";
	if (t->n_scope > TASK_SCOPES_MAX)
		return "scope: more than 64";
	for (size_t i = 0; i < t->n_scope; i++)
		if (!named(t->scope[i], sum))
			return "scope: 1 to 1024 bytes of UTF-8 without control characters are "
			       "needed";
	return NULL;
}

static const char *check_open(const Affiant__V1__OpenSession *o, size_t fds_count)
{
	size_t sum = 0;
	const char *why = o->task ? check_task(o->task, &sum) : NULL;

	if (why)
		return why;
	if (!o->agent || !config_name_valid(o->agent))
		return "agent: a name of letters, digits, '.', '-' and '_' is needed, and not "
		       "'unknown'";
	if (!named(o->principal, &sum))
		return "principal: 1 to 1024 bytes of UTF-8 without control characters are needed";
	if (sum > TASK_TEXTS_MAX)
		return "task and principal: more than 8192 bytes in all";
	if (o->has_isolation && o->isolation != AFFIANT__V1__ISOLATION__ISOLATION_NONE &&
	    o->isolation != AFFIANT__V1__ISOLATION__ISOLATION_LANDLOCK)
		return "isolation: a launcher can say none or landlock";
	if (o->n_measure > SERVER_MEASURES_MAX)
		return "measure: more than 64 paths";
	for (size_t i = 0; i < o->n_measure; i++)
		if (!o->measure[i].len || o->measure[i].len > REQUEST_PATH_MAX ||
		    memchr(o->measure[i].data, '\0', o->measure[i].len))
			return "measure: a path is empty, longer than 4096 bytes, or holds a NUL";
	if (fds_count != o->n_measure + (o->has_target_is_pidfd && o->target_is_pidfd))
		return "not as many descriptors as the request speaks of";
	return NULL;
}

/*
 * It is told in JSON as it is, and compared byte by byte: nothing that an encoder could write in
 * two ways.
 */
static bool nonce_plain(const char *nonce)
{
	size_t len = nonce ? strlen(nonce) : 0;

	for (size_t i = 0; i < len; i++)
		if (nonce[i] <= ' ' || nonce[i] > '~' || nonce[i] == '"' || nonce[i] == '\\')
			return false;
	return len >= REQUEST_NONCE_MIN && len <= REQUEST_NONCE_MAX;
}

/* What a library of JOSE would otherwise be trusted with: there, clean and bounded. */
static bool given(const char *text, size_t max)
{
	return text && *text && clean(text, max);
}

static const char *check_evidence(const Affiant__V1__GetEvidence *g)
{
	if (!nonce_plain(g->nonce))
		return "nonce: 8 to 88 characters of ASCII are needed, without spaces, '\"' and "
		       "'\\'";
	if (!given(g->audience, REQUEST_AUDIENCE_MAX))
		return "audience: 1 to 512 bytes of UTF-8 without control characters are needed";
	if (g->has_cnf && (!g->cnf.len || g->cnf.len > REQUEST_JWK_MAX))
		return "cnf: a JWK of at most 1024 bytes";
	if (g->has_cnf != g->has_cnf_signature ||
	    (g->has_cnf && g->cnf_signature.len != REQUEST_SIGNATURE_SIZE))
		return "cnf_signature: 64 bytes go with cnf";
	return NULL;
}

static const char *check_proof(const Affiant__V1__SignProof *s)
{
	switch (s->proof_case) {
	case AFFIANT__V1__SIGN_PROOF__PROOF_DPOP:
		return given(s->dpop->htm, REQUEST_WORD_MAX) &&
				       given(s->dpop->htu, REQUEST_URL_MAX) &&
				       clean(s->dpop->nonce, REQUEST_WORD_MAX) &&
				       clean(s->dpop->access_token, REQUEST_TOKEN_MAX)
			       ? NULL
			       : "dpop: htm and htu are needed; too long, or control characters";
	case AFFIANT__V1__SIGN_PROOF__PROOF_WPT:
		return given(s->wpt->aud, REQUEST_AUDIENCE_MAX) &&
				       given(s->wpt->wit, REQUEST_TOKEN_MAX) &&
				       clean(s->wpt->access_token, REQUEST_TOKEN_MAX)
			       ? NULL
			       : "wpt: aud and wit are needed; too long, or control characters";
	default:
		return "a proof is dpop or wpt";
	}
}

static const char *check_activation(const Affiant__V1__ActivateCredential *a)
{
	return a->has_credential && a->credential.len &&
			       a->credential.len <= REQUEST_CREDENTIAL_MAX && a->has_secret &&
			       a->secret.len && a->secret.len <= REQUEST_CREDENTIAL_MAX
		       ? NULL
		       : "credential and secret are needed, at most 1024 bytes each";
}

static const char *check_certificate(const Affiant__V1__InstallCertificate *i)
{
	return i->has_chain && i->chain.len && i->chain.len <= REQUEST_CHAIN_MAX
		       ? NULL
		       : "chain: 1 to 32768 bytes of PEM are needed";
}

static const char *check(const Affiant__V1__Request *r, size_t fds_count)
{
	if (!r->has_challenge || r->challenge.len != REQUEST_CHALLENGE_SIZE)
		return "a challenge of 32 bytes is needed";
	if (r->call_case == AFFIANT__V1__REQUEST__CALL_OPEN_SESSION)
		return check_open(r->open_session, fds_count);
	if (fds_count)
		return "descriptors come with OpenSession only";

	switch (r->call_case) {
	case AFFIANT__V1__REQUEST__CALL_END_SESSION:
		return r->end_session->has_session && r->end_session->session.len == 16
			       ? NULL
			       : "session: 16 bytes are needed";
	case AFFIANT__V1__REQUEST__CALL_MATCH:
		return r->match->has_pid && r->match->pid > 0 && r->match->pid <= INT32_MAX
			       ? NULL
			       : "pid: a positive number is needed";
	case AFFIANT__V1__REQUEST__CALL_GET_EVIDENCE:
		return check_evidence(r->get_evidence);
	case AFFIANT__V1__REQUEST__CALL_SIGN_PROOF:
		return check_proof(r->sign_proof);
	case AFFIANT__V1__REQUEST__CALL_ACTIVATE_CREDENTIAL:
		return check_activation(r->activate_credential);
	case AFFIANT__V1__REQUEST__CALL_INSTALL_CERTIFICATE:
		return check_certificate(r->install_certificate);
	case AFFIANT__V1__REQUEST__CALL_GET_ENROLMENT:
	case AFFIANT__V1__REQUEST__CALL_LIST_SESSIONS:
	case AFFIANT__V1__REQUEST__CALL_GET_STATUS:
	case AFFIANT__V1__REQUEST__CALL_READ_SEGMENTS:
		return NULL;
	default:
		return "no call that this version knows";
	}
}

int request_decode(const void *data, size_t len, size_t fds_count, Affiant__V1__Request **ret,
		   const char **ret_why)
{
	Affiant__V1__Request *r;
	const char *why;

	r = affiant__v1__request__unpack(NULL, len, data);
	if (!r) {
		*ret_why = "not a request of affiant.v1";
		return -EBADMSG;
	}
	why = check(r, fds_count);
	if (why) {
		affiant__v1__request__free_unpacked(r, NULL);
		*ret_why = why;
		return -EBADMSG;
	}
	*ret = r;
	return 0;
}
