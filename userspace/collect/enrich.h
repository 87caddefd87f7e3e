/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enrich: finds the bytes behind an image (the executable, and what else its exec ran), has them
 * hashed, and enters the digests when they come.
 */
#pragma once

#include "collect/answers.h"
#include "collect/chain.h"
#include "collect/filehash.h"
#include "collect/image.h"
#include "collect/proof.h"

struct enrich;

struct aside;

struct enrich_config {
	struct aside *aside; /* looks at processes; NULL: whoever asks does */
	struct filehash *hash;
	struct chain *chain; /* NULL: fanotify was refused */
	struct image_context image;
	struct proof *proof;
	struct answering answering;
	void (*ready)(void *data, struct image *i); /* all its digests are there */
	/* Whether that session had root's power, as far as was told until now. */
	bool (*powerful)(void *data, const struct session *s);
	void *data;
};

int enrich_new(const struct enrich_config *config, struct enrich **ret);
void enrich_free(struct enrich *e);

const struct image_context *enrich_image_context(const struct enrich *e);

/* Asks for the digests of @i, the draft made from @event. What is cached is there at once. */
void enrich_image(struct enrich *e, const struct event_exec *event, struct image *i,
		  uint64_t session);

/* The operator wants no digests of this agent: says so. */
void enrich_disabled(struct enrich *e, const struct event_exec *event, struct image *i);

/*
 * Takes over what the workers finished before @before_ns (CLOCK_BOOTTIME): what sessions did until
 * then is known. And before what is mounted is known of.
 */
void enrich_collect(struct enrich *e, uint64_t before_ns);
