/* SPDX-License-Identifier: Apache-2.0 */
/*
 * evidence_samples DIRECTORY: makes tests/data/attest/evidence anew, after the format changed, with
 * other keys. policy.yaml, allowlist and verdicts.json stay, but for the host's UEID.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../unit/forge.h"

static struct forge f;

static void header_none(void)
{
	f.keep_header = true;
	f.header = json_pack("{ssssso}", "alg", "none", "typ", "eat+jwt", "jwk",
			     jose_jwk(f.evidence_key, false));
}

static void ima_more(void)
{
	ima_file(&f.ima, 0x66, "/usr/bin/nobody-knows-it");
}

static void not_enrolled(void)
{
	f.no_ak_chain = true;
}

static void agent_other(void)
{
	json_object_set_new(f.payload, "sub", json_string("spiffe://example.org/agent/other"));
}

static void log_cut(void)
{
	f.boot.len -= 30;
	json_decref(f.host);
	forge_host(&f);
	forge_wrap(&f);
}

/* Another principal, under the signature that the claims had. */
static void claims_changed(void)
{
	char *input, *signature = strrchr(f.token, '.'), *token;

	json_object_set_new(json_object_get(at(f.payload, "submods", "workload"), "principal"),
			    "subject", json_string("mallory@example.org"));
	assert_int_equal(jose_signing_input(f.header, f.payload, &input), 0);
	assert_true(asprintf(&token, "%s%s", input, signature) > 0);
	free(input);
	free(f.token);
	f.token = token;
	forge_wrap(&f);
}

static void pcrs_swapped(void)
{
	uint8_t first[32];

	memcpy(first, f.pcr_values.data, 32);
	memmove(f.pcr_values.data, f.pcr_values.data + 32, 32);
	memcpy(f.pcr_values.data + 32, first, 32);
	forge_wrap(&f);
}

static void quote_changed(void)
{
	f.attest.data[f.attest.len - 1] ^= 1;
	forge_wrap(&f);
}

static void quote_tail(void)
{
	add(&f.attest, "", 1);
	forge_wrap(&f);
}

static void without_host(void)
{
	json_object_del(f.collection, "host");
}

static const struct {
	const char *name;
	void (*before)(void), (*after)(void);
} samples[] = {
	{"good.json", NULL, NULL},
	{"alg-none.json", header_none, NULL},
	{"boot-log-cut.json", NULL, log_cut},
	{"claims-changed.json", NULL, claims_changed},
	{"ima-unlisted.json", ima_more, NULL},
	{"not-enrolled.json", not_enrolled, NULL},
	{"other-agent.json", agent_other, NULL},
	{"pcrs-swapped.json", NULL, pcrs_swapped},
	{"quote-changed.json", NULL, quote_changed},
	{"quote-tail.json", NULL, quote_tail},
	{"without-host.json", NULL, without_host},
};

static void put_file(const char *name, const char *text)
{
	FILE *out = fopen(name, "we");

	if (!out || fputs(text, out) < 0 || fclose(out)) {
		perror(name);
		exit(1);
	}
}

static void name_host(void)
{
	static char policy[65536];
	uint8_t ueid[CLAIMS_UEID_SIZE];
	char text[64], *line;
	struct bytes ek = ek_public(f.ek_key, f.ek_attributes);
	FILE *in = fopen("policy.yaml", "re");

	if (!in || !fread(policy, 1, sizeof(policy) - 1, in)) {
		perror("policy.yaml");
		exit(1);
	}
	fclose(in);
	assert_int_equal(claims_ueid(ek.data, ek.len, ueid), 0);
	base64url_encode(ueid, sizeof(ueid), text);
	line = strstr(policy, "- ueid: ");
	assert_non_null(line);
	memcpy(line + strlen("- ueid: "), text, strlen(text));
	put_file("policy.yaml", policy);
}

/* In a process of its own: each begins with the host as it was. */
static void make(size_t i)
{
	pid_t pid = fork();
	int status;

	if (pid) {
		waitpid(pid, &status, 0);
		if (status)
			exit(1);
		return;
	}
	if (samples[i].before)
		samples[i].before();
	forge_build(&f);
	if (samples[i].after)
		samples[i].after();
	put_file(samples[i].name, json_dumps(f.collection, JSON_COMPACT));
	_exit(0);
}

int main(int argc, char **argv)
{
	if (argc != 2 || chdir(argv[1]) < 0) {
		fprintf(stderr, "usage: evidence_samples DIRECTORY\n");
		return 64;
	}
	forge_begin(&f);
	f.ak_key = key_new(&f.kind);
	put_file("tpm-makers.pem", f.tpm_root);
	put_file("enrolment-ca.pem", f.ak_root);
	name_host();
	for (size_t i = 0; i < sizeof(samples) / sizeof(*samples); i++)
		make(i);
	return 0;
}
