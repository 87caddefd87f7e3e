/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/opensockets.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/pb.h"

#define INODES_MAX 65536

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
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "flags: %o", &flags) == 1)
			return !(flags & O_CLOEXEC);
	return false;
}

/* The inodes of its sockets, sorted. */
static uint64_t *socket_inodes(pid_t tgid, enum opensockets_which which, size_t *ret_n)
{
	_cleanup_closedir_ DIR *d = NULL;
	uint64_t *inodes = NULL;
	struct dirent *e;
	char path[32];
	size_t n = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", tgid);
	d = opendir(path);
	while (d && n < INODES_MAX && (e = readdir(d))) {
		char link[64];
		uint64_t inode, *more;
		ssize_t len = readlinkat(dirfd(d), e->d_name, link, sizeof(link) - 1);

		if (len < 0)
			continue;
		link[len] = '\0';
		if (sscanf(link, "socket:[%" SCNu64 "]", &inode) != 1 ||
		    (which == OPENSOCKETS_KEPT && !is_kept(tgid, e->d_name)))
			continue;
		if (!(n & (n - 1))) {
			more = realloc(inodes, (n ? 2 * n : 1) * sizeof(*inodes));
			if (!more)
				break;
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

/* @remote NULL: it listens. */
static int add_one(Affiant__V1__SessionStarted *m, Affiant__V1__Protocol protocol,
		   const char *local, const char *remote, pid_t tgid)
{
	Affiant__V1__OpenConnection **more, *c;

	more = realloc(m->open_connections, (m->n_open_connections + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	m->open_connections = more;
	c = malloc(sizeof(*c));
	if (!c)
		return -ENOMEM;
	affiant__v1__open_connection__init(c);
	if (!parse_endpoint(local, &c->local) || (remote && !parse_endpoint(remote, &c->remote))) {
		affiant__v1__open_connection__free_unpacked(c, NULL);
		return 0;
	}
	SET(c, protocol, protocol);
	SET(c, tgid, tgid);
	if (!remote)
		SET(c, listening, true);
	m->open_connections[m->n_open_connections++] = c;
	return 0;
}

static int read_table(pid_t tgid, const char *name, Affiant__V1__Protocol protocol,
		      const uint64_t *inodes, size_t n, Affiant__V1__SessionStarted *m)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[48], line[512];

	snprintf(path, sizeof(path), "/proc/%d/net/%s", tgid, name);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		char local[48], remote[48];
		unsigned int state;
		uint64_t inode;

		/*
		 * Documentation/networking/proc_net_tcp.rst; the udp tables have the same columns.
		 */
		if (sscanf(line, "%*d: %47s %47s %x %*s %*s %*s %*u %*u %" SCNu64, local, remote,
			   &state, &inode) != 4 ||
		    state == TCP_CLOSE || !bsearch(&inode, inodes, n, sizeof(inode), by_number))
			continue;
		if (m->n_open_connections == OPENSOCKETS_MAX) {
			SET(m, open_connections_cut, true);
			break;
		}
		if (add_one(m, protocol, local, state == TCP_LISTEN ? NULL : remote, tgid) < 0)
			return -ENOMEM;
	}
	return 0;
}

int opensockets_add(pid_t tgid, enum opensockets_which which, Affiant__V1__SessionStarted *m)
{
	static const struct {
		const char *name;
		Affiant__V1__Protocol protocol;
	} tables[] = {
		{"tcp", AFFIANT__V1__PROTOCOL__PROTOCOL_TCP},
		{"tcp6", AFFIANT__V1__PROTOCOL__PROTOCOL_TCP},
		{"udp", AFFIANT__V1__PROTOCOL__PROTOCOL_UDP},
		{"udp6", AFFIANT__V1__PROTOCOL__PROTOCOL_UDP},
	};
	_cleanup_free_ uint64_t *inodes = NULL;
	size_t n;
	int err = 0;

	inodes = socket_inodes(tgid, which, &n);
	for (size_t i = 0; !err && n && i < sizeof(tables) / sizeof(tables[0]); i++)
		err = read_table(tgid, tables[i].name, tables[i].protocol, inodes, n, m);
	return err;
}

static void drop_last(Affiant__V1__SessionStarted *m)
{
	affiant__v1__open_connection__free_unpacked(m->open_connections[--m->n_open_connections],
						    NULL);
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
