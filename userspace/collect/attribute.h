/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attribute: events become records. Each event changes the table and yields records whose source is
 * that event, so that reading a journal twice yields the same records under the same ids. What a
 * record must wait for (a digest, a connection's outcome) holds it, within a bound, and nothing
 * else.
 *
 * sessions.c, processes.c, flow.c, listen.c and epoch.c follow what their names say, tell.c makes records,
 * state_save.c and state_load.c keep it all across a restart.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "affiant/v1/state.pb-c.h"
#include "collect/budget.h"
#include "collect/enrich.h"
#include "collect/fold.h"
#include "collect/seen.h"
#include "collect/table.h"

/*
 * A source can yield several records: the part tells them apart. Stored in segments: never change a
 * number.
 */
enum part {
	/* exec, exit, close, untracked, listening, lost; a connection still pending */
	PART_MAIN = 0,
	/* a connection's outcome; at a datagram flow, that it was refused or failed */
	PART_OUTCOME = 1,
	PART_SESSION_STARTED = 2,
	PART_SESSION_ENDED = 3,
	/* PART_FOLDED + n (fold.h), of a session's source */
};

/* CLOCK_REALTIME - CLOCK_BOOTTIME, and how far it is to be trusted. */
struct wall_clock {
	int64_t offset_ns;
	Affiant__V1__ClockState state;
};

/* Of a session whose beginning was lost: no agent can have that name. */
#define ATTRIBUTE_UNKNOWN_AGENT "unknown"

struct attribute_selector {
	const char *agent; /* borrowed */
	const char *words;
	bool own_user;
};

struct attribute_config {
	uint8_t boot_id[16];
	uint8_t host[16];
	const char *trust_domain;
	struct wall_clock clock; /* until a NOTE_CLOCK says otherwise */
	uint64_t outcome_wait_ns;
	uint64_t failure_wait_ns; /* for a datagram socket's connect, which can only have failed */
	uint64_t digest_wait_ns;
	size_t connections_max;
	size_t held_max;       /* records that wait for digests */
	struct enrich *enrich; /* NULL: no digests, for a journal of an earlier boot */
	/*
	 * A session ends by a NOTE_OVER: the kernel is asked whether somebody is in it whose fork
	 * was lost. Otherwise with the last process that is known.
	 */
	bool ends_by_note;

	/* A record without its sequence number, which is the ledger's to give. */
	void (*emit)(void *data, uint64_t source, uint32_t part, const uint8_t *record, size_t len);
	/* Whether that record was handed on before a restart. */
	bool (*told)(void *data, uint64_t source, uint32_t part);
	/*
	 * Whether the end of that session was handed on before a reboot, which may have cost the
	 * journal's end.
	 */
	bool (*ended)(void *data, const struct uuid *session);
	/* What selector @id says; false: it is not configured any more. */
	bool (*selector)(void *data, uint32_t id, struct attribute_selector *ret);
	/* Whether that session's agent is to have digests; NULL: yes. */
	bool (*hashes)(void *data, const struct session *s);
	/* A session took its first process: @tgid. */
	void (*began)(void *data, struct session *s, uint32_t tgid);
	/* An exec in a session, before its image is enriched. */
	void (*entered)(void *data, const struct event_exec *e);
	/* Whether root alone can write to that file; NULL: it is not known of any. */
	bool (*guarded)(void *data, const struct object_facts *file);
	/* Whether that user's files count as root's do; NULL: nobody's do. */
	bool (*trusted)(void *data, uint32_t uid);
	/* Whether it is one of those that set up sessions; NULL: none is. */
	bool (*launcher)(void *data, const struct object_facts *file);
	/* Whether the kernel could not tell of an exec of that session; NULL: it could. */
	bool (*unseen)(void *data, uint64_t session);
	/* That session ended then: nothing more is asked of it. A later one can have its key. */
	void (*over)(void *data, uint64_t session, uint64_t ended_ns);
	void *data;
};

struct attribute_counts {
	uint64_t events[EVENT_TYPES];
	uint64_t records;
	uint64_t doubles; /* events that were seen before */
	uint64_t orphans; /* outcomes and closes whose attempt was lost, or had to be dropped */
	uint64_t folded;  /* events counted in windows */
};

#define LOSS_SLOTS (LOSS_KINDS + 8)

/* The set of kernel maps that the events are from. */
struct attribute_epoch {
	bool known;
	uint8_t id[16];
	uint64_t past; /* no higher number was known when it began */
};

struct hold;
struct untagged;

struct attribute {
	struct attribute_config config;
	struct table table;
	struct seen seen;
	struct wall_clock clock;
	bool stepped; /* the clock: to be told with the next record */
	struct attribute_counts counts;
	struct attribute_epoch epoch;
	uint64_t now_ns;    /* CLOCK_BOOTTIME at the last tick */
	uint64_t newest_ns; /* of events and notes: so long is known what happened; 0: nothing is */
	/* Gaps in the sequence numbers, until a Lost record tells them. */
	Affiant__V1__LostRange *gaps;
	size_t gaps_count;
	uint64_t lost_ns; /* losses were told then, or counting began; 0: nobody knows */
	struct untagged *untagged; /* untagged.c: until a Lost record names them */
	uint64_t losses[LOSS_SLOTS];  /* told so far: enum loss, enum loss_user (loss.h) */
	uint64_t dropped[LOSS_SLOTS]; /* by user space, told or not; kept across restarts */
	struct budgets budgets;
	struct hold *holds;   /* hold.h */
	struct fold *folding; /* by session: those with an open window */
	struct fold_room *fold_room;
};

int attribute_new(const struct attribute_config *config, struct attribute **ret);
void attribute_free(struct attribute *a);

/* One event or note, checked by event_decode(). 0, or -ENOMEM: it is not recorded. */
int attribute_event(struct attribute *a, const struct event_header *h);

/* One that event_decode() steps over: it is told as lost, once, however often it is read. */
void attribute_unknown(struct attribute *a, const struct event_header *h);

/*
 * Lets go what waited long enough. Returns when to call again (CLOCK_BOOTTIME), UINT64_MAX: never.
 */
uint64_t attribute_tick(struct attribute *a, uint64_t now_ns);

/*
 * Lets everything go that waits: the end, or a journal of an earlier boot, whose sessions end by
 * it.
 */
void attribute_finish(struct attribute *a, bool reboot);

/*
 * The clock changes in the journal's order alone, so that a replay derives the same ids: the part
 * of a NOTE_CLOCK, and of a state, that sets it.
 */
void attribute_set_clock(struct attribute *a, const Affiant__V1__NoteClock *m);

/* All digests of @i are there. */
void attribute_image_ready(struct attribute *a, struct image *i);

/* ---- sessions.c ---- */

/*
 * The session of the actor in @h, which begins with it when it is not known. @selector: of the
 * match that it began by; NULL where the event does not tell. NULL: no memory.
 */
struct session *session_of(struct attribute *a, const struct event_header *h,
			   const uint32_t *selector);
/* Likewise, of a socket's opener: it may have ended. */
struct session *session_of_opener(struct attribute *a, const struct event_header *h, uint64_t key);
/* Tells that it began, once: @first is the first process that is heard of. */
void session_begin(struct attribute *a, struct actor *first, uint64_t boottime_ns);
/* The last process that is known of it is gone: @last, if it is known. */
void session_left(struct attribute *a, struct session *s, const struct event_header *h,
		  struct actor *last);
/*
 * Tells that it ended, once: with its last process if nobody is known in it any more, else for
 * @reason, from @source and then.
 */
void session_tell_end(struct attribute *a, struct session *s, uint64_t source,
		      uint64_t boottime_ns, struct actor *last,
		      Affiant__V1__SessionEndReason reason);
/* It is over. */
void session_finish(struct attribute *a, struct session *s, const struct event_header *h,
		    struct actor *last, Affiant__V1__SessionEndReason reason);
/* What session_noted() and state_load() take: all that others rely on is there. */
bool session_head_valid(const Affiant__V1__Record *head);

/* NOTE_SESSION, NOTE_END, NOTE_OVER. @note: @len bytes behind the header. */
int session_noted(struct attribute *a, const struct event_header *h, const uint8_t *note,
		  size_t len);
void session_end_noted(struct attribute *a, const struct event_header *h, const uint8_t *note,
		       size_t len);
void session_over_noted(struct attribute *a, const struct event_header *h, const uint8_t *note,
			size_t len);

/* ---- processes.c ---- */

/*
 * The process that acts in @h, borrowed from the table; one of a lost exec or fork is made up, with
 * nothing known. NULL: no memory.
 */
struct actor *attribute_actor(struct attribute *a, const struct event_header *h);
/* One outside of the session that uses a socket of it: to be given back by actor_unref(). */
struct actor *attribute_foreign(struct attribute *a, const struct event_connect *e);

int process_fork(struct attribute *a, const struct event_fork *e);
int process_exec(struct attribute *a, const struct event_exec *e);
int process_adopt(struct attribute *a, const struct event_exec *e);
int process_exit(struct attribute *a, const struct event_exit *e);
/* It is in the table like any other, so that its session goes on, but does nothing that is seen. */
int process_untagged(struct attribute *a, const struct event_untagged *e);
/* NOTE_GONE */
void process_gone(struct attribute *a, const struct event_header *h, const uint8_t *note,
		  size_t len);
/* NOTE_MET: one whose fork or exec was lost, in its session by what the kernel knows. */
void process_met(struct attribute *a, const struct event_header *h, const uint8_t *note,
		 size_t len);

/* ---- epoch.c ---- */

/*
 * NOTE_EPOCH. Another set of maps than that of before: what was known of sessions, processes and
 * connections ends, and numbers and losses begin anew.
 */
void epoch_noted(struct attribute *a, const struct event_header *h, const uint8_t *note,
		 size_t len);
/* Whether the events so far, or their beginning, are of that set. */
bool epoch_is(const struct attribute *a, const uint8_t id[static 16]);
/* The highest number of an event that is known of this boot. */
uint64_t epoch_highest(const struct attribute *a);

/* ---- flow.c ---- */

int flow_connect(struct attribute *a, const struct event_connect *e);
int flow_unix(struct attribute *a, const struct event_unix *e);
int flow_outcome(struct attribute *a, const struct event_outcome *e);
int flow_close(struct attribute *a, const struct event_close *e);
/* @c is new, or loaded: it waits for its outcome, unless it is told already that it is pending. */
void flow_await(struct attribute *a, struct connection *c);
/*
 * No outcome came by a deadline that is not after @now_ns: a pending record, once; of a datagram
 * socket, that it was connected.
 */
void flow_due(struct attribute *a, uint64_t now_ns);

/* ---- listen.c ---- */

int flow_listen(struct attribute *a, const struct event_listen *e);
int flow_untracked(struct attribute *a, const struct event_untracked *e);

/* ---- tell.c ---- */

#define TELL_RECORD_MAX                                                                            \
	65000 /* bytes that a record takes at most, where its head and body are bounded */
#define TELL_NO_SOURCE UINT64_MAX /* the daemon's own word, told once: a fresh id */

/*
 * Fills in what every record has, packs it and hands it on, or holds it while @actor's image is a
 * draft.
 * @actor NULL: the daemon's own word, of @session or of none.
 */
int tell(struct attribute *a, uint64_t source, uint32_t part, uint64_t boottime_ns,
	 Affiant__V1__Record *r, struct actor *actor, struct session *session);

void tell_session_started(struct attribute *a, struct session *s, struct actor *first,
			  uint64_t boottime_ns);
/* @last: the process whose exit ended it, or NULL. */
void tell_session_ended(struct attribute *a, struct session *s, uint64_t source,
			uint64_t boottime_ns, struct actor *last,
			Affiant__V1__SessionEndReason reason);
/* Hands on, in order, what waited for @i. */
void tell_held(struct attribute *a, struct image *i);

/* Whether that record was handed on before a restart. */
bool told_before(const struct attribute *a, uint64_t source, uint32_t part);

/* A record that was held when the state was saved. */
void tell_again(struct attribute *a, uint64_t source, uint32_t part, struct actor *actor,
		const uint8_t *record, size_t len);

/* ---- state_save.c, state_load.c ---- */

/* All of the table, as a State message; freed with affiant__v1__state__free_unpacked(). */
Affiant__V1__State *state_save(struct attribute *a);
/* Into an empty table. -EBADMSG: it contradicts itself. */
int state_load(struct attribute *a,
	       const Affiant__V1__State *state); /* takes the sessions' heads */
