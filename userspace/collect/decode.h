/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decode: bytes of the ring or the journal become events. The kernel wrote them, but a journal may
 * be damaged: sizes and inner lengths are checked here, once, and trusted behind.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event.h"

/*
 * Notes share the events' framing and take type numbers of their own. Their payload is a protobuf
 * message of state.proto, right behind the header.
 */
#define NOTE_CPU 0xffffu
enum note_type {
	NOTE_SESSION = 0x8001, /* StateSession: opened through the API */
	/* NoteEnd: ended through the API, or its process was gone before it was tagged */
	NOTE_END = 0x8002,
	NOTE_LOST = 0x8003,  /* Lost */
	NOTE_GONE = 0x8004,  /* NoteGone: the exit of this process was missed */
	NOTE_CLOCK = 0x8005, /* NoteClock: the wall clock, as records tell it from here on */
	NOTE_EPOCH = 0x8006, /* NoteEpoch: which maps of the kernel the events are from */
	NOTE_FOLD = 0x8007,  /* NoteFold */
	NOTE_UNTAGGED = 0x8008, /* NoteUntagged */
	NOTE_DAEMON = 0x8009, /* NoteDaemon */
	NOTE_OVER = 0x800a, /* NoteEnd: the kernel has nobody in that session any more */
	NOTE_MET = 0x800b,  /* NoteMet: the kernel has a process that no event told of */
	NOTE_HOLD = 0x800c, /* NoteHold */
	NOTE_LAST = NOTE_HOLD,
};

/* No note has that number: it names what is told when a boot is over. */
#define NOTE_REBOOT_SEQUENCE (((uint64_t)1 << 48) - 1)

#define NOTE_SIZE_MAX 65528

static inline bool event_is_note(const struct event_header *h)
{
	return h->cpu == NOTE_CPU;
}

/* Names an event within a boot: the source of every record made from it. */
static inline uint64_t event_source(const struct event_header *h)
{
	return (uint64_t)h->cpu << 48 | h->sequence;
}

/*
 * The event at the beginning of @data: 0, or -ENODATA at the end. -ENOTSUP: one that this version
 * does not know (a later one's kernel programs told it); *ret is good for stepping over it by its
 * size. -EBADMSG: it isn't one, and where the next one begins is not known. @data is 8-aligned.
 */
int event_decode(const void *data, size_t left, const struct event_header **ret);

/* The variable parts of an exec; borrowed from the event. */
struct exec_strings {
	const char *exe, *cwd, *filename, *interp, *argv;
	size_t exe_len, cwd_len, filename_len, interp_len, argv_len;
};
/* It began in another file than its executable, and which one is known. */
bool exec_has_loader(const struct event_exec *e);

void exec_strings(const struct event_exec *e, struct exec_strings *ret);

/*
 * Components from leaf to root, each ended by NUL, become "/a/b/c"; no components are "/". @cut:
 * the event says that a path of it did not fit (EXEC_PATH_CUT). If it can have been this one, it
 * begins with "..." instead of the root, and is empty when nothing of it is known. Returns the
 * length.
 */
#define PATH_TEXT_SIZE (EVENT_PATH_MAX + 4)
size_t path_from_components(const char *components, size_t len, bool cut,
			    char ret[static PATH_TEXT_SIZE]);

/* "connect", as Lost records and counters name it; NULL for a number that is none. */
const char *event_type_name(unsigned int type);
