/* SPDX-License-Identifier: Apache-2.0 */
#include "base/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

/* An EVP_MD_CTX under a name of our own, so that callers need no OpenSSL header. */
static EVP_MD_CTX *evp(struct sha256_context *c)
{
	return (EVP_MD_CTX *)c;
}

int sha256_of(const void *data, size_t len, struct sha256 *ret)
{
	return EVP_Digest(data, len, ret->bytes, NULL, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}

int sha256_new(struct sha256_context **ret)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();

	if (!c)
		return -ENOMEM;
	if (EVP_DigestInit_ex(c, EVP_sha256(), NULL) != 1) {
		EVP_MD_CTX_free(c);
		return -ENOMEM;
	}
	*ret = (struct sha256_context *)c;
	return 0;
}

int sha256_update(struct sha256_context *c, const void *data, size_t len)
{
	return EVP_DigestUpdate(evp(c), data, len) == 1 ? 0 : -ENOMEM;
}

int sha256_final(struct sha256_context *c, struct sha256 *ret)
{
	if (EVP_DigestFinal_ex(evp(c), ret->bytes, NULL) != 1 ||
	    EVP_DigestInit_ex(evp(c), EVP_sha256(), NULL) != 1)
		return -ENOMEM;
	return 0;
}

void sha256_free(struct sha256_context *c)
{
	EVP_MD_CTX_free(evp(c));
}

void hex_encode(const void *data, size_t len, char *ret)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *in = data;

	for (size_t i = 0; i < len; i++) {
		*ret++ = digits[in[i] >> 4];
		*ret++ = digits[in[i] & 15];
	}
	*ret = '\0';
}

int hex_decode(const char *text, size_t len, void *ret, size_t max, size_t *ret_len)
{
	static const char digits[] = "0123456789abcdef";
	const char *high, *low;
	uint8_t *to = ret;

	if (!len || len % 2 || len / 2 > max)
		return -EBADMSG;
	for (size_t i = 0; i < len; i += 2) {
		high = memchr(digits, text[i], 16);
		low = memchr(digits, text[i + 1], 16);
		if (!high || !low)
			return -EBADMSG;
		to[i / 2] = (high - digits) << 4 | (low - digits);
	}
	*ret_len = len / 2;
	return 0;
}
