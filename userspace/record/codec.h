/* SPDX-License-Identifier: Apache-2.0 */
/* codec: a Record (proto/affiant/v1/record.proto) out of bytes that somebody else stored. */
#pragma once

#include <affiant/v1/record.pb-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

/*
 * Unpacks and checks: exactly one body, no field twice, ids and digests of the right length, enums
 * in range, ports within 16 bits. -EBADMSG otherwise, -ENOTSUP when the body is of a later version.
 * *@ret: record_free().
 */
int record_unpack(const void *data, size_t len, Affiant__V1__Record **ret);
void record_free(Affiant__V1__Record *r);
DEFINE_CLEANUP(Affiant__V1__Record *, record_free)

/* The same address, port, scope and path; neither may be NULL. */
bool endpoint_equal(const Affiant__V1__Endpoint *a, const Affiant__V1__Endpoint *b);
