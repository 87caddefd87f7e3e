/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcti: commands to the TPM and its responses, through a descriptor of our own: a device (tpmrm0)
 * or the UNIX socket of swtpm. Every wait ends with the deadline; the TCTIs that come with the TSS
 * ignore theirs.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tss2/tss2_tcti.h>

/* TPM_PT_MAX_RESPONSE_SIZE of all that are known; ESYS has room for no more */
#define TCTI_RESPONSE_MAX 4096

struct tcti;

/*
 * @where: "device:PATH" or "swtpm:path=PATH", absolute (-EINVAL otherwise). A wait also ends when
 * @cancel_fd becomes readable; borrowed. Nothing is opened yet.
 */
int tcti_new(const char *where, int cancel_fd, struct tcti **ret);
void tcti_free(struct tcti *t);

/*
 * -ETIMEDOUT also while the driver still works on a command that was given up: its descriptor can't
 * be closed without waiting for it.
 */
int tcti_connect(struct tcti *t);
/* A response that comes late goes nowhere: what connects next is a new connection. */
void tcti_disconnect(struct tcti *t);

/* Whether somebody between us and the TPM keeps other programs' objects and sessions from us. */
bool tcti_managed(const struct tcti *t);

/* On CLOCK_MONOTONIC; of what is sent and received from now on. */
void tcti_set_deadline(struct tcti *t, uint64_t at_ns);

/*
 * Why the last transmission failed: -ETIMEDOUT, -ECANCELED, -ENODEV (the other end went away),
 * -EBADMSG (what came is no response). 0: it did not. After a failure nothing but tcti_disconnect()
 * makes sense.
 */
int tcti_error(const struct tcti *t);

/* For Esys_Initialize(); borrowed. */
TSS2_TCTI_CONTEXT *tcti_tss(struct tcti *t);

/* One command without ESYS; *ret_rc: the response's code. */
int tcti_command(struct tcti *t, const void *command, size_t len, uint32_t *ret_rc);

/*
 * The header of a response (TPM 2.0 Library, Part 1, 18: tag, size, code): *ret is its whole size,
 * 0 while fewer than ten bytes are there. -EBADMSG: no response, larger than @max, or bytes behind
 * its end.
 */
int tcti_response_size(const uint8_t *data, size_t have, size_t max, size_t *ret);
