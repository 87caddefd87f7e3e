/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/enrolment.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "attest/enrol.h"
#include "base/pb.h"
#include "daemon/attester.h"
#include "daemon/evidence.h"

/* Refuses the call when no TPM is there to enrol. */
static struct attester *ready(struct core *c, struct server_call *call)
{
	struct attester *a = evidence_attester(c->evidence);
	char why[256];

	if (attester_ready(a, why, sizeof(why)))
		return a;
	server_refuse(call, "no_tpm", "%s", why);
	return NULL;
}

void enrolment_get(void *core, struct server_call *call)
{
	struct core *c = core;
	struct attester *a = ready(c, call);
	Affiant__V1__Response response = AFFIANT__V1__RESPONSE__INIT;
	Affiant__V1__Enrolment enrolment = AFFIANT__V1__ENROLMENT__INIT;
	char *text;
	int err;

	if (!a)
		return;
	err = attester_enrolment(a, &text);
	if (err) {
		server_refuse(call, "unavailable", "the request can't be made: %s", strerror(-err));
		return;
	}
	SET(&enrolment, request, pb_bytes(text, strlen(text)));
	response.answer_case = AFFIANT__V1__RESPONSE__ANSWER_ENROLMENT;
	response.enrolment = &enrolment;
	server_answer(call, &response);
	free(text);
}

/* One at a time: the TPM is everybody's. */
struct activation {
	struct core *core;
	struct server_call *call;
	struct tpm2_bytes ak_name;
};

static void activated(void *data, int err, const uint8_t *secret, size_t len)
{
	struct activation *x = data;
	Affiant__V1__Response response = AFFIANT__V1__RESPONSE__INIT;
	Affiant__V1__Activated message = AFFIANT__V1__ACTIVATED__INIT;
	uint8_t proof[SHA256_SIZE];

	if (!err)
		err = len == ENROL_KEY_SIZE ? enrol_proof(secret, &x->ak_name, proof) : -EBADMSG;
	if (err == -EBADMSG) {
		server_refuse(x->call, "bad_request",
			      "the challenge was not made for this TPM and its attestation key: "
			      "enrol anew");
	} else if (err) {
		server_refuse(x->call, "no_tpm", "the TPM did not activate the credential: %s",
			      strerror(-err));
	} else {
		SET(&message, proof, pb_bytes(proof, sizeof(proof)));
		response.answer_case = AFFIANT__V1__RESPONSE__ANSWER_ACTIVATED;
		response.activated = &message;
		server_answer(x->call, &response);
	}
	x->core->activation = NULL;
	free(x);
}

void enrolment_activate(void *core, struct server_call *call,
			const Affiant__V1__ActivateCredential *request)
{
	struct core *c = core;
	struct attester *a = ready(c, call);
	const struct tpm_identity *identity;
	struct activation *x;
	int err;

	if (!a)
		return;
	if (c->activation) {
		server_refuse(call, "busy", "another credential is being activated: try again");
		return;
	}
	x = calloc(1, sizeof(*x));
	if (!x) {
		server_refuse(call, "unavailable", "out of memory");
		return;
	}
	identity = attester_identity(a);
	x->core = c;
	x->call = call;
	memcpy(x->ak_name.data, identity->ak_name, identity->ak_name_len);
	x->ak_name.len = identity->ak_name_len;
	err = tpm_worker_activate(attester_tpm(a), request->credential.data,
				  request->credential.len, request->secret.data,
				  request->secret.len, activated, x);
	if (!err) {
		c->activation = x;
		return;
	}
	if (err == -EBADMSG)
		server_refuse(call, "bad_request",
			      "credential or secret is not the structure that a TPM takes");
	else
		server_refuse(call, "busy", "the TPM has too much to do: %s", strerror(-err));
	free(x);
}

void enrolment_install(void *core, struct server_call *call,
		       const Affiant__V1__InstallCertificate *request)
{
	struct attester *a = ready(core, call);
	Affiant__V1__Response response = AFFIANT__V1__RESPONSE__INIT;
	Affiant__V1__Installed installed = AFFIANT__V1__INSTALLED__INIT;
	int err;

	if (!a)
		return;
	err = attester_install(a, request->chain.data, request->chain.len);
	if (err == -EBADMSG) {
		server_refuse(
			call, "bad_request",
			"it does not begin with a certificate of this host's attestation key");
		return;
	}
	if (err) {
		server_refuse(call, "unavailable", "the certificate can't be kept: %s",
			      strerror(-err));
		return;
	}
	response.answer_case = AFFIANT__V1__RESPONSE__ANSWER_INSTALLED;
	response.installed = &installed;
	server_answer(call, &response);
}
