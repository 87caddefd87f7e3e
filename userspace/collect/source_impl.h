/* SPDX-License-Identifier: Apache-2.0 */
/* source_impl: what the files of 'source' share. Nobody else includes it. */
#pragma once

#include <pthread.h>

#include "collect/pins.h"
#include "collect/ring.h"
#include "collect/source.h"

#define STUBS 8
#define FEATURES_MAX 8

struct affiant;

struct source {
	struct pins *pins;
	struct affiant *skeleton;
	struct ring *ring;
	struct control *control; /* the map itself */
	int cgroup;
	int stubs[STUBS]; /* programs, for their statistics */
	int adopt;        /* link of the task iterator */
	int live;         /* link of the one over sockets */
	int barrier;      /* a cgroup's link: source_cgroup_barrier() */
	bool continued;
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
int attach_programs(struct source *s, char *why, size_t why_size);
