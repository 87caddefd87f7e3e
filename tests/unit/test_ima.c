/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/ima.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "attest/eventlog.h"
#include "attest/hash.h"
#include "attest_samples.h"
#include "base/cleanup.h"
#include "base/digest.h"

static const uint16_t banks[] = {TPM2_SHA1, TPM2_SHA256, TPM2_SHA384, TPM2_SHA512};
static const char *const bank_names[] = {"sha1", "sha256", "sha384", "sha512"};

#define ENTRIES 19 /* of ima/templates */

static size_t bank_of(const char *name)
{
	for (size_t i = 0; i < 4; i++)
		if (!strcmp(bank_names[i], name))
			return i;
	fail_msg("%s", name);
	return 0;
}

static size_t unhex(const char *hex, uint8_t *ret)
{
	size_t n = 0;

	for (; sscanf(hex + 2 * n, "%2hhx", &ret[n]) == 1; n++)
		;
	return n;
}

static struct ima_state begin(bool padded)
{
	struct ima_state s;

	memset(&s, 0xa5, sizeof(s));
	assert_int_equal(ima_init(&s, banks, 4), 0);
	s.padded = padded;
	return s;
}

/* PCR 10 as the generator has it: [mode][bank][entries] */
static uint8_t expected[2][4][ENTRIES + 1][TPM2_DIGEST_MAX];

static void read_expected(const char *name)
{
	_cleanup_sample_ struct sample s = sample_text(name);
	char *save, *line, bank[16], mode[16], hex[129];
	size_t entries, seen = 0;

	memset(expected, 0, sizeof(expected));
	for (line = strtok_r((char *)s.data, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save), seen++) {
		assert_int_equal(sscanf(line, "%15s %15s %zu %128s", bank, mode, &entries, hex), 4);
		assert_in_range(entries, 1, ENTRIES);
		unhex(hex, expected[!strcmp(mode, "padded")][bank_of(bank)][entries]);
	}
	assert_int_equal(seen, 2 * 4 * ENTRIES);
}

static void put_hex(FILE *f, const struct reader *r)
{
	for (size_t i = 0; i < r->left; i++)
		fprintf(f, "%02x", r->at[i]);
	fputs(r->left ? "\t" : "-\t", f);
}

static void put_text(FILE *f, const struct reader *r, const char *end)
{
	if (r->left)
		fwrite(r->at, 1, r->left, f);
	else
		fputs("-", f);
	fputs(end, f);
}

struct collected {
	FILE *lines;
	bool padded;
	bool signatures_only;
	size_t entries;
};

static int collect(void *context, const struct ima_state *s, const struct ima_entry *e)
{
	struct collected *c = context;
	char flags[8] = "", *at = flags;

	assert_int_equal(e->number, c->entries++);
	assert_int_equal(s->entries, c->entries);
	for (size_t i = 0; i < 4; i++)
		assert_memory_equal(ima_value(s, banks[i]), expected[c->padded][i][c->entries],
				    tpm2_digest_size(banks[i]));
	if (e->violation)
		*at++ = 'v';
	if (e->signature.left)
		*at++ = 's';
	if (e->modsig.left)
		*at++ = 'm';
	if (e->buffer.left)
		*at++ = 'b';
	if (e->verity)
		*at++ = 'y';
	if (!e->known)
		*at++ = 'u';
	*at = '\0';
	fprintf(c->lines, "%u\t", e->pcr);
	put_text(c->lines, &e->template, "\t");
	fprintf(c->lines, "%s\t", *flags ? flags : "-");
	if (e->known && !e->alg_name.left)
		fputs("sha1\t", c->lines); /* template "ima" */
	else
		put_text(c->lines, &e->alg_name, "\t");
	put_hex(c->lines, &e->digest);
	put_text(c->lines, &e->path, "\n");
	return 0;
}

