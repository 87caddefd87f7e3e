/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record of any bytes: what is accepted can be shown in every form, and nothing unprintable gets
 * out.
 */
#include "record/codec.h"

#include <stdlib.h>
#include <string.h>

#include "cli/compact.h"
#include "cli/filter.h"
#include "record/ocsf.h"

static void check(int condition)
{
	if (!condition)
		abort();
}

static void check_ascii_line(const struct buffer *out, size_t newlines)
{
	check(!buffer_error(out) && out->len);
	for (size_t i = 0; i < out->len; i++) {
		uint8_t c = out->data[i];

		check((c >= 0x20 && c < 0x80) || (c == '\n' && newlines));
		newlines -= c == '\n';
	}
	check(!newlines);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct filter *filter;
	_cleanup_(record_freep) Affiant__V1__Record *r = NULL;
	_cleanup_buffer_ struct buffer out = {};

	if (!filter) {
		check(!filter_new(&filter));
		filter_add(filter, FILTER_DST, "10.0.0.0/7:443");
		filter_add(filter, FILTER_DST, "[2001:db8::/33]");
		filter_add(filter, FILTER_DST, "@*");
		filter_add(filter, FILTER_SESSION, "abcd");
		filter_add(filter, FILTER_AGENT, "*");
	}
	if (record_unpack(data, len, &r))
		return 0;
	(void)filter_match(filter, r);
	check(!ocsf_of_record(r, &out));
	check_ascii_line(&out, 0);
	buffer_clear(&out);
	compact_line(r, &(struct compact_style){.ascii = true}, &out);
	check_ascii_line(&out, 1);
	return 0;
}
