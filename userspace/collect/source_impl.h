/* SPDX-License-Identifier: Apache-2.0 */
/* source_impl: what the files of 'source' share. Nobody else includes it. */
#pragma once

#include <pthread.h>

#include "collect/pins.h"
#include "collect/ring.h"
#include "collect/source.h"

#define STUBS 9
#define LINKS_MAX 32
#define FEATURES_MAX 8

struct affiant;

struct source {
	struct pins *pins;
	struct affiant *skeleton;
	struct ring *ring;
	struct control *control; /* the map itself */
	int cgroup;
	int stubs[STUBS];     /* programs, for their statistics */
	int adopt;            /* link of the task iterator */
	int live;             /* link of the one over sockets */
	int orders;           /* link of the one that carries out an order */
	int barrier;          /* a cgroup's link: source_cgroup_barrier() */
	int links[LINKS_MAX]; /* what is pinned goes on when its pin is removed */
	unsigned int overlay_tried; /* whose types were of no use: source_overlay.c */
	bool continued;
	bool made;     /* the maps are new */
	bool attached; /* source_attach() came to its end */
	uint32_t max_tags;
	const char *features[FEATURES_MAX + 1];
	const char *missing[FEATURES_MAX + 1];
	pthread_mutex_t adopt_lock; /* the iterator's request is one map element */
};

/*
 * source_attach.c: puts the loaded programs behind stubs and links, or attaches them for the first
 * time.
 */
int attach_prepare(struct source *s, char *why, size_t why_size);
/*
 * Every link and program is pinned, and attached yet, that has been there from the first version on
 * or is among @attached (struct control).
 */
bool attach_is_whole(const struct source *s, uint64_t attached);
int attach_programs(struct source *s, char *why, size_t why_size);

/*
 * source_epoch.c: whether the pinned maps know where they begin, and a daemon finished its start;
 * their control block is copied to @ret then.
 */
bool epoch_control(const struct source *s, struct control *ret);
/* Numbers begin above @past. */
int epoch_begin(struct source *s, uint64_t past, char *why, size_t why_size);

/* source_tags.c: runs the task iterator over all processes; the lock is held. */
int adopt_pass(struct source *s, struct adopt *request);

/* source_shares.c */
int orders_open(struct source *s, char *why, size_t why_size);
