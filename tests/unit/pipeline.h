/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipeline: events made by hand, the attribution that they are given to, and the records that come
 * out. The enrichment is the test's: digests come when it says so.
 */
#pragma once

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/pb.h"
#include "collect/attribute.h"
#include "collect/decode.h"
#include "collect/loss.h"
#include "collect/note.h"
#include "record/codec.h"

#define MS 1000000ull
#define S 1000000000ull
#define WALL_OFFSET INT64_C(1790000000000000000)

/* ---- enrichment: replaces collect/enrich.c, unless all of the daemon is tested ---- */

#ifndef PIPELINE_WITHOUT_ENRICH

struct enrich {
	struct image_context context;
	bool slow; /* digests come later, by digest_ready() */
	struct image *awaited[256];
	size_t count;
};

const struct image_context *enrich_image_context(const struct enrich *e)
{
	return &e->context;
}

static inline struct file_digest digest_of(const char *exe)
{
	struct file_digest d = {.state = HASH_STATE_OBSERVED};

	if (sha256_of(exe, strlen(exe), &d.sha256))
		abort();
	return d;
}

static inline void digest_set(struct image *i)
{
	struct file_digest d = digest_of(i->exe ? i->exe->text : "");

	image_set_digest(i, IMAGE_EXE, &d);
}

void enrich_image(struct enrich *e, const struct event_exec *event, struct image *i,
		  uint64_t session)
{
	(void)event, (void)session;
	if (!e->slow)
		digest_set(i);
	else if (e->count < sizeof(e->awaited) / sizeof(e->awaited[0]))
		e->awaited[e->count++] = image_ref(i);
}

void enrich_disabled(struct enrich *e, const struct event_exec *event, struct image *i)
{
	const struct file_digest d = {.state = HASH_STATE_DISABLED};

	(void)e, (void)event;
	image_set_digest(i, IMAGE_EXE, &d);
}

/* The oldest that is awaited, or nothing. */
static inline bool digest_ready(struct attribute *a, struct enrich *e)
{
	struct image *i;

	if (!e->count)
		return false;
	i = e->awaited[0];
	e->count--;
	memmove(e->awaited, e->awaited + 1, e->count * sizeof(e->awaited[0]));
	if (i->draft) {
		digest_set(i);
		attribute_image_ready(a, i);
	}
	image_unref(i);
	return true;
}

static inline void enrich_drop(struct enrich *e)
{
	while (e->count)
		image_unref(e->awaited[--e->count]);
}

#endif

/* ---- records ---- */

struct emitted {
	uint64_t source;
	uint32_t part;
	Affiant__V1__Record *r;
	uint8_t *bytes;
	size_t len;
};

struct pipeline {
	struct attribute *attribute;
	struct attribute_config config;
#ifndef PIPELINE_WITHOUT_ENRICH
	struct enrich enrich;
#endif
	struct emitted *records;
	size_t count, room;
	size_t read; /* so many were looked at by next() */
	uint64_t now;
	uint64_t sequence[8];
	uint64_t notes;
	unsigned int entered, began;
};

static inline void pipeline_emit(void *data, uint64_t source, uint32_t part, const uint8_t *record,
				 size_t len)
{
	struct pipeline *p = data;
	struct emitted *e;

	if (p->count == p->room) {
		p->room = p->room ? 2 * p->room : 64;
		p->records = realloc(p->records, p->room * sizeof(*p->records));
	}
	e = &p->records[p->count++];
	*e = (struct emitted){.source = source, .part = part, .len = len};
	e->bytes = malloc(len + 2);
	memcpy(e->bytes, record, len);
	memcpy(e->bytes + len, "\x10\x01", 2); /* the ledger adds the number */
	/* Whatever comes out is a record that others will take. */
	assert_int_equal(record_unpack(e->bytes, len + 2, &e->r), 0);
	assert_true(e->r->has_id && e->r->has_boot_id && e->r->has_host && e->r->has_wall_ns);
}

static inline bool pipeline_selector(void *data, uint32_t id, struct attribute_selector *ret)
{
	(void)data;
	if (id != 77 && id != 78)
		return false;
	*ret = (struct attribute_selector){.agent = id == 77 ? "chosen" : "other",
					   .words = "exe /bin/agent",
					   .own_user = id == 78};
	return true;
}

static inline void pipeline_began(void *data, struct session *s, uint32_t tgid)
{
	struct pipeline *p = data;

	assert_int_equal(s->first.tgid, tgid);
	p->began++;
}

