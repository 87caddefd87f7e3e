/* SPDX-License-Identifier: Apache-2.0 */
/*
 * endorsement: the endorsement key, its certificates, and the sessions in which it does something.
 */
#pragma once

#include "tpm/context.h"
#include "tpm/template.h"
#include "tpm/worker.h"

struct endorsement {
	const struct ek_template *template;
	ESYS_TR key; /* ESYS_TR_NONE: none */
	TPM2B_PUBLIC public;
};

/*
 * Makes the key of @kind (see tpm_config.ek) and reads its certificate chain into @chain
 * (TPM_CHAIN_MAX), *ret_count certificates, owned by the caller also after an error. The key is
 * flushed by context_flush().
 */
int endorsement_make(struct context *c, enum tpm_ek kind, struct endorsement *ret,
		     struct tpm_blob *chain, size_t *ret_count);

/* A policy session that authorises one use of the key; to be flushed. */
int endorsement_authorise(struct context *c, const struct endorsement *e, ESYS_TR *ret);
