/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <zlib.h>

#include "base/cleanup.h"

#define MAGIC "AFFJRNL1"

struct file_header {
	char magic[8];
	uint8_t boot_id[16];
	uint64_t index;
	/* random: no process can put into its arguments what would pass for a batch */
	uint32_t salt;
	uint32_t crc;
};

struct batch_header {
	uint32_t len;
	uint32_t crc;
	uint32_t header_crc; /* of the two before, salted */
	uint32_t spare;
};

struct journal {
	int dir;
	int fd;
	uint8_t boot_id[16];
	uint64_t index;
	uint32_t salt;
	uint64_t bytes;
	/* the file may have more bytes than that: a write failed, and so did undoing it */
	bool half;
	char unreadable[JOURNAL_NAME_SIZE]; /* the file at which each_file() stopped */
};

static uint32_t crc_of(const void *data, size_t len)
{
	return crc32(0, data, len);
}

/* A damaged length must not look like that of a batch cut short. */
static uint32_t header_crc_of(const struct batch_header *b, uint32_t salt)
{
	return crc32(salt, (const void *)b, offsetof(struct batch_header, header_crc));
}

static void file_name(uint64_t index, char ret[static JOURNAL_NAME_SIZE])
{
	snprintf(ret, JOURNAL_NAME_SIZE, "%016llx.jnl", (unsigned long long)index);
}

/* ---- files ---- */

/* A file as its header tells; without an intact one it is of no boot. */
struct file {
	const char *name;
	uint64_t index;
	uint64_t bytes;
	bool intact;
	uint8_t boot_id[16];
	uint32_t salt;
};

