/* SPDX-License-Identifier: Apache-2.0 */
#include "tpm/counter.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>
#include <tss2/tss2_mu.h>

#include "base/reader.h"
#include "tpm/keystore.h"
#include "tpm/nv.h"

/*
 * Only with its authorisation, which nobody else has: another's increments would look like a
 * rollback.
 */
#define ATTRIBUTES                                                                                 \
	(TPM2_NT_COUNTER << TPMA_NV_TPM2_NT_SHIFT | TPMA_NV_AUTHWRITE | TPMA_NV_AUTHREAD |         \
	 TPMA_NV_NO_DA)
#define COUNTER_SIZE 8

static const uint8_t index_bytes[] = {COUNTER_INDEX >> 24, COUNTER_INDEX >> 16 & 0xff,
				      COUNTER_INDEX >> 8 & 0xff, COUNTER_INDEX & 0xff};

static int define(struct context *c, const struct endorsement *e, int dir)
{
	const TPM2B_NV_PUBLIC public = {.nvPublic = {
						.nvIndex = COUNTER_INDEX,
						.nameAlg = TPM2_ALG_SHA256,
						.attributes = ATTRIBUTES,
						.dataSize = COUNTER_SIZE,
					}};
	ESYS_TR cipher = ESYS_TR_NONE, nv;
	TPM2B_AUTH auth;
	int err;

	err = keystore_random_auth(&auth);
	err = err
		      ?: keystore_save_auth(dir, KEYSTORE_COUNTER_AUTH, index_bytes,
					    sizeof(index_bytes), &auth);
	if (err)
		err = context_fail(c, -EIO, "%s can't be kept: %s", KEYSTORE_COUNTER_AUTH,
				   strerror(-err));
	err = err ?: context_session(c, e->key, TPMA_SESSION_DECRYPT, &cipher);
	err = err
		      ?: TPM_COMMAND(c, Esys_NV_DefineSpace,
				     (c->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, cipher,
				      ESYS_TR_NONE, &auth, &public),
				     (c->esys, &nv));
	OPENSSL_cleanse(&auth, sizeof(auth));
	context_flush(c, &cipher);
	if (!err)
		Esys_TR_Close(c->esys, &nv);
	return err;
}

static int check(struct context *c, const TPMS_NV_PUBLIC *public)
{
	if ((public->attributes & ~TPMA_NV_WRITTEN) != ATTRIBUTES ||
	    public->dataSize != COUNTER_SIZE || public->nameAlg != TPM2_ALG_SHA256)
		return context_fail(c, -EIO, "NV index 0x%08x is somebody else's", COUNTER_INDEX);
	return 0;
}

static int set_auth(struct context *c, int dir, ESYS_TR nv)
{
	TPM2B_AUTH auth;
	int err;

	err = keystore_load_auth(dir, KEYSTORE_COUNTER_AUTH, index_bytes, sizeof(index_bytes),
				 &auth);
	if (err)
		return context_fail(c, -EIO, "%s, without which NV index 0x%08x is of no use: %s",
				    KEYSTORE_COUNTER_AUTH, COUNTER_INDEX, strerror(-err));
	if (Esys_TR_SetAuth(c->esys, nv, &auth))
		err = context_fail(c, -EIO, "Esys_TR_SetAuth failed");
	OPENSSL_cleanse(&auth, sizeof(auth));
	return err;
}

static int certify(struct context *c, const struct attestation *a, ESYS_TR nv, ESYS_TR session,
		   const uint8_t qualifying[static 32], uint64_t *ret,
		   struct tpm_quoted *ret_certified)
{
	static const TPMT_SIG_SCHEME of_key = {.scheme = TPM2_ALG_NULL};
	_cleanup_free_ TPMT_SIGNATURE *signature = NULL;
	_cleanup_free_ TPM2B_ATTEST *attest = NULL;
	TPM2B_DATA extra = {.size = 32};
	TPMS_ATTEST parsed;
	const TPM2B_MAX_NV_BUFFER *contents = &parsed.attested.nv.nvContents;
	struct reader r;
	size_t offset = 0;
	int err;

	memcpy(extra.buffer, qualifying, extra.size);
	err = TPM_COMMAND(c, Esys_NV_Certify,
			  (c->esys, a->key, nv, nv, a->session, session, ESYS_TR_NONE, &extra,
			   &of_key, COUNTER_SIZE, 0),
			  (c->esys, &attest, &signature));
	if (err)
		return err;
	if (Tss2_MU_TPMS_ATTEST_Unmarshal(attest->attestationData, attest->size, &offset,
					  &parsed) ||
	    parsed.type != TPM2_ST_ATTEST_NV || contents->size != COUNTER_SIZE)
		return context_fail(c, -EIO, "TPM2_NV_Certify: the TPM certified something else");
	r = reader_of(contents->buffer, contents->size);
	(void)reader_u64be(&r, ret);
	ret_certified->pcrs = 0;
	return attestation_take(c, attest, signature, ret_certified);
}

static int open_defined(struct context *c, const struct endorsement *e, int dir, ESYS_TR *ret,
			TPMS_NV_PUBLIC *ret_public)
{
	int err = nv_open(c, COUNTER_INDEX, ret, ret_public);

	if (err != -ENOENT)
		return err;
	return define(c, e, dir) ?: nv_open(c, COUNTER_INDEX, ret, ret_public);
}

int counter_certify(struct context *c, const struct endorsement *e, const struct attestation *a,
		    int dir, bool increment, const uint8_t qualifying[static 32], bool *ret_moved,
		    uint64_t *ret, struct tpm_quoted *ret_certified)
{
	ESYS_TR nv, session = ESYS_TR_NONE;
	TPMS_NV_PUBLIC public;
	int err;

	*ret_moved = false;
	err = open_defined(c, e, dir, &nv, &public);
	if (err)
		return err;
	err = check(c, &public) ?: set_auth(c, dir, nv) ?: context_session(c, ESYS_TR_NONE, 0, &session);
	*ret_moved = !err && (increment || !(public.attributes & TPMA_NV_WRITTEN));
	if (*ret_moved)
		err = TPM_COMMAND(c, Esys_NV_Increment,
				  (c->esys, nv, nv, session, ESYS_TR_NONE, ESYS_TR_NONE),
				  (c->esys));
	err = err ?: certify(c, a, nv, session, qualifying, ret, ret_certified);
	context_flush(c, &session);
	Esys_TR_Close(c->esys, &nv);
	return err;
}
