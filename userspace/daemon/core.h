/* SPDX-License-Identifier: Apache-2.0 */
/*
 * core: the stages of the daemon, connected: source, journal, attribution, ledger. One thread:
 * everything here runs in the event loop, but for what saver.c does, and what goes over all tasks or
 * tags or may wait for somebody's file system, which collect/aside.h does. A turn of the loop leaves
 * off where it has done enough (turn.h), and the next one goes on there.
 *
 * core.c opens and closes; pump.c moves events in and records out; wallclock.c keeps the time;
 * gaps.c tells what the ledger lost; watch.c has fanotify see what is executed; links.c looks
 * whether the kernel still runs our programs; save.c saves the state and makes records durable;
 * recover.c reads back what a crash or a reboot left; opening.c and sessions.c answer the local
 * socket; selectors.c keeps the kernel's selectors; reconcile.c and unseen.c find what events did
 * not tell; late.c finds what a session had open before it began; epoch.c knows when the kernel
 * began anew; folding.c tells what was counted; joining.c and pace.c see to sessions without end;
 * status.c counts.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/clock.h"
#include "collect/answers.h"
#include "collect/aside.h"
#include "collect/attribute.h"
#include "collect/cgroup.h"
#include "collect/chain.h"
#include "collect/journal.h"
#include "collect/redact.h"
#include "collect/source.h"
#include "daemon/config.h"
#include "daemon/listening.h"
#include "daemon/saver.h"
#include "daemon/server.h"
#include "record/segment.h"

struct dropped;
struct evidence;
struct executables;
struct manifests;
struct opening;
struct pace;
struct selectors;
struct shares;
struct told_set;

#define CORE_SECOND_NS CLOCK_SECOND_NS
#define CORE_EVENTS_SIZE (1u << 20) /* bytes that are read from the ring, and journalled, at once */
#define CORE_JOURNAL_MIN (8ull << 20) /* bytes: a longer journal is begun anew, after saving */

/* A record that the disk had no room for: written before anything else is read. */
struct backlog {
	struct backlog *next;
	uint64_t source;
	uint32_t part;
	size_t len;
	uint8_t record[];
};

/* What the journal of a boot said, as far as it was read. */
struct replayed {
	bool stopped; /* the last word is that the daemon did, and that nothing was left to be seen */
	bool epoch;   /* which maps the events are of; */
	bool goes_on; /* they were the same before: it does not begin where the boot does */
	bool gap;     /* it was noted that the state before it is lost */
};

/* A look at what events did not tell, which a turn left off at. */
struct reconciling {
	unsigned int stage;
	bool within; /* the stage is begun */
	struct source_walk walk;
	uint32_t slices, tags; /* of the tags that are stale; */
	bool reused;	       /* a pid was given again while its tag went */
	unsigned int step;     /* of the look at connections: */
	int iterator;
	uint64_t sockets_ns; /* when it began */
};

/* Whether the session has a tag, of one at a time: over.c. */
struct core_held {
	uint64_t key;
	bool asking, held;
	uint64_t answered_ns; /* 0: there is no answer */
};

struct core {
	const struct config *config; /* borrowed */
	struct aside *aside;         /* NULL: all is done in the loop (tests) */
	sd_event *event;
	uint8_t boot_id[16], host[16];
	struct wall_clock clock; /* as read; the attribution's is what the journal says */
	uint64_t started_wall_ns;
	int state_dir; /* descriptors: the paths may be out of reach later */
	struct source *source;
	struct journal *journal;
	struct ledger *ledger;
	bool recovered; /* 'attribute' is of this boot and complete: it may be saved */
	struct redact *redact;
	struct cgroup_names *cgroups;
	char *cgroup_root;
	struct filehash *hash;
	struct proof *proof;
	struct answering answering; /* what may be asked of a file */
	uint64_t overlay_ns; /* CLOCK_BOOTTIME of the last try to learn overlayfs's layout */
	uint64_t drained_ns; /* what happened before is known */
	struct chain *chain; /* NULL: fanotify was refused */
	uint64_t chain_lost; /* so much of chain_lost() is counted */
	struct dropped *dropped;
	bool unwatched;      /* a filesystem could not be marked: said once */
	struct enrich *enrich;
	struct manifests *manifests;
	struct opening *openings; /* on their way */
	size_t openings_count;
	struct pace *paces;       /* of agents far past their budgets */
	uint64_t opens_refused;   /* because of that */
	struct attribute *attribute;
	struct selectors *selectors;
	struct server *server;
	struct evidence *evidence;
	struct activation *activation; /* a credential's, under way; enrolment.c */

