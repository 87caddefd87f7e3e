/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* exec: what is told of a process and its image, at its exec or when it is adopted. */
#pragma once

#include "emit.h"
#include "object.h"
#include "task.h"
#include "walk.h"

/*
 * Verified on its own, once: the walks would cost old kernels' verifiers too much in line.
 * exec.bpf.c
 */
int path_append(struct scratch *s);
/* environment.bpf.c: sets 'found' and 'cut'. */
int environment_scan(struct environment *e);
/* begin.bpf.c: sets 'begin' and EXEC_BEGIN, of the task that executes. */
int begin_describe(struct scratch *s);

static __always_inline __u16 exec_path(struct scratch *s, struct path *path)
{
	__u32 before = s->used;

	bpf_core_read(&s->path, sizeof(s->path), path);
	path_append(s);
	return s->used - before;
}

/* A kernel string, without its NUL. */
static __always_inline __u16 exec_string(struct scratch *s, const char *from)
{
	__u32 at = s->used;
	long len;

	if (at > EVENT_DATA_MAX - EVENT_PATH_MAX)
		return 0;
	len = bpf_probe_read_kernel_str(s->data + at, EVENT_PATH_MAX, from);
	if (len <= 1)
		return 0;
	if (len == EVENT_PATH_MAX)
		s->exec.flags |= EXEC_PATH_CUT;
	s->used = at + len - 1;
	return len - 1;
}

static __always_inline __u32 pid_ns_of(struct task_struct *task)
{
	/*
	 * Read as a number: 6.1 lets nothing unbounded be added to a pointer that it knows the type
	 * of.
	 */
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	unsigned int level = BPF_CORE_READ(pid, level);
	struct pid_namespace *ns = NULL;
	void *upid = (void *)pid + bpf_core_field_offset(pid->numbers) +
		     level * bpf_core_type_size(struct upid) +
		     bpf_core_field_offset(struct upid, ns);

	bpf_probe_read_kernel(&ns, sizeof(ns), upid);
	return BPF_CORE_READ(ns, ns.inum);
}

static __always_inline void exec_namespaces(struct event_exec *e, struct task_struct *task)
{
	struct nsproxy *p = task->nsproxy;

	e->ns[NS_MNT] = p->mnt_ns->ns.inum;
	e->ns[NS_PID] = pid_ns_of(task);
	e->ns[NS_NET] = p->net_ns->ns.inum;
	e->ns[NS_USER] = task->cred->user_ns->ns.inum;
	e->ns[NS_CGROUP] = p->cgroup_ns->ns.inum;
	e->ns[NS_IPC] = p->ipc_ns->ns.inum;
	e->ns[NS_UTS] = p->uts_ns->ns.inum;
	e->ns[NS_TIME] = p->time_ns->ns.inum;
}

#define GROUPS_MAX 128 /* of one process: one with more is taken to be in all */

static __always_inline bool group_of_disk(const struct disk_groups *d, __u32 gid)
{
	for (__u32 i = 0; i < DISK_GROUPS_MAX; i++)
		if (i < d->count && d->gid[i] == gid)
			return true;
	return false;
}

/* Whoever writes to the device below a filesystem leaves no trace in the filesystem. */
static __always_inline bool in_disk_group(const struct cred *cred, const struct disk_groups *d)
{
	struct group_info *groups = BPF_CORE_READ(cred, group_info);
	__u32 count = BPF_CORE_READ(groups, ngroups), gid;

	if (!d->count)
		return false;
	if (d->count > DISK_GROUPS_MAX || count > GROUPS_MAX)
		return true;
	if (group_of_disk(d, cred->gid.val) || group_of_disk(d, cred->egid.val) ||
	    group_of_disk(d, cred->sgid.val) || group_of_disk(d, cred->fsgid.val))
		return true;
	for (__u32 i = 0; i < GROUPS_MAX && i < count; i++) {
		bpf_probe_read_kernel(&gid, sizeof(gid),
				      (void *)groups +
					      bpf_core_field_offset(struct group_info, gid) +
					      i * sizeof(gid));
		if (group_of_disk(d, gid))
			return true;
	}
	return false;
}

