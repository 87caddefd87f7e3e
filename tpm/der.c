/* SPDX-License-Identifier: Apache-2.0 */
#include "tpm/der.h"

#include <errno.h>

#include "base/reader.h"

int der_length(const void *data, size_t len, size_t *ret)
{
	struct reader r = reader_of(data, len), body;
	uint8_t tag, first, byte;
	size_t size = 0;

	if (reader_u8(&r, &tag) || tag != 0x30 || reader_u8(&r, &first))
		return -EBADMSG;
	/* 0x80, a length without a number, is BER. */
	if (first == 0x80 || first > 0x83)
		return -EBADMSG;
	if (first < 0x80)
		size = first;
	for (unsigned int i = 0x80; i < first; i++) {
		if (reader_u8(&r, &byte))
			return -EBADMSG;
		size = size << 8 | byte;
	}
	if (reader_bytes(&r, size, &body))
		return -EBADMSG;
	*ret = len - r.left;
	return 0;
}