	struct told_set *told; /* while it starts: in the ledger since the saved state, */
	Affiant__V1__State *saved; /* and that, of whichever boot; NULL: there is none */
	bool found;                /* it is of this boot */
	bool saved_damaged;
	bool state_lost;        /* there was one of this boot; */
	uint64_t known_until_ns; /* the last record that the ledger has of it; 0: none */
	struct replayed replayed;  /* likewise */
	bool repair_told; /* a Gap tells of what opening the ledger cut */
	uint64_t note_sequence;
	uint64_t rotate_bytes; /* journal size at which the state is saved */

	struct listening listening;
	uint8_t *events;   /* what source_read() gave */
	size_t events_len; /* not told yet */
	bool journaled;    /* but in the journal: what fanotify has of them is not read yet */
	struct waiting_note {
		struct event_header *note; /* in the journal behind them, and not told yet either */
		struct waiting_note *next;
	} *waiting_notes;
	struct backlog *backlog, **backlog_end;
	uint64_t void_records; /* found to be gone from the ledger by this daemon */
	int full; /* 0, or why the disk takes nothing (-errno): nothing is read until it does */

	struct shares *shares;
	struct strangers *strangers;
	struct reconciling reconciling;
	uint32_t stale_tags, stale_round; /* tags at the last look, and which of them are next */
	uint64_t untagged_ns; /* when processes without a tag are looked for again */
	uint64_t tagging_ns;  /* when that was begun last */
	uint64_t looks_paid_ns; /* by then: what looks at what late sessions had open took of the loop's time */
	bool tagging, sweeping, looking; /* under way beside the loop: reconcile.c, unseen.c */

	struct core_held held;
	bool dooming; /* a session may be doomed: */
	struct source_walk dooming_walk;
	sd_event_source *timer;
	unsigned int idle; /* drains in a row that found nothing */
	uint64_t detached;     /* source_detached(), as told */
	uint64_t links_ns;     /* when the links were looked at last; CLOCK_BOOTTIME */
	bool folding; /* windows are due that the last turn had no time for */
	uint64_t synced_ns, reconciled_ns, losses_ns, clock_ns;
	bool unsynced;

	struct saver *saver;
	bool saving;           /* it saves the state, not the ledger alone: */
	uint64_t saving_index; /* of the journal that begins with that state */
	uint64_t saving_sequence;  /* records below it will be durable with it */
	uint64_t durable_sequence; /* those below it are */
	int save_error;            /* of the last save; 0: it went well */
	int undurable;             /* of the ledger's last sync, likewise */
};

/* Everything but the server. On failure *@ret_why is a line for a person, to be freed, or NULL. */
int core_open(const struct config *config, sd_event *event, struct core **ret, char **ret_why);
/*
 * Writes what waits, saves the state, and closes. Tracing goes on in the kernel. False: a thread
 * hangs; what it uses is not freed, and the process is to end without a look back.
 */
bool core_close(struct core *c);

/* Tells the kernel's programs which groups can write to block devices. */
void core_look_at_disks(struct core *c);

/* ---- pump.c ---- */

/* Begins to drain; the server, if any, is set before. */
int core_start(struct core *c);

/* The loop turns again at once. */
void core_wake(struct core *c);

/* Reads the ring until it is empty, or for as long as one turn of the loop may take. */
int core_drain(struct core *c);

