/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table: sessions, processes and connections as the events have told them so far. Everything here
 * is changed by events and notes alone, in their order, so that reading the journal again gives the
 * same table.
 *
 * Sessions, images and actors are shared and counted; _ref() returns its argument, _unref() takes
 * NULL.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "affiant/v1/record.pb-c.h"
#include "base/uuid.h"
#include "collect/programs.h"
#include "event.h"

/* A path, which images and lineages share: programs are few, processes many. */
struct path {
	UT_hash_handle hh; /* *all */
	struct path **all; /* table.paths; NULL: the table is gone */
	unsigned int refs;
	size_t len;
	char text[];
};

/* (tgid, start) names a process within a boot; with exec_seq, what it was between two execs. */
struct process_key {
	uint64_t start; /* CLOCK_BOOTTIME, ns */
	uint32_t tgid;
	uint32_t exec_seq; /* no part of a table's key */
};

/*
 * Nobody is known in a session any more. Somebody may be whose fork was lost: it ends when the
 * kernel knows nobody either.
 */
struct vacancy {
	bool is;
	/* Of the last exit that was heard of; kept when the session has ended. */
	uint64_t source;
	uint64_t boottime_ns;
	struct actor *last; /* who it was; NULL: unknown */
};

struct session {
	UT_hash_handle hh; /* table.sessions, while it lives */
	uint64_t key;
	unsigned int refs;
	struct uuid id;
	Affiant__V1__Record *head; /* agent, session, task, principal; body: session_started */
	uint8_t *packed;           /* the first four, serialised */
	size_t packed_len;
	uint64_t source;        /* of its SessionStarted */
	uint64_t started_ns;    /* CLOCK_BOOTTIME */
	uint64_t ended_wall_ns; /* 0: it lives */
	uint64_t live;          /* processes now */
	uint64_t processes;     /* ever */
	uint64_t connections;
	uint64_t execs;
	struct programs programs; /* of images whose digests are settled */
	bool told;                /* SessionStarted was handed on */
	bool ending;              /* ended by request: no evidence, but still recorded */
	bool doomed;              /* its processes are killed, until there are none */
	bool untagged;  /* a process of it found no room among the tags: no evidence any more */
	uint32_t power; /* enum session_power (power.h) */
	bool has_user;  /* whose first event it was; not known again after a restart */
	uint32_t user;
	bool has_first;
	struct process_key first;
	bool has_status;
	int32_t status; /* of the first process, once it exited */
	struct vacancy vacancy;
	uint64_t alone_ns; /* vacant, and since when the kernel has nobody in it; 0: not known */
	uint64_t held_ns;  /* likewise, when it was looked at last and had somebody */
	uint64_t saved; /* as image.saved */
	struct fold *fold; /* fold.h; NULL: its budget was never asked */
};

/* A file whose digest is awaited, or known. */
struct image_digest {
	Affiant__V1__Digest *digest;  /* in the draft */
	Affiant__V1__Executable *exe; /* gets build id and package too; NULL for a step */
};

#define IMAGE_DIGESTS_MAX 20

/* What one exec made of a process: shared by the children it forks. */
struct image {
	unsigned int refs;
	uint64_t number;
	bool known; /* false: its exec was lost */
	bool power; /* it ran with root's power */
	bool has_id;
	struct object_id id; /* the executable, as the kernel saw it at the exec */
	struct path *exe;    /* NULL: unknown */
	uint32_t weight;     /* bytes that it takes of a record, about (price.h) */
	uint8_t *packed;     /* fields of Process, all but id, parent and ancestry; NULL: none */
	size_t packed_len;
	/* While it is a draft: */
	struct session *session; /* whose exec it is; NULL: nobody is told of its programs */
	Affiant__V1__Process *draft;
	struct image_digest digests[IMAGE_DIGESTS_MAX];
	unsigned int awaited;
	unsigned int twin; /* slot of the step that is the executable too; 0: none */
	bool queued;       /* in table.drafts, which holds a reference */
	uint64_t deadline_ns;
	struct held *held;         /* records that wait for it, in order */
	struct image *prev, *next; /* table.drafts */
	uint64_t saved;            /* state.c: its number, in the round in which it was written */
};

#define LINEAGE_MAX 16

/* Forebears, nearest first: shared by siblings. What they were outlives them here. */
struct lineage {
	unsigned int refs;
	unsigned int count;
	bool cut; /* there are more, or may be */
	struct {
		struct process_key key;
		struct image *image; /* NULL: unknown */
	} up[LINEAGE_MAX];
};

/* A process between two execs, as records show it. Never changes. */
struct actor {
	unsigned int refs;
	uint64_t number;
	struct session *session;
	struct image *image;
	struct process_key key;
	/* tgid 0: unknown; exec_seq 0: unknown, as only the kernel's threads have it */
	struct process_key parent;
	struct lineage *lineage; /* NULL: the session's first process */
	bool late;               /* nobody watched it for a while before */
	uint64_t saved;
};

struct process {
	UT_hash_handle hh; /* table.processes, by (tgid, start) */
	struct process_key key;
	struct actor *actor;
	/* its children's lineage; NULL until it forks, and after an exec */
	struct lineage *offspring;
	uint64_t missed_ns; /* since when it has no tag; 0: it has one, or nobody looked */
	bool untagged;      /* it found no room among the tags */
};

