/* SPDX-License-Identifier: Apache-2.0 */
/* policy: a verifier's policy as it is written (docs/token-services.md, "Policy"): YAML,
 * certificates and allowlists beside it. */
#pragma once

#include "attest/affiant-verify.h"

#define POLICY_LIST_MAX 4096u       /* entries of a list */
#define POLICY_FILE_MAX (64u << 20) /* bytes of an allowlist */

struct policy;

/*
 * What @text, named @name, says. Names of files in it are relative to @dir (descriptor; -1: naming
 * any is a mistake). 0, or -EBADMSG and *@ret_why (to be freed) is "file:line: key: what, and what
 * is allowed"; -ENOMEM.
 */
int policy_parse(const char *name, const void *text, size_t len, int dir, struct policy **ret,
		 char **ret_why);
/* From a file; also its errors. */
int policy_load(const char *path, struct policy **ret, char **ret_why);
void policy_free(struct policy *p);
/* Borrowed. */
const struct affiant_policy *policy_rules(const struct policy *p);
