/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fold: what a session does past its agent's budget is counted, and told by one Folded record a
 * second instead of one record each (docs/records.md, "Folded"). Whether an event is folded is
 * decided in the journal's order, and when a record is made is said there by a note: a replay does
 * the same.
 *
 * fold.c decides and counts, fold_events.c says what an event is, fold_tell.c makes the record,
 * fold_state.c keeps it all across a restart.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "affiant/v1/state.pb-c.h"
#include "base/uuid.h"
#include "collect/budget.h"
#include "collect/keyset.h"
#include "event.h"

struct actor;
struct attribute;
struct connection;
struct session;

#define FOLD_KIND(name) AFFIANT__V1__FOLDED_KIND__FOLDED_##name
#define FOLD_KINDS (FOLD_KIND(LISTENING) + 1)
#define FOLD_FIRST_MAX 512
#define FOLD_BUSIEST_MAX 64
#define FOLD_PATH_MAX 4096
#define FOLD_KEYS_MAX 8192                /* destinations remembered of a session; and images */
#define FOLD_KEYS_TOTAL (1u << 20)        /* of all sessions */
#define FOLD_WINDOW_MAX (1u << 20)        /* bytes of what is counted apart in one window */
#define FOLD_WINDOWS_TOTAL (16u << 20)    /* in all windows */
#define FOLD_SECOND_NS 1000000000ull
#define FOLD_LONGEST_NS (3600 * FOLD_SECOND_NS)
#define FOLD_NOTE_MAX 256 /* sessions, and debts, in one note */

/* Parts of a session's own source: the n-th Folded record, whoever makes it. */
#define PART_FOLDED 0x10000u

enum fold_form {
	FORM_NONE,
	FORM_IPV4,
	FORM_IPV6,
	FORM_PATH,
	FORM_UNTRACKED,
	FORM_LAST = FORM_UNTRACKED,
};

struct fold_count {
	uint64_t count;
	uint64_t again; /* of them: counted in an earlier window, as pending or attempted */
	uint64_t bytes_sent, bytes_received, excess;
};

struct fold_entry {
	struct fold_count n;
	bool news;     /* of an exec: it would have been told on credit, if there were some */
	uint8_t *path; /* NULL: its key says all */
	size_t len;
};

/* What is counted until the next Folded record. */
struct window {
	uint64_t from_ns, to_ns;
	struct keyset keys;
	struct fold_entry *entries; /* by the keys' index */
	size_t room;
	size_t bytes; /* FOLD_WINDOW_MAX at most */
	struct fold_count beyond[FOLD_KINDS];
};

/* Memory in use, by all that one attribution counts; it outlives it. */
struct fold_room {
	unsigned int refs;
	uint32_t keys;
	size_t bytes;
};

/* Of one session. */
struct fold {
	UT_hash_handle hh;       /* attribute.folding, while a window is open */
	struct uuid id;          /* the session's */
	struct session *session; /* a reference, likewise */
	struct budget *agent;
	struct bucket bucket;
	struct fold_room *room;
	struct keyset named; /* destinations that records have named */
	bool named_full;     /* and there were more */
	struct keyset ran;   /* images whose exec was told */
	uint32_t number;     /* Folded records so far */
	struct window *window;
};

void fold_free(struct fold *f);
/* Gives up what is open: before the table goes. */
void fold_clear(struct attribute *a);

/* ---- fold.c ---- */

struct fold_event {
	uint64_t boottime_ns;
	uint64_t price;
	enum rank rank;
	struct fold_key key;
	struct fold_key ran; /* of an exec: the image, FORM_NONE for none */
	const void *path;
	size_t len;
	struct fold_count n;
};

/* The session's, made when it is not there. NULL: no memory. */
struct fold *fold_of(struct attribute *a, struct session *s, uint64_t now_ns);
/*
 * True: it is folded, and counted. False: it is to be told; then its price is paid, and what it
 * names is remembered.
 */
bool fold_takes(struct attribute *a, struct session *s, const struct fold_event *e);
/*
 * In any case: of one whose beginning was folded. @before: what it was counted as then, if in this
 * window.
 */
void fold_count(struct attribute *a, struct session *s, const struct fold_event *e,
		const struct fold_key *before);
/* Tells what is counted: the session ends, or the boot. */
void fold_end(struct attribute *a, struct session *s, uint64_t boottime_ns);
/* NOTE_FOLD. @note: @len bytes behind the header. */
void fold_noted(struct attribute *a, const struct event_header *h, const uint8_t *note, size_t len);
/*
 * What is to be noted: windows that are due, and records that took more than their prices. NULL:
 * nothing. Freed with affiant__v1__note_fold__free_unpacked().
 */
Affiant__V1__NoteFold *fold_due(struct attribute *a, uint64_t now_ns);
/* A record of @s (NULL: of none) went out, of @len bytes. */
void fold_emitted(struct attribute *a, struct session *s, size_t len);
/* A window's entry; for fold_state.c. NULL: there is no room. */
struct fold_entry *window_entry(struct fold *f, const struct fold_key *key, const void *path,
				size_t len);
/* -ENOMEM. */
int window_open(struct attribute *a, struct session *s, uint64_t from_ns);
/* Remembers a key; false: there is no room. */
bool fold_remember(struct fold *f, struct keyset *to, const struct fold_key *key);
/* The destination alone, whatever was done there. */
struct fold_key fold_destination(const struct fold_key *key);

/* ---- fold_events.c: true, it is folded ---- */

bool fold_connect(struct attribute *a, struct actor *actor, const struct session *opener,
		  const struct event_connect *e, struct connection *c);
/*
 * @was: the attempt as fold_connect() had it: what was reached can be known better by now. @e NULL:
 * it was established.
 */
bool fold_outcome(struct attribute *a, struct connection *c, const struct event_connect *was,
		  uint64_t boottime_ns, const struct event_outcome *e);
bool fold_close(struct attribute *a, struct connection *c, const struct event_close *e);
bool fold_unix(struct attribute *a, struct actor *actor, const struct session *opener,
	       const struct event_unix *e);
bool fold_untracked(struct attribute *a, struct actor *actor, const struct event_untracked *e);
bool fold_listen(struct attribute *a, struct actor *actor, const struct event_listen *e);
bool fold_exec(struct attribute *a, struct actor *actor, const struct event_exec *e);
bool fold_exit(struct attribute *a, struct actor *actor, uint64_t boottime_ns);

/* ---- fold_tell.c ---- */

/* About what the record of @f's window will take, in bytes. */
uint64_t fold_estimate(const struct fold *f);
/* Tells and closes the window. */
void fold_tell(struct attribute *a, struct session *s, uint64_t boottime_ns);

/* ---- fold_state.c ---- */

/* -ENOMEM. */
int fold_save(const struct session *s, Affiant__V1__StateSession *m);
int fold_load(struct attribute *a, struct session *s, const Affiant__V1__StateSession *m);
int budgets_save(const struct budgets *all, Affiant__V1__State *m);
int budgets_load(struct budgets *all, const Affiant__V1__State *m);
