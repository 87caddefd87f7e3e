/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answers: whether a file can be asked anything without waiting for somebody who need not answer:
 * the server of a FUSE or network filesystem, also below an overlay. Who waits there can be past
 * killing (tried: two lookups in one directory of a FUSE server that is silent, of which the second
 * waits for the first one's lock; and a request that the server has read). So a thread that hangs
 * can keep this program from ending, and nothing is asked before it is known who answers.
 */
#pragma once

#include "collect/filehash.h"

struct hostmounts;

struct answering {
	filehash_identify describe; /* what the kernel says by itself */
	void *context;
	struct hostmounts *mounts; /* NULL: nobody with privilege has mounted anything */
};

/*
 * By what the kernel says of it. What root mounted answers: an overlay of his may lie on a server
 * of his. May wait, a second at most, until it is known what is mounted.
 */
bool answers_by_itself(const struct object_facts *file, struct hostmounts *mounts);

/*
 * 0: what is behind @fd (O_PATH will do) answers by itself, and *@ret says what it is. -EREMOTE: it
 * may not. Otherwise the -errno of @a->describe.
 */
int answers_look(const struct answering *a, int fd, struct object_facts *ret);

/*
 * The same for what the operator has named himself: network filesystems that root mounted pass,
 * too, but no FUSE. Waits for a twentieth of a second at most.
 */
int answers_look_named(const struct answering *a, int fd, struct object_facts *ret);
