/* SPDX-License-Identifier: Apache-2.0 */
/*
 * elfnote: what an ELF file says of itself: its build id, its package note and its loader. The
 * file's own word, and the file is hostile: it is read once, in a few bounded pieces, and libelf
 * only sees a copy of the headers that nobody can change under it.
 */
#pragma once

#include <stdint.h>

#include "collect/filehash.h"

struct elfnote {
	uint8_t build_id_len;           /* 0: none */
	uint8_t build_id[BUILD_ID_MAX]; /* NT_GNU_BUILD_ID */
	/* JSON of .note.package (systemd's ELF package metadata), or "" */
	char package[PACKAGE_NOTE_MAX];
	char loader[LOADER_MAX]; /* PT_INTERP, or "" */
};

/*
 * -ENOEXEC: no ELF file; -errno of pread(2); -ENOMEM. Whatever is odd about the rest of an ELF file
 * is the same as not being there. The position of @fd does not move.
 */
int elfnote_read(int fd, struct elfnote *ret);
