/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments that are gone, or cut, though neither retention nor recovery did it. What was told of is
 * known by a file "<index>.void", of the segment behind the hole: it is found anew at each opening.
 * With which record the ledger begins is in the file "oldest": u64 sequence, u32 zero, u32 CRC-32 of
 * the 12 bytes before; host-endian as it never leaves the machine, and written in place, which needs
 * no room on a full disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/cleanup.h"
#include "record/ledger.h"

#define TORN_MAX 16 /* segments in a row that one recovery sets aside, at most */

DEFINE_CLEANUP(struct segment_reader *, segment_reader_free)

struct oldest {
	uint64_t first;
	uint32_t zero, crc;
};

_Static_assert(sizeof(struct oldest) == 16, "oldest");

static uint32_t oldest_crc(const struct oldest *o)
{
	return crc32(0, (const uint8_t *)o, offsetof(struct oldest, crc));
}

int holes_begin(struct ledger *l, uint64_t first)
{
	struct oldest o = {.first = first};
	size_t written;

	o.crc = oldest_crc(&o);
	return write_fully(l->oldest_fd, &o, sizeof(o), 0, &written);
}

static bool is_there(const struct ledger *l, uint64_t index, const char *suffix)
{
	char name[SEGMENT_NAME_SIZE];
	struct stat st;

	segment_name_format(index, suffix, name);
	return !fstatat(l->dir, name, &st, AT_SYMLINK_NOFOLLOW) || errno != ENOENT;
}

