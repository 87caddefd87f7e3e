/* SPDX-License-Identifier: Apache-2.0 */
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/affiant.h"
#include "lib/handle.h"

#define CNF_DOMAIN "affiant/cnf/v1"

static uint8_t *put(uint8_t *at, const void *data, size_t len)
{
	memcpy(at, data, len);
	return at + len;
}

static uint8_t *put_counted(uint8_t *at, const char *text)
{
	uint64_t len = htobe64(strlen(text));

	at = put(at, &len, sizeof(len));
	return put(at, text, strlen(text));
}

/* docs/evidence.md, "Whose key it is". */
static int sign_cnf(struct affiant *a, const struct affiant_evidence_request *request,
		    uint8_t signature[static AFFIANT_SIGNATURE_SIZE])
{
	const uint8_t *challenge = client_challenge(a->client);
	uint8_t *message, *at;
	int err;

	if (!challenge || !request->sign)
		return challenge ? -EINVAL : -EPROTO;
	message = malloc(sizeof(CNF_DOMAIN) + CLIENT_CHALLENGE_SIZE + 16 + strlen(request->nonce) +
			 strlen(request->audience));
	if (!message)
		return -ENOMEM;
	at = put(message, CNF_DOMAIN, sizeof(CNF_DOMAIN));
	at = put(at, challenge, CLIENT_CHALLENGE_SIZE);
	at = put_counted(at, request->nonce);
	at = put_counted(at, request->audience);
	err = request->sign(request->data, message, at - message, signature);
	free(message);
	return err;
}

static char *text_of(const ProtobufCBinaryData *b)
{
	char *text = malloc(b->len + 1);

	if (!text)
		return NULL;
	if (b->len)
		memcpy(text, b->data, b->len);
	text[b->len] = '\0';
	return text;
}

/* Between two pieces of it: the daemon may be reading the logs of others first. */
#define PIPE_TIMEOUT_MS 10000
/* The host's logs in base64url, and the rest. */
#define PIPED_MAX (1ull << 30)

/* All @size bytes, or none: a pipe that ends early is a daemon that ended, or a log that shrank. */
static int read_piped(int fd, size_t size, char *to)
{
	for (size_t have = 0; have < size;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int n = poll(&p, 1, PIPE_TIMEOUT_MS);
		ssize_t got;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ETIMEDOUT;
		got = read(fd, to + have, size - have);
		if (got < 0 && errno != EINTR)
			return -errno;
		if (got == 0)
			return -EPROTO;
		have += got > 0 ? got : 0;
	}
	return 0;
}

static int take_piped(const Affiant__V1__Evidence *from, int fd, struct affiant_evidence *e)
{
	if (from->piped > PIPED_MAX)
		return -EPROTO;
	e->len = from->piped;
	e->cmw = malloc(e->len + 1);
	if (!e->cmw)
		return -ENOMEM;
	e->cmw[e->len] = '\0';
	return read_piped(fd, e->len, e->cmw);
}

/* @fd: what came with it, -1: nothing. */
static int take_evidence(const Affiant__V1__Evidence *from, int fd, struct affiant_evidence *ret)
{
	struct affiant_evidence e = {.cnf = text_of(&from->cnf)};
	int err = 0;

	if (from->has_piped != (fd >= 0))
		err = -EPROTO;
	else if (from->has_piped)
		err = take_piped(from, fd, &e);
	else
		e = (struct affiant_evidence){
			.cmw = text_of(&from->cmw), .len = from->cmw.len, .cnf = e.cnf};
	if (!err && (!e.cmw || !e.cnf))
		err = -ENOMEM;
	if (err)
		affiant_evidence_clear(&e);
	else
		*ret = e;
	return err;
}

