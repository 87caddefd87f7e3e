/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work of the library by the line: each command reads files that are named, and prints to stdout.
 * The exit code is 0, 1 for a refusal (the reason on stderr), 64 for a wrong call.
 */
#include <errno.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attest/claims.h"
#include "attest/credential.h"
#include "attest/jose.h"
#include "attest/ossl.h"
#include "attest/proof.h"
#include "attest/tpm2.h"
#include "base/buffer.h"
#include "tool.h"

static EVP_PKEY *key_of(const char *path)
{
	FILE *f = fopen(path, "re");
	EVP_PKEY *key = f ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;

	if (!key) {
		fprintf(stderr, "%s: no private key\n", path);
		exit(64);
	}
	fclose(f);
	return key;
}

static int refused(int err, const char *why)
{
	fprintf(stderr, "%s: %s\n", strerror(-err), why);
	return 1;
}

/* jws KEY.pem HEADER.json PAYLOAD.json: a token */
static int do_jws(char **argv)
{
	_cleanup_buffer_ struct buffer header = {}, payload = {};
	_cleanup_json_ json_t *h = NULL, *p = NULL;
	_cleanup_key_ EVP_PKEY *key = key_of(argv[0]);
	_cleanup_free_ char *input = NULL, *token = NULL;
	int err;

	read_file(argv[1], &header);
	read_file(argv[2], &payload);
	err = jose_json(header.data, header.len, 16, &h) ?: jose_json(payload.data, payload.len, 16, &p) ?:
	      jose_signing_input(h, p, &input) ?: jose_jws(key, input, &token);
	if (err)
		return refused(err, "jws");
	puts(token);
	return 0;
}

/* verify TOKEN JWK.json: the payload */
static int do_verify(char **argv)
{
	_cleanup_buffer_ struct buffer token = {}, jwk = {};
	_cleanup_json_ json_t *j = NULL;
	_cleanup_key_ EVP_PKEY *key = NULL;
	struct jose_parsed p = {};
	int err;

	read_file(argv[0], &token);
	read_file(argv[1], &jwk);
	err = jose_json(jwk.data, jwk.len, 16, &j) ?: jose_key_of_jwk(j, &key) ?:
	      jose_parse(token.data, token.len, 16, &p) ?:
	      jose_verify(key, token.data, p.signing_input_len, p.signature, p.signature_len);
	if (!err)
		json_dumpf(p.payload, stdout, JSON_COMPACT);
	jose_parsed_clear(&p);
	return err ? refused(err, "verify") : 0;
}

/* thumbprint KEY.pem */
static int do_thumbprint(char **argv)
{
	_cleanup_key_ EVP_PKEY *key = key_of(argv[0]);
	char thumbprint[JOSE_THUMBPRINT_SIZE];
	int err = jose_thumbprint(key, thumbprint);

	if (err)
		return refused(err, "thumbprint");
	puts(thumbprint);
	return 0;
}

/* Of each element of an array, a line: "ok", or the claim that is at fault. */
static int judge(const char *path, const char *(*judge_one)(const json_t *o))
{
	_cleanup_buffer_ struct buffer list = {};
	_cleanup_json_ json_t *l = NULL;

	read_file(path, &list);
	/* A test's own, of more values than a stranger may send. */
	l = json_loadb(list.data, list.len, JSON_REJECT_DUPLICATES, NULL);
	if (!l)
		return refused(-EBADMSG, path);
	for (size_t i = 0; i < json_array_size(l); i++)
		puts(judge_one(json_array_get(l, i)));
	return 0;
}

static const char *judge_claims(const json_t *o)
{
	static struct claims c;
	const char *why;

	if (claims_parse(o, &c, &why))
		return why;
	claims_clear(&c);
	return "ok";
}

static const char *judge_host(const json_t *o)
{
	struct claims_host h;
	const char *why;

	if (claims_host_parse(o, &h, &why))
		return why;
	claims_host_clear(&h);
	return "ok";
}

/* claims LIST.json */
static int do_claims(char **argv)
{
	return judge(argv[0], judge_claims);
}

/* host-claims LIST.json */
static int do_host_claims(char **argv)
{
	return judge(argv[0], judge_host);
}

/*
 * credential EK.pub NAME SECRET OUT: TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET behind tpm2-tools'
 * header
 */
static int do_credential(char **argv)
{
	static const uint8_t header[] = {0xba, 0xdc, 0xc0, 0xde, 0, 0, 0, 1};
	_cleanup_buffer_ struct buffer public = {}, name = {}, secret = {};
	struct tpm2_bytes n = {};
	struct credential c;
	struct tpm2_public ek;
	FILE *out;
	int err;

	read_file(argv[0], &public);
	read_file(argv[1], &name);
	read_file(argv[2], &secret);
	if (name.len > sizeof(n.data))
		return 64;
	memcpy(n.data, name.data, name.len);
	n.len = name.len;
	err = tpm2_public_parse(public.data, public.len, &ek)
		      ?: credential_make(&ek, &n, secret.data, secret.len, &c);
	if (err)
		return refused(err, "credential");
	out = fopen(argv[3], "we");
	if (!out)
		return 64;
	fwrite(header, 1, sizeof(header), out);
	fwrite(c.id_object, 1, c.id_object_len, out);
	fwrite(c.encrypted, 1, c.encrypted_len, out);
	return fclose(out) ? 64 : 0;
}

static const char *or_null(const char *text)
{
	return *text ? text : NULL;
}

/* dpop KEY.pem HTM HTU NONCE TOKEN JTI IAT ("": without) */
static int do_dpop(char **argv)
{
	struct proof_dpop p = {argv[1], argv[2], or_null(argv[3]), or_null(argv[4])};
	_cleanup_key_ EVP_PKEY *key = key_of(argv[0]);
	_cleanup_free_ char *token = NULL;
	struct uuid jti;
	int err = uuid_parse(argv[5], &jti)
			  ?: proof_dpop(key, &p, &jti, strtoull(argv[6], NULL, 10), &token);

	if (err)
		return refused(err, "dpop");
	puts(token);
	return 0;
}

/* wpt KEY.pem AUD WIT TOKEN JTI EXP ("": without) */
static int do_wpt(char **argv)
{
	struct proof_wpt p = {argv[1], argv[2], or_null(argv[3]), strtoull(argv[5], NULL, 10)};
	_cleanup_key_ EVP_PKEY *key = key_of(argv[0]);
	_cleanup_free_ char *token = NULL;
	struct uuid jti;
	int err = uuid_parse(argv[4], &jti) ?: proof_wpt(key, &p, &jti, &token);

	if (err)
		return refused(err, "wpt");
	puts(token);
	return 0;
}

static const struct {
	const char *name;
	int arguments;
	int (*function)(char **argv);
} commands[] = {
	{"jws", 3, do_jws},
	{"verify", 2, do_verify},
	{"thumbprint", 1, do_thumbprint},
	{"claims", 1, do_claims},
	{"host-claims", 1, do_host_claims},
	{"credential", 4, do_credential},
	{"dpop", 7, do_dpop},
	{"wpt", 6, do_wpt},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(*commands); i++)
		if (!strcmp(argv[1], commands[i].name) && argc == 2 + commands[i].arguments)
			return commands[i].function(argv + 2);
	return 64;
}
