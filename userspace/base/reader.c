/* SPDX-License-Identifier: Apache-2.0 */
#include "base/reader.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

struct reader reader_of(const void *data, size_t len)
{
	return (struct reader){.at = data, .left = len};
}

int reader_copy(struct reader *r, size_t len, void *ret)
{
	if (r->left < len)
		return -EBADMSG;
	if (len) /* memcpy(3) takes no NULL, not even for nothing */
		memcpy(ret, r->at, len);
	r->at += len;
	r->left -= len;
	return 0;
}

int reader_u8(struct reader *r, uint8_t *ret)
{
	return reader_copy(r, sizeof(*ret), ret);
}

#define DEFINE_GETTER(bits, order)                                                                 \
	int reader_u##bits##order(struct reader *r, uint##bits##_t *ret)                           \
	{                                                                                          \
		uint##bits##_t raw;                                                                \
		int err = reader_copy(r, sizeof(raw), &raw);                                       \
                                                                                                   \
		if (!err)                                                                          \
			*ret = order##bits##toh(raw);                                              \
		return err;                                                                        \
	}

DEFINE_GETTER(16, be)
DEFINE_GETTER(32, be)
DEFINE_GETTER(64, be)
DEFINE_GETTER(16, le)
DEFINE_GETTER(32, le)
DEFINE_GETTER(64, le)

int reader_varint(struct reader *r, uint64_t *ret)
{
	struct reader at = *r;
	uint64_t value = 0;
	uint8_t byte;
	int err;

	for (int shift = 0; shift < 64; shift += 7) {
		err = reader_u8(&at, &byte);
		if (err)
			return err;
		if (shift == 63 && byte > 1)
			return -EBADMSG;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*r = at;
			*ret = value;
			return 0;
		}
	}
	return -EBADMSG;
}

int reader_bytes(struct reader *r, size_t len, struct reader *ret)
{
	if (r->left < len)
		return -EBADMSG;
	*ret = (struct reader){.at = r->at, .left = len};
	r->at += len;
	r->left -= len;
	return 0;
}

int reader_end(const struct reader *r)
{
	return r->left ? -EBADMSG : 0;
}
