/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an event log: replayed, read and checked in every bank that it has. */
#include "attest/eventlog.h"

#include <stdlib.h>

#include "base/cleanup.h"

DEFINE_CLEANUP(struct eventlog *, eventlog_free)

static void check(int condition)
{
	if (!condition)
		abort();
}

static void examine(const struct eventlog *l, uint16_t alg)
{
	static const char *const texts[] = {"/boot/*", "", "*", "r"};
	const struct eventlog_rule rules[] = {
		{.pcrs = 1 << 8, .texts = texts, .texts_count = 1},
		{.pcrs = 0xffffff, .texts = texts + 1, .texts_count = 3, .least = 1, .early = true},
	};
	__attribute__((cleanup(eventlog_facts_clear))) struct eventlog_facts f = {};
	struct pcr_bank b;
	size_t which;

	if (eventlog_replay(l, alg, &b))
		return;
	check(!eventlog_read(l, alg, ~0u, &f));
	for (size_t i = 0; i < l->count; i++) {
		const struct reader *data = &l->events[i].data, *text = &f.events[i].text;

		check(l->events[i].type == EV_NO_ACTION || l->events[i].pcr < TPM2_PCRS);
		check(eventlog_digest(l, &l->events[i], alg) != NULL ||
		      l->events[i].type == EV_NO_ACTION);
		check(!text->left ||
		      (text->at >= data->at && text->at + text->left <= data->at + data->left));
	}
	check(f.secure_boot == EVENTLOG_UNKNOWN ||
	      (f.separators & 1 << 7 && !(f.unexplained & 1 << 7)));
	switch (eventlog_check(l, &f, 0xffffff, rules, 2, &which)) {
	case EVENTLOG_FOUND_EVENT:
		check(which < l->count);
		break;
	case EVENTLOG_FOUND_RULE:
		check(which < 2);
		break;
	case EVENTLOG_FOUND_PCR:
		check(which < TPM2_PCRS);
		break;
	case EVENTLOG_FOUND_NOTHING:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	_cleanup_(eventlog_freep) struct eventlog *l = NULL;

	if (eventlog_parse(data, len, &l))
		return 0;
	check(l->algs_count <= EVENTLOG_ALGS_MAX && l->count <= EVENTLOG_EVENTS_MAX &&
	      l->locality <= 4);
	for (size_t i = 0; i < l->algs_count; i++)
		examine(l, l->algs[i].alg);
	return 0;
}
