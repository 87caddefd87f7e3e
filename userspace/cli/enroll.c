/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "attest/enrol.h"
#include "attest/ossl.h"
#include "base/log.h"
#include "cli/answer.h"
#include "cli/cmd.h"
#include "cli/filing.h"

#define PEM_MAX 32768 /* bytes: what the daemon takes */

static const char usage[] =
	"Usage: affiant enroll [-o FILE]\n"
	"       affiant enroll --activate CHALLENGE [-o FILE]\n"
	"       affiant enroll --install CERTIFICATE\n"
	"Enrols this host's attestation key with a verifier, by files, in three steps (root):\n"
	"\n"
	"  1. affiant enroll -o request.json\n"
	"     and, at the verifier's, affiant ca challenge: it checks the TPM's certificate\n"
	"  2. affiant enroll --activate challenge.json -o answer.json\n"
	"     and, at the verifier's, affiant ca issue: it certifies the key\n"
	"  3. affiant enroll --install certificate.pem\n"
	"     evidence carries the certificate from now on\n"
	"\n"
	"  --activate FILE    answers a challenge\n"
	"  --install FILE     keeps the certificate\n"
	"  -o, --output FILE  where the request or the answer goes (default: standard output)\n"
	"  --socket PATH      affiantd's socket, if not the usual one\n"
	"  -h, --help\n"
	"\n"
	"Exit code: 0, 1 when it did not work, 64 for a wrong option.\n";

struct options {
	const char *activate, *install, *output, *socket;
};

static int hint(void)
{
	fputs("affiant enroll --help tells the options\n", stderr);
	return EXIT_USAGE;
}

/* -1: go on; else the exit code. */
static int parse(int argc, char **argv, struct options *o)
{
	static const struct option table[] = {
		{"activate", required_argument, NULL, 'a'},
		{"install", required_argument, NULL, 'i'},
		{"output", required_argument, NULL, 'o'},
		{"socket", required_argument, NULL, 'S'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "ho:", table, NULL)) >= 0) {
		switch (c) {
		case 'a':
			o->activate = optarg;
			break;
		case 'i':
			o->install = optarg;
			break;
		case 'o':
			o->output = optarg;
			break;
		case 'S':
			o->socket = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		default:
			return hint();
		}
	}
	if (optind < argc) {
		log_error("'%s': no arguments are taken", argv[optind]);
		return hint();
	}
	if (o->activate && o->install) {
		log_error("--activate and --install are two steps");
		return hint();
	}
	return -1;
}

/* With a newline at its end. */
static int write_text(const struct options *o, const char *text, size_t len)
{
	_cleanup_buffer_ struct buffer b = {0};

	buffer_add(&b, text, len);
	buffer_add_char(&b, '\n');
	return buffer_error(&b) ?: filing_write(o->output ?: "-", 0644, true, b.data, b.len);
}

static int request(const struct options *o)
{
	Affiant__V1__Request call = AFFIANT__V1__REQUEST__INIT;
	Affiant__V1__GetEnrolment body = AFFIANT__V1__GET_ENROLMENT__INIT;
	Affiant__V1__Response *r;
	int err;

	call.call_case = AFFIANT__V1__REQUEST__CALL_GET_ENROLMENT;
	call.get_enrolment = &body;
	r = answer_get(o->socket, &call, AFFIANT__V1__RESPONSE__ANSWER_ENROLMENT);
	if (!r)
		return EXIT_FAILURE;
	err = write_text(o, (const char *)r->enrolment->request.data, r->enrolment->request.len);
	affiant__v1__response__free_unpacked(r, NULL);
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int read_challenge(const char *path, struct enrol_challenge *ret)
{
	_cleanup_json_ json_t *json = NULL;
	_cleanup_buffer_ struct buffer b = {0};
	const char *why = "it is no JSON object";

	if (filing_read(path, ENROL_FILE_MAX, &b))
		return -EIO;
	if (!jose_json(b.data, b.len, ENROL_DEPTH_MAX, &json) &&
	    !enrol_challenge_parse(json, ret, &why))
		return 0;
	log_error("%s: is no challenge: %s", path, why);
	return -EBADMSG;
}

static int activate(const struct options *o)
{
	Affiant__V1__Request call = AFFIANT__V1__REQUEST__INIT;
	Affiant__V1__ActivateCredential body = AFFIANT__V1__ACTIVATE_CREDENTIAL__INIT;
	_cleanup_json_ json_t *json = NULL;
	_cleanup_free_ char *text = NULL;
	struct enrol_challenge challenge;
	struct enrol_answer answer;
	Affiant__V1__Response *r;

	if (read_challenge(o->activate, &challenge))
		return EXIT_FAILURE;
	body.has_credential = body.has_secret = true;
	body.credential = (ProtobufCBinaryData){challenge.credential.id_object_len,
						challenge.credential.id_object};
	body.secret = (ProtobufCBinaryData){challenge.credential.encrypted_len,
					    challenge.credential.encrypted};
	call.call_case = AFFIANT__V1__REQUEST__CALL_ACTIVATE_CREDENTIAL;
	call.activate_credential = &body;
	r = answer_get(o->socket, &call, AFFIANT__V1__RESPONSE__ANSWER_ACTIVATED);
	if (!r)
		return EXIT_FAILURE;
	answer.ak_name = challenge.ak_name;
	if (r->activated->proof.len == sizeof(answer.proof)) {
		memcpy(answer.proof, r->activated->proof.data, sizeof(answer.proof));
		json = enrol_answer_json(&answer);
	}
	affiant__v1__response__free_unpacked(r, NULL);
	text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
	if (!text) {
		log_error("the daemon's answer is no proof");
		return EXIT_FAILURE;
	}
	return write_text(o, text, strlen(text)) ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int install(const struct options *o)
{
	Affiant__V1__Request call = AFFIANT__V1__REQUEST__INIT;
	Affiant__V1__InstallCertificate body = AFFIANT__V1__INSTALL_CERTIFICATE__INIT;
	_cleanup_buffer_ struct buffer pem = {0};
	Affiant__V1__Response *r;

	body.has_chain = true;
	if (filing_read(o->install, PEM_MAX, &pem))
		return EXIT_FAILURE;
	body.chain = (ProtobufCBinaryData){pem.len, (uint8_t *)pem.data};
	call.call_case = AFFIANT__V1__REQUEST__CALL_INSTALL_CERTIFICATE;
	call.install_certificate = &body;
	r = answer_get(o->socket, &call, AFFIANT__V1__RESPONSE__ANSWER_INSTALLED);
	if (!r)
		return EXIT_FAILURE;
	affiant__v1__response__free_unpacked(r, NULL);
	return EXIT_SUCCESS;
}

int cmd_enroll(int argc, char **argv)
{
	struct options o = {0};
	int code = parse(argc, argv, &o);

	if (code >= 0)
		return code;
	if (o.activate)
		return activate(&o);
	return o.install ? install(&o) : request(&o);
}
