/* SPDX-License-Identifier: Apache-2.0 */
/* folded: what a Folded record says as a whole. */
#pragma once

#include <affiant/v1/record.pb-c.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * How often it happened, of kind @kind: without what an earlier record counted already. UINT64_MAX:
 * more than that.
 */
uint64_t folded_count(const Affiant__V1__Folded *f, Affiant__V1__FoldedKind kind);
/* Of all kinds. */
uint64_t folded_total(const Affiant__V1__Folded *f);
/* Connections are among it. */
bool folded_is_network(const Affiant__V1__Folded *f);
