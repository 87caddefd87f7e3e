/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "record/ledger.h"

#define FRAME_MIN (SEGMENT_FRAME_HEADER_SIZE + 8)

DEFINE_CLEANUP(struct segment_reader *, segment_reader_free)

static int open_slot(const struct ledger *l, const struct segment_slot *slot, int flags)
{
	char name[SEGMENT_NAME_SIZE];
	int fd;

	segment_name_format(slot->index, "seg", name);
	fd = openat(l->dir, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static int by_index(const void *a, const void *b)
{
	const struct segment_slot *x = a, *y = b;

	return x->index < y->index ? -1 : x->index > y->index;
}

static int list_segments(struct ledger *l)
{
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *entry;
	int fd;

	fd = openat(l->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	while ((errno = 0, entry = readdir(dir))) {
		struct segment_slot slot = {.sealed = true};
		int err;

		if (segment_name_parse(entry->d_name, &slot.index))
			continue;
		err = ledger_push_slot(l, &slot);
		if (err)
			return err;
	}
	if (errno)
		return -errno;
	if (l->count)
		qsort(l->slots, l->count, sizeof(*l->slots), by_index);
	return 0;
}

static int read_headers(struct ledger *l)
{
	uint64_t before = 1;

	for (size_t i = 0; i < l->count; i++) {
		struct segment_slot *slot = &l->slots[i];
		uint8_t raw[SEGMENT_HEADER_SIZE];
		struct segment_header header;
		_cleanup_close_ int fd = -1;
		struct stat st;
		ssize_t n;

		fd = open_slot(l, slot, O_RDONLY);
		if (fd < 0)
			return fd;
		if (fstat(fd, &st))
			return -errno;
		n = pread(fd, raw, sizeof(raw), 0);
		if (n < 0)
			return -errno;
		slot->bytes = st.st_size;
		slot->unreadable =
			segment_header_decode(raw, n, &header) || header.index != slot->index;
		slot->first_sequence = slot->unreadable ? before : header.first_sequence;
		if (!slot->unreadable)
			memcpy(slot->boot_id, header.boot_id, sizeof(slot->boot_id));
		before = slot->first_sequence;
	}
	return 0;
}

/* How a segment ends. */
struct tail {
	int fd;           /* read and write */
	uint64_t end;     /* of the intact frames from the beginning on */
	uint64_t next;    /* the number that follows them */
	uint64_t highest; /* the same, counting intact frames behind damage */
	bool sealed;
};

static int scan_tail(const struct ledger *l, const struct segment_slot *slot, struct tail *ret)
{
	_cleanup_(segment_reader_freep) struct segment_reader *r = NULL;
	struct tail t = {.fd = -1};
	struct segment_frame frame;
	uint64_t skipped;
	int fd, err;

	fd = open_slot(l, slot, O_RDONLY);
	if (fd < 0)
		return fd;
	err = segment_reader_new(fd, &r);
	if (err)
		return err;
	while ((err = segment_reader_next(r, &frame)) == 1)
		;
	if (err < 0 && err != -ENODATA && err != -EBADMSG)
		return err;
	t.end = segment_reader_offset(r);
	t.next = t.highest = segment_reader_sequence(r);
	t.sealed = err == -ENODATA;
	while (!t.sealed && t.end < slot->bytes && segment_reader_skip(r, &skipped) == 0) {
		while (segment_reader_next(r, &frame) == 1)
			;
		t.highest = segment_reader_sequence(r);
	}
	t.fd = open_slot(l, slot, O_RDWR);
	if (t.fd < 0)
		return t.fd;
	*ret = t;
	return 0;
}

/*
 * Copies what lies behind the damage to <index>.torn: bytes that are not understood are not thrown
 * away.
 */
static int keep_aside(const struct ledger *l, const struct segment_slot *slot, const struct tail *t)
{
	char name[SEGMENT_NAME_SIZE];
	_cleanup_close_ int fd = -1;
	off_t at = t->end;

	segment_name_format(slot->index, "torn", name);
	fd = openat(l->dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	while ((uint64_t)at < slot->bytes) {
		ssize_t n = sendfile(fd, t->fd, &at, slot->bytes - at);

		if (n < 0)
			return -errno;
		if (n == 0)
			break;
	}
	return fsync(fd) || fsync(l->dir) ? -errno : 0;
}

/* Cuts a segment that is not the current one any more at its intact end, and seals it there. */
static int cut_and_seal(struct segment_slot *slot, const struct tail *t)
{
	struct segment_frame seal = {.sequence = t->next, .source = SEGMENT_NO_SOURCE};
	uint8_t raw[SEGMENT_FRAME_HEADER_SIZE];
	size_t written;
	int err;

	frame_encode(&seal, raw);
	if (ftruncate(t->fd, t->end))
		return -errno;
	err = write_fully(t->fd, raw, sizeof(raw), t->end, &written);
	if (err)
		return err;
	slot->bytes = t->end + sizeof(raw);
	slot->sealed = true;
	return fdatasync(t->fd) ? -errno : 0;
}

/* One without a frame is what a crash leaves of a segment that was just beginning. */
static bool has_frames(const struct segment_slot *slot)
{
	return slot->bytes >= SEGMENT_HEADER_SIZE + FRAME_MIN;
}

/*
 * How many segments at the end of the list have damaged headers; *@ret_burnt: numbers that may have
 * been given in them.
 */
static size_t count_unreadable(const struct ledger *l, struct ledger_recovery *recovery,
			       uint64_t *ret_burnt)
{
	uint64_t burnt = 0;
	size_t n = 0;

	for (; n < l->count && l->slots[l->count - 1 - n].unreadable; n++) {
		const struct segment_slot *slot = &l->slots[l->count - 1 - n];

		recovery->torn_bytes += slot->bytes;
		if (!has_frames(slot))
			continue;
		recovery->damaged = true;
		burnt += (slot->bytes - SEGMENT_HEADER_SIZE) / FRAME_MIN;
	}
	*ret_burnt = burnt;
	return n;
}

/* Takes those off the list; @i is the first of them. */
static int drop_unreadable(struct ledger *l, size_t i)
{
	for (; l->count > i; l->count--) {
		const struct segment_slot *slot = ledger_current(l);
		char name[SEGMENT_NAME_SIZE], aside[SEGMENT_NAME_SIZE];

		segment_name_format(slot->index, "seg", name);
		segment_name_format(slot->index, "torn", aside);
		if (has_frames(slot) ? renameat(l->dir, name, l->dir, aside)
				     : unlinkat(l->dir, name, 0))
			return -errno;
	}
	return 0;
}

/*
 * Says on disk what is going to be cut, before it is: a start that ends behind that would leave
 * nobody who knows. What an earlier one said, and could not tell, is added, unless it is this.
 */
static int note_repair(struct ledger *l, struct ledger_recovery *r)
{
	const struct segment_slot *last = ledger_current(l);
	struct repaired before = l->repaired, now = {
							.bytes = r->torn_bytes,
							.first = r->lost_first,
							.last = r->lost_last,
							.segment = last ? last->index : 0,
							.size = last ? last->bytes : 0,
							.any = r->torn_bytes || r->damaged,
						};
	bool same = before.segment == now.segment && before.size == now.size;

	if (!same)
		now.bytes += before.bytes;
	else if (before.bytes > now.bytes)
		now.bytes = before.bytes;
	if (before.first && (!now.first || before.first < now.first))
		now.first = before.first;
	if (before.last > now.last)
		now.last = before.last;
	now.any |= before.any;
	r->torn_bytes = now.bytes;
	r->lost_first = now.first;
	r->lost_last = now.last;
	r->damaged |= now.first != 0;
	r->repaired = now.any;
	return now.any ? retention_note_repair(l, &now) : 0;
}

/* The last segment's end decides: go on in it, or begin another one. */
static int recover_tail(struct ledger *l, const struct tail *t, bool go_on, bool damaged)
{
	size_t i = l->count - 1;
	int err;

	if (go_on) {
		if (ftruncate(t->fd, t->end))
			return -errno;
		l->slots[i].bytes = t->end;
		l->slots[i].sealed = false;
		l->fd = t->fd;
		return 0;
	}
	err = damaged ? keep_aside(l, &l->slots[i], t) : 0;
	/* First the new segment: from now on no crash can make a number be given twice. */
	if (!err)
		err = ledger_begin_segment(l);
	if (!err && !t->sealed)
		err = cut_and_seal(&l->slots[i], t);
	return err;
}

int ledger_recover(struct ledger *l, uint64_t from, struct ledger_recovery *ret)
{
	struct ledger_recovery recovery = {};
	struct tail t = {.fd = -1, .next = 1, .highest = 1};
	const struct segment_slot *last;
	uint64_t burnt = 0;
	bool damaged, go_on;
	size_t readable;
	int err;

	err = list_segments(l) ?: read_headers(l);
	if (err)
		return err;
	l->next_index = l->count ? ledger_current(l)->index + 1 : 1;
	readable = l->count - count_unreadable(l, &recovery, &burnt);
	last = readable ? &l->slots[readable - 1] : NULL;
	err = last ? scan_tail(l, last, &t) : 0;
	if (err)
		return err;

	damaged = t.highest > t.next;
	if (last && !t.sealed)
		recovery.torn_bytes += last->bytes - t.end;
	l->next_sequence = t.highest + burnt;
	/* What was there when the state was saved, and whose number is given: its end is gone. */
	if (l->next_sequence < from)
		l->next_sequence = from;
	recovery.last_sequence = l->next_sequence - 1;
	if (l->next_sequence > t.next) {
		recovery.damaged = true;
		recovery.lost_first = t.next;
		recovery.lost_last = l->next_sequence - 1;
	}
	go_on = last && !t.sealed && l->next_sequence == t.next &&
		!memcmp(last->boot_id, l->boot_id, sizeof(l->boot_id));
	err = note_repair(l, &recovery) ?: drop_unreadable(l, readable);
	if (!err)
		err = last ? recover_tail(l, &t, go_on, damaged) : ledger_begin_segment(l);
	if (t.fd >= 0 && t.fd != l->fd)
		close(t.fd);
	if (!err)
		*ret = recovery;
	return err;
}

static int replay_segment(const struct ledger *l, const struct segment_slot *slot, uint64_t from,
			  void (*seen)(void *data, const struct segment_frame *frame), void *data)
{
	_cleanup_(segment_reader_freep) struct segment_reader *r = NULL;
	struct segment_frame frame;
	uint64_t skipped;
	int fd, err;

	fd = open_slot(l, slot, O_RDONLY);
	if (fd < 0)
		return fd;
	err = segment_reader_new(fd, &r);
	if (err)
		return err == -EBADMSG ? 0 : err;
	for (;;) {
		err = segment_reader_next(r, &frame);
		if (err == 1) {
			if (frame.sequence >= from)
				seen(data, &frame);
			continue;
		}
		if (err == -ENODATA)
			return 0;
		if (err < 0 && err != -EBADMSG)
			return err;
		err = segment_reader_skip(r, &skipped);
		if (err)
			return err == -ENOENT ? 0 : err;
	}
}

int ledger_replay(struct ledger *l, uint64_t from,
		  void (*seen)(void *data, const struct segment_frame *frame), void *data)
{
	size_t i = l->count - 1;

	while (i > 0 && l->slots[i].first_sequence > from)
		i--;
	for (; i < l->count; i++) {
		int err = 0;

		if (!memcmp(l->slots[i].boot_id, l->boot_id, sizeof(l->boot_id)))
			err = replay_segment(l, &l->slots[i], from, seen, data);
		if (err)
			return err;
	}
	return 0;
}
