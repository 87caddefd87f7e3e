/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/core.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/pb.h"
#include "collect/decode.h"
#include "collect/loss.h"
#include "collect/manifest.h"
#include "collect/note.h"
#include "daemon/opensockets.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <systemd/sd-id128.h>
#include <time.h>

#define EVENTS_SIZE (1u << 20)
#define DRAINS_MAX 16			/* in one turn of the loop */
#define BUSY_NS 1000000ull		/* look again so soon while events come */
#define IDLE_NS 20000000ull		/* and so late at most: a wake-up can be missed */
#define IDLE_AFTER 5
#define SECOND_NS 1000000000ull
#define MOVED_NS 1000000ll		/* a change of the wall clock that is worth a note */
#define JOURNAL_MIN (8ull << 20)
#define CONNECTIONS_MAX 131072		/* open at once; beyond, the oldest is forgotten, and told as lost */
#define HELD_MAX 32768			/* records that wait for digests; beyond, the oldest go without */

/* Of this program, for sd_id128_get_machine_app_specific(). */
#define APP_ID SD_ID128_MAKE(5a, 1e, 9f, 77, 0c, 41, 4b, 0d, 8d, 2a, 61, 4e, c5, d0, 3b, 92)

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * SECOND_NS + t.tv_nsec;
}

uint64_t core_boottime_ns(void)
{
	return now_ns(CLOCK_BOOTTIME);
}

/* The wall clock can step at any time; what it is worth changes slowly. */
static void read_clock(struct core *c, bool first)
{
	int64_t offset = now_ns(CLOCK_REALTIME) - now_ns(CLOCK_BOOTTIME);
	int64_t moved = offset - c->clock.offset_ns;
	struct timex t = { 0 };

	c->clock.offset_ns = offset;
	c->clock.state = adjtimex(&t) == TIME_ERROR ? AFFIANT__V1__CLOCK_STATE__CLOCK_UNSYNCHRONISED :
						     AFFIANT__V1__CLOCK_STATE__CLOCK_SYNCHRONISED;
	/* Slewing moves it by 500 ppm at most; half a second between two looks is a step. */
	if (!first && (moved > (int64_t)SECOND_NS / 2 || moved < -(int64_t)SECOND_NS / 2))
		c->clock.state = AFFIANT__V1__CLOCK_STATE__CLOCK_STEPPED;
}

int core_note_clock(struct core *c)
{
	Affiant__V1__NoteClock m = AFFIANT__V1__NOTE_CLOCK__INIT;

	SET(&m, offset_ns, c->clock.offset_ns);
	SET(&m, state, c->clock.state);
	return core_note(c, NOTE_CLOCK, &m.base);
}

/* A clock that is slewed moves all the time: a millisecond is as exact as records tell. */
static bool clock_moved(const struct core *c)
{
	int64_t moved = c->clock.offset_ns - c->attribute->clock.offset_ns;

	return moved >= MOVED_NS || moved <= -MOVED_NS || c->clock.state != c->attribute->clock.state;
}

/* ---- what goes out ---- */

static int append(struct core *c, uint64_t source, uint32_t part, const uint8_t *record, size_t len)
{
	uint8_t whole[SEGMENT_PAYLOAD_MAX + 16];
	uint64_t sequence;
	int err;

	if (len > SEGMENT_PAYLOAD_MAX - 11)
		return -EMSGSIZE;
	sequence = ledger_next_sequence(c->ledger);
	memcpy(whole, record, len);
	/* Record.sequence: field 2, a varint. Only the ledger knows it. */
	whole[len++] = 2 << 3;
	for (; sequence >= 0x80; sequence >>= 7)
		whole[len++] = sequence | 0x80;
	whole[len++] = sequence;
	err = ledger_append(c->ledger, source, part, whole, len);
	c->unsynced |= !err;
	return err;
}

static void keep_back(struct core *c, uint64_t source, uint32_t part, const uint8_t *record, size_t len)
{
	struct backlog *b = malloc(sizeof(*b) + len);

	if (!b) {
		log_error("out of memory and of disk: a record is lost");
		return;
	}
	*b = (struct backlog){ .source = source, .part = part, .len = len };
	memcpy(b->record, record, len);
	*c->backlog_end = b;
	c->backlog_end = &b->next;
}

