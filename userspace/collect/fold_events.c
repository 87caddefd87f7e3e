/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/fold.h"

#include <string.h>
#include <sys/socket.h>

#include "base/digest.h"
#include "collect/attribute.h"
#include "collect/decode.h"
#include "collect/flow_impl.h"
#include "collect/outcome.h"
#include "collect/price.h"
#include "collect/unixpath.h"

_Static_assert(AFFIANT__V1__PROTOCOL__PROTOCOL_OTHER < 16 && AFFIANT__V1__OUTCOME__PENDING < 16 &&
		       FOLD_KINDS <= 16 && FORM_LAST < 16,
	       "fold_key");

/* ---- keys ---- */

static struct fold_key key_of(unsigned int kind, unsigned int form, unsigned int protocol,
			      unsigned int outcome)
{
	return (struct fold_key){.what = kind << 4 | form, .how = protocol << 4 | outcome};
}

/* A digest stands for the text, so that nobody can hide one text behind another. */
static bool set_digest(struct fold_key *key, const void *text, size_t len)
{
	struct sha256 digest;

	if (sha256_of(text, len, &digest))
		return false;
	memcpy(key->address, digest.bytes, sizeof(key->address));
	return true;
}

static struct fold_key key_of_address(unsigned int kind, unsigned int protocol,
				      unsigned int outcome, const struct event_address *to)
{
	const unsigned int form = to->family == AF_INET	   ? FORM_IPV4
				  : to->family == AF_INET6 ? FORM_IPV6
							   : FORM_NONE;
	struct fold_key key = key_of(kind, form, protocol, outcome);

	if (form == FORM_NONE)
		return key;
	key.port = to->port;
	key.scope = to->scope_id;
	memcpy(key.address, to->bytes, form == FORM_IPV4 ? 4 : 16);
	return key;
}

static struct fold_key key_of_path(unsigned int kind, unsigned int protocol, unsigned int outcome,
				   const void *path, size_t len)
{
	struct fold_key key = key_of(kind, path && len ? FORM_PATH : FORM_NONE, protocol, outcome);

	if (path && len && !set_digest(&key, path, len))
		key.what = kind << 4 | FORM_NONE;
	return key;
}

static void set_executable(struct fold_event *to, const struct actor *actor, unsigned int kind)
{
	const struct path *exe = actor->image->exe;

	to->path = exe && exe->len <= FOLD_PATH_MAX ? exe->text : NULL;
	to->len = to->path ? exe->len : 0;
	to->key = key_of_path(kind, 0, 0, to->path, to->len);
}

/* ---- connections ---- */

/*
 * Who uses what another session opened is told for longer: a count does not say whose socket it
 * was.
 */
static enum rank rank_of(const struct actor *actor, const struct session *opener, uint16_t flags)
{
	return flags & CONNECT_FOREIGN || (opener && opener != actor->session) ? RANK_NOTABLE
									       : RANK_ORDINARY;
}

/* What is known of an attempt at once. */
static Affiant__V1__Outcome first_outcome(const struct event_connect *e)
{
	if (e->flags & CONNECT_DENIED)
		return AFFIANT__V1__OUTCOME__DENIED;
	if (attempt_is_datagram(e))
		return AFFIANT__V1__OUTCOME__ATTEMPTED;
	/* Of what was not followed, or belongs to another's attempt, none will come. */
	return e->flags & (CONNECT_NO_STORAGE | CONNECT_SEND)
		       ? AFFIANT__V1__OUTCOME__OUTCOME_UNKNOWN
		       : AFFIANT__V1__OUTCOME__PENDING;
}

static struct fold_key attempt_key(const struct event_connect *e, Affiant__V1__Outcome outcome)
{
	return key_of_address(FOLD_KIND(CONNECT),
			      protocol_of(e->reached.family, e->sock_type, e->protocol), outcome,
			      &e->reached);
}

bool fold_connect(struct attribute *a, struct actor *actor, const struct session *opener,
		  const struct event_connect *e, struct connection *c)
{
	const struct fold_event event = {
		.boottime_ns = e->header.boottime_ns,
		.price = price_actor(actor) + PRICE_CONNECT +
			 (e->flags & CONNECT_ASKED ? PRICE_ASKED : 0) +
			 (opener ? PRICE_OPENER : 0),
		.rank = rank_of(actor, opener, e->flags),
		.key = attempt_key(e, first_outcome(e)),
		.n.count = 1,
	};

	if (!fold_takes(a, actor->session, &event))
		return false;
	if (c)
		c->folded = 1 + (uint64_t)actor->session->fold->number;
	return true;
}

bool fold_outcome(struct attribute *a, struct connection *c, const struct event_connect *was,
		  uint64_t boottime_ns, const struct event_outcome *e)
{
	const struct fold_key before = attempt_key(was, first_outcome(was));
	const struct session *s = c->actor->session;
	Affiant__V1__Outcome outcome = AFFIANT__V1__OUTCOME__ESTABLISHED;
	struct fold_event event = {.boottime_ns = boottime_ns, .n = {.count = 1, .again = 1}};
	bool same_window;
	int32_t error;

	if (!c->folded)
		return false;
	if (e)
		outcome = outcome_of(e, &error);
	event.key = attempt_key(&c->attempt, outcome);
	same_window = s->fold && s->fold->window && c->folded == 1 + (uint64_t)s->fold->number;
	fold_count(a, c->actor->session, &event, same_window ? &before : NULL);
	return true;
}

