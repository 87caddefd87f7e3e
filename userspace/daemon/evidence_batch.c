/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/evidence_impl.h"

#include "attest/batch.h"
#include "attest/claims.h"
#include "attest/cmw.h"
#include "attest/ossl.h"
#include "base/buffer.h"
#include "base/log.h"
#include "base/pb.h"
#include "collect/loss.h"
#include "daemon/attester.h"
#include "daemon/workload.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

/* ---- claims ---- */

static int set_request(struct evidence *e, const struct asker *a, struct claims *c)
{
	const Affiant__V1__Task *task = a->actor->session->head->task;
	uint64_t now = core_boottime_ns() + e->core->clock.offset_ns;

	c->iat = now / CORE_SECOND_NS;
	c->exp = (now + e->core->config->evidence.lifetime_ns) / CORE_SECOND_NS;
	if (task && task->has_expires_wall_ns && c->exp > task->expires_wall_ns / CORE_SECOND_NS)
		c->exp = task->expires_wall_ns / CORE_SECOND_NS;
	c->nonce = strdup(a->nonce);
	c->audience = strdup(a->audience);
	c->custody = a->own_key ? CLAIMS_OF_PROCESS : CLAIMS_OF_DAEMON;
	c->cnf = EVP_PKEY_up_ref(a->cnf) ? a->cnf : NULL;
	for (size_t i = 0; i < LOSS_ALL; i++)
		c->workload.lost += e->core->attribute->losses[i] + e->core->attribute->dropped[i];
	return c->nonce && c->audience && c->cnf ? uuid7_new(now, &c->jti) : -ENOMEM;
}

/* As it stands in the claims, for the one who asked. */
static int keep_jwk(struct asker *a, const json_t *claims)
{
	a->jwk = json_dumps(json_object_get(json_object_get(claims, "cnf"), "jwk"), JSON_COMPACT);
	return a->jwk ? 0 : -ENOMEM;
}

static int make_claims(struct evidence *e, struct asker *a, struct claims *c, const char **ret_why)
{
	_cleanup_json_ json_t *json = NULL;

	return workload_claims(a->actor, e->core->clock.offset_ns, c) ?:
	       attester_claims(e->attester, c) ?:
	       set_request(e, a, c) ?:
	       claims_fit(c, CLAIMS_MAX, &json, ret_why) ?:
	       keep_jwk(a, json) ?:
	       attester_signing_input(e->attester, json, &a->signing_input) ?:
	       batch_leaf(BATCH_EVIDENCE, a->signing_input, strlen(a->signing_input), &a->leaf);
}

bool evidence_claim(struct evidence *e, struct asker *a, struct refusal *ret)
{
	struct claims *c = calloc(1, sizeof(*c));
	const char *why = NULL;
	int err = c ? make_claims(e, a, c, &why) : -ENOMEM;

	if (c)
		claims_clear(c);
	free(c);
	if (!err)
		return true;
	ret->code = "unavailable";
	snprintf(ret->text, sizeof(ret->text), "its claims can't be told: %s%s%s", why ?: "",
		 why ? ": " : "", strerror(-err));
	return false;
}

/* ---- a batch ---- */

struct quoted_batch {
	struct evidence *evidence;
	struct sha256 *leaves;
	size_t count;
	struct batch *tree;
	struct buffer shared; /* the members that all of them have: quote, signature, PCRs */
	struct buffer host;   /* as the last one asked for it: */
	uint64_t host_from;
};

static void quoted_batch_free(struct quoted_batch *b)
{
	if (!b)
		return;
	batch_free(b->tree);
	buffer_done(&b->shared);
	buffer_done(&b->host);
	free(b->leaves);
	free(b);
}

