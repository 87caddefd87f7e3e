/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/when.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/units.h"

#define NS_PER_S UINT64_C(1000000000)

/* Exactly @count digits. */
static int get_digits(const char **at, int count, int *ret)
{
	int value = 0;

	for (; count; count--, (*at)++) {
		if (**at < '0' || **at > '9')
			return -EINVAL;
		value = value * 10 + **at - '0';
	}
	*ret = value;
	return 0;
}

static int get_char(const char **at, const char *any)
{
	if (!**at || !strchr(any, **at))
		return -EINVAL;
	(*at)++;
	return 0;
}

static int get_fraction(const char **at, uint64_t *ret_ns)
{
	uint64_t ns = 0, unit = NS_PER_S / 10;

	if (**at < '0' || **at > '9')
		return -EINVAL;
	for (; **at >= '0' && **at <= '9'; (*at)++) {
		ns += unit * (uint64_t)(**at - '0');
		unit /= 10;
	}
	*ret_ns = ns;
	return 0;
}

/* "Z" or "+01:00", to the end. */
static int get_zone(const char **at, int *ret_seconds)
{
	int hours, minutes, err;
	bool minus = **at == '-';

	if (!get_char(at, "Zz")) {
		*ret_seconds = 0;
		return **at ? -EINVAL : 0;
	}
	err = get_char(at, "+-") ?: get_digits(at, 2, &hours) ?: get_char(at, ":") ?:
	      get_digits(at, 2, &minutes);
	if (err || **at || hours > 23 || minutes > 59)
		return -EINVAL;
	*ret_seconds = (minus ? -1 : 1) * (hours * 3600 + minutes * 60);
	return 0;
}

static int parse_rfc3339(const char *at, uint64_t *ret_ns)
{
	struct tm tm = {}, day;
	uint64_t fraction = 0, ns;
	int zone, err;
	time_t t;

	err = get_digits(&at, 4, &tm.tm_year) ?: get_char(&at, "-") ?:
	      get_digits(&at, 2, &tm.tm_mon) ?: get_char(&at, "-") ?:
	      get_digits(&at, 2, &tm.tm_mday) ?: get_char(&at, "Tt ") ?:
	      get_digits(&at, 2, &tm.tm_hour) ?: get_char(&at, ":") ?:
	      get_digits(&at, 2, &tm.tm_min) ?: get_char(&at, ":") ?:
	      get_digits(&at, 2, &tm.tm_sec);
	if (!err && !get_char(&at, "."))
		err = get_fraction(&at, &fraction);
	err = err ?: get_zone(&at, &zone);
	if (err)
		return err;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	day = (struct tm){.tm_year = tm.tm_year, .tm_mon = tm.tm_mon, .tm_mday = tm.tm_mday};
	t = timegm(&day); /* normalises what the calendar lacks: then it differs */
	if (day.tm_mday != tm.tm_mday || day.tm_mon != tm.tm_mon || day.tm_year != tm.tm_year ||
	    tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
		return -EINVAL;
	t += tm.tm_hour * 3600 + tm.tm_min * 60 + tm.tm_sec - zone;
	if (t < 0 || __builtin_mul_overflow((uint64_t)t, NS_PER_S, &ns) ||
	    __builtin_add_overflow(ns, fraction, &ns))
		return -EINVAL;
	*ret_ns = ns;
	return 0;
}

/* "1h", "-1h" and "1h ago" are the same: nothing that is asked for lies ahead. */
static int parse_ago(const char *text, uint64_t now_ns, uint64_t *ret_ns)
{
	char duration[64];
	size_t len = strlen(text);
	uint64_t ago;

	if (text[0] == '-') {
		text++;
		len--;
	} else if (len > 4 && !strcmp(text + len - 4, " ago")) {
		len -= 4;
	}
	if (!len || len >= sizeof(duration))
		return -EINVAL;
	memcpy(duration, text, len);
	duration[len] = '\0';
	if (duration_parse(duration, &ago) || ago > now_ns)
		return -EINVAL;
	*ret_ns = now_ns - ago;
	return 0;
}

int when_parse(const char *text, uint64_t now_ns, uint64_t *ret_ns)
{
	return parse_rfc3339(text, ret_ns) ? parse_ago(text, now_ns, ret_ns) : 0;
}

void when_format(uint64_t ns, char ret[static WHEN_SIZE])
{
	time_t t = ns / NS_PER_S; /* 64 bits of nanoseconds end in 2554: four digits are enough */
	size_t len;
	struct tm tm;

	gmtime_r(&t, &tm);
	len = strftime(ret, WHEN_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(ret + len, WHEN_SIZE - len, ".%03uZ", (unsigned int)(ns % NS_PER_S / 1000000));
}
