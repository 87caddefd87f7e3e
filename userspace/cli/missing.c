/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/missing.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

static int add(struct missing_range **list, size_t *count, uint64_t first, uint64_t last)
{
	struct missing_range *more = *list;

	if (!(*count & (*count - 1))) {
		more = reallocarray(more, *count ? 2 * *count : 1, sizeof(*more));
		if (!more)
			return -ENOMEM;
		*list = more;
	}
	more[(*count)++] = (struct missing_range){.first = first, .last = last};
	return 0;
}

int missing_hole(struct missing *m, uint64_t first, uint64_t last)
{
	return add(&m->holes, &m->holes_count, first, last);
}

int missing_read(struct missing *m, const Affiant__V1__Record *r)
{
	const Affiant__V1__Gap *g = r->gap;

	if (r->body_case != AFFIANT__V1__RECORD__BODY_GAP || !g->has_last_sequence)
		return 0;
	return add(&m->gaps, &m->gaps_count, g->first_sequence, g->last_sequence);
}

static bool is_told(const struct missing *m, struct missing_range hole)
{
	for (size_t i = 0; i < m->gaps_count && hole.first <= hole.last; i++) {
		const struct missing_range *gap = &m->gaps[i];

		if (gap->first > hole.first || gap->last < hole.first)
			continue;
		if (gap->last >= hole.last)
			return true;
		/* Several can tell of one: those behind it may lie before it in the list. */
		hole.first = gap->last + 1;
		i = (size_t)-1;
	}
	return false;
}

bool missing_next(struct missing *m, struct missing_range *ret)
{
	while (m->holes_count) {
		struct missing_range hole = m->holes[--m->holes_count];

		if (is_told(m, hole))
			continue;
		*ret = hole;
		return true;
	}
	free(m->holes);
	m->holes = NULL;
	return false;
}

bool missing_say(struct missing *m, FILE *to)
{
	struct missing_range range;
	bool any = false;

	while (missing_next(m, &range)) {
		fprintf(to,
			"affiant events: records %" PRIu64 " to %" PRIu64
			" are missing, and no Gap tells of them\n",
			range.first, range.last);
		any = true;
	}
	return any;
}

void missing_done(struct missing *m)
{
	free(m->holes);
	free(m->gaps);
	*m = (struct missing){};
}
