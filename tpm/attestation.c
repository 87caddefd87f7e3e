/* SPDX-License-Identifier: Apache-2.0 */
#include "tpm/attestation.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>
#include <tss2/tss2_mu.h>

#include "tpm/keystore.h"

static int name_of(struct context *c, ESYS_TR key, TPM2B_NAME *ret)
{
	_cleanup_free_ TPM2B_NAME *name = NULL;

	if (Esys_TR_GetName(c->esys, key, &name))
		return context_fail(c, -EIO, "Esys_TR_GetName failed");
	*ret = *name;
	return 0;
}

/* Nobody on the bus learns the new key's authorisation: it goes encrypted. */
static int create(struct context *c, const struct endorsement *e, const TPM2B_AUTH *auth,
		  struct keystore_key *ret)
{
	static const TPM2B_DATA outside;
	static const TPML_PCR_SELECTION pcrs;
	_cleanup_free_ TPM2B_PRIVATE *private = NULL;
	_cleanup_free_ TPM2B_PUBLIC *public = NULL;
	ESYS_TR policy = ESYS_TR_NONE, cipher = ESYS_TR_NONE;
	TPM2B_SENSITIVE_CREATE sensitive = {.sensitive.userAuth = *auth};
	TPM2B_PUBLIC wanted;
	int err;

	template_attestation_key(&wanted);
	err = endorsement_authorise(c, e, &policy);
	err = err ?: context_session(c, e->key, TPMA_SESSION_DECRYPT, &cipher);
	err = err
		      ?: TPM_COMMAND_WITHIN(c, CONTEXT_KEY_NS, Esys_Create,
					    (c->esys, e->key, policy, cipher, ESYS_TR_NONE,
					     &sensitive, &wanted, &outside, &pcrs),
					    (c->esys, &private, &public, NULL, NULL, NULL));
	OPENSSL_cleanse(&sensitive, sizeof(sensitive));
	context_flush(c, &cipher);
	context_flush(c, &policy);
	if (!err)
		*ret = (struct keystore_key){.public = *public, .private = *private};
	return err;
}

static int load(struct context *c, const struct endorsement *e, const struct keystore_key *key,
		struct attestation *ret)
{
	ESYS_TR policy;
	int err;

	err = endorsement_authorise(c, e, &policy);
	if (err)
		return err;
	err = TPM_COMMAND(
		c, Esys_Load,
		(c->esys, e->key, policy, ESYS_TR_NONE, ESYS_TR_NONE, &key->private, &key->public),
		(c->esys, &ret->key));
	context_flush(c, &policy);
	if (err) {
		ret->key = ESYS_TR_NONE;
		return err;
	}
	ret->public = key->public;
	return name_of(c, ret->key, &ret->name);
}

static int authorise(struct context *c, struct attestation *a, const TPM2B_AUTH *auth)
{
	if (Esys_TR_SetAuth(c->esys, a->key, auth))
		return context_fail(c, -EIO, "Esys_TR_SetAuth failed");
	return context_session(c, ESYS_TR_NONE, 0, &a->session);
}

/* The authorisation is on disk before the key that needs it. */
static int make(struct context *c, const struct endorsement *e, int dir, struct attestation *ret)
{
	struct keystore_key key;
	TPM2B_AUTH auth;
	int err;

	err = keystore_random_auth(&auth);
	err = err ?: create(c, e, &auth, &key);
	err = err ?: load(c, e, &key, ret);
	if (!err) {
		err = keystore_save_auth(dir, KEYSTORE_AK_AUTH, ret->name.name, ret->name.size,
					 &auth);
		err = err ?: keystore_save_key(dir, &key);
		if (err)
			err = context_fail(c, -EIO, "the attestation key can't be kept: %s",
					   strerror(-err));
	}
	err = err ?: authorise(c, ret, &auth);
	OPENSSL_cleanse(&auth, sizeof(auth));
	return err;
}

