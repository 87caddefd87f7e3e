/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ima: the kernel's list of what it measured while running, replayed entry by entry
 * (/sys/kernel/security/integrity/ima/binary_runtime_measurements: Linux,
 * security/integrity/ima/ima_fs.c, ima_measurements_show(); templates: ima_template.c,
 * Documentation/security/IMA-templates.rst).
 *
 * A quote vouches for a prefix of the list: that after which PCR 10 has the quoted value. Entries
 * behind it are nobody's word. What a replay tells the caller counts only once that value has been
 * met, not while it goes on.
 *
 * The list grows and is never renumbered, so a verifier keeps a struct ima_state, which is plain
 * bytes, and goes on from it with the entries since. Nothing here needs the whole list in memory.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attest/pcr.h"
#include "base/reader.h"

#define IMA_PCR 10u /* CONFIG_IMA_MEASURE_PCR_IDX, as everybody has it */
#define IMA_AGGREGATE_PCRS 0x3ffu /* 0-9, of which boot_aggregate is, or of some of them */
#define IMA_BANKS_MAX 4u
#define IMA_NAME_MAX 255u /* of a template */
#define IMA_DATA_MAX                                                                               \
	(1u << 20) /* of an entry: larger is refused, so that reading takes bounded memory */

enum ima_order {
	IMA_ORDER_UNKNOWN, /* the first entry tells */
	IMA_LITTLE,        /* little-endian hosts, and all with ima_canonical_fmt */
	IMA_BIG,
};

struct ima_state {
	/* Set these after ima_init(), if they are to differ from its zeros. */
	enum ima_order order;
	/* of the template digest in the list: TPM2_SHA1; later kernels have other lists, too */
	uint16_t log_alg;
	/*
	 * Kernels before 5.8 ("ima: Calculate and extend PCR with digests in ima_template_entry")
	 * extend other banks by the SHA-1 digest with zeros behind it. Then a bank is worth what
	 * SHA-1 is, so this is a mode for a policy to allow, and for the result to name.
	 */
	bool padded;

	/* Found so far */
	uint64_t entries;
	uint64_t violations; /* files changed while they were measured, so unknown */
	uint64_t boots;      /* boot_aggregate entries: more than one after kexec */
	uint64_t strays;     /* entries for another PCR than 10, added to no value */
	uint64_t unknown;    /* entries of templates whose fields we don't know */
	struct {
		uint16_t alg;
		uint8_t value[TPM2_DIGEST_MAX];
	} banks[IMA_BANKS_MAX]; /* PCR 10 */
	size_t banks_count;
};

/*
 * The beginning, PCR 10 zero in each of the banks. -EINVAL: none, too many, or one that can't be
 * calculated.
 */
int ima_init(struct ima_state *s, const uint16_t *algs, size_t count);

/*
 * Whether anything but boot_aggregates was measured: else there is no IMA policy, which is as good
 * as no IMA.
 */
bool ima_measures(const struct ima_state *s);

/* PCR 10 in that bank, NULL: it is not among them. */
const uint8_t *ima_value(const struct ima_state *s, uint16_t alg);

/* All borrowed from the list, until the callback returns. */
struct ima_entry {
	uint64_t number; /* 0: the list's first */
	uint32_t pcr;
	struct reader template; /* its name, or its format where it has none */
	struct reader data;     /* the template data: what was hashed, but for the template "ima" */
	/*
	 * A file was written while it was measured, or the other way round. PCR 10 was extended
	 * with all ones; neither path nor digest are vouched for.
	 */
	bool violation;
	/*
	 * False: a template of a name that is not in the kernel. The hash of its data is vouched
	 * for like any other; what the data say is unknown, and everything below is empty.
	 */
	bool known;
	bool boot_aggregate;
	bool verity;            /* of the fs-verity digest, not of the file (ima-ngv2, ima-sigv2) */
	uint16_t alg;           /* TPM_ALG_ID; 0: none that is known here, or no digest */
	struct reader alg_name; /* as it stands there: "sha256"; empty in the template "ima" */
	struct reader digest;
	/*
	 * Or another name for what was measured. Any bytes but NUL; kernels write '_' for a space
	 * (ima_template_lib.c), so two paths can look the same.
	 */
	struct reader path;
	bool has_path;
	struct reader signature; /* security.ima (sig): present and not empty. Unchecked. */
	struct reader modsig;    /* appended to the file (modsig). Unchecked. */
	struct reader buffer;    /* what was measured, itself (ima-buf) */
};

/* 0 goes on; negative: the replay ends with that. @s: the state after this entry. */
typedef int (*ima_entry_fn)(void *context, const struct ima_state *s, const struct ima_entry *e);

/* What PCR 10 was quoted as; value of the bank's size. */
struct ima_quoted {
	uint16_t alg;
	const uint8_t *value;
};

/*
 * Goes on from @s through the list's next @len bytes. @quoted and @fn may be NULL.
 *
 * 1: PCR 10 has the quoted value, after *ret_used bytes (0: it had it before). What is behind them
 * was not looked at.
 *
 * 0: all whole entries were read. Where *ret_used is less than @len the last one is cut: its rest
 * may come with the next call, and where there is none the list is malformed.
 *
 * -EBADMSG: malformed, or a template digest that is not that of its data (looked at where the
 * list's algorithm is calculated anyway). -EINVAL: @quoted's bank is not in @s. -ENOMEM, or what
 * @fn said. Then *s is as it was.
 */
int ima_replay(struct ima_state *s, const void *data, size_t len, const struct ima_quoted *quoted,
	       ima_entry_fn fn, void *context, size_t *ret_used);

/*
 * The same from a descriptor to its end, with at most 2 MiB in memory. -EBADMSG also for a cut
 * entry at the end. *ret_used counts bytes. Or the error of read(2).
 */
int ima_replay_fd(struct ima_state *s, int fd, const struct ima_quoted *quoted, ima_entry_fn fn,
		  void *context, uint64_t *ret_used);

/*
 * Whether the list meets the quote as kernels do it (padded: false), or else as those before 5.8
 * did (true): 1 and *ret_padded; 0: neither. @s is where both begin; its "padded" is left aside.
 */
int ima_recognise(const struct ima_state *s, const void *data, size_t len,
		  const struct ima_quoted *quoted, bool *ret_padded);

/*
 * Steps over at most @most entries without looking into them: to find an entry, or to count a tail.
 * 0 with *ret_entries and *ret_used; -EBADMSG: malformed. order and log_alg are taken from @s.
 */
int ima_skip(const struct ima_state *s, const void *data, size_t len, uint64_t most,
	     uint64_t *ret_entries, size_t *ret_used);

enum ima_aggregate {
	IMA_AGGREGATE_WRONG,
	IMA_AGGREGATE_0_7, /* kernels before 5.8, and every SHA-1 bank */
	IMA_AGGREGATE_0_9,
};

/*
 * Whether a boot_aggregate is that of the boot's PCR values: the digest over PCRs 0–9, or 0–7, of
 * the bank of its own algorithm (ima_crypto.c, ima_calc_boot_aggregate_tfm()). -ENOENT: that bank
 * is not among @banks; -EINVAL: no such entry.
 */
int ima_aggregate_check(const struct ima_entry *e, const struct pcr_bank *banks, size_t count,
			enum ima_aggregate *ret);
