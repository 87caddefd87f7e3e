/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/events_options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "cli/when.h"

#define LAST_MAX 1000000

static const char help[] =
	"Usage: affiant events [OPTION]...\n"
	"Shows what agents did: the records of the ledger, oldest first.\n"
	"\n"
	"  -f, --follow           go on with what happens from now on\n"
	"  -n, --last N           only the last N of those that match\n"
	"  -o, --output FORMAT    compact (default): one line a record, for people\n"
	"                         json: OCSF 1.9.0, one object a line\n"
	"                         proto: affiant.v1.Record, each after its length as a varint\n"
	"  -a, --all              compact: also connects to nscd's, syslog's and systemd's sockets,\n"
	"                         which are left out unless --dst asks for them\n"
	"\n"
	"Only records that match. An option given twice matches either value:\n"
	"  --agent NAME           agent's name or SPIFFE ID; * and ? stand for any\n"
	"  --session ID           session's UUID, or 4 characters or more of its beginning or end\n"
	"  --task ID              task's id; * and ? stand for any\n"
	"  --principal SUBJECT    for whom; * and ? stand for any\n"
	"  --dst WHERE            443, 10.0.0.0/8, 10.0.0.0/8:443, [2001:db8::/32]:443, /run/*.sock\n"
	"  --outcome WORD,...     established refused timed_out unreachable reset aborted denied\n"
	"                         not_sent attempted pending\n"
	"  --type WORD,...        session_started session_ended exec exit connect close\n"
	"                         untracked_socket listening lost gap folded daemon_started\n"
	"                         daemon_stopping\n"
	"  --since, --until WHEN  2026-11-02T06:13:20Z, 1h, '1h30m ago', -10m\n"
	"\n"
	"  --socket PATH          affiantd's socket, if not the usual one\n"
	"  --ledger DIRECTORY     read segment files there, without a daemon\n"
	"  -h, --help\n"
	"\n"
	"Times are UTC. Exit code: 0, 1 when records could not be read, 64 for a wrong option.\n";

static int wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int wrong(const char *format, ...)
{
	va_list ap;

	fputs("affiant events: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputs("\nTry 'affiant events --help'.\n", stderr);
	return -EINVAL;
}

enum option_code { OPT_SOCKET = 256, OPT_LEDGER, OPT_SINCE, OPT_UNTIL, OPT_FILTER };

static const struct option options[] = {
	{"all", no_argument, NULL, 'a'},
	{"follow", no_argument, NULL, 'f'},
	{"last", required_argument, NULL, 'n'},
	{"output", required_argument, NULL, 'o'},
	{"help", no_argument, NULL, 'h'},
	{"socket", required_argument, NULL, OPT_SOCKET},
	{"ledger", required_argument, NULL, OPT_LEDGER},
	{"since", required_argument, NULL, OPT_SINCE},
	{"until", required_argument, NULL, OPT_UNTIL},
	{"agent", required_argument, NULL, OPT_FILTER + FILTER_AGENT},
	{"session", required_argument, NULL, OPT_FILTER + FILTER_SESSION},
	{"task", required_argument, NULL, OPT_FILTER + FILTER_TASK},
	{"principal", required_argument, NULL, OPT_FILTER + FILTER_PRINCIPAL},
	{"dst", required_argument, NULL, OPT_FILTER + FILTER_DST},
	{"outcome", required_argument, NULL, OPT_FILTER + FILTER_OUTCOME},
	{"type", required_argument, NULL, OPT_FILTER + FILTER_TYPE},
	{},
};

static int set_format(struct events_options *o, const char *value)
{
	static const char *const formats[] = {
		[EVENTS_COMPACT] = "compact", [EVENTS_JSON] = "json", [EVENTS_PROTO] = "proto"};

	for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++)
		if (!strcmp(formats[i], value)) {
			o->format = i;
			return 0;
		}
	return wrong("--output: '%s' is not one of compact, json, proto", value);
}

static int set_when(struct events_options *o, int code, const char *value)
{
	uint64_t ns;

	if (when_parse(value, clock_ns(CLOCK_REALTIME), &ns))
		return wrong("--%s: '%s' is not a time like 2026-11-02T06:13:20Z, 1h or '1h "
			     "ago'",
			     code == OPT_SINCE ? "since" : "until", value);
	if (code == OPT_SINCE)
		filter_since(o->filter, ns);
	else
		filter_until(o->filter, ns);
	return 0;
}

static int set_filter(struct events_options *o, const struct option *option, const char *value)
{
	enum filter_kind kind = option->val - OPT_FILTER;
	int err = filter_add(o->filter, kind, value);

	return err == -EINVAL
		       ? wrong("--%s: '%s' is not %s", option->name, value, filter_allowed(kind))
		       : err;
}

static int set_option(struct events_options *o, int code, const struct option *option,
		      const char *value)
{
	switch (code) {
	case 'a':
		o->all = true;
		return 0;
	case 'f':
		o->follow = true;
		return 0;
	case 'n':
		if (number_parse(value, &o->last) || !o->last || o->last > LAST_MAX)
			return wrong("--last: '%s' is not a number from 1 to %d", value, LAST_MAX);
		return 0;
	case 'o':
		return set_format(o, value);
	case 'h':
		fputs(help, stdout);
		o->help = true;
		return 0;
	case OPT_SOCKET:
		o->socket = value;
		return 0;
	case OPT_LEDGER:
		o->ledger = value;
		return 0;
	case OPT_SINCE:
	case OPT_UNTIL:
		return set_when(o, code, value);
	default:
		return set_filter(o, option, value);
	}
}

int events_options_parse(struct events_options *o, int argc, char **argv)
{
	int code, at = 0, err;

	*o = (struct events_options){};
	err = filter_new(&o->filter);
	if (err)
		return err;
	optind = 0;
	opterr = 0;
	while ((code = getopt_long(argc, argv, ":afn:o:h", options, &at)) != -1) {
		if (code == ':')
			return wrong("%s needs a value", argv[optind - 1]);
		if (code == '?' && strncmp(argv[optind - 1], "--", 2))
			return wrong("-%c is no option", optopt);
		if (code == '?')
			return wrong("%s is no option, or not one alone", argv[optind - 1]);
		err = set_option(o, code, &options[at], optarg);
		if (err || o->help)
			return err;
	}
	if (optind < argc)
		return wrong("'%s': no arguments are taken", argv[optind]);
	if (o->ledger && o->socket)
		return wrong("--ledger and --socket exclude each other");
	if (o->ledger && o->follow)
		return wrong("--ledger reads what is there: --follow needs the daemon");
	return 0;
}

void events_options_done(struct events_options *o)
{
	filter_free(o->filter);
}