static inline void pipeline_entered(void *data, const struct event_exec *e)
{
	(void)e;
	((struct pipeline *)data)->entered++;
}

static inline struct pipeline *pipeline_new(void)
{
	struct pipeline *p = calloc(1, sizeof(*p));

	p->now = 1000 * S;
	p->config = (struct attribute_config){
		.boot_id = "boot 0123456789",
		.host = "host 0123456789",
		.trust_domain = "example.org",
		.clock = {WALL_OFFSET, AFFIANT__V1__CLOCK_STATE__CLOCK_SYNCHRONISED},
		.outcome_wait_ns = S,
		.failure_wait_ns = S / 20,
		.digest_wait_ns = 2 * S,
		.connections_max = 1000,
		.held_max = 1000,
		.emit = pipeline_emit,
		.selector = pipeline_selector,
		.began = pipeline_began,
		.entered = pipeline_entered,
		.data = p,
	};
#ifndef PIPELINE_WITHOUT_ENRICH
	p->enrich.context.argv_max = 2048;
	p->config.enrich = &p->enrich;
#endif
	assert_int_equal(attribute_new(&p->config, &p->attribute), 0);
	attribute_tick(p->attribute, p->now);
	return p;
}

static inline void pipeline_forget(struct pipeline *p)
{
	for (size_t i = 0; i < p->count; i++) {
		record_free(p->records[i].r);
		free(p->records[i].bytes);
	}
	p->count = p->read = 0;
}

static inline void pipeline_free(struct pipeline *p)
{
	pipeline_forget(p);
	free(p->records);
	attribute_free(p->attribute);
#ifndef PIPELINE_WITHOUT_ENRICH
	enrich_drop(&p->enrich); /* as in the daemon: images outlive the table */
#endif
	free(p);
}

/* The next record that came out, and its part; fails when there is none. */
static inline const Affiant__V1__Record *next_part(struct pipeline *p, uint32_t part,
						   Affiant__V1__Record__BodyCase body)
{
	const struct emitted *e;

	assert_true(p->read < p->count);
	e = &p->records[p->read++];
	assert_int_equal(e->r->body_case, body);
	assert_int_equal(e->part, part);
	return e->r;
}

#define NEXT(p, part, body) next_part(p, part, AFFIANT__V1__RECORD__BODY_##body)

static inline void no_more(const struct pipeline *p)
{
	if (p->read != p->count)
		print_error("unexpected: body %d\n", p->records[p->read].r->body_case);
	assert_int_equal(p->read, p->count);
}

static inline void skip_all(struct pipeline *p)
{
	p->read = p->count;
}

/* ---- events ---- */

struct proc {
	uint64_t session, start;
	uint32_t tgid, exec_seq;
	uint32_t flags;
};

static inline void assert_id(const Affiant__V1__ProcessId *id, const struct proc *p)
{
	assert_non_null(id);
	assert_int_equal(id->tgid, p->tgid);
	assert_int_equal(id->start_boottime_ns, p->start);
	assert_int_equal(id->exec_seq, p->exec_seq);
}

static inline void head_fill(struct pipeline *p, struct event_header *h, uint32_t cpu,
			     uint16_t type, size_t size, const struct proc *by)
{
	h->boottime_ns = p->now += MS / 10;
	h->sequence = ++p->sequence[cpu];
	h->cpu = cpu;
	h->type = type;
	h->size = size;
	if (by)
		h->actor = (struct event_actor){.session = by->session,
						.start_boottime = by->start,
						.tgid = by->tgid,
						.exec_seq = by->exec_seq,
						.flags = by->flags};
}

/* As the daemon does it: what was made is checked. */
static inline void give(struct pipeline *p, const void *event)
{
	const struct event_header *h = event, *decoded;

	assert_int_equal(event_decode(event, h->size, &decoded), 0);
	assert_int_equal(attribute_event(p->attribute, h), 0);
}

static inline struct event_fork fork_event(struct pipeline *p, const struct proc *parent,
					   const struct proc *child)
{
	struct event_fork e = {.parent_start = parent->start,
			       .parent_tgid = parent->tgid,
			       .parent_exec_seq = parent->exec_seq};

	head_fill(p, &e.header, 0, EVENT_FORK, sizeof(e), child);
	return e;
}

static inline struct proc do_fork(struct pipeline *p, const struct proc *parent, uint32_t tgid)
{
	struct proc child = *parent;
	struct event_fork e;

	child.tgid = tgid;
	child.start = p->now + MS / 20;
	e = fork_event(p, parent, &child);
	give(p, &e);
	return child;
}

