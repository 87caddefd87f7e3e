/* SPDX-License-Identifier: Apache-2.0 */
/* nv: what the TPM's NV memory keeps for everybody to read: certificates, templates. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "tpm/context.h"

/*
 * The whole of @index. *ret is owned by the caller. -ENOENT: there is no such index, or nothing was
 * ever written to it; otherwise as TPM_COMMAND().
 */
int nv_read(struct context *c, TPM2_HANDLE index, uint8_t **ret, size_t *ret_len);

/* The defined indices from @first up to, but without, @end; at most @room. */
int nv_list(struct context *c, TPM2_HANDLE first, TPM2_HANDLE end, TPM2_HANDLE *ret, size_t room,
	    size_t *ret_count);

/* ESYS's idea of @index, closed by Esys_TR_Close(). -ENOENT: there is no such index. */
int nv_open(struct context *c, TPM2_HANDLE index, ESYS_TR *ret, TPMS_NV_PUBLIC *ret_public);
