/* SPDX-License-Identifier: Apache-2.0 */
/* hashcache: digests by key, bounded, the least recently used one leaves first. The owner locks. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "collect/hashing.h"

struct hashcache;

/* @key_size: bytes of a key, which has no padding. @max: entries, at least one. */
int hashcache_new(size_t key_size, size_t max, struct hashcache **ret);
void hashcache_free(struct hashcache *c);

bool hashcache_get(struct hashcache *c, const void *key, struct file_digest *ret);
/* -ENOMEM; an entry of that key is replaced. */
int hashcache_put(struct hashcache *c, const void *key, const struct file_digest *value);
void hashcache_clear(struct hashcache *c);
/* What is on the filesystem with that device number, by the kernel's identity. */
void hashcache_drop_device(struct hashcache *c, uint32_t device);
size_t hashcache_count(const struct hashcache *c);
