// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * order: what user space changes of tags and shares goes through here, so that what is counted
 * changes with what there is, and nothing is overwritten that hooks count meanwhile. An iterator
 * over the order itself: of programs that can be run at will, those of BPF_PROG_TYPE_SYSCALL may
 * sleep, and before 6.1 such a program can't use a map that is not allocated beforehand.
 */
#include "task.h"

static __always_inline int order_untag(const struct tag_order *o)
{
	__u32 tgid = o->tgid;
	struct tag *tag = bpf_map_lookup_elem(&tags, &tgid);
	__u64 session;

	if (!tag || tag->start_boottime != o->start_boottime)
		return -ENOENT;
	session = tag->session;
	if (bpf_map_delete_elem(&tags, &tgid))
		return -ENOENT;
	share_give_tag(session);
	return 0;
}

static __always_inline int order_adjust(const struct tag_order *o)
{
	struct share *s = share_of(o->session);

	if (!s)
		return -ENOENT;
	__sync_fetch_and_add(&s->changes, 1);
	__sync_fetch_and_add(&s->tags, o->delta);
	return 0;
}

static __always_inline int order_forget(const struct tag_order *o)
{
	__u64 session = o->session;
	struct share *s = bpf_map_lookup_elem(&shares, &session);

	if (!s || s->tags || s->flows)
		return -ENOENT;
	return bpf_map_delete_elem(&shares, &session) ? -ENOENT : 0;
}

SEC("iter/bpf_map_elem")
int on_order(struct bpf_iter__bpf_map_elem *ctx)
{
	__u32 zero = 0;
	struct tag_order *o = bpf_map_lookup_elem(&orders, &zero);

	if (!ctx->value || !o)
		return 0;
	if (o->what == ORDER_UNTAG)
		o->error = order_untag(o);
	else if (o->what == ORDER_ADJUST)
		o->error = order_adjust(o);
	else
		o->error = order_forget(o);
	return 0;
}
