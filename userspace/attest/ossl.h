/* SPDX-License-Identifier: Apache-2.0 */
/* ossl: what OpenSSL and jansson allocate, freed at the end of a scope. */
#pragma once

#include <jansson.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>

#include "base/cleanup.h"

DEFINE_CLEANUP(BIGNUM *, BN_free)
DEFINE_CLEANUP(ECDSA_SIG *, ECDSA_SIG_free)
DEFINE_CLEANUP(EVP_MD_CTX *, EVP_MD_CTX_free)
DEFINE_CLEANUP(EVP_PKEY *, EVP_PKEY_free)
DEFINE_CLEANUP(EVP_PKEY_CTX *, EVP_PKEY_CTX_free)
DEFINE_CLEANUP(OSSL_PARAM_BLD *, OSSL_PARAM_BLD_free)
DEFINE_CLEANUP(OSSL_PARAM *, OSSL_PARAM_free)
DEFINE_CLEANUP(X509 *, X509_free)

#define _cleanup_json_ _cleanup_(json_decrefp)
#define _cleanup_key_ _cleanup_(EVP_PKEY_freep)
