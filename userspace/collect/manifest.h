/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest: a digest over the files that an agent is declared to consist of (`--measure PATH`), one
 * hash tree for each path named and one over these, computed by worker threads.
 *
 * The trees are those of RFC 6962 (base/merkle.h). The entries of a path are the object named and,
 * if it is a directory, all that is below it, in the byte order of their paths relative to it; the
 * object named has the empty path, others have no slash at either end. Symbolic links are recorded,
 * not followed. Each is one leaf:
 *
 * 	"affiant/manifest/v1" 00 ‖ u32be st_mode ‖ u32be length of the path ‖ path ‖ digest
 *
 * where digest is, 32 bytes, the SHA-256 of a regular file's content or of a symbolic link's
 * target, and missing for what else there is (directories, and special files, which are never
 * opened). The root of a path says nothing of where it lies: the same tree elsewhere has the same
 * root. The tree over all has one leaf for each path, in the byte order of their names:
 *
 * 	"affiant/manifest-path/v1" 00 ‖ u32be length of the name ‖ name as given ‖ u64be entries ‖
 * 	root
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "collect/credentials.h"
#include "collect/filehash.h"

struct manifest_file {
	char *path;      /* relative to the path named */
	unsigned int of; /* which of manifest.paths */
	uint32_t mode;   /* st_mode */
	bool has_digest;
	struct sha256 digest;
};

struct manifest_path {
	char *name;
	enum hash_state state; /* OBSERVED, or why there is no root */
	uint64_t entries;
	struct sha256 root;
};

struct manifest {
	/* OBSERVED when all paths are; else that of the first which is not */
	enum hash_state state;
	uint64_t entries;
	struct sha256 root;
	size_t paths_count;
	struct manifest_path *paths; /* in the order of the tree */
	size_t files_count;
	struct manifest_file *files; /* the first ones, in the order of the trees */
};

struct manifests_config {
	unsigned int workers;
	uint64_t entries_max; /* of one manifest; beyond: TOO_LARGE, as for the next two */
	uint64_t bytes_max;
	unsigned int depth_max; /* directories below the path named */
	uint64_t time_max_ns;   /* beyond: TOO_LATE. 0: no bound */
	size_t files_max;       /* entries listed in manifest.files */
	/*
	 * As in filehash_config: the kernel's word of what lies behind a descriptor, before a
	 * server that need not answer is asked for anything. NULL: without it. Called with the
	 * job's credentials, and CAP_BPF.
	 */
	filehash_identify identify;
	void *identify_context;
	struct hostmounts *mounts; /* as in struct answering */
};

struct manifests;

int manifests_new(const struct manifests_config *config, struct manifests **ret);
/*
 * Drops what waits and ends what runs. False: a filesystem does not let a worker go; it is left
 * behind with what it uses, which is not to be freed.
 */
bool manifests_stop(struct manifests *m);
/* Stops it; without effect on one that can't be. */
void manifests_free(struct manifests *m);

/* Readable when manifests_collect() has something. Borrowed. */
int manifests_fd(const struct manifests *m);

struct manifest_job {
	uint64_t token; /* given back */
	size_t count;
	const char *const *names; /* copied */
	const int *fds; /* one for each name, opened by the caller; taken over, also on failure */
	/*
	 * Whose rights count for what lies below a directory: he who can open a directory can't
	 * read all that is in it. See credentials.h.
	 */
	struct credentials credentials;
};

/* -EINVAL: a name is there twice. -ENOMEM. */
int manifests_submit(struct manifests *m, const struct manifest_job *job);

/* Hands every finished manifest to @done, borrowed until it returns; returns how many. */
int manifests_collect(struct manifests *m,
		      void (*done)(void *data, uint64_t token, const struct manifest *manifest),
		      void *data);
