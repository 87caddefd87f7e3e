/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal: raw events and notes, as they came, in <state>/journal/NNNNNNNNNNNNNNNN.jnl (hexadecimal
 * index). Written before the ring's position moves; a file is dropped when a saved state contains
 * it. Together with that state it is all that a restart needs (P6).
 *
 * File header, 40 bytes: "AFFJRNL1", 16 bytes boot id, u64 index, u32 random salt, u32 CRC-32
 * (zlib) of these. Then batches: u32 length, u32 CRC-32 of the bytes, u32 CRC-32 of these two
 * beginning with the salt, u32 zero, the bytes (whole events, 8-aligned). Host-endian: a journal
 * never leaves its host. A batch that a crash cut short is no loss: its events are still in the
 * ring.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOURNAL_BATCH_MAX (4u << 20)

#define JOURNAL_NAME_SIZE 32

struct journal;

/*
 * Makes the directory when missing (0700), and begins a new file, whose index is above those that
 * are there, and @index at least: a saved state may say that it contains all below. A file that
 * can't be read is an error, and *@ret_file its name (else ""): what it holds is not to be passed
 * over, and removed one day.
 */
int journal_open(const char *directory, const uint8_t boot_id[static 16], uint64_t index,
		 char ret_file[static JOURNAL_NAME_SIZE], struct journal **ret);
void journal_close(struct journal *j);

/*
 * Reads the files of @boot_id from @index on, oldest first, but for the current one: @batch gets
 * the events of one batch, 8-aligned. What is damaged is passed over: *@ret_damaged counts its
 * bytes. A non-zero return of @batch ends it all, and is returned.
 */
int journal_replay(struct journal *j, const uint8_t boot_id[static 16], uint64_t index,
		   int (*batch)(void *data, const void *events, size_t len), void *data,
		   uint64_t *ret_damaged);

/*
 * 1: files of another boot than @boot_id lie there; *@ret is the id of the oldest file's boot. 0:
 * there are none.
 */
int journal_other_boot(struct journal *j, const uint8_t boot_id[static 16], uint8_t ret[static 16]);
/* Removes the files of that boot. */
void journal_forget(struct journal *j, const uint8_t boot_id[static 16]);

/*
 * One write(2). -ENOSPC and the like leave the file as it was: nothing is half written. -EMSGSIZE:
 * no multiple of 8, or beyond JOURNAL_BATCH_MAX.
 */
int journal_append(struct journal *j, const void *events, size_t len);

/* Begins a new file; *@ret_index is its index: a state saved now contains all files below. */
int journal_rotate(struct journal *j, uint64_t *ret_index);

/* Removes the files below @index, those of other boots among them. */
void journal_drop(struct journal *j, uint64_t index);

uint64_t journal_bytes(const struct journal *j); /* of the current file */