bool fold_close(struct attribute *a, struct connection *c, const struct event_close *e)
{
	const struct event_connect *attempt = &c->attempt;
	const bool counted = !attempt_is_datagram(attempt) && close_is_counted(e);
	const struct fold_event event = {
		.boottime_ns = e->header.boottime_ns,
		.price = price_actor(c->actor) + PRICE_CLOSE,
		.key = key_of_address(FOLD_KIND(CLOSE),
				      protocol_of(attempt->reached.family, attempt->sock_type,
						  attempt->protocol),
				      0, &attempt->reached),
		.n = {.count = 1,
		      .bytes_sent = counted ? e->bytes_sent : 0,
		      .bytes_received = counted ? e->bytes_received : 0,
		      .excess = e->excess},
	};

	if (!c->folded)
		return fold_takes(a, c->actor->session, &event);
	fold_count(a, c->actor->session, &event, NULL);
	return true;
}

bool fold_unix(struct attribute *a, struct actor *actor, const struct session *opener,
	       const struct event_unix *e)
{
	const Affiant__V1__Outcome outcome = e->flags & CONNECT_DENIED
						     ? AFFIANT__V1__OUTCOME__DENIED
						     : AFFIANT__V1__OUTCOME__ATTEMPTED;
	struct fold_event event = {
		.boottime_ns = e->header.boottime_ns,
		.price = price_actor(actor) + PRICE_CONNECT + PRICE_UNIX + e->path_len + e->cwd_len,
		.rank = rank_of(actor, opener, e->flags),
		.path = e->path,
		.len = e->path_len,
		.n.count = 1,
	};
	char resolved[UNIX_PATH_TEXT_SIZE];
	size_t len;

	if (!a->budgets.state_bytes)
		return false;
	/* The same name leads elsewhere from another directory. */
	len = unix_path_resolve(e, resolved);
	if (len) {
		event.path = resolved;
		event.len = len;
	}
	event.key = key_of_path(FOLD_KIND(CONNECT), AFFIANT__V1__PROTOCOL__PROTOCOL_UNIX, outcome,
				event.path, event.len);
	return fold_takes(a, actor->session, &event);
}

bool fold_untracked(struct attribute *a, struct actor *actor, const struct event_untracked *e)
{
	struct fold_event event = {
		.boottime_ns = e->header.boottime_ns,
		.price = price_actor(actor) + PRICE_UNTRACKED,
		.key = key_of(FOLD_KIND(UNTRACKED_SOCKET), FORM_UNTRACKED,
			      protocol_of(e->family, e->sock_type, e->protocol), 0),
		.n.count = 1,
	};

	event.key.port = e->sock_type;
	event.key.scope = e->protocol;
	memcpy(event.key.address, &e->family, sizeof(e->family));
	return fold_takes(a, actor->session, &event);
}

bool fold_listen(struct attribute *a, struct actor *actor, const struct event_listen *e)
{
	const struct fold_event event = {
		.boottime_ns = e->header.boottime_ns,
		.price = price_actor(actor) + PRICE_LISTENING,
		.rank = RANK_NOTABLE,
		.key = key_of_address(FOLD_KIND(LISTENING),
				      protocol_of(e->local.family, e->sock_type, e->protocol), 0,
				      &e->local),
		.n.count = 1,
	};

	return fold_takes(a, actor->session, &event);
}

/* ---- processes ---- */

/*
 * What ran: the file by its identity and name; and where the kernel ran another file than was asked
 * for, thus a script, the name of that.
 */
static bool image_key(const struct image *i, const struct event_exec *e, struct fold_key *ret)
{
	uint8_t text[sizeof(i->id) + 4 * (EVENT_PATH_MAX + 4)];
	struct exec_strings x;
	size_t len = sizeof(i->id);

	exec_strings(e, &x);
	memcpy(text, &i->id, len);
	if (i->exe && i->exe->len < EVENT_PATH_MAX) {
		memcpy(text + len, i->exe->text, i->exe->len + 1);
		len += i->exe->len + 1;
	}
	if (x.filename_len <= EVENT_PATH_MAX && x.cwd_len <= EVENT_PATH_MAX &&
	    (x.filename_len != x.interp_len || memcmp(x.filename, x.interp, x.filename_len))) {
		memcpy(text + len, x.filename, x.filename_len);
		len += x.filename_len;
		text[len++] = '\0';
		memcpy(text + len, x.cwd, x.cwd_len);
		len += x.cwd_len;
	}
	*ret = key_of(FOLD_KIND(EXEC), FORM_PATH, 0, 0);
	return set_digest(ret, text, len);
}

bool fold_exec(struct attribute *a, struct actor *actor, const struct event_exec *e)
{
	const struct fold *f = actor->session->fold;
	struct fold_event event = {
		.boottime_ns = e->header.boottime_ns,
		.price = price_actor(actor) + PRICE_EXEC + e->filename_len + e->interp_len,
		.rank = RANK_NOTABLE,
		.n.count = 1,
	};

	if (!a->budgets.state_bytes)
		return false;
	if (!image_key(actor->image, e, &event.ran))
		event.ran = (struct fold_key){0};
	else if (f && keyset_find(&f->ran, &event.ran) >= 0 && !(e->flags & EXEC_SETUID))
		event.rank = RANK_ORDINARY;
	set_executable(&event, actor, FOLD_KIND(EXEC));
	return fold_takes(a, actor->session, &event);
}

bool fold_exit(struct attribute *a, struct actor *actor, uint64_t boottime_ns)
{
	struct fold_event event = {
		.boottime_ns = boottime_ns,
		.price = price_actor(actor) + PRICE_EXIT,
		.n.count = 1,
	};

	if (!a->budgets.state_bytes)
		return false;
	set_executable(&event, actor, FOLD_KIND(EXIT));
	return fold_takes(a, actor->session, &event);
}
