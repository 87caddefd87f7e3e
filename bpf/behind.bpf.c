// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * behind: for a person who asks, which programs stand behind ours at the root of cgroup2.
 * BPF_PROG_QUERY tells the same to a process that may administer the network, which the daemon may
 * not.
 */
#include "kernel.h"
#include "orders.h"

static __always_inline struct bpf_prog_array *programs_of(__u32 type)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct cgroup_root___cgrp *root = (void *)BPF_CORE_READ(task, cgroups, dfl_cgrp, root);
	struct cgroup___bpf *cgroup =
		(void *)root + bpf_core_field_offset(struct cgroup_root___cgrp, cgrp);
	struct bpf_prog_array *array = NULL;

	bpf_probe_read_kernel(&array, sizeof(array),
			      (void *)cgroup + bpf_core_field_offset(struct cgroup___bpf, bpf) +
				      bpf_core_field_offset(struct cgroup_bpf, effective) +
				      type * sizeof(void *));
	return array;
}

/* The kernel's number for a hook; -1: it has none. */
#define TYPE(name)                                                                                 \
	(bpf_core_enum_value_exists(enum cgroup_bpf_attach_type, name)                             \
		 ? (int)bpf_core_enum_value(enum cgroup_bpf_attach_type, name)                     \
		 : -1)

static __always_inline int type_of(__u32 hook)
{
	switch (hook) {
	case BEHIND_SOCK_CREATE:
		return TYPE(CGROUP_INET_SOCK_CREATE);
	case BEHIND_CONNECT4:
		return TYPE(CGROUP_INET4_CONNECT);
	case BEHIND_CONNECT6:
		return TYPE(CGROUP_INET6_CONNECT);
	case BEHIND_SENDMSG4:
		return TYPE(CGROUP_UDP4_SENDMSG);
	case BEHIND_SENDMSG6:
		return TYPE(CGROUP_UDP6_SENDMSG);
	case BEHIND_CONNECT_UNIX:
		return TYPE(CGROUP_UNIX_CONNECT);
	case BEHIND_SENDMSG_UNIX:
		return TYPE(CGROUP_UNIX_SENDMSG);
	}
	return -1;
}

SEC("syscall")
int on_behind(struct behind *ctx)
{
	int type = type_of(ctx->hook);
	struct bpf_prog *prog = NULL;
	char name[16] = {};
	void *item;

	ctx->id = 0;
	if (type < 0 || ctx->index >= BEHIND_PROGRAMS)
		return 0;
	item = (void *)programs_of(type) + bpf_core_field_offset(struct bpf_prog_array, items) +
	       ctx->index * bpf_core_type_size(struct bpf_prog_array_item);
	prog = BPF_CORE_READ((struct bpf_prog_array_item *)item, prog);
	if (!prog)
		return 0;
	ctx->id = BPF_CORE_READ(prog, aux, id);
	BPF_CORE_READ_INTO(&name, prog, aux, name);
	/* Before 6.1 no helper writes to a context. */
	__builtin_memcpy(ctx->name, name, sizeof(name));
	return 0;
}
