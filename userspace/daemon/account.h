/* SPDX-License-Identifier: Apache-2.0 */
/*
 * account: users and groups of this host, by name or by number. Asked for at start-up alone: NSS
 * may block.
 */
#pragma once

#include <sys/types.h>

/* -ENOENT: no such user. A number needs no entry. */
int account_user(const char *text, uid_t *ret);
int account_group(const char *text, gid_t *ret);
