// SPDX-License-Identifier: Apache-2.0
/* What sessions hold of the tags, and who of them found no room. */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <unistd.h>

#include "affiant.skel.h"
#include "base/cleanup.h"
#include "base/effort.h"
#include "collect/source_impl.h"
#include "collect/why.h"

int orders_open(struct source *s, char *why, size_t why_size)
{
	union bpf_iter_link_info orders = {.map.map_fd = bpf_map__fd(s->skeleton->maps.orders)};
	LIBBPF_OPTS(bpf_link_create_opts, opts, .iter_info = &orders,
		    .iter_info_len = sizeof(orders));

	s->orders = bpf_link_create(bpf_program__fd(s->skeleton->progs.on_order), 0, BPF_TRACE_ITER,
				    &opts);
	return s->orders < 0 ? why_errno(why, why_size, "can't attach the iterator over orders")
			     : 0;
}

/* The program runs while the iterator is read. */
static int order(struct source *s, struct tag_order *o)
{
	int map = bpf_map__fd(s->skeleton->maps.orders);
	_cleanup_close_ int iter = -1;
	uint32_t zero = 0;
	ssize_t n;
	char c;

	o->error = -EAGAIN;
	if (bpf_map_update_elem(map, &zero, o, BPF_ANY))
		return -errno;
	iter = bpf_iter_create(s->orders);
	if (iter < 0)
		return -errno;
	do
		n = read(iter, &c, sizeof(c));
	while (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)));
	if (n < 0 || bpf_map_lookup_elem(map, &zero, o))
		return -errno;
	return o->error;
}

int source_untag(struct source *s, pid_t tgid, uint64_t start_boottime)
{
	struct tag_order o = {.what = ORDER_UNTAG, .tgid = tgid, .start_boottime = start_boottime};

	return order(s, &o);
}

int source_share_adjust(struct source *s, uint64_t session, int32_t tags)
{
	struct tag_order o = {.what = ORDER_ADJUST, .session = session, .delta = tags};

	return order(s, &o);
}

int source_share_forget(struct source *s, uint64_t session)
{
	struct tag_order o = {.what = ORDER_FORGET, .session = session};

	return order(s, &o);
}

int source_share(const struct source *s, uint64_t session, struct share *ret)
{
	struct share share;

	if (bpf_map_lookup_elem(bpf_map__fd(s->skeleton->maps.shares), &session, &share))
		return -errno;
	*ret = share;
	return 0;
}

#define STEP 512 /* larger than any bucket: of what a batch is made */

int source_walk_shares(struct source *s, struct source_walk *w,
		       int (*each)(uint64_t session, const struct share *share, void *data),
		       void *data)
{
	_cleanup_free_ uint64_t *keys = calloc(STEP, sizeof(*keys));
	_cleanup_free_ struct share *shares = calloc(STEP, sizeof(*shares));
	uint32_t at, count = STEP;
	int end, err = 0;

	if (!keys || !shares)
		return -ENOMEM;
	end = bpf_map_lookup_batch(bpf_map__fd(s->skeleton->maps.shares), w->on ? &w->at : NULL,
				   &at, keys, shares, &count, NULL);
	if (end && end != -ENOENT)
		return end;
	effort_walk(count);
	for (uint32_t i = 0; i < count && !err; i++)
		err = each(keys[i], &shares[i], data);
	*w = (struct source_walk){.on = !end && !err, .at = at};
	return err ?: !end;
}

bool source_untagged(const struct source *s, uint64_t session)
{
	struct share share;

	return source_untagged_unknown(s) ||
	       (!source_share(s, session, &share) && share.flags & SHARE_UNTAGGED);
}

bool source_untagged_unknown(const struct source *s)
{
	return __atomic_load_n(&s->control->untagged_unknown, __ATOMIC_SEQ_CST);
}

void source_untagged_known(struct source *s)
{
	__atomic_store_n(&s->control->untagged_unknown, 0, __ATOMIC_SEQ_CST);
}

bool source_any_untagged(const struct source *s)
{
	return __atomic_load_n(&s->control->untagged, __ATOMIC_SEQ_CST) !=
	       __atomic_load_n(&s->control->settled, __ATOMIC_SEQ_CST);
}

int source_tag_untagged(struct source *s)
{
	/* Whoever is left without from here on makes it another number. */
	uint64_t untagged = __atomic_load_n(&s->control->untagged, __ATOMIC_SEQ_CST);
	struct adopt request = {.mode = ADOPT_UNTAGGED};
	int err;

	pthread_mutex_lock(&s->adopt_lock);
	err = adopt_pass(s, &request);
	pthread_mutex_unlock(&s->adopt_lock);
	if (!err && !request.left)
		__atomic_store_n(&s->control->settled, untagged, __ATOMIC_SEQ_CST);
	return err;
}
