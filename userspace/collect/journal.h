/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal: raw events and notes, as they came, in <state>/journal/NNNNNNNN.jnl. Written before the ring's
 * position moves; a file is dropped when a saved state contains it. Together with that state it is all that a
 * restart needs (P6).
 *
 * File header, 32 bytes: "AFFJRNL1", 16 bytes boot id, u64 index. Then batches: u32 length, u32 CRC-32 (zlib)
 * of the bytes, the bytes (whole events, 8-aligned). Host-endian: a journal never leaves its host. A batch that a
 * crash cut short is cut off: its events are still in the ring.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct journal;

/* Makes the directory when missing (0700). */
int journal_open(const char *directory, const uint8_t boot_id[static 16], struct journal **ret);
void journal_close(struct journal *j);

/*
 * Reads the files of @boot_id from @index on, oldest first: @batch gets the events of one batch, 8-aligned.
 * A damaged batch ends its file: *@ret_torn counts the bytes behind. A non-zero return of @batch ends it all.
 */
int journal_replay(struct journal *j, const uint8_t boot_id[static 16], uint64_t index,
		   int (*batch)(void *data, const void *events, size_t len), void *data, uint64_t *ret_torn);

/* Whether files of another boot than @boot_id lie there; if so, that boot's id. */
bool journal_other_boot(struct journal *j, const uint8_t boot_id[static 16], uint8_t ret[static 16]);

/* One write(2). -ENOSPC and the like leave the file as it was: nothing is half written. */
int journal_append(struct journal *j, const void *events, size_t len);

/* Begins a new file; *@ret_index is its index: a state saved now contains all files below. */
int journal_rotate(struct journal *j, uint64_t *ret_index);

/* Removes the files below @index, and those of other boots. */
void journal_drop(struct journal *j, uint64_t index);

uint64_t journal_bytes(const struct journal *j);	/* of the current file */
