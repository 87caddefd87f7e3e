/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/filter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/units.h"
#include "base/uuid.h"
#include "record/socketname.h"
#include "record/words.h"

#define SESSION_PART_MIN 4

struct text_list {
	char **item;
	size_t count;
};

struct destination {
	uint8_t address[16];
	size_t address_len; /* 0: any */
	unsigned int prefix;
	int port;   /* -1: any */
	char *path; /* glob; then nothing else counts */
};

struct filter {
	struct text_list agents, sessions, tasks, principals;
	struct destination *dst;
	size_t dst_count;
	uint32_t outcomes; /* bits by number; 0: any */
	uint64_t types;    /* bits by field number; 0: any */
	uint64_t since, until;
};

int filter_new(struct filter **ret)
{
	struct filter *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->until = UINT64_MAX;
	*ret = f;
	return 0;
}

static void free_list(struct text_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->item[i]);
	free(list->item);
}

void filter_free(struct filter *f)
{
	if (!f)
		return;
	free_list(&f->agents);
	free_list(&f->sessions);
	free_list(&f->tasks);
	free_list(&f->principals);
	for (size_t i = 0; i < f->dst_count; i++)
		free(f->dst[i].path);
	free(f->dst);
	free(f);
}

void filter_since(struct filter *f, uint64_t ns)
{
	f->since = ns;
}

void filter_until(struct filter *f, uint64_t ns)
{
	f->until = ns;
}

/* ---- what was asked for ---- */

static int add_text(struct text_list *list, const char *value)
{
	char **item = reallocarray(list->item, list->count + 1, sizeof(*item));
	char *copy = strdup(value);

	if (item)
		list->item = item;
	if (!item || !copy) {
		free(copy);
		return -ENOMEM;
	}
	item[list->count++] = copy;
	return 0;
}

static int add_session(struct text_list *list, const char *value)
{
	size_t len = strlen(value);

	if (len < SESSION_PART_MIN || len >= UUID_TEXT_SIZE ||
	    strspn(value, "0123456789abcdefABCDEF-") != len)
		return -EINVAL;
	return add_text(list, value);
}

static int parse_port(const char *text, int *ret)
{
	uint64_t port;

	if (number_parse(text, &port) || port > UINT16_MAX)
		return -EINVAL;
	*ret = port;
	return 0;
}

/* "10.0.0.0/8", "2001:db8::1". */
static int parse_network(const char *text, struct destination *d)
{
	char address[INET6_ADDRSTRLEN];
	const char *slash = strchrnul(text, '/');
	size_t len = slash - text;
	uint64_t prefix;

	if (!len || len >= sizeof(address))
		return -EINVAL;
	memcpy(address, text, len);
	address[len] = '\0';
	d->address_len = strchr(address, ':') ? 16 : 4;
	if (inet_pton(d->address_len == 4 ? AF_INET : AF_INET6, address, d->address) != 1)
		return -EINVAL;
	prefix = d->address_len * 8;
	if (*slash && (number_parse(slash + 1, &prefix) || prefix > d->address_len * 8))
		return -EINVAL;
	d->prefix = prefix;
	return 0;
}

/* PORT, NETWORK, NETWORK:PORT with IPv4, [NETWORK] and [NETWORK]:PORT, /PATH or @NAME. */
static int parse_destination(char *text, struct destination *d)
{
	char *colon = strrchr(text, ':'), *closing = strchr(text, ']');
	int err;

	if (text[0] == '/' || text[0] == '@') {
		d->path = strdup(text);
		return d->path ? 0 : -ENOMEM;
	}
	if (text[0] && strspn(text, "0123456789") == strlen(text))
		return parse_port(text, &d->port);
	if (text[0] == '[') {
		if (!closing || (closing[1] && closing[1] != ':'))
			return -EINVAL;
		*closing = '\0';
		err = closing[1] ? parse_port(closing + 2, &d->port) : 0;
		return err ?: parse_network(text + 1, d);
	}
	if (colon && strchr(text, ':') == colon) { /* one colon: no IPv6 address has so few */
		*colon = '\0';
		err = parse_port(colon + 1, &d->port);
		if (err)
			return err;
	}
	return parse_network(text, d);
}

