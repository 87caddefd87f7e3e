/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/limits.h"

#include <errno.h>
#include <stdbool.h>

#include "base/log.h"

#define HOLDS_NS 60000000000ull

static const struct {
	const char *text;
	bool stays; /* what it keeps from being begun is not tried again */
} limits[LIMIT_ALL] = {
	[LIMIT_FILES] = {"open files (RLIMIT_NOFILE): what is executed meanwhile may be recorded "
			 "without digests, and who connects to the socket waits or is turned away: "
			 "raise LimitNOFILE of the unit"},
	[LIMIT_HOST_FILES] = {"open files of the host: what is executed meanwhile may be recorded "
			      "without digests, and who connects to the socket waits or is turned "
			      "away: raise fs.file-max"},
	[LIMIT_MEMORY] = {"memory: events, digests or answers may be missing, as 'lost' and each "
			  "record tell: raise MemoryMax of the unit, or give the host more"},
	[LIMIT_THREADS] = {"threads: filesystems that do not answer can hold up digests of others: "
			   "raise TasksMax of the unit, or kernel.threads-max"},
	[LIMIT_INOTIFY_INSTANCES] =
		{"inotify instances: digests are not remembered, and selectors' "
		 "executables are looked for every 5 seconds only: raise "
		 "fs.inotify.max_user_instances"},
	[LIMIT_INOTIFY_WATCHES] = {"inotify watches: digests are not remembered, and selectors' "
				   "executables are looked for every 5 seconds only: raise "
				   "fs.inotify.max_user_watches"},
	[LIMIT_FANOTIFY_GROUPS] =
		{"fanotify groups: scripts and ELF loaders are recorded without "
		 "digests: raise fs.fanotify.max_user_groups and restart affiantd",
		 true},
	[LIMIT_FANOTIFY_MARKS] =
		{"fanotify marks: scripts and ELF loaders of filesystems that were "
		 "mounted last are recorded without digests: raise "
		 "fs.fanotify.max_user_marks"},
	[LIMIT_FANOTIFY_QUEUE] = {"the fanotify queue: scripts and ELF loaders of some execs are "
				  "recorded without digests, as 'lost' tells: raise "
				  "fs.fanotify.max_queued_events"},
	[LIMIT_MOUNTS] = {"mounts of one mount namespace, or looks at a session's: scripts and ELF "
			  "loaders of its other filesystems are recorded without digests; nothing "
			  "is to be raised"},
	[LIMIT_STUCK] = {"threads that wait for filesystems which do not answer: digests of the "
			 "sessions that use them come too late, maybe others' too: end those "
			 "filesystems (umount -f, or their servers)"},
	[LIMIT_TAGS] = {"max_tags: processes that found no room are not followed, which their "
			"sessions' records tell: raise max_tags"},
	[LIMIT_SESSIONS] = {"limits.sessions: sessions are refused: raise limits.sessions"},
};

static bool said[LIMIT_ALL];

static bool holds(enum limit l, uint64_t now_ns)
{
	uint64_t met_ns = limit_met_ns(l);

	return met_ns && (limits[l].stays || now_ns < met_ns + HOLDS_NS);
}

void limits_look(uint64_t now_ns)
{
	for (enum limit l = 0; l < LIMIT_ALL; l++) {
		bool now = holds(l, now_ns);

		if (now && !said[l])
			log_warning("a limit ran out: %s", limits[l].text);
		else if (!now && said[l])
			log_notice("for a minute this was no limit any more: %.*s",
				   (int)__builtin_strcspn(limits[l].text, ":"), limits[l].text);
		said[l] = now;
	}
}

size_t limits_list(uint64_t now_ns, const char *ret[static LIMIT_ALL])
{
	size_t n = 0;

	for (enum limit l = 0; l < LIMIT_ALL; l++)
		if (holds(l, now_ns))
			ret[n++] = limits[l].text;
	return n;
}

const char *limits_advice(int err)
{
	switch (err) {
	case -EMFILE:
		return " (raise LimitNOFILE of the unit: ulimit -n)";
	case -ENFILE:
		return " (raise fs.file-max)";
	case -ENOMEM:
		return " (raise MemoryMax of the unit, or lower max_tags and ring_bytes; before Linux "
		       "5.11 raise LimitMEMLOCK)";
	case -EAGAIN:
		return " (raise TasksMax of the unit, or kernel.threads-max)";
	default:
		return "";
	}
}