static void set_full(struct core *c, int err)
{
	if (!c->full)
		log_error("%s: cannot be written (%s): events wait in the kernel until it can", c->config->state_dir,
			  strerror(-err));
	c->full = true;
}

static void emit(void *core, uint64_t source, uint32_t part, const uint8_t *record, size_t len)
{
	struct core *c = core;
	int err;

	err = c->backlog ? -ENOSPC : append(c, source, part, record, len);
	if (err == -EMSGSIZE) {
		log_error("a record of %zu bytes is larger than a segment takes, and is lost", len);
	} else if (err) {
		keep_back(c, source, part, record, len);
		set_full(c, err);
	}
}

static void tell_removed(struct core *c)
{
	Affiant__V1__Record r = AFFIANT__V1__RECORD__INIT;
	Affiant__V1__Gap gap = AFFIANT__V1__GAP__INIT;

	if (!ledger_removed(c->ledger, &gap.first_sequence, &gap.last_sequence, &gap.bytes))
		return;
	gap.has_first_sequence = gap.has_last_sequence = gap.has_bytes = true;
	SET(&gap, reason, AFFIANT__V1__GAP_REASON__GAP_RETENTION);
	r.body_case = AFFIANT__V1__RECORD__BODY_GAP;
	r.gap = &gap;
	core_tell(c, &r);
}

void core_flush(struct core *c)
{
	struct ledger_stats stats;
	struct backlog *b;
	int err = 0;

	while (!err && (b = c->backlog)) {
		err = append(c, b->source, b->part, b->record, b->len);
		if (err)
			break;
		c->backlog = b->next;
		if (!c->backlog)
			c->backlog_end = &c->backlog;
		free(b);
	}
	err = err ?: ledger_flush(c->ledger);
	if (err) {
		set_full(c, err);
		return;
	}
	if (c->full)
		log_notice("%s: can be written again", c->config->state_dir);
	c->full = false;
	tell_removed(c);
	if (!c->server)
		return;
	ledger_stats(c->ledger, &stats);
	server_appended(c->server, stats.current_index, stats.next_sequence - 1);
}

void core_tell(struct core *c, Affiant__V1__Record *r)
{
	(void)tell(c->attribute, TELL_NO_SOURCE, PART_MAIN, core_boottime_ns(), r, NULL, NULL);
}

/* ---- what comes in ---- */

static int apply(struct core *c, const uint8_t *events, size_t len)
{
	const struct event_header *h;

	for (size_t at = 0; at < len; at += h->size) {
		int err = event_decode(events + at, len - at, &h);

		if (err) {
			log_error("the kernel sent something that is not an event, %zu bytes of it are left out",
				  len - at);
			return 0;
		}
		err = attribute_event(c->attribute, h);
		if (err == -ENOMEM)
			log_error("out of memory: an event of type %u is not recorded", h->type);
	}
	return 0;
}

int core_note(struct core *c, uint16_t type, const ProtobufCMessage *message)
{
	_cleanup_free_ struct event_header *h = NULL;
	int err;

	/* Events that were read before the note have to come before it in the journal. */
	if (c->events_len) {
		err = core_drain(c);
		if (err || c->events_len)
			return err ?: -EAGAIN;
	}
	err = note_new(type, c->note_sequence, core_boottime_ns(), message, &h) ?:
	      journal_append(c->journal, h, h->size);
	if (err)
		return err;
	c->note_sequence++;
	return attribute_event(c->attribute, h);
}

/* 1: there was something, and it is in the journal now. */
static int take(struct core *c)
{
	int err;

	if (!c->events_len) {
		err = source_read(c->source, c->events, EVENTS_SIZE, &c->events_len);
		if (err)
			return err;
		if (!c->events_len)
			return 0;
		redact_events(c->redact, c->events, c->events_len);
	}
	err = journal_append(c->journal, c->events, c->events_len);
	if (err) {
		set_full(c, err);
		return err;
	}
	source_release(c->source);
	return 1;
}

int core_drain(struct core *c)
{
	int n = 0, err;

	while (n < DRAINS_MAX && !c->full && (err = take(c)) > 0) {
		size_t len = c->events_len;

		/* What an exec opened was queued before its event: read behind it, it is complete. */
		if (c->chain)
			chain_read(c->chain);
		c->events_len = 0;
		apply(c, c->events, len);
		n++;
	}
	c->idle = n ? 0 : c->idle + 1;
	return 0;
}

