/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limit.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"

static _Atomic uint64_t met[LIMIT_ALL];

void limit_met(enum limit l)
{
	met[l] = clock_ns(CLOCK_BOOTTIME);
}

uint64_t limit_met_ns(enum limit l)
{
	return met[l];
}

int limit_of(int err)
{
	switch (err) {
	case -EMFILE:
		limit_met(LIMIT_FILES);
		break;
	case -ENFILE:
		limit_met(LIMIT_HOST_FILES);
		break;
	case -ENOMEM:
		limit_met(LIMIT_MEMORY);
		break;
	}
	return err;
}

int limit_as(int err, int meaning, enum limit of)
{
	if (err == meaning)
		limit_met(of);
	else
		limit_of(err);
	return err;
}

int limit_of_instances(int err, enum limit of)
{
	int fd = err == -EMFILE ? eventfd(0, EFD_CLOEXEC) : -1;

	if (fd < 0)
		return limit_of(err);
	close(fd);
	limit_met(of);
	return err;
}
