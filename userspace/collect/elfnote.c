/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/elfnote.h"

#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

/*
 * Linkers put program headers and notes on the first pages; what lies elsewhere is fetched, within
 * bounds.
 */
#define HEAD_BYTES (16u << 10)
#define NOTES_BYTES (16u << 10)
#define SEGMENTS_MAX 256
#define NOTE_SEGMENTS_MAX 8

#define NOTE_PACKAGE 0xcafe1a7eU /* NT_FDO_PACKAGING_METADATA, owner "FDO" */

DEFINE_CLEANUP(Elf *, elf_end)

struct piece {
	const uint8_t *at;
	size_t left;
};

static ssize_t read_at(int fd, void *buffer, size_t size, uint64_t offset)
{
	size_t have = 0;
	ssize_t n;

	if (offset > INT64_MAX - size)
		return 0;
	while (have < size) {
		n = pread(fd, (char *)buffer + have, size - have, offset + have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		have += n;
	}
	return have;
}

static bool take_u32(struct piece *p, bool big, uint32_t *ret)
{
	uint32_t v;

	if (p->left < sizeof(v))
		return false;
	memcpy(&v, p->at, sizeof(v));
	p->at += sizeof(v);
	p->left -= sizeof(v);
	*ret = big ? be32toh(v) : le32toh(v);
	return true;
}

/* @len bytes, and what aligns the next field relative to @start; that may be missing at the end. */
static bool take_bytes(struct piece *p, const uint8_t *start, size_t len, size_t align,
		       struct piece *ret)
{
	size_t pad;

	if (p->left < len)
		return false;
	*ret = (struct piece){p->at, len};
	p->at += len;
	p->left -= len;
	pad = -(size_t)(p->at - start) & (align - 1);
	if (pad > p->left)
		pad = p->left;
	p->at += pad;
	p->left -= pad;
	return true;
}

/* It becomes a protobuf string and is shown to people: UTF-8, without control characters. */
static bool is_text(const uint8_t *s, size_t len)
{
	static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};

	for (size_t i = 0; i < len; i++) {
		uint32_t c = s[i];
		int more = c < 0x80 ? 0 : (c & 0xe0) == 0xc0 ? 1 : (c & 0xf0) == 0xe0 ? 2 : 3;

		if (c < 0x20 || c == 0x7f || (c >= 0x80 && c < 0xc2) || c > 0xf4)
			return false;
		if (more == 0)
			continue;
		c &= 0x3f >> more;
		for (int k = 0; k < more; k++) {
			if (++i >= len || (s[i] & 0xc0) != 0x80)
				return false;
			c = c << 6 | (s[i] & 0x3f);
		}
		if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ||
		    (c >= 0x80 && c < 0xa0))
			return false;
	}
	return true;
}

static void keep_package(const struct piece *desc, struct elfnote *ret)
{
	size_t len = strnlen((const char *)desc->at, desc->left);

	if (len < 2 || len >= sizeof(ret->package) || desc->at[0] != '{' ||
	    desc->at[len - 1] != '}' || !is_text(desc->at, len))
		return;
	memcpy(ret->package, desc->at, len);
	ret->package[len] = '\0';
}

static void keep_build_id(const struct piece *desc, struct elfnote *ret)
{
	if (desc->left == 0 || desc->left > sizeof(ret->build_id))
		return;
	memcpy(ret->build_id, desc->at, desc->left);
	ret->build_id_len = desc->left;
}

static bool named(const struct piece *name, const char *owner)
{
	size_t len = strlen(owner) + 1;

	return name->left == len && memcmp(name->at, owner, len) == 0;
}

/*
 * Elf32_Nhdr and Elf64_Nhdr are the same; a segment aligned to 8 pads to 8 (gABI, GNU property
 * notes).
 */
static void read_notes(struct piece p, bool big, size_t align, struct elfnote *ret)
{
	const uint8_t *start = p.at;
	struct piece name, desc;
	uint32_t namesz, descsz, type;

	while (take_u32(&p, big, &namesz) && take_u32(&p, big, &descsz) &&
	       take_u32(&p, big, &type) && take_bytes(&p, start, namesz, align, &name) &&
	       take_bytes(&p, start, descsz, align, &desc)) {
		if (type == NT_GNU_BUILD_ID && named(&name, "GNU") && ret->build_id_len == 0)
			keep_build_id(&desc, ret);
		else if (type == NOTE_PACKAGE && named(&name, "FDO") && !ret->package[0])
			keep_package(&desc, ret);
	}
}