/* One that can't be read is no damaged one: what it holds may be read another time. */
static int read_header(int dir, struct file *f)
{
	_cleanup_close_ int fd =
		openat(dir, f->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct file_header h;
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = fstat(fd, &st) < 0 ? -1 : pread(fd, &h, sizeof(h), 0);
	if (n < 0)
		return -errno;
	f->bytes = st.st_size;
	f->intact = n == (ssize_t)sizeof(h) && !memcmp(h.magic, MAGIC, sizeof(h.magic)) &&
		    h.index == f->index && crc_of(&h, offsetof(struct file_header, crc)) == h.crc;
	if (!f->intact)
		return 0;
	memcpy(f->boot_id, h.boot_id, sizeof(f->boot_id));
	f->salt = h.salt;
	return 0;
}

/* Calls @each for every journal file, in no order, until one of them can't be read. */
static int each_file(struct journal *j, void (*each)(void *data, const struct file *f), void *data)
{
	_cleanup_closedir_ DIR *d = NULL;
	_cleanup_close_ int copy = openat(j->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *e;

	if (copy < 0)
		return -errno;
	d = fdopendir(copy);
	if (!d)
		return -errno;
	TAKE_FD(copy);

	while ((errno = 0, e = readdir(d))) {
		struct file f = {.name = e->d_name};
		char name[JOURNAL_NAME_SIZE];
		int err;

		f.index = strtoull(e->d_name, NULL, 16);
		file_name(f.index, name);
		if (strcmp(e->d_name, name))
			continue;
		err = read_header(j->dir, &f);
		if (err) {
			memcpy(j->unreadable, name, sizeof(name));
			return err;
		}
		each(data, &f);
	}
	return -errno;
}

static void highest(void *data, const struct file *f)
{
	uint64_t *index = data;

	if (f->index >= *index)
		*index = f->index + 1;
}

static int new_file(struct journal *j)
{
	struct file_header h = {.magic = MAGIC, .index = j->index};
	_cleanup_close_ int fd = -1;
	char name[JOURNAL_NAME_SIZE];

	memcpy(h.boot_id, j->boot_id, sizeof(h.boot_id));
	if (getrandom(&h.salt, sizeof(h.salt), 0) != (ssize_t)sizeof(h.salt))
		return -errno;
	h.crc = crc_of(&h, offsetof(struct file_header, crc));
	file_name(j->index, name);
	fd = openat(j->dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	errno = ENOSPC;
	if (write(fd, &h, sizeof(h)) != (ssize_t)sizeof(h)) {
		int err = -errno;

		unlinkat(j->dir, name, 0);
		return err;
	}
	closep(&j->fd);
	j->fd = TAKE_FD(fd);
	j->salt = h.salt;
	j->bytes = sizeof(h);
	j->half = false;
	return 0;
}

int journal_open(const char *directory, const uint8_t boot_id[static 16], uint64_t index,
		 char ret_file[static JOURNAL_NAME_SIZE], struct journal **ret)
{
	struct journal *j;
	int err;

	*ret_file = '\0';
	if (mkdir(directory, 0700) < 0 && errno != EEXIST)
		return -errno;
	j = calloc(1, sizeof(*j));
	if (!j)
		return -ENOMEM;
	j->fd = -1;
	memcpy(j->boot_id, boot_id, sizeof(j->boot_id));
	j->index = index;
	j->dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err = j->dir < 0 ? -errno : each_file(j, highest, &j->index);
	if (!err)
		err = new_file(j);
	if (err) {
		memcpy(ret_file, j->unreadable, sizeof(j->unreadable));
		journal_close(j);
		return err;
	}
	*ret = j;
	return 0;
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	closep(&j->fd);
	closep(&j->dir);
	free(j);
}

/* ---- reading ---- */

/* A file that is read. */
struct reading {
	int fd;
	uint32_t salt;
	off_t end;
	void *events;
};

/* false: there are fewer bytes, or they are no header. */
static bool batch_header(const struct reading *r, off_t at, struct batch_header *ret)
{
	return r->end - at >= (off_t)sizeof(*ret) &&
	       pread(r->fd, ret, sizeof(*ret), at) == (ssize_t)sizeof(*ret) &&
	       header_crc_of(ret, r->salt) == ret->header_crc && !ret->spare && ret->len &&
	       !(ret->len % 8) && ret->len <= JOURNAL_BATCH_MAX;
}

static bool batch_intact(const struct reading *r, off_t at, struct batch_header *ret)
{
	return batch_header(r, at, ret) && ret->len <= (uint64_t)(r->end - at) - sizeof(*ret) &&
	       pread(r->fd, r->events, ret->len, at + sizeof(*ret)) == (ssize_t)ret->len &&
	       crc_of(r->events, ret->len) == ret->crc;
}

/* What is left at @at is less than a batch: it was being written. */
static bool is_cut_short(const struct reading *r, off_t at)
{
	struct batch_header b;

	return r->end - at < (off_t)sizeof(b) ||
	       (batch_header(r, at, &b) && b.len > (uint64_t)(r->end - at) - sizeof(b));
}

static int replay_file(int fd, uint32_t salt,
		       int (*batch)(void *data, const void *events, size_t len), void *data,
		       uint64_t *damaged)
{
	_cleanup_free_ void *events = malloc(JOURNAL_BATCH_MAX);
	struct reading r = {.fd = fd, .salt = salt, .events = events};
	off_t at = sizeof(struct file_header), bad = 0;
	struct batch_header b;
	struct stat st;
	int err;

	if (!events)
		return -ENOMEM;
	if (fstat(fd, &st) < 0)
		return -errno;
	r.end = st.st_size;
	while (at < r.end) {
		if (!batch_intact(&r, at, &b)) {
			if (!bad && is_cut_short(&r, at))
				break;
			bad = bad ?: at;
			at += 8; /* batches are 8-aligned */
			continue;
		}
		if (bad)
			*damaged += at - bad;
		bad = 0;
		err = batch(data, events, b.len);
		if (err)
			return err;
		at += sizeof(b) + b.len;
	}
	if (bad)
		*damaged += r.end - bad;
	return 0;
}

struct wanted {
	const uint8_t *boot_id;
	uint64_t from, current;
	struct file file;
	bool found;
};

/* The oldest file that is wanted, and those whose header is gone: they may be. */
static void oldest(void *data, const struct file *f)
{
	struct wanted *w = data;

	if (f->index < w->from || f->index == w->current || (w->found && f->index > w->file.index))
		return;
	if (f->intact && memcmp(f->boot_id, w->boot_id, 16))
		return;
	w->file = *f;
	w->found = true;
}

int journal_replay(struct journal *j, const uint8_t boot_id[static 16], uint64_t index,
		   int (*batch)(void *data, const void *events, size_t len), void *data,
		   uint64_t *ret_damaged)
{
	uint64_t damaged = 0;

	for (;;) {
		/* What the current file holds was handed on already. */
		struct wanted w = {.boot_id = boot_id, .from = index, .current = j->index};
		_cleanup_close_ int fd = -1;
		char name[JOURNAL_NAME_SIZE];
		int err = each_file(j, oldest, &w);

		if (err)
			return err;
		if (!w.found)
			break;
		index = w.file.index + 1;
		if (!w.file.intact) {
			/* Cut before its header was whole, it never held an event. */
			damaged += w.file.bytes > sizeof(struct file_header) ? w.file.bytes : 0;
			continue;
		}
		file_name(w.file.index, name);
		fd = openat(j->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		if (fd < 0)
			return -errno;
		err = replay_file(fd, w.file.salt, batch, data, &damaged);
		if (err)
			return err;
	}

	*ret_damaged = damaged;
	return 0;
}

struct other {
	const uint8_t *boot_id;
	uint8_t *ret;
	uint64_t index;
	bool found;
};

static void other_boot(void *data, const struct file *f)
{
	struct other *o = data;

	if (!f->intact || !memcmp(f->boot_id, o->boot_id, 16) || (o->found && f->index > o->index))
		return;
	memcpy(o->ret, f->boot_id, 16);
	o->index = f->index;
	o->found = true;
}

int journal_other_boot(struct journal *j, const uint8_t boot_id[static 16], uint8_t ret[static 16])
{
	struct other o = {.boot_id = boot_id, .ret = ret};

	return each_file(j, other_boot, &o) ?: o.found;
}

/* ---- writing ---- */

static int undo_half(struct journal *j)
{
	if (j->half && ftruncate(j->fd, j->bytes) < 0)
		return -errno;
	j->half = false;
	return 0;
}

int journal_append(struct journal *j, const void *events, size_t len)
{
	struct batch_header b = {.len = len, .crc = crc_of(events, len)};
	struct iovec iov[] = {
		{.iov_base = &b, .iov_len = sizeof(b)},
		{.iov_base = (void *)events, .iov_len = len},
	};
	ssize_t n;
	int err;

	if (!len || len % 8 || len > JOURNAL_BATCH_MAX)
		return -EMSGSIZE;
	b.header_crc = header_crc_of(&b, j->salt);
	err = undo_half(j);
	if (err)
		return err;
	n = writev(j->fd, iov, 2);
	if (n == (ssize_t)(sizeof(b) + len)) {
		j->bytes += n;
		return 0;
	}

	err = n < 0 ? -errno : -ENOSPC;
	/* Half a batch would be taken for damage, with another one behind it. */
	j->half = n > 0;
	(void)undo_half(j);
	return err;
}

int journal_rotate(struct journal *j, uint64_t *ret_index)
{
	int err;

	j->index++;
	err = new_file(j);
	if (err) {
		j->index--;
		return err;
	}
	*ret_index = j->index;
	return 0;
}

struct drop {
	struct journal *j;
	uint64_t below;
	const uint8_t *boot_id;
};

static void drop_below(void *data, const struct file *f)
{
	struct drop *d = data;

	if (f->index < d->below)
		unlinkat(d->j->dir, f->name, 0);
}

void journal_drop(struct journal *j, uint64_t index)
{
	struct drop d = {.j = j, .below = index};

	/* Removing may fail: the files are then read again, and what they tell is known. */
	(void)each_file(j, drop_below, &d);
}

static void drop_boot(void *data, const struct file *f)
{
	struct drop *d = data;

	if (f->intact && f->index != d->j->index && !memcmp(f->boot_id, d->boot_id, 16))
		unlinkat(d->j->dir, f->name, 0);
}

void journal_forget(struct journal *j, const uint8_t boot_id[static 16])
{
	struct drop d = {.j = j, .boot_id = boot_id};

	(void)each_file(j, drop_boot, &d);
}

uint64_t journal_bytes(const struct journal *j)
{
	return j->bytes;
}
