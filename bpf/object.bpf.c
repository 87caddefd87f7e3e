// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * object: the identity of a file behind a descriptor of the caller, run by BPF_PROG_RUN in its own
 * context. A task_file iterator would tell the same, fifty times slower.
 */
#include "object.h"
#include "maps.h"

/*
 * The caller holds the descriptor open, so the file stays; its table may be replaced by a larger
 * one meanwhile.
 */
SEC("syscall")
int on_identify(struct identify *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct files_struct *files = task->files;
	struct fdtable *fdt = files->fdt;
	struct file *file = NULL;
	__u32 zero = 0;
	struct control *c = bpf_map_lookup_elem(&control, &zero);

	if (!c)
		return -EAGAIN;
	if (ctx->fd >= fdt->max_fds)
		return -EBADF;
	bpf_probe_read_kernel(&file, sizeof(file), fdt->fd + ctx->fd);
	barrier();
	if (files->fdt != fdt)
		return -EAGAIN;
	if (!file)
		return -EBADF;
	object_describe(file, &c->overlay, &ctx->id, &ctx->guard);
	return 0;
}
