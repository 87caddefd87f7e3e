/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keystore: what has to outlive the daemon, in a directory of its own, each file 0600 and replaced
 * whole: ak.blob (the wrapped attestation key; only this TPM can use it), ak.auth and counter.auth
 * (authorisations).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <tss2/tss2_tpm2_types.h>

#define KEYSTORE_BLOB "ak.blob"
#define KEYSTORE_AK_AUTH "ak.auth"
#define KEYSTORE_COUNTER_AUTH "counter.auth"

/* A key as TPM2_Create returned it. */
struct keystore_key {
	TPM2B_PUBLIC public;
	TPM2B_PRIVATE private;
};

/* 0; -ENOENT; -EBADMSG: there is a file, and it is damaged; another errno: it can't be read. */
int keystore_load_key(int dir, struct keystore_key *ret);
int keystore_save_key(int dir, const struct keystore_key *key);

/*
 * An authorisation and the name of what it is for, so that two halves of an interrupted replacement
 * are not taken for a whole. @ret is to be wiped by the caller. -ESTALE: it is for something else.
 */
int keystore_load_auth(int dir, const char *file, const void *name, size_t len, TPM2B_AUTH *ret);
int keystore_save_auth(int dir, const char *file, const void *name, size_t len,
		       const TPM2B_AUTH *auth);

/* 32 random bytes. 0 or -EIO. */
int keystore_random_auth(TPM2B_AUTH *ret);