static int add_destination(struct filter *f, const char *value)
{
	struct destination d = {.port = -1}, *list;
	_cleanup_free_ char *copy = strdup(value);
	int err;

	if (!copy)
		return -ENOMEM;
	err = parse_destination(copy, &d);
	if (err)
		return err;
	list = reallocarray(f->dst, f->dst_count + 1, sizeof(*list));
	if (!list) {
		free(d.path);
		return -ENOMEM;
	}
	f->dst = list;
	f->dst[f->dst_count++] = d;
	return 0;
}

static int outcome_bit(const char *word)
{
	return word_value(&affiant__v1__outcome__descriptor, word);
}

static int add_words(const char *value, int (*number)(const char *word), uint64_t *bits)
{
	_cleanup_free_ char *copy = strdup(value);
	char *rest = copy, *word;
	uint64_t more = 0;

	if (!copy)
		return -ENOMEM;
	while ((word = strsep(&rest, ","))) {
		int n = number(word);

		if (n < 0)
			return n;
		more |= UINT64_C(1) << n;
	}
	*bits |= more;
	return 0;
}

int filter_add(struct filter *f, enum filter_kind kind, const char *value)
{
	uint64_t outcomes = f->outcomes;
	int err;

	switch (kind) {
	case FILTER_AGENT:
		return add_text(&f->agents, value);
	case FILTER_SESSION:
		return add_session(&f->sessions, value);
	case FILTER_TASK:
		return add_text(&f->tasks, value);
	case FILTER_PRINCIPAL:
		return add_text(&f->principals, value);
	case FILTER_DST:
		return add_destination(f, value);
	case FILTER_OUTCOME:
		err = add_words(value, outcome_bit, &outcomes);
		f->outcomes = outcomes;
		return err;
	case FILTER_TYPE:
		return add_words(value, word_body, &f->types);
	}
	return -EINVAL;
}

const char *filter_allowed(enum filter_kind kind)
{
	switch (kind) {
	case FILTER_SESSION:
		return "a session's UUID, or at least 4 characters of its beginning or end";
	case FILTER_DST:
		return "a port (443), an address or CIDR (10.0.0.0/8), both (10.0.0.0/8:443, [2001:db8::/32]:443), or a "
		       "Unix socket (/run/docker.sock, @abstract)";
	case FILTER_OUTCOME:
		return "words by commas out of established, refused, timed_out, unreachable, reset, aborted, denied, "
		       "not_sent, attempted, pending, unknown";
	case FILTER_TYPE:
		return "words by commas out of session_started, session_ended, exec, exit, connect, close, "
		       "untracked_socket, listening, lost, gap, folded, daemon_started, "
		       "daemon_stopping";
	default:
		return "a name, in which * and ? stand for any";
	}
}

/* ---- what passes ---- */

static bool any_glob(const struct text_list *list, const char *text)
{
	for (size_t i = 0; text && i < list->count; i++)
		if (!fnmatch(list->item[i], text, 0))
			return true;
	return false;
}

static bool match_session(const struct text_list *list, const Affiant__V1__Session *s)
{
	char text[UUID_TEXT_SIZE];
	struct uuid id;

	if (!s || !s->has_id || s->id.len != UUID_SIZE)
		return false;
	memcpy(id.bytes, s->id.data, UUID_SIZE);
	uuid_format(&id, text);
	for (size_t i = 0; i < list->count; i++) {
		size_t len = strlen(list->item[i]);

		if (!strncasecmp(list->item[i], text, len) ||
		    !strcasecmp(list->item[i], text + UUID_TEXT_SIZE - 1 - len))
			return true;
	}
	return false;
}

