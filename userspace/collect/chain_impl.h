/* SPDX-License-Identifier: Apache-2.0 */
/* chain_impl: what chain.c, which reads, and chain_take.c, which joins, have of chain.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

#include "collect/chain.h"

struct process {
	pid_t tgid;
	bool limbo;
	struct step *steps;
	size_t count;
	uint64_t dropped_batch; /* the batch of the last step that was taken or dropped */
	bool overrun; /* older steps are gone, which an exec may still be told of */
	bool is_empty;
	struct process *prev, *next; /* of those without steps */
	UT_hash_handle hh;
};

struct step {
	struct process *process;
	int fd;
	uint64_t batch;
	uint64_t read_ns;
	struct step *prev, *next;   /* of the process */
	struct step *older, *newer; /* of all */
};

struct chain {
	struct chain_config config;
	int fanotify;
	int timer; /* runs while there are steps */
	int epoll;
	struct marks *marks;
	struct process *processes, *empty;
	struct step *all;
	struct step *expiring; /* to be looked at next; NULL: from the beginning */
	size_t count;
	uint64_t forgotten_ns; /* steps that were read by then are nobody's any more */
	uint64_t batch;
	bool unseeing;	 /* a look at a process took too long: none are made for this time */
	bool batch_over; /* fanotify had nothing more */
	size_t expected; /* events that chain_expect() found, and that are not read yet */
	uint64_t loss_batch; /* the last batch in which events were lost */
	uint64_t lost;
};

void chain_step_free(struct chain *c, struct step *s);
void chain_count_loss(struct chain *c);
