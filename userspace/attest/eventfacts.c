/* SPDX-License-Identifier: Apache-2.0 */
/* eventlog: what its events show, beyond the values they lead to. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attest/eventlog.h"
#include "attest/hash.h"
#include "base/cleanup.h"

#define SEPARATED_PCRS 8u
#define SECURE_BOOT_PCR 7

/*
 * Measured as they stand here, without a NUL: the EV_EFI_ACTION and EV_ACTION strings of the
 * Platform Firmware Profile, and Microsoft's for DMA protection
 */
static const char *const actions[] = {
	"Calling EFI Application from Boot Option",
	"Returning from EFI Application from Boot Option",
	"Exit Boot Services Invocation",
	"Exit Boot Services Returned with Failure",
	"Exit Boot Services Returned with Success",
	"UEFI Debug Mode",
	"DMA Protection Disabled",
	"BOOT ATTEMPTS OMITTED",
	"Start Option ROM Scan",
	"Calling INT 18h",
	"Calling INT 19h",
	"Returned INT 18h",
	"Returned via INT 18h",
};

/*
 * EFI_GLOBAL_VARIABLE, then a name of ten characters and one byte of data:
 * 8be4df61-93ca-11d2-aa0d-00e098032b8c
 */
static const uint8_t secure_boot_head[] = {
	0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98,
	0x03, 0x2b, 0x8c, 10,   0,    0,    0,    0,    0,    0,    0,    1,    0,
	0,    0,    0,    0,    0,    0,    'S',  0,    'e',  0,    'c',  0,    'u',
	0,    'r',  0,    'e',  0,    'B',  0,    'o',  0,    'o',  0,    't',  0,
};

struct reading {
	const struct eventlog *log;
	struct eventlog_facts *facts;
	uint8_t separator[2][TPM2_DIGEST_MAX]; /* digests of 0 and of all ones, */
	uint8_t failure[TPM2_DIGEST_MAX];      /* and of the one that reports an error */
	uint8_t debugger[TPM2_DIGEST_MAX], dma[TPM2_DIGEST_MAX], exited[TPM2_DIGEST_MAX];
	size_t size;
	uint32_t pcrs;
	unsigned int separators[TPM2_PCRS];
	/* bit n: PCR n had what may be its separator: no event behind it is early */
	uint32_t parted;
	/* bit n: PCR n's separator reports an error, or is a separator under another name */
	uint32_t failed;
	/* bit n: a digest that would report an error in PCR n is told as another event's */
	uint32_t excused;
	unsigned int secure_boots;
	uint8_t secure_boot;
};

/* Sets the text when its hash is the digest. */
static bool vouch(const struct reading *r, struct reader text, const uint8_t *digest,
		  struct reader *ret)
{
	uint8_t hash[TPM2_DIGEST_MAX];

	if (hash_of(r->facts->alg, text.at, text.left, hash) || memcmp(hash, digest, r->size))
		return false;
	*ret = text;
	return true;
}

static struct reader without(struct reader text, size_t head, size_t tail)
{
	return reader_of(text.at + head, text.left - head - tail);
}

static bool equals(const uint8_t *a, const uint8_t *b, const struct reading *r)
{
	return !memcmp(a, b, r->size);
}

/* UEFI_VARIABLE_DATA: the name's length counts characters of two bytes. */
static int get_variable(struct reader r, struct reader *ret_name, struct reader *ret_content)
{
	uint64_t name, content;
	struct reader guid;
	int err;

	err = reader_bytes(&r, 16, &guid) ?: reader_u64le(&r, &name) ?: reader_u64le(&r, &content);
	if (err)
		return err;
	if (name > r.left / 2)
		return -EBADMSG;
	return reader_bytes(&r, 2 * name, ret_name) ?: reader_bytes(&r, content, ret_content) ?: reader_end(&r);
}

static enum eventlog_kind read_variable(struct reading *r, const struct eventlog_event *e,
					const uint8_t *digest, struct eventlog_fact *f)
{
	struct reader name, content;
	const bool sound = !get_variable(e->data, &name, &content);

	if (sound && vouch(r, e->data, digest, &f->text))
		return EVENTLOG_VARIABLE;
	/* Shim before its commit 8a27a4809a6a wrote a byte too much into the log. */
	if (e->type == EV_EFI_VARIABLE_AUTHORITY && e->data.left &&
	    vouch(r, without(e->data, 0, 1), digest, &f->text))
		return EVENTLOG_VARIABLE;
	/* Of boot variables EDK II measured the content alone. */
	if (sound && (e->type == EV_EFI_VARIABLE_BOOT || e->type == EV_EFI_VARIABLE_BOOT2) &&
	    vouch(r, content, digest, &f->text))
		return EVENTLOG_VARIABLE;
	return EVENTLOG_UNEXPLAINED;
}

/*
 * Vendors have strings of their own: what they measured is known, what it means is for a rule to
 * say.
 */