/*
 * Writes a note to the journal and applies it: 0 or -errno. What was read before it is told before
 * it: where that waits for fanotify (core->journaled), it is applied in a later turn.
 */
int core_note(struct core *c, uint16_t type, const ProtobufCMessage *message);

/* The daemon's own record, without process or session. */
void core_tell(struct core *c, Affiant__V1__Record *r);

/* Writes out what attribution handed on. */
void core_flush(struct core *c);

/* For struct attribute_config: adds the sequence number and appends to the ledger. */
void core_emit(void *core, uint64_t source, uint32_t part, const uint8_t *record, size_t len);

/* Adds to the attribution's losses what other stages have dropped since. */
void core_count_dropped(struct core *c);

/* The disk took nothing, for which reason: nothing is read until it does. */
void core_set_full(struct core *c, int err);

/* ---- wallclock.c ---- */

/* Reads what the wall clock says now into c->clock; @first: it can't have stepped. */
void core_read_clock(struct core *c, bool first);
/* Journals that, so that a replay derives the same times and ids: 0 or -errno. */
int core_note_clock(struct core *c);
/* Does both, the latter where the clock moved. */
void core_keep_clock(struct core *c);

uint64_t core_boottime_ns(void);

/* ---- watch.c ---- */

/*
 * What @tgid executes is seen by fanotify from soon on: its filesystems are marked, for session @key.
 * @ns: its mount namespace, or 0. @token: given to opening_watched() then; else 0. False: there is
 * nothing to wait for.
 */
bool core_watch(struct core *c, pid_t tgid, uint32_t ns, uint64_t key, uint64_t token);
/* The same of what the host executes: nobody can say before what a selector will take. */
void core_watch_host(struct core *c);
/* Likewise for sessions that outlived another run of this program. */
void core_watch_from_start(struct core *c);
/* For struct chain_config, and struct attribute_config. */
void core_watched(void *core, uint64_t token, int err);
void core_entered(void *core, const struct event_exec *e);

/* ---- gaps.c ---- */

/* Tells what retention, or somebody else, has taken from the ledger since. */
void core_tell_gaps(struct core *c);
/* Looks whether somebody else has. */
void core_check_ledger(struct core *c);
/* Tells of hooks whose program is not attached any more. */
void core_look_at_links(struct core *c);
/* ---- folding.c ---- */

/* Journals how large the ledger may be, which budgets follow from. */
int core_note_budget(struct core *c);
/*
 * By notes: what was folded and is due is told, what records took beyond their prices charged, and
 * who is far past his budget by sessions alone kept from going on (joining.h).
 */
void core_keep_budgets(struct core *c, uint64_t now_ns);

/* ---- save.c ---- */

/*
 * Begins to make the ledger durable and, if @state, to save the state. -EAGAIN: something waits to
 * be written first; -EBUSY: it was begun already.
 */
int save_begin(struct core *c, bool state);
/*
 * True once (@wait: when) what was begun is over: *@ret_err says how. A state that was saved
 * replaces the journal before it.
 */
bool save_end(struct core *c, bool wait, int *ret_err);
/* Saves the state, and waits for that. */
int state_write(struct core *c);

/*
 * Reads what was saved last, of whichever boot, into c->saved, which stays NULL when nothing was, or
 * it is damaged (c->saved_damaged). One that can't be read is an error.
 */
int saved_read(struct core *c, char **ret_why);
/* Removes it: all that it says is told. */
int saved_drop(struct core *c);

/* ---- recover.c ---- */

/*
 * Opens ledger and attribution for this boot, after ending what an earlier boot left, and reads the
 * journal. *@ret_past: no event of this boot that is known has a higher number.
 */
int recover(struct core *c, const struct attribute_config *config, uint64_t *ret_past,
	    char **ret_why);

/*
 * Tells by a note that there was a state of this boot, or another daemon, of which nothing is left.
 * Before the epoch is noted, by which the next start would take it for told.
 */
int recover_note_lost(struct core *c);

/* ---- epoch.c ---- */