/* What was handed on of a connection. */
enum told {
	TOLD_NOTHING,
	TOLD_PENDING,
	TOLD_ATTEMPT, /* of a datagram socket: all there is, unless it is refused or failed */
	TOLD_OUTCOME,
	TOLD_LAST = TOLD_OUTCOME,
};

/*
 * A connection of which more will be heard. Of a datagram socket these are its first flow, whose
 * number its end tells, and the one that it is connected to, which can be refused.
 */
struct connection {
	UT_hash_handle hh;        /* table.connections, by number */
	UT_hash_handle by_cookie; /* table.sockets: the first flow of a datagram socket */
	uint64_t number;
	uint64_t cookie;
	/* in the first flow of a socket: the one it is connected to, if another */
	struct connection *latest;
	struct actor *actor;
	/* of who made the socket, if another process; NULL: of none that is known */
	struct session *opener;
	uint64_t deadline_ns;
	struct connection *prev, *next; /* table.awaiting_*, while nothing is told */
	enum told told;
	bool waiting;
	bool live;          /* its socket was met just now */
	/* 1 + number of the Folded record that counts the attempt; 0: it is told */
	uint64_t folded;
	uint64_t missed_ns; /* since when it has no socket; 0: it has one, or nobody looked */
	struct event_connect attempt;
};

struct held {
	struct held *prev, *next;
	struct actor *actor;
	uint64_t source;
	uint32_t part;
	size_t len;
	uint8_t record[]; /* without process and sequence */
};

/*
 * Where walks that a turn of the loop does not end go on: what is removed meanwhile moves them.
 * NULL: at the end.
 */
struct table_walks {
	struct process *processes;
	struct connection *connections;
	struct session *unbegun, *vacant, *untagged;
};

struct table {
	struct session *sessions;
	struct session *ended[64]; /* lately, a ring; slots may be NULL */
	unsigned int ended_next;
	struct process *processes;
	struct connection *connections;
	struct connection *sockets;
	struct connection *awaiting; /* by deadline */
	struct connection *awaiting_datagrams; /* likewise: these wait less long */
	struct image *drafts;        /* by deadline */
	size_t held;                 /* records that wait for drafts */
	struct path *paths;
	size_t untagged; /* processes that found no room among the tags */
	size_t vacant;   /* sessions in which nobody is known any more */
	struct table_walks walks;
	uint64_t images; /* numbers given */
	uint64_t actors;
};

void table_clear(struct table *t);

/* NULL: no memory. */
struct path *path_get(struct table *t, const char *text, size_t len);

struct session *session_new(struct table *t, uint64_t key);
struct session *session_ref(struct session *s);
void session_unref(struct session *s);
struct session *session_find(struct table *t, uint64_t key);
/* Among those that ended lately too. */
struct session *session_find_any(struct table *t, uint64_t key);
struct session *session_find_id(struct table *t, const uint8_t id[static UUID_SIZE]);
/* Out of the living. */
void session_drop(struct table *t, struct session *s);
/* Out of the living, into the lately ended. */
void session_end(struct table *t, struct session *s, uint64_t wall_ns);
/* Nobody is known in it any more. @last: who left, or NULL. */
void session_vacate(struct table *t, struct session *s, uint64_t source, uint64_t boottime_ns,
		    struct actor *last);
/* Out of the lately ended, into the living. */
void session_revive(struct table *t, struct session *s);
/* Takes the reference over. */
void session_remember(struct table *t, struct session *s);
/*
 * Enters the programs of @i, which is settled: 0, -ENOMEM, or -EBADMSG: its bytes are no Process.
 */
int session_add_programs(struct session *s, const struct image *i);
/* Serialises the head's four fields into @s->packed: 0 or -ENOMEM. */
int session_pack(struct session *s);

struct image *image_new(struct table *t);
struct image *image_ref(struct image *i);
void image_unref(struct image *i);

struct lineage *lineage_ref(struct lineage *l);
void lineage_unref(struct lineage *l);
/* The lineage of children of @parent. */
struct lineage *lineage_new(const struct actor *parent);
/* Of a process whose fork was not seen. */
struct lineage *lineage_unknown(void);

struct actor *actor_new(struct table *t, struct session *s, struct image *i);
struct actor *actor_ref(struct actor *a);
void actor_unref(struct actor *a);

struct process *process_find(struct table *t, uint32_t tgid, uint64_t start);
/* NULL: no memory. The actor's reference is taken over, also then. */
struct process *process_new(struct table *t, struct actor *a);
/*
 * Takes the reference over; the old actor's is given up, so that what was borrowed from it may be
 * gone.
 */
void process_set_actor(struct process *p, struct actor *a);
/* Whether it found no room among the tags. */
void process_set_untagged(struct table *t, struct process *p, bool untagged);
void process_remove(struct table *t, struct process *p);

struct connection *connection_find(struct table *t, uint64_t number);
/* @opener: NULL, or the session of the socket's opener. */
struct connection *connection_new(struct table *t, const struct event_connect *attempt,
				  struct actor *a, struct session *opener);
/* An outcome is awaited until its deadline, the last one of all. */
void connection_await(struct table *t, struct connection *c);
/* No outcome is awaited any more. */
void connection_settle(struct table *t, struct connection *c);
void connection_remove(struct table *t, struct connection *c);

bool attempt_is_datagram(const struct event_connect *attempt);
/* The first flow known of a datagram socket. */
struct connection *socket_find(struct table *t, uint64_t cookie);
/* With its flows. */
void socket_remove(struct table *t, struct connection *first);
