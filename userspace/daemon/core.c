/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/core.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <systemd/sd-id128.h>

#include "base/cleanup.h"
#include "base/effort.h"
#include "base/log.h"
#include "base/pb.h"
#include "collect/decode.h"
#include "collect/manifest.h"
#include "collect/power.h"
#include "daemon/directory.h"
#include "daemon/diskgroups.h"
#include "daemon/dropped.h"
#include "daemon/evidence.h"
#include "daemon/late.h"

#define HELD_MAX 32768 /* records that wait for digests; beyond, the oldest go without */

/* Of this program, for sd_id128_get_machine_app_specific(). */
#define APP_ID SD_ID128_MAKE(5a, 1e, 9f, 77, 0c, 41, 4b, 0d, 8d, 2a, 61, 4e, c5, d0, 3b, 92)

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

static int describe(void *core, int fd, struct object_facts *ret)
{
	return source_object_facts(((struct core *)core)->source, fd, ret);
}

static bool powerful(void *core, const struct session *s)
{
	return power_had(((struct core *)core)->attribute, s);
}

static bool guarded(void *core, const struct object_facts *file)
{
	return proof_guard(((struct core *)core)->proof, file) == PROVEN;
}

static bool trusted(void *core, uint32_t uid)
{
	return proof_owner_counts(((struct core *)core)->proof, uid);
}

/*
 * By the object, not by its path: a container has paths of its own. Looked up when a session
 * begins with root's power, which is seldom.
 */
static bool launcher(void *core, const struct object_facts *file)
{
	struct core *c = core;

	if (!guarded(c, file))
		return false;
	for (size_t i = 0; i < c->config->launcher_programs_count; i++) {
		_cleanup_close_ int fd =
			effort_open(c->config->launcher_programs[i], O_PATH | O_CLOEXEC);
		struct object_facts facts;

		if (fd >= 0 && source_object_facts(c->source, fd, &facts) == 0 &&
		    object_id_same(object_counted(&facts), object_counted(file)))
			return true;
	}
	return false;
}

/* While a journal is read again, the kernel's maps can be others than those that its events are of. */
static bool unseen(void *core, uint64_t session)
{
	const struct core *c = core;
	struct source_epoch epoch;

	source_get_epoch(c->source, &epoch);
	return !epoch_is(c->attribute, epoch.id) || source_unseen(c->source, session);
}

static void over(void *core, uint64_t session, uint64_t ended_ns)
{
	source_forget_unseen(((struct core *)core)->source, session, ended_ns);
}

/* Its types are large, and a kernel without them has none the next time either. */
static bool learn_overlay(void *core)
{
	struct core *c = core;
	uint64_t now = core_boottime_ns();

	if (c->overlay_ns && now - c->overlay_ns < 5 * CORE_SECOND_NS)
		return false;
	c->overlay_ns = now;
	return source_learn_overlay(c->source);
}

static void ready(void *core, struct image *i)
{
	attribute_image_ready(((struct core *)core)->attribute, i);
}

static bool hashes(void *core, const struct session *s)
{
	const struct core *c = core;
	const struct config_agent *agent = config_agent(c->config, s->head->agent->name);

	return !agent || agent->hash != CONFIG_HASH_OFF;
}

void core_look_at_disks(struct core *c)
{
	struct disk_groups groups;

	diskgroups_read("/dev", &groups);
	source_set_disk_groups(c->source, &groups);
}

/* ---- opening ---- */

static int why(char **ret_why, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

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
	/* Without a machine id (a bare container image) the host is zeros, and told as missing. */
	if (sd_id128_get_machine_app_specific(APP_ID, &host) >= 0)
		memcpy(c->host, host.bytes, 16);
	return 0;
}

/*
 * Each file that waits to be hashed is an open one. With a sixteenth of all descriptors to share, a
 * thousand sessions that flood the queue (total * (1 + 1/2 + 1/3 + ...) at most) leave half of them
 * to the rest.
 */
static size_t hash_queue_total(void)
{
	struct rlimit files;

	return getrlimit(RLIMIT_NOFILE, &files) ? 64 : files.rlim_cur / 16;
}

/* What proof_new() gives knows what is mounted, which whatever opens files asks. */
static int open_proof(struct core *c, char **ret_why)
{
	const struct proof_config proof = {
		.owners = c->config->trusted_owners,
		.owners_count = c->config->trusted_owners_count,
		.learn_overlay = learn_overlay,
		.data = c,
	};
	int err = proof_new(&proof, &c->proof);

	if (err)
		return why(ret_why, err, "/proc/1/mountinfo: %s", strerror(-err));
	c->answering = (struct answering){describe, c, proof_mounts(c->proof)};
	return 0;
}

