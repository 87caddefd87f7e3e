// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * unix: connect(2) to a Unix socket, where the kernel has the hook: a local proxy launders
 * attribution.
 */
#include "emit.h"
#include "task.h"

#define SUN_PATH_OFFSET 2
#define SUN_PATH_SIZE 108

/* sun_path as the kernel copied it: an abstract name has its length, a pathname ends with NUL. */
static __always_inline void unix_path(struct bpf_sock_addr *ctx, struct event_unix *e)
{
	struct bpf_sock_addr_kern *kern = (void *)ctx;
	void *address = NULL;
	__u32 len = 0;
	long used;

	bpf_core_read(&address, sizeof(address), &kern->uaddr);
	bpf_core_read(&len, sizeof(len), &kern->uaddrlen);
	if (len <= SUN_PATH_OFFSET)
		return;
	len -= SUN_PATH_OFFSET;
	if (len > SUN_PATH_SIZE)
		len = SUN_PATH_SIZE;
	if (bpf_probe_read_kernel(e->path, len, address + SUN_PATH_OFFSET))
		return;
	e->path_len = len;
	if (!e->path[0])
		return;
	used = bpf_probe_read_kernel_str(e->path, SUN_PATH_SIZE + 1, address + SUN_PATH_OFFSET);
	if (used > 0 && used - 1 < len)
		e->path_len = used - 1;
}

/* The loader sets the type of attachment, which libbpf 1.1 has no section name for. */
SEC("cgroup/connect4")
int on_connect_unix(struct bpf_sock_addr *ctx)
{
	struct event_unix *e;
	struct tag *tag;
	__u64 sequence;
	__u32 tgid;

	tag = tag_of_current(&tgid);
	if (!tag)
		return 1;
	sequence = sequence_next();
	e = event_reserve(EVENT_UNIX, sizeof(*e), sequence, EMIT_TASK);
	if (!e)
		return 1;
	actor_set(&e->header.actor, tgid, tag);
	e->connection = connection_id(sequence);
	e->cookie = bpf_get_socket_cookie(ctx);
	current_euid(&e->uid, &e->gid);
	e->sock_type = ctx->type;
	if (bpf_get_retval() == -EPERM) /* older than the hook itself */
		e->flags = CONNECT_DENIED;
	unix_path(ctx, e);
	event_submit(e);
	return 1;
}
