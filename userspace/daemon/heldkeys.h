/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heldkeys: keys that the daemon holds for processes which asked for evidence without one of their
 * own (key_custody: daemon). A key belongs to one image of one process; it signs for that image
 * alone, and goes with it. In memory only.
 */
#pragma once

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>

#include "values.h"

#define HELDKEYS_MAX 4096
#define HELDKEYS_SESSION_MAX 1024 /* of one session: it leaves the others some */

struct heldkeys;

int heldkeys_new(struct heldkeys **ret);
void heldkeys_free(struct heldkeys *k);

/* Whether @pid is still the process of @tag. */
typedef bool (*heldkeys_lives)(void *data, pid_t pid, const struct tag *tag);

/*
 * The key of process @pid as @tag names it, made if there is none. Borrowed until the next call.
 * -ENOSPC: so many are held for processes that live, which @lives tells.
 */
int heldkeys_make(struct heldkeys *k, pid_t pid, const struct tag *tag, heldkeys_lives lives,
		  void *data, EVP_PKEY **ret);
/* NULL: that image of that process has none. */
EVP_PKEY *heldkeys_find(struct heldkeys *k, pid_t pid, const struct tag *tag);
/* Forgets those of processes that are gone, or are something else by now. */
void heldkeys_purge(struct heldkeys *k, heldkeys_lives lives, void *data);
size_t heldkeys_count(const struct heldkeys *k);