static bool same_network(const struct destination *d, const ProtobufCBinaryData *address)
{
	unsigned int whole = d->prefix / 8, rest = d->prefix % 8;

	if (address->len != d->address_len || memcmp(address->data, d->address, whole))
		return false;
	return !rest || !((address->data[whole] ^ d->address[whole]) >> (8 - rest));
}

static bool match_socket(const char *glob, const Affiant__V1__Endpoint *e)
{
	_cleanup_buffer_ struct buffer name = {};

	if (!e->has_path)
		return false;
	socketname_add(&name, e);
	buffer_add_char(&name, '\0');
	return !buffer_error(&name) && !fnmatch(glob, name.data, 0);
}

static bool match_endpoint(const struct destination *d, const Affiant__V1__Endpoint *e)
{
	if (!e)
		return false;
	if (d->path)
		return match_socket(d->path, e);
	if (!e->has_address || (d->port >= 0 && (!e->has_port || e->port != (uint32_t)d->port)))
		return false;
	return !d->address_len || same_network(d, &e->address);
}

/* A number of a later version is in no set. */
static bool is_in(uint64_t set, unsigned int number)
{
	return number < 64 && set >> number & 1;
}

static bool match_group(const struct filter *f, const Affiant__V1__FoldedGroup *g)
{
	const bool connect = g->kind == AFFIANT__V1__FOLDED_KIND__FOLDED_CONNECT;
	bool found = !f->dst_count;

	if (f->outcomes && !(connect && is_in(f->outcomes, g->outcome)))
		return false;
	for (size_t i = 0; !found && i < f->dst_count; i++)
		found = match_endpoint(&f->dst[i], g->destination);
	return found;
}

/* One of what it names; of what it only counts nobody can say. */
static bool match_folded(const struct filter *f, const Affiant__V1__Folded *folded)
{
	for (size_t i = 0; i < folded->n_first; i++)
		if (match_group(f, folded->first[i]))
			return true;
	for (size_t i = 0; i < folded->n_busiest; i++)
		if (match_group(f, folded->busiest[i]))
			return true;
	return false;
}

/* What was asked counts as what was reached does: either may be what is looked for. */
static bool match_dst(const struct filter *f, const Affiant__V1__Record *r)
{
	bool connect = r->body_case == AFFIANT__V1__RECORD__BODY_CONNECT;
	const Affiant__V1__Endpoint *reached, *asked = connect ? r->connect->asked : NULL;

	if (!connect && r->body_case != AFFIANT__V1__RECORD__BODY_CLOSE)
		return false;
	reached = connect ? r->connect->reached : r->close->remote;
	for (size_t i = 0; i < f->dst_count; i++)
		if (match_endpoint(&f->dst[i], reached) || match_endpoint(&f->dst[i], asked))
			return true;
	return false;
}

static bool match_what(const struct filter *f, const Affiant__V1__Record *r)
{
	if (r->wall_ns < f->since || r->wall_ns > f->until)
		return false;
	if (f->types && !is_in(f->types, r->body_case))
		return false;
	if (r->body_case == AFFIANT__V1__RECORD__BODY_FOLDED)
		return (!f->outcomes && !f->dst_count) || match_folded(f, r->folded);
	if (f->outcomes && (r->body_case != AFFIANT__V1__RECORD__BODY_CONNECT ||
			    !is_in(f->outcomes, r->connect->outcome)))
		return false;
	return !f->dst_count || match_dst(f, r);
}

static bool match_who(const struct filter *f, const Affiant__V1__Record *r)
{
	if (f->agents.count && !(r->agent && (any_glob(&f->agents, r->agent->name) ||
					      any_glob(&f->agents, r->agent->spiffe_id))))
		return false;
	if (f->sessions.count && !match_session(&f->sessions, r->session))
		return false;
	if (f->tasks.count && !(r->task && any_glob(&f->tasks, r->task->id)))
		return false;
	return !f->principals.count ||
	       (r->principal && any_glob(&f->principals, r->principal->subject));
}

