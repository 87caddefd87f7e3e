/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger: the writer's state, shared by ledger.c (appending), recovery.c (opening), retention.c and
 * holes.c. Not for callers.
 */
#pragma once

#include <stdbool.h>

#include "record/frame.h"
#include "record/segment.h"

/*
 * Whole frames wait here for write(2): room for the largest one and the one that seals always
 * remains.
 */
#define LEDGER_BUFFER (256 * 1024)

struct segment_slot {
	uint64_t index;
	uint64_t first_sequence;
	uint64_t bytes;
	bool sealed;
	bool unreadable; /* its header is damaged: first_sequence is its predecessor's */
	uint8_t boot_id[16];
};

/*
 * What retention took, from before the unlink until a Gap that says so is synced: the file
 * "removed".
 */
struct removed {
	uint64_t first, last, bytes; /* first 0: nothing */
};

/* Records whose segments are gone. */
struct hole {
	uint64_t first, last;
	uint64_t behind; /* index of the segment that follows */
	enum { HOLE_FOUND, HOLE_TOLD, HOLE_SYNCING } state;
};

/*
 * What opening cut off or set aside, from before it does until a Gap that says so is synced; behind
 * the other in that file.
 */
struct repaired {
	uint64_t bytes;
	uint64_t first, last;    /* records that are gone; first 0: none */
	uint64_t segment, size;  /* the last segment, as it was found */
	bool any;
};

struct ledger {
	int dir; /* locked (flock) while the ledger is open */
	int fd;  /* the current segment */
	int removed_fd, oldest_fd;
	uint64_t segment_bytes;
	uint64_t total_bytes;
	uint8_t boot_id[16];
	uint64_t next_sequence;
	uint64_t next_index;
	struct segment_slot *slots; /* oldest first; the last one is the current */
	size_t count, room;
	bool sealing;          /* the frame that seals is in the buffer, or written */
	struct removed untold; /* by ledger_removed() */
	struct removed told;
	struct removed syncing; /* 'told' when ledger_sync_begin() was called */
	struct hole *holes;     /* until a Gap that says so is synced */
	size_t holes_count;
	int gone;	   /* why no segment follows the current one, whose file is gone; 0: it is there */
	struct repaired repaired;
	bool removed_damaged;
	/*
	 * Records below it are on disk. The kernel tells once that it could not write some, and takes
	 * them for written from then on: they are in doubt until another segment has begun.
	 */
	uint64_t durable;
	bool doubtful;
	uint64_t doubt_first, doubt_last; /* of segments before; first 0: none */
	/* When ledger_sync_begin() was called: 'durable', and what it may become. */
	uint64_t syncing_from, syncing_sequence;
	bool repair_told, repair_syncing; /* likewise */
	size_t start, end;      /* of what is not written yet, in the buffer */
	uint8_t buffer[LEDGER_BUFFER + SEGMENT_FRAME_MAX + SEGMENT_FRAME_HEADER_SIZE];
};

static inline struct segment_slot *ledger_current(const struct ledger *l)
{
	return l->count ? &l->slots[l->count - 1] : NULL;
}

/* Makes room for one more slot at the end; it becomes the current one. */
int ledger_push_slot(struct ledger *l, const struct segment_slot *slot);

/* Begins a segment with l->next_index and l->next_sequence, and makes it the current one. */
int ledger_begin_segment(struct ledger *l);

/* pwrite(2) until all is written; *@ret_written is set also on failure. */
int write_fully(int fd, const void *data, size_t len, uint64_t offset, size_t *ret_written);

/* ---- recovery.c ---- */

/*
 * Fills l->slots from the directory, repairs the end of the last segment, goes on in it or begins
 * another. What came before record @from and is not there is lost.
 */
int ledger_recover(struct ledger *l, uint64_t from, struct ledger_recovery *ret);
/* Shows @seen the frames of this boot from sequence @from on. */
int ledger_replay(struct ledger *l, uint64_t from,
		  void (*seen)(void *data, const struct segment_frame *frame), void *data);

/* ---- holes.c ---- */

/* At opening, for ledger_hole(): between which segments there are records missing. */
int holes_find(struct ledger *l, const struct ledger_recovery *recovery);
/* The oldest record is that one from now on, as retention has it. */
int holes_begin(struct ledger *l, uint64_t first);
/* What was told by now is being made durable; it is. */
void holes_syncing(struct ledger *l);
int holes_synced(struct ledger *l);

/* ---- retention.c ---- */

/* Reads what is not told yet: l->untold, l->repaired. */
int retention_open(struct ledger *l);
/* Once the segments are known: a note that is damaged stands for all that can have been removed. */
int retention_mend(struct ledger *l);
/* On disk from now on: @r, which l->repaired becomes. Before anything is cut. */
int retention_note_repair(struct ledger *l, const struct repaired *r);
/*
 * Removes the oldest sealed segments while all of them, and a full current one, exceed total_bytes.
 */
int retention_apply(struct ledger *l);
/* Everything appended so far is on disk, thus also the Gap for what was told. */
int retention_synced(struct ledger *l);
