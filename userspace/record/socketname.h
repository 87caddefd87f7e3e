/* SPDX-License-Identifier: Apache-2.0 */
/*
 * socketname: a Unix socket's address as people write it. What its first character says can't be
 * mistaken: '@' an abstract name, '/' a path (or ".../" its end, where it was too long), '.' a path
 * from a directory that isn't known; "(unnamed)" has none.
 */
#pragma once

#include <affiant/v1/record.pb-c.h>
#include <stdbool.h>

#include "base/buffer.h"

/* Its bytes, which somebody else chose. @e has a path. */
void socketname_add(struct buffer *out, const Affiant__V1__Endpoint *e);

bool socketname_is_abstract(const Affiant__V1__Endpoint *e);
