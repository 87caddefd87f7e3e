/* SPDX-License-Identifier: Apache-2.0 */
/*
 * claims_files: the files that claims, or host claims, tell of, with the digest that goes with each
 * one's state (docs/evidence.md, "Claims"). For claims_encode.c and
 * claims_parse.c.
 */
#pragma once

#include "attest/claims.h"

/*
 * The member of @o that @claim ends with, 1 to @max of them; @host: in host claims. In others it
 * may be missing, when nothing is known of what was executed: EAT has no empty list. Errors as
 * member.h's. @ret is zeroed by the caller; *@ret_count counts a file as soon as it may hold
 * memory, also on failure.
 */
int claims_files_parse(const char **why, const json_t *o, const char *claim, bool host, size_t max,
		       struct claims_file *ret, size_t *ret_count);

/* An entry of "measurements"; NULL: no memory, or no UTF-8 or no path where there must be one. */
json_t *claims_file_json(const struct claims_file *f);
