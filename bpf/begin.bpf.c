// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * begin: whose code runs first after an exec. The kernel keeps no word of the ELF loader that it
 * opened, but it has mapped it, and the process begins there: before it runs an instruction nobody
 * can have changed its memory. Of a file on an overlay, what is mapped is the real one below.
 */
#include "exec.h"

#define AREAS_MAX 64 /* that there can be right after an exec: more than an ELF file has segments */

struct found {
	struct file *file;
};

static long area_found(struct task_struct *task, struct vm_area_struct *area, struct found *ret)
{
	ret->file = BPF_CORE_READ(area, vm_file);
	return 0;
}

static __always_inline unsigned long entry_of(struct task_struct *task)
{
	void *regs = (void *)bpf_task_pt_regs(task);
	struct pt_regs___x86 *x86 = regs;
	struct pt_regs___arm64 *arm64 = regs;

	if (bpf_core_field_exists(x86->ip))
		return BPF_CORE_READ(x86, ip);
	return bpf_core_field_exists(arm64->pc) ? BPF_CORE_READ(arm64, pc) : 0;
}

/* NULL: none, or it can't be known. */
static __always_inline struct file *file_at(struct task_struct *task, unsigned long at)
{
	struct mm_struct___6_0 *mm = (void *)task->mm;
	struct vm_area_struct *area;
	struct vm_area_struct___6_0 *next;
	struct found found = {};

	if (!bpf_core_field_exists(mm->mmap)) {
		(void)bpf_find_vma(task, at, area_found, &found, 0);
		return found.file;
	}
	area = BPF_CORE_READ(mm, mmap);
	for (int i = 0; i < AREAS_MAX && area; i++) {
		if (at < BPF_CORE_READ(area, vm_end))
			return at >= BPF_CORE_READ(area, vm_start) ? BPF_CORE_READ(area, vm_file)
								   : NULL;
		next = (void *)area;
		area = BPF_CORE_READ(next, vm_next);
	}
	return NULL;
}

__noinline int begin_describe(struct scratch *s)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct control *c = control_get();
	struct file *file;

	if (!s || !c)
		return 0;
	file = file_at(task, entry_of(task));
	if (!file)
		return 0;
	object_describe(file, &c->overlay, &s->exec.begin, &s->exec.begin_guard);
	s->exec.flags |= EXEC_BEGIN;
	return 0;
}
