/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/verify_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "attest/verify.h"
#include "base/base64url.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/trusted.h"
#include "cli/filing.h"

/* To be freed. A ueid in base64url has no slash in it. */
static char *path_of(const char *dir, const uint8_t ueid[static CLAIMS_UEID_SIZE])
{
	char name[BASE64URL_LEN(CLAIMS_UEID_SIZE) + 1], *path;

	base64url_encode(ueid, CLAIMS_UEID_SIZE, name);
	return asprintf(&path, "%s/%s.json", dir, name) < 0 ? NULL : path;
}

int verify_state_lock(const char *dir)
{
	char why[TRUSTED_WHY_SIZE];
	_cleanup_close_ int fd =
		trusted_open(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, why, sizeof(why));

	if (fd < 0) {
		log_error("%s", why);
		return fd;
	}
	if (flock(fd, LOCK_EX) < 0) {
		const int err = -errno;

		log_error("%s: %s", dir, strerror(-err));
		return err;
	}
	return TAKE_FD(fd);
}

int verify_state_load(const char *dir, const void *evidence, size_t len, struct hoststate **ret)
{
	_cleanup_free_ struct hoststate *s = NULL;
	_cleanup_buffer_ struct buffer b = {};
	_cleanup_free_ char *path = NULL;
	uint8_t ueid[CLAIMS_UEID_SIZE];
	const char *why = "";
	int err;

	*ret = NULL;
	if (!dir || verify_ueid(evidence, len, ueid) < 0)
		return 0;
	path = path_of(dir, ueid);
	s = calloc(1, sizeof(*s));
	if (!path || !s)
		return -ENOMEM;
	if (access(path, F_OK) < 0 && errno == ENOENT)
		return 0;
	err = filing_read(path, HOSTSTATE_SIZE_MAX, &b);
	if (err)
		return err;
	err = hoststate_parse(b.data, b.len, s, &why);
	if (err) {
		log_error("%s: %s is damaged, or of another version", path, why);
		return err;
	}
	*ret = TAKE_PTR(s);
	return 0;
}

int verify_state_save(const char *dir, const struct hoststate *s)
{
	_cleanup_free_ char *text = dir ? hoststate_encode(s) : NULL;
	_cleanup_free_ char *path = dir ? path_of(dir, s->ueid) : NULL;

	if (!dir)
		return 0;
	return text && path ? filing_write(path, 0600, true, text, strlen(text)) : -ENOMEM;
}
