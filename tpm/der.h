/* SPDX-License-Identifier: Apache-2.0 */
/* der: where a certificate ends in the memory that holds it. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Length of the SEQUENCE (X.690, 8.1) that @data begins with, header included. NV indices are
 * larger than what was written to them, with zeros or 0xff behind. -EBADMSG: it begins with no
 * SEQUENCE, or ends before it does.
 */
int der_length(const void *data, size_t len, size_t *ret);
