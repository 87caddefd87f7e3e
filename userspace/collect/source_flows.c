// SPDX-License-Identifier: Apache-2.0
/*
 * What a socket leaves behind in 'flows'. The kernel removes what is linked to it when it is
 * released, where it has bpf_loop(); the rest goes here: what is of a session that is over, by its
 * age what is linked to none, and what was linked to a socket that is no more.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "affiant.skel.h"
#include "base/cleanup.h"
#include "base/effort.h"
#include "collect/source_impl.h"

#define AGE_NS (60 * 1000000000ull)
#define BATCH 256

/* Entries that go, unless their socket is met. */
struct leftovers {
	struct flow_key *keys;
	size_t count, room;
};

static int add(struct leftovers *l, const struct flow_key *key)
{
	struct flow_key *grown;

	if (l->count == l->room) {
		l->room = l->room ? 2 * l->room : BATCH;
		grown = reallocarray(l->keys, l->room, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		l->keys = grown;
	}
	l->keys[l->count++] = *key;
	return 0;
}

/* By a program, which gives back what the entry took of its session's share. */
static int forget(struct source *s, struct flow_key *key)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = key, .ctx_size_in = sizeof(*key));

	return bpf_prog_test_run_opts(bpf_program__fd(s->skeleton->progs.on_forget), &opts) ? -errno
											     : 0;
}

/* Nobody of it will send any more, however long others keep its sockets. */
static bool is_over(const struct source *s, uint64_t session)
{
	struct share share;

	return !bpf_map_lookup_elem(bpf_map__fd(s->skeleton->maps.shares), &session, &share) &&
	       !share.tags;
}

static int look_at(struct source *s, struct flow_key *key, const struct flow *flow, uint64_t now_ns,
		   struct leftovers *linked)
{
	if (is_over(s, flow->session))
		return forget(s, key);
	if (!(flow->flags & FLOW_LOOSE))
		return add(linked, key);
	return now_ns < flow->made_ns + AGE_NS ? 0 : forget(s, key);
}

static int look_at_all(struct source *s, uint64_t now_ns, struct leftovers *linked)
{
	_cleanup_free_ struct flow_key *keys = calloc(BATCH, sizeof(*keys));
	_cleanup_free_ struct flow *values = calloc(BATCH, sizeof(*values));
	int fd = bpf_map__fd(s->skeleton->maps.flows), end = 0, err = 0;
	uint32_t at, *previous = NULL, count;

	if (!keys || !values)
		return -ENOMEM;
	while (!end && !err) {
		count = BATCH;
		end = bpf_map_lookup_batch(fd, previous, &at, keys, values, &count, NULL);
		if (end && end != -ENOENT)
			return end;
		effort_walk(count);
		for (uint32_t i = 0; i < count && !err; i++)
			err = look_at(s, &keys[i], &values[i], now_ns, linked);
		previous = &at;
	}
	return err;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = ((const struct flow_key *)a)->cookie, y = ((const struct flow_key *)b)->cookie;

	return (x > y) - (x < y);
}

/* Those of one socket stand together: the first is found, and says that it lives. */
static void meet(uint64_t cookie, void *data)
{
	const struct flow_key wanted = {.cookie = cookie};
	struct leftovers *l = data;
	struct flow_key *found;

	found = bsearch(&wanted, l->keys, l->count, sizeof(*l->keys), compare);
	if (!found)
		return;
	while (found > l->keys && found[-1].cookie == cookie)
		found--;
	for (; found < l->keys + l->count && found->cookie == cookie && !found->zero; found++)
		found->zero = 1;
}

int source_sweep_flows(struct source *s, uint64_t now_ns)
{
	struct leftovers linked = {};
	int err;

	err = look_at_all(s, now_ns, &linked);
	if (!err && linked.count) {
		qsort(linked.keys, linked.count, sizeof(*linked.keys), compare);
		/* Looked for after the entries: of a socket that is not met no more will come. */
		err = source_each_socket(s, meet, &linked);
	}
	for (size_t i = 0; i < linked.count && !err; i++)
		if (!linked.keys[i].zero)
			(void)forget(s, &linked.keys[i]);
	free(linked.keys);
	return err;
}
