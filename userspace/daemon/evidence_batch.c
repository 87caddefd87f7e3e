/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/evidence_impl.h"

#include "attest/batch.h"
#include "attest/claims.h"
#include "attest/cmw.h"
#include "attest/ossl.h"
#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/pb.h"
#include "collect/loss.h"
#include "daemon/attester.h"
#include "daemon/handout.h"
#include "daemon/tokens.h"
#include "daemon/turn.h"
#include "daemon/workload.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

/* So much of the host's logs costs a token more. */
#define EVIDENCE_BYTES_PER_TOKEN (4u << 20)
#define LOOKS 3

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
	int err;              /* of the quote */
};

static void quoted_batch_free(struct quoted_batch *b)
{
	if (!b)
		return;
	batch_free(b->tree);
	buffer_done(&b->shared);
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

static int sign(struct evidence *e, struct asker *a)
{
	return a->jws ? 0 : attester_sign(e->attester, a->signing_input, &a->jws);
}

/* The collection, but for the host's and the brace that ends it. */
static int wrap(struct evidence *e, struct asker *a, struct quoted_batch *b, struct buffer *text)
{
	uint8_t path[BATCH_PATH_SIZE_MAX];
	size_t path_len;
	int err = sign(e, a);

	if (err)
		return err;
	path_len = batch_path(b->tree, a->index, path);
	cmw_begin(text, CMW_TYPE_EVIDENCE);
	cmw_put(text, "eat", CMW_EAT, a->jws, strlen(a->jws));
	buffer_add(text, b->shared.data, b->shared.len);
	cmw_put(text, "path", CMW_PATH, path, path_len);
	return buffer_error(text);
}

/* In a packet, or, with @fd, through a pipe of @size bytes. */
static void give(struct evidence *e, struct asker *a, const struct buffer *text, int fd,
		 uint64_t size)
{
	Affiant__V1__Response response = AFFIANT__V1__RESPONSE__INIT;
	Affiant__V1__Evidence evidence = AFFIANT__V1__EVIDENCE__INIT;

	if (text)
		SET(&evidence, cmw, pb_bytes(text->data, text->len));
	else
		SET(&evidence, piped, size);
	SET(&evidence, cnf, pb_bytes(a->jwk, strlen(a->jwk)));
	response.answer_case = AFFIANT__V1__RESPONSE__ANSWER_EVIDENCE;
	response.evidence = &evidence;
	if (text)
		server_answer(a->call, &response);
	else
		server_answer_fd(a->call, &response, fd);
	asker_free(a);
	e->given++;
}

static int answer(struct evidence *e, struct asker *a, struct quoted_batch *b)
{
	_cleanup_buffer_ struct buffer text = {0};
	int err = wrap(e, a, b, &text);

	buffer_add_char(&text, '}');
	err = err ?: buffer_error(&text);
	if (!err)
		give(e, a, &text, -1, 0);
	return err;
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

/*
 * Others of its batch wait meanwhile: a machine that is busy is asked more than once, not for long.
 * With @a->goes_on it is not over.
 */
static bool look_again(struct asker *a, struct refusal *ret)
{
	for (int i = 0; i < LOOKS; i++) {
		if (asker_look(a, ret))
			return true;
		if (!a->again)
			break;
	}
	return false;
}

/* Step 5 of the sequence: all that was found before the quote must still hold after it. The server
 * looks once more whether it is that process, and tells another one nothing. False: it does not, or
 * with @a->goes_on, that can't be said yet. */
static bool still_may(struct asker *a, struct refusal *ret)
{
	a->goes_on = false;
	if (asker_lives(a))
		return asker_entitled(a, ret) && look_again(a, ret);
	ret->code = "unavailable";
	snprintf(ret->text, sizeof(ret->text), "process %d is gone, or executes something else",
		 a->pid);
	return false;
}

static void refuse_for(struct evidence *e, struct asker *a, int err)
{
	struct refusal r = {.code = "unavailable"};

	if (err == -ERANGE) {
		r.code = "bad_request";
		snprintf(r.text, sizeof(r.text), "the IMA log has not so many entries (ima_from)");
	} else if (err == -EBUSY) {
		r.code = "limit";
		snprintf(r.text, sizeof(r.text),
			 "%d requests of the session for the host's logs wait already, one is read "
			 "at a time",
			 HANDOUT_QUEUE_MAX);
	} else {
		snprintf(r.text, sizeof(r.text), "%s", strerror(-err));
	}
	evidence_refuse(e, a, &r);
}

/* ---- with the host's logs ---- */

static void on_handed(void *data, int err, int fd, uint64_t size)
{
	struct asker *a = data;
	struct evidence *e = a->core->evidence;

	DL_DELETE(e->handed, a);
	if (err) {
		e->handed_count--;
		refuse_for(e, a, err);
		return;
	}
	tokens_charge(e->tokens, a->tag.session, size / EVIDENCE_BYTES_PER_TOKEN,
		      core_boottime_ns());
	a->fd = fd;
	a->size = size;
	DL_APPEND(e->read, a);
}

/* Returns whether more are left. */
static bool give_some(struct evidence *e)
{
	struct asker *a, *next;
	struct refusal r;
	unsigned int n = 0;
	bool may, more = false;

	DL_FOREACH_SAFE (e->read, a, next) {
		if (n++ && (n > EVIDENCE_LOOKS_MAX || !effort_goes_on()))
			return true;
		may = still_may(a, &r);
		if (a->goes_on) {
			more = true;
			continue;
		}
		DL_DELETE(e->read, a);
		e->handed_count--;
		if (may)
			give(e, a, NULL, TAKE_FD(a->fd), a->size);
		else
			evidence_refuse(e, a, &r);
	}
	return more;
}

/* The logs can be long: they are read by another thread, and by the asker as it goes. */
static int hand_out(struct evidence *e, struct asker *a, struct quoted_batch *b)
{
	struct handout_request request = {
		.session = a->tag.session,
		.tail = strdup("}}"),
		.tail_len = 2,
		.ima_from = a->ima_from,
		.fn = on_handed,
		.data = a,
	};
	_cleanup_buffer_ struct buffer text = {0};
	int err = request.tail ? wrap(e, a, b, &text) : -ENOMEM;

	buffer_add_text(&text, ",\"host\":");
	err = err ?: attester_put_host(e->attester, &text);
	if (err) {
		free(request.tail);
		return err;
	}
	request.head = (char *)text.data;
	request.head_len = text.len;
	text = (struct buffer){0};
	err = handout_begin(e->handout, &request);
	if (err)
		return err;
	DL_APPEND(e->handed, a);
	e->handed_count++;
	return 0;
}

void evidence_collect(struct evidence *e)
{
	core_drain(e->core); /* an end of the session that happened meanwhile */
	handout_collect(e->handout);
	if (give_some(e))
		core_wake(e->core);
}

/* False: it is to go on in the next turn. */
static bool finish(struct evidence *e, struct asker *a, struct quoted_batch *b)
{
	struct refusal r = {.code = "no_tpm"};
	bool may = false;
	int err;

	if (b->err)
		quote_error(e, b->err, r.text, sizeof(r.text));
	else
		may = still_may(a, &r);
	if (a->goes_on)
		return false;
	DL_DELETE(e->quoted, a);
	e->quoted_count--;
	if (!may) {
		evidence_refuse(e, a, &r);
		return true;
	}
	err = a->host ? hand_out(e, a, b) : answer(e, a, b);
	if (err)
		refuse_for(e, a, err);
	return true;
}

bool evidence_answer_some(struct evidence *e)
{
	struct asker *a, *next;
	unsigned int n = 0;
	bool more, left = false;

	if (!e->answering && !e->read)
		return false;
	core_drain(e->core); /* an end of the session that happened meanwhile */
	more = give_some(e);
	if (!e->answering)
		return more;
	DL_FOREACH_SAFE (e->quoted, a, next) {
		if (n++ && (n > EVIDENCE_LOOKS_MAX || !effort_goes_on()))
			return true;
		if (!finish(e, a, e->answering))
			left = true; /* those behind it go on */
	}
	if (left)
		return true;
	quoted_batch_free(e->answering);
	e->answering = NULL;
	return more;
}

static void on_quoted(void *data, int err, const struct tpm_quoted *q)
{
	struct quoted_batch *b = data;
	struct evidence *e = b->evidence;

	/* The last batch's have all been answered: no other is quoted before. */
	e->quoted = e->batch;
	e->quoted_count = e->batch_count;
	e->batch = NULL;
	e->batch_count = 0;
	e->quoting = NULL;
	b->err = err ?: share(b, q);
	e->answering = b;
	if (evidence_answer_some(e))
		core_wake(e->core);
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
		a->index = b->count;
		b->leaves[b->count++] = a->leaf;
		DL_APPEND(e->batch, a);
	}
	e->batch_count = b->count;
	return b;
}

bool evidence_sign_some(struct evidence *e)
{
	struct asker *lists[] = {e->batch, e->waiting}, *a;
	unsigned int n = 0;

	for (size_t i = 0; i < 2; i++)
		DL_FOREACH (lists[i], a) {
			if (a->jws || (i && !evidence_ready(e, a)))
				continue;
			if (n++ == EVIDENCE_SIGNATURES_MAX)
				return true;
			(void)sign(e, a); /* who gets none finds out when it is answered */
		}
	return false;
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
}

void evidence_forget_quote(struct evidence *e)
{
	quoted_batch_free(e->quoting);
	quoted_batch_free(e->answering);
	e->quoting = e->answering = NULL;
}