static void tell_losses(struct core *c)
{
	uint64_t totals[LOSS_ALL] = { 0 };
	Affiant__V1__Lost *m;
	int err;

	if (source_losses(c->source, totals, &totals[LOSS_HOOK]) < 0)
		return;
	if (c->chain) {
		uint64_t lost = chain_lost(c->chain);

		c->attribute->dropped[LOSS_CHAIN] += lost - c->chain_lost;
		c->chain_lost = lost;
	}
	m = loss_since(c->attribute, totals);
	if (!m)
		return;
	err = core_note(c, NOTE_LOST, &m->base);
	if (err)
		log_error("losses can't be told yet: %s", strerror(-err));
	affiant__v1__lost__free_unpacked(m, NULL);
}

/* What does not have to be done each time. */
static void now_and_then(struct core *c, uint64_t now)
{
	if (now - c->clock_ns > SECOND_NS) {
		c->clock_ns = now;
		read_clock(c, false);
		if (clock_moved(c))
			(void)core_note_clock(c);	/* otherwise in a second */
	}
	if (now - c->losses_ns > SECOND_NS) {
		c->losses_ns = now;
		tell_losses(c);
	}
	if (now - c->reconciled_ns > 5 * SECOND_NS) {
		c->reconciled_ns = now;
		reconcile(c);
		selectors_refresh(c->selectors);
	}
	if (c->unsynced && now - c->synced_ns > SECOND_NS) {
		c->synced_ns = now;
		c->unsynced = ledger_sync(c->ledger) < 0;
	}
	if (journal_bytes(c->journal) > c->rotate_bytes) {
		int err = state_write(c);

		if (err)
			log_error("%s: the state can't be saved (%s): the journal grows until it can",
				  c->config->state_dir, strerror(-err));
		/* Saving costs as much as the state is large: the larger, the rarer. */
		c->rotate_bytes = err ? 2 * journal_bytes(c->journal) : c->rotate_bytes;
	}
}

static int turn(struct core *c)
{
	uint64_t now, next;
	int err;

	source_sleep(c->source, false);
	err = core_drain(c);
	enrich_collect(c->enrich);
	now = core_boottime_ns();
	next = attribute_tick(c->attribute, now);
	core_flush(c);
	now_and_then(c, now);

	if (c->idle > IDLE_AFTER && !c->full) {
		source_sleep(c->source, true);
		/* What came between the last look and the flag sent no wake-up. */
		if (source_ring_used(c->source))
			next = now;
	}
	next = next < now + IDLE_NS ? next : now + IDLE_NS;
	if (c->idle <= IDLE_AFTER && next > now + BUSY_NS)
		next = now + BUSY_NS;
	return err ?: sd_event_source_set_time(c->timer, next / 1000) ?:
	       sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
}

static int on_time(sd_event_source *s, uint64_t usec, void *core)
{
	(void)s, (void)usec;
	return turn(core);
}

static int on_readable(sd_event_source *s, int fd, uint32_t revents, void *core)
{
	struct core *c = core;

	(void)s, (void)fd, (void)revents;
	c->idle = 0;
	return turn(c);
}

static int on_chain(sd_event_source *s, int fd, uint32_t revents, void *core)
{
	struct core *c = core;

	(void)s, (void)fd, (void)revents;
	chain_read(c->chain);
	return 0;
}

static int on_measured(sd_event_source *s, int fd, uint32_t revents, void *core)
{
	(void)s, (void)fd, (void)revents;
	opening_collect(core);
	return 0;
}

int core_start(struct core *c)
{
	int err;

	err = sd_event_add_time(c->event, &c->timer, CLOCK_BOOTTIME, 0, 1, on_time, c);
	err = err < 0 ? err : sd_event_add_io(c->event, NULL, source_fd(c->source), EPOLLIN | EPOLLET,
					      on_readable, c);
	err = err < 0 ? err : sd_event_add_io(c->event, NULL, filehash_fd(c->hash), EPOLLIN, on_readable, c);
	err = err < 0 ? err : sd_event_add_io(c->event, NULL, manifests_fd(c->manifests), EPOLLIN, on_measured, c);
	if (err >= 0 && c->chain)
		err = sd_event_add_io(c->event, NULL, chain_fd(c->chain), EPOLLIN, on_chain, c);
	return err < 0 ? err : 0;
}

