/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source: the kernel programs, their pinned maps and links, and the ring buffer. The only user of
 * the BPF skeleton. One process at a time: the pin directory is locked (flock) while a source is
 * open.
 *
 * Unless said otherwise functions return 0 or a negative errno.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "event.h"
#include "orders.h"
#include "values.h"

struct source;

struct source_config {
	const char *pin_dir;     /* below a bpffs, e.g. /sys/fs/bpf/affiant; made when missing */
	const char *cgroup_root; /* NULL: the cgroup2 mount found in /proc/self/mountinfo */
	/*
	 * A power of two, at least a page, or 0: what the host's memory allows (collect/memory.h).
	 * Ignored when pins are taken over.
	 */
	uint32_t ring_bytes;
	uint32_t max_tags; /* ignored likewise */
	/* new destinations that a datagram socket tells in a minute; 0: EVENT_FLOWS_PER_MINUTE */
	uint32_t flows_per_minute;
};

/*
 * Loads the programs, and makes their maps or takes over the pinned ones of an earlier daemon,
 * whose programs go on. If some of what belongs together is gone, nothing of the rest can be
 * trusted: it is removed, and begun anew. On failure @why says what is missing and what to do.
 *
 * -EBUSY: another daemon holds the pins. -ENOTSUP: the kernel lacks something of the baseline.
 * -EPERM: not privileged. -ENOENT: no bpffs or no cgroup2.
 */
int source_open(const struct source_config *config, struct source **ret, char *why,
		size_t why_size);

/*
 * Attaches the programs, or replaces those of the earlier daemon without a gap. Maps that were made
 * just now begin to count above @past, the highest number that anybody knows of this boot, and
 * above all that maps made earlier can have given by now. To be called once, before any event is
 * read. Each step leaves a state from which a later start goes on.
 */
int source_attach(struct source *s, uint64_t past, char *why, size_t why_size);

/* Of one set of maps: the numbers of two sets never meet. Each CPU's first is @base + 1. */
struct source_epoch {
	uint8_t id[16]; /* random */
	uint64_t base;
	/* CLOCK_BOOTTIME, if another was there before it in this boot; 0: that is not known */
	uint64_t made_ns;
};
/* Good after source_attach(). */
void source_get_epoch(const struct source *s, struct source_epoch *ret);

/* CLOCK_BOOTTIME of the initial time namespace, as events have it. */
int source_boottime(const struct source *s, uint64_t *ret_ns);

/* Detaches nothing: tracing goes on. */
void source_close(struct source *s);

/* Removes every pin below @pin_dir, which ends tracing. -EBUSY while a daemon runs. */
int source_uninstall(const char *pin_dir, char *why, size_t why_size);

/* Pins of an earlier daemon were taken over. */
bool source_continued(const struct source *s);
/* A bit for each hook whose link somebody detached since. */
uint64_t source_detached(const struct source *s);
/* The name of the hook of bit @i; NULL: there is none. */
const char *source_hook(size_t i);

/*
 * NULL-terminated lists of words, e.g. "connect_unix": what the kernel granted, and what it did
 * not.
 */
const char *const *source_features(const struct source *s);
const char *const *source_missing(const struct source *s);

/* Bytes of the ELF object that was loaded, borrowed. */
const void *source_object(const struct source *s, size_t *ret_size);

/* The root directory of cgroup2, as found or configured. Borrowed. */
int source_cgroup_fd(const struct source *s);

/* Readable (EPOLLIN) after an event woke a sleeping consumer. Borrowed. */
int source_fd(const struct source *s);

/*
 * Copies whole events, in ring order, into @buffer until the ring is empty or the next one does not
 * fit; *@ret_len is a multiple of 8, 0 when there was nothing. The ring's position does not move: a
 * second call goes on after the first, and source_release() then gives all that was read back to
 * the kernel. To be called only when the events are where a crash of this process can't lose them.
 */
int source_read(struct source *s, void *buffer, size_t size, size_t *ret_len);
void source_release(struct source *s);

/*
 * @asleep: the next event shall make source_fd() readable. A check and a submit can pass each
 * other, so the caller looks again at least every 20 ms.
 */
void source_sleep(struct source *s, bool asleep);

/*
 * How far the kernel has written, also events that are not whole yet, and how far they were read:
 * once the second has reached what the first was, all that began before is read.
 */
uint64_t source_written(const struct source *s);
uint64_t source_taken(const struct source *s);

