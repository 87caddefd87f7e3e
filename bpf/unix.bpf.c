// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * unix: connect(2) to a Unix socket, and datagrams that name one, where the kernel has the hooks: a
 * local proxy launders attribution.
 */
#include "behind.h"
#include "emit.h"
#include "share.h"
#include "task.h"
#include "walk.h"

#define SUN_PATH_OFFSET 2
#define SUN_PATH_SIZE 108

/*
 * sun_path as the kernel copied it, of which no byte is read beyond what the caller passed: an
 * abstract name has its length, a pathname ends at a NUL or with it. Returns its bytes; the rest of
 * @to is left alone.
 */
static __always_inline __u16 unix_path(struct bpf_sock_addr *ctx, char to[EVENT_UNIX_PATH_MAX])
{
	struct bpf_sock_addr_kern *kern = (void *)ctx;
	void *address = NULL;
	__u32 passed = 0;
	long used;
	__u64 len;

	bpf_core_read(&address, sizeof(address), &kern->uaddr);
	bpf_core_read(&passed, sizeof(passed), &kern->uaddrlen);
	if (passed <= SUN_PATH_OFFSET)
		return 0;
	address += SUN_PATH_OFFSET;
	len = passed - SUN_PATH_OFFSET;
	if (len > SUN_PATH_SIZE)
		len = SUN_PATH_SIZE;
	barrier_var(len); /* or else the bound is checked on another register than is used */
	if (bpf_probe_read_kernel(to, 1, address))
		return 0;
	if (!to[0])
		return bpf_probe_read_kernel(to, len, address) ? 0 : len;
	used = bpf_probe_read_kernel_str(to, len + 1, address);
	return used > 0 ? used - 1 : 0;
}

static __always_inline bool is_relative(const char *path, __u16 len)
{
	return len && path[0] && path[0] != '/';
}

/*
 * A task can be preempted in the middle by one that comes here, too. Without a slot the directory
 * is not told, which is said.
 */
static __always_inline struct unix_scratch *slot_claim(void)
{
	for (__u32 i = 0; i < UNIX_SLOTS; i++) {
		__u32 key = i;
		struct unix_scratch *s = bpf_map_lookup_elem(&scratch_unix, &key);

		if (s && !__sync_lock_test_and_set(&s->busy, 1))
			return s;
	}
	return NULL;
}

/* Where the path of @s->event begins. Another thread may be about to change the directory. */
__noinline int directory_append(struct unix_scratch *s)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct fs_struct *fs = BPF_CORE_READ(task, fs);

	if (!s)
		return 0;
	bpf_core_read(&s->path, sizeof(s->path), &fs->pwd);
	bpf_core_read(&s->root, sizeof(s->root), &fs->root);
	s->used = 0;
	if (path_walk(&s->path, &s->root, s->cwd, UNIX_CWD_SIZE, &s->used))
		s->event.flags |= CONNECT_CWD_CUT;
	return 0;
}

static __always_inline void event_fill(struct bpf_sock_addr *ctx, struct event_unix *e, __u32 tgid,
				       const struct tag *tag, __u64 sequence, __u16 flags)
{
	header_set_actor(&e->header, tgid, tag);
	e->connection = connection_id(sequence);
	e->cookie = bpf_get_socket_cookie(ctx);
	current_euid(&e->uid, &e->gid);
	e->sock_type = ctx->type;
	e->flags = flags;
	e->path_len = unix_path(ctx, e->path);
}

static __always_inline bool tell_plain(struct bpf_sock_addr *ctx, __u32 tgid, const struct tag *tag,
				       __u64 sequence, __u16 flags)
{
	struct event_unix *e = event_reserve(EVENT_UNIX, sizeof(*e), sequence, EMIT_TASK);

	if (!e)
		return false;
	event_fill(ctx, e, tgid, tag, sequence, flags);
	event_submit(e);
	return true;
}

/* Varies in length: assembled in the scratch. */
static __always_inline bool tell_relative(struct bpf_sock_addr *ctx, struct unix_scratch *s,
					  __u32 tgid, const struct tag *tag, __u64 sequence,
					  __u16 flags)
{
	__u64 size;
	__u32 used;

	__builtin_memset(&s->event, 0, sizeof(s->event));
	event_fill(ctx, &s->event, tgid, tag, sequence, flags);
	directory_append(s);
	used = s->used;
	if (used > EVENT_PATH_MAX)
		used = EVENT_PATH_MAX;
	s->event.cwd_len = used;
	*(__u64 *)__builtin_assume_aligned(s->cwd + ((used + 7) & ~7u), 8) = 0;
	size = sizeof(s->event) + ((used + 7) & ~7u);
	header_fill(&s->event.header, EVENT_UNIX, size, sequence, EMIT_TASK);
	if (ring_has_room(EMIT_TASK) && !bpf_ringbuf_output(&events, s, size, wakeup_flags()))
		return true;
	loss_count(EVENT_UNIX);
	return false;
}

