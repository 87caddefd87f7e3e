// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * object: the identity of a file behind a descriptor of the caller, and where it stands, run by
 * BPF_PROG_RUN in its own context. A task_file iterator would tell the same, fifty times slower.
 */
#include "object.h"
#include "maps.h"
#include "place.h"

/*
 * The caller holds the descriptor open, so the file stays; its table may be replaced by a larger
 * one meanwhile: -EAGAIN.
 */
static __always_inline int file_of(__u32 fd, struct file **ret)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct files_struct *files = task->files;
	struct fdtable *fdt = files->fdt;

	*ret = NULL;
	if (fd >= fdt->max_fds)
		return -EBADF;
	bpf_probe_read_kernel(ret, sizeof(*ret), fdt->fd + fd);
	barrier();
	if (files->fdt != fdt)
		return -EAGAIN;
	return *ret ? 0 : -EBADF;
}

SEC("syscall")
int on_identify(struct identify *ctx)
{
	__u32 zero = 0;
	struct control *c = bpf_map_lookup_elem(&control, &zero);
	struct file *file;
	int err;

	if (!c)
		return -EAGAIN;
	err = file_of(ctx->fd, &file);
	if (!err)
		object_describe(file, &c->overlay, &ctx->id, &ctx->guard);
	return err;
}

SEC("syscall")
int on_locate(struct locate *ctx)
{
	struct selector_exe_key place = {};
	struct file *file;
	int err = file_of(ctx->fd, &file);

	if (err)
		return err;
	place_of(file, &place);
	/* Before 6.1 no helper writes to a context. */
	ctx->place = place;
	return 0;
}