int affiant_get_evidence(struct affiant *a, const struct affiant_evidence_request *request,
			 struct affiant_evidence *ret)
{
	Affiant__V1__Request call = AFFIANT__V1__REQUEST__INIT;
	Affiant__V1__GetEvidence body = AFFIANT__V1__GET_EVIDENCE__INIT;
	uint8_t signature[AFFIANT_SIGNATURE_SIZE];
	int fds[CLIENT_FDS_MAX], err;
	Affiant__V1__Response *r;
	size_t count = 0;

	if (!request->nonce || !request->audience)
		return handle_fail(a, -EINVAL, "evidence needs a nonce and an audience");
	body.nonce = (char *)request->nonce;
	body.audience = (char *)request->audience;
	body.has_host = true;
	body.host = request->host;
	body.has_ima_from = request->host;
	body.ima_from = request->ima_from;
	if (request->cnf) {
		err = sign_cnf(a, request, signature);
		if (err)
			return handle_fail(a, err, "the key of cnf gave no signature");
		body.has_cnf = body.has_cnf_signature = true;
		body.cnf = (ProtobufCBinaryData){strlen(request->cnf), (uint8_t *)request->cnf};
		body.cnf_signature = (ProtobufCBinaryData){sizeof(signature), signature};
	}
	call.call_case = AFFIANT__V1__REQUEST__CALL_GET_EVIDENCE;
	call.get_evidence = &body;
	*a->error = '\0';
	err = client_call(a->client, &call, NULL, 0, &r, fds, &count);
	if (err)
		return err;
	err = r->answer_case == AFFIANT__V1__RESPONSE__ANSWER_EVIDENCE && count <= 1
		      ? take_evidence(r->evidence, count ? fds[0] : -1, ret)
		      : -EPROTO;
	while (count)
		close(fds[--count]);
	affiant__v1__response__free_unpacked(r, NULL);
	return err;
}

void affiant_evidence_clear(struct affiant_evidence *e)
{
	free(e->cmw);
	free(e->cnf);
	*e = (struct affiant_evidence){0};
}

static int get_proof(struct affiant *a, Affiant__V1__SignProof *body, char **ret)
{
	Affiant__V1__Request call = AFFIANT__V1__REQUEST__INIT;
	Affiant__V1__Response *r;
	int err;

	call.call_case = AFFIANT__V1__REQUEST__CALL_SIGN_PROOF;
	call.sign_proof = body;
	err = handle_call(a, &call, NULL, 0, &r);
	if (err)
		return err;
	if (r->answer_case != AFFIANT__V1__RESPONSE__ANSWER_PROOF || !r->proof->jwt) {
		err = -EPROTO;
	} else {
		*ret = strdup(r->proof->jwt);
		err = *ret ? 0 : -ENOMEM;
	}
	affiant__v1__response__free_unpacked(r, NULL);
	return err;
}

int affiant_dpop(struct affiant *a, const char *method, const char *url, const char *nonce,
		 const char *access_token, char **ret)
{
	Affiant__V1__SignProof body = AFFIANT__V1__SIGN_PROOF__INIT;
	Affiant__V1__Dpop dpop = AFFIANT__V1__DPOP__INIT;

	dpop.htm = (char *)method;
	dpop.htu = (char *)url;
	dpop.nonce = (char *)nonce;
	dpop.access_token = (char *)access_token;
	body.proof_case = AFFIANT__V1__SIGN_PROOF__PROOF_DPOP;
	body.dpop = &dpop;
	return get_proof(a, &body, ret);
}

int affiant_wpt(struct affiant *a, const char *audience, const char *wit, const char *access_token,
		char **ret)
{
	Affiant__V1__SignProof body = AFFIANT__V1__SIGN_PROOF__INIT;
	Affiant__V1__Wpt wpt = AFFIANT__V1__WPT__INIT;

	wpt.aud = (char *)audience;
	wpt.wit = (char *)wit;
	wpt.access_token = (char *)access_token;
	body.proof_case = AFFIANT__V1__SIGN_PROOF__PROOF_WPT;
	body.wpt = &wpt;
	return get_proof(a, &body, ret);
}

void affiant_free(char *text)
{
	free(text);
}
