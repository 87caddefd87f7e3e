/* SPDX-License-Identifier: Apache-2.0 */
/*
 * channel: one client of the local socket: its packets in and out, one request at a time, and the
 * proof of who sent each (ARCHITECTURE, section 5). Between server.c, which accepts, and
 * dispatch.c, which decides.
 */
#pragma once

#include "daemon/interrupt.h"
#include "daemon/packet.h"
#include "daemon/peer.h"
#include "daemon/request.h"
#include "daemon/server.h"

#include <sys/epoll.h>

struct server_call {
	struct channel *connection;
	bool active;     /* handed to the core, not yet ended */
	bool opens_self; /* the caller's own tag is about to change */
	Affiant__V1__Request *request;
	struct peer_message message; /* its descriptors */
	struct server_caller caller;
};

struct channel {
	struct channel *prev, *next;
	struct server *server;
	int fd; /* -1: closed, and here only until its call is ended */
	sd_event_source *timer;
	bool added;         /* to the server's epoll, which waits for: */
	uint32_t waits_for; /* EPOLLIN, EPOLLOUT */
	struct peer peer;
	bool tagged;
	struct tag tag;
	bool staff;    /* a launcher or a reader, when it connected */
	bool launcher; /* was one when it connected: may pass descriptors while it is of no session
			*/
	bool believed; /* has made a request that was its own */
	bool closing;  /* after the packet that waits */
	uint8_t challenge[REQUEST_CHALLENGE_SIZE];
	struct server_call call;
	bool waits; /* 'packet' finds no room in the socket */
	struct packet packet;
	bool follows, appended;
	uint64_t appended_index, appended_sequence;
};

#define SERVER_READY_MAX 64

struct server {
	sd_event *event;
	/*
	 * Of all connections, and one source of the loop: sd-event asks the kernel for all that is
	 * ready to dispatch one of it, which for a thousand that speak at once is a million.
	 */
	int epoll;
	sd_event_source *io;
	struct epoll_event ready[SERVER_READY_MAX]; /* being dispatched */
	int ready_count;
	size_t followers; /* connections that follow */
	struct server_config config;
	const struct server_ops *ops;
	void *context;
	int fd;
	sd_event_source *listening, *resume;
	struct interrupt *interrupt;
	struct channel *connections; /* oldest first */
	uint8_t *buffer;             /* for the message being read */
	dev_t socket_device;
	ino_t socket_inode;
};

/*
 * Takes @fd over, also on failure, and greets. @admit decides, once it is known who connects; when
 * it says no, the client is told that there is no room.
 */
int channel_new(struct server *s, int fd,
		bool (*admit)(struct server *s, const struct channel *newcomer));

/* What epoll says of it; it may be gone afterwards. */
void channel_ready(struct channel *c, uint32_t events);

/* Ends everything at once. */
void channel_free(struct channel *c);

/*
 * Sends @response as the answer to the active call, which ends, with descriptors that are closed
 * here. The connection may be gone afterwards.
 */
void channel_answer(struct channel *c, Affiant__V1__Response *response, const int *fds,
		    size_t fds_count);

void channel_follow(struct channel *c, bool follows);
void channel_appended(struct channel *c, uint64_t index, uint64_t sequence);

/*
 * The request in c->call is believed: @roles are the caller's. Ends the call by itself, or through
 * the core.
 */
void dispatch(struct channel *c, unsigned int roles);
