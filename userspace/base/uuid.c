/* SPDX-License-Identifier: Apache-2.0 */
#include "base/uuid.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/digest.h"

static void stamp(struct uuid *u, uint64_t wall_ns)
{
	uint64_t ms = wall_ns / 1000000;

	for (int i = 0; i < 6; i++)
		u->bytes[i] = ms >> (40 - 8 * i);
	u->bytes[6] = 0x70 | (u->bytes[6] & 0x0f);
	u->bytes[8] = 0x80 | (u->bytes[8] & 0x3f);
}

int uuid7_new(uint64_t wall_ns, struct uuid *ret)
{
	struct uuid u;

	if (getrandom(u.bytes, sizeof(u.bytes), 0) != (ssize_t)sizeof(u.bytes))
		return -errno;
	stamp(&u, wall_ns);
	*ret = u;
	return 0;
}

int uuid7_derive(uint64_t wall_ns, const void *seed, size_t len, struct uuid *ret)
{
	struct sha256 h;
	int err = sha256_of(seed, len, &h);

	if (err)
		return err;
	memcpy(ret->bytes, h.bytes, UUID_SIZE);
	stamp(ret, wall_ns);
	return 0;
}

void uuid_format(const struct uuid *u, char ret[static UUID_TEXT_SIZE])
{
	static const uint8_t groups[] = {4, 2, 2, 2, 6};
	const uint8_t *from = u->bytes;

	for (size_t i = 0; i < sizeof(groups); i++) {
		hex_encode(from, groups[i], ret); /* and a NUL, where the hyphen comes */
		from += groups[i];
		ret += 2 * groups[i];
		if (i + 1 < sizeof(groups))
			*ret++ = '-';
	}
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int uuid_parse(const char *text, struct uuid *ret)
{
	static const uint8_t groups[] = {4, 2, 2, 2, 6};
	struct uuid u;
	uint8_t *to = u.bytes;

	if (strlen(text) != UUID_TEXT_SIZE - 1)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(groups); i++) {
		if (i > 0 && *text++ != '-')
			return -EINVAL;
		for (size_t k = 0; k < groups[i]; k++, text += 2) {
			const int high = digit_of(text[0]), low = digit_of(text[1]);

			if (high < 0 || low < 0)
				return -EINVAL;
			*to++ = high << 4 | low;
		}
	}
	*ret = u;
	return 0;
}