static enum eventlog_kind read_action(const struct reading *r, const struct eventlog_event *e,
				      const uint8_t *digest, struct eventlog_fact *f)
{
	struct reader text = e->data;

	if (text.left && text.at[text.left - 1] == '\0')
		text.left--;
	if (!vouch(r, text, digest, &f->text) && !vouch(r, e->data, digest, &f->text))
		return EVENTLOG_UNEXPLAINED;
	for (size_t i = 0; i < sizeof(actions) / sizeof(*actions); i++)
		if (text.left == strlen(actions[i]) && !memcmp(text.at, actions[i], text.left))
			return EVENTLOG_ACTION;
	return EVENTLOG_FIRMWARE;
}

/*
 * What was hashed of a boot loader's data, if any of it was: GRUB leaves out "what: " and the NUL,
 * stubs nothing.
 */
static enum eventlog_kind read_loader(const struct reading *r, const struct eventlog_event *e,
				      const uint8_t *digest, struct eventlog_fact *f)
{
	const size_t nul = e->data.left && e->data.at[e->data.left - 1] == '\0';
	const uint8_t *colon = memmem(e->data.at, e->data.left, ": ", 2);
	struct reader tagged = e->data;
	uint32_t id, size;

	if (e->type == EV_EVENT_TAG) { /* TCG_PCClientTaggedEvent */
		if (!reader_u32le(&tagged, &id) && !reader_u32le(&tagged, &size) &&
		    size == tagged.left)
			vouch(r, tagged, digest, &f->text);
		return EVENTLOG_LOADER;
	}
	if (vouch(r, e->data, digest, &f->text) ||
	    (nul && vouch(r, without(e->data, 0, 1), digest, &f->text)) || !colon)
		return EVENTLOG_LOADER;
	tagged = without(e->data, colon + 2 - e->data.at, 0);
	if (!vouch(r, tagged, digest, &f->text) && nul && tagged.left)
		vouch(r, without(tagged, 0, 1), digest, &f->text);
	return EVENTLOG_LOADER;
}

static enum eventlog_kind kind_of(struct reading *r, const struct eventlog_event *e,
				  const uint8_t *digest, struct eventlog_fact *f)
{
	switch (e->type) {
	case EV_EFI_VARIABLE_DRIVER_CONFIG:
		return e->pcr == SECURE_BOOT_PCR && !f->early ? EVENTLOG_UNEXPLAINED
							      : read_variable(r, e, digest, f);
	case EV_EFI_VARIABLE_BOOT:
	case EV_EFI_VARIABLE_BOOT2:
	case EV_EFI_VARIABLE_AUTHORITY:
	case EV_EFI_SPDM_DEVICE_POLICY:
	case EV_EFI_SPDM_DEVICE_AUTHORITY:
		return read_variable(r, e, digest, f);
	case EV_EFI_ACTION:
	case EV_ACTION:
	case EV_OMIT_BOOT_DEVICE_EVENTS:
		return read_action(r, e, digest, f);
	case EV_EFI_BOOT_SERVICES_APPLICATION:
	case EV_EFI_BOOT_SERVICES_DRIVER:
	case EV_EFI_RUNTIME_SERVICES_DRIVER:
		return EVENTLOG_IMAGE;
	case EV_IPL:
	case EV_IPL_PARTITION_DATA:
	case EV_EVENT_TAG:
		return read_loader(r, e, digest, f);
	case EV_POST_CODE:
	case EV_S_CRTM_CONTENTS ... EV_COMPACT_HASH:
	case EV_NONHOST_CODE ... EV_NONHOST_INFO:
	case EV_POST_CODE2:
	case EV_EFI_GPT_EVENT:
	case EV_EFI_GPT_EVENT2:
	case EV_EFI_PLATFORM_FIRMWARE_BLOB ... EV_EFI_HANDOFF_TABLES2:
	case EV_EFI_HCRTM_EVENT:
	case EV_EFI_SPDM_FIRMWARE_BLOB ... EV_EFI_SPDM_FIRMWARE_CONFIG:
		vouch(r, e->data, digest, &f->text);
		return EVENTLOG_FIRMWARE;
	}
	return EVENTLOG_UNEXPLAINED;
}

/*
 * The digest tells what may be a separator, not the type: nothing behind it is early, whatever the
 * log calls it. Else a separator could be renamed, facts be extended behind it, and another
 * separator behind those.
 *
 * That granted, a type that could have such a digest is believed: "BootOrder" 0001,0000 has the bytes
 * of a separator that reports an error, some vendors measure a record of four zeros. To rename a
 * separator gains nothing then, but that an error is not seen in this PCR: eventlog_read() sees to
 * that. In PCR 7 every event is longer, and there is none to mistake.
 */
static bool is_separator(struct reading *r, const struct eventlog_event *e, const uint8_t *digest,
			 struct eventlog_fact *f)
{
	const bool failure = equals(digest, r->failure, r);
	const uint32_t bit = 1u << e->pcr;

