/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter: which records to show. Values of one kind are alternatives, kinds add up. A record that
 * lacks what a filter asks for does not pass.
 */
#pragma once

#include <affiant/v1/record.pb-c.h>
#include <stdbool.h>
#include <stdint.h>

struct filter;

int filter_new(struct filter **ret);
void filter_free(struct filter *f);

/*
 * By the names of the options: -EINVAL when @value is none of what filter_allowed() says, or
 * -ENOMEM.
 */
enum filter_kind {
	FILTER_AGENT,     /* glob: name or SPIFFE ID */
	FILTER_SESSION,   /* UUID, or at least 4 characters of its beginning or end */
	FILTER_TASK,      /* glob */
	FILTER_PRINCIPAL, /* glob */
	FILTER_DST,       /* port, address, CIDR, either with a port, or a glob of a Unix
		      socket's name (record/socketname.h) */
	FILTER_OUTCOME,   /* words, by commas */
	FILTER_TYPE,      /* words, by commas */
};
int filter_add(struct filter *f, enum filter_kind kind, const char *value);

/* In words, for an error message. */
const char *filter_allowed(enum filter_kind kind);

/* Wall time, inclusive: the record's own, which may have stepped. */
void filter_since(struct filter *f, uint64_t ns);
void filter_until(struct filter *f, uint64_t ns);

bool filter_match(const struct filter *f, const Affiant__V1__Record *r);

/*
 * A loss or a gap that was kept back, though not by the choice of types that name them, and that may
 * concern what was asked for: it belongs to no agent, and happened before it was told.
 */
bool filter_hides_loss(const struct filter *f, const Affiant__V1__Record *r);

/* FILTER_DST was given: what passes was asked for by name. */
bool filter_names_destination(const struct filter *f);

/* A Folded record that was kept back, and counts what was asked for, or may do so. */
bool filter_hides_folded(const struct filter *f, const Affiant__V1__Record *r);
