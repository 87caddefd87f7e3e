/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A saved state of any content: it is loaded or refused, and what was loaded can be saved, loaded
 * and ended.
 */
#include "collect/attribute.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void check(int condition)
{
	if (!condition)
		abort();
}

static void emit(void *data, uint64_t source, uint32_t part, const uint8_t *record, size_t len)
{
	uint8_t *copy = malloc(len);

	(void)data, (void)source, (void)part;
	check(copy != NULL);
	memcpy(copy, record, len); /* each byte is looked at by the sanitizer */
	free(copy);
}

static const struct attribute_config config = {
	.trust_domain = "example.org",
	.outcome_wait_ns = 1000,
	.failure_wait_ns = 50,
	.connections_max = 64,
	.held_max = 4,
	.emit = emit,
};

static int load(struct attribute **a, Affiant__V1__State *m)
{
	int err;

	check(!attribute_new(&config, a));
	err = state_load(*a, m);
	check(!err || err == -EBADMSG);
	affiant__v1__state__free_unpacked(m, NULL);
	return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Affiant__V1__State *m = affiant__v1__state__unpack(NULL, size, data);
	struct attribute *a;

	if (!m)
		return 0;
	if (!load(&a, m)) {
		m = state_save(a);
		check(m != NULL);
		attribute_free(a);
		check(!load(&a, m));
		attribute_tick(a, 5000);
		attribute_finish(a, true);
	}
	attribute_free(a);
	return 0;
}