size_t source_ring_size(const struct source *s);
size_t source_ring_used(const struct source *s);

/*
 * Totals since the programs were first loaded: @ret by event type and enum loss, summed over CPUs;
 * *@ret_missed: runs of tracing programs that the kernel skipped because one was already running on
 * that CPU (recursion_misses).
 */
int source_losses(struct source *s, uint64_t ret[static LOSS_KINDS], uint64_t *ret_missed);

/*
 * Whether an exec of that session was not told, for want of room, or a process of it could not be
 * tagged. Forgotten when the session ends, but for what was of a later one with its key.
 */
bool source_unseen(const struct source *s, uint64_t session);
void source_forget_unseen(struct source *s, uint64_t session, uint64_t before_ns);
/* Forgets all of before @before_ns that @keep says no to. 0 or -errno. */
int source_sweep_unseen(struct source *s, uint64_t before_ns,
			bool (*keep)(uint64_t session, void *data), void *data);

/*
 * Calls @each with every program at the root of cgroup2 that runs after ours, and so has the last
 * word, in the order in which they run. @name: as loaded, at most 15 bytes, and whatever its loader
 * likes.
 */
typedef void (*source_behind_fn)(void *data, enum behind_hook hook, uint32_t id, const char *name);
int source_behind(struct source *s, source_behind_fn each, void *data);
/* "connect4" */
const char *source_behind_word(enum behind_hook hook);

/* The groups that can write to a block device: whoever is in one has root's power. */
void source_set_disk_groups(struct source *s, const struct disk_groups *groups);

/*
 * Learns where overlayfs keeps the lower file of an inode, from its types: once it is in use, since
 * it can be a module. True: the programs know.
 */
bool source_learn_overlay(struct source *s);

/*
 * Tags the process of @pidfd and every descendant that has no tag yet; each tagged process sends an
 * EVENT_ADOPT through the ring. -ESRCH: it is gone. -EEXIST: it has a tag already, or is of another
 * session that has no room for it. -ENOSPC: there is no room for the process itself; a descendant
 * that finds none is told of by an EVENT_TAG_LOST.
 */
int source_tag(struct source *s, int pidfd, const struct tag *tag);

/*
 * The tag of a live process: -ENOENT when it has none. The caller holds a pidfd if the pid could be
 * reused.
 */
int source_tag_of(struct source *s, pid_t tgid, struct tag *ret);

/* Where a walk has come to; zero: it begins. */
struct source_walk {
	uint32_t at;
	bool on;
};

/*
 * Calls @each for some tags, and goes on with others the next time: 1: there are more; 0: these
 * were the last; what @each returns that is not 0. What is one all the while is met once.
 */
int source_walk_tags(struct source *s, struct source_walk *w,
		     int (*each)(pid_t tgid, const struct tag *tag, void *data), void *data);

/* Calls @each for every tag until it returns non-zero, which is then returned. */
int source_each_tag(struct source *s, int (*each)(pid_t tgid, const struct tag *tag, void *data),
		    void *data);

/*
 * Removes the tag of a process that is gone, if it still is this one (start_boottime): a lost exit.
 */
int source_untag(struct source *s, pid_t tgid, uint64_t start_boottime);

/* Tags whoever was made by a process that has a tag, and has none: it lost it. */
int source_tag_descendants(struct source *s);

uint32_t source_tags_max(const struct source *s);

/*
 * Processes of sessions that found no room among the tags, because the session has its share of
 * them (SHARE_OF) or there are no more. The kernel knows them, and all that they make.
 *
 * source_any_untagged(): there may be some. source_tag_untagged(): gives a tag to those for whom
 * there is room by now; it looks at every task of the host, and removes the tags that stand where
 * others have the pid by now. source_untagged(): a process of that session was one at some time, or
 * whose it was can't be told (source_untagged_unknown(), until source_untagged_known()).
 */
bool source_any_untagged(const struct source *s);
int source_tag_untagged(struct source *s);
bool source_untagged(const struct source *s, uint64_t session);
bool source_untagged_unknown(const struct source *s);
void source_untagged_known(struct source *s);

/*
 * What sessions hold, as the kernel counts it. source_walk_shares(): as source_walk_tags().
 * source_share_adjust() adds to the number of tags.
 * source_share_forget(): -ENOENT when it holds something.
 */
int source_share(const struct source *s, uint64_t session, struct share *ret);
int source_walk_shares(struct source *s, struct source_walk *w,
		       int (*each)(uint64_t session, const struct share *share, void *data),
		       void *data);
