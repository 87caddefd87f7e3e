/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/event_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "record/frame.h"

/*
 * Of thousands of small segments one is open at a time: its reader comes with the first frame, and
 * goes after the last.
 */
struct source {
	uint64_t index;
	int fd; /* -1: by name, in the directory */
	struct segment_reader *reader;
	bool ended; /* nothing will come any more: sealed, or the rest is damage and was told */
	bool anew;  /* it does not follow the one before */
	bool known; /* it could be read: */
	bool read;  /* to its end, too */
	uint64_t first, next; /* numbers: of its first record, and the one behind its last */
	uint8_t header[SEGMENT_HEADER_SIZE];
};

struct event_stream {
	void (*damaged)(void *data, const struct event_damage *damage);
	void *data;
	struct source *sources;
	size_t count;
	int dir;
	bool live, anew;
};

int event_stream_new(void (*damaged)(void *data, const struct event_damage *damage), void *data,
		     struct event_stream **ret)
{
	struct event_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->dir = -1;
	s->damaged = damaged;
	s->data = data;
	*ret = s;
	return 0;
}

void event_stream_free(struct event_stream *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->count; i++) {
		segment_reader_free(s->sources[i].reader);
		closep(&s->sources[i].fd);
	}
	free(s->sources);
	closep(&s->dir);
	free(s);
}

bool event_stream_ended(const struct event_stream *s)
{
	return !s->count || s->sources[s->count - 1].ended;
}

int event_stream_add(struct event_stream *s, uint64_t index, int fd)
{
	struct source *sources = reallocarray(s->sources, s->count + 1, sizeof(*sources));

	if (!sources) {
		closep(&fd);
		return -ENOMEM;
	}
	s->sources = sources;
	sources[s->count++] = (struct source){.index = index, .fd = fd, .anew = s->anew};
	s->anew = false;
	return 0;
}

static int only_segments(const struct dirent *entry)
{
	uint64_t index;

	return !segment_name_parse(entry->d_name, &index);
}

int event_stream_add_directory(struct event_stream *s, const char *path)
{
	struct dirent **names;
	int count, err = 0;

	s->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir < 0)
		return -errno;
	count = scandirat(s->dir, ".", &names, only_segments, alphasort);
	if (count < 0)
		return -errno;
	for (int i = 0; i < count; i++) {
		uint64_t index;

		if (!err && !segment_name_parse(names[i]->d_name, &index))
			err = event_stream_add(s, index, -1);
		free(names[i]);
	}
	free(names);
	return err ?: count ? 0 : -ENOENT;
}

bool event_stream_is_last(const struct event_stream *s, int fd)
{
	const struct source *last = s->count ? &s->sources[s->count - 1] : NULL;
	uint8_t header[SEGMENT_HEADER_SIZE], before[SEGMENT_HEADER_SIZE];

	if (!last || pread(fd, header, sizeof(header), 0) != sizeof(header))
		return false;
	if (last->known)
		return !memcmp(header, last->header, sizeof(header));
	/* Not read yet; or it could not be, and there is nothing to compare. */
	return last->fd < 0 || pread(last->fd, before, sizeof(before), 0) != sizeof(before) ||
	       !memcmp(header, before, sizeof(header));
}

uint64_t event_stream_last_index(const struct event_stream *s)
{
	return s->count ? s->sources[s->count - 1].index : 0;
}

void event_stream_begin_anew(struct event_stream *s)
{
	s->anew = true;
}

void event_stream_live(struct event_stream *s)
{
	s->live = true;
}

size_t event_stream_count(const struct event_stream *s)
{
	return s->count;
}

/* Between two segments of which this is one: the other has been looked at as well, or will be. */
static void look_between(struct event_stream *s, const struct source *before,
			 const struct source *behind)
{
	struct event_damage d = {
		.index = behind->index,
		.first = before->next,
		.last = behind->first - 1,
		.hole = true,
	};

	if (behind->first > before->next)
		s->damaged(s->data, &d);
}

/* Segments that can't be read at all leave a hole with those that are gone. */
static void look_before(struct event_stream *s, const struct source *source)
{
	const struct source *before = source;

	while (before > s->sources && !before->anew) {
		before--;
		if (!before->known)
			continue;
		if (before->read)
			look_between(s, before, source);
		return;
	}
}

static void look_behind(struct event_stream *s, const struct source *source)
{
	for (const struct source *behind = source + 1; behind < s->sources + s->count; behind++) {
		if (behind->anew)
			return;
		if (!behind->known)
			continue;
		look_between(s, source, behind);
		return;
	}
}

/* 0 with no reader when the segment can't be read at all, which is told. */
static int open_source(struct event_stream *s, struct source *source)
{
	struct event_damage d = {.index = source->index};
	char name[SEGMENT_NAME_SIZE];
	struct stat st;
	int fd, err;

	segment_name_format(source->index, "seg", name);
	fd = source->fd >= 0 ? TAKE_FD(source->fd)
			     : openat(s->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno; /* its numbers will be missed */
	d.bytes = fstat(fd, &st) ? 0 : st.st_size;
	if (pread(fd, source->header, sizeof(source->header), 0) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	err = segment_reader_new(fd, &source->reader);
	if (err == -EBADMSG) {
		s->damaged(s->data, &d);
		return 0;
	}
	if (err)
		return err;
	source->known = true;
	source->first = segment_reader_sequence(source->reader);
	look_before(s, source);
	return 0;
}

static void end_source(struct event_stream *s, struct source *source)
{
	source->read = true;
	source->next = segment_reader_sequence(source->reader);
	segment_reader_free(TAKE_PTR(source->reader));
	source->ended = true;
	look_behind(s, source);
}

/*
 * Passes over damage: 0 when there are intact frames behind it, else -ENOENT; then nothing is left
 * to read for now.
 */
static int pass_over(struct event_stream *s, struct source *source, bool growing)
{
	struct segment_reader *r = source->reader;
	struct event_damage d = {
		.index = source->index,
		.offset = segment_reader_offset(r),
		.first = segment_reader_sequence(r),
	};
	bool ended = false;
	int64_t left;
	int err;

	err = segment_reader_skip(r, &d.bytes);
	if (err == 0) {
		d.last = segment_reader_sequence(r) - 1;
	} else if (err == -ENOENT && growing) {
		return err; /* to be told when there is something behind it */
	} else if (err == -ENOENT) {
		left = segment_reader_left(r);
		if (left < 0)
			return left;
		d.bytes = left;
		ended = true;
	} else {
		return err;
	}
	if (d.bytes)
		s->damaged(s->data, &d);
	if (ended)
		end_source(s, source);
	return err;
}

int event_stream_next(struct event_stream *s, size_t i, struct segment_frame *ret)
{
	struct source *source = &s->sources[i];
	bool growing = s->live && i + 1 == s->count;

	if (!source->reader && !source->ended) {
		int err = open_source(s, source);

		source->ended = !source->reader;
		if (err)
			return err;
	}
	while (!source->ended) {
		int err = segment_reader_next(source->reader, ret);

		if (err == 1)
			return 1;
		if (err == -ENODATA)
			end_source(s, source);
		if (err == -ENODATA || (err == 0 && growing))
			return 0;
		if (err && err != -EBADMSG)
			return err;
		err = pass_over(s, source, growing);
		if (err)
			return err == -ENOENT ? 0 : err;
	}
	return 0;
}
