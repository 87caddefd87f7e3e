/* SPDX-License-Identifier: Apache-2.0 */
/* manifestmessage: a manifest (collect/manifest.h) as SessionStarted has it. */
#pragma once

#include "affiant/v1/record.pb-c.h"

struct manifest;

struct manifestmessage {
	Affiant__V1__Manifest m;
	Affiant__V1__ManifestPath *paths, **path_list;
	Affiant__V1__ManifestFile *files, **file_list;
};

/*
 * @x: all zero; to be cleared also on failure. x->m borrows from @from, and is good for as long as
 * both are there. -ENOMEM.
 */
int manifestmessage_fill(struct manifestmessage *x, const struct manifest *from);
void manifestmessage_clear(struct manifestmessage *x);
