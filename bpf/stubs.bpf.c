// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * stubs: what is attached to the tracepoints, for good. A link of a tracing program can't be given
 * another program (BPF_LINK_UPDATE: EINVAL), so an upgrade replaces the program behind the slot of
 * each stub instead: one map update, no event missing or doubled. Stubs must stay as they are for
 * as long as pins live; everything that may change is in the programs that they jump to.
 *
 * Each does the one look-up after which it is done with tasks and sockets that are not ours; while
 * there are processes that found no room among the tags, another one.
 */
#include "emit.h"

/* Comes back only from an empty slot: the kernel empties it when nobody has the map any more. */
#define go_on(ctx, dispatch)                                                                       \
	do {                                                                                       \
		bpf_tail_call(ctx, dispatch, 0);                                                   \
		loss_count(LOSS_SLOT);                                                             \
	} while (0)

static __always_inline bool tagged(struct task_struct *task)
{
	__u32 tgid = task->tgid;

	return bpf_map_lookup_elem(&tags, &tgid);
}

/* Of a session, and without a tag. */
static __always_inline bool untagged_task(struct task_struct *task)
{
	__u32 zero = 0;
	struct control *c = bpf_map_lookup_elem(&control, &zero);

	return c && c->untagged != c->settled &&
	       (bpf_task_storage_get(&untagged, task, 0, 0) ||
		bpf_task_storage_get(&untagged, task->group_leader, 0, 0));
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(stub_fork, struct task_struct *parent, struct task_struct *child)
{
	if (tagged(parent) || untagged_task(parent))
		go_on(ctx, &dispatch_fork);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(stub_exec, struct task_struct *task)
{
	__u32 zero = 0;
	struct control *c = bpf_map_lookup_elem(&control, &zero);

	if ((c && c->selectors) || tagged(task) || untagged_task(task))
		go_on(ctx, &dispatch_exec);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(stub_exit, struct task_struct *task)
{
	if (tagged(task) || untagged_task(task))
		go_on(ctx, &dispatch_exit);
	return 0;
}

/*
 * Whoever keeps anything of a socket asked for its cookie first. Without one it is nobody's, and
 * that costs no look-up; where sockets are kept, a later version may change.
 */
static __always_inline bool has_cookie(struct sock *sk)
{
	return sk->__sk_common.skc_cookie.counter;
}

/* A socket that begins to listen can have been made by an untagged process. */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(stub_state, struct sock *sk, int from, int to)
{
	if (has_cookie(sk) || to == TCP_LISTEN)
		go_on(ctx, &dispatch_state);
	return 0;
}

/* Its other arguments and its result differ between kernels: the socket's state says how it went. */
SEC("fexit/inet_csk_listen_start")
int BPF_PROG(stub_listen, struct sock *sk)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	if (bpf_map_lookup_elem(&tags, &tgid))
		go_on(ctx, &dispatch_listen);
	return 0;
}

SEC("tp_btf/inet_sk_error_report")
int BPF_PROG(stub_report, struct sock *sk)
{
	if (has_cookie(sk))
		go_on(ctx, &dispatch_report);
	return 0;
}

/*
 * Sends of local sockets cost no look-up, and none of datagram sockets that are not connected: the
 * sendmsg hooks see those. But what such a hook left with the socket is used up where the send
 * ends, even if another thread disconnected the socket meanwhile.
 */
static __always_inline bool sends_to_peer(struct sock *sk)
{
	__u16 family = sk->__sk_common.skc_family;

	if (family != AF_INET && family != AF_INET6)
		return false;
	return sk->sk_type != SOCK_DGRAM || sk->__sk_common.skc_state == TCP_ESTABLISHED ||
	       has_cookie(sk);
}

/* In the context of whoever sends, after each send. */
SEC("tp_btf/sock_send_length")
int BPF_PROG(stub_send, struct sock *sk, int ret, int flags)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	if (sends_to_peer(sk) && bpf_map_lookup_elem(&tags, &tgid))
		go_on(ctx, &dispatch_send);
	return 0;
}

/*
 * Fires for cgroup v1's hierarchies too, whose ids are others' in the unified one. Before mkdir(2)
 * makes the directory known to anybody.
 */
SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(stub_mkdir, struct cgroup *cgroup)
{
	__u32 zero = 0;
	struct control *c = bpf_map_lookup_elem(&control, &zero);

	if (c && c->generation && !cgroup->root->hierarchy_id)
		go_on(ctx, &dispatch_mkdir);
	return 0;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(stub_rmdir, struct cgroup *cgroup)
{
	if (!cgroup->root->hierarchy_id)
		go_on(ctx, &dispatch_rmdir);
	return 0;
}
