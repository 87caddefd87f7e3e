/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify [SECONDS]: evidence verified a second, by one thread, of a host that is remembered: with a quote each, and 64 to
 * a quote; with the logs; and one P-256 signature, which is the least that any of them takes. Several rounds, median and
 * spread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define require(condition)                                                                         \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "verify: %s\n", #condition);                               \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)
#define assert_int_equal(a, b) require((a) == (b))
#define assert_true(a) require(a)
#define assert_non_null(a) require(a)
#define fail_msg(...) (fprintf(stderr, __VA_ARGS__), exit(1))

#include "forge.h"

#define ROUNDS 7
#define COUNT 256
#define BATCH 64

static struct forge f;
static struct hoststate kept;
static char *evidence[COUNT];
static size_t lost; /* that were not affirmed */

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts); /* per core, whoever else is there */
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void print(const char *name, double values[ROUNDS])
{
	qsort(values, ROUNDS, sizeof(*values), by_value);
	printf("%-50s %9.0f /s  (%.0f .. %.0f)\n", name, values[ROUNDS / 2], values[0],
	       values[ROUNDS - 1]);
}

static void token(unsigned int i)
{
	char jti[64];

	snprintf(jti, sizeof(jti), "019a1c2d-3e4f-7a5b-8c6d-%012x", i);
	json_object_set_new(f.payload, "jti", json_string(jti));
	json_decref(f.header);
	free(f.token);
	f.header = NULL;
	forge_token(&f);
}

static void keep(unsigned int i)
{
	forge_wrap(&f);
	free(evidence[i]);
	evidence[i] = json_dumps(f.collection, JSON_COMPACT);
}

static void quote_each(void)
{
	f.batch = 1;
	f.index = 0;
	for (unsigned int i = 0; i < COUNT; i++) {
		token(i);
		f.attest.len = f.pcr_values.len = 0;
		forge_quote(&f);
		keep(i);
	}
}

static void share(void)
{
	struct sha256 leaves[BATCH];
	char *tokens[BATCH];

	f.batch = BATCH;
	f.other_leaves = leaves;
	for (unsigned int i = 0; i < COUNT; i++) {
		token(i);
		tokens[i % BATCH] = strdup(f.token);
		leaves[i % BATCH] = f.leaf;
		if (i % BATCH != BATCH - 1)
			continue;
		f.index = BATCH - 1;
		f.attest.len = f.pcr_values.len = 0;
		forge_quote(&f);
		for (unsigned int k = 0; k < BATCH; k++) {
			f.index = k;
			f.leaf = leaves[k];
			free(f.token);
			f.token = tokens[k];
			forge_batch(&f);
			keep(i - BATCH + 1 + k);
		}
	}
}

/* Every round with a verifier that has seen none of them. */
static void measure(const char *name, double seconds, unsigned int count)
{
	double values[ROUNDS];

	for (int round = 0; round < ROUNDS; round++) {
		const double begin = now();
		unsigned int done = 0;
		double took;

		do {
			struct verifier *v;
			const char *why = "";

			require(verifier_new(&f.policy, &v, &why) == 0);
			for (unsigned int i = 0; i < count; i++, done++) {
				const struct verify_request q = {
					.evidence = evidence[i],
					.len = strlen(evidence[i]),
					.nonce = FORGE_NONCE,
					.audience = FORGE_AUDIENCE,
					.now = FORGE_NOW,
					.cached = f.cached,
				};
				struct verify_result *r;

				require(verify(v, &q, &r) == 0);
				lost += r->verdict != AFFIANT_AFFIRMED;
				verify_result_free(r);
			}
			verifier_free(v);
			took = now() - begin;
		} while (took < seconds);
		values[round] = done / took;
	}
	print(name, values);
}

static void measure_signature(double seconds)
{
	const size_t len = strlen(f.token);
	struct jose_parsed p;
	double values[ROUNDS];

	require(jose_parse(f.token, len, CLAIMS_DEPTH_MAX, &p) == 0);
	for (int round = 0; round < ROUNDS; round++) {
		const double begin = now();
		unsigned int done = 0;

		do {
			for (int i = 0; i < 100; i++, done++)
				lost += jose_verify(f.evidence_key, f.token, p.signing_input_len,
						    p.signature, p.signature_len) != 0;
		} while (now() - begin < seconds);
		values[round] = done / (now() - begin);
	}
	jose_parsed_clear(&p);
	print("one ES256 signature", values);
}

int main(int argc, char **argv)
{
	const double seconds = argc > 1 ? strtod(argv[1], NULL) : 1;
	struct verify_result *r;

	if (argc > 2 || seconds <= 0) {
		fprintf(stderr, "usage: verify [SECONDS]\n");
		return 64;
	}
	forge_begin(&f);
	forge_build(&f);
	evidence[0] = json_dumps(f.collection, JSON_COMPACT);
	printf("%d rounds of %.1f s, one thread; evidence of %zu bytes\n", ROUNDS, seconds,
	       strlen(evidence[0]));
	measure("with the logs", seconds, 1);
	r = forge_verify(&f);
	require(r->has_host);
	kept = r->host;
	f.cached = &kept;
	verify_result_free(r);
	json_decref(f.host);
	f.host = NULL;
	quote_each();
	measure("with a quote each", seconds, COUNT);
	share();
	measure("64 to a quote", seconds, COUNT);
	measure_signature(seconds);
	printf("lost %zu\n", lost);
	for (unsigned int i = 0; i < COUNT; i++)
		free(evidence[i]);
	forge_end(&f);
	return lost > 0;
}