struct file {
	int fd;
	const uint8_t *head;
	size_t head_len;
	uint8_t *spare; /* NOTES_BYTES, for what is not in the head */
};

/* Up to @max bytes of a segment; fewer when the file has fewer. */
static struct piece segment(const struct file *f, const GElf_Phdr *phdr, size_t max)
{
	size_t len = phdr->p_filesz < max ? phdr->p_filesz : max;
	ssize_t n;

	if (phdr->p_offset <= f->head_len && len <= f->head_len - phdr->p_offset)
		return (struct piece){f->head + phdr->p_offset, len};
	n = read_at(f->fd, f->spare, len, phdr->p_offset);
	return (struct piece){f->spare, n > 0 ? n : 0};
}

static void read_segments(Elf *elf, const struct file *f, struct elfnote *ret)
{
	unsigned int notes = 0;
	struct piece p;
	GElf_Phdr phdr;
	size_t count;
	bool big;

	if (elf_getphdrnum(elf, &count) < 0)
		return;
	big = f->head[EI_DATA] == ELFDATA2MSB;
	for (size_t i = 0; i < count && i < SEGMENTS_MAX; i++) {
		if (!gelf_getphdr(elf, i, &phdr))
			return;
		if (phdr.p_type == PT_INTERP && !ret->loader[0]) {
			p = segment(f, &phdr, sizeof(ret->loader));
			if (p.left > 0 && memchr(p.at, '\0', p.left))
				strcpy(ret->loader, (const char *)p.at);
		} else if (phdr.p_type == PT_NOTE && notes++ < NOTE_SEGMENTS_MAX) {
			p = segment(f, &phdr, NOTES_BYTES);
			read_notes(p, big, phdr.p_align == 8 ? 8 : 4, ret);
		}
	}
}

/*
 * Without section headers: they are of no use here, their number can be made to exceed any memory,
 * and they lie outside the copy. The number of program headers may be kept there too (PN_XNUM): no.
 */
static bool strip_sections(uint8_t *head, size_t len)
{
	Elf64_Ehdr e64;
	Elf32_Ehdr e32;

	if (head[EI_CLASS] == ELFCLASS64 && len >= sizeof(e64)) {
		memcpy(&e64, head, sizeof(e64));
		e64.e_shoff = 0;
		e64.e_shnum = e64.e_shstrndx = 0;
		memcpy(head, &e64, sizeof(e64));
		return e64.e_phnum != PN_XNUM;
	}
	if (head[EI_CLASS] == ELFCLASS32 && len >= sizeof(e32)) {
		memcpy(&e32, head, sizeof(e32));
		e32.e_shoff = 0;
		e32.e_shnum = e32.e_shstrndx = 0;
		memcpy(head, &e32, sizeof(e32));
		return e32.e_phnum != PN_XNUM;
	}
	return false;
}

static void init_libelf(void)
{
	elf_version(EV_CURRENT);
}

int elfnote_read(int fd, struct elfnote *ret)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	_cleanup_free_ uint8_t *buffer = malloc(HEAD_BYTES + NOTES_BYTES);
	_cleanup_(elf_endp) Elf *elf = NULL;
	struct elfnote note = {};
	struct file f;
	ssize_t n;

	if (!buffer)
		return -ENOMEM;
	pthread_once(&once, init_libelf);
	n = read_at(fd, buffer, HEAD_BYTES, 0);
	if (n < 0)
		return n;
	if (n < EI_NIDENT || memcmp(buffer, ELFMAG, SELFMAG) != 0)
		return -ENOEXEC;

	if (strip_sections(buffer, n)) {
		f = (struct file){
			.fd = fd, .head = buffer, .head_len = n, .spare = buffer + HEAD_BYTES};
		elf = elf_memory((char *)buffer, n);
		if (elf)
			read_segments(elf, &f, &note);
	}
	*ret = note;
	return 0;
}
