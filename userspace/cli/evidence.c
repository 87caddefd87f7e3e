/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "attest/claims.h"
#include "attest/jose.h"
#include "attest/ossl.h"
#include "attest/parts.h"
#include "attest/tpm2.h"
#include "base/log.h"
#include "base/reader.h"
#include "base/units.h"
#include "cli/cmd.h"
#include "lib/affiant.h"
#include "lib/client.h"

#define KEY_MAX 4096 /* bytes of a JWK's file */

static const char usage[] =
	"Usage: affiant evidence --nonce NONCE --audience AUDIENCE [OPTION]...\n"
	"Asks affiantd for evidence about the process that asks, which has to be of a session:\n"
	"this command, so that what a verifier reads is 'affiant', started by the agent. An agent\n"
	"asks by itself through libaffiant.\n"
	"\n"
	"  --nonce NONCE        the verifier's: 8 to 88 characters\n"
	"  --audience AUDIENCE  who is to check it\n"
	"  --key FILE           a private JWK (EC, P-256): the evidence is bound to that key, and\n"
	"                       shows that it is held here. Without it affiantd makes a key for\n"
	"                       this process, which ends with it\n"
	"  --host               with host evidence: certificates, boot log, IMA log\n"
	"  --ima-from N         of host evidence: the IMA log from its entry N on\n"
	"  -o, --output FORMAT  cmw (default): what a verifier takes. json: decoded, for people\n"
	"  --socket PATH        affiantd's socket, if not the usual one\n"
	"  -h, --help\n"
	"\n"
	"Exit code: 0, 1 when there is none (the reason is told), 64 for a wrong option.\n";

struct options {
	struct affiant_evidence_request request;
	const char *key, *socket;
	bool decoded;
};

#define wrong(...) (log_error(__VA_ARGS__), hint())

static int hint(void)
{
	fputs("affiant evidence --help tells the options\n", stderr);
	return EXIT_USAGE;
}

static int set_output(struct options *o)
{
	if (!strcmp(optarg, "json"))
		o->decoded = true;
	else if (strcmp(optarg, "cmw"))
		return wrong("--output: '%s' is not one of cmw, json", optarg);
	return -1;
}

