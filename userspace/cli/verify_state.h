/* SPDX-License-Identifier: Apache-2.0 */
/* verify_state: what affiant verify remembers of hosts: a file for each, in a directory. On failure
 * it has said why. */
#pragma once

#include "attest/hoststate.h"

/* A descriptor, to be closed: until then no other process that asks has it. Who loads and later saves
 * holds it between, or of two at once the one that knew less might save last. */
int verify_state_lock(const char *dir);
/* Of the host that @evidence claims to be of. @dir NULL, a host that is not known, and evidence
 * that names none: 0 and *@ret NULL. To be freed. A file that can't be read is an error: what is remembered is not to be
 * forgotten unseen. */
int verify_state_load(const char *dir, const void *evidence, size_t len, struct hoststate **ret);
/* Replaces the file at once. */
int verify_state_save(const char *dir, const struct hoststate *s);
