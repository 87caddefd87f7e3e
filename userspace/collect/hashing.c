/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/hashing.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fsverity.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "collect/answers.h"
#include "collect/elfnote.h"
#include "collect/hostmounts.h"

#ifndef STATX_MNT_ID_UNIQUE /* Linux 6.8 */
#define STATX_MNT_ID_UNIQUE 0x00004000U
#endif

#define HOLLOW_BYTES (1ull << 30)

#define STATX_WANTED (STATX_BASIC_STATS | STATX_MNT_ID_UNIQUE)

struct hashing {
	const struct hashing_config *config;
	int fd;
	bool wanted;
	bool verity;
	bool has_facts;
	bool has_key;
	bool unsteady; /* it was not in one state all the time */
	struct object_facts want;
	struct object_facts facts;
	struct hashing_key key;
	struct statx stx; /* before reading */
	int64_t began_ns; /* CLOCK_REALTIME_COARSE, before stx */
	int64_t changed_ns;
	bool moved, tied; /* as in struct file_digest */
	uint64_t at;
	struct sha256_context *sha;
	enum object_trust trust;
	struct file_digest result;
};

int hashing_new(const struct hashing_config *config, int fd, const struct object_facts *want,
		struct hashing **ret)
{
	struct hashing *h = calloc(1, sizeof(*h));

	if (!h) {
		close(fd);
		return -ENOMEM;
	}
	h->config = config;
	h->fd = fd;
	if (want) {
		h->wanted = true;
		h->want = *want;
	}
	*ret = h;
	return 0;
}

void hashing_allow_verity(struct hashing *h)
{
	h->verity = true;
}

void hashing_free(struct hashing *h)
{
	if (!h)
		return;
	closep(&h->fd);
	sha256_free(h->sha);
	free(h);
}

static int conclude(struct hashing *h, enum hash_state state)
{
	/* What was read of a file that changed belongs to no digest. */
	if (state != HASH_STATE_OBSERVED && state != HASH_STATE_VERITY)
		h->result = (struct file_digest){};
	h->result.state = state;
	h->result.has_facts = h->has_facts;
	h->result.facts = h->facts;
	h->result.changed_ns = h->changed_ns;
	h->result.moved = h->moved;
	h->result.tied = h->tied;
	return 0;
}

static int look_again(const struct hashing *h, struct statx *ret)
{
	return statx(h->fd, "", AT_EMPTY_PATH, STATX_WANTED, ret) < 0 ? -errno : 0;
}

static const struct object_id *counted(const struct hashing *h)
{
	return object_counted(&h->facts);
}

/*
 * Before anything is asked of the file itself: a FUSE server need not answer, and may ask back whom
 * it pleases. The kernel's identity, by BPF, comes without its help.
 */
static int identify(struct hashing *h)
{
	struct statfs fs;

	if (h->config->identify) {
		if (!h->has_facts && /* hashing_peek() may have asked */
		    h->config->identify(h->config->identify_context, h->fd, &h->facts) < 0)
			return conclude(h, HASH_STATE_UNREADABLE);
		h->has_facts = true;
		if (h->wanted && !object_id_same(counted(h), object_counted(&h->want)))
			return conclude(h, HASH_STATE_CHANGED);
		h->moved = h->wanted && !object_id_equal(counted(h), object_counted(&h->want));
		if (!answers_by_itself(&h->facts, h->config->mounts))
			return conclude(h, HASH_STATE_UNREADABLE);
	} else if (h->wanted) {
		return conclude(h, HASH_STATE_UNREADABLE);
	}

	if (h->has_facts && counted(h)->magic) {
		h->trust = object_trust_of(counted(h)->magic);
		/* Over a server of the host's own: trust_overlay() asks who mounted that. */
		if (h->trust == OBJECT_FOREIGN)
			h->trust = object_trust_of(h->facts.id.magic);
	} else {
		if (fstatfs(h->fd, &fs) < 0)
			return conclude(h, HASH_STATE_UNREADABLE);
		h->trust = object_trust_of(fs.f_type);
	}
	if (h->trust == OBJECT_FOREIGN)
		return conclude(h, HASH_STATE_UNREADABLE);
	return 1;
}

/*
 * An O_PATH descriptor reads nothing. The link leads to the very object, whatever has its name now.
 */
static int make_readable(struct hashing *h)
{
	static const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	char path[32];
	int fd;

	fd = fcntl(h->fd, F_GETFL);
	if (fd < 0)
		return -errno;
	if (!(fd & O_PATH))
		return 0;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", h->fd);
	/* Access times are not ours to change, where that is allowed (the owner, CAP_FOWNER). */
	fd = open(path, flags | O_NOATIME);
	if (fd < 0 && errno == EPERM)
		fd = open(path, flags);
	if (fd < 0)
		return -errno;
	close(h->fd);
	h->fd = fd;
	return 0;
}

