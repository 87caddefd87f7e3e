/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/decode.h"

#include <errno.h>
#include <string.h>

#include "collect/object.h"

static const struct {
	const char *name;
	size_t size;
} types[EVENT_TYPES] = {
	[EVENT_FORK] = {"fork", sizeof(struct event_fork)},
	[EVENT_EXEC] = {"exec", sizeof(struct event_exec)},
	[EVENT_EXIT] = {"exit", sizeof(struct event_exit)},
	[EVENT_ADOPT] = {"adopt", sizeof(struct event_exec)},
	[EVENT_CONNECT] = {"connect", sizeof(struct event_connect)},
	[EVENT_OUTCOME] = {"outcome", sizeof(struct event_outcome)},
	[EVENT_CLOSE] = {"close", sizeof(struct event_close)},
	[EVENT_UNIX] = {"unix", sizeof(struct event_unix)},
	[EVENT_UNTRACKED] = {"untracked_socket", sizeof(struct event_untracked)},
	[EVENT_TAG_LOST] = {"tag_lost", sizeof(struct event_untagged)},
	[EVENT_LISTEN] = {"listen", sizeof(struct event_listen)},
};

const char *event_type_name(unsigned int type)
{
	return type < EVENT_TYPES ? types[type].name : NULL;
}

static bool exec_fits(const struct event_exec *e)
{
	size_t data =
		(size_t)e->exe_len + e->cwd_len + e->filename_len + e->interp_len + e->argv_len;

	return sizeof(*e) + data <= e->header.size;
}

static bool unix_fits(const struct event_unix *e)
{
	return e->path_len <= EVENT_UNIX_PATH_MAX && sizeof(*e) + e->cwd_len <= e->header.size;
}

/* What is inside of it can be trusted. */
static bool is_known(const struct event_header *h)
{
	if (event_is_note(h))
		return h->type >= NOTE_SESSION && h->type <= NOTE_LAST;
	if (h->type >= EVENT_TYPES || !types[h->type].name || h->size < types[h->type].size)
		return false;
	if (h->type == EVENT_EXEC || h->type == EVENT_ADOPT)
		return exec_fits((const struct event_exec *)h);
	if (h->type == EVENT_UNIX)
		return unix_fits((const struct event_unix *)h);
	return true;
}

int event_decode(const void *data, size_t left, const struct event_header **ret)
{
	const struct event_header *h = data;

	if (!left)
		return -ENODATA;
	if (left < sizeof(*h) || h->size > left || h->size < sizeof(*h) || h->size % 8)
		return -EBADMSG;
	*ret = h;
	return is_known(h) ? 0 : -ENOTSUP;
}

bool exec_has_loader(const struct event_exec *e)
{
	return e->flags & EXEC_BEGIN && !object_id_same(&e->begin, &e->exe) &&
	       !(e->guard.flags & GUARD_LOWER && object_id_same(&e->begin, &e->guard.lower));
}

void exec_strings(const struct event_exec *e, struct exec_strings *ret)
{
	const char *at = e->data;

	*ret = (struct exec_strings){
		.exe_len = e->exe_len,
		.cwd_len = e->cwd_len,
		.filename_len = e->filename_len,
		.interp_len = e->interp_len,
		.argv_len = e->argv_len,
	};
	ret->exe = at;
	ret->cwd = at += e->exe_len;
	ret->filename = at += e->cwd_len;
	ret->interp = at += e->filename_len;
	ret->argv = at + e->interp_len;
}

/*
 * The kernel's walk ends after 64 steps, of which crossing a mount is one, or when a name finds no
 * room.
 */
#define WALK_SHORT 32
#define NAME_SIZE 256

size_t path_from_components(const char *components, size_t len, bool cut,
			    char ret[static PATH_TEXT_SIZE])
{
	bool whole = !cut || (len && len <= EVENT_PATH_MAX - NAME_SIZE);
	char built[EVENT_PATH_MAX];
	size_t at = EVENT_PATH_MAX, count = 0, used;

	for (; len; count++) {
		size_t n = strnlen(components, len);

		if (n + 1 > at) {
			whole = false;
			break;
		}
		at -= n;
		memcpy(built + at, components, n);
		built[--at] = '/';
		if (n == len)
			break;
		components += n + 1;
		len -= n + 1;
	}
	if (cut && count >= WALK_SHORT)
		whole = false;
	if (whole && at == EVENT_PATH_MAX)
		built[--at] = '/';

	used = EVENT_PATH_MAX - at;
	len = whole || !used ? 0 : 3;
	memcpy(ret, "...", len);
	memcpy(ret + len, built + at, used);
	ret[len + used] = '\0';
	return len + used;
}
