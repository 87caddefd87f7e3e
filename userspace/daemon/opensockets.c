/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/opensockets.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/effort.h"
#include "base/pb.h"

#define INODES_MAX 65536

/* A file of /proc/PID/net. */
struct net_table {
	const char *name;
	Affiant__V1__Protocol protocol;
	unsigned int family, type; /* of sockets that are listed whether they are connected or not */
};

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* proc_pid_fdinfo(5): "flags:", in octal. A descriptor that went away meanwhile is not kept. */
static bool is_kept(pid_t tgid, const char *fd)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[300], line[128];
	unsigned int flags;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", tgid, fd);
	f = effort_fopen(path);
	while (f && effort_gets(line, sizeof(line), f))
		if (sscanf(line, "flags: %o", &flags) == 1)
			return !(flags & O_CLOEXEC);
	return false;
}

/* The inodes of its sockets, sorted. */
static uint64_t *socket_inodes(pid_t tgid, enum opensockets_which which, uint64_t until,
			       size_t *ret_n, bool *ret_cut)
{
	_cleanup_closedir_ DIR *d = NULL;
	uint64_t *inodes = NULL;
	struct dirent *e;
	char path[32];
	size_t n = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", tgid);
	d = effort_opendir(path);
	while (d && (e = effort_readdir(d))) {
		char link[64];
		uint64_t inode, *more;
		ssize_t len;

		if (n == INODES_MAX || clock_ns(CLOCK_MONOTONIC) > until) {
			*ret_cut = true;
			break;
		}
		len = effort_readlinkat(dirfd(d), e->d_name, link, sizeof(link) - 1);
		if (len < 0)
			continue;
		link[len] = '\0';
		if (sscanf(link, "socket:[%" SCNu64 "]", &inode) != 1 ||
		    (which == OPENSOCKETS_KEPT && !is_kept(tgid, e->d_name)))
			continue;
		if (!(n & (n - 1))) {
			more = realloc(inodes, (n ? 2 * n : 1) * sizeof(*inodes));
			if (!more) {
				*ret_cut = true;
				break;
			}
			inodes = more;
		}
		inodes[n++] = inode;
	}
	if (n)
		qsort(inodes, n, sizeof(*inodes), by_number);
	*ret_n = n;
	return inodes;
}

/*
 * "0100007F:1F90": words of the address as the host stores them, so that the bytes are in network
 * order.
 */
static bool parse_endpoint(const char *text, Affiant__V1__Endpoint **ret)
{
	size_t digits = strcspn(text, ":");
	Affiant__V1__Endpoint *m;
	unsigned int port;
	uint8_t bytes[16];

	if ((digits != 8 && digits != 32) || sscanf(text + digits, ":%4x", &port) != 1)
		return false;
	for (size_t i = 0; i < digits / 8; i++) {
		unsigned int word;

		if (sscanf(text + 8 * i, "%8x", &word) != 1)
			return false;
		memcpy(bytes + 4 * i, &word, 4);
	}
	m = malloc(sizeof(*m));
	if (!m)
		return false;
	affiant__v1__endpoint__init(m);
	m->address.data = malloc(16);
	if (!m->address.data) {
		free(m);
		return false;
	}
	m->has_address = true;
	m->address.len = digits / 2;
	memcpy(m->address.data, bytes, digits / 2);
	if (digits == 32 && IN6_IS_ADDR_V4MAPPED((struct in6_addr *)bytes)) {
		m->address.len = 4;
		memcpy(m->address.data, bytes + 12, 4);
	}
	SET(m, port, port);
	*ret = m;
	return true;
}

