/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <langinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/cleanup.h"
#include "cli/cmd.h"
#include "cli/compact.h"
#include "cli/event_stream.h"
#include "cli/events_options.h"
#include "cli/missing.h"
#include "cli/wellknown.h"
#include "lib/client.h"
#include "record/codec.h"
#include "record/ocsf.h"

#define OUTPUT_CHUNK (64 * 1024)

struct events {
	struct events_options o;
	struct compact_style style;
	bool incomplete;            /* damage was met */
	struct missing missing;
	unsigned int hidden_losses, hidden_folded; /* since it was last said */
	uint64_t hidden_sockets;
	bool told_sockets; /* that there are such */
	struct buffer out;
	struct event_stream *stream;
	struct client *client;
	uint64_t next_index; /* of the first segment not asked for yet */
	bool more;           /* there are such */
};

/* ---- one record ---- */

static int flush(struct events *e)
{
	int err = buffer_error(&e->out);

	if (!err && e->out.len &&
	    (fwrite(e->out.data, 1, e->out.len, stdout) != e->out.len || fflush(stdout)))
		err = -errno;
	buffer_clear(&e->out);
	return err;
}

static void put_varint(struct buffer *out, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		buffer_add_char(out, (char)(value | 0x80));
	buffer_add_char(out, (char)value);
}

static int show(struct events *e, const Affiant__V1__Record *r, const void *payload, size_t len)
{
	int err = 0;

	switch (e->o.format) {
	case EVENTS_COMPACT:
		compact_line(r, &e->style, &e->out);
		break;
	case EVENTS_JSON:
		err = ocsf_of_record(r, &e->out);
		buffer_add_char(&e->out, '\n');
		break;
	case EVENTS_PROTO:
		put_varint(&e->out, len);
		buffer_add(&e->out, payload, len);
		break;
	}
	if (!err && e->out.len >= OUTPUT_CHUNK)
		err = flush(e);
	return err;
}

/* What is shown goes out, and what it does not show is said. */
static int finish(struct events *e)
{
	int err = flush(e);

	e->incomplete |= missing_say(&e->missing, stderr);
	if (e->hidden_losses)
		fprintf(stderr,
			"affiant events: %u records tell of losses that may concern these: "
			"--type lost,gap alone shows them\n",
			e->hidden_losses);
	/* Who follows them is told once. */
	if (e->hidden_sockets && !e->told_sockets)
		fprintf(stderr,
			"affiant events: %" PRIu64
			" connects to well-known sockets of the system are left out%s: "
			"--all shows them\n",
			e->hidden_sockets, e->o.follow ? " so far" : "");
	e->told_sockets |= e->hidden_sockets > 0;
	e->hidden_losses = 0;
	if (e->hidden_folded)
		fprintf(stderr,
			"affiant events: %u records count, of agents past their budget, what may "
			"be among these: --type folded shows them\n",
			e->hidden_folded);
	e->hidden_folded = 0;
	return err;
}

static bool is_left_out(const struct events *e, const Affiant__V1__Record *r)
{
	return e->o.format == EVENTS_COMPACT && !e->o.all &&
	       !filter_names_destination(e->o.filter) && wellknown_connect(r);
}

/* 1: *@ret matches. 0: it does not, or can't be decoded, which is told. -ENOMEM. */
static int take(struct events *e, const struct segment_frame *frame, Affiant__V1__Record **ret)
{
	_cleanup_(record_freep) Affiant__V1__Record *r = NULL;
	int err = record_unpack(frame->payload, frame->len, &r);

	if (err) {
		fprintf(stderr, "affiant events: record %" PRIu64 " %s\n", frame->sequence,
			err == -ENOTSUP ? "is of a type that this version doesn't know"
					: "can't be decoded");
		e->incomplete = true;
		return 0;
	}
	err = missing_read(&e->missing, r);
	if (err)
		return err;
	if (!filter_match(e->o.filter, r)) {
		e->hidden_losses += filter_hides_loss(e->o.filter, r);
		e->hidden_folded += filter_hides_folded(e->o.filter, r);
		return 0;
	}
	if (is_left_out(e, r)) {
		e->hidden_sockets++;
		return 0;
	}
	*ret = TAKE_PTR(r);
	return 1;
}

static void tell_damage(void *events, const struct event_damage *d)
{
	struct events *e = events;

	if (d->hole && !missing_hole(&e->missing, d->first, d->last))
		return; /* a Gap that comes later may tell of it */
	fprintf(stderr,
		"affiant events: segment %016" PRIx64 " is damaged at byte %" PRIu64 ": %" PRIu64
		" bytes can't be read",
		d->index, d->offset, d->bytes);
	if (d->last)
		fprintf(stderr, ", with records %" PRIu64 " to %" PRIu64, d->first, d->last);
	fputc('\n', stderr);
	e->incomplete = true;
}

/* ---- where the segments come from ---- */

/*
 * Asks for some of the segments from @from on, and adds them; e->more: there are others behind them.
 * @again: that is the stream's last one, to see that it is the same. -ESTALE: it is another, and
 * nothing was added.
 */