/* -ESTALE: there is a key, and it is no use. */
static int use(struct context *c, const struct endorsement *e, int dir,
	       const struct keystore_key *key, struct attestation *ret)
{
	TPM2B_AUTH auth;
	int err;

	err = load(c, e, key, ret);
	/*
	 * The blob's integrity is checked with a secret of the parent. Its sum was right, so it is
	 * not damaged.
	 */
	if (err == -EIO && context_code(c) == TPM2_RC_INTEGRITY)
		return -ESTALE;
	if (err)
		return err;
	err = keystore_load_auth(dir, KEYSTORE_AK_AUTH, ret->name.name, ret->name.size, &auth);
	if (err && err != -ESTALE)
		return context_fail(c, -EIO, "%s beside the attestation key: %s", KEYSTORE_AK_AUTH,
				    err == -EBADMSG ? "damaged" : strerror(-err));
	err = err ?: authorise(c, ret, &auth);
	OPENSSL_cleanse(&auth, sizeof(auth));
	return err;
}

int attestation_load(struct context *c, const struct endorsement *e, int dir,
		     struct attestation *ret, const char **ret_notice)
{
	struct attestation a = {.key = ESYS_TR_NONE, .session = ESYS_TR_NONE};
	const char *notice = NULL;
	struct keystore_key key;
	int err;

	err = keystore_load_key(dir, &key);
	if (err && err != -ENOENT)
		return context_fail(c, -EIO,
				    "the attestation key in %s is %s: mend that, or move it away "
				    "to have another made",
				    KEYSTORE_BLOB, err == -EBADMSG ? "damaged" : strerror(-err));
	if (!err) {
		err = use(c, e, dir, &key, &a);
		if (err == -ESTALE) {
			attestation_close(c, &a);
			notice = "the attestation key was made anew: the TPM does not know the one "
				 "that was kept "
				 "(another TPM, a cleared one, or another endorsement key)";
			err = -ENOENT;
		}
	}
	if (err == -ENOENT)
		err = make(c, e, dir, &a);
	if (err) {
		attestation_close(c, &a);
		return err;
	}
	*ret = a;
	*ret_notice = notice;
	return 0;
}

void attestation_close(struct context *c, struct attestation *a)
{
	context_flush(c, &a->session);
	context_flush(c, &a->key);
}

int attestation_take(struct context *c, const TPM2B_ATTEST *attest, const TPMT_SIGNATURE *signature,
		     struct tpm_quoted *ret)
{
	size_t len = 0;

	if (attest->size > sizeof(ret->attest) ||
	    Tss2_MU_TPMT_SIGNATURE_Marshal(signature, ret->signature, sizeof(ret->signature), &len))
		return context_fail(c, -EIO, "the TPM signed something too large");
	memcpy(ret->attest, attest->attestationData, attest->size);
	ret->attest_len = attest->size;
	ret->signature_len = len;
	return 0;
}

/*
 * After a failed activation: whether it was the credential's fault. A secret that RSA-OAEP can't
 * decrypt makes libtpms say TPM_RC_FAILURE, which otherwise means that the TPM does nothing any
 * more.
 */
static bool blames_credential(struct context *c)
{
	ESYS_TR probe;

	if (context_blames_parameter(c))
		return true;
	if (context_code(c) != TPM2_RC_FAILURE || context_session(c, ESYS_TR_NONE, 0, &probe))
		return false;
	context_flush(c, &probe);
	return true;
}

int attestation_activate(struct context *c, const struct endorsement *e,
			 const struct attestation *a, const TPM2B_ID_OBJECT *credential,
			 const TPM2B_ENCRYPTED_SECRET *secret, TPM2B_DIGEST *ret)
{
	_cleanup_free_ TPM2B_DIGEST *found = NULL;
	ESYS_TR policy = ESYS_TR_NONE, cipher = ESYS_TR_NONE;
	int err;

	err = context_session(c, e->key, TPMA_SESSION_ENCRYPT, &cipher)
		      ?: endorsement_authorise(c, e, &policy);
	err = err
		      ?: TPM_COMMAND(c, Esys_ActivateCredential,
				     (c->esys, a->key, e->key, cipher, policy, ESYS_TR_NONE,
				      credential, secret),
				     (c->esys, &found));
	if (!err) {
		*ret = *found;
		OPENSSL_cleanse(found, sizeof(*found));
	}
	context_flush(c, &policy);
	context_flush(c, &cipher);
	return err == -EIO && blames_credential(c) ? -EBADMSG : err;
}
