/* SPDX-License-Identifier: Apache-2.0 */
/* packet: one message to a client of the local socket, with the descriptors that go with it. */
#pragma once

#include <affiant/v1/api.pb-c.h>
#include <stddef.h>
#include <stdint.h>

#define PACKET_FDS_MAX 16

/* All zero is none. */
struct packet {
	uint8_t *data; /* owned */
	size_t len;
	int fds[PACKET_FDS_MAX]; /* owned */
	size_t fds_count;
};

void packet_clear(struct packet *p);

/*
 * Packs @response; a large one into a sealed memfd, beside an answer that says so under the same
 * challenge: then -EMSGSIZE if @p has descriptors of its own.
 */
int packet_fill(struct packet *p, const Affiant__V1__Response *response);

/* Without waiting: 0, -EAGAIN, or another -errno of sendmsg(2). */
int packet_send(int fd, const struct packet *p);
