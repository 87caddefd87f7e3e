/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/handout_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attest/cmw.h"
#include "base/base64url.h"
#include "base/cleanup.h"
#include "base/effort.h"

#define BLOCK 49152 /* bytes of a log that are encoded at once; whole groups of three */

/* As they stand in host evidence. */
static const struct {
	enum measure_log log;
	const char *name, *type;
} members[] = {
	{MEASURE_BOOT, "boot_log", CMW_EVENT_LOG},
	{MEASURE_SYSTEMD, "systemd_log", CMW_JSON_SEQ},
	{MEASURE_IMA, "ima_log", CMW_IMA_LOG},
};

static void add(struct handout_stream *s, struct handout_piece piece)
{
	s->size += piece.text ? piece.len : BASE64URL_LEN(piece.bytes);
	s->pieces[s->pieces_count++] = piece;
}

static int add_text(struct handout_stream *s, char *text)
{
	if (!text)
		return -ENOMEM;
	add(s, (struct handout_piece){.text = text, .len = strlen(text)});
	return 0;
}

static char *opening_of(const char *name, const char *type)
{
	char *text;

	return asprintf(&text, ",\"%s\":[\"%s\",\"", name, type) < 0 ? NULL : text;
}

static char *closing(void)
{
	char *text;

	return asprintf(&text, "\",%d]", CMW_EVIDENCE) < 0 ? NULL : text;
}

/* Which entries of the IMA list are there. */
static char *range_of(uint64_t from, uint64_t entries)
{
	_cleanup_buffer_ struct buffer b = {0};
	char range[96];

	snprintf(range, sizeof(range), "{\"from\":%" PRIu64 ",\"entries\":%" PRIu64 "}", from,
		 entries);
	cmw_put(&b, "ima_range", CMW_IMA_RANGE, range, strlen(range));
	return buffer_error(&b) ? NULL : strndup((const char *)b.data, b.len);
}

static int add_logs(struct handout_stream *s, const struct handout_request *request,
		    const struct handout_log logs[static MEASURE_LOGS])
{
	for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++) {
		const struct handout_log *log = &logs[members[i].log];
		int err;

		if (!log->there)
			continue;
		err = add_text(s, opening_of(members[i].name, members[i].type));
		if (err)
			return err;
		add(s, (struct handout_piece){
			       .log = members[i].log, .from = log->from, .bytes = log->bytes});
		err = add_text(s, closing());
		if (!err && members[i].log == MEASURE_IMA)
			err = add_text(s, range_of(request->ima_from, log->entries));
		if (err)
			return err;
	}
	return 0;
}

int handout_stream_new(int root, struct handout_request *request,
		       const struct handout_log logs[static MEASURE_LOGS],
		       struct handout_stream **ret)
{
	struct handout_stream *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->root = root;
	s->log = s->pipe = -1;
	add(s, (struct handout_piece){.text = TAKE_PTR(request->head), .len = request->head_len});
	err = add_logs(s, request, logs);
	if (!err)
		add(s, (struct handout_piece){.text = TAKE_PTR(request->tail),
					      .len = request->tail_len});
	s->out = malloc(BASE64URL_LEN(BLOCK) + 1);
	if (err || !s->out) {
		handout_stream_free(s);
		return err ?: -ENOMEM;
	}
	*ret = s;
	return 0;
}

void handout_stream_free(struct handout_stream *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->pieces_count; i++)
		free(s->pieces[i].text);
	free(s->out);
	closep(&s->log);
	closep(&s->pipe);
	free(s);
}

int handout_stream_open(struct handout_stream *s)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	s->pipe = ends[1];
	if (fcntl(s->pipe, F_SETFL, O_NONBLOCK) < 0) {
		close(ends[0]);
		return -errno;
	}
	return ends[0];
}

/* ---- what is written next ---- */

/* Whole, or to the log's end: then it is shorter than it was. */
static int read_block(int fd, uint8_t *block, size_t len)
{
	for (size_t have = 0; have < len;) {
		ssize_t n = effort_read(fd, block + have, len - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENODATA;
		have += n;
	}
	return 0;
}

/* *ret_read counts what was read. */
static int encode(struct handout_stream *s, const struct handout_piece *p, size_t *ret_read)
{
	static _Thread_local uint8_t block[BLOCK];
	uint64_t left = p->from + p->bytes - s->at;
	size_t len = left < BLOCK ? left : BLOCK;
	int err;

	if (s->log < 0) {
		s->log = measure_open(s->root, p->log);
		if (s->log < 0)
			return s->log;
	}
	/* The entries before the first one that is asked for. */
	if (s->at < p->from && p->from - s->at < len)
		len = p->from - s->at;
	err = read_block(s->log, block, len);
	if (err)
		return err;
	if (s->at >= p->from) {
		base64url_encode(block, len, s->out);
		s->out_len = BASE64URL_LEN(len);
	}
	s->at += len;
	*ret_read += len;
	return 0;
}

static int fill(struct handout_stream *s, size_t *ret_read)
{
	const struct handout_piece *p = &s->pieces[s->piece];
	uint64_t end = p->text ? p->len : p->from + p->bytes;
	size_t len;

	s->out_at = s->out_len = 0;
	if (s->at == end) {
		closep(&s->log);
		s->log = -1;
		s->piece++;
		s->at = 0;
		return 0;
	}
	if (!p->text)
		return encode(s, p, ret_read);
	len = p->len - s->at < BLOCK ? p->len - s->at : BLOCK;
	memcpy(s->out, p->text + s->at, len);
	s->out_len = len;
	s->at += len;
	return 0;
}

int handout_stream_step(struct handout_stream *s, uint64_t now_ns)
{
	size_t done = 0;

	while (done < HANDOUT_STEP) {
		ssize_t n;
		int err;

		if (s->out_at == s->out_len) {
			if (s->piece == s->pieces_count)
				return 1;
			err = fill(s, &done);
			if (err)
				return err;
			continue;
		}
		n = write(s->pipe, s->out + s->out_at, s->out_len - s->out_at);
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		s->out_at += n > 0 ? n : 0;
		s->moved_ns = now_ns;
		done += n > 0 ? n : 0;
	}
	return 0;
}
