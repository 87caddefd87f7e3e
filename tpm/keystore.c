/* SPDX-License-Identifier: Apache-2.0 */
#include "tpm/keystore.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <tss2/tss2_mu.h>

#include "base/cleanup.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/reader.h"

/* Every file: this, what it holds, and SHA-256 over both. */
static const char magic[8] = "afftpm1\n";

#define AUTH_SIZE 32
#define FILE_MAX (sizeof(struct keystore_key) + sizeof(magic) + SHA256_SIZE)

/* @data: room for SHA256_SIZE bytes behind @len; the magic is there already. */
static int replace(int dir, const char *file, uint8_t *data, size_t len)
{
	_cleanup_close_ int fd = -1;
	struct sha256 sum;
	char draft[64];
	int err;

	err = sha256_of(data, len, &sum);
	if (err)
		return err;
	memcpy(data + len, sum.bytes, SHA256_SIZE);
	snprintf(draft, sizeof(draft), "%s.new", file);
	if (unlinkat(dir, draft, 0) < 0 && errno != ENOENT)
		return -errno;
	fd = openat(dir, draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	err = file_write(fd, data, len + SHA256_SIZE);
	if (err)
		return err;
	if (fsync(fd) < 0 || renameat(dir, draft, dir, file) < 0 || fsync(dir) < 0)
		return -errno;
	return 0;
}

/* The file's contents, checked: magic and sum are not in *ret, a window of @buffer. */
static int load(int dir, const char *file, uint8_t *buffer, size_t room, struct reader *ret)
{
	_cleanup_close_ int fd = openat(dir, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct sha256 sum;
	struct stat st;
	ssize_t len;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EBADMSG;
	len = file_read(fd, buffer, room);
	if (len < 0)
		return len;
	if ((size_t)len < sizeof(magic) + SHA256_SIZE || memcmp(buffer, magic, sizeof(magic)))
		return -EBADMSG;
	len -= SHA256_SIZE;
	if (sha256_of(buffer, len, &sum))
		return -ENOMEM;
	if (memcmp(buffer + len, sum.bytes, SHA256_SIZE))
		return -EBADMSG;
	*ret = reader_of(buffer + sizeof(magic), len - sizeof(magic));
	return 0;
}

int keystore_load_key(int dir, struct keystore_key *ret)
{
	uint8_t buffer[FILE_MAX];
	struct keystore_key k = {0};
	struct reader r;
	size_t offset = 0;
	int err;

	err = load(dir, KEYSTORE_BLOB, buffer, sizeof(buffer), &r);
	if (err)
		return err;
	if (Tss2_MU_TPM2B_PUBLIC_Unmarshal(r.at, r.left, &offset, &k.public) ||
	    Tss2_MU_TPM2B_PRIVATE_Unmarshal(r.at, r.left, &offset, &k.private) || offset != r.left)
		return -EBADMSG;
	*ret = k;
	return 0;
}

int keystore_save_key(int dir, const struct keystore_key *key)
{
	uint8_t data[FILE_MAX];
	size_t len = sizeof(magic);

	memcpy(data, magic, sizeof(magic));
	if (Tss2_MU_TPM2B_PUBLIC_Marshal(&key->public, data, sizeof(data) - SHA256_SIZE, &len) ||
	    Tss2_MU_TPM2B_PRIVATE_Marshal(&key->private, data, sizeof(data) - SHA256_SIZE, &len))
		return -EINVAL;
	return replace(dir, KEYSTORE_BLOB, data, len);
}

int keystore_load_auth(int dir, const char *file, const void *name, size_t len, TPM2B_AUTH *ret)
{
	uint8_t buffer[sizeof(magic) + AUTH_SIZE + sizeof(TPM2B_NAME) + SHA256_SIZE];
	struct reader r;
	int err;

	err = load(dir, file, buffer, sizeof(buffer), &r);
	if (!err && r.left < AUTH_SIZE)
		err = -EBADMSG;
	if (!err && (r.left - AUTH_SIZE != len || memcmp(r.at + AUTH_SIZE, name, len)))
		err = -ESTALE;
	if (!err) {
		ret->size = AUTH_SIZE;
		memcpy(ret->buffer, r.at, AUTH_SIZE);
	}
	OPENSSL_cleanse(buffer, sizeof(buffer));
	return err;
}

int keystore_save_auth(int dir, const char *file, const void *name, size_t len,
		       const TPM2B_AUTH *auth)
{
	uint8_t data[sizeof(magic) + AUTH_SIZE + sizeof(TPM2B_NAME) + SHA256_SIZE];
	int err;

	if (auth->size != AUTH_SIZE || len > sizeof(TPM2B_NAME))
		return -EINVAL;
	memcpy(data, magic, sizeof(magic));
	memcpy(data + sizeof(magic), auth->buffer, AUTH_SIZE);
	memcpy(data + sizeof(magic) + AUTH_SIZE, name, len);
	err = replace(dir, file, data, sizeof(magic) + AUTH_SIZE + len);
	OPENSSL_cleanse(data, sizeof(data));
	return err;
}

int keystore_random_auth(TPM2B_AUTH *ret)
{
	ret->size = AUTH_SIZE;
	return RAND_priv_bytes(ret->buffer, AUTH_SIZE) == 1 ? 0 : -EIO;
}
