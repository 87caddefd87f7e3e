/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/journal.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <zlib.h>

#define MAGIC "AFFJRNL1"
#define BATCH_MAX (4u << 20)

struct file_header {
	char magic[8];
	uint8_t boot_id[16];
	uint64_t index;
};

struct batch_header {
	uint32_t len;
	uint32_t crc;
};

struct journal {
	int dir;
	int fd;
	uint8_t boot_id[16];
	uint64_t index;
	uint64_t bytes;
};

static void file_name(uint64_t index, char ret[static 32])
{
	snprintf(ret, 32, "%016llx.jnl", (unsigned long long)index);
}

/* Calls @each for every journal file, in no order; the header has been read. */
static int each_file(struct journal *j, void (*each)(void *data, const struct file_header *h, const char *name),
		     void *data)
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

	while ((e = readdir(d))) {
		size_t len = strlen(e->d_name);
		struct file_header h;

		if (len != 20 || strcmp(e->d_name + 16, ".jnl"))
			continue;
		_cleanup_close_ int fd = openat(j->dir, e->d_name, O_RDONLY | O_CLOEXEC);
		/* A file cut before its header was whole never held an event. */
		if (fd < 0 || pread(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h) ||
		    memcmp(h.magic, MAGIC, sizeof(h.magic))) {
			h = (struct file_header){ 0 };
			h.index = strtoull(e->d_name, NULL, 16);
		}
		each(data, &h, e->d_name);
	}
	return 0;
}

static void highest(void *data, const struct file_header *h, const char *name)
{
	uint64_t *index = data;

	(void)name;
	if (h->index >= *index)
		*index = h->index + 1;
}

static int new_file(struct journal *j)
{
	struct file_header h = { .magic = MAGIC, .index = j->index };
	_cleanup_close_ int fd = -1;
	char name[32];

	memcpy(h.boot_id, j->boot_id, sizeof(h.boot_id));
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
	if (j->fd >= 0)
		close(j->fd);
	j->fd = TAKE_FD(fd);
	j->bytes = sizeof(h);
	return 0;
}

int journal_open(const char *directory, const uint8_t boot_id[static 16], struct journal **ret)
{
	struct journal *j;
	int err;

	if (mkdir(directory, 0700) < 0 && errno != EEXIST)
		return -errno;
	j = calloc(1, sizeof(*j));
	if (!j)
		return -ENOMEM;
	j->fd = -1;
	memcpy(j->boot_id, boot_id, sizeof(j->boot_id));
	j->dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err = j->dir < 0 ? -errno : each_file(j, highest, &j->index);
	if (!err)
		err = new_file(j);
	if (err) {
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

struct wanted {
	const uint8_t *boot_id;
	uint64_t from, index;
	bool found;
};

static void lowest(void *data, const struct file_header *h, const char *name)
{
	struct wanted *w = data;

	(void)name;
	if (memcmp(h->boot_id, w->boot_id, 16) || h->index < w->from)
		return;
	if (!w->found || h->index < w->index)
		w->index = h->index;
	w->found = true;
}

static int replay_file(int fd, int (*batch)(void *data, const void *events, size_t len), void *data,
		       uint64_t *torn)
{
	_cleanup_free_ void *events = malloc(BATCH_MAX);
	off_t at = sizeof(struct file_header);
	struct batch_header b;
	struct stat st;
	int err;

	if (!events)
		return -ENOMEM;
	if (fstat(fd, &st) < 0)
		return -errno;
	while (at + (off_t)sizeof(b) <= st.st_size) {
		if (pread(fd, &b, sizeof(b), at) != (ssize_t)sizeof(b) || b.len > BATCH_MAX ||
		    pread(fd, events, b.len, at + sizeof(b)) != (ssize_t)b.len ||
		    crc32(0, events, b.len) != b.crc)
			break;
		err = batch(data, events, b.len);
		if (err)
			return err;
		at += sizeof(b) + b.len;
	}
	*torn += st.st_size - at;
	return 0;
}

int journal_replay(struct journal *j, const uint8_t boot_id[static 16], uint64_t index,
		   int (*batch)(void *data, const void *events, size_t len), void *data, uint64_t *ret_torn)
{
	uint64_t torn = 0;

	for (;;) {
		struct wanted w = { .boot_id = boot_id, .from = index };
		_cleanup_close_ int fd = -1;
		char name[32];
		int err = each_file(j, lowest, &w);

		if (err)
			return err;
		/* The current file is being written by us: what it holds was handed on already. */
		if (!w.found || w.index == j->index)
			break;
		file_name(w.index, name);
		fd = openat(j->dir, name, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		err = replay_file(fd, batch, data, &torn);
		if (err)
			return err;
		index = w.index + 1;
	}

	*ret_torn = torn;
	return 0;
}

struct other {
	const uint8_t *boot_id;
	uint8_t *ret;
	bool found;
};

static void other_boot(void *data, const struct file_header *h, const char *name)
{
	static const uint8_t none[16];
	struct other *o = data;

	(void)name;
	if (!memcmp(h->boot_id, o->boot_id, 16) || !memcmp(h->boot_id, none, 16))
		return;
	memcpy(o->ret, h->boot_id, 16);
	o->found = true;
}

bool journal_other_boot(struct journal *j, const uint8_t boot_id[static 16], uint8_t ret[static 16])
{
	struct other o = { .boot_id = boot_id, .ret = ret };

	return !each_file(j, other_boot, &o) && o.found;
}

int journal_append(struct journal *j, const void *events, size_t len)
{
	struct batch_header b = { .len = len, .crc = crc32(0, events, len) };
	struct iovec iov[] = {
		{ .iov_base = &b, .iov_len = sizeof(b) },
		{ .iov_base = (void *)events, .iov_len = len },
	};
	ssize_t n;

	if (len > BATCH_MAX)
		return -EMSGSIZE;
	n = writev(j->fd, iov, 2);
	if (n == (ssize_t)(sizeof(b) + len)) {
		j->bytes += n;
		return 0;
	}

	int err = n < 0 ? -errno : -ENOSPC;
	/* Half a batch would hide those behind it. */
	if (n > 0 && ftruncate(j->fd, j->bytes) < 0)
		return -errno;
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
};

static void drop_one(void *data, const struct file_header *h, const char *name)
{
	struct drop *d = data;

	if (h->index < d->below)
		unlinkat(d->j->dir, name, 0);
}

void journal_drop(struct journal *j, uint64_t index)
{
	struct drop d = { .j = j, .below = index };

	/* Removing may fail: the files are then read again, and what they tell is known. */
	(void)each_file(j, drop_one, &d);
}

uint64_t journal_bytes(const struct journal *j)
{
	return j->bytes;
}
