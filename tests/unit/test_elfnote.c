/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/elfnote.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"

#define LOADER "/lib64/ld-linux-x86-64.so.2"
#define PACKAGE "{\"type\":\"deb\",\"name\":\"caf\xc3\xa9\"}"

/*
 * A small ELF file: header, program headers for a loader and a note segment, both at offsets of
 * choice.
 */
struct image {
	uint8_t bytes[4096];
	size_t len;
};

static void put(struct image *i, const void *data, size_t len)
{
	assert_true(i->len + len <= sizeof(i->bytes));
	memcpy(i->bytes + i->len, data, len);
	i->len += len;
}

static void put_note(struct image *i, uint32_t type, const char *owner, const void *desc,
		     uint32_t len)
{
	const uint32_t head[3] = {strlen(owner) + 1, len, type};

	put(i, head, sizeof(head));
	put(i, owner, head[0]);
	i->len = (i->len + 3) & ~3ul;
	put(i, desc, len);
	i->len = (i->len + 3) & ~3ul;
}

static void make(struct image *i)
{
	static const uint8_t id[20] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
				       11, 12, 13, 14, 15, 16, 17, 18, 19, 20};
	Elf64_Ehdr ehdr = {
		.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_DYN,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_ehsize = sizeof(ehdr),
		.e_phoff = sizeof(ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 2,
		/* What a linker writes there lies behind everything else. */
		.e_shoff = 1 << 20,
		.e_shnum = 30,
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shstrndx = 29,
	};
	Elf64_Phdr phdr[2] = {
		{.p_type = PT_INTERP, .p_offset = 256, .p_filesz = sizeof(LOADER)},
		{.p_type = PT_NOTE, .p_offset = 512, .p_align = 4},
	};

	memset(i, 0, sizeof(*i));
	i->len = 256;
	put(i, LOADER, sizeof(LOADER));
	i->len = 512;
	put_note(i, NT_GNU_ABI_TAG, "GNU", "0123", 4);
	put_note(i, NT_GNU_BUILD_ID, "Go", "not this", 8);
	put_note(i, NT_GNU_BUILD_ID, "GNU", id, sizeof(id));
	put_note(i, 0xcafe1a7e, "FDO", PACKAGE, sizeof(PACKAGE));
	phdr[1].p_filesz = i->len - 512;
	memcpy(i->bytes, &ehdr, sizeof(ehdr));
	memcpy(i->bytes + sizeof(ehdr), phdr, sizeof(phdr));
}