static void key_of(struct hashing *h, uint64_t mount)
{
	const struct statx *s = &h->stx;

	h->key = (struct hashing_key){
		.device = (uint64_t)s->stx_dev_major << 32 | s->stx_dev_minor,
		.inode = s->stx_ino,
		.size = s->stx_size,
		.mount = mount,
		.ctime_s = s->stx_ctime.tv_sec,
		.mtime_s = s->stx_mtime.tv_sec,
		.ctime_ns = s->stx_ctime.tv_nsec,
		.mtime_ns = s->stx_mtime.tv_nsec,
	};
	h->has_key = true;
}

/*
 * What statx(2) tells without asking may be a FUSE server's own words, and a device number another
 * filesystem's by now: the kernel's identity decides, which hashing_recognise() compares.
 */
const struct hashing_key *hashing_peek(struct hashing *h)
{
	if (h->wanted || !h->config->identify ||
	    h->config->identify(h->config->identify_context, h->fd, &h->facts) < 0)
		return NULL;
	h->has_facts = true;
	if (statx(h->fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_WANTED, &h->stx) < 0)
		return NULL;
	key_of(h, 0);
	h->has_key = false;
	return &h->key;
}

static void make_key(struct hashing *h)
{
	if (h->trust == OBJECT_LOCAL || h->trust == OBJECT_STACKED)
		key_of(h, 0);
	else if (h->trust == OBJECT_IMAGE && (h->stx.stx_mask & STATX_MNT_ID_UNIQUE))
		key_of(h, h->stx.stx_mnt_id);
}

/*
 * The kernel's own digest, valid for every later read: it checks each page against it. The file
 * need not be read here.
 */
static bool measure_verity(struct hashing *h)
{
	union {
		struct fsverity_digest head;
		uint8_t bytes[sizeof(struct fsverity_digest) + VERITY_DIGEST_MAX];
	} d = {.head.digest_size = VERITY_DIGEST_MAX};
	struct file_digest *digest = &h->result;

	if (!h->verity || h->trust != OBJECT_LOCAL ||
	    ioctl(h->fd, FS_IOC_MEASURE_VERITY, &d) < 0)
		return false;
	if (d.head.digest_size > VERITY_DIGEST_MAX)
		return false;
	digest->verity_algorithm = d.head.digest_algorithm;
	digest->verity_len = d.head.digest_size;
	memcpy(digest->verity, d.head.digest, d.head.digest_size);
	return true;
}

static void note_elf(struct hashing *h)
{
	struct file_digest *d = &h->result;
	struct elfnote note;

	if (elfnote_read(h->fd, &note) < 0)
		return;
	d->build_id_len = note.build_id_len;
	memcpy(d->build_id, note.build_id, sizeof(d->build_id));
	memcpy(d->package, note.package, sizeof(d->package));
	memcpy(d->loader, note.loader, sizeof(d->loader));
}

/* Petabytes of holes cost their maker nothing, and us hours. */
static bool is_hollow(const struct statx *s)
{
	return s->stx_size > HOLLOW_BYTES && s->stx_blocks < s->stx_size / 512 / 16;
}

/*
 * An overlay over a disk filesystem shows changes as that does. One over tmpfs looks like one over
 * FUSE: it is taken for the former where somebody privileged mounted it.
 */
static enum object_trust trust_overlay(const struct hashing *h)
{
	enum object_trust trust = object_trust_overlay(h->fd);

	if (trust == OBJECT_STACKED)
		return trust;
	return h->has_facts && h->config->mounts &&
			       hostmounts_have(h->config->mounts, h->facts.id.device)
		       ? trust
		       : OBJECT_FOREIGN;
}

int hashing_look(struct hashing *h)
{
	int r = identify(h);

	if (r <= 0)
		return r;
	/* Before it is opened: opening a FIFO or a device does something. */
	if (look_again(h, &h->stx) < 0 || !S_ISREG(h->stx.stx_mode) || make_readable(h) < 0)
		return conclude(h, HASH_STATE_UNREADABLE);
	if (h->trust == OBJECT_STACKED)
		h->trust = trust_overlay(h);
	if (h->trust == OBJECT_FOREIGN)
		return conclude(h, HASH_STATE_UNREADABLE);
	h->changed_ns = object_changed_ns(&h->stx);
	make_key(h);

	h->began_ns = object_clock_ns();
	if (measure_verity(h)) {
		note_elf(h);
		return conclude(h, HASH_STATE_VERITY);
	}
	if ((h->config->size_max && h->stx.stx_size > h->config->size_max) || is_hollow(&h->stx))
		return conclude(h, HASH_STATE_TOO_LARGE);
	return 1;
}

static bool same(const struct statx *a, const struct statx *b)
{
	return a->stx_ino == b->stx_ino && a->stx_dev_major == b->stx_dev_major &&
	       a->stx_dev_minor == b->stx_dev_minor && a->stx_size == b->stx_size &&
	       a->stx_ctime.tv_sec == b->stx_ctime.tv_sec &&
	       a->stx_ctime.tv_nsec == b->stx_ctime.tv_nsec &&
	       a->stx_mtime.tv_sec == b->stx_mtime.tv_sec &&
	       a->stx_mtime.tv_nsec == b->stx_mtime.tv_nsec;
}

/*
 * What a process executed may be moved about or removed meanwhile, which moves its change time as a
 * store does: there is a digest all the same, of what was read, and 'moved' keeps it from proving
 * anything.
 */
