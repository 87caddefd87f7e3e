/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ca: the parts of affiant ca, once its options are read. Each logs what goes wrong and returns an
 * exit code.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CA_TRUST_MAX 32

struct ca_options {
	const char *dir;   /* of the authority */
	const char *out;   /* "-": standard output */
	const char *name;  /* of a new authority */
	const char *curve; /* likewise */
	uint64_t days;
	uint64_t expires; /* seconds until a challenge does */
	const char *trust[CA_TRUST_MAX];
	unsigned int trust_count;
	bool software;    /* a software TPM will do */
	const char *ueid; /* of a TPM whose EK has no certificate; NULL: it has to have one */
};

int ca_init(const struct ca_options *o);
int ca_challenge(const struct ca_options *o, const char *request);
int ca_issue(const struct ca_options *o, const char *answer);
