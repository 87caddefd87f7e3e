/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/event_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"

struct source {
	struct segment_reader *reader;	/* NULL: its header is damaged */
	bool ended;			/* nothing will come any more: sealed, or the rest is damage and was told */
};

struct event_stream {
	void (*damaged)(void *data, const struct event_damage *damage);
	void *data;
	struct source *sources;
	size_t count;
	bool live;
};

int event_stream_new(void (*damaged)(void *data, const struct event_damage *damage), void *data,
		     struct event_stream **ret)
{
	struct event_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->damaged = damaged;
	s->data = data;
	*ret = s;
	return 0;
}

void event_stream_free(struct event_stream *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->count; i++)
		segment_reader_free(s->sources[i].reader);
	free(s->sources);
	free(s);
}

bool event_stream_ended(const struct event_stream *s)
{
	return !s->count || s->sources[s->count - 1].ended;
}

/* A damaged header keeps its index to itself, but segments are numbered one after another. */
static uint64_t next_index(const struct event_stream *s)
{
	for (size_t i = s->count; i-- > 0;)
		if (s->sources[i].reader)
			return segment_reader_index(s->sources[i].reader) + (s->count - i);
	return s->count + 1;
}

int event_stream_add(struct event_stream *s, int fd)
{
	struct source *sources = reallocarray(s->sources, s->count + 1, sizeof(*sources));
	struct source *source;
	struct stat st = {};
	int err;

	if (!sources) {
		close(fd);
		return -ENOMEM;
	}
	s->sources = sources;
	source = &sources[s->count];
	*source = (struct source){};
	if (fstat(fd, &st))
		st.st_size = 0;
	err = segment_reader_new(fd, &source->reader);
	if (err == -EBADMSG) {
		struct event_damage d = { .index = next_index(s), .bytes = st.st_size };

		source->ended = true;
		s->damaged(s->data, &d);
	} else if (err) {
		return err;
	}
	s->count++;
	return 0;
}

static int only_segments(const struct dirent *entry)
{
	return !fnmatch("????????????????.seg", entry->d_name, FNM_PERIOD);
}

int event_stream_add_directory(struct event_stream *s, const char *path)
{
	_cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent **names;
	int count, err = 0;

	if (dir < 0)
		return -errno;
	count = scandirat(dir, ".", &names, only_segments, alphasort);
	if (count < 0)
		return -errno;
	for (int i = 0; i < count; i++) {
		int fd = err ? -1 : openat(dir, names[i]->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

		if (fd >= 0)
			err = event_stream_add(s, fd);
		else if (!err && errno != ENOENT)	/* retention took it meanwhile */
			err = -errno;
		free(names[i]);
	}
	free(names);
	return err ?: count ? 0 : -ENOENT;
}

void event_stream_live(struct event_stream *s)
{
	s->live = true;
}

size_t event_stream_count(const struct event_stream *s)
{
	return s->count;
}

/* Passes over damage: 0 when there are intact frames behind it, else -ENOENT; then nothing is left to read for now. */
static int pass_over(struct event_stream *s, struct source *source, bool growing)
{
	struct segment_reader *r = source->reader;
	struct event_damage d = {
		.index = segment_reader_index(r),
		.offset = segment_reader_offset(r),
		.first = segment_reader_sequence(r),
	};
	int64_t left;
	int err;

	err = segment_reader_skip(r, &d.bytes);
	if (err == 0) {
		d.last = segment_reader_sequence(r) - 1;
	} else if (err == -ENOENT && growing) {
		return err;		/* to be told when there is something behind it */
	} else if (err == -ENOENT) {
		left = segment_reader_left(r);
		if (left < 0)
			return left;
		d.bytes = left;
		source->ended = true;
	} else {
		return err;
	}
	if (d.bytes)
		s->damaged(s->data, &d);
	return err;
}

int event_stream_next(struct event_stream *s, size_t i, struct segment_frame *ret)
{
	struct source *source = &s->sources[i];
	bool growing = s->live && i + 1 == s->count;

	for (;;) {
		int err;

		if (!source->reader || source->ended)
			return 0;
		err = segment_reader_next(source->reader, ret);
		if (err == 1)
			return 1;
		if (err == -ENODATA)
			source->ended = true;
		if (err == -ENODATA || (err == 0 && growing))
			return 0;
		if (err && err != -EBADMSG)
			return err;
		err = pass_over(s, source, growing);
		if (err)
			return err == -ENOENT ? 0 : err;
	}
}