static int open_hashing(struct core *c, char **ret_why)
{
	const struct filehash_config hash = {
		.workers = c->config->hash.workers,
		.cache_max = c->config->hash.cache_entries,
		.queue_max = 4096,
		.queue_total = hash_queue_total(),
		.size_max = c->config->hash.max_size,
		.disabled = c->config->hash.mode == CONFIG_HASH_OFF,
		.identify = describe,
		.identify_context = c,
		.mounts = proof_mounts(c->proof),
	};
	const struct manifests_config manifests = {
		.workers = 1,
		.entries_max = 100000,
		.bytes_max = 8ull << 30,
		.depth_max = 64,
		.time_max_ns = 30 * CORE_SECOND_NS,
		.files_max = 128,
		.identify = describe,
		.identify_context = c,
		.mounts = proof_mounts(c->proof),
	};
	int err;

	err = filehash_new(&hash, &c->hash);
	if (err)
		return why(ret_why, err, "hashing threads: %s", strerror(-err));
	err = manifests_new(&manifests, &c->manifests);
	return err ? why(ret_why, err, "measuring thread: %s", strerror(-err)) : 0;
}

/* Without it scripts and loaders have no digests. */
static void open_chain(struct core *c)
{
	const struct chain_config chain = {
		.wanted = in_session,
		.identify = identify,
		.context = c,
		.tagged_late = c->config->selectors_count > 0,
		.queue_max = 8192,
		.aside = c->aside,
		.mounts = proof_mounts(c->proof),
		.watched = core_watched,
	};
	int err = chain_new(&chain, &c->chain);

	if (err)
		log_warning("fanotify: %s%s; scripts and loaders are recorded without digests",
			    strerror(-err),
			    err == -EMFILE ? " (raise fs.fanotify.max_user_groups)" : "");
}

static int open_enrich(struct core *c, char **ret_why)
{
	const struct config *config = c->config;
	struct enrich_config enrich = {
		.ready = ready,
		.powerful = powerful,
		.data = c,
		.image = {.cgroups = c->cgroups, .argv_max = 2048},
	};
	int err;

	err = aside_new(&c->aside);
	if (err)
		return why(ret_why, err, "threads: %s", strerror(-err));
	aside_users(c->aside, session_user, c);
	err = redact_new(config->redact.usual, config->redact.flags, config->redact.flags_count,
			 config->redact.patterns, config->redact.patterns_count, &c->redact);
	if (err)
		return why(ret_why, err, "redaction rules: %s", strerror(-err));
	err = open_proof(c, ret_why) ?: open_hashing(c, ret_why);
	if (err)
		return err;
	open_chain(c);
	enrich.aside = c->aside;
	enrich.hash = c->hash;
	enrich.proof = c->proof;
	enrich.chain = c->chain;
	enrich.answering = c->answering;
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
		.flows_per_minute = c->config->limits.udp_flows,
	};
	char text[512] = "";
	int err;

	err = source_open(&config, &c->source, text, sizeof(text));
	if (err)
		return why(ret_why, err, "%s", *text ? text : strerror(-err));
	c->cgroup_root = path_of_fd(source_cgroup_fd(c->source));
	/* Paths of cgroups are for people: without them there are still the ids. */
	if (c->cgroup_root && cgroup_names_new(c->cgroup_root, &c->cgroups) < 0)
		log_warning("%s: cannot be opened, cgroups are recorded by id alone",
			    c->cgroup_root);
	return 0;
}

/* From here on the programs of this version tell what happens. */
static int attach(struct core *c, uint64_t past, char **ret_why)
{
	char text[512] = "";
	int err;

	err = source_attach(c->source, past, text, sizeof(text));
	if (err)
		return why(ret_why, err, "%s", *text ? text : strerror(-err));
	/* Maps that somebody read, of which nothing here knows. */
	c->state_lost |= !c->found && !c->attribute->epoch.known && source_continued(c->source) &&
			 source_taken(c->source);
	return recover_note_lost(c) ?: core_note_epoch(c);
}

static void fill_attribute(struct core *c, struct attribute_config *config)
{
	*config = (struct attribute_config){
		.trust_domain = c->config->trust_domain,
		.clock = c->clock,
		.outcome_wait_ns = CORE_SECOND_NS,
		.failure_wait_ns = CORE_SECOND_NS / 20,
		.ends_by_note = true,
		.digest_wait_ns = c->config->hash.wait_ns,
		.connections_max = c->config->limits.connections,
		.held_max = HELD_MAX,
		.enrich = c->enrich,
		.emit = core_emit,
		.selector = selectors_find,
		.hashes = hashes,
		.began = late_began,
		.entered = core_entered,
		.guarded = guarded,
		.trusted = trusted,
		.launcher = launcher,
		.unseen = unseen,
		.over = over,
		.data = c,
	};
	memcpy(config->boot_id, c->boot_id, 16);
	memcpy(config->host, c->host, 16);
}

