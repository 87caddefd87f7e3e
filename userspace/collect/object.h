/* SPDX-License-Identifier: Apache-2.0 */
/*
 * object: what the identity of an inode tells of its bytes: whether a digest that is remembered is
 * still good. An equal identity means equal bytes only where every change leaves a new change time
 * behind, and only once the clock that change times are taken from has moved on. What a digest
 * proves of an exec is another question: proof.h.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "event.h"

struct statx;

/* What the kernel programs tell of a file: source_object_facts(). */
struct object_facts {
	struct object_id id;
	struct object_guard guard;
};

/* The file whose bytes are read: of an overlay's lower file that one, which others can share. */
static inline const struct object_id *object_counted(const struct object_facts *f)
{
	return f->guard.flags & GUARD_LOWER ? &f->guard.lower : &f->id;
}

/*
 * The same object in the same state. The filesystem's magic is no part of that: a field that older
 * events lack.
 */
bool object_id_equal(const struct object_id *a, const struct object_id *b);

/* The same object, in whatever state. */
bool object_id_same(const struct object_id *a, const struct object_id *b);

/* By how far the filesystem can be trusted to show a change. */
enum object_trust {
	/*
	 * Bytes come from a server, which can give other ones to each reader, or none and never
	 * return; or from the kernel, which makes them up as they are read (procfs); or we do not
	 * know where from.
	 */
	OBJECT_FOREIGN,
	/*
	 * Stores through a mapping leave no trace once the page was read (tmpfs: tried), or leave
	 * it late.
	 */
	OBJECT_TRACELESS,
	/*
	 * overlayfs on a disk filesystem, where it is not known to be the lower file alone. Stores
	 * through a mapping move the change time of the real inode, as statx(2) shows it, but not
	 * the overlay inode's, which is what the kernel programs read.
	 */
	OBJECT_STACKED,
	/* The first store to a page through a mapping moves the change time (page_mkwrite). */
	OBJECT_LOCAL,
	/*
	 * A read-only image: the bytes never change, but inode numbers and times come out of the
	 * image, so that the next image on the same device number can show the same ones.
	 */
	OBJECT_IMAGE,
};

/* By s_magic. OBJECT_STACKED is to be confirmed by object_trust_overlay(). */
enum object_trust object_trust_of(uint32_t magic);

/* stat(2) tells the device and inode that the kernel's own identity has. */
bool object_stat_exact(uint32_t magic);

/*
 * An overlay whose real inode answers FIEMAP is on a disk filesystem; neither tmpfs nor FUSE do.
 * @fd is open for reading.
 */
enum object_trust object_trust_overlay(int fd);

/* From statx(2): the latest moment of CLOCK_REALTIME at which the inode can have changed, in ns. */
int64_t object_changed_ns(const struct statx *stx);

/* CLOCK_REALTIME_COARSE, which change times are taken from, in ns. */
int64_t object_clock_ns(void);

/*
 * How far behind the true time that clock may be: two ticks, because the tick itself can come late.
 * A cache remembers for long, so it keeps a wider distance: at least 20 ms.
 */
int64_t object_tick_ns(void);
int64_t object_cache_margin_ns(void);

/*
 * Waits, some 10 ms at most, until the clock has left the tick of a change at @changed_ns: a
 * further change within it would not show. A time of the future is not waited for.
 */
void object_settle(int64_t changed_ns);

/*
 * The relation of CLOCK_REALTIME to CLOCK_BOOTTIME. Both are slewed and suspended together, so that
 * it changes only when somebody sets the clock; then change times before and after can't be
 * compared.
 */
struct object_epoch {
	int64_t low, high;   /* REALTIME - BOOTTIME is between these */
	uint64_t stepped_ns; /* CLOCK_BOOTTIME at which a step was noticed; 0: none yet */
};

void object_epoch_init(struct object_epoch *e);
/* True when the clock was set since the last look. */
bool object_epoch_update(struct object_epoch *e);