/* -1: go on; else the exit code. */
static int parse(int argc, char **argv, struct options *o)
{
	static const struct option table[] = {
		{"nonce", required_argument, NULL, 'n'},
		{"audience", required_argument, NULL, 'a'},
		{"key", required_argument, NULL, 'k'},
		{"host", no_argument, NULL, 'H'},
		{"ima-from", required_argument, NULL, 'i'},
		{"output", required_argument, NULL, 'o'},
		{"socket", required_argument, NULL, 'S'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int c, code = -1;

	while (code < 0 && (c = getopt_long(argc, argv, "ho:", table, NULL)) >= 0) {
		switch (c) {
		case 'n':
			o->request.nonce = optarg;
			break;
		case 'a':
			o->request.audience = optarg;
			break;
		case 'k':
			o->key = optarg;
			break;
		case 'i':
			if (number_parse(optarg, &o->request.ima_from))
				return wrong("--ima-from: '%s' is not a number", optarg);
			/* fall through */
		case 'H':
			o->request.host = true;
			break;
		case 'o':
			code = set_output(o);
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
	if (code < 0 && optind < argc)
		return wrong("'%s': no arguments are taken", argv[optind]);
	if (code < 0 && (!o->request.nonce || !o->request.audience))
		return wrong("--nonce and --audience are needed");
	return code;
}

/* ---- the key ---- */

static int read_key(const char *path, EVP_PKEY **ret)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	_cleanup_json_ json_t *jwk = NULL;
	char text[KEY_MAX];
	size_t len = f ? fread(text, 1, sizeof(text), f) : 0;
	int err;

	if (!f || ferror(f)) {
		log_error("%s: %s", path, strerror(errno));
		return -EIO;
	}
	err = len == sizeof(text) ? -EFBIG : jose_json(text, len, 4, &jwk);
	err = err ?: json_object_get(jwk, "d") ? jose_key_of_jwk(jwk, ret) : -EINVAL;
	OPENSSL_cleanse(text, sizeof(text));
	if (!err && EVP_PKEY_get_bits(*ret) != 256)
		err = -EINVAL;
	if (err)
		log_error("%s: is not a private JWK with \"kty\": \"EC\" and \"crv\": \"P-256\"",
			  path);
	return err;
}

static int sign(void *key, const uint8_t *message, size_t len,
		uint8_t signature[AFFIANT_SIGNATURE_SIZE])
{
	uint8_t whole[96];
	size_t size;
	int err = jose_sign(key, message, len, whole, &size);

	if (!err && size != AFFIANT_SIGNATURE_SIZE)
		err = -EINVAL;
	if (!err)
		memcpy(signature, whole, AFFIANT_SIGNATURE_SIZE);
	return err;
}

/* ---- decoded ---- */

static json_t *hex_json(const void *data, size_t len)
{
	_cleanup_free_ char *hex = malloc(2 * len + 1);

	if (!hex)
		return NULL;
	hex_encode(data, len, hex);
	return json_string(hex);
}

static json_t *quote_json(const struct cmw_item *quote)
{
	struct tpm2_attest a;

	if (!quote->content || tpm2_attest_parse(quote->content, quote->len, &a))
		return json_null();
	return json_pack("{s:o, s:o, s:I, s:I, s:I, s:b, s:o, s:o}", "qualifiedSigner",
			 hex_json(a.qualified_signer.data, a.qualified_signer.len), "extraData",
			 hex_json(a.extra.data, a.extra.len), "clock", (json_int_t)a.clock.ms,
			 "resetCount", (json_int_t)a.clock.resets, "restartCount",
			 (json_int_t)a.clock.restarts, "safe", (int)a.clock.safe, "firmwareVersion",
			 hex_json(&(uint64_t){htobe64(a.firmware)}, 8), "pcrDigest",
			 hex_json(a.pcr_digest.data, a.pcr_digest.len));
}

/* By number, as the quote's selection has them. */
static json_t *pcrs_json(const struct cmw_item *quote, const struct cmw_item *pcrs)
{
	json_t *values = json_object();
	struct tpm2_attest a;
	size_t size, at = 0;
	char name[8];

	if (!quote->content || tpm2_attest_parse(quote->content, quote->len, &a) ||
	    a.selections_count != 1)
		return values;
	size = tpm2_digest_size(a.selections[0].alg);
	for (unsigned int i = 0; size && i < TPM2_PCRS; i++) {
		if (!(a.selections[0].pcrs & 1u << i) || at + size > pcrs->len)
			continue;
		snprintf(name, sizeof(name), "%u", i);
		json_object_set_new(values, name, hex_json(pcrs->content + at, size));
		at += size;
	}
	return values;
}

static json_t *path_json(const struct cmw_item *path)
{
	struct reader r = reader_of(path->content, path->len);
	json_t *hashes = json_array();
	struct reader hash;
	uint64_t index = 0, size = 0;

	(void)(reader_u64be(&r, &index) ?: reader_u64be(&r, &size));
	while (!reader_bytes(&r, SHA256_SIZE, &hash))
		json_array_append_new(hashes, hex_json(hash.at, SHA256_SIZE));
	return json_pack("{s:I, s:I, s:o}", "index", (json_int_t)index, "size", (json_int_t)size,
			 "path", hashes);
}

/* For people: nothing is checked here. */
static json_t *decode(const char *text, size_t len)
{
	const struct cmw_item *items;
	struct jose_parsed eat;
	struct cmw_fault fault;
	struct parts parts;
	json_t *out = NULL;
	int err;

	parts_init(&parts);
	items = parts.items;
	err = cmw_read(text, len, &parts.evidence, &fault);
	for (size_t i = 0; !err && i < MEMBERS; i++)
		err = cmw_decode(&parts.items[i]);
	if (!err && items[EAT].content &&
	    !jose_parse((char *)items[EAT].content, items[EAT].len, CLAIMS_DEPTH_MAX, &eat)) {
		out = json_pack("{s:O, s:O, s:o, s:o, s:o}", "header", eat.header, "claims",
				eat.payload, "quote", quote_json(&items[QUOTE]), "pcrs",
				pcrs_json(&items[QUOTE], &items[PCRS]), "path",
				path_json(&items[PATH]));
		jose_parsed_clear(&eat);
	}
	cmw_clear(&parts.evidence);
	return out;
}

static int print(const struct affiant_evidence *e, bool decoded)
{
	_cleanup_json_ json_t *out = NULL;
	_cleanup_free_ char *text = NULL;

	if (!decoded) {
		puts(e->cmw);
	} else {
		out = decode(e->cmw, e->len);
		text = out ? json_dumps(out, JSON_INDENT(2)) : NULL;
		if (!text) {
			log_error("the daemon's answer is no evidence");
			return EXIT_FAILURE;
		}
		puts(text);
	}
	if (fflush(stdout) == 0)
		return EXIT_SUCCESS;
	log_error("standard output: %s", strerror(errno));
	return EXIT_FAILURE;
}

/* ---- */

static int ask(struct options *o)
{
	struct affiant_evidence e = {0};
	struct affiant *a;
	int err = affiant_connect(o->socket, &a), code;

	if (err) {
		log_error("%s: %s: is affiantd running?", client_path(o->socket), strerror(-err));
		return EXIT_FAILURE;
	}
	err = affiant_get_evidence(a, &o->request, &e);
	if (err) {
		log_error("%s%s%s", affiant_error_code(a), *affiant_error_code(a) ? ": " : "",
			  affiant_error(a));
		code = EXIT_FAILURE;
	} else {
		code = print(&e, o->decoded);
	}
	affiant_evidence_clear(&e);
	affiant_disconnect(a);
	return code;
}

int cmd_evidence(int argc, char **argv)
{
	_cleanup_key_ EVP_PKEY *key = NULL;
	_cleanup_free_ char *public = NULL;
	_cleanup_json_ json_t *jwk = NULL;
	struct options o = {0};
	int code = parse(argc, argv, &o);

	if (code >= 0)
		return code;
	if (o.key) {
		if (read_key(o.key, &key))
			return EXIT_FAILURE;
		jwk = jose_jwk(key, false);
		public = jwk ? json_dumps(jwk, JSON_COMPACT) : NULL;
		o.request.cnf = public;
		o.request.sign = sign;
		o.request.data = key;
	}
	return ask(&o);
}
