/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_tpm: stands between a worker and its software TPM, and spoils what passes. One client at a
 * time, as swtpm has it.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "softtpm.h"

enum { CC_QUOTE = 0x158, CC_PCR_READ = 0x17e, CC_INCREMENT = 0x134, CC_CAPABILITY = 0x17a };

enum fault {
	FAULT_NONE,
	FAULT_TEXT,  /* no header at all */
	FAULT_SHORT, /* six bytes, and the end */
	FAULT_CUT,   /* half of what the header says, and the end */
	FAULT_SIZE_0,
	FAULT_SIZE_9,
	FAULT_SIZE_4G,
	FAULT_TAG,   /* TPM 1.2 */
	FAULT_TAIL,  /* a byte too many */
	FAULT_TWICE, /* the response again, before the next command */
	FAULT_BODY,  /* a good header before a random body */
	FAULT_CLOSE,
	FAULT_DRIP, /* good, byte by byte */
	FAULT_SILENT,
	FAULT_CODE,   /* instead of a response: 'code' */
	FAULT_EXTEND, /* good, but PCR 10 is extended before */
};

struct fake_tpm {
	char path[108];
	const struct softtpm *behind;
	int listen_fd;
	pthread_t thread;
	atomic_int fault;
	atomic_uint command; /* only this one; 0: all */
	atomic_int times;    /* what is left of it */
	atomic_uint code;
	atomic_uint seen; /* commands that it hit */
};

static inline bool read_exactly(int fd, uint8_t *data, size_t len)
{
	for (size_t have = 0; have < len;) {
		ssize_t n = read(fd, data + have, len - have);

		if (n <= 0)
			return false;
		have += n;
	}
	return true;
}

static inline uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

static inline void put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = v >> (24 - 8 * i);
}

/* A command or a response; 0: the end. */
static inline size_t read_message(int fd, uint8_t *data, size_t room)
{
	uint32_t size;

	if (!read_exactly(fd, data, 10))
		return 0;
	size = be32(data + 2);
	return size >= 10 && size <= room && read_exactly(fd, data + 10, size - 10) ? size : 0;
}

static inline bool give(int fd, const void *data, size_t len)
{
	return send(fd, data, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* TPM2_PCR_Extend of PCR 10, without a password. */
static inline bool extend(int behind)
{
	uint8_t command[65] = {0x80, 0x02, 0, 0, 0, 65, 0, 0, 1, 0x82, 0, 0, 0, 10, 0,    0, 0, 9,
			       0x40, 0,    0, 9, 0, 0,  0, 0, 0, 0,    0, 0, 1, 0,  0x0b, 1, 2, 3};
	uint8_t response[4096];

	return give(behind, command, sizeof(command)) &&
	       read_message(behind, response, sizeof(response)) && be32(response + 6) == 0;
}

/* The response, spoiled; false: the connection ends. */
static inline bool answer(struct fake_tpm *f, int fd, enum fault fault, uint8_t *response,
			  size_t len)
{
	switch (fault) {
	case FAULT_TEXT:
		return give(fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
	case FAULT_SHORT:
		return give(fd, response, 6) && false;
	case FAULT_CUT:
		return give(fd, response, len / 2) && false;
	case FAULT_SIZE_0:
	case FAULT_SIZE_9:
	case FAULT_SIZE_4G:
		put32(response + 2, fault == FAULT_SIZE_0   ? 0
				    : fault == FAULT_SIZE_9 ? 9
							    : 0xffffffff);
		return give(fd, response, len);
	case FAULT_TAG:
		response[0] = 0;
		response[1] = 0xc4;
		return give(fd, response, len);
	case FAULT_TAIL:
		response[len] = 0;
		return give(fd, response, len + 1);
	case FAULT_TWICE:
		return give(fd, response, len) && give(fd, response, len);
	case FAULT_BODY:
		for (size_t i = 10; i < len; i++)
			response[i] ^= 0x80 + i;
		return give(fd, response, len);
	case FAULT_CLOSE:
		return false;
	case FAULT_DRIP:
		for (size_t i = 0; i < len; i++) {
			usleep(200);
			if (!give(fd, response + i, 1))
				return false;
		}
		return true;
	case FAULT_SILENT:
		return true;
	case FAULT_CODE:
		memcpy(response, "\x80\x01\x00\x00\x00\x0a", 6);
		put32(response + 6, f->code);
		return give(fd, response, 10);
	default:
		return give(fd, response, len);
	}
}

static inline enum fault fault_for(struct fake_tpm *f, uint32_t command)
{
	if (f->fault == FAULT_NONE || (f->command && f->command != command) || f->times == 0)
		return FAULT_NONE;
	f->times--;
	f->seen++;
	return f->fault;
}

static inline bool pass(struct fake_tpm *f, int fd, int behind)
{
	uint8_t message[4097];
	size_t len = read_message(fd, message, sizeof(message));
	enum fault fault;

	if (!len)
		return false;
	fault = fault_for(f, be32(message + 6));
	if (fault == FAULT_EXTEND && !extend(behind))
		return false;
	/* What is refused was not done. */
	if (fault != FAULT_CODE && fault != FAULT_SILENT && fault != FAULT_CLOSE) {
		if (!give(behind, message, len))
			return false;
		len = read_message(behind, message, sizeof(message) - 1);
		if (!len)
			return false;
	}
	return answer(f, fd, fault, message, len);
}

static inline int connect_behind(const struct fake_tpm *f)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, f->behind->socket);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static inline void *fake_serve(void *arg)
{
	struct fake_tpm *f = arg;
	int fd, behind;

	while ((fd = accept4(f->listen_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		behind = connect_behind(f);
		while (behind >= 0 && pass(f, fd, behind))
			;
		close(fd);
		if (behind >= 0)
			close(behind);
	}
	return NULL;
}

static inline void fake_start(struct fake_tpm *f, const struct softtpm *behind)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	memset(f, 0, sizeof(*f));
	f->behind = behind;
	snprintf(f->path, sizeof(f->path), "%s/fake.sock", behind->dir);
	strcpy(address.sun_path, f->path);
	f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(f->listen_fd, 4), 0);
	assert_int_equal(pthread_create(&f->thread, NULL, fake_serve, f), 0);
}

static inline void fake_stop(struct fake_tpm *f)
{
	shutdown(f->listen_fd, SHUT_RDWR);
	pthread_join(f->thread, NULL);
	close(f->listen_fd);
	unlink(f->path);
}

/* The next @times of @command (0: any) go wrong; -1: all from now on. */
static inline void fake_fault(struct fake_tpm *f, enum fault fault, uint32_t command, int times)
{
	f->times = 0;
	f->command = command;
	f->fault = fault;
	f->seen = 0;
	f->times = times;
}