/* ---- hooks of the attribution ---- */

static bool in_session(void *core, pid_t tgid)
{
	struct core *c = core;
	struct tag tag;

	return source_tag_of(c->source, tgid, &tag) == 0;
}

static int identify(void *core, int fd, struct object_id *ret)
{
	return source_object_id(((struct core *)core)->source, fd, ret);
}

static bool still(void *core, const struct event_actor *actor)
{
	struct core *c = core;
	struct tag tag;

	return source_tag_of(c->source, actor->tgid, &tag) == 0 &&
	       tag.start_boottime == actor->start_boottime && tag.exec_seq == actor->exec_seq;
}

static void ready(void *core, struct image *i)
{
	attribute_image_ready(((struct core *)core)->attribute, i);
}

struct looking {
	struct core *core;
	struct session *session;
};

static int look_at_member(pid_t tgid, const struct tag *tag, void *looking)
{
	struct looking *l = looking;

	return tag->session == l->session->key ? opensockets_add(tgid, l->session->head->session_started) : 0;
}

/* What a session that begins late had open before. */
static void began(void *core, struct session *s, uint32_t tgid)
{
	struct looking l = { .core = core, .session = s };

	(void)tgid;
	if (s->head->session_started->late)
		(void)source_each_tag(l.core->source, look_at_member, &l);
}

static bool hashes(void *core, const struct session *s)
{
	const struct core *c = core;
	const struct config_agent *agent = config_agent(c->config, s->head->agent->name);

	return !agent || agent->hash != CONFIG_HASH_OFF;
}

static void entered(void *core, const struct event_exec *e)
{
	struct core *c = core;

	if (c->chain)
		chain_watch(c->chain, e->header.actor.tgid);
}

/* ---- opening ---- */

