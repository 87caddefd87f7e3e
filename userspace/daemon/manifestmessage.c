/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/manifestmessage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/pb.h"
#include "collect/manifest.h"

void manifestmessage_clear(struct manifestmessage *x)
{
	free(x->paths);
	free(x->path_list);
	free(x->files);
	free(x->file_list);
}

int manifestmessage_fill(struct manifestmessage *x, const struct manifest *from)
{
	affiant__v1__manifest__init(&x->m);
	x->paths = calloc(from->paths_count + 1, sizeof(*x->paths));
	x->path_list = calloc(from->paths_count + 1, sizeof(*x->path_list));
	x->files = calloc(from->files_count + 1, sizeof(*x->files));
	x->file_list = calloc(from->files_count + 1, sizeof(*x->file_list));
	if (!x->paths || !x->path_list || !x->files || !x->file_list)
		return -ENOMEM;

	SET(&x->m, state, (Affiant__V1__HashState)from->state);
	SET(&x->m, entries, from->entries);
	if (from->state == HASH_STATE_OBSERVED)
		SET(&x->m, root, pb_bytes(from->root.bytes, SHA256_SIZE));
	for (size_t i = 0; i < from->paths_count; i++) {
		const struct manifest_path *p = &from->paths[i];

		x->path_list[i] = &x->paths[i];
		affiant__v1__manifest_path__init(&x->paths[i]);
		SET(&x->paths[i], path, pb_bytes(p->name, strlen(p->name)));
		SET(&x->paths[i], entries, p->entries);
		if (p->state == HASH_STATE_OBSERVED)
			SET(&x->paths[i], root, pb_bytes(p->root.bytes, SHA256_SIZE));
	}
	for (size_t i = 0; i < from->files_count; i++) {
		const struct manifest_file *f = &from->files[i];

		x->file_list[i] = &x->files[i];
		affiant__v1__manifest_file__init(&x->files[i]);
		SET(&x->files[i], path, pb_bytes(f->path, strlen(f->path)));
		SET(&x->files[i], mode, f->mode);
		if (f->has_digest)
			SET(&x->files[i], sha256, pb_bytes(f->digest.bytes, SHA256_SIZE));
	}
	x->m.paths = x->path_list;
	x->m.n_paths = from->paths_count;
	x->m.files = x->file_list;
	x->m.n_files = from->files_count;
	return 0;
}