/*
 * Tells by a note when the kernel's maps are others than those that the state, the ledger and the
 * journal know. Before any event is read of them.
 */
int core_note_epoch(struct core *c);
/* Says at a journal's beginning which they are: the state may be lost. */
int core_repeat_epoch(struct core *c);

/* ---- unseen.c ---- */

/* Forgets who was marked by the kernel and is in no session any more. */
void unseen_sweep(struct core *c);

/* ---- opening.c ---- */

/*
 * For struct server_ops. Answers when the session has begun, which can take as long as measuring
 * its files.
 */
void opening_begin(void *core, struct server_call *call, const struct server_open *open);
/* Goes on with those whose files have been measured. */
void opening_collect(struct core *c);
/* Goes on with the one of session @key: what can be marked of its filesystems is. */
void opening_watched(struct core *c, uint64_t key);
void opening_free_all(struct core *c);

/* ---- sessions.c ---- */

/*
 * Kills what lives of doomed sessions: a process that forks all the time is in its child when the
 * signal comes.
 */
void sessions_kill(struct core *c);

/* Tells by a note that the session has ended. */
int session_end_note(struct core *c, uint64_t key);

/* For aside_users(): who has that session, or of whom aside_key() made the key. */
uint32_t session_user(void *core, uint64_t key);

extern const struct server_ops core_server_ops; /* their context is the core */

/* A SessionInfo of protobuf, in malloc'd memory. NULL: no memory. */
Affiant__V1__SessionInfo *session_info(const struct core *c, const struct session *s);

/* ---- status.c ---- */

void core_get_status(void *core, struct server_call *call);

/* ---- selectors.c ---- */

int selectors_new(struct core *c, struct selectors **ret);
void selectors_free(struct selectors *s);
/* From now on they hold, and no others. */
int selectors_start(struct selectors *s);
/* Looks again at what executables and cgroups there are. */
void selectors_refresh(struct selectors *s);
/*
 * A Gap: what @what should take may have come and gone unseen between these times (CLOCK_BOOTTIME);
 * @from_ns 0: nobody knows since when.
 */
void selectors_tell_gap(struct core *c, uint64_t from_ns, uint64_t to_ns, const char *what);
/* The sessions that matches join may be others now (joining.h). */
void selectors_tell(struct selectors *s);
/* How many processes ran already at the start and were left alone ('adopt: no'). */
uint64_t selectors_left_alone(const struct selectors *s);
/* Borrowed. */
const struct executables *selectors_executables(const struct selectors *s);
/* For struct attribute_config. */
bool selectors_find(void *core, uint32_t id, struct attribute_selector *ret);

/* ---- match.c ---- */

/* For struct server_ops: which selector would take a process, by its pid for the caller, and why. */
void core_match(void *core, struct server_call *call, pid_t asked);

/* ---- over.c ---- */

/* Whether the kernel has processes in that session, or may have. */
bool session_is_held(struct core *c, uint64_t key);
/* Ends the sessions in which nobody is any more. */
void sessions_over(struct core *c);

/* ---- met.c ---- */

/*
 * Enters processes that the kernel has in a session, and of which no event told. To be called every
 * now and then: one is entered when it was met before, and all that happened until then is known.
 */
bool strangers_meet(struct core *c); /* true: it is to be gone on with in the next turn */
void strangers_free(struct strangers *s);

/* ---- reconcile.c ---- */

/*
 * Processes and tags that do not agree: exits and forks whose events were lost. As far as a turn of
 * the loop may go; the next one goes on with it.
 */
void reconcile(struct core *c);
bool reconcile_goes_on(const struct core *c);
/* Processes that found no room among the tags get one as soon as there is some. */
void reconcile_untagged(struct core *c, uint64_t now);

/* ---- shares.c ---- */

/*
 * Whether the kernel's count of what sessions hold is what they hold, and which of them had
 * processes without a tag of which no event came.
 */
bool shares_look(struct core *c); /* true: it is to be gone on with in the next turn */
void shares_free(struct shares *s);
