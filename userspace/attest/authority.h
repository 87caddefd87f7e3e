/* SPDX-License-Identifier: Apache-2.0 */
/*
 * authority: the enrolment CA. It says that an attestation key lives in the TPM with a certain EK.
 */
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdint.h>

#include "attest/claims.h"
#include "attest/tpm2.h"
#include "base/buffer.h"

#define AUTHORITY_NAME_MAX 64 /* characters: ub-common-name (RFC 5280, appendix A) */
#define AUTHORITY_DAYS_MAX 36500

struct authority {
	X509 *certificate;
	EVP_PKEY *key;
};

/*
 * A new one. @curve: "P-256" or "P-384"; @name: its common name, UTF-8. -EINVAL for any other.
 * @now: seconds.
 */
int authority_new(const char *curve, const char *name, int64_t now, unsigned int days,
		  struct authority *ret);

/*
 * From PEM: the certificate first, issuers behind it are not read. -EBADMSG: malformed, or the key
 * is another one's, or the certificate no CA's.
 */
int authority_load(const void *certificate, size_t certificate_len, const void *key, size_t key_len,
		   struct authority *ret);
/* Both as PEM; the key, PKCS #8, in the clear. */
int authority_pem(const struct authority *a, struct buffer *certificate, struct buffer *key);
void authority_clear(struct authority *a);

/*
 * The certificate of @ak, from @now for @days, never longer than the authority's own. @ueid: of the
 * EK that it was activated with. -EINVAL: the key is none, or the authority is not valid now.
 */
int authority_issue(const struct authority *a, const struct tpm2_public *ak,
		    const uint8_t ueid[static CLAIMS_UEID_SIZE], int64_t now, unsigned int days,
		    X509 **ret);