static int mark(const struct ledger *l, uint64_t index)
{
	char name[SEGMENT_NAME_SIZE];
	int fd;

	segment_name_format(index, "void", name);
	fd = openat(l->dir, name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	close(fd);
	return fsync(l->dir) ? -errno : 0;
}

static int add(struct ledger *l, uint64_t first, uint64_t last, uint64_t behind)
{
	struct hole *more;

	if (last < first)
		return 0;
	more = reallocarray(l->holes, l->holes_count + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	l->holes = more;
	more[l->holes_count++] = (struct hole){.first = first, .last = last, .behind = behind};
	return 0;
}

/* By the frame that seals, which is the last one; else by reading it all. */
static int end_of(const struct ledger *l, const struct segment_slot *slot, uint64_t *ret)
{
	_cleanup_(segment_reader_freep) struct segment_reader *r = NULL;
	uint8_t raw[SEGMENT_FRAME_HEADER_SIZE];
	char name[SEGMENT_NAME_SIZE];
	struct segment_frame frame;
	uint64_t skipped;
	size_t size;
	int fd, err;

	segment_name_format(slot->index, "seg", name);
	fd = openat(l->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (slot->bytes >= SEGMENT_HEADER_SIZE + sizeof(raw) &&
	    pread(fd, raw, sizeof(raw), slot->bytes - sizeof(raw)) == sizeof(raw) &&
	    frame_decode(raw, sizeof(raw), &frame, &size) == -ENODATA) {
		close(fd);
		*ret = frame.sequence;
		return 0;
	}
	err = segment_reader_new(fd, &r);
	if (err)
		return err;
	do {
		while ((err = segment_reader_next(r, &frame)) == 1)
			;
	} while (err != -ENODATA && segment_reader_skip(r, &skipped) == 0);
	*ret = segment_reader_sequence(r);
	return 0;
}

/* Recovery told of what it cut, or set aside under another name, as of a torn end. */
static bool is_torn(const struct ledger *l, const struct segment_slot *slot)
{
	uint64_t index = slot[0].index + 1;

	if (index == slot[1].index)
		return is_there(l, slot->index, "torn");
	if (slot[1].index - index > TORN_MAX)
		return false;
	while (index < slot[1].index && is_there(l, index, "torn"))
		index++;
	return index == slot[1].index;
}

static bool is_known(const struct ledger *l, uint64_t first, uint64_t last)
{
	return l->untold.first && l->untold.first <= first && l->untold.last >= last;
}

/* A ledger of an earlier version, or whose file is damaged, begins with what is there. */
static int find_beginning(struct ledger *l, const struct ledger_recovery *recovery)
{
	uint64_t first = l->slots[0].first_sequence;
	struct oldest o;
	ssize_t len;

	l->oldest_fd = openat(l->dir, "oldest", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (l->oldest_fd < 0)
		return -errno;
	len = pread(l->oldest_fd, &o, sizeof(o), 0);
	if (len < 0)
		return -errno;
	if (len != sizeof(o) || o.crc != oldest_crc(&o))
		return holes_begin(l, first);
	if (recovery->damaged && recovery->lost_first <= o.first &&
	    recovery->lost_last + 1 == first)
		return holes_begin(l, first); /* told by the recovery */
	return o.first >= first || is_known(l, o.first, first - 1)
		       ? 0
		       : add(l, o.first, first - 1, l->slots[0].index);
}

int holes_find(struct ledger *l, const struct ledger_recovery *recovery)
{
	int err = find_beginning(l, recovery);

	if (err)
		return err;
	for (size_t i = 0; i + 1 < l->count; i++) {
		const struct segment_slot *next = &l->slots[i + 1];
		uint64_t end = 0;

		/* Of one whose header is damaged, readers say so. */
		if (l->slots[i].unreadable || next->unreadable)
			continue;
		err = end_of(l, &l->slots[i], &end);
		if (err)
			return err;
		if (end >= next->first_sequence || is_there(l, next->index, "void"))
			continue;
		if (recovery->lost_last && recovery->lost_last + 1 == next->first_sequence)
			err = mark(l, next->index);
		else if (!is_torn(l, &l->slots[i]) &&
			 !is_known(l, end, next->first_sequence - 1))
			err = add(l, end, next->first_sequence - 1, next->index);
		if (err)
			return err;
	}
	return 0;
}

/* Whoever has it open still can read it, and nobody else. */
static int begin_behind(struct ledger *l)
{
	uint64_t first = ledger_current(l)->first_sequence;
	size_t i = l->count - 1;
	int err;

	l->gone = 0;
	err = ledger_flush(l) ?: ledger_begin_segment(l);
	if (err) {
		l->gone = err;
		return err;
	}
	l->count--;
	l->slots[i] = l->slots[i + 1];
	return add(l, first, l->next_sequence - 1, l->slots[i].index);
}

int ledger_check(struct ledger *l)
{
	struct stat st;

	for (size_t i = 0; i + 1 < l->count;) {
		int err;

		if (is_there(l, l->slots[i].index, "seg")) {
			i++;
			continue;
		}
		err = add(l, l->slots[i].first_sequence, l->slots[i + 1].first_sequence - 1,
			  l->slots[i + 1].index);
		if (err)
			return err;
		l->count--;
		memmove(&l->slots[i], &l->slots[i + 1], (l->count - i) * sizeof(*l->slots));
	}
	if (!l->gone && (fstat(l->fd, &st) || st.st_nlink))
		return 0;
	return begin_behind(l);
}

bool ledger_hole(struct ledger *l, uint64_t *ret_first, uint64_t *ret_last)
{
	for (size_t i = 0; i < l->holes_count; i++) {
		if (l->holes[i].state != HOLE_FOUND)
			continue;
		l->holes[i].state = HOLE_TOLD;
		*ret_first = l->holes[i].first;
		*ret_last = l->holes[i].last;
		return true;
	}
	return false;
}

void holes_syncing(struct ledger *l)
{
	for (size_t i = 0; i < l->holes_count; i++)
		if (l->holes[i].state == HOLE_TOLD)
			l->holes[i].state = HOLE_SYNCING;
}

int holes_synced(struct ledger *l)
{
	size_t left = 0;
	int err = 0;

	for (size_t i = 0; i < l->holes_count; i++) {
		if (!err && l->holes[i].state == HOLE_SYNCING)
			err = l->holes[i].behind <= l->slots[0].index
				      ? holes_begin(l, l->slots[0].first_sequence)
				      : mark(l, l->holes[i].behind);
		if (err || l->holes[i].state != HOLE_SYNCING)
			l->holes[left++] = l->holes[i];
	}
	l->holes_count = left;
	return err;
}
