/* SPDX-License-Identifier: Apache-2.0 */
/*
 * systemdlog: what systemd measured after the boot loader, mostly into PCRs 11 and 15:
 * /run/log/systemd/tpm2-measure.log (systemd, docs/TPM2_PCR_MEASUREMENTS.md: JSON text sequences,
 * RFC 7464, much like TCG CEL-JSON). Systemd 255 and later write it, on systems booted by
 * systemd-stub.
 *
 * As with every log, only the digests are vouched for, once they lead to the quoted values. It goes
 * on where the boot log ends.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "attest/pcr.h"

#define SYSTEMDLOG_SIZE_MAX (1u << 20)
#define SYSTEMDLOG_ENTRIES_MAX 4096u
#define SYSTEMDLOG_DIGESTS_MAX 8u
#define SYSTEMDLOG_NV UINT32_MAX

struct systemdlog_entry {
	uint32_t pcr; /* below TPM2_PCRS; SYSTEMDLOG_NV: an NV index, not a PCR */
	struct {
		uint16_t alg;
		uint8_t digest[TPM2_DIGEST_MAX];
	} digests[SYSTEMDLOG_DIGESTS_MAX];
	size_t digests_count; /* of algorithms known here; others are left out */
	char *text; /* what the log says was measured; NULL: nothing. See systemdlog_text(). */
	char *type; /* "phase", "filesystem", "volume-key", "machine-id": nobody's word; NULL */
};

struct systemdlog {
	struct systemdlog_entry *entries;
	size_t count;
};

/*
 * Of 0 bytes a log of no entry. -EBADMSG: malformed, or cut short; -E2BIG: more than the maxima;
 * -ENOMEM.
 */
int systemdlog_parse(const void *data, size_t len, struct systemdlog *ret);
void systemdlog_clear(struct systemdlog *l);

/*
 * Extends what the boot log led to. -ENOENT: an entry has no digest for that bank. Then the bank is
 * as it was.
 */
int systemdlog_replay(const struct systemdlog *l, struct pcr_bank *bank);

/* The digest for that bank; NULL: it has none. */
const uint8_t *systemdlog_digest(const struct systemdlog_entry *e, uint16_t alg);

/*
 * The text, when its hash is the entry's digest for that bank; NULL: the digest alone is known, as
 * of a volume key, which goes into it as HMAC.
 */
const char *systemdlog_text(const struct systemdlog_entry *e, uint16_t alg);
