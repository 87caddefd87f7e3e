/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the library makes of logs and quotes, for tests/e2e to compare with what others make of
 * them. A line out for each line in.
 *
 *   boot_tool log BANK     in: the path of an event log. Out: JSON
 *                          {"parsed", "secure_boot", "pcrs": {NUMBER: HEX}, "separators", "unexplained"},
 *                          the last two with a bit for each PCR
 *   boot_tool ima BANK     in: the path of an IMA list. Out: JSON {"parsed", "entries", "pcr10": HEX}
 *   boot_tool quote BANK   in: the paths of TPMT_PUBLIC, TPMS_ATTEST, TPMT_SIGNATURE, nonce, and
 *                          PCR values (as many bytes each as BANK's digests have, in the order of
 *                          the selection). Out: "accepted", or "refused"
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attest/eventlog.h"
#include "attest/ima.h"
#include "attest/ossl.h"
#include "base/buffer.h"
#include "base/digest.h"
#include "tool.h"

DEFINE_CLEANUP(struct eventlog *, eventlog_free)

static void print(json_t *o)
{
	json_dumpf(o, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(o);
}

static json_t *hex(const void *data, size_t len)
{
	char text[2 * TPM2_DIGEST_MAX + 1];

	hex_encode(data, len, text);
	return json_string(text);
}

static void judge_log(const char *path, uint16_t alg)
{
	static const char *const answers[] = {"unknown", "no", "yes"};
	__attribute__((cleanup(eventlog_facts_clear))) struct eventlog_facts f = {};
	_cleanup_(eventlog_freep) struct eventlog *l = NULL;
	_cleanup_buffer_ struct buffer log = {};
	json_t *pcrs = json_object();
	struct pcr_bank bank = {};
	char number[4];

	read_file(path, &log);
	if (!eventlog_parse(log.data, log.len, &l) && !eventlog_replay(l, alg, &bank) &&
	    eventlog_read(l, alg, ~0u, &f))
		exit(1);
	for (unsigned int pcr = 0; pcr < TPM2_PCRS; pcr++) {
		snprintf(number, sizeof(number), "%u", pcr);
		if (bank.extended & 1u << pcr)
			json_object_set_new(pcrs, number, hex(bank.values[pcr], bank.size));
	}
	print(json_pack("{s:b, s:s, s:o, s:i, s:i}", "parsed", l != NULL, "secure_boot",
			answers[f.secure_boot], "pcrs", pcrs, "separators", (int)f.separators,
			"unexplained", (int)f.unexplained));
}

static void judge_ima(const char *path, uint16_t alg)
{
	_cleanup_buffer_ struct buffer list = {};
	struct ima_state s;
	bool parsed;
	size_t used;

	read_file(path, &list);
	if (ima_init(&s, &alg, 1))
		exit(64);
	parsed = !ima_replay(&s, list.data, list.len, NULL, NULL, NULL, &used) && used == list.len;
	print(json_pack("{s:b, s:I, s:o}", "parsed", parsed, "entries", (json_int_t)s.entries,
			"pcr10", hex(s.banks[0].value, tpm2_digest_size(alg))));
}

/* In the order in which a verifier checks, but for what only an enrolment knows. */
static bool accepts(const struct buffer file[5], uint16_t alg)
{
	_cleanup_key_ EVP_PKEY *key = NULL;
	struct tpm2_signature s;
	struct tpm2_public p;
	struct tpm2_attest a;
	struct tpm2_bytes digest;
	struct pcr_bank b;
	size_t at = 0;

	if (tpm2_public_parse(file[0].data, file[0].len, &p) ||
	    tpm2_attest_parse(file[1].data, file[1].len, &a) ||
	    tpm2_signature_parse(file[2].data, file[2].len, &s) || tpm2_public_key(&p, &key))
		return false;
	if (s.scheme != p.scheme || s.hash != p.scheme_hash ||
	    tpm2_signature_verify(&s, key, file[1].data, file[1].len) ||
	    a.magic != TPM2_GENERATED || a.type != TPM2_ST_ATTEST_QUOTE ||
	    a.extra.len != file[3].len || memcmp(a.extra.data, file[3].data, a.extra.len) ||
	    a.selections_count != 1 || a.selections[0].alg != alg)
		return false;
	pcr_bank_init(&b, alg);
	for (unsigned int pcr = 0; pcr < TPM2_PCRS; pcr++) {
		if (!(a.selections[0].pcrs & 1u << pcr))
			continue;
		if (at + b.size > file[4].len)
			return false;
		memcpy(b.values[pcr], file[4].data + at, b.size);
		at += b.size;
	}
	return at == file[4].len && !pcr_digest(&b, 1, a.selections, 1, s.hash, &digest) &&
	       digest.len == a.pcr_digest.len &&
	       !memcmp(digest.data, a.pcr_digest.data, digest.len);
}

static void judge_quote(char *paths, uint16_t alg)
{
	struct buffer files[5] = {};
	size_t n = 0;

	for (char *path = strtok(paths, " "); path && n < 5; path = strtok(NULL, " "))
		read_file(path, &files[n++]);
	if (n != 5)
		exit(64);
	puts(accepts(files, alg) ? "accepted" : "refused");
	for (n = 0; n < 5; n++)
		buffer_done(&files[n]);
}

int main(int argc, char **argv)
{
	_cleanup_free_ char *line = NULL;
	uint16_t alg = 0;
	size_t room = 0;
	ssize_t len;

	if (argc == 3)
		alg = !strcmp(argv[2], "sha1")     ? TPM2_SHA1
		      : !strcmp(argv[2], "sha256") ? TPM2_SHA256
		      : !strcmp(argv[2], "sha384") ? TPM2_SHA384
						   : 0;
	if (!alg) {
		fprintf(stderr, "usage: boot_tool log|ima|quote sha1|sha256|sha384 < PATHS\n");
		return 64;
	}
	while ((len = getline(&line, &room, stdin)) > 0) {
		line[len - 1] = '\0';
		if (!strcmp(argv[1], "log"))
			judge_log(line, alg);
		else if (!strcmp(argv[1], "ima"))
			judge_ima(line, alg);
		else
			judge_quote(line, alg);
	}
	return 0;
}
