/* SPDX-License-Identifier: Apache-2.0 */
/*
 * context: one connection to a TPM through ESYS: deadlines, repeated commands, errors, what others
 * left.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <tss2/tss2_esys.h>

#include "base/cleanup.h"
#include "tpm/tcti.h"

/*
 * Making a key takes a hardware TPM seconds (RSA: many), whatever the deadline of everything else
 * is.
 */
#define CONTEXT_KEY_NS 60000000000ull

struct context {
	struct tcti *tcti; /* owned by the caller */
	ESYS_CONTEXT *esys;
	uint64_t timeout_ns;
	uint64_t commands; /* since ever */
	TSS2_RC rc;  /* of the last command: what the TPM said; 0 also when it could not be asked */
	bool broken; /* the connection, or what ESYS and the TPM have of us, is no use any more */
	char error[256]; /* the last failure, for a person */
	struct {
		uint64_t deadline_ns;
		unsigned int tries;
	} command; /* that is under way */
};

/*
 * Connects. Without a resource manager, objects and sessions that somebody else left in the TPM are
 * flushed: it has room for three. The error is in c->error, too.
 */
int context_open(struct context *c);
/* Our own are flushed while the TPM answers, otherwise by the next context_open(). */
void context_close(struct context *c);

/*
 * TPM_COMMAND(c, Esys_Quote, (in ...), (out ...)): 0 or a negative errno, told in c->error:
 * -ETIMEDOUT, -ECANCELED, -ENODEV (the connection is gone), -EAGAIN (locked out), -ENOMEM, -EIO:
 * the TPM refused (c->rc), or what it answered is no answer.
 *
 * The response is awaited by tcti.c, so _Finish asks to be called again only after ESYS sent a
 * command anew.
 */
#define TPM_COMMAND(c, name, in, out) TPM_COMMAND_WITHIN(c, (c)->timeout_ns, name, in, out)
#define TPM_COMMAND_WITHIN(c, within_ns, name, in, out)                                            \
	({                                                                                         \
		TSS2_RC _rc;                                                                       \
		context_begin(c, within_ns);                                                       \
		do {                                                                               \
			_rc = name##_Async in;                                                     \
			if (_rc == TSS2_RC_SUCCESS)                                                \
				do                                                                 \
					_rc = name##_Finish out;                                   \
				while (_rc == TSS2_ESYS_RC_TRY_AGAIN);                             \
		} while (context_again(c, _rc));                                                   \
		context_end(c, #name, _rc);                                                        \
	})

void context_begin(struct context *c, uint64_t within_ns);
bool context_again(struct context *c, TSS2_RC rc);
int context_end(struct context *c, const char *name, TSS2_RC rc);

/* Sets c->error; returns @err. */
int context_fail(struct context *c, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* What the TPM said last, without the parameter, handle or session that it blames; 0: nothing. */
TSS2_RC context_code(const struct context *c);
/* ... and whether it blames a parameter. */
bool context_blames_parameter(const struct context *c);

/*
 * HMAC session. With a @salt_key its key is a secret from who listens on the bus, and parameters
 * can be encrypted: @attributes TPMA_SESSION_DECRYPT (the command's), TPMA_SESSION_ENCRYPT (the
 * response's).
 */
int context_session(struct context *c, ESYS_TR salt_key, TPMA_SESSION attributes, ESYS_TR *ret);

/* Flushes it if there is one, and forgets it. */
void context_flush(struct context *c, ESYS_TR *handle);

/* A fixed property (TPM_PT). */
int context_property(struct context *c, uint32_t property, uint32_t *ret);