/* The values that were quoted, one after another. */
static size_t put_pcrs(const struct tpm_quoted *q, uint8_t ret[static TPM_PCRS * TPM_PCR_SIZE])
{
	size_t len = 0;

	for (unsigned int i = 0; i < TPM_PCRS; i++) {
		if (!(q->pcrs & 1u << i))
			continue;
		memcpy(ret + len, q->values[i], TPM_PCR_SIZE);
		len += TPM_PCR_SIZE;
	}
	return len;
}

static int share(struct quoted_batch *b, const struct tpm_quoted *q)
{
	uint8_t pcrs[TPM_PCRS * TPM_PCR_SIZE];

	cmw_put(&b->shared, "quote", CMW_TPMS_ATTEST, q->attest, q->attest_len);
	cmw_put(&b->shared, "signature", CMW_TPMT_SIGNATURE, q->signature, q->signature_len);
	cmw_put(&b->shared, "pcrs", CMW_PCRS, pcrs, put_pcrs(q, pcrs));
	return buffer_error(&b->shared);
}

/* The logs are read once for all who ask for them from the same entry on: they can be long. */
static int read_host(struct evidence *e, struct quoted_batch *b, uint64_t from)
{
	_cleanup_json_ json_t *host = NULL;
	_cleanup_free_ char *text = NULL;
	int err;

	if (b->host.len && b->host_from == from)
		return 0;
	err = attester_host(e->attester, from, &host);
	if (err)
		return err;
	text = json_dumps(host, JSON_COMPACT);
	if (!text)
		return -ENOMEM;
	buffer_clear(&b->host);
	buffer_add_text(&b->host, ",\"host\":");
	buffer_add_text(&b->host, text);
	b->host_from = from;
	return buffer_error(&b->host);
}

/* The collection. */
static int wrap(struct evidence *e, const struct asker *a, struct quoted_batch *b, size_t index,
		struct buffer *text)
{
	uint8_t path[BATCH_PATH_SIZE_MAX];
	size_t path_len;
	int err;

	if (!a->jws)
		return -ENOMEM;
	path_len = batch_path(b->tree, index, path);
	cmw_begin(text, CMW_TYPE_EVIDENCE);
	cmw_put(text, "eat", CMW_EAT, a->jws, strlen(a->jws));
	buffer_add(text, b->shared.data, b->shared.len);
	cmw_put(text, "path", CMW_PATH, path, path_len);
	err = a->host ? read_host(e, b, a->ima_from) : 0;
	if (a->host)
		buffer_add(text, b->host.data, b->host.len);
	buffer_add_char(text, '}');
	return err ?: buffer_error(text);
}

static int answer(struct evidence *e, struct asker *a, struct quoted_batch *b, size_t index)
{
	Affiant__V1__Response response = AFFIANT__V1__RESPONSE__INIT;
	Affiant__V1__Evidence evidence = AFFIANT__V1__EVIDENCE__INIT;
	_cleanup_buffer_ struct buffer text = {0};
	int err = wrap(e, a, b, index, &text);

	if (err)
		return err;
	SET(&evidence, cmw, pb_bytes(text.data, text.len));
	SET(&evidence, cnf, pb_bytes(a->jwk, strlen(a->jwk)));
	response.answer_case = AFFIANT__V1__RESPONSE__ANSWER_EVIDENCE;
	response.evidence = &evidence;
	server_answer(a->call, &response);
	asker_free(a);
	e->given++;
	return 0;
}

static const char *quote_error(struct evidence *e, int err, char *text, size_t size)
{
	struct tpm_status status;

	tpm_worker_status(attester_tpm(e->attester), &status);
	if (err == -ETIMEDOUT)
		snprintf(text, size, "the TPM did not answer in time");
	else if (err == -ESTALE)
		snprintf(text, size, "PCRs are extended faster than they can be read: try again");
	else
		snprintf(text, size, "the TPM gave no quote: %.200s",
			 *status.error ? status.error : strerror(-err));
	return text;
}

/* Step 5 of the sequence: all that was found before the quote must still hold after it. The server
 * looks once more whether it is that process, and tells another one nothing. */
