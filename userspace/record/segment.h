/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment: CRC-framed records in append-only files, <state>/ledger/NNNNNNNNNNNNNNNN.seg
 * (hexadecimal index). The framing is final:
 *
 *   file header, 64 bytes: "AFFIANT1", u32 version = 1, u32 header size = 64, u64 index, u64
 *   sequence of the first record, 16 bytes boot id, u64 wall ns at creation, 4 bytes zero, u32
 *   CRC-32 of the 60 bytes before.
 *
 *   frame, 8-aligned: u32 payload length, u32 CRC-32 over all that follows up to the padding, u64
 *   sequence, u64 source ((cpu << 48) | event sequence; all ones: none), u32 part (a source can
 *   yield several records), u32 flags = 0, then the payload (a serialised affiant.v1.Record) and
 *   zeros up to a multiple of 8.
 *
 * Integers are little-endian; CRC-32 is zlib's. A frame of length 0 ends a sealed segment.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SEGMENT_HEADER_SIZE 64
#define SEGMENT_FRAME_HEADER_SIZE 32
#define SEGMENT_PAYLOAD_MAX 65535 /* tlog-tiles' bound for an entry */
#define SEGMENT_NO_SOURCE UINT64_MAX

struct segment_frame {
	uint64_t sequence;
	uint64_t source;
	uint32_t part;
	const uint8_t *payload; /* borrowed from the reader's buffer, valid until the next call */
	size_t len;
};

/* ---- reading: any descriptor of a segment, also one that is still being written ---- */

struct segment_reader;

/* Takes @fd over, also on failure. -EBADMSG: not a segment, or its header is damaged. */
int segment_reader_new(int fd, struct segment_reader **ret);
void segment_reader_free(struct segment_reader *r);
uint64_t segment_reader_index(const struct segment_reader *r);
/* Of the next frame: where it is, and the sequence number it must have. */
uint64_t segment_reader_offset(const struct segment_reader *r);
uint64_t segment_reader_sequence(const struct segment_reader *r);
/* Bytes of the file behind the next frame's beginning, or a negative errno. */
int64_t segment_reader_left(const struct segment_reader *r);

/*
 * 1: *@ret is the next frame. 0: no more for now (call again later if it grows). -ENODATA: the
 * segment was sealed and is at its end. -EBADMSG: a damaged frame, at segment_reader_offset().
 */
int segment_reader_next(struct segment_reader *r, struct segment_frame *ret);

/*
 * After -EBADMSG (or 0, in a segment that does not grow): looks for the next intact frame behind
 * the damage and stands there. *@ret_bytes were passed over; segment_reader_sequence() tells how
 * many records were in them. -ENOENT: there is none, nothing changed.
 */
int segment_reader_skip(struct segment_reader *r, uint64_t *ret_bytes);

/* ---- writing: one writer a directory ---- */

struct ledger;

struct ledger_config {
	const char *directory;  /* made when missing, 0700 */
	uint64_t segment_bytes; /* a new segment begins beyond it */
	uint64_t total_bytes;   /* the oldest sealed segments go beyond it */
	uint8_t boot_id[16];
};

/*
 * What opening found and did: to be told as Gap records. Also what an earlier opening did, until
 * ledger_repair_told() is called and the ledger synced after that.
 */
struct ledger_recovery {
	uint64_t torn_bytes;    /* cut off the last segment's end, or kept aside */
	uint64_t last_sequence; /* the highest number ever given; 0: an empty ledger */
	/*
	 * a frame in the middle of the last segment was bad: all behind it is kept aside as .torn,
	 * and a new segment begins
	 */
	bool damaged;
	/* damaged: the records that are gone from the ledger. Their numbers are */
	uint64_t lost_first;
	uint64_t lost_last; /* not given again: readers may have seen them */
	bool repaired;      /* any of this, also when no more is known than that */
};

/*
 * Opens the ledger and positions at its end. @seen is called for the frames of this boot from
 * sequence @from on, oldest first, so that the caller can rebuild what it must not write twice. A
 * ledger that ends before @from lost its end: its numbers are not used again, and *@ret_recovery
 * says which. Without @seen, @from means nothing.
 */
int ledger_open(const struct ledger_config *config, uint64_t from,
		void (*seen)(void *data, const struct segment_frame *frame), void *data,
		struct ledger_recovery *ret_recovery, struct ledger **ret);
void ledger_close(struct ledger *l);

/* The number that the next record gets: sequences have no holes. */
uint64_t ledger_next_sequence(const struct ledger *l);

/*
 * Frames @payload into the writer's buffer. -EMSGSIZE beyond SEGMENT_PAYLOAD_MAX; flushes by itself
 * when full.
 */
int ledger_append(struct ledger *l, uint64_t source, uint32_t part, const void *payload,
		  size_t len);

/* write(2): readers see it. -ENOSPC keeps the buffer, nothing is lost: try again. */
int ledger_flush(struct ledger *l);
/* fdatasync(2) too. */
int ledger_sync(struct ledger *l);
/*
 * The same for who can't wait: what was appended so far is durable once *@ret_fd, the caller's, is
 * synced. That, or why not (@err), is told by ledger_sync_end(). One at a time.
 */
int ledger_sync_begin(struct ledger *l, int *ret_fd);
int ledger_sync_end(struct ledger *l, int err);
/*
 * After a sync that failed the next one begins another segment. Then these records, to be told as a
 * Gap, are in doubt: they can be read, but a power cut may take them. False: there are none.
 */
bool ledger_doubted(struct ledger *l, uint64_t *ret_first, uint64_t *ret_last);

/*
 * What retention removed since the last call, to be told as a Gap: false when nothing. The Gap is
 * to be appended before the next ledger_sync(): until that, a crash makes the next ledger_open()
 * tell the same once more.
 */
bool ledger_removed(struct ledger *l, uint64_t *ret_first, uint64_t *ret_last, uint64_t *ret_bytes);

/* A Gap that tells of what opening did was appended. */
void ledger_repair_told(struct ledger *l);

/*
 * Looks whether all segments are still there. One that retention did not take is forgotten; of the
 * current one, a new segment goes on behind it. -errno: that can't be begun, and nothing is written
 * until it can.
 */
int ledger_check(struct ledger *l);

/*
 * Records that are gone without retention, as found at opening or by ledger_check(), to be told as
 * a Gap each: false when there are none left.
 */
bool ledger_hole(struct ledger *l, uint64_t *ret_first, uint64_t *ret_last);

struct ledger_stats {
	uint64_t bytes, segments, oldest_sequence, next_sequence, current_index;
};
void ledger_stats(const struct ledger *l, struct ledger_stats *ret);

/*
 * A read-only descriptor of the first segment whose index is >= @index, and that is there; -ENOENT
 * past the current one.
 */
int ledger_segment_fd(const struct ledger *l, uint64_t index, uint64_t *ret_index,
		      uint64_t *ret_first_sequence, bool *ret_sealed);