static __always_inline bool tell(struct bpf_sock_addr *ctx, __u32 tgid, const struct tag *tag,
				 bool relative, __u16 flags)
{
	__u64 sequence = sequence_next();
	struct unix_scratch *s = relative ? slot_claim() : NULL;
	bool told;

	if (others_behind())
		flags |= CONNECT_BEHIND;
	if (!s)
		return tell_plain(ctx, tgid, tag, sequence,
				  flags | (relative ? CONNECT_CWD_CUT : 0));
	told = tell_relative(ctx, s, tgid, tag, sequence, flags);
	(void)__sync_lock_test_and_set(&s->busy, 0);
	return told;
}

/* Another program refused it. The helper is older than the hooks themselves. */
static __always_inline __u16 denied(void)
{
	return bpf_get_retval() == -EPERM ? CONNECT_DENIED : 0;
}

/* The loader sets the type of attachment, which libbpf 1.1 has no section name for. */
SEC("cgroup/connect4")
int on_connect_unix(struct bpf_sock_addr *ctx)
{
	char path[EVENT_UNIX_PATH_MAX] = {};
	struct tag *tag;
	__u32 tgid;
	__u16 len;

	tag = tag_of_current(&tgid);
	if (!tag)
		return 1;
	len = unix_path(ctx, path);
	tell(ctx, tgid, tag, is_relative(path, len), denied());
	return 1;
}

/* The directory itself, not its name: a relative path from another one is another destination. */
static __always_inline void directory_identify(struct unix_flow *f)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct inode *inode = BPF_CORE_READ(task, fs, pwd.dentry, d_inode);

	f->directory = BPF_CORE_READ(inode, i_ino);
	f->kept = (__u64)inode;
	f->device = BPF_CORE_READ(inode, i_sb, s_dev);
	f->generation = BPF_CORE_READ(inode, i_generation);
}

/*
 * Whoever sends to ever new sockets would make the kernel forget those of other sessions, which
 * would then be told again and again. So what one session has remembered in a minute is bounded;
 * beyond it each of its datagrams is told. The minute is one of 2^36 ns. Two at once may count one
 * too many.
 */
static __always_inline bool remembers(__u64 session, __u64 now)
{
	struct share *s = share_of(session);
	__u32 window = now >> 36;

	if (!s)
		return true;
	if (s->unix_window != window) {
		s->unix_window = window;
		s->unix_count = 0;
	}
	return __sync_fetch_and_add(&s->unix_count, 1) < EVENT_UNIX_FLOWS_PER_MINUTE;
}

/*
 * Only datagrams with an address come here: a connected socket's were told at its connect. One
 * record for each socket, path and actor.
 */
SEC("cgroup/sendmsg4")
int on_sendmsg_unix(struct bpf_sock_addr *ctx)
{
	struct unix_flow f = {};
	bool relative, kept;
	struct tag *tag;
	__u32 tgid;
	__u64 now;

	tag = tag_of_current(&tgid);
	if (!tag)
		return 1;
	f.path_len = unix_path(ctx, f.path);
	f.cookie = bpf_get_socket_cookie(ctx);
	f.start_boottime = tag->start_boottime;
	f.tgid = tgid;
	f.exec_seq = tag->exec_seq;
	f.flags = denied() | CONNECT_SENDMSG; /* refused, and later let through: each is told */
	relative = is_relative(f.path, f.path_len);
	if (relative)
		directory_identify(&f);
	if (bpf_map_lookup_elem(&unix_flows, &f))
		return 1;
	now = bpf_ktime_get_boot_ns();
	kept = remembers(tag->session, now);
	if (kept && bpf_map_update_elem(&unix_flows, &f, &now, BPF_NOEXIST) == -EEXIST)
		return 1;
	if (!tell(ctx, tgid, tag, relative, f.flags) && kept)
		bpf_map_delete_elem(&unix_flows, &f); /* the next one may find room */
	return 1;
}