static int read_back(const void *data, size_t len, struct elfnote *ret)
{
	_cleanup_close_ int fd = memfd_create("elf", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	memset(ret, 0xa5, sizeof(*ret));
	return elfnote_read(fd, ret);
}

static void test_all_there(void **state)
{
	struct elfnote n;
	struct image i;

	(void)state;
	make(&i);
	assert_int_equal(read_back(i.bytes, i.len, &n), 0);
	assert_string_equal(n.loader, LOADER);
	assert_int_equal(n.build_id_len, 20);
	assert_int_equal(n.build_id[0], 1);
	assert_int_equal(n.build_id[19], 20);
	assert_string_equal(n.package, PACKAGE);
}

static void test_every_length(void **state)
{
	struct elfnote whole, n;
	struct image i;

	(void)state;
	make(&i);
	assert_int_equal(read_back(i.bytes, i.len, &whole), 0);
	for (size_t len = 0; len < i.len; len++) {
		int r = read_back(i.bytes, len, &n);

		if (len < EI_NIDENT) {
			assert_int_equal(r, -ENOEXEC);
			continue;
		}
		assert_int_equal(r, 0);
		/* Each is right, or not there. */
		assert_true(!n.loader[0] || strcmp(n.loader, LOADER) == 0);
		assert_true(n.build_id_len == 0 || n.build_id_len == 20);
		assert_true(!n.package[0] || strcmp(n.package, PACKAGE) == 0);
	}
}

/* Every byte of headers and notes, set to values that bounds like least. */
static void test_every_byte(void **state)
{
	static const uint8_t values[] = {0, 1, 0x7f, 0x80, 0xff};
	struct image i;
	struct elfnote n;

	(void)state;
	make(&i);
	for (size_t at = 4; at < i.len; at++) {
		uint8_t was = i.bytes[at];

		for (size_t v = 0; v < sizeof(values); v++) {
			i.bytes[at] = values[v];
			assert_int_equal(read_back(i.bytes, i.len, &n), 0);
			assert_true(n.build_id_len <= BUILD_ID_MAX);
			assert_non_null(memchr(n.package, '\0', sizeof(n.package)));
			assert_non_null(memchr(n.loader, '\0', sizeof(n.loader)));
		}
		i.bytes[at] = was;
	}
}

/* Numbers that promise more than any memory holds, and offsets at the end of the world. */
static void test_absurd_numbers(void **state)
{
	Elf64_Ehdr *ehdr;
	Elf64_Phdr *phdr;
	struct elfnote n;
	struct image i;

	(void)state;
	make(&i);
	ehdr = (Elf64_Ehdr *)i.bytes;
	phdr = (Elf64_Phdr *)(i.bytes + sizeof(*ehdr));
	ehdr->e_shnum = 0; /* the number is in sh_size of section 0 */
	ehdr->e_shoff = 1024;
	((Elf64_Shdr *)(i.bytes + 1024))->sh_size = UINT64_MAX / 64;
	i.len = 2048;
	assert_int_equal(read_back(i.bytes, i.len, &n), 0);
	assert_int_equal(n.build_id_len, 20);

	phdr[1].p_offset = INT64_MAX;
	assert_int_equal(read_back(i.bytes, i.len, &n), 0);
	assert_int_equal(n.build_id_len, 0);
	phdr[1].p_offset = UINT64_MAX - 4;
	phdr[1].p_filesz = UINT64_MAX;
	assert_int_equal(read_back(i.bytes, i.len, &n), 0);
	assert_int_equal(n.build_id_len, 0);
	assert_string_equal(n.loader, LOADER);

	ehdr->e_phnum = PN_XNUM;
	assert_int_equal(read_back(i.bytes, i.len, &n), 0);
	assert_string_equal(n.loader, "");
}

/* Notes that are not on the first pages. */
static void test_far_away(void **state)
{
	_cleanup_close_ int fd = memfd_create("elf", MFD_CLOEXEC);
	struct elfnote n;
	struct image i;
	Elf64_Phdr *phdr;

	(void)state;
	make(&i);
	phdr = (Elf64_Phdr *)(i.bytes + sizeof(Elf64_Ehdr));
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, i.bytes + 512, i.len - 512, 5ll << 30), i.len - 512);
	phdr[1].p_offset = 5ull << 30;
	memset(i.bytes + 512, 0, i.len - 512);
	assert_int_equal(pwrite(fd, i.bytes, i.len, 0), i.len);
	memset(&n, 0xa5, sizeof(n));
	assert_int_equal(elfnote_read(fd, &n), 0);
	assert_int_equal(n.build_id_len, 20);
	assert_string_equal(n.package, PACKAGE);
}

static void test_package_text(void **state)
{
	static const char *const bad[] = {
		"{\"\x1b[2J\"}",      /* an escape sequence */
		"{\"\xc3\"}",         /* cut UTF-8 */
		"{\"\xc0\x80\"}",     /* overlong */
		"{\"\xed\xa0\x80\"}", /* a surrogate */
		"{\"\xf4\x90\x80\x80\"}",
		"{\"\xc2\x9b\"}", /* C1: CSI */
		"[1]",
		"{",
		"",
	};

	(void)state;
	for (size_t k = 0; k < sizeof(bad) / sizeof(*bad); k++) {
		Elf64_Phdr *phdr;
		struct elfnote n;
		struct image i;

		make(&i);
		phdr = (Elf64_Phdr *)(i.bytes + sizeof(Elf64_Ehdr));
		i.len = 512;
		put_note(&i, 0xcafe1a7e, "FDO", bad[k], strlen(bad[k]) + 1);
		phdr[1].p_filesz = i.len - 512;
		assert_int_equal(read_back(i.bytes, i.len, &n), 0);
		assert_string_equal(n.package, "");
	}
}

static void test_no_elf(void **state)
{
	struct elfnote n;

	(void)state;
	assert_int_equal(read_back("#!/bin/sh\nexit 0\n", 17, &n), -ENOEXEC);
	assert_int_equal(elfnote_read(-1, &n), -EBADF);
}

/* This very program, as a linker made it, at lengths that cut it anywhere in its first pages. */
static void test_real(void **state)
{
	_cleanup_close_ int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	static uint8_t bytes[8192];
	struct elfnote n;
	ssize_t len;

	(void)state;
	memset(&n, 0xa5, sizeof(n));
	assert_int_equal(elfnote_read(fd, &n), 0);
	assert_true(n.loader[0] == '/');
	len = read(fd, bytes, sizeof(bytes));
	assert_true(len > EI_NIDENT);
	for (ssize_t l = EI_NIDENT; l < len; l++)
		assert_int_equal(read_back(bytes, l, &n), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_there),  cmocka_unit_test(test_every_length),
		cmocka_unit_test(test_every_byte), cmocka_unit_test(test_absurd_numbers),
		cmocka_unit_test(test_far_away),   cmocka_unit_test(test_package_text),
		cmocka_unit_test(test_no_elf),     cmocka_unit_test(test_real),
	};

	return cmocka_run_group_tests_name("elfnote", tests, NULL, NULL);
}
