/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/systemdlog.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	__attribute__((cleanup(systemdlog_clear))) struct systemdlog l = {};
	struct pcr_bank bank;

	if (systemdlog_parse(data, len, &l))
		return 0;
	if (l.count > SYSTEMDLOG_ENTRIES_MAX || pcr_bank_init(&bank, TPM2_SHA256))
		abort();
	for (size_t i = 0; i < l.count; i++)
		if (systemdlog_text(&l.entries[i], TPM2_SHA256) && !l.entries[i].text)
			abort();
	(void)systemdlog_replay(&l, &bank);
	return 0;
}
