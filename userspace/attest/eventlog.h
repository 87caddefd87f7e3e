/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eventlog: what firmware and boot loaders say they extended PCRs with:
 * /sys/kernel/security/tpm0/binary_bios_measurements (TCG PC Client Platform Firmware Profile 1.05,
 * section 10; integers are little-endian).
 *
 * The log is a story that its sender tells. What a quote vouches for, once replayed PCR values are
 * the quoted ones, is the sequence of digests of each PCR: not their event types, not the event
 * data, not the order between PCRs. So the facts below rest on digests alone, or on data whose hash
 * is the digest. The order of work: eventlog_parse(), eventlog_replay() and comparison with the
 * quote, then eventlog_read() in the same bank, then rules.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attest/pcr.h"
#include "base/reader.h"

#define EVENTLOG_SIZE_MAX (16u << 20)
#define EVENTLOG_EVENTS_MAX 65536u
#define EVENTLOG_ALGS_MAX 8u

/* Event types */
enum eventlog_type {
	EV_POST_CODE = 0x1,
	EV_NO_ACTION = 0x3,
	EV_SEPARATOR = 0x4,
	EV_ACTION = 0x5,
	EV_EVENT_TAG = 0x6,
	EV_S_CRTM_CONTENTS = 0x7,
	EV_S_CRTM_VERSION = 0x8,
	EV_CPU_MICROCODE = 0x9,
	EV_PLATFORM_CONFIG_FLAGS = 0xa,
	EV_TABLE_OF_DEVICES = 0xb,
	EV_COMPACT_HASH = 0xc,
	EV_IPL = 0xd,
	EV_IPL_PARTITION_DATA = 0xe,
	EV_NONHOST_CODE = 0xf,
	EV_NONHOST_CONFIG = 0x10,
	EV_NONHOST_INFO = 0x11,
	EV_OMIT_BOOT_DEVICE_EVENTS = 0x12,
	EV_POST_CODE2 = 0x13,
	EV_EFI_VARIABLE_DRIVER_CONFIG = 0x80000001,
	EV_EFI_VARIABLE_BOOT = 0x80000002,
	EV_EFI_BOOT_SERVICES_APPLICATION = 0x80000003,
	EV_EFI_BOOT_SERVICES_DRIVER = 0x80000004,
	EV_EFI_RUNTIME_SERVICES_DRIVER = 0x80000005,
	EV_EFI_GPT_EVENT = 0x80000006,
	EV_EFI_ACTION = 0x80000007,
	EV_EFI_PLATFORM_FIRMWARE_BLOB = 0x80000008,
	EV_EFI_HANDOFF_TABLES = 0x80000009,
	EV_EFI_PLATFORM_FIRMWARE_BLOB2 = 0x8000000a,
	EV_EFI_HANDOFF_TABLES2 = 0x8000000b,
	EV_EFI_VARIABLE_BOOT2 = 0x8000000c,
	EV_EFI_GPT_EVENT2 = 0x8000000d,
	EV_EFI_HCRTM_EVENT = 0x80000010,
	EV_EFI_VARIABLE_AUTHORITY = 0x800000e0,
	EV_EFI_SPDM_FIRMWARE_BLOB = 0x800000e1,
	EV_EFI_SPDM_FIRMWARE_CONFIG = 0x800000e2,
	EV_EFI_SPDM_DEVICE_POLICY = 0x800000e3,
	EV_EFI_SPDM_DEVICE_AUTHORITY = 0x800000e4,
};

enum eventlog_tier {
	/*
	 * 0 bytes, common on virtual TPMs: the boot is unknown, which is neither good nor an error
	 */
	EVENTLOG_NONE,
	/* TCG_PCR_EVENT throughout, no header or one of TPM 1.2's: nothing can rest on it */
	EVENTLOG_SHA1,
	EVENTLOG_AGILE, /* "Spec ID Event03", digests per bank */
};

struct eventlog_event {
	uint32_t pcr;          /* below TPM2_PCRS, but for EV_NO_ACTION, which may name any */
	uint32_t type;         /* enum eventlog_type, or unknown */
	struct reader digests; /* as they stand there; see eventlog_digest() */
	struct reader data;
};

struct eventlog {
	enum eventlog_tier tier;
	struct {
		uint16_t alg, size;
	} algs[EVENTLOG_ALGS_MAX]; /* unknown ones too, with the header's size */
	size_t algs_count;
	uint8_t locality;              /* PCR 0 starts with it */
	struct eventlog_event *events; /* the header is none */
	size_t count;
};

/*
 * @data is borrowed for as long as the log is used. -EBADMSG: malformed: cut short, a tail, a size
 * or count out of bounds, an event whose digests are not exactly one of each algorithm of the
 * header, a known algorithm with another size than its own, an extend of a PCR that there isn't, a
 * StartupLocality that is doubled, above 4, or behind PCR 0's first extend. -E2BIG: more than the
 * maxima above. -ENOMEM. The log is freed with eventlog_free().
 *
 * What is left of the area that firmware kept the log in is no tail: at least an event's head of
 * zeros, or of 0xff, and nothing else up to the end.
 */
int eventlog_parse(const void *data, size_t len, struct eventlog **ret);
void eventlog_free(struct eventlog *l);

/* The event's digest for a bank, of tpm2_digest_size() bytes, borrowed; NULL: there is none. */
const uint8_t *eventlog_digest(const struct eventlog *l, const struct eventlog_event *e,
			       uint16_t alg);

