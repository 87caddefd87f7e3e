/* SPDX-License-Identifier: Apache-2.0 */
/* saved: a pipeline's state, packed and unpacked as the daemon does it. */
#pragma once

#include "pipeline.h"

static inline uint8_t *save(struct attribute *a, size_t *ret_len)
{
	Affiant__V1__State *m = state_save(a);
	uint8_t *packed;

	assert_non_null(m);
	packed = malloc(affiant__v1__state__get_packed_size(m));
	*ret_len = affiant__v1__state__pack(m, packed);
	affiant__v1__state__free_unpacked(m, NULL);
	return packed;
}

static inline int load(struct pipeline *p, Affiant__V1__State *m)
{
	int err;

	attribute_free(p->attribute);
	assert_int_equal(attribute_new(&p->config, &p->attribute), 0);
	err = state_load(p->attribute, m);
	affiant__v1__state__free_unpacked(m, NULL);
	return err;
}

static inline Affiant__V1__State *saved(struct pipeline *p)
{
	size_t len;
	uint8_t *packed = save(p->attribute, &len);
	Affiant__V1__State *m = affiant__v1__state__unpack(NULL, len, packed);

	free(packed);
	assert_non_null(m);
	return m;
}
