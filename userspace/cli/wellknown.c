/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/wellknown.h"

#include <string.h>

/* One that ends with a slash stands for whatever lies in the directory. */
static const char *const sockets[] = {
	"/dev/log", /* syslog(3) */
	"/run/nscd/socket",
	"/run/systemd/journal/",
	"/run/systemd/notify", /* sd_notify(3) */
	"/run/systemd/userdb/", /* nss-systemd(8) */
	"/var/run/nscd/socket", /* glibc's own name for it */
};

static bool is_name(const char *name, size_t len)
{
	return len && !memchr(name, '/', len) && !(len == 1 && name[0] == '.') &&
	       !(len == 2 && name[0] == '.' && name[1] == '.');
}

/* As it was asked for: no link and no ".." is followed. */
static bool is_wellknown(const ProtobufCBinaryData *path)
{
	for (size_t i = 0; i < sizeof(sockets) / sizeof(*sockets); i++) {
		size_t len = strlen(sockets[i]);
		const char *at = (const char *)path->data;

		if (path->len < len || memcmp(at, sockets[i], len))
			continue;
		if (path->len == len ? at[len - 1] != '/'
				     : at[len - 1] == '/' && is_name(at + len, path->len - len))
			return true;
	}
	return false;
}

/* Refused, or over a socket of another: that is worth a line. */
bool wellknown_connect(const Affiant__V1__Record *r)
{
	const Affiant__V1__Connect *c = r->connect;

	if (r->body_case != AFFIANT__V1__RECORD__BODY_CONNECT)
		return false;
	return c->protocol == AFFIANT__V1__PROTOCOL__PROTOCOL_UNIX &&
	       c->outcome == AFFIANT__V1__OUTCOME__ATTEMPTED &&
	       !(c->opener && !c->opener->unknown) && c->reached && c->reached->has_path &&
	       is_wellknown(&c->reached->path);
}