static void finish(struct evidence *e, struct asker *a, struct quoted_batch *b, size_t index,
		   int quoted)
{
	struct refusal r = {.code = "no_tpm"};
	int err;

	if (quoted) {
		quote_error(e, quoted, r.text, sizeof(r.text));
		evidence_refuse(e, a, &r);
		return;
	}
	if (!asker_lives(a)) {
		r.code = "unavailable";
		snprintf(r.text, sizeof(r.text), "process %d is gone, or executes something else",
			 a->pid);
		evidence_refuse(e, a, &r);
		return;
	}
	if (!asker_entitled(a, &r) || !asker_look(a, &r)) {
		evidence_refuse(e, a, &r);
		return;
	}
	err = answer(e, a, b, index);
	if (!err)
		return;
	r.code = err == -ERANGE ? "bad_request" : "unavailable";
	snprintf(r.text, sizeof(r.text), "%s",
		 err == -ERANGE ? "the IMA log has not so many entries (ima_from)"
				: strerror(-err));
	evidence_refuse(e, a, &r);
}

static void on_quoted(void *data, int err, const struct tpm_quoted *q)
{
	struct quoted_batch *b = data;
	struct evidence *e = b->evidence;
	struct asker *list = e->batch, *a, *next;
	size_t index = 0;

	core_drain(e->core); /* an end of the session that happened meanwhile */
	e->batch = NULL;
	e->batch_count = 0;
	e->quoting = NULL;
	err = err ?: share(b, q);
	DL_FOREACH_SAFE (list, a, next) {
		DL_DELETE(list, a);
		finish(e, a, b, index++, err);
	}
	quoted_batch_free(b);
}

/* Everybody who is ready, in the order in which they asked. */
static struct quoted_batch *gather(struct evidence *e)
{
	struct quoted_batch *b = calloc(1, sizeof(*b));
	struct asker *a, *next;

	if (b)
		b->leaves = reallocarray(NULL, e->waiting_count ?: 1, sizeof(*b->leaves));
	if (!b || !b->leaves) {
		free(b);
		return NULL;
	}
	b->evidence = e;
	DL_FOREACH_SAFE (e->waiting, a, next) {
		if (!evidence_ready(e, a) || b->count == BATCH_MAX)
			continue;
		evidence_take_out(e, a);
		b->leaves[b->count++] = a->leaf;
		DL_APPEND(e->batch, a);
	}
	e->batch_count = b->count;
	return b;
}

static void sign(struct evidence *e, struct asker *a)
{
	if (!a->jws && attester_sign(e->attester, a->signing_input, &a->jws))
		a->jws = NULL;
}

void evidence_sign_ready(struct evidence *e)
{
	struct asker *a;

	DL_FOREACH (e->waiting, a)
		if (evidence_ready(e, a))
			sign(e, a);
}

static int quote(struct evidence *e, struct quoted_batch *b)
{
	struct sha256 extra;
	int err;

	err = batch_new(b->leaves, b->count, &b->tree)
		      ?: batch_extra(BATCH_EVIDENCE, b->count, batch_root(b->tree), &extra);
	return err ?: tpm_worker_quote(attester_tpm(e->attester), extra.bytes, on_quoted, b);
}

void evidence_quote(struct evidence *e)
{
	struct quoted_batch *b;
	struct asker *a;
	int err;

	b = gather(e);
	if (!b)
		return;
	if (!b->count) {
		quoted_batch_free(b);
		return;
	}
	e->batches++;
	e->quoting = b;
	err = quote(e, b);
	if (err)
		on_quoted(b, err, NULL);
	else
		DL_FOREACH (e->batch, a) /* while the TPM is at work */
			sign(e, a);
}

void evidence_forget_quote(struct evidence *e)
{
	quoted_batch_free(e->quoting);
	e->quoting = NULL;
}