static void test_templates(void **state)
{
	static const char *const names[] = {"ima/templates", "ima/templates-big-endian"};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		_cleanup_sample_ struct sample s = sample_read(names[i / 2]),
					       lines = sample_read("ima/templates.entries");
		struct ima_state at = begin(i % 2);
		struct collected c = {.padded = i % 2};
		char path[64], *text = NULL;
		size_t used, text_len;

		snprintf(path, sizeof(path), "%s.pcr10", names[i / 2]);
		read_expected(path);
		c.lines = open_memstream(&text, &text_len);
		assert_int_equal(ima_replay(&at, s.data, s.len, NULL, collect, &c, &used), 0);
		fclose(c.lines);
		assert_int_equal(used, s.len);
		assert_int_equal(text_len, lines.len);
		assert_memory_equal(text, lines.data, text_len);
		free(text);
		assert_int_equal(at.entries, ENTRIES);
		assert_int_equal(at.violations, 1);
		assert_int_equal(at.boots, 2);
		assert_int_equal(at.strays, 1);
		assert_int_equal(at.unknown, 1);
		assert_int_equal(at.order, i / 2 ? IMA_BIG : IMA_LITTLE);
		assert_true(ima_measures(&at));
	}
}

static const char *const boots[] = {"ovmf-ima-sig", "seabios-ima-ng", "seabios-violation"};

static struct sample boot_file(const char *boot, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "boots/%s/%s", boot, name);
	return sample_read(path);
}