	if (e->pcr >= SEPARATED_PCRS || (!failure && !equals(digest, r->separator[0], r) &&
					 !equals(digest, r->separator[1], r)))
		return false;
	r->parted |= bit;
	if (e->pcr != SECURE_BOOT_PCR && kind_of(r, e, digest, f) != EVENTLOG_UNEXPLAINED) {
		r->excused |= failure ? bit : 0;
		return false;
	}
	r->separators[e->pcr]++;
	f->kind = EVENTLOG_SEPARATOR;
	if (failure || e->type != EV_SEPARATOR || !vouch(r, e->data, digest, &f->text))
		r->failed |= bit;
	return true;
}

/* In PCR 7, of Secure Boot, nothing else has a place. */
static bool belongs(uint32_t pcr, enum eventlog_kind kind)
{
	return pcr != SECURE_BOOT_PCR || kind == EVENTLOG_VARIABLE || kind == EVENTLOG_ACTION;
}

static void read_event(struct reading *r, const struct eventlog_event *e, struct eventlog_fact *f)
{
	const uint8_t *digest = eventlog_digest(r->log, e, r->facts->alg);

	if (e->type == EV_NO_ACTION || !(r->pcrs & 1u << e->pcr)) {
		f->kind = EVENTLOG_NOTHING;
		return;
	}
	f->early = !(r->parted & 1u << e->pcr);
	if (is_separator(r, e, digest, f))
		return;
	f->kind = kind_of(r, e, digest, f);
	if (!belongs(e->pcr, f->kind))
		f->kind = EVENTLOG_UNEXPLAINED;
	if (f->kind == EVENTLOG_UNEXPLAINED)
		r->facts->unexplained |= 1u << e->pcr;
	if (e->pcr == SECURE_BOOT_PCR) {
		r->facts->debugger |= equals(digest, r->debugger, r);
		r->facts->dma_unprotected |= equals(digest, r->dma, r);
	}
	if (e->pcr == 5)
		r->facts->exit_boot_services |= equals(digest, r->exited, r);
	if (e->pcr == SECURE_BOOT_PCR && f->kind == EVENTLOG_VARIABLE &&
	    f->text.left == sizeof(secure_boot_head) + 1 &&
	    !memcmp(f->text.at, secure_boot_head, sizeof(secure_boot_head))) {
		r->secure_boots +=
			f->early ? 1 : 2; /* where it has no business it decides nothing */
		r->secure_boot = f->text.at[sizeof(secure_boot_head)];
	}
}

static int prepare(struct reading *r)
{
	static const uint8_t ones[4] = {0xff, 0xff, 0xff, 0xff}, failure[4] = {1};
	const uint16_t alg = r->facts->alg;

	r->size = tpm2_digest_size(alg);
	return hash_of(alg, "\0\0\0", 4, r->separator[0]) ?: hash_of(alg, ones, 4, r->separator[1]) ?:
	       hash_of(alg, failure, 4, r->failure) ?:
	       hash_of(alg, "UEFI Debug Mode", 15, r->debugger) ?:
	       hash_of(alg, "DMA Protection Disabled", 23, r->dma) ?:
	       hash_of(alg, "Exit Boot Services Returned with Success", 40, r->exited);
}

static bool has_bank(const struct eventlog *l, uint16_t alg)
{
	for (size_t i = 0; i < l->algs_count; i++)
		if (l->algs[i].alg == alg)
			return true;
	return false;
}

int eventlog_read(const struct eventlog *l, uint16_t alg, uint32_t pcrs, struct eventlog_facts *ret)
{
	struct eventlog_facts f = {.alg = alg};
	struct reading r = {.log = l, .facts = &f, .pcrs = pcrs};
	int err = prepare(&r);

	if (err)
		return err;
	if (!has_bank(l, alg))
		return -ENOENT;
	f.events = calloc(l->count ?: 1, sizeof(*f.events));
	if (!f.events)
		return -ENOMEM;
	for (size_t i = 0; i < l->count; i++)
		read_event(&r, &l->events[i], &f.events[i]);
	for (uint32_t pcr = 0; pcr < SEPARATED_PCRS; pcr++)
		if (r.separators[pcr] == 1 && !(r.failed & 1u << pcr))
			f.separators |= 1u << pcr;
	/*
	 * Firmware reports an error in all of PCRs 0-7 (EV_SEPARATOR of the Platform Firmware
	 * Profile): where PCR 7 shows that there was none, such a digest may be another event's.
	 */
	if (!(f.separators & 1u << SECURE_BOOT_PCR))
		f.separators &= ~r.excused;
	if (r.secure_boots == 1 && r.secure_boot <= 1 && f.separators & 1u << SECURE_BOOT_PCR &&
	    !(f.unexplained & 1u << SECURE_BOOT_PCR))
		f.secure_boot = r.secure_boot ? EVENTLOG_YES : EVENTLOG_NO;
	*ret = f;
	return 0;
}

void eventlog_facts_clear(struct eventlog_facts *f)
{
	free(f->events);
	*f = (struct eventlog_facts){};
}