static int add_segments_from(struct events *e, uint64_t from, bool again)
{
	Affiant__V1__ReadSegments body = AFFIANT__V1__READ_SEGMENTS__INIT;
	Affiant__V1__Request request = AFFIANT__V1__REQUEST__INIT;
	Affiant__V1__Response *answer;
	int fds[CLIENT_FDS_MAX];
	size_t count = 0;
	int err;

	request.call_case = AFFIANT__V1__REQUEST__CALL_READ_SEGMENTS;
	request.read_segments = &body;
	body.has_from_index = body.has_follow = true;
	body.from_index = from;
	body.follow = e->o.follow;
	err = client_call(e->client, &request, NULL, 0, &answer, fds, &count);
	if (err)
		return err;
	if (answer->answer_case != AFFIANT__V1__RESPONSE__ANSWER_SEGMENTS ||
	    answer->segments->n_segments != count)
		err = -EPROTO;
	/* The current one at least is there, unless all have lower numbers. */
	if (!err && again && !count)
		err = -ESTALE;
	for (size_t i = 0; i < count; i++) {
		if (!err && again && answer->segments->segments[i]->index == from) {
			err = event_stream_is_last(e->stream, fds[i]) ? 0 : -ESTALE;
			close(fds[i]);
			continue;
		}
		if (err) {
			close(fds[i]);
			continue;
		}
		err = event_stream_add(e->stream, answer->segments->segments[i]->index, fds[i]);
		e->next_index = answer->segments->segments[i]->index + 1;
	}
	e->more = !err && answer->segments->more && count;
	affiant__v1__response__free_unpacked(answer, NULL);
	return err;
}

static int add_segments(struct events *e)
{
	return add_segments_from(e, e->next_index, false);
}

/*
 * Goes on behind what was read, with a daemon that was started anew. Its ledger may have been, too:
 * then that is read from its beginning.
 */
static int resume(struct events *e)
{
	int err;

	if (!event_stream_count(e->stream))
		return add_segments(e);
	err = add_segments_from(e, event_stream_last_index(e->stream), true);
	if (err != -ESTALE)
		return err;
	fprintf(stderr, "affiant events: the ledger was made anew: what came last in the old one is gone\n");
	e->incomplete = true;
	event_stream_begin_anew(e->stream);
	e->next_index = 0;
	return add_segments(e);
}

/* 1: it has been told. */
static int failed(const struct events *e, int err)
{
	if (e->o.ledger)
		fprintf(stderr, "affiant events: %s: %s\n", e->o.ledger,
			err == -ENOENT ? "there are no segments of a ledger" : strerror(-err));
	else if (!e->client)
		fprintf(stderr, "affiant events: %s: %s%s\n", client_path(e->o.socket),
			strerror(-err),
			err == -ENOENT || err == -ECONNREFUSED ? "; does affiantd run?"
			: err == -EACCES ? "; readers are root and the group affiant-read"
					 : "");
	else
		fprintf(stderr, "affiant events: %s\n",
			*client_error(e->client) ? client_error(e->client) : strerror(-err));
	return 1;
}

static bool is_gone(int err)
{
	return err == -ENOENT || err == -ECONNREFUSED || err == -ECONNRESET || err == -EPIPE;
}

/*
 * A daemon that restarts goes on in the same ledger: so does who follows it. It may be gone again
 * at any moment.
 */
static int reconnect(struct events *e)
{
	int err;

	fprintf(stderr, "affiant events: affiantd is gone; waiting for it\n");
	do {
		client_close(TAKE_PTR(e->client));
		err = client_open(e->o.socket, &e->client) ?: resume(e);
	} while (is_gone(err) && !nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL));
	return err;
}

/* add_segments(), for who is in the middle of reading. 1: it failed, and has been told. */
static int add_more(struct events *e)
{
	int err = add_segments(e);

	if (e->o.follow && is_gone(err))
		err = reconnect(e);
	return err ? failed(e, err) : 0;
}

/* ---- all of them ---- */

static int show_segment(struct events *e, size_t i)
{
	struct segment_frame frame;
	int err;

	while ((err = event_stream_next(e->stream, i, &frame)) == 1) {
		Affiant__V1__Record *r;

		err = take(e, &frame, &r);
		if (err < 0)
			break;
		if (!err)
			continue;
		err = show(e, r, frame.payload, frame.len);
		record_free(r);
		if (err)
			break;
	}
	return err;
}

/*
 * From segment *@i on, which then is the last one. A few are asked for at a time, and descriptors
 * remain few.
 */
static int show_from(struct events *e, size_t *i)
{
	int err;

	for (;;) {
		err = *i < event_stream_count(e->stream) ? show_segment(e, *i) : 0;
		if (!err && *i + 1 < event_stream_count(e->stream))
			++*i;
		else if (!err && e->more)
			err = add_more(e);
		else
			return err ?: finish(e);
		if (err)
			return err;
	}
}

