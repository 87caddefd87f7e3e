/* SPDX-License-Identifier: Apache-2.0 */
#include "record/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

DEFINE_CLEANUP(struct ledger *, ledger_close)

int ledger_push_slot(struct ledger *l, const struct segment_slot *slot)
{
	if (l->count == l->room) {
		size_t room = l->room ? 2 * l->room : 32;
		struct segment_slot *slots = reallocarray(l->slots, room, sizeof(*slots));

		if (!slots)
			return -ENOMEM;
		l->slots = slots;
		l->room = room;
	}
	l->slots[l->count++] = *slot;
	return 0;
}

int write_fully(int fd, const void *data, size_t len, uint64_t offset, size_t *ret_written)
{
	size_t done = 0;
	int err = 0;

	while (done < len) {
		ssize_t n = pwrite(fd, (const uint8_t *)data + done, len - done, offset + done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			err = n < 0 ? -errno : -EIO;
			break;
		}
		done += n;
	}
	*ret_written = done;
	return err;
}

int ledger_begin_segment(struct ledger *l)
{
	struct segment_header header = {
		.index = l->next_index,
		.first_sequence = l->next_sequence,
		.wall_ns = clock_ns(CLOCK_REALTIME),
	};
	struct segment_slot slot = {
		.index = header.index,
		.first_sequence = header.first_sequence,
		.bytes = SEGMENT_HEADER_SIZE,
	};
	uint8_t raw[SEGMENT_HEADER_SIZE];
	char name[SEGMENT_NAME_SIZE];
	_cleanup_close_ int fd = -1;
	size_t written;
	int err;

	memcpy(header.boot_id, l->boot_id, sizeof(header.boot_id));
	memcpy(slot.boot_id, l->boot_id, sizeof(slot.boot_id));
	segment_header_encode(&header, raw);
	segment_name_format(header.index, "seg", name);
	fd = openat(l->dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	err = write_fully(fd, raw, sizeof(raw), 0, &written);
	/* Else a power cut could take the name and leave the records without one. */
	if (!err && (fdatasync(fd) || fsync(l->dir)))
		err = -errno;
	if (!err)
		err = ledger_push_slot(l, &slot);
	if (err) {
		unlinkat(l->dir, name, 0);
		return err;
	}
	if (l->fd >= 0)
		close(l->fd);
	l->fd = TAKE_FD(fd);
	l->next_index++;
	l->sealing = false;
	if (l->doubtful && l->durable < l->next_sequence) {
		l->doubt_first = l->doubt_first ?: l->durable;
		l->doubt_last = l->next_sequence - 1;
	}
	l->doubtful = false;
	l->durable = l->next_sequence;
	return 0;
}

static int sync_current(struct ledger *l)
{
	if (!fdatasync(l->fd))
		return 0;
	l->doubtful = true;
	return -errno;
}

int ledger_flush(struct ledger *l)
{
	struct segment_slot *current = ledger_current(l);
	size_t written;
	int err;

	if (l->gone)
		return l->gone;
	if (l->start == l->end)
		return 0;
	err = write_fully(l->fd, l->buffer + l->start, l->end - l->start, current->bytes, &written);
	current->bytes += written;
	l->start += written;
	if (l->start == l->end)
		l->start = l->end = 0;
	return err;
}

/* Seals the current segment and begins the next. After a failure it goes on where it stopped. */
static int rotate(struct ledger *l)
{
	int err;

	if (!l->sealing) {
		struct segment_frame seal = {.sequence = l->next_sequence,
					     .source = SEGMENT_NO_SOURCE};

		frame_encode(&seal, l->buffer + l->end);
		l->end += frame_size(0);
		l->sealing = true;
	}
	err = ledger_flush(l);
	err = err ?: sync_current(l);
	if (err)
		return err;
	ledger_current(l)->sealed = true;
	return ledger_begin_segment(l) ?: retention_apply(l);
}

/*
 * Leaves a segment of which the disk refused something: what is synced from now on is in another
 * file. That begins first: until it does, records can go on into this one.
 */
static int leave_doubtful(struct ledger *l)
{
	struct segment_frame seal = {.sequence = l->next_sequence, .source = SEGMENT_NO_SOURCE};
	uint8_t raw[SEGMENT_FRAME_HEADER_SIZE];
	_cleanup_close_ int old = -1;
	struct segment_slot *slot;
	size_t written;
	int err;

	if (!l->doubtful)
		return 0;
	if (l->sealing)
		return rotate(l);
	err = ledger_flush(l);
	if (err)
		return err;
	old = fcntl(l->fd, F_DUPFD_CLOEXEC, 0);
	err = old < 0 ? -errno : ledger_begin_segment(l);
	if (err)
		return err;
	/* Without this frame it ends where its records do, as one that a crash left. */
	slot = &l->slots[l->count - 2];
	frame_encode(&seal, raw);
	(void)write_fully(old, raw, sizeof(raw), slot->bytes, &written);
	slot->bytes += written;
	slot->sealed = true;
	(void)fdatasync(old);
	return retention_apply(l);
}

static bool is_full(const struct ledger *l)
{
	const struct segment_slot *current = ledger_current(l);

	return current->bytes + (l->end - l->start) >= l->segment_bytes &&
	       l->next_sequence > current->first_sequence;
}

int ledger_append(struct ledger *l, uint64_t source, uint32_t part, const void *payload, size_t len)
{
	struct segment_frame frame = {
		.sequence = l->next_sequence,
		.source = source,
		.part = part,
		.payload = payload,
		.len = len,
	};
	int err;

	if (!len || len > SEGMENT_PAYLOAD_MAX)
		return -EMSGSIZE;
	err = is_full(l) ? rotate(l) : 0; /* still full when sealing it did not succeed */
	if (!err && l->end >= LEDGER_BUFFER)
		err = ledger_flush(l);
	if (err)
		return err;
	frame_encode(&frame, l->buffer + l->end);
	l->end += frame_size(len);
	l->next_sequence++;
	return 0;
}

int ledger_sync(struct ledger *l)
{
	int err = leave_doubtful(l) ?: ledger_flush(l) ?: sync_current(l);

	if (err)
		return err;
	l->durable = l->next_sequence;
	holes_syncing(l);
	return retention_synced(l) ?: holes_synced(l);
}

int ledger_sync_begin(struct ledger *l, int *ret_fd)
{
	int err = leave_doubtful(l) ?: ledger_flush(l), fd;

	if (err)
		return err;
	/* Older segments were synced when they were sealed. */
	fd = fcntl(l->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	l->syncing = l->told;
	holes_syncing(l);
	l->repair_syncing = l->repair_told;
	l->syncing_from = l->durable;
	l->syncing_sequence = l->next_sequence;
	*ret_fd = fd;
	return 0;
}

int ledger_sync_end(struct ledger *l, int err)
{
	if (err) {
		/* Another segment can have begun meanwhile. */
		if (l->syncing_from < l->durable)
			l->durable = l->syncing_from;
		l->doubtful = true;
		return 0;
	}
	if (!l->doubtful && l->durable < l->syncing_sequence)
		l->durable = l->syncing_sequence;
	err = holes_synced(l);
	/* A Gap that was appended meanwhile is left for the next time. */
	if (err || memcmp(&l->syncing, &l->told, sizeof(l->told)) ||
	    l->repair_syncing != l->repair_told)
		return err;
	return retention_synced(l);
}

bool ledger_doubted(struct ledger *l, uint64_t *ret_first, uint64_t *ret_last)
{
	if (!l->doubt_first)
		return false;
	*ret_first = l->doubt_first;
	*ret_last = l->doubt_last;
	l->doubt_first = l->doubt_last = 0;
	return true;
}

uint64_t ledger_next_sequence(const struct ledger *l)
{
	return l->next_sequence;
}

void ledger_stats(const struct ledger *l, struct ledger_stats *ret)
{
	*ret = (struct ledger_stats){
		.segments = l->count,
		.oldest_sequence = l->slots[0].first_sequence,
		.next_sequence = l->next_sequence,
		.current_index = ledger_current(l)->index,
	};
	for (size_t i = 0; i < l->count; i++)
		ret->bytes += l->slots[i].bytes;
}

int ledger_segment_fd(const struct ledger *l, uint64_t index, uint64_t *ret_index,
		      uint64_t *ret_first_sequence, bool *ret_sealed)
{
	for (size_t i = 0; i < l->count; i++) {
		char name[SEGMENT_NAME_SIZE];
		int fd;

		if (l->slots[i].index < index)
			continue;
		segment_name_format(l->slots[i].index, "seg", name);
		fd = openat(l->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0 && errno == ENOENT)
			continue; /* its reader misses numbers, and ledger_check() finds it */
		if (fd < 0)
			return -errno;
		*ret_index = l->slots[i].index;
		*ret_first_sequence = l->slots[i].first_sequence;
		*ret_sealed = l->slots[i].sealed;
		return fd;
	}
	return -ENOENT;
}

/* The directory, locked: two writers would interleave their frames. */
static int open_directory(const char *path)
{
	_cleanup_close_ int fd = -1;

	if (mkdir(path, 0700) && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	return TAKE_FD(fd);
}

int ledger_open(const struct ledger_config *config, uint64_t from,
		void (*seen)(void *data, const struct segment_frame *frame), void *data,
		struct ledger_recovery *ret_recovery, struct ledger **ret)
{
	_cleanup_(ledger_closep) struct ledger *l = NULL;
	struct ledger_recovery recovery = {};
	int err;

	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->dir = l->fd = l->removed_fd = l->oldest_fd = -1;
	l->segment_bytes = config->segment_bytes;
	l->total_bytes = config->total_bytes;
	memcpy(l->boot_id, config->boot_id, sizeof(l->boot_id));
	l->dir = open_directory(config->directory);
	if (l->dir < 0)
		return l->dir;

	err = retention_open(l) ?:
	      ledger_recover(l, seen ? from : 0, &recovery) ?:
	      retention_mend(l) ?:
	      holes_find(l, &recovery) ?:
	      retention_apply(l);
	if (!err && seen)
		err = ledger_replay(l, from, seen, data);
	if (err)
		return err;
	/* Older segments were synced when they were sealed; this one, nobody knows. */
	l->durable = ledger_current(l)->first_sequence;
	*ret_recovery = recovery;
	*ret = TAKE_PTR(l);
	return 0;
}

void ledger_close(struct ledger *l)
{
	if (!l)
		return;
	if (l->fd >= 0) {
		ledger_sync(l); /* the caller that needs to know has called it before */
		close(l->fd);
	}
	if (l->removed_fd >= 0)
		close(l->removed_fd);
	if (l->oldest_fd >= 0)
		close(l->oldest_fd);
	if (l->dir >= 0)
		close(l->dir);
	free(l->holes);
	free(l->slots);
	free(l);
}
