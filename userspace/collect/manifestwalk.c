/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/manifestwalk.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/merkle.h"
#include "collect/answers.h"
#include "collect/hashing.h"
#include "collect/object.h"

#define BUFFER_BYTES (256u << 10)
#define SLICE_BYTES (4u << 20) /* how often the bounds are looked at */

struct walk {
	struct manifest_budget *budget;
	struct manifest_list *list;
	struct hashing_config hashing;
	void *buffer;
	char path[PATH_MAX]; /* of what is looked at */
	size_t len;
};

static enum hash_state visit(struct walk *w, int fd, unsigned int depth);

static bool out_of_time(const struct walk *w)
{
	return *w->budget->stop || clock_ns(CLOCK_MONOTONIC) >= w->budget->until_ns;
}

/* What it means that something could not be opened. */
static enum hash_state state_of(int error)
{
	return error == ENOENT ? HASH_STATE_CHANGED : HASH_STATE_UNREADABLE;
}

static struct manifest_file *add_entry(struct walk *w, uint32_t mode)
{
	struct manifest_list *l = w->list;
	struct manifest_file *f;
	size_t room;

	if (l->count == l->room) {
		room = l->room ? 2 * l->room : 64;
		f = reallocarray(l->files, room, sizeof(*f));
		if (!f)
			return NULL;
		l->files = f;
		l->room = room;
	}
	f = &l->files[l->count];
	*f = (struct manifest_file){.mode = mode, .path = strdup(w->path)};
	if (!f->path)
		return NULL;
	l->count++;
	return f;
}

static enum hash_state hash_file(struct walk *w, int fd, struct sha256 *ret, uint64_t *ret_bytes)
{
	struct hashing *h = NULL;
	enum hash_state state;
	int r;

	r = hashing_new(&w->hashing, fd, NULL, &h);
	if (r < 0)
		return HASH_STATE_UNREADABLE;
	r = hashing_look(h);
	while (r > 0 && !out_of_time(w))
		r = hashing_slice(h, w->buffer, BUFFER_BYTES, SLICE_BYTES);
	state = r > 0 ? HASH_STATE_TOO_LATE : hashing_result(h)->state;
	/* Changing while it was read, as far as can be told. */
	if (state == HASH_STATE_OBSERVED && hashing_result(h)->tied)
		state = HASH_STATE_CHANGED;
	*ret = hashing_result(h)->sha256;
	*ret_bytes = hashing_bytes(h);
	hashing_free(h);
	return state;
}

static enum hash_state hash_link(int fd, struct sha256 *ret)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(fd, "", target, sizeof(target));

	if (n < 0 || n == sizeof(target) || sha256_of(target, n, ret) < 0)
		return HASH_STATE_UNREADABLE;
	return HASH_STATE_OBSERVED;
}

