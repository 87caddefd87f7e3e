/* SPDX-License-Identifier: Apache-2.0 */
/*
 * certificate: whether the certificates of an endorsement key (TCG EK Credential Profile 2.5) and
 * of an attestation key lead to what the verifier trusts, and what they say. There is no revocation
 * here: who distrusts an issuer takes it out of the store.
 */
#pragma once

#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attest/claims.h"
#include "attest/tpm2.h"
#include "base/buffer.h"

#define CERTIFICATE_CHAIN_MAX 8
#define CERTIFICATE_DER_MAX 8192
#define CERTIFICATE_PEM_MAX 131072

/* What is trusted. Every certificate in it is an anchor, self-signed or not. */
struct certificate_store;
int certificate_store_new(struct certificate_store **ret);
void certificate_store_free(struct certificate_store *s);

/*
 * One or more certificates in PEM. @software: keys that they vouch for are a software TPM's,
 * whatever the certificates say. -EBADMSG: there is none, or one is malformed: then those before it
 * are in the store.
 */
int certificate_store_add(struct certificate_store *s, const void *pem, size_t len, bool software);

/*
 * A chain: the leaf first, at most CERTIFICATE_CHAIN_MAX. To be freed by certificate_chain_free().
 */
int certificate_chain_of_pem(const void *pem, size_t len, STACK_OF(X509) * *ret);
STACK_OF(X509) * certificate_chain_new(void);
/*
 * Zero bytes or ff behind the DER are cut: TPMs keep certificates in NV indices that are larger.
 * -EBADMSG: anything else behind it, no certificate, or one too many.
 */
int certificate_chain_add(STACK_OF(X509) * chain, const void *der, size_t len);
int certificate_chain_pem(const STACK_OF(X509) * chain, struct buffer *ret);
void certificate_chain_free(STACK_OF(X509) * chain);

/*
 * What an EK certificate says of its TPM (TCG EK Credential Profile, 3.2.9): "" where it says
 * nothing.
 */
struct certificate_tpm {
	char manufacturer[32]; /* "id:494E5443" */
	char model[64];
	char version[32];
	/*
	 * A program on some host, whose owner has its keys. By the issuer, if the store calls it
	 * so; else by what the certificate says: manufacturer id:00001014 (swtpm's default, and
	 * nobody's in TCG's registry), or a model with "swtpm" or "simulator" in it. An issuer that
	 * certifies a software TPM under another manufacturer's name must be called software in the
	 * store.
	 */
	bool software;
};

/*
 * Whether @chain leads from @ek to the store at time @at (seconds). Each is known from the field
 * and passes: a critical subject alternative name under an empty subject, none at all, padding
 * (above), a key labelled RSAES-OAEP, validity to the year 9999, issuers in the chain. Refused by
 * *@ret_why (static): anything critical that is not understood, a CA's certificate, another key, a
 * key usage that is no EK's, signatures below 112 bits. 0 or -EBADMSG.
 */
int certificate_check_ek(const struct certificate_store *s, STACK_OF(X509) * chain,
			 const struct tpm2_public *ek, int64_t at, struct certificate_tpm *ret,
			 const char **ret_why);

/*
 * Whether @chain leads from the attestation key @ak to the store (docs/evidence.md, "Enrolment"):
 * by RFC 5280's rules to the letter, since these certificates are ours. The EKU also sits on
 * issuing CAs, so that cA=false counts. @ret: of the EK that the key was activated with.
 */
int certificate_check_ak(const struct certificate_store *s, STACK_OF(X509) * chain,
			 const struct tpm2_public *ak, int64_t at,
			 uint8_t ret[static CLAIMS_UEID_SIZE], const char **ret_why);

#define CERTIFICATE_UEID_URI "tag:affiant.dev,2026:ueid:" /* and the ueid in base64url */
#define CERTIFICATE_AK_PURPOSE "2.23.133.8.3"             /* tcg-kp-AIKCertificate */
