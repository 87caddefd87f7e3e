/* SPDX-License-Identifier: Apache-2.0 */
#include "record/segment.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "record/frame.h"

#define READ_SIZE (256 * 1024) /* several times SEGMENT_FRAME_MAX */
#define FRAME_MIN (SEGMENT_FRAME_HEADER_SIZE + 8)

struct segment_reader {
	int fd;
	struct segment_header header;
	uint64_t offset;    /* of the next frame */
	uint64_t expected;  /* its sequence number */
	uint64_t cached_at; /* file offset of cache[0] */
	size_t cached;
	uint8_t cache[READ_SIZE];
};

DEFINE_CLEANUP(struct segment_reader *, segment_reader_free)

/*
 * Bytes of the file from @offset on: at least @want of them unless the file is shorter. An
 * incomplete frame is asked for beyond what is cached, and so read again each time: a torn tail can
 * be cut and written anew under us.
 */
static int fetch(struct segment_reader *r, uint64_t offset, size_t want, const uint8_t **ret,
		 size_t *ret_len)
{
	if (offset < r->cached_at || offset + want > r->cached_at + r->cached) {
		r->cached_at = offset;
		r->cached = 0;
		while (r->cached < want) {
			ssize_t n = pread(r->fd, r->cache + r->cached, sizeof(r->cache) - r->cached,
					  offset + r->cached);

			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0)
				return -errno;
			if (n == 0)
				break;
			r->cached += n;
		}
	}
	*ret = r->cache + (offset - r->cached_at);
	*ret_len = r->cached - (offset - r->cached_at);
	return 0;
}

int segment_reader_new(int fd, struct segment_reader **ret)
{
	_cleanup_(segment_reader_freep) struct segment_reader *r = NULL;
	const uint8_t *data;
	size_t len;
	int err;

	r = malloc(sizeof(*r));
	if (!r) {
		close(fd);
		return -ENOMEM;
	}
	r->fd = fd;
	r->cached_at = r->cached = 0;
	err = fetch(r, 0, SEGMENT_HEADER_SIZE, &data, &len)
		      ?: segment_header_decode(data, len, &r->header);
	if (err)
		return err;
	r->offset = SEGMENT_HEADER_SIZE;
	r->expected = r->header.first_sequence;
	*ret = TAKE_PTR(r);
	return 0;
}

void segment_reader_free(struct segment_reader *r)
{
	if (!r)
		return;
	close(r->fd);
	free(r);
}

uint64_t segment_reader_index(const struct segment_reader *r)
{
	return r->header.index;
}

uint64_t segment_reader_offset(const struct segment_reader *r)
{
	return r->offset;
}

uint64_t segment_reader_sequence(const struct segment_reader *r)
{
	return r->expected;
}

int64_t segment_reader_left(const struct segment_reader *r)
{
	struct stat st;

	if (fstat(r->fd, &st))
		return -errno;
	return (uint64_t)st.st_size > r->offset ? st.st_size - (int64_t)r->offset : 0;
}

/* As frame_decode(), of the frame at @offset, which must have the number @sequence. */
static int frame_at(struct segment_reader *r, uint64_t offset, uint64_t sequence,
		    struct segment_frame *ret, size_t *ret_size)
{
	const uint8_t *data;
	size_t len;
	int err;

	err = fetch(r, offset, SEGMENT_FRAME_HEADER_SIZE, &data, &len);
	if (err)
		return err;
	err = frame_decode(data, len, ret, ret_size);
	if (err == 0 && len < SEGMENT_FRAME_MAX) {
		err = fetch(r, offset, SEGMENT_FRAME_MAX, &data, &len)
			      ?: frame_decode(data, len, ret, ret_size);
	}
	if ((err == 1 || err == -ENODATA) && ret->sequence != sequence)
		return -EBADMSG;
	return err;
}

int segment_reader_next(struct segment_reader *r, struct segment_frame *ret)
{
	struct segment_frame frame;
	size_t size;
	int err = frame_at(r, r->offset, r->expected, &frame, &size);

	if (err != 1)
		return err;
	r->offset += size;
	r->expected++;
	*ret = frame;
	return 1;
}

/*
 * An intact frame that can follow the damage. A payload holds bytes that an agent chose (argv),
 * perhaps the image of a frame: the number must fit the distance, and what follows must be intact
 * too.
 */
static int candidate_at(struct segment_reader *r, uint64_t offset, uint64_t *ret_sequence)
{
	struct segment_frame frame;
	const uint8_t *data;
	uint64_t sequence;
	size_t len, size;
	int err;

	err = fetch(r, offset, SEGMENT_FRAME_HEADER_SIZE, &data, &len);
	if (err)
		return err;
	if (len < SEGMENT_FRAME_HEADER_SIZE)
		return -ENOENT;
	sequence = frame_sequence(data);
	if (sequence <= r->expected || sequence - r->expected > (offset - r->offset) / FRAME_MIN)
		return 0;
	err = frame_at(r, offset, sequence, &frame, &size);
	if (err == 1) {
		err = frame_at(r, offset + size, sequence + 1, &frame, &size);
		if (err == 0)
			err = 1;
	}
	if (err == 1 || err == -ENODATA) {
		*ret_sequence = sequence;
		return 1;
	}
	return err == -EBADMSG ? 0 : err;
}

int segment_reader_skip(struct segment_reader *r, uint64_t *ret_bytes)
{
	for (uint64_t offset = r->offset + 8;; offset += 8) {
		uint64_t sequence = 0;
		int err = candidate_at(r, offset, &sequence);

		if (err < 0)
			return err;
		if (err == 0)
			continue;
		*ret_bytes = offset - r->offset;
		r->offset = offset;
		r->expected = sequence;
		return 0;
	}
}