/* One value of pcrs.txt */
static void pcr_of(const char *boot, uint16_t alg, unsigned int pcr, uint8_t *ret)
{
	char path[128], *save, *line, bank[16], hex[129];
	snprintf(path, sizeof(path), "boots/%s/pcrs.txt", boot);
	_cleanup_sample_ struct sample s = sample_text(path);
	unsigned int n;

	for (line = strtok_r((char *)s.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (sscanf(line, "%15s %u %128s", bank, &n, hex) == 3 && n == pcr &&
		    banks[bank_of(bank)] == alg) {
			assert_int_equal(unhex(hex, ret), tpm2_digest_size(alg));
			return;
		}
	fail_msg("%s: no such bank", boot);
}

struct seen {
	struct pcr_bank bank;
	enum ima_aggregate aggregate;
	size_t signatures, violations, entries;
};

static int see(void *context, const struct ima_state *s, const struct ima_entry *e)
{
	struct seen *seen = context;

	(void)s;
	if (e->number == 0)
		assert_int_equal(ima_aggregate_check(e, &seen->bank, 1, &seen->aggregate), 0);
	else
		assert_int_equal(ima_aggregate_check(e, &seen->bank, 1, &seen->aggregate), -EINVAL);
	seen->signatures += e->signature.left > 0;
	seen->violations += e->violation;
	seen->entries++;
	return 0;
}

static void test_real_boots(void **state)
{
	static const size_t signatures[] = {3, 0, 0}, violations[] = {0, 0, 1};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		_cleanup_sample_ struct sample list = boot_file(boots[i],
								"binary_runtime_measurements"),
					       log = boot_file(boots[i],
							       "binary_bios_measurements");
		struct ima_state s = begin(false);
		struct eventlog *l = NULL;
		struct seen seen = {};
		uint8_t value[32];
		size_t used;

		/* The boot's PCRs as its log has them; nothing else extends 8 and 9 here. */
		assert_int_equal(eventlog_parse(log.data, log.len, &l), 0);
		assert_int_equal(eventlog_replay(l, TPM2_SHA256, &seen.bank), 0);
		eventlog_free(l);
		pcr_of(boots[i], TPM2_SHA256, 10, value);
		assert_int_equal(ima_replay(&s, list.data, list.len,
					    &(struct ima_quoted){TPM2_SHA256, value}, see, &seen,
					    &used),
				 1);
		assert_int_equal(used, list.len);
		assert_int_equal(seen.aggregate, IMA_AGGREGATE_0_9);
		assert_int_equal(seen.signatures, signatures[i]);
		assert_int_equal(seen.violations, violations[i]);
		assert_int_equal(s.violations, violations[i]);
		assert_int_equal(s.entries, seen.entries);
		assert_int_equal(s.boots, 1);
		assert_int_equal(s.order, IMA_LITTLE);
		if (i == 0) { /* the one with two banks */
			pcr_of(boots[i], TPM2_SHA1, 10, value);
			assert_memory_equal(ima_value(&s, TPM2_SHA1), value, 20);
		}
	}
}

/* The quote matches the list as it was; the list has grown since. */
static void test_prefix(void **state)
{
	_cleanup_sample_ struct sample s = sample_read("ima/templates");

	(void)state;
	read_expected("ima/templates.pcr10");
	for (size_t bank = 0; bank < 4; bank++) {
		for (size_t n = 0; n <= ENTRIES; n++) {
			const struct ima_quoted quoted = {banks[bank], expected[0][bank][n]};
			struct ima_state at = begin(false), counted;
			uint64_t entries;
			size_t used, skipped;

			assert_int_equal(ima_replay(&at, s.data, s.len, &quoted, NULL, NULL, &used),
					 1);
			/* The 17th is for another PCR: the value was there before. */
			assert_int_equal(at.entries, n == 17 ? 16 : n);
			assert_int_equal(ima_skip(&at, s.data + used, s.len - used, UINT64_MAX,
						  &entries, &skipped),
					 0);
			assert_int_equal(at.entries + entries, ENTRIES);
			assert_int_equal(used + skipped, s.len);
			assert_int_equal(
				ima_skip(&at, s.data, s.len, at.entries, &entries, &skipped), 0);
			assert_int_equal(skipped, used);
			/* From there on, to the end */
			counted = at;
			assert_int_equal(
				ima_replay(&counted, s.data + used, s.len - used,
					   &(struct ima_quoted){banks[bank],
								expected[0][bank][ENTRIES]},
					   NULL, NULL, &used),
				1);
			assert_int_equal(counted.entries, ENTRIES);
		}
	}
}

static void test_not_quoted(void **state)
{
	_cleanup_sample_ struct sample s = sample_read("ima/templates");
	struct ima_state at = begin(false), small;
	uint8_t value[TPM2_DIGEST_MAX] = {1};
	size_t used;

	(void)state;
	assert_int_equal(ima_replay(&at, s.data, s.len, &(struct ima_quoted){TPM2_SHA256, value},
				    NULL, NULL, &used),
			 0);
	assert_int_equal(used, s.len);
	assert_int_equal(at.entries, ENTRIES);
	assert_int_equal(ima_init(&small, banks, 1), 0);
	assert_null(ima_value(&small, TPM2_SHA256));
	assert_int_equal(ima_replay(&small, s.data, s.len, &(struct ima_quoted){TPM2_SHA256, value},
				    NULL, NULL, &used),
			 -EINVAL);
	assert_int_equal(small.entries, 0);
}

static void test_recognise(void **state)
{
	_cleanup_sample_ struct sample s = sample_read("ima/templates");
	const struct ima_state from = begin(false);
	uint8_t other[TPM2_DIGEST_MAX] = {1};
	bool padded = true;

	(void)state;
	read_expected("ima/templates.pcr10");
	for (size_t bank = 0; bank < 4; bank++) {
		for (int mode = 0; mode < 2; mode++) {
			const struct ima_quoted quoted = {banks[bank],
							  expected[mode][bank][ENTRIES]};

			assert_int_equal(ima_recognise(&from, s.data, s.len, &quoted, &padded), 1);
			assert_int_equal(padded,
					 bank ? mode
					      : 0); /* in SHA-1's own bank they are the same */
		}
	}
	assert_int_equal(ima_recognise(&from, s.data, s.len,
				       &(struct ima_quoted){TPM2_SHA256, other}, &padded),
			 0);
}

/* Cut anywhere, the rest comes later; or, for a descriptor, never. */
static void test_every_length(void **state)
{
	static const char *const names[] = {"ima/templates", "ima/templates-big-endian"};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		_cleanup_sample_ struct sample s = sample_read(names[i]);
		char path[64];

		snprintf(path, sizeof(path), "%s.pcr10", names[i]);
		read_expected(path);
		for (size_t len = 0; len <= s.len; len++) {
			_cleanup_sample_ struct sample head = sample_copy(s.data, len);
			struct ima_state at = begin(false);
			size_t used, more;

			assert_int_equal(ima_replay(&at, head.data, len, NULL, NULL, NULL, &used),
					 0);
			assert_true(used <= len);
			for (size_t bank = 0; bank < 4; bank++)
				assert_memory_equal(at.banks[bank].value,
						    expected[0][bank][at.entries], 20);
			_cleanup_sample_ struct sample tail =
				sample_copy(s.data + used, s.len - used);
			assert_int_equal(
				ima_replay(&at, tail.data, tail.len, NULL, NULL, NULL, &more), 0);
			assert_int_equal(used + more, s.len);
			assert_int_equal(at.entries, ENTRIES);
			for (size_t bank = 0; bank < 4; bank++)
				assert_memory_equal(at.banks[bank].value,
						    expected[0][bank][ENTRIES], 20);
		}
	}
}