/* ---- the last ones: segments are read from the newest back, until there are enough ---- */

struct kept {
	uint8_t *data;
	size_t len;
};

static int keep(struct kept *k, const struct segment_frame *frame)
{
	uint8_t *data = realloc(k->data, frame->len);

	if (!data)
		return -ENOMEM;
	memcpy(data, frame->payload, frame->len);
	*k = (struct kept){.data = data, .len = frame->len};
	return 0;
}

/*
 * The last @room matches of segment @i, as a ring: *@ret_count have been there, the oldest is at
 * count % room.
 */
static int keep_segment(struct events *e, size_t i, struct kept *ring, size_t room,
			uint64_t *ret_count)
{
	struct segment_frame frame;
	uint64_t count = 0;
	int err;

	while ((err = event_stream_next(e->stream, i, &frame)) == 1) {
		Affiant__V1__Record *r;

		err = take(e, &frame, &r);
		if (err < 0)
			break;
		if (!err)
			continue;
		record_free(r);
		err = keep(&ring[count++ % room], &frame);
		if (err)
			break;
	}
	*ret_count = count;
	return err;
}

static int show_kept(struct events *e, const struct kept *kept, size_t count)
{
	int err = 0;

	for (size_t i = 0; !err && i < count; i++) {
		_cleanup_(record_freep) Affiant__V1__Record *r = NULL;

		err = record_unpack(kept[i].data, kept[i].len, &r);
		if (!err)
			err = show(e, r, kept[i].data, kept[i].len);
	}
	return err ?: finish(e);
}

/* Here the newest segments count, so all are asked for first. */
static int add_all_segments(struct events *e)
{
	struct rlimit files;
	int err = 0;

	if (e->more && !getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	while (!err && e->more)
		err = add_more(e);
	return err;
}

static int show_last(struct events *e, size_t *ret_i)
{
	_cleanup_free_ struct kept *kept = calloc(e->o.last, sizeof(*kept));
	int err = kept ? add_all_segments(e) : -ENOMEM;
	size_t room = e->o.last, segments = event_stream_count(e->stream);

	for (size_t i = segments; !err && room && i-- > 0;) {
		_cleanup_free_ struct kept *ring = calloc(room, sizeof(*ring));
		uint64_t count = 0;
		size_t have;

		err = ring ? keep_segment(e, i, ring, room, &count) : -ENOMEM;
		have = count < room ? count : room;
		for (size_t n = 0; n < have; n++)
			kept[room - have + n] = ring[(count - have + n) % room];
		room -= have;
	}
	if (!err)
		err = show_kept(e, kept + room, e->o.last - room);
	for (size_t i = 0; kept && i < e->o.last; i++)
		free(kept[i].data);
	*ret_i = segments ? segments - 1 : 0;
	return err;
}

static void set_style(struct events *e)
{
	const char *no_colour = getenv("NO_COLOR"), *terminal = getenv("TERM");

	e->style.ascii = strcmp(nl_langinfo(CODESET), "UTF-8") != 0;
	/* https://no-color.org: set, and not empty. */
	e->style.colour = isatty(STDOUT_FILENO) && !(no_colour && *no_colour) &&
			  !(terminal && !strcmp(terminal, "dumb"));
}

/* ---- the whole command ---- */

static int open_stream(struct events *e)
{
	int err = event_stream_new(tell_damage, e, &e->stream);

	if (err || e->o.ledger)
		return err ?: event_stream_add_directory(e->stream, e->o.ledger);
	event_stream_live(e->stream);
	return client_open(e->o.socket, &e->client) ?: add_segments(e);
}

static int follow(struct events *e, size_t i)
{
	for (;;) {
		int err = client_appended(e->client, -1);

		if (is_gone(err))
			err = reconnect(e);
		if (err < 0 && err != -EINTR)
			return failed(e, err);
		err = event_stream_ended(e->stream) ? add_more(e) : 0;
		err = err ?: show_from(e, &i);
		if (err)
			return err;
	}
}

static int run(struct events *e)
{
	size_t i = 0;
	int err;

	err = open_stream(e);
	if (err)
		return failed(e, err);
	err = e->o.last ? show_last(e, &i) : show_from(e, &i);
	if (!err && e->o.follow)
		err = follow(e, i);
	if (err < 0 && err != -EPIPE) /* who reads us has gone: that is how it is told to end */
		fprintf(stderr, "affiant events: %s\n", strerror(-err));
	return err;
}

int cmd_events(int argc, char **argv)
{
	struct events e = {};
	int code = EXIT_FAILURE, err = events_options_parse(&e.o, argc, argv);

	if (err == -EINVAL) {
		code = EXIT_USAGE;
	} else if (!err && e.o.help) {
		code = EXIT_SUCCESS;
	} else if (!err) {
		set_style(&e);
		code = run(&e) || e.incomplete ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	event_stream_free(e.stream);
	missing_done(&e.missing);
	client_close(e.client);
	events_options_done(&e.o);
	buffer_done(&e.out);
	return code;
}