static bool same_directory(const struct stat *a, const struct stat *b)
{
	return a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static enum hash_state visit_child(struct walk *w, int dir, const char *name, unsigned int depth)
{
	size_t len = w->len, more = strlen(name);
	enum hash_state state;
	int fd;

	if (len + more + 2 > sizeof(w->path))
		return HASH_STATE_TOO_LARGE;
	/* O_PATH: nothing is opened before it is known to be a file or a directory. */
	fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return state_of(errno);
	if (len)
		w->path[w->len++] = '/';
	memcpy(w->path + w->len, name, more + 1);
	w->len += more;
	state = visit(w, fd, depth);
	w->len = len;
	w->path[len] = '\0';
	return state;
}

static enum hash_state visit_directory(struct walk *w, int fd, unsigned int depth)
{
	_cleanup_closedir_ DIR *dir = NULL;
	enum hash_state state = HASH_STATE_OBSERVED;
	struct stat before, after;
	struct dirent *e;
	int readable;

	if (depth > w->budget->depth)
		return HASH_STATE_TOO_LARGE;
	readable = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = readable < 0 ? NULL : fdopendir(readable);
	if (!dir) {
		state = state_of(errno);
		closep(&readable);
		return state;
	}
	if (fstat(readable, &before) < 0)
		return HASH_STATE_UNREADABLE;
	object_settle(before.st_ctim.tv_sec * 1000000000ll + before.st_ctim.tv_nsec);
	if (fstat(readable, &before) < 0)
		return HASH_STATE_UNREADABLE;
	for (errno = 0; state == HASH_STATE_OBSERVED && (e = readdir(dir)); errno = 0)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			state = visit_child(w, readable, e->d_name, depth + 1);
	if (state != HASH_STATE_OBSERVED)
		return state;
	if (errno || fstat(readable, &after) < 0)
		return HASH_STATE_UNREADABLE;
	return same_directory(&before, &after) ? HASH_STATE_OBSERVED : HASH_STATE_CHANGED;
}

static enum hash_state visit_file(struct walk *w, int fd, uint64_t size, struct sha256 *ret)
{
	enum hash_state state;
	uint64_t bytes = 0;

	if (size > w->budget->bytes) {
		close(fd);
		return HASH_STATE_TOO_LARGE;
	}
	state = hash_file(w, fd, ret, &bytes);
	if (bytes > w->budget->bytes) /* it has grown since */
		return HASH_STATE_TOO_LARGE;
	w->budget->bytes -= bytes;
	return state;
}

/*
 * A file of such a filesystem has no digest anyway, and one of its directories can keep us for
 * ever: one who names it would keep all others from measuring.
 */
static bool is_foreign(const struct walk *w, int fd)
{
	const struct manifest_budget *b = w->budget;
	const struct answering a = {b->identify, b->identify_context, b->mounts};
	struct object_facts facts;

	return b->identify && answers_look(&a, fd, &facts) < 0;
}

/* Takes @fd over. */
static enum hash_state visit(struct walk *w, int fd, unsigned int depth)
{
	_cleanup_close_ int owned = fd;
	enum hash_state state = HASH_STATE_OBSERVED;
	struct sha256 digest = {};
	struct manifest_file *f;
	struct stat st;

	if (out_of_time(w))
		return HASH_STATE_TOO_LATE;
	if (is_foreign(w, fd) || fstat(fd, &st) < 0)
		return HASH_STATE_UNREADABLE;
	if (w->budget->entries == 0)
		return HASH_STATE_TOO_LARGE;
	w->budget->entries--;
	f = add_entry(w, st.st_mode);
	if (!f)
		return HASH_STATE_UNREADABLE;
	if (S_ISDIR(st.st_mode))
		return visit_directory(w, fd, depth);
	f->has_digest = S_ISREG(st.st_mode) || S_ISLNK(st.st_mode);
	if (S_ISREG(st.st_mode))
		state = visit_file(w, TAKE_FD(owned), st.st_size, &digest);
	else if (S_ISLNK(st.st_mode))
		state = hash_link(fd, &digest);
	f->digest = digest;
	return state;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct manifest_file *)a)->path,
		      ((const struct manifest_file *)b)->path);
}

enum hash_state manifest_walk(int fd, struct manifest_budget *budget, struct manifest_list *ret)
{
	_cleanup_free_ void *buffer = malloc(BUFFER_BYTES);
	_cleanup_free_ struct walk *w = calloc(1, sizeof(*w));
	enum hash_state state;

	*ret = (struct manifest_list){};
	if (!buffer || !w) {
		close(fd);
		return HASH_STATE_UNREADABLE;
	}
	w->budget = budget;
	w->list = ret;
	w->buffer = buffer;
	state = visit(w, fd, 0);
	if (state == HASH_STATE_OBSERVED)
		qsort(ret->files, ret->count, sizeof(*ret->files), by_path);
	return state;
}

void manifest_list_free(struct manifest_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->files[i].path);
	free(list->files);
	*list = (struct manifest_list){};
}

int manifest_leaf(const struct manifest_file *f, struct sha256 *ret)
{
	static const char domain[] = "affiant/manifest/v1";
	const size_t path_len = strlen(f->path);
	const uint32_t mode = htonl(f->mode), be_len = htonl(path_len);
	uint8_t data[sizeof(domain) + 8 + PATH_MAX + SHA256_SIZE], *at = data;

	at = mempcpy(at, domain, sizeof(domain));
	at = mempcpy(at, &mode, 4);
	at = mempcpy(at, &be_len, 4);
	at = mempcpy(at, f->path, path_len);
	if (f->has_digest)
		at = mempcpy(at, &f->digest, SHA256_SIZE);
	return merkle_leaf(data, at - data, ret);
}