static int memory_file(const void *data, size_t len)
{
	int fd = memfd_create("ima", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static void test_file(void **state)
{
	_cleanup_sample_ struct sample s = sample_read("ima/templates");
	_cleanup_close_ int whole = memory_file(s.data, s.len),
			    cut = memory_file(s.data, s.len - 1),
			    again = memory_file(s.data, s.len);
	struct ima_state at = begin(false), before;
	uint64_t used = 7;

	(void)state;
	read_expected("ima/templates.pcr10");
	before = at;
	assert_int_equal(ima_replay_fd(&at, cut, NULL, NULL, NULL, &used), -EBADMSG);
	assert_int_equal(ima_replay_fd(&at, -1, NULL, NULL, NULL, &used), -EBADF);
	assert_int_equal(used, 7);
	assert_memory_equal(&at, &before, sizeof(at));
	assert_int_equal(ima_replay_fd(&at, whole, NULL, NULL, NULL, &used), 0);
	assert_int_equal(used, s.len);
	assert_int_equal(at.entries, ENTRIES);
	at = begin(false);
	assert_int_equal(ima_replay_fd(&at, again,
				       &(struct ima_quoted){TPM2_SHA512, expected[0][3][5]}, NULL,
				       NULL, &used),
			 1);
	assert_int_equal(at.entries, 5);
}

/* Entries to order, little-endian, for what the kernel would not write */
struct builder {
	uint8_t data[8192];
	size_t len;
};

static void put(struct builder *b, const void *data, size_t len)
{
	assert_true(b->len + len <= sizeof(b->data));
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

static void put_u32(struct builder *b, uint32_t value)
{
	value = htole32(value);
	put(b, &value, 4);
}

static struct builder entry(uint32_t pcr, const char *template, const void *data, size_t len)
{
	struct builder b = {};
	uint8_t digest[TPM2_DIGEST_MAX];

	put_u32(&b, pcr);
	assert_int_equal(hash_of(TPM2_SHA1, data, len, digest), 0);
	put(&b, digest, 20);
	put_u32(&b, strlen(template));
	put(&b, template, strlen(template));
	put_u32(&b, len);
	put(&b, data, len);
	return b;
}

static int replay(const struct builder *b)
{
	_cleanup_sample_ struct sample s = sample_copy(b->data, b->len);
	struct ima_state at = begin(false), before = at;
	size_t used = 7;
	int err = ima_replay(&at, s.data, s.len, NULL, NULL, NULL, &used);

	if (err < 0) {
		assert_memory_equal(&at, &before, sizeof(at));
		assert_int_equal(used, 7);
	}
	return err;
}

#define DATA(text) text, sizeof(text) - 1

static void test_malformed(void **state)
{
	static const struct {
		const char *template, *data;
		size_t len;
		int expected;
	} cases[] = {
		{"ima-ng", DATA("\7\0\0\0acme:\0x\3\0\0\0/a\0"), 0},
		{"ima-ng", DATA("\6\0\0\0acme:\0\3\0\0\0/a\0"), 0},
		{"ima-ng", DATA("\7\0\0\0acme:\0x\3\0\0\0/a\0z"), -EBADMSG}, /* a tail */
		{"ima-ng", DATA("\7\0\0\0acme:\0x\4\0\0\0/a\0"), -EBADMSG},  /* a path cut short */
		{"ima-ng", DATA("\7\0\0\0acme:\0x\2\0\0\0/a"), -EBADMSG},    /* without NUL */
		{"ima-ng", DATA("\7\0\0\0acme:\0x\4\0\0\0/a\0b"), -EBADMSG}, /* NUL within */
		{"ima-ng", DATA("\7\0\0\0acme:\0x\4\0\0\0/a\0\0"), -EBADMSG},
		{"ima-ng", DATA("\7\0\0\0acme\0zx\3\0\0\0/a\0"), -EBADMSG}, /* no colon */
		{"ima-ng", DATA("\7\0\0\0acme:yx\3\0\0\0/a\0"), -EBADMSG},  /* no NUL behind it */
		{"ima-ng", DATA("\7\0\0\0sha1:\0x\3\0\0\0/a\0"), -EBADMSG}, /* SHA-1 of one byte */
		{"ima-ng", DATA("\0\0\0\0\3\0\0\0/a\0"), -EBADMSG},
		{"ima-ng", DATA("\7\0\0\0acme:\0x"), -EBADMSG},
		{"ima-ng", DATA("\xff\xff\xff\xff"), -EBADMSG},
		{"ima-ng", DATA(""), -EBADMSG},
		{"ima-ngv2", DATA("\7\0\0\0acme:\0x\3\0\0\0/a\0"), -EBADMSG},
		{"ima-ngv2", DATA("\13\0\0\0ima:acme:\0x\3\0\0\0/a\0"), 0},
		{"ima-ngv2", DATA("\13\0\0\0imb:acme:\0x\3\0\0\0/a\0"), -EBADMSG},
		{"ima-sig", DATA("\7\0\0\0acme:\0x\3\0\0\0/a\0"), -EBADMSG},
		{"n-ng", DATA("anything"),
		 0}, /* one field only is no format, but somebody's name */
		{"d-ng|n-ng|x", DATA("\7\0\0\0acme:\0x\3\0\0\0/a\0\0\0\0\0"), 0},
		{"d-ng|n-ng|x", DATA("\7\0\0\0acme:\0x\3\0\0\0/a\0\0\0\0"), -EBADMSG},
		/* nor is one without a digest and a name, or with two */
		{"x|y", DATA("\1\0\0\0a\0\0\0"), 0},
		{"x|d-ng", DATA("anything"), 0},
		{"d-ng|n-ng|d-ng", DATA("anything"), 0},
		{"n-ng|d-ng", DATA("anything"), 0},
		{"acme", DATA(""), 0},
		{"ima-", DATA("x"), 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct builder b = entry(10, cases[i].template, cases[i].data, cases[i].len);

		if (replay(&b) != cases[i].expected)
			fail_msg("case %zu: %d", i, replay(&b));
	}
}

static void test_bounds(void **state)
{
	static const uint8_t nothing[IMA_DATA_MAX];
	struct builder b = entry(10, "acme", "x", 1);

	(void)state;
	assert_int_equal(replay(&b), 0);
	b.data[4] ^= 1; /* the digest in the list is not that of the data */
	assert_int_equal(replay(&b), -EBADMSG);
	b = entry(23, "acme", "x", 1);
	assert_int_equal(replay(&b), 0);
	b = entry(24, "acme", "x", 1);
	assert_int_equal(replay(&b), -EBADMSG);
	b = entry(10, "", "x", 1);
	assert_int_equal(replay(&b), -EBADMSG);
	b = entry(10, "acme", "x", 1);
	memcpy(b.data + 24, "\0\1\1\0", 4); /* a name of more than 255 bytes, in either order */
	assert_int_equal(replay(&b), -EBADMSG);
	b = entry(10, "acme", "x", 1);
	memcpy(b.data + 32, "\1\0\x10\0", 4); /* data of a byte more than the maximum */
	assert_int_equal(replay(&b), -EBADMSG);
	memcpy(b.data + 32, "\0\0\x10\0", 4); /* the maximum: the rest may come */
	assert_int_equal(replay(&b), 0);
	/* The largest entry, through a file */
	_cleanup_close_ int fd = memory_file(b.data, 36);
	struct ima_state at = begin(false);
	uint64_t used;
	uint8_t digest[TPM2_DIGEST_MAX];

	assert_int_equal(hash_of(TPM2_SHA1, nothing, sizeof(nothing), digest), 0);
	assert_int_equal(pwrite(fd, digest, 20, 4), 20);
	assert_int_equal(pwrite(fd, nothing, sizeof(nothing), 36), sizeof(nothing));
	assert_int_equal(pwrite(fd, b.data, 32, 36 + sizeof(nothing)),
			 32); /* and one that is small */
	assert_int_equal(pwrite(fd, digest, 20, 40 + sizeof(nothing)), 20);
	assert_int_equal(pwrite(fd, b.data + 32, 4, 68 + sizeof(nothing)), 4);
	assert_int_equal(pwrite(fd, nothing, sizeof(nothing), 72 + sizeof(nothing)),
			 sizeof(nothing));
	assert_int_equal(ima_replay_fd(&at, fd, NULL, NULL, NULL, &used), 0);
	assert_int_equal(at.entries, 2);
	assert_int_equal(used, 2 * (36 + sizeof(nothing)));
}

/*
 * In the template "ima" the name has at most 255 bytes: with more it would not be hashed in full.
 */
static void test_old_template(void **state)
{
	static const char name[300];
	struct builder b;

	(void)state;
	for (uint32_t len = 254; len < 258; len++) {
		uint8_t hashed[20 + 256] = {}, digest[TPM2_DIGEST_MAX];

		memset(hashed + 20, 'n', len < 256 ? len : 256);
		b = (struct builder){};
		put_u32(&b, 10);
		assert_int_equal(hash_of(TPM2_SHA1, hashed, sizeof(hashed), digest), 0);
		put(&b, digest, 20);
		put_u32(&b, 3);
		put(&b, "ima", 3);
		put(&b, hashed, 20);
		put_u32(&b, len);
		put(&b, name, len);
		memset(b.data + b.len - len, 'n', len);
		assert_int_equal(replay(&b), len < 256 ? 0 : -EBADMSG);
		b.data[b.len - 1] = '\0';
		assert_int_equal(replay(&b), -EBADMSG);
	}
}

/* boot_aggregate of kernels before 5.8, of others, and of another boot */
static void test_aggregates(void **state)
{
	struct pcr_bank bank;
	uint8_t digest[32];

	(void)state;
	assert_int_equal(pcr_bank_init(&bank, TPM2_SHA256), 0);
	for (uint32_t pcr = 0; pcr < 10; pcr++)
		assert_int_equal(pcr_extend(&bank, pcr, (uint8_t[32]){pcr}), 0);
	for (int i = 0; i < 3; i++) {
		const struct tpm2_selection selection = {TPM2_SHA256, i == 0   ? 0xff
								      : i == 1 ? 0x3ff
									       : 0x7f};
		struct ima_entry e = {.boot_aggregate = true, .alg = TPM2_SHA256};
		enum ima_aggregate found = 42;
		struct tpm2_bytes d;

		assert_int_equal(pcr_digest(&bank, 1, &selection, 1, TPM2_SHA256, &d), 0);
		memcpy(digest, d.data, 32);
		e.digest = reader_of(digest, 32);
		assert_int_equal(ima_aggregate_check(&e, &bank, 1, &found), 0);
		assert_int_equal(found, i == 0   ? IMA_AGGREGATE_0_7
					: i == 1 ? IMA_AGGREGATE_0_9
						 : IMA_AGGREGATE_WRONG);
		found = 42;
		e.alg = TPM2_SHA1;
		assert_int_equal(ima_aggregate_check(&e, &bank, 1, &found), -ENOENT);
		e.alg = TPM2_SHA256;
		e.violation = true;
		assert_int_equal(ima_aggregate_check(&e, &bank, 1, &found), -EINVAL);
		assert_int_equal(found, 42);
	}
}

static int refuse(void *context, const struct ima_state *s, const struct ima_entry *e)
{
	(void)s;
	return e->number == *(uint64_t *)context ? -EPERM : 0;
}

static void test_callers(void **state)
{
	_cleanup_sample_ struct sample s = sample_read("ima/templates");
	struct ima_state at = begin(false), before = at;
	const uint16_t strange[] = {TPM2_SHA256, TPM2_SM3_256};
	uint64_t third = 3;
	size_t used = 7;

	(void)state;
	assert_int_equal(ima_replay(&at, s.data, s.len, NULL, refuse, &third, &used), -EPERM);
	assert_memory_equal(&at, &before, sizeof(at));
	assert_int_equal(used, 7);
	assert_int_equal(ima_init(&at, banks, 0), -EINVAL);
	assert_int_equal(ima_init(&at, banks, IMA_BANKS_MAX + 1), -EINVAL);
	assert_int_equal(ima_init(&at, strange, 2), -EINVAL);
	assert_memory_equal(&at, &before, sizeof(at));
}

static void test_no_policy(void **state)
{
	static const char data[] = "\6\0\0\0acme:\0\17\0\0\0boot_aggregate";
	const struct builder b = entry(10, "ima-ng", data, sizeof(data));
	struct ima_state at = begin(false);
	size_t used;

	(void)state;
	assert_false(ima_measures(&at));
	assert_int_equal(ima_replay(&at, b.data, b.len, NULL, NULL, NULL, &used), 0);
	assert_int_equal(at.boots, 1);
	assert_false(ima_measures(&at));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_templates),  cmocka_unit_test(test_real_boots),
		cmocka_unit_test(test_prefix),     cmocka_unit_test(test_not_quoted),
		cmocka_unit_test(test_recognise),  cmocka_unit_test(test_every_length),
		cmocka_unit_test(test_file),       cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_bounds),     cmocka_unit_test(test_old_template),
		cmocka_unit_test(test_aggregates), cmocka_unit_test(test_callers),
		cmocka_unit_test(test_no_policy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
