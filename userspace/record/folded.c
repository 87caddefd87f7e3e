/* SPDX-License-Identifier: Apache-2.0 */
#include "record/folded.h"

static uint64_t plus(uint64_t a, uint64_t b)
{
	return a + b < a ? UINT64_MAX : a + b;
}

static uint64_t fresh(uint64_t count, uint64_t again)
{
	return count > again ? count - again : 0;
}

static uint64_t count_groups(Affiant__V1__FoldedGroup *const *list, size_t n,
			     Affiant__V1__FoldedKind kind)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		if (list[i]->kind == kind)
			sum = plus(sum, fresh(list[i]->count, list[i]->again));
	return sum;
}

uint64_t folded_count(const Affiant__V1__Folded *f, Affiant__V1__FoldedKind kind)
{
	uint64_t sum = plus(count_groups(f->first, f->n_first, kind),
			    count_groups(f->busiest, f->n_busiest, kind));

	for (size_t i = 0; i < f->n_others; i++)
		if (f->others[i]->kind == kind)
			sum = plus(sum, fresh(f->others[i]->count, f->others[i]->again));
	return sum;
}

uint64_t folded_total(const Affiant__V1__Folded *f)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < affiant__v1__folded_kind__descriptor.n_values; i++)
		sum = plus(sum, folded_count(f, (Affiant__V1__FoldedKind)i));
	return sum;
}

static bool is_network(Affiant__V1__FoldedKind kind)
{
	return kind != AFFIANT__V1__FOLDED_KIND__FOLDED_EXEC &&
	       kind != AFFIANT__V1__FOLDED_KIND__FOLDED_EXIT;
}

bool folded_is_network(const Affiant__V1__Folded *f)
{
	bool network = false;

	for (size_t i = 0; i < f->n_first; i++)
		network |= is_network(f->first[i]->kind);
	for (size_t i = 0; i < f->n_busiest; i++)
		network |= is_network(f->busiest[i]->kind);
	for (size_t i = 0; i < f->n_others; i++)
		network |= is_network(f->others[i]->kind);
	return network;
}