static int why(char **ret_why, int err, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int why(char **ret_why, int err, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (vasprintf(ret_why, format, ap) < 0)
		*ret_why = NULL;
	va_end(ap);
	return err;
}

static int read_ids(struct core *c, char **ret_why)
{
	sd_id128_t boot, host;
	int err;

	err = sd_id128_get_boot(&boot);
	if (err < 0)
		return why(ret_why, err, "/proc/sys/kernel/random/boot_id: %s", strerror(-err));
	memcpy(c->boot_id, boot.bytes, 16);
	/* Without a machine id (a bare container image) the host is told as zero, and stated as missing. */
	if (sd_id128_get_machine_app_specific(APP_ID, &host) >= 0)
		memcpy(c->host, host.bytes, 16);
	return 0;
}

static int open_hashing(struct core *c, char **ret_why)
{
	const struct config *config = c->config;
	struct filehash_config hash = {
		.workers = config->hash.workers,
		.cache_max = config->hash.cache_entries,
		.queue_max = 4096,
		.size_max = config->hash.max_size,
		.disabled = config->hash.mode == CONFIG_HASH_OFF,
		.identify = identify,
		.identify_context = c,
	};
	struct chain_config chain = { .wanted = in_session, .identify = identify, .context = c, .queue_max = 8192 };
	struct enrich_config enrich = { .ready = ready, .still = still, .data = c };
	struct manifests_config manifests = {
		.workers = 1,
		.entries_max = 100000,
		.bytes_max = 8ull << 30,
		.depth_max = 64,
		.time_max_ns = 30 * SECOND_NS,
		.files_max = 128,
	};
	int err;

	err = redact_new(config->redact.flags, config->redact.flags_count, config->redact.patterns,
			 config->redact.patterns_count, &c->redact);
	if (err)
		return why(ret_why, err, "redaction rules: %s", strerror(-err));
	err = filehash_new(&hash, &c->hash);
	if (err)
		return why(ret_why, err, "hashing threads: %s", strerror(-err));
	err = manifests_new(&manifests, &c->manifests);
	if (err)
		return why(ret_why, err, "measuring thread: %s", strerror(-err));
	err = chain_new(&chain, &c->chain);
	if (err)
		log_warning("fanotify: %s; scripts and loaders are recorded without digests", strerror(-err));
	enrich.hash = c->hash;
	enrich.chain = c->chain;
	enrich.image = (struct image_context){ .cgroups = c->cgroups, .argv_max = 2048 };
	err = enrich_new(&enrich, &c->enrich);
	return err ? why(ret_why, err, "out of memory") : 0;
}

static char *path_of_fd(int fd)
{
	char link[32], path[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	return n < 0 ? NULL : strndup(path, n);
}

static int open_source(struct core *c, char **ret_why)
{
	struct source_config config = {
		.pin_dir = c->config->pin_dir,
		.ring_bytes = c->config->ring_bytes,
		.max_tags = c->config->max_tags,
	};
	char text[512] = "";
	int err;

	err = source_open(&config, &c->source, text, sizeof(text));
	if (err)
		return why(ret_why, err, "%s", *text ? text : strerror(-err));
	c->cgroup_root = path_of_fd(source_cgroup_fd(c->source));
	/* Paths of cgroups are for people: without them there are still the ids. */
	if (c->cgroup_root && cgroup_names_new(c->cgroup_root, &c->cgroups) < 0)
		log_warning("%s: cannot be opened, cgroups are recorded by id alone", c->cgroup_root);
	return 0;
}

static void fill_attribute(struct core *c, struct attribute_config *config)
{
	*config = (struct attribute_config){
		.trust_domain = c->config->trust_domain,
		.clock = c->clock,
		.outcome_wait_ns = SECOND_NS,
		.digest_wait_ns = c->config->hash.wait_ns,
		.connections_max = CONNECTIONS_MAX,
		.held_max = HELD_MAX,
		.enrich = c->enrich,
		.emit = emit,
		.selector = selectors_find,
		.hashes = hashes,
		.began = began,
		.entered = entered,
		.data = c,
	};
	memcpy(config->boot_id, c->boot_id, 16);
	memcpy(config->host, c->host, 16);
}

int core_open(const struct config *config, sd_event *event, struct core **ret, char **ret_why)
{
	struct core *c = calloc(1, sizeof(*c));
	struct attribute_config attribute;
	int err;

	if (!c)
		return -ENOMEM;
	c->config = config;
	c->event = event;
	c->state_dir = -1;
	c->backlog_end = &c->backlog;
	c->rotate_bytes = JOURNAL_MIN;
	read_clock(c, true);
	c->started_wall_ns = core_boottime_ns() + c->clock.offset_ns;
	c->events = malloc(EVENTS_SIZE);
	err = c->events ? read_ids(c, ret_why) : -ENOMEM;
	if (!err && mkdir(config->state_dir, 0700) < 0 && errno != EEXIST)
		err = why(ret_why, -errno, "%s: %s", config->state_dir, strerror(errno));
	if (!err) {
		c->state_dir = open(config->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (c->state_dir < 0)
			err = why(ret_why, -errno, "%s: %s", config->state_dir, strerror(errno));
	}
	err = err ?: open_source(c, ret_why);
	err = err ?: open_hashing(c, ret_why);
	err = err ?: selectors_new(c, &c->selectors);
	fill_attribute(c, &attribute);
	err = err ?: recover(c, &attribute, ret_why) ?: core_note_clock(c);
	if (err) {
		core_close(c);
		return err;
	}
	c->recovered = true;
	*ret = c;
	return 0;
}

void core_close(struct core *c)
{
	if (!c)
		return;
	if (c->recovered) {
		core_drain(c);
		core_flush(c);
		if (state_write(c) < 0)
			log_warning("the state was not saved: the journal will be read again");
	}
	sd_event_source_unref(c->timer);
	selectors_free(c->selectors);
	attribute_free(c->attribute);
	enrich_free(c->enrich);
	filehash_free(c->hash);
	opening_free_all(c);
	manifests_free(c->manifests);
	chain_free(c->chain);
	redact_free(c->redact);
	cgroup_names_free(c->cgroups);
	ledger_close(c->ledger);
	journal_close(c->journal);
	source_close(c->source);
	for (struct backlog *b = c->backlog, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	free(c->cgroup_root);
	free(c->events);
	closep(&c->state_dir);
	free(c);
}
