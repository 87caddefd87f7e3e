/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "record/ledger.h"

/*
 * The file "removed": u64 first, last, bytes, u32 zero, u32 CRC-32 of the 28 bytes before;
 * host-endian as it never leaves the machine. Without it a crash between an unlink and the Gap
 * record would be a hole that nobody tells of. It is made at opening: writing to it later needs no
 * room on a full disk.
 */
struct note {
	uint64_t first, last, bytes;
	uint32_t zero, crc;
};

/* Behind it, of what opening cut: a crash between the cut and its Gap would be silent likewise. */
struct repair_note {
	uint64_t bytes, first, last, segment, size;
	uint32_t any, crc;
};

struct notes {
	struct note removed;
	struct repair_note repaired;
};

_Static_assert(sizeof(struct note) == 32 && sizeof(struct notes) == 80, "notes");

static uint32_t note_crc(const struct note *n)
{
	return crc32(0, (const uint8_t *)n, offsetof(struct note, crc));
}

static uint32_t repair_crc(const struct repair_note *n)
{
	return crc32(0, (const uint8_t *)n, offsetof(struct repair_note, crc));
}

static struct removed join(struct removed a, struct removed b)
{
	if (!a.first || !b.first)
		return a.first ? a : b;
	return (struct removed){
		.first = a.first < b.first ? a.first : b.first,
		.last = a.last > b.last ? a.last : b.last,
		.bytes = a.bytes + b.bytes,
	};
}

static int write_note(const struct ledger *l, struct removed removed)
{
	struct note n = {.first = removed.first, .last = removed.last, .bytes = removed.bytes};
	size_t written;
	int err;

	n.crc = note_crc(&n);
	err = write_fully(l->removed_fd, &n, sizeof(n), 0, &written);
	return err ?: (fdatasync(l->removed_fd) ? -errno : 0);
}

int retention_note_repair(struct ledger *l, const struct repaired *r)
{
	struct repair_note n = {.bytes = r->bytes,
				.first = r->first,
				.last = r->last,
				.segment = r->segment,
				.size = r->size,
				.any = r->any};
	size_t written;
	int err;

	n.crc = repair_crc(&n);
	err = write_fully(l->removed_fd, &n, sizeof(n), offsetof(struct notes, repaired), &written);
	if (err || fdatasync(l->removed_fd))
		return err ?: -errno;
	l->repaired = *r;
	return 0;
}

int retention_open(struct ledger *l)
{
	struct notes n = {};
	ssize_t len;

	l->removed_fd = openat(l->dir, "removed", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (l->removed_fd < 0)
		return -errno;
	len = pread(l->removed_fd, &n, sizeof(n), 0);
	if (len < 0)
		return -errno;
	l->removed_damaged = len < (ssize_t)sizeof(n.removed) || n.removed.crc != note_crc(&n.removed);
	if (!l->removed_damaged)
		l->untold = (struct removed){
			.first = n.removed.first, .last = n.removed.last, .bytes = n.removed.bytes};
	/* A new one, or an earlier version's: that has no second note. */
	if (!len || len == sizeof(n.removed))
		return retention_note_repair(l, &(struct repaired){});
	/* Of a damaged one only this is left: there may have been something. */
	if (len < (ssize_t)sizeof(n) || n.repaired.crc != repair_crc(&n.repaired))
		return retention_note_repair(l, &(struct repaired){.any = true});
	l->repaired = (struct repaired){.bytes = n.repaired.bytes,
					.first = n.repaired.first,
					.last = n.repaired.last,
					.segment = n.repaired.segment,
					.size = n.repaired.size,
					.any = n.repaired.any};
	return 0;
}

/*
 * Nobody knows any more what was removed and not told. All that stood before the oldest record was:
 * what of it was told already is told again.
 */
int retention_mend(struct ledger *l)
{
	const struct removed all = {.first = 1, .last = l->slots[0].first_sequence - 1};

	if (!l->removed_damaged)
		return 0;
	l->removed_damaged = false;
	if (all.last)
		l->untold = all;
	return write_note(l, l->untold);
}

static uint64_t bytes_when_full(const struct ledger *l)
{
	uint64_t sum = 0;

	for (size_t i = 0; i + 1 < l->count; i++)
		sum += l->slots[i].bytes;
	return sum + l->segment_bytes;
}

int retention_apply(struct ledger *l)
{
	while (l->count > 1 && bytes_when_full(l) > l->total_bytes) {
		struct removed one = {
			.first = l->slots[0].first_sequence,
			.last = l->slots[1].first_sequence - 1,
			.bytes = l->slots[0].bytes,
		};
		char name[SEGMENT_NAME_SIZE];
		int err;

		/* An empty segment, sealed by a reboot, takes no record with it. */
		if (one.last >= one.first)
			l->untold = join(l->untold, one);
		err = write_note(l, join(l->told, l->untold));
		if (err)
			return err;
		segment_name_format(l->slots[0].index, "seg", name);
		if (unlinkat(l->dir, name, 0) && errno != ENOENT)
			return -errno;
		segment_name_format(l->slots[0].index, "void", name);
		(void)unlinkat(l->dir, name, 0);
		l->count--;
		memmove(l->slots, l->slots + 1, l->count * sizeof(*l->slots));
		err = holes_begin(l, l->slots[0].first_sequence);
		if (err)
			return err;
	}
	return 0;
}

bool ledger_removed(struct ledger *l, uint64_t *ret_first, uint64_t *ret_last, uint64_t *ret_bytes)
{
	if (!l->untold.first)
		return false;
	*ret_first = l->untold.first;
	*ret_last = l->untold.last;
	*ret_bytes = l->untold.bytes;
	l->told = join(l->told, l->untold);
	l->untold = (struct removed){};
	return true;
}

int retention_synced(struct ledger *l)
{
	struct removed told = l->told;
	int err = 0;

	/* As long as the note is there, what is gone is known by it. */
	if (told.first)
		err = fdatasync(l->oldest_fd) ? -errno : write_note(l, l->untold);
	if (!err && told.first)
		l->told = (struct removed){};
	if (!err && l->repair_told)
		err = retention_note_repair(l, &(struct repaired){});
	l->repair_told &= err != 0;
	return err;
}

void ledger_repair_told(struct ledger *l)
{
	l->repair_told = l->repaired.any;
}