static bool still_good(struct hashing *h, const struct statx *now)
{
	if (same(now, &h->stx))
		return true;
	if (!h->wanted || now->stx_size != h->stx.stx_size)
		return false;
	h->unsteady = h->moved = true;
	return true;
}

/*
 * A page that is dirty already takes further stores through a mapping silently. Writing it out
 * protects it again, so that from here on every store moves the change time. sync_file_range(2)
 * does it without waiting for the disk's cache, but an overlay's own inode has no pages (tried).
 */
static int barrier(struct hashing *h)
{
	switch (h->trust) {
	case OBJECT_LOCAL:
		return sync_file_range(h->fd, 0, 0,
				       SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
					       SYNC_FILE_RANGE_WAIT_AFTER);
	case OBJECT_STACKED:
		return h->config->lasting ? fdatasync(h->fd) : 0;
	default:
		return 0;
	}
}

static int begin(struct hashing *h)
{
	struct statx stx;

	/* Else a digest of half the old and half the new bytes would look right. */
	object_settle(h->changed_ns);
	h->began_ns = object_clock_ns();
	if (barrier(h) < 0 || sha256_new(&h->sha) < 0)
		return conclude(h, HASH_STATE_UNREADABLE);
	if (look_again(h, &stx) < 0 || !still_good(h, &stx))
		return conclude(h, HASH_STATE_CHANGED);
	h->tied = h->changed_ns >= h->began_ns - object_tick_ns();
	(void)posix_fadvise(h->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	return 1;
}

static int finish(struct hashing *h)
{
	struct object_facts facts;
	struct statx stx;

	if (h->at != h->stx.stx_size)
		return conclude(h, HASH_STATE_CHANGED);
	note_elf(h); /* before the last look at the identity, which has to cover it */
	if (look_again(h, &stx) < 0 || !still_good(h, &stx))
		return conclude(h, HASH_STATE_CHANGED);
	if (h->has_facts) {
		if (h->config->identify(h->config->identify_context, h->fd, &facts) < 0)
			return conclude(h, HASH_STATE_UNREADABLE);
		/* An overlay's file can have been copied up, and what was read come from there. */
		if (!object_id_same(object_counted(&facts), counted(h)) ||
		    object_counted(&facts)->size != counted(h)->size)
			return conclude(h, HASH_STATE_CHANGED);
		if (!object_id_equal(object_counted(&facts), counted(h))) {
			if (!h->wanted)
				return conclude(h, HASH_STATE_CHANGED);
			h->unsteady = h->moved = true;
		}
		h->facts = facts;
	}
	if (sha256_final(h->sha, &h->result.sha256) < 0)
		return conclude(h, HASH_STATE_UNREADABLE);
	return conclude(h, HASH_STATE_OBSERVED);
}

int hashing_slice(struct hashing *h, void *buffer, size_t buffer_size, uint64_t slice)
{
	uint64_t end = h->at + slice;
	ssize_t n;

	if (!h->sha) {
		int r = begin(h);

		if (r <= 0)
			return r;
	}
	while (h->at < end) {
		n = pread(h->fd, buffer, buffer_size, h->at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return conclude(h, HASH_STATE_UNREADABLE);
		if (n == 0)
			return finish(h);
		h->at += n;
		if (h->at > h->stx.stx_size) /* else a file that grows is read for ever */
			return conclude(h, HASH_STATE_CHANGED);
		if (sha256_update(h->sha, buffer, n) < 0)
			return conclude(h, HASH_STATE_UNREADABLE);
	}
	return 1;
}

const struct hashing_key *hashing_user_key(const struct hashing *h)
{
	return h->has_key ? &h->key : NULL;
}

int hashing_fd(const struct hashing *h)
{
	return h->fd;
}

const struct object_facts *hashing_facts(const struct hashing *h)
{
	return h->has_facts ? &h->facts : NULL;
}

bool hashing_lasting(const struct hashing *h, bool by_id)
{
	const enum hash_state state = h->result.state;

	if (!h->config->lasting || h->unsteady ||
	    (state != HASH_STATE_OBSERVED && state != HASH_STATE_VERITY))
		return false;
	if (h->trust == OBJECT_IMAGE)
		return !by_id;
	if (by_id && h->trust != OBJECT_LOCAL)
		return false;
	/*
	 * Every change after began_ns has a change time of at least began_ns: if the one it has is
	 * older, no change can bring it again.
	 */
	return h->has_key && h->changed_ns < h->began_ns - object_cache_margin_ns();
}

bool hashing_recognise(const struct hashing *h, struct file_digest *d)
{
	if (!h->has_facts || !d->has_facts ||
	    !object_id_equal(counted(h), object_counted(&d->facts)) ||
	    counted(h)->magic != object_counted(&d->facts)->magic)
		return false;
	d->facts = h->facts;
	d->moved = h->moved;
	return true;
}

const struct file_digest *hashing_result(const struct hashing *h)
{
	return &h->result;
}

uint64_t hashing_bytes(const struct hashing *h)
{
	return h->at;
}