static inline struct event_untagged untagged_event(struct pipeline *p, const struct proc *parent,
						   const struct proc *child)
{
	struct event_untagged e = {.parent_start = parent->start,
				   .parent_tgid = parent->tgid,
				   .parent_exec_seq = parent->exec_seq,
				   .selector = 77};

	head_fill(p, &e.header, 0, EVENT_TAG_LOST, sizeof(e), child);
	return e;
}

/* As do_fork(), when there is no room among the tags. */
static inline struct proc do_untagged(struct pipeline *p, const struct proc *parent, uint32_t tgid)
{
	struct proc child = *parent;
	struct event_untagged e;

	child.tgid = tgid;
	child.start = p->now + MS / 20;
	e = untagged_event(p, parent, &child);
	give(p, &e);
	return child;
}

union exec_buffer {
	struct event_exec e;
	uint8_t bytes[sizeof(struct event_exec) + 4096];
	uint64_t aligned;
};

/* @exe: "/bin/agent" becomes "agent\0bin\0". */
static inline void exec_fill(struct pipeline *p, union exec_buffer *b, uint16_t type,
			     const struct proc *by, const struct proc *parent, const char *exe)
{
	size_t len = strlen(exe), at = 0;
	const char *end = exe + len;

	memset(b, 0, sizeof(*b));
	for (const char *c = end; c > exe; c--)
		if (c[-1] == '/') {
			memcpy(b->e.data + at, c, end - c);
			at += end - c + 1;
			end = c - 1;
		}
	b->e.exe_len = at;
	memcpy(b->e.data + at, "work\0home", 10);
	at += b->e.cwd_len = 10;
	memcpy(b->e.data + at, exe, len);
	at += b->e.filename_len = len;
	memcpy(b->e.data + at, exe, len);
	at += b->e.interp_len = len;
	if (type == EVENT_EXEC) {
		memcpy(b->e.data + at, exe, len);
		memcpy(b->e.data + at + len, "\0-x", 4);
		at += b->e.argv_len = len + 4;
		b->e.argc = 2;
	}
	b->e.uid = b->e.euid = 1000;
	b->e.gid = b->e.egid = 1001;
	b->e.cgroup = 4242;
	b->e.exe.inode = 77;
	memcpy(b->e.comm, "agent", 6);
	b->e.parent_tgid = parent ? parent->tgid : 1;
	b->e.parent_start = parent ? parent->start : 1;
	head_fill(p, &b->e.header, 0, type, sizeof(b->e) + (at + 7) / 8 * 8, by);
}

static inline void do_exec(struct pipeline *p, struct proc *by, const struct proc *parent,
			   const char *exe)
{
	union exec_buffer b;

	by->exec_seq++;
	exec_fill(p, &b, EVENT_EXEC, by, parent, exe);
	give(p, &b);
}

static inline void do_adopt(struct pipeline *p, const struct proc *by, const struct proc *parent,
			    const char *exe)
{
	union exec_buffer b;

	exec_fill(p, &b, EVENT_ADOPT, by, parent, exe);
	give(p, &b);
}

static inline void do_exit(struct pipeline *p, const struct proc *by, int status)
{
	struct event_exit e = {.status = status};

	head_fill(p, &e.header, 1, EVENT_EXIT, sizeof(e), by);
	give(p, &e);
}

/* An attempt to 203.0.113.7:@port. */
static inline struct event_connect connect_event(struct pipeline *p, const struct proc *by,
						 uint16_t protocol, uint16_t port)
{
	struct event_connect e = {
		.reached = {.family = AF_INET, .port = port, .bytes = {203, 0, 113, 7}},
		.uid = 1000,
		.gid = 1001,
		.sock_type = protocol == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM,
		.protocol = protocol,
		.flags = CONNECT_OPENER,
	};

	head_fill(p, &e.header, 2, EVENT_CONNECT, sizeof(e), by);
	e.opener = e.header.actor;
	e.connection = event_source(&e.header);
	e.cookie = 9000 + e.header.sequence;
	return e;
}

static inline struct event_connect do_connect(struct pipeline *p, const struct proc *by,
					      uint16_t port)
{
	struct event_connect e = connect_event(p, by, IPPROTO_TCP, port);

	give(p, &e);
	return e;
}

