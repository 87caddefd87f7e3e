/* SPDX-License-Identifier: Apache-2.0 */
#include "base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct unit {
	const char *name;
	uint64_t factor;
};

/* Largest last: the format functions take the last that divides. */
static const struct unit size_units[] = {
	{"B", 1},
	{"KiB", 1ULL << 10},
	{"MiB", 1ULL << 20},
	{"GiB", 1ULL << 30},
	{"TiB", 1ULL << 40},
	{},
};

static const struct unit duration_units[] = {
	{"ns", 1},
	{"us", 1000},
	{"ms", 1000000},
	{"s", 1000000000ULL},
	{"m", 60000000000ULL},
	{"h", 3600000000000ULL},
	{"d", 86400000000000ULL},
	{},
};

/* The digits at *@text, at least one, moving it behind them. */
static int digits(const char **text, uint64_t *ret)
{
	const char *at = *text;
	uint64_t n = 0;

	if (*at < '0' || *at > '9')
		return -EINVAL;
	for (; *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*at - '0'), &n))
			return -ERANGE;
	*text = at;
	*ret = n;
	return 0;
}

static const struct unit *unit_of(const struct unit *units, const char *name, size_t len)
{
	for (; units->name; units++)
		if (strlen(units->name) == len && !memcmp(units->name, name, len))
			return units;
	return NULL;
}

int number_parse(const char *text, uint64_t *ret)
{
	uint64_t n;
	int err = digits(&text, &n);

	if (err)
		return err;
	if (*text)
		return -EINVAL;
	*ret = n;
	return 0;
}

int size_parse(const char *text, uint64_t *ret)
{
	const struct unit *unit;
	uint64_t n;
	int err = digits(&text, &n);

	if (err)
		return err;
	unit = *text ? unit_of(size_units, text, strlen(text)) : &size_units[0];
	if (!unit)
		return -EINVAL;
	if (__builtin_mul_overflow(n, unit->factor, &n))
		return -ERANGE;
	*ret = n;
	return 0;
}

int duration_parse(const char *text, uint64_t *ret_ns)
{
	const struct unit *unit;
	uint64_t factor = UINT64_MAX, sum = 0, n;
	size_t len;
	int err;

	do {
		err = digits(&text, &n);
		if (err)
			return err;
		len = strcspn(text, "0123456789");
		unit = unit_of(duration_units, text, len);
		if (!unit || unit->factor >= factor) /* "1m1h", "1s1s": more likely a mistake */
			return -EINVAL;
		factor = unit->factor;
		if (__builtin_mul_overflow(n, factor, &n) || __builtin_add_overflow(sum, n, &sum))
			return -ERANGE;
		text += len;
	} while (*text);
	*ret_ns = sum;
	return 0;
}

static void format(const struct unit *units, uint64_t n, char ret[static UNITS_TEXT_SIZE])
{
	const struct unit *best = units;

	for (; units->name; units++)
		if (n && n % units->factor == 0)
			best = units;
	snprintf(ret, UNITS_TEXT_SIZE, "%" PRIu64 "%s", n / best->factor, best->name);
}

void size_format(uint64_t bytes, char ret[static UNITS_TEXT_SIZE])
{
	format(size_units, bytes, ret);
}

void duration_format(uint64_t ns, char ret[static UNITS_TEXT_SIZE])
{
	if (ns)
		format(duration_units, ns, ret);
	else
		strcpy(ret, "0s");
}