static __always_inline void exec_power(struct event_exec *e, const struct cred *cred,
				       const struct control *c)
{
	if (!cred->uid.val || !cred->euid.val || !cred->suid.val || !cred->fsuid.val)
		e->flags |= EXEC_ROOT;
	if (user_ns_initial(cred->user_ns))
		e->flags |= EXEC_INIT_USERNS;
	if (in_disk_group(cred, &c->disk))
		e->flags |= EXEC_DISK_GROUP;
}

static __always_inline void exec_credentials(struct event_exec *e, struct task_struct *task)
{
	const struct cred *cred = task->cred;

	e->uid = cred->uid.val;
	e->gid = cred->gid.val;
	e->euid = cred->euid.val;
	e->egid = cred->egid.val;
	bpf_core_read(&e->cap_effective, sizeof(e->cap_effective), &cred->cap_effective);
	bpf_core_read(&e->cap_permitted, sizeof(e->cap_permitted), &cred->cap_permitted);
}

/*
 * A memfd is on the kernel's own tmpfs or hugetlbfs, has no link, and its dentry hangs in no tree:
 * an unlinked file of a mounted tmpfs has a parent.
 */
static __always_inline __u32 exec_image_flags(struct file *file)
{
	struct dentry *dentry = file->f_path.dentry;
	struct inode *inode = file->f_inode;
	unsigned long magic = inode->i_sb->s_magic;

	if (dentry == file->f_path.mnt->mnt_root)
		return EXEC_MOUNTED | (inode->i_nlink ? 0 : EXEC_DELETED);
	if (inode->i_nlink)
		return 0;
	if (dentry->d_parent == dentry && (magic == TMPFS_MAGIC || magic == HUGETLBFS_MAGIC))
		return EXEC_MEMFD;
	return EXEC_DELETED;
}

/* Everything but filename, interp and argv. @s->exec.header is left alone. */
static __always_inline void exec_describe(struct scratch *s, struct task_struct *task)
{
	struct event_exec *e = &s->exec;
	struct file *file = task->mm->exe_file;
	struct task_struct *parent = task->real_parent;
	struct fs_struct *fs = task->fs;
	struct control *c = control_get();

	__builtin_memset((void *)e + sizeof(e->header), 0, sizeof(*e) - sizeof(e->header));
	s->used = 0;
	e->parent_tgid = parent->tgid;
	e->parent_start = parent->group_leader->start_boottime;
	e->cgroup = task->cgroups->dfl_cgrp->kn->id;
	e->flags = exec_image_flags(file);
	if (c) {
		object_describe(file, &c->overlay, &e->exe, &e->guard);
		exec_power(e, task->cred, c);
	}
	exec_credentials(e, task);
	exec_namespaces(e, task);
	bpf_probe_read_kernel(e->comm, sizeof(e->comm), &task->comm);
	bpf_core_read(&s->root, sizeof(s->root), &fs->root);
	e->exe_len = exec_path(s, &file->f_path);
	e->cwd_len = exec_path(s, &fs->pwd);
}

/* The event's real length goes into the ring, rounded up with zeros. */
static __always_inline void exec_emit(struct scratch *s, __u16 type, __u64 sequence)
{
	__u32 used = s->used;
	__u64 size;

	if (used > EVENT_DATA_MAX)
		used = EVENT_DATA_MAX;
	*(__u64 *)__builtin_assume_aligned(s->data + ((used + 7) & ~7u), 8) = 0;
	size = sizeof(s->exec) + ((used + 7) & ~7u);
	header_fill(&s->exec.header, type, size, sequence, EMIT_TASK);
	if (bpf_ringbuf_output(&events, s, size, wakeup_flags())) {
		loss_count(type);
		unseen_mark(s->exec.header.actor.session);
	}
}