int core_open(const struct config *config, sd_event *event, struct core **ret, char **ret_why)
{
	struct core *c = calloc(1, sizeof(*c));
	struct attribute_config attribute;
	char text[PATH_MAX + 128];
	uint64_t past;
	int err;

	if (!c)
		return -ENOMEM;
	c->config = config;
	c->event = event;
	c->state_dir = -1;
	c->backlog_end = &c->backlog;
	c->rotate_bytes = CORE_JOURNAL_MIN;
	core_read_clock(c, true);
	c->started_wall_ns = core_boottime_ns() + c->clock.offset_ns;
	c->events = malloc(CORE_EVENTS_SIZE);
	err = c->events ? read_ids(c, ret_why) : -ENOMEM;
	if (!err &&
	    (err = directory_make(config->state_dir, 0700, &c->state_dir, text, sizeof(text))))
		err = why(ret_why, err, "%s", text);
	err = err ?: saver_new(&c->saver) ?: dropped_open(c->state_dir, &c->dropped);
	err = err ?: open_source(c, ret_why);
	if (!err) {
		core_look_at_disks(c);
		(void)learn_overlay(c);
	}
	err = err ?: open_enrich(c, ret_why);
	err = err ?: selectors_new(c, &c->selectors);
	fill_attribute(c, &attribute);
	err = err ?: recover(c, &attribute, &past, ret_why) ?: attach(c, past, ret_why);
	err = err ?: core_note_clock(c) ?: core_note_budget(c);
	err = err ?: evidence_new(c, &c->evidence, ret_why);
	if (err) {
		core_close(c);
		return err;
	}
	core_watch_from_start(c);
	c->recovered = true;
	*ret = c;
	return 0;
}

static int is_any(pid_t tgid, const struct tag *tag, void *data)
{
	(void)tgid, (void)tag, (void)data;
	return 1;
}

/*
 * Nothing is in the ring, and nobody is left who could put something there: a reboot takes nothing
 * along.
 */
static void note_stopped(struct core *c)
{
	Affiant__V1__NoteDaemon m = AFFIANT__V1__NOTE_DAEMON__INIT;

	if (c->backlog || c->events_len || c->full || source_any_untagged(c->source) ||
	    c->config->selectors_count || source_each_tag(c->source, is_any, NULL) ||
	    source_ring_used(c->source))
		return;
	SET(&m, stopped, true);
	(void)core_note(c, NOTE_DAEMON, &m.base); /* without it, a gap is told */
}

/*
 * Threads that wait for a filesystem which does not answer are left behind, with all that they may
 * use: by now everything else is durable.
 */
static bool stop_threads(struct core *c)
{
	bool all = true;

	if (c->hash)
		all &= filehash_stop(c->hash);
	if (c->manifests)
		all &= manifests_stop(c->manifests);
	if (c->proof)
		all &= proof_stop(c->proof);
	return all;
}

static void free_all(struct core *c)
{
	sd_event_source_unref(c->timer);
	evidence_free(c->evidence);
	free(c->activation);
	selectors_free(c->selectors);
	attribute_free(c->attribute);
	enrich_free(c->enrich);
	filehash_free(c->hash);
	opening_free_all(c);
	manifests_free(c->manifests);
	aside_free(c->aside);
	chain_free(c->chain);
	proof_free(c->proof);
	redact_free(c->redact);
	cgroup_names_free(c->cgroups);
	source_close(c->source);
	for (struct backlog *b = c->backlog, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	for (struct waiting_note *n = c->waiting_notes, *next; n; n = next) {
		next = n->next;
		free(n->note);
		free(n);
	}
	free(c->cgroup_root);
	free(c->events);
	shares_free(c->shares);
	affiant__v1__state__free_unpacked(c->saved, NULL);
	strangers_free(c->strangers);
	closep(&c->state_dir);
	free(c);
}

bool core_close(struct core *c)
{
	bool all;

	if (!c)
		return true;
	if (c->recovered) {
		/* Sessions in which nobody is end now: at the second look that is known. */
		for (int i = 0; i < 3; i++) {
			core_drain(c);
			sessions_over(c);
		}
		core_flush(c);
		core_count_dropped(c);
		if (state_write(c) < 0)
			log_warning("the state was not saved: the journal will be read again");
		else
			note_stopped(c);
	}
	/* It looks at what goes now. */
	all = aside_free(TAKE_PTR(c->aside));
	saver_free(c->saver);
	dropped_close(c->dropped);
	ledger_close(c->ledger);
	journal_close(c->journal);
	c->dropped = NULL;
	c->ledger = NULL;
	c->journal = NULL;
	if (!stop_threads(c) || !all)
		return false;
	free_all(c);
	return true;
}
