// SPDX-License-Identifier: Apache-2.0
/*
 * Where overlayfs keeps the lower file of an inode. Its types are the kernel's or a module's own
 * (/sys/kernel/btf/overlay), so that the programs can't be relocated against them when they are
 * loaded.
 */
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "collect/source_impl.h"

#define MODULE_BTF "/sys/kernel/btf/overlay"

DEFINE_CLEANUP(struct btf *, btf__free)

static const struct btf_type *structure(const struct btf *btf, const char *name)
{
	int id = btf__find_by_name_kind(btf, name, BTF_KIND_STRUCT);

	return id < 0 ? NULL : btf__type_by_id(btf, id);
}

/*
 * In bytes, also within structures and unions that have no name; false: there is none of that name,
 * or it is a bit field.
 */
static bool offset_of(const struct btf *btf, const struct btf_type *t, const char *field,
		      uint32_t *ret)
{
	for (int i = 0; t && i < btf_vlen(t); i++) {
		const char *name = btf__name_by_offset(btf, btf_members(t)[i].name_off);
		const struct btf_type *inner = btf__type_by_id(btf, btf_members(t)[i].type);
		uint32_t bits = btf_member_bit_offset(t, i), below;

		if (!*name && btf_is_composite(inner) && offset_of(btf, inner, field, &below)) {
			*ret = bits / 8 + below;
			return true;
		}
		if (strcmp(name, field))
			continue;
		*ret = bits / 8;
		return bits % 8 == 0;
	}
	return false;
}

/* The three layouts that there were: see enum overlay_kind. */
static bool lay_out(const struct btf *btf, struct overlay_layout *ret)
{
	const struct btf_type *inode = structure(btf, "ovl_inode");
	const struct btf_type *path = structure(btf, "ovl_path");
	const struct btf_type *entry = structure(btf, "ovl_entry");
	struct overlay_layout l = {};

	if (!offset_of(btf, inode, "vfs_inode", &l.vfs_inode) ||
	    !offset_of(btf, inode, "__upperdentry", &l.upper))
		return false;
	if (offset_of(btf, inode, "lowerdata", &l.lowerdata))
		l.lowerdata++;
	if (offset_of(btf, inode, "oe", &l.lower)) {
		l.kind = OVERLAY_STACK;
		if (!offset_of(btf, entry, "__numlower", &l.numlower) ||
		    !offset_of(btf, entry, "__lowerstack", &l.stack))
			return false;
	} else if (offset_of(btf, inode, "lowerpath", &l.lower)) {
		l.kind = OVERLAY_PATH;
	} else if (offset_of(btf, inode, "lower", &l.lower)) {
		l.kind = OVERLAY_INODE;
	} else {
		return false;
	}
	if (l.kind != OVERLAY_INODE && !offset_of(btf, path, "dentry", &l.dentry))
		return false;
	*ret = l;
	return true;
}

bool source_learn_overlay(struct source *s)
{
	_cleanup_(btf__freep) struct btf *base = NULL, *module = NULL;
	struct overlay_layout layout, *to = &s->control->overlay;
	bool module_there;
	uint32_t kind;

	if (to->kind != OVERLAY_UNKNOWN)
		return true;
	/*
	 * The kernel's own types don't change, and are large: with them alone it is tried once, and
	 * with the module's, which are there while the module is, once more.
	 */
	module_there = access(MODULE_BTF, R_OK) == 0;
	if (s->overlay_tried >= 1u + module_there)
		return false;
	base = btf__load_vmlinux_btf();
	if (libbpf_get_error(base)) {
		base = NULL;
		return false;
	}
	if (!lay_out(base, &layout)) {
		s->overlay_tried = 1;
		if (!module_there)
			return false;
		module = btf__parse_split(MODULE_BTF, base);
		if (libbpf_get_error(module)) {
			module = NULL;
			return false;
		}
		s->overlay_tried = 2;
		if (!lay_out(module, &layout))
			return false;
	}
	kind = layout.kind;
	layout.kind = OVERLAY_UNKNOWN;
	*to = layout;
	/* Last: it says that the rest holds. */
	__atomic_store_n(&to->kind, kind, __ATOMIC_SEQ_CST);
	return true;
}
