/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hashing: the digest of one file, in slices, so that one large file does not keep a worker from
 * the others. What filehash's workers do with a job; each object is used by one thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "collect/filehash.h"
#include "collect/object.h"

/*
 * What a file looks like from user space. @mount: the unique id of its mount where device and inode
 * do not name the bytes for good (images), else 0.
 */
struct hashing_key {
	uint64_t device, inode, size, mount;
	int64_t ctime_s, mtime_s;
	uint32_t ctime_ns, mtime_ns;
};

struct hashing_config {
	uint64_t size_max;          /* 0: no bound */
	filehash_identify identify; /* NULL: no object is ever wanted */
	void *identify_context;
	struct hostmounts *mounts; /* as in struct answering */
	bool lasting; /* digests are to be remembered: see to it that later stores show */
};

struct hashing;

/*
 * @fd is taken over, also on failure, and may be O_PATH. @want: the object that it has to be (or
 * NULL). @config is borrowed until hashing_free(). -ENOMEM.
 */
int hashing_new(const struct hashing_config *config, int fd, const struct object_facts *want,
		struct hashing **ret);
/* An fs-verity digest will do instead of SHA-256. */
void hashing_allow_verity(struct hashing *h);
void hashing_free(struct hashing *h);

/*
 * By the attributes that the kernel has in memory, without asking the filesystem: the key under
 * which the digest of an unmodified file may be known (hashing_recognise() says). NULL when that
 * says nothing (an object was wanted).
 */
const struct hashing_key *hashing_peek(struct hashing *h);

/*
 * Looks at the file without reading it. 1: go on (a cache may know hashing_user_key());
 * 0: there is a result already.
 */
int hashing_look(struct hashing *h);

/*
 * NULL when nothing can be said by that key. An entry is to be stored only when hashing_lasting()
 * says, at the end, that the key will not come to stand for other bytes.
 */
const struct hashing_key *hashing_user_key(const struct hashing *h);
/* Borrowed. */
int hashing_fd(const struct hashing *h);
const struct object_facts *hashing_facts(const struct hashing *h);
bool hashing_lasting(const struct hashing *h, bool by_id);

/*
 * Whether @d, known by a key of user space, is of this very object by the kernel's identity, too.
 * What the kernel says of the file is of now, then.
 */
bool hashing_recognise(const struct hashing *h, struct file_digest *d);

/* Reads up to @slice bytes through @buffer: 1: there is more; 0: there is a result. */
int hashing_slice(struct hashing *h, void *buffer, size_t buffer_size, uint64_t slice);

/* Borrowed; complete once look or slice returned 0. */
const struct file_digest *hashing_result(const struct hashing *h);
/* Bytes read so far. */
uint64_t hashing_bytes(const struct hashing *h);
