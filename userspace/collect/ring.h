/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring: a reader of a BPF ring buffer (kernel/bpf/ringbuf.c) whose position moves only when told
 * so. libbpf's moves it with each callback, before what was read can be safe anywhere.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct ring;

/* @map_fd is borrowed. -EINVAL when it is no ring. */
int ring_open(int map_fd, struct ring **ret);
void ring_close(struct ring *r);

/*
 * Copies whole records from where the last read ended, in order, until there is none or the next
 * does not fit; returns the bytes copied, a multiple of 8.
 */
size_t ring_read(struct ring *r, void *buffer, size_t size);

/* Gives what was read back to the kernel. */
void ring_release(struct ring *r);

/* How far records are written, also those that are not whole yet; and how far they were read. */
uint64_t ring_written(const struct ring *r);
uint64_t ring_taken(const struct ring *r);

size_t ring_size(const struct ring *r);
size_t ring_used(const struct ring *r); /* bytes not released, headers included */