/* -EOVERFLOW: there is no room, which it says. */
static int new_one(Affiant__V1__SessionStarted *m, const struct net_table *t, pid_t tgid,
		   Affiant__V1__OpenConnection **ret)
{
	Affiant__V1__OpenConnection **more, *c;

	if (m->n_open_connections == OPENSOCKETS_MAX) {
		SET(m, open_connections_cut, true);
		return -EOVERFLOW;
	}
	more = realloc(m->open_connections, (m->n_open_connections + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	m->open_connections = more;
	c = malloc(sizeof(*c));
	if (!c)
		return -ENOMEM;
	affiant__v1__open_connection__init(c);
	SET(c, protocol, t->protocol);
	SET(c, tgid, tgid);
	if (t->family) {
		SET(c, family, t->family);
		SET(c, type, t->type);
	}
	m->open_connections[m->n_open_connections++] = c;
	*ret = c;
	return 0;
}

static void drop_last(Affiant__V1__SessionStarted *m)
{
	affiant__v1__open_connection__free_unpacked(m->open_connections[--m->n_open_connections],
						    NULL);
}

/* Of a raw socket what stands for the port is the protocol. */
static void set_number(const struct net_table *t, Affiant__V1__OpenConnection *c)
{
	if (t->type == SOCK_RAW)
		SET(c, protocol_number, c->local->port);
	else
		SET(c, protocol_number, t->family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	if (t->type == SOCK_RAW)
		c->local->has_port = false;
}

static int add_one(Affiant__V1__SessionStarted *m, const struct net_table *t, const char *local,
		   const char *remote, unsigned int state, pid_t tgid)
{
	bool connected = state != TCP_LISTEN && state != TCP_CLOSE;
	Affiant__V1__OpenConnection *c;
	int err = new_one(m, t, tgid, &c);

	if (err)
		return err;
	if (!parse_endpoint(local, &c->local) ||
	    (connected && !parse_endpoint(remote, &c->remote))) {
		drop_last(m);
		return 0;
	}
	if (t->family)
		set_number(t, c);
	if (c->remote && t->type == SOCK_RAW)
		c->remote->has_port = false;
	if (state == TCP_LISTEN)
		SET(c, listening, true);
	return 0;
}

/* net/packet/af_packet.c, packet_seq_show(): pointer, references, type, protocol, .., inode. */
static int add_packet(Affiant__V1__SessionStarted *m, const struct net_table *t, unsigned int type,
		      unsigned int number, pid_t tgid)
{
	Affiant__V1__OpenConnection *c;
	int err = new_one(m, t, tgid, &c);

	if (err)
		return err;
	SET(c, type, type);
	SET(c, protocol_number, number);
	return 0;
}

struct inodes {
	const uint64_t *list; /* sorted */
	size_t n;
};

static bool has_inode(const struct inodes *inodes, uint64_t inode)
{
	return bsearch(&inode, inodes->list, inodes->n, sizeof(inode), by_number);
}

static int take_line(pid_t tgid, const struct net_table *t, const char *line,
		     const struct inodes *inodes, Affiant__V1__SessionStarted *m)
{
	unsigned int state, type, number;
	char local[48], remote[48];
	uint64_t inode;

	if (t->family == AF_PACKET) {
		if (sscanf(line, "%*s %*d %u %x %*d %*d %*u %*u %" SCNu64, &type, &number,
			   &inode) != 3 ||
		    !has_inode(inodes, inode))
			return 0;
		return add_packet(m, t, type, number, tgid);
	}
	/* Documentation/networking/proc_net_tcp.rst; the other tables have the same columns. */
	if (sscanf(line, "%*d: %47s %47s %x %*s %*s %*s %*u %*u %" SCNu64, local, remote, &state,
		   &inode) != 4 ||
	    (state == TCP_CLOSE && !t->family) || !has_inode(inodes, inode))
		return 0;
	return add_one(m, t, local, remote, state, tgid);
}

/*
 * Until then: whoever has a network namespace fills its tables, of which the kernel gives a part by
 * each read and begins anew to look for it.
 */
static int read_table(pid_t tgid, const struct net_table *t, const struct inodes *inodes,
		      uint64_t until, Affiant__V1__SessionStarted *m)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[48], line[512];
	int err = 0;

	snprintf(path, sizeof(path), "/proc/%d/net/%s", tgid, t->name);
	f = effort_fopen(path);
	while (!err && f && effort_gets(line, sizeof(line), f)) {
		err = take_line(tgid, t, line, inodes, m);
		if (clock_ns(CLOCK_MONOTONIC) > until) {
			SET(m, open_connections_cut, true);
			break;
		}
	}
	return err == -EOVERFLOW ? 0 : err;
}

int opensockets_add(pid_t tgid, enum opensockets_which which, uint64_t look_ns,
		    Affiant__V1__SessionStarted *m)
{
	/* Those that nobody sees come first: what is cut are the others. */
	static const struct net_table tables[] = {
		{"raw", AFFIANT__V1__PROTOCOL__PROTOCOL_RAW, AF_INET, SOCK_RAW},
		{"raw6", AFFIANT__V1__PROTOCOL__PROTOCOL_RAW, AF_INET6, SOCK_RAW},
		{"icmp", AFFIANT__V1__PROTOCOL__PROTOCOL_ICMP, AF_INET, SOCK_DGRAM},
		{"icmp6", AFFIANT__V1__PROTOCOL__PROTOCOL_ICMPV6, AF_INET6, SOCK_DGRAM},
		{"packet", AFFIANT__V1__PROTOCOL__PROTOCOL_OTHER, AF_PACKET, 0},
		{"tcp", AFFIANT__V1__PROTOCOL__PROTOCOL_TCP, 0, 0},
		{"tcp6", AFFIANT__V1__PROTOCOL__PROTOCOL_TCP, 0, 0},
		{"udp", AFFIANT__V1__PROTOCOL__PROTOCOL_UDP, 0, 0},
		{"udp6", AFFIANT__V1__PROTOCOL__PROTOCOL_UDP, 0, 0},
	};
	const uint64_t until = clock_ns(CLOCK_MONOTONIC) + look_ns;
	_cleanup_free_ uint64_t *list = NULL;
	struct inodes inodes;
	bool cut = false;
	int err = 0;

	inodes.list = list = socket_inodes(tgid, which, until, &inodes.n, &cut);
	if (cut)
		SET(m, open_connections_cut, true);
	for (size_t i = 0; !err && inodes.n && i < sizeof(tables) / sizeof(tables[0]); i++)
		err = read_table(tgid, &tables[i], &inodes, until, m);
	return err;
}

void opensockets_cut(Affiant__V1__SessionStarted *m, size_t max)
{
	while (m->n_open_connections && affiant__v1__session_started__get_packed_size(m) > max) {
		drop_last(m);
		SET(m, open_connections_cut, true);
	}
}

void opensockets_clear(Affiant__V1__SessionStarted *m)
{
	while (m->n_open_connections)
		drop_last(m);
	free(m->open_connections);
	m->open_connections = NULL;
}