/*
 * The values that a TPM comes to by this log, from a reset on, in one bank; ret->extended tells
 * which PCRs the log speaks of. -ENOENT: the log has no digests for that bank; -EINVAL: we can't
 * calculate it.
 */
int eventlog_replay(const struct eventlog *l, uint16_t alg, struct pcr_bank *ret);

enum eventlog_kind {
	/*
	 * A type that is unknown, or not for that PCR, or whose data ought to hash to the digest
	 * and doesn't: whoever decides by that PCR fails (facts.unexplained).
	 */
	EVENTLOG_UNEXPLAINED,
	EVENTLOG_NOTHING, /* EV_NO_ACTION: extends nothing, proves nothing */
	EVENTLOG_SEPARATOR,
	EVENTLOG_ACTION,   /* text: one of the firmware profile's own strings */
	EVENTLOG_VARIABLE, /* text: UEFI_VARIABLE_DATA, or the variable's content alone */
	/* of firmware or its configuration, or an action in words of the vendor's own */
	EVENTLOG_FIRMWARE,
	EVENTLOG_IMAGE, /* of a PE image (Authenticode), that firmware or shim loaded */
	/* by a boot loader or a stub: a string, a file, a section of a unified kernel image */
	EVENTLOG_LOADER,
};

/* What an event shows, parallel to log->events */
struct eventlog_fact {
	enum eventlog_kind kind;
	/*
	 * Before the first event of its PCR that may be the separator by its digest, whatever the
	 * log calls that; in PCRs 8–23, which have none, always
	 */
	bool early;
	/*
	 * The part of the data whose hash is the digest: it was measured. Empty: the digest alone
	 * is the fact, all data are but a hint for people. GRUB's "kernel_cmdline: " and its like
	 * are not hashed, and not in here: which of them stood before a string, nobody can know.
	 */
	struct reader text;
};

enum eventlog_answer { EVENTLOG_UNKNOWN, EVENTLOG_NO, EVENTLOG_YES };

struct eventlog_facts {
	uint16_t alg;
	/*
	 * bit n: PCR n of 0–7 has exactly one separator, and it reports no error. But for PCR 7, an
	 * event of another type that could have a separator's digest is none: "BootOrder" with
	 * 0001,0000 in it, a vendor's record of four zeros. One that would report an error is such
	 * an event only where PCR 7 has a sound separator.
	 */
	uint32_t separators;
	uint32_t unexplained; /* bit n: PCR n has such an event */
	/*
	 * By the one measurement of the variable SecureBoot, before PCR 7's separator.
	 * EVENTLOG_UNKNOWN where that is absent, doubled, neither 0 nor 1, where PCR 7 has no sound
	 * separator or an unexplained event.
	 */
	enum eventlog_answer secure_boot;
	bool debugger; /* PCR 7 was extended with "UEFI Debug Mode", whatever the log calls it */
	bool dma_unprotected;    /* likewise "DMA Protection Disabled" */
	bool exit_boot_services; /* PCR 5: they returned with success */
	struct eventlog_fact *events;
};

/*
 * In one bank. @pcrs: those whose quoted values the log leads to (bit n: PCR n); events in others
 * are nobody's word, and show nothing. -ENOENT, -EINVAL as eventlog_replay(); cleared with
 * eventlog_facts_clear(); texts are borrowed from the log.
 */
int eventlog_read(const struct eventlog *l, uint16_t alg, uint32_t pcrs,
		  struct eventlog_facts *ret);
void eventlog_facts_clear(struct eventlog_facts *f);

/*
 * A rule of a policy. An event of one of the PCRs meets it when its digest is listed, or its text
 * is. Event types are of no account: nobody vouches for them.
 */
struct eventlog_rule {
	uint32_t pcrs;          /* bit n: PCR n */
	const uint8_t *digests; /* of the bank's size, back to back */
	size_t digests_count;
	/*
	 * ASCII, compared with the text in ASCII or UTF-16LE, zeros at its end left out; with '*'
	 * at the end: whatever begins so.
	 */
	const char *const *texts;
	size_t texts_count;
	size_t least; /* so many events must meet it */
	bool early;   /* only events before the separator meet it */
};

/* Whether something that went into @pcr meets it; @text: what is known to have been measured. */
bool eventlog_rule_meets(const struct eventlog_rule *rule, uint32_t pcr, const uint8_t *digest,
			 size_t size, struct reader text);

enum eventlog_finding {
	EVENTLOG_FOUND_NOTHING, /* all is as the rules have it */
	/* one in a closed PCR that meets no rule, and is no separator and no action */
	EVENTLOG_FOUND_EVENT,
	EVENTLOG_FOUND_RULE, /* one that too few events meet */
	/* a closed one without exactly one sound separator (0–7), or with an unexplained event */
	EVENTLOG_FOUND_PCR,
};

/*
 * @closed: PCRs in which every event must meet a rule, so that an event can't hide under another
 * type. An action needs none: whether a debugger or the like is let pass is for the caller to see
 * in the facts. *ret_which: the number of the event, of the rule, or of the PCR.
 */
enum eventlog_finding eventlog_check(const struct eventlog *l, const struct eventlog_facts *f,
				     uint32_t closed, const struct eventlog_rule *rules,
				     size_t rules_count, size_t *ret_which);
