/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events and notes of any bytes, in any order: every record that comes out is well-formed, and what
 * is saved in between can be loaded.
 *
 * The input is a list of {u8 type, u16 length, bytes of an event}. What names processes, sessions
 * and connections is brought into a small range, so that events meet.
 */
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "collect/attribute.h"
#include "collect/decode.h"

static void check(int condition)
{
	if (!condition)
		abort();
}

static void emit(void *data, uint64_t source, uint32_t part, const uint8_t *record, size_t len)
{
	Affiant__V1__Record *r = affiant__v1__record__unpack(NULL, len, record);

	(void)data, (void)source, (void)part;
	check(r && r->has_id && r->id.len == 16 && r->body_case);
	affiant__v1__record__free_unpacked(r, NULL);
}

static bool selector(void *data, uint32_t id, struct attribute_selector *ret)
{
	(void)data;
	*ret = (struct attribute_selector){.agent = "a", .words = "w"};
	return id & 1;
}

static const struct attribute_config config = {
	.trust_domain = "example.org",
	.clock = {1790000000000000000, AFFIANT__V1__CLOCK_STATE__CLOCK_SYNCHRONISED},
	.outcome_wait_ns = 1000,
	.failure_wait_ns = 50,
	.digest_wait_ns = 2000,
	.connections_max = 8,
	.held_max = 4,
	.emit = emit,
	.selector = selector,
};

union any {
	struct event_header header;
	struct event_fork fork;
	struct event_untagged untagged;
	struct event_exec exec;
	struct event_connect connect;
	struct event_outcome outcome;
	struct event_close close;
	struct event_unix un;
	struct event_untracked untracked;
	struct event_listen listen;
	struct event_exit exit;
	uint8_t bytes[EVENT_SIZE_MAX];
	uint64_t aligned;
};

static size_t size_of(unsigned int type)
{
	switch (type) {
	case EVENT_FORK:
		return sizeof(struct event_fork);
	case EVENT_TAG_LOST:
		return sizeof(struct event_untagged);
	case EVENT_EXEC:
	case EVENT_ADOPT:
		return sizeof(struct event_exec);
	case EVENT_EXIT:
		return sizeof(struct event_exit);
	case EVENT_CONNECT:
		return sizeof(struct event_connect);
	case EVENT_OUTCOME:
		return sizeof(struct event_outcome);
	case EVENT_CLOSE:
		return sizeof(struct event_close);
	case EVENT_UNIX:
		return sizeof(struct event_unix);
	case EVENT_UNTRACKED:
		return sizeof(struct event_untracked);
	case EVENT_LISTEN:
		return sizeof(struct event_listen);
	default:
		return sizeof(struct event_header);
	}
}

static void narrow_actor(struct event_actor *a)
{
	a->session %= 4;
	a->start_boottime %= 2;
	a->tgid %= 8;
	a->exec_seq %= 8;
}

static void narrow_connection(__u64 *connection, __u64 *cookie)
{
	*connection %= 16;
	*cookie %= 4;
}

static void narrow(union any *e)
{
	narrow_actor(&e->header.actor);
	e->header.boottime_ns %= (uint64_t)1 << 40;
	e->header.sequence %= 1 << 12;
	switch (e->header.type) {
	case EVENT_FORK:
	case EVENT_TAG_LOST: /* begins in the same way */
		e->fork.parent_tgid %= 8;
		e->fork.parent_start %= 2;
		break;
	case EVENT_EXEC:
	case EVENT_ADOPT:
		e->exec.parent_tgid %= 8;
		e->exec.parent_start %= 2;
		break;
	case EVENT_CONNECT:
		narrow_actor(&e->connect.opener);
		narrow_connection(&e->connect.connection, &e->connect.cookie);
		break;
	case EVENT_OUTCOME:
		narrow_connection(&e->outcome.connection, &e->outcome.cookie);
		break;
	case EVENT_CLOSE:
		narrow_connection(&e->close.connection, &e->close.cookie);
		break;
	case EVENT_UNIX:
		narrow_actor(&e->un.opener);
		break;
	}
}

/* What can be saved can be loaded. */
static struct attribute *reload(struct attribute *a)
{
	Affiant__V1__State *m = state_save(a);
	struct attribute *again = NULL;

	check(m && !attribute_new(&config, &again));
	check(!state_load(again, m));
	affiant__v1__state__free_unpacked(m, NULL);
	check(HASH_COUNT(again->table.sessions) == HASH_COUNT(a->table.sessions) &&
	      HASH_COUNT(again->table.processes) == HASH_COUNT(a->table.processes) &&
	      HASH_COUNT(again->table.connections) == HASH_COUNT(a->table.connections));
	attribute_free(a);
	return again;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static union any e;
	const struct event_header *h;
	uint64_t now = 1000;
	struct attribute *a;

	check(!attribute_new(&config, &a));
	while (size >= 3) {
		unsigned int type = data[0] % 17;
		size_t len = data[1] | (size_t)data[2] << 8;

		data += 3;
		size -= 3;
		if (type == 0)
			attribute_tick(a, now += len);
		if (type == 16)
			a = reload(a);
		if (type == 0 || type == 16)
			continue;
		len = len < size ? len : size;
		len = len < sizeof(e) ? len : sizeof(e);
		memset(&e, 0, sizeof(e));
		memcpy(&e, data, len);
		data += len;
		size -= len;
		e.header.type = type < EVENT_TYPES ? type : NOTE_SESSION + type - EVENT_TYPES;
		e.header.cpu = type < EVENT_TYPES ? e.header.cpu % 3 : NOTE_CPU;
		if (len < size_of(type))
			len = size_of(type);
		e.header.size = (len + 7) / 8 * 8;
		e.header.tid %= 8;
		narrow(&e);
		if (!event_decode(&e, sizeof(e), &h))
			check(!attribute_event(a, h));
	}
	a = reload(a);
	attribute_finish(a, true);
	attribute_free(a);
	return 0;
}