static inline struct event_outcome outcome_event(struct pipeline *p, const struct event_connect *of,
						 int error)
{
	struct event_outcome e = {
		.connection = of->connection,
		.cookie = of->cookie,
		.latency_ns = 5 * MS,
		.local = {.family = AF_INET, .port = 40000, .bytes = {192, 0, 2, 1}},
		.peer = of->reached,
		.error = error,
		.from = TCP_SYN_SENT,
		.to = error ? TCP_CLOSE : TCP_ESTABLISHED,
	};

	head_fill(p, &e.header, 3, EVENT_OUTCOME, sizeof(e), NULL);
	e.header.actor = of->header.actor;
	return e;
}

static inline void do_outcome(struct pipeline *p, const struct event_connect *of, int error)
{
	struct event_outcome e = outcome_event(p, of, error);

	give(p, &e);
}

static inline struct event_close close_event(struct pipeline *p, const struct event_connect *of)
{
	struct event_close e = {
		.connection = of->connection,
		.cookie = of->cookie,
		.bytes_sent = 100,
		.bytes_received = 200,
		.duration_ns = 7 * S,
		.from = TCP_LAST_ACK,
		.to = TCP_CLOSE,
		.protocol = of->protocol,
	};

	head_fill(p, &e.header, 3, EVENT_CLOSE, sizeof(e), NULL);
	e.header.actor = of->header.actor;
	if (of->protocol != IPPROTO_TCP) {
		e.from = e.to = 0;
		e.bytes_sent = e.bytes_received = 0;
		e.flags = OUTCOME_RELEASE;
	}
	return e;
}

static inline void do_close(struct pipeline *p, const struct event_connect *of)
{
	struct event_close e = close_event(p, of);

	give(p, &e);
}

/* ---- notes ---- */

static inline struct event_header *note_event(struct pipeline *p, uint16_t type,
					      const ProtobufCMessage *m)
{
	struct event_header *h = NULL;

	assert_int_equal(note_new(type, p->notes++, p->now += MS / 10, m, &h), 0);
	return h;
}

static inline void do_note(struct pipeline *p, uint16_t type, const ProtobufCMessage *m)
{
	struct event_header *h = note_event(p, type, m);

	give(p, h);
	free(h);
}

static inline struct event_header *session_event(struct pipeline *p, uint64_t key,
						 const char *agent)
{
	Affiant__V1__StateSession m = AFFIANT__V1__STATE_SESSION__INIT;
	Affiant__V1__Record head = AFFIANT__V1__RECORD__INIT;
	Affiant__V1__SessionStarted started = AFFIANT__V1__SESSION_STARTED__INIT;
	Affiant__V1__Agent a = AFFIANT__V1__AGENT__INIT;
	Affiant__V1__Session s = AFFIANT__V1__SESSION__INIT;
	Affiant__V1__Task t = AFFIANT__V1__TASK__INIT;
	Affiant__V1__Principal by = AFFIANT__V1__PRINCIPAL__INIT;
	uint8_t id[16] = {1, 2, 3, 4, 5, 6, 0x70, 8, 0x80};

	memcpy(id + 9, &key, 7);
	a.name = (char *)agent;
	a.spiffe_id = (char *)"spiffe://example.org/agent/x";
	SET(&s, id, pb_bytes(id, 16));
	SET(&s, isolation, AFFIANT__V1__ISOLATION__ISOLATION_LANDLOCK);
	t.id = (char *)"T-1";
	by.subject = (char *)"alice";
	SET(&by, assurance, AFFIANT__V1__ASSURANCE__ASSURANCE_ASSERTED);
	SET(&started, origin, AFFIANT__V1__SESSION_ORIGIN__ORIGIN_RUN);
	head.agent = &a;
	head.session = &s;
	head.task = &t;
	head.principal = &by;
	head.body_case = AFFIANT__V1__RECORD__BODY_SESSION_STARTED;
	head.session_started = &started;
	SET(&m, key, key);
	m.head = &head;
	return note_event(p, NOTE_SESSION, &m.base);
}

static inline void do_session(struct pipeline *p, uint64_t key, const char *agent)
{
	struct event_header *h = session_event(p, key, agent);

	give(p, h);
	free(h);
}

/* A session opened through the API, its first process adopted, and that executing the agent. */
static inline struct proc begin_session(struct pipeline *p, uint64_t key, uint32_t tgid)
{
	struct proc run = {.session = key, .start = p->now, .tgid = tgid, .exec_seq = 1};

	do_session(p, key, "research");
	do_adopt(p, &run, NULL, "/usr/bin/affiant");
	do_exec(p, &run, NULL, "/usr/bin/agent");
	return run;
}