int source_share_adjust(struct source *s, uint64_t session, int32_t tags);
int source_share_forget(struct source *s, uint64_t session);

/*
 * Calls @each with the numbers of some connections that a socket still has
 * (event_connect.connection), and goes on with others the next time: 1: there are more; 0: each was
 * told, some more than once. What was one all the while is among them. @iter: -1 at first and after
 * the end; whoever leaves off earlier closes it.
 */
int source_walk_connections(struct source *s, int *iter,
			    void (*each)(uint64_t number, void *data), void *data);
/* All at once: the cookie of every socket of which something is kept. */
int source_each_socket(struct source *s, void (*each)(uint64_t cookie, void *data), void *data);

/*
 * Removes what the kernel remembers of flows of sockets that are no more, or could not keep with
 * its socket. To be called every now and then. @now_ns: CLOCK_BOOTTIME.
 */
int source_sweep_flows(struct source *s, uint64_t now_ns);

/*
 * Selectors: what an untagged process is matched with at exec. Setting an existing key replaces it,
 * @selector NULL removes it.
 */
int source_select_exe(struct source *s, const struct selector_exe_key *key,
		      const struct selector *selector);
int source_select_uid(struct source *s, uint32_t uid, const struct selector *selector);
/*
 * Forgets those that @keep says no to: an earlier daemon's, which went on matching until now. @key
 * is a struct selector_exe_key or a uid.
 */
typedef bool (*source_keep_fn)(void *data, enum selector_kind kind, const void *key);
int source_select_only(struct source *s, source_keep_fn keep, void *data);

/*
 * Cgroups: the kernel gives each that is made its state, out of its parent's and the patterns;
 * those that there are already get theirs from the caller, who walks the hierarchy.
 *
 * source_patterns(): the generation, a digest of them, of the patterns that hold, and for which the
 * walk came to its end; 0: none. source_patterns_set() takes others, or the same again when their
 * walk did not: from here on no cgroup has a state of before. @generation is 0 when @count is.
 * source_patterns_walked(): the walk has come to its end. Returns since when (boottime) not all
 * that the patterns of before took was taken, 0: there were none.
 */
uint64_t source_patterns(const struct source *s);
int source_patterns_set(struct source *s, const struct pattern *const *patterns, uint32_t count,
			uint64_t generation);
uint64_t source_patterns_walked(struct source *s);

/*
 * -ENOENT: it has none. source_cgroup_put(): @replace, it has one (-ENOENT: no more); or it has
 * none (-EEXIST: now it has); -E2BIG, -ENOMEM: there is no room.
 */
int source_cgroup_get(struct source *s, uint64_t id, struct cgroup_state *ret);
int source_cgroup_put(struct source *s, uint64_t id, const struct cgroup_state *state,
		      bool replace);
int source_cgroup_drop(struct source *s, uint64_t id);

/*
 * Waits for every mkdir of a cgroup that is under way: whose state was derived before this call is
 * found by readdir(3) after it.
 */
int source_cgroup_barrier(struct source *s);

/* Since it was asked last, the kernel could not keep the state of a cgroup. */
bool source_cgroups_lost(struct source *s);

/*
 * Whether the kernel matches by @key for the selector @id: 1, or 0 when it does so by other keys
 * alone. -ENOENT: by none, this selector is new.
 */
int source_exe_told(struct source *s, const struct selector_exe_key *key, uint32_t id);
/* When a daemon last saw that they are what they should be (CLOCK_BOOTTIME); 0: none ever did. */
uint64_t source_places_ns(const struct source *s);
void source_set_places_ns(struct source *s, uint64_t boottime_ns);
/*
 * Tags, as if they exec'd now, all running processes that match a selector, and their descendants.
 * *@ret_left_alone (may be NULL): how many match one with SELECTOR_EXEC_ONLY and are in no session.
 */
int source_select_running(struct source *s, uint32_t *ret_left_alone);

/*
 * The kernel's own view of the object behind @fd of this process: comparable with event_exec.exe,
 * where stat(2) is not (overlayfs, btrfs). Thread-safe; one system call.
 */
int source_object_id(struct source *s, int fd, struct object_id *ret);

/* Likewise, with who can write to it. */
struct object_facts;
int source_object_facts(struct source *s, int fd, struct object_facts *ret);
/* Likewise, where it stands: what an exec of it would be matched by. All zero: nowhere. */
int source_place(struct source *s, int fd, struct selector_exe_key *ret);
