/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker: the one thread that talks to the TPM. Requests are queued, done in order, and answered in
 * the thread that collects; nothing here makes that thread wait for the TPM. The worker connects,
 * makes its keys ready, comes back after the TPM was lost, and gives every command a deadline.
 *
 * Nobody but tpm/ includes a TSS header.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TPM_PUBLIC_MAX 1024    /* bytes of a TPMT_PUBLIC: RSA 4096 fits */
#define TPM_ATTEST_MAX 1024    /* of a TPMS_ATTEST */
#define TPM_SIGNATURE_MAX 1024 /* of a TPMT_SIGNATURE */
#define TPM_NAME_MAX 66        /* algorithm and SHA-512 */
#define TPM_CHAIN_MAX 8        /* certificates with the EK's */
#define TPM_CERTIFICATE_MAX 4096
#define TPM_PCRS 24
#define TPM_PCR_SIZE 32 /* SHA-256 is the bank that is quoted */

enum tpm_ek { TPM_EK_AUTO, TPM_EK_ECC_P256, TPM_EK_ECC_P384, TPM_EK_RSA_2048 };

struct tpm_config {
	const char *tcti; /* "device:PATH" or "swtpm:path=PATH", absolute; borrowed */
	/* descriptor of an own directory, 0700: the AK's blob and authorisation; borrowed */
	int state_dir;
	uint64_t timeout_ns; /* of one command */
	uint32_t pcrs;       /* a bit for each PCR that is quoted */
	/* AUTO: the first of P-256, P-384, RSA 2048 that has a certificate; else P-256 */
	enum tpm_ek ek;
};

struct tpm_blob {
	size_t len;
	uint8_t *data;
};

/* What does not change while one TPM is there. */
struct tpm_identity {
	char manufacturer[8]; /* TPM_PT_MANUFACTURER, e.g. "IBM" */
	char vendor[24];      /* TPM_PT_VENDOR_STRING_1..4 */
	uint64_t firmware;
	uint8_t ek_public[TPM_PUBLIC_MAX], ak_public[TPM_PUBLIC_MAX]; /* TPMT_PUBLIC */
	size_t ek_public_len, ak_public_len;
	uint8_t ak_name[TPM_NAME_MAX];
	size_t ak_name_len;
	/* DER, the EK's own first, padding of NV taken off */
	struct tpm_blob ek_chain[TPM_CHAIN_MAX];
	size_t ek_chain_count; /* 0: the TPM has no certificate for this EK */
};

enum tpm_state {
	TPM_STARTING, /* not reached yet */
	TPM_READY,
	TPM_LOST, /* it was there: connecting again at times */
	/* dictionary attack protection: it answers, and refuses what needs authorisation */
	TPM_LOCKED_OUT,
	TPM_UNUSABLE, /* answers, but lacks something: 'error' says what */
};

struct tpm_status {
	enum tpm_state state;
	char error[256]; /* the last one, for a person; "" if there was none */
	/* what an operator should know about the keys: the AK was made anew, and why; or "" */
	char notice[256];
	/* a number of tpm_identity: another one when EK or AK are others than before */
	uint64_t generation;
	uint64_t commands; /* since start */
	uint64_t quotes;
	uint64_t failures; /* requests that failed */
	uint64_t reconnects;
	uint64_t queued;
};

/* A quote, as the TPM made it, and the PCR values that give its digest. */
struct tpm_quoted {
	uint8_t attest[TPM_ATTEST_MAX], signature[TPM_SIGNATURE_MAX];
	size_t attest_len, signature_len;
	uint32_t pcrs;                          /* as configured */
	uint8_t values[TPM_PCRS][TPM_PCR_SIZE]; /* those of 'pcrs' alone */
};

struct tpm_worker;

/*
 * Starts the thread, which connects on its own; signals stay with the caller's. -EINVAL: the
 * configuration. What is privileged or filtered later holds for the thread, too: it opens and
 * connects again whenever the TPM was lost.
 */
int tpm_worker_new(const struct tpm_config *config, struct tpm_worker **ret);
/*
 * Ends it; a running command is given up. Takes as long as it takes to flush what the TPM holds of
 * ours: one command's deadline when it does not answer. Requests not done are dropped without a
 * word.
 */
void tpm_worker_free(struct tpm_worker *w);

/* Readable when tpm_worker_collect() has something to do. Borrowed. */
int tpm_worker_fd(const struct tpm_worker *w);

/* Calls the callbacks of the finished requests in this thread; returns how many. */
int tpm_worker_collect(struct tpm_worker *w);

/*
 * @err: 0; -ENODEV: no TPM is reached; -ETIMEDOUT: it did not answer within the deadline; -EAGAIN:
 * locked out; -EIO: it refused, or its keys can't be made ready (tpm_status.error says what);
 * -ESTALE: PCRs moved faster than they could be read. @quoted is borrowed until the callback
 * returns; NULL after an error.
 */
typedef void (*tpm_quote_done)(void *data, int err, const struct tpm_quoted *quoted);

/*
 * TPM2_Quote with the AK over the configured PCRs; @qualifying becomes extraData. -ENOBUFS: too
 * many wait.
 */
int tpm_worker_quote(struct tpm_worker *w, const uint8_t qualifying[static 32], tpm_quote_done done,
		     void *data);

/* @secret: what the credential held, @len bytes. -EBADMSG: it was not made for this EK and AK. */
typedef void (*tpm_activate_done)(void *data, int err, const uint8_t *secret, size_t len);

/*
 * TPM2_ActivateCredential in a salted, encrypted session. @credential: TPM2B_ID_OBJECT, @secret:
 * TPM2B_ENCRYPTED_SECRET, copied.
 */
int tpm_worker_activate(struct tpm_worker *w, const void *credential, size_t credential_len,
			const void *secret, size_t secret_len, tpm_activate_done done, void *data);

/*
 * One certification of the ledger's NV counter (TPM2_NV_Increment if @increment, then
 * TPM2_NV_Certify) with @qualifying; the counter is defined when it is missing.
 */
typedef void (*tpm_anchor_done)(void *data, int err, uint64_t counter,
				const struct tpm_quoted *certified);
int tpm_worker_anchor(struct tpm_worker *w, bool increment, const uint8_t qualifying[static 32],
		      tpm_anchor_done done, void *data);

/* A copy: of the identity only once it was ready (-ENODEV before). Free by tpm_identity_clear(). */
int tpm_worker_identity(struct tpm_worker *w, struct tpm_identity *ret);
void tpm_identity_clear(struct tpm_identity *i);

void tpm_worker_status(struct tpm_worker *w, struct tpm_status *ret);
