/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/verify_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/base64url.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/trusted.h"
#include "cli/filing.h"

#define LOCK_WAIT_MS 5000
#define LOCK_PAUSE_MS 20

/* To be freed. A ueid in base64url has no slash in it. */
static char *path_of(const char *dir, const uint8_t ueid[static CLAIMS_UEID_SIZE],
		     const char *suffix)
{
	char name[BASE64URL_LEN(CLAIMS_UEID_SIZE) + 1], *path;

	base64url_encode(ueid, CLAIMS_UEID_SIZE, name);
	return asprintf(&path, "%s/%s.%s", dir, name, suffix) < 0 ? NULL : path;
}

static bool is_ours(const struct stat *st)
{
	return st->st_uid == geteuid() || st->st_uid == 0;
}

static int failed(const char *path, int err)
{
	log_error("%s: %s", path, strerror(-err));
	return err;
}

static int wait_for(int fd, const char *path)
{
	const struct timespec pause = {.tv_nsec = LOCK_PAUSE_MS * 1000000L};

	for (int waited = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; waited += LOCK_PAUSE_MS) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return failed(path, -errno);
		if (waited >= LOCK_WAIT_MS) {
			log_error("%s: another affiant verify has had it for %d s", path,
				  LOCK_WAIT_MS / 1000);
			return -EWOULDBLOCK;
		}
		nanosleep(&pause, NULL);
	}
	return 0;
}

/*
 * A file that nobody else may open: who may only read a file can lock it, and never let it go. So
 * neither the directory nor the state itself is what is locked.
 */
static int take_lock(const char *path, int *ret)
{
	_cleanup_close_ int fd =
		open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	struct stat st;
	int err;

	if (fd < 0 || fstat(fd, &st) < 0)
		return failed(path, -errno);
	if (!S_ISREG(st.st_mode) || !is_ours(&st) || st.st_mode & 077) {
		log_error("%s: is no file that this user alone can open: remove it", path);
		return -EPERM;
	}
	err = wait_for(fd, path);
	if (!err)
		*ret = TAKE_FD(fd);
	return err;
}

static int forgotten(const char *path, const char *why)
{
	log_warning("%s: %s: it counts as nothing, and host evidence is asked for anew", path, why);
	return 0;
}

/* Whatever stands there: nothing waits for it. */
static int read_state(const char *path, struct hoststate **ret)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	_cleanup_free_ struct hoststate *s = calloc(1, sizeof(*s));
	_cleanup_free_ char *text = malloc(HOSTSTATE_SIZE_MAX + 1);
	const char *why = "";
	char message[96];
	struct stat st;
	ssize_t len;
	int err;

	if (!s || !text)
		return failed(path, -ENOMEM);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 && errno != ELOOP && errno != ENXIO)
		return failed(path, -errno);
	if (fd < 0 || (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)))
		return forgotten(path, "is no regular file");
	if (!is_ours(&st) || st.st_mode & 022)
		return forgotten(path, "others than this user can write to it");
	len = file_read(fd, text, HOSTSTATE_SIZE_MAX + 1);
	if (len < 0)
		return failed(path, len);
	err = hoststate_parse(text, len, s, &why);
	if (err == -ENOMEM)
		return failed(path, err);
	if (err) {
		snprintf(message, sizeof(message), "%s is damaged, or of another version", why);
		return forgotten(path, message);
	}
	*ret = TAKE_PTR(s);
	return 0;
}

/* Who else may write in it could replace what is kept there. */
static int check_directory(const char *dir)
{
	char why[TRUSTED_WHY_SIZE];
	_cleanup_close_ int fd =
		trusted_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, why, sizeof(why));

	if (fd < 0)
		log_error("%s", why);
	return fd < 0 ? fd : 0;
}

int verify_state_recall(void *state, const uint8_t ueid[CLAIMS_UEID_SIZE],
			const struct hoststate **ret)
{
	struct verify_state *s = state;
	_cleanup_free_ char *lock = NULL, *path = NULL;
	int err;

	*ret = NULL;
	if (!s->dir)
		return 0;
	lock = path_of(s->dir, ueid, "lock");
	path = path_of(s->dir, ueid, "json");
	if (!lock || !path)
		return failed(s->dir, -ENOMEM);
	err = check_directory(s->dir) ?: take_lock(lock, &s->lock) ?: read_state(path, &s->kept);
	*ret = s->kept;
	return err;
}

int verify_state_save(const struct verify_state *s, const struct hoststate *host)
{
	_cleanup_free_ char *text = s->dir ? hoststate_encode(host) : NULL;
	_cleanup_free_ char *path = s->dir ? path_of(s->dir, host->ueid, "json") : NULL;

	if (!s->dir)
		return 0;
	return text && path ? filing_write(path, 0600, true, text, strlen(text))
			    : failed(s->dir, -ENOMEM);
}

void verify_state_done(struct verify_state *s)
{
	free(s->kept);
	s->kept = NULL;
	if (s->lock >= 0)
		close(s->lock);
	s->lock = -1;
}
