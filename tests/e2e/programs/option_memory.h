/* SPDX-License-Identifier: Apache-2.0 */
/*
 * option_memory: fills a socket's option memory, so that a kernel program finds none for its own
 * storage.
 */
#pragma once

#include "program.h"

#include <linux/filter.h>

/*
 * A filter of @instructions that lets everything pass. BPF_MSH becomes several instructions of the
 * kernel's own, each of which costs the socket eight bytes. An earlier filter is released first: it
 * would be charged too.
 */
static inline int attach_filter(int fd, unsigned short instructions)
{
	struct sock_filter *code = calloc(instructions, sizeof(*code));
	struct sock_fprog program = {.len = instructions, .filter = code};
	int r, unused = 0;

	if (!code)
		err(1, "calloc");
	for (int i = 0; i < instructions; i++)
		code[i] = (struct sock_filter)BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0);
	code[instructions - 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0xffffffff);
	setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof(unused));
	r = setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
	free(code);
	return r;
}

/* The longest filter for which there is memory; it stays attached. */
static inline int option_memory_fill(int fd)
{
	int fits = 0, too_long = BPF_MAXINSNS + 1;

	while (too_long - fits > 1) {
		int middle = (fits + too_long) / 2;

		if (attach_filter(fd, middle))
			too_long = middle;
		else
			fits = middle;
	}
	if (fits == BPF_MAXINSNS)
		skip("this kernel gives a socket more option memory than filters can fill");
	if (fits == 0 || attach_filter(fd, fits))
		err(1, "SO_ATTACH_FILTER");
	return fits;
}