bool filter_match(const struct filter *f, const Affiant__V1__Record *r)
{
	return match_what(f, r) && match_who(f, r);
}

/*
 * What is told now happened between @from and then (CLOCK_BOOTTIME, of the record's own boot); 0:
 * nobody knows since when.
 */
static uint64_t happened_since(const Affiant__V1__Record *r, uint64_t from)
{
	uint64_t ago = from && from < r->boottime_ns ? r->boottime_ns - from : 0;

	return !from ? 0 : ago < r->wall_ns ? r->wall_ns - ago : 0;
}

bool filter_hides_loss(const struct filter *f, const Affiant__V1__Record *r)
{
	const uint64_t losses = UINT64_C(1) << AFFIANT__V1__RECORD__BODY_LOST |
				UINT64_C(1) << AFFIANT__V1__RECORD__BODY_GAP;
	uint64_t from;

	if (r->body_case == AFFIANT__V1__RECORD__BODY_LOST)
		from = r->lost->from_boottime_ns;
	else if (r->body_case == AFFIANT__V1__RECORD__BODY_GAP)
		from = r->gap->from_boottime_ns;
	else
		return false;
	/* Who asks for losses by their type has chosen which. */
	return !filter_match(f, r) && !(f->types & losses) && r->wall_ns >= f->since &&
	       happened_since(r, from) <= f->until;
}

bool filter_names_destination(const struct filter *f)
{
	return f->dst_count;
}

/* Records of that kind were asked for, or of any. */
static bool is_wanted(const struct filter *f, Affiant__V1__FoldedKind kind)
{
	static const unsigned int bodies[] = {
		[AFFIANT__V1__FOLDED_KIND__FOLDED_CONNECT] = AFFIANT__V1__RECORD__BODY_CONNECT,
		[AFFIANT__V1__FOLDED_KIND__FOLDED_CLOSE] = AFFIANT__V1__RECORD__BODY_CLOSE,
		[AFFIANT__V1__FOLDED_KIND__FOLDED_EXEC] = AFFIANT__V1__RECORD__BODY_EXEC,
		[AFFIANT__V1__FOLDED_KIND__FOLDED_EXIT] = AFFIANT__V1__RECORD__BODY_EXIT,
		[AFFIANT__V1__FOLDED_KIND__FOLDED_UNTRACKED_SOCKET] =
			AFFIANT__V1__RECORD__BODY_UNTRACKED_SOCKET,
		[AFFIANT__V1__FOLDED_KIND__FOLDED_LISTENING] = AFFIANT__V1__RECORD__BODY_LISTENING,
	};

	/* What a later version counts may be what was asked for. */
	if ((unsigned int)kind >= sizeof(bodies) / sizeof(*bodies))
		return true;
	return !f->types || is_in(f->types, bodies[kind]);
}

static bool group_may_match(const struct filter *f, Affiant__V1__FoldedGroup *const *groups,
			    size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_wanted(f, groups[i]->kind) && match_group(f, groups[i]))
			return true;
	return false;
}

bool filter_hides_folded(const struct filter *f, const Affiant__V1__Record *r)
{
	const Affiant__V1__Folded *m = r->folded;

	if (r->body_case != AFFIANT__V1__RECORD__BODY_FOLDED || r->wall_ns < f->since ||
	    r->wall_ns > f->until || !match_who(f, r) || match_what(f, r))
		return false;
	if (group_may_match(f, m->first, m->n_first) ||
	    group_may_match(f, m->busiest, m->n_busiest))
		return true;
	for (size_t i = 0; i < m->n_others; i++) {
		Affiant__V1__FoldedKind kind = m->others[i]->kind;

		if (is_wanted(f, kind) &&
		    (kind == AFFIANT__V1__FOLDED_KIND__FOLDED_CONNECT ||
		     (!f->outcomes &&
		      (!f->dst_count || kind == AFFIANT__V1__FOLDED_KIND__FOLDED_CLOSE))))
			return true;
	}
	return false;
}
