/* SPDX-License-Identifier: Apache-2.0 */
/* imafield: the fields of an IMA entry's template data. */
#pragma once

#include "attest/ima.h"

#define IMA_OLD_DIGEST_SIZE 20 /* of the template "ima" */

bool ima_is_old(const struct reader *name);

int ima_u32(enum ima_order order, struct reader *r, uint32_t *ret);

/* By e->template and e->data, everything below "known". -EBADMSG: not as that template has it. */
int ima_fields(enum ima_order order, struct ima_entry *e);
