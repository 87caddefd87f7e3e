/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "cli/cmd.h"
#include "cli/isolate.h"
#include "cli/runas.h"
#include "lib/affiant.h"
#include "lib/client.h"

/* As env(1), timeout(1) and others have it. */
#define EXIT_OURS 125
#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND 127

#define LIST_MAX 64

static const char usage[] =
	"Usage: affiant run --agent NAME [OPTION]... -- COMMAND [ARGUMENT]...\n"
	"Opens a session and becomes COMMAND in it: no moment of it goes unrecorded.\n"
	"\n"
	"  --agent NAME             which agent this is, as configured\n"
	"  --task ID                the task it works on\n"
	"  --purpose TEXT           what for, in words\n"
	"  --expires DURATION       when the task ends: 90s, 15m, 8h\n"
	"  --scope TEXT             what the task may touch; can be repeated\n"
	"  --on-behalf-of SUBJECT   for whom; recorded as asserted by whoever runs this\n"
	"  --user USER              as root: become USER (or UID:GID) first. Digests of a session that\n"
	"                           runs as root can't be proven\n"
	"  --measure PATH           file or directory of the agent's code; can be repeated\n"
	"  --isolation WHAT         landlock (default where the kernel has it): members of other\n"
	"                           sessions are out of reach; without CAP_SYS_ADMIN setuid\n"
	"                           programs don't work inside. Or: none\n"
	"  --socket PATH            affiantd's socket, if not the usual one\n"
	"  --verbose                say which session it is\n"
	"  -h, --help\n"
	"\n"
	"Exit code: that of COMMAND; 125 when affiant itself failed (COMMAND was not run), 126 when\n"
	"COMMAND can't be executed, 127 when it was not found, 64 for a wrong option.\n";

enum isolation { ISOLATION_DEFAULT, ISOLATION_LANDLOCK, ISOLATION_NONE };

struct run {
	struct affiant_open open;
	const char *scopes[LIST_MAX + 1], *measures[LIST_MAX + 1];
	size_t scopes_count, measures_count;
	const char *socket, *user;
	enum isolation isolation;
	bool verbose;
};

#define wrong(...) (log_error(__VA_ARGS__), hint())

static int hint(void)
{
	fputs("affiant run --help tells the options\n", stderr);
	return EXIT_USAGE;
}

static int add(const char **list, size_t *count, const char *what)
{
	if (*count == LIST_MAX)
		return wrong("--%s: at most 64 of them", what);
	list[(*count)++] = optarg;
	return -1;
}

static int set_expires(struct run *r)
{
	uint64_t ns;

	if (duration_parse(optarg, &ns) || !ns)
		return wrong("--expires: '%s' is not a duration such as 90s, 15m or 8h", optarg);
	r->open.expires_ns = clock_ns(CLOCK_REALTIME) + ns;
	return -1;
}

static int set_isolation(struct run *r)
{
	if (!strcmp(optarg, "landlock"))
		r->isolation = ISOLATION_LANDLOCK;
	else if (!strcmp(optarg, "none"))
		r->isolation = ISOLATION_NONE;
	else
		return wrong("--isolation: '%s' is not one of landlock, none", optarg);
	return -1;
}

/* -1: go on; else the exit code. */
static int set(struct run *r, int option)
{
	switch (option) {
	case 'a':
		r->open.agent = optarg;
		return -1;
	case 't':
		r->open.task = optarg;
		return -1;
	case 'p':
		r->open.purpose = optarg;
		return -1;
	case 'e':
		return set_expires(r);
	case 's':
		return add(r->scopes, &r->scopes_count, "scope");
	case 'b':
		r->open.principal = optarg;
		return -1;
	case 'm':
		return add(r->measures, &r->measures_count, "measure");
	case 'i':
		return set_isolation(r);
	case 'S':
		r->socket = optarg;
		return -1;
	case 'u':
		r->user = optarg;
		return -1;
	case 'v':
		r->verbose = true;
		return -1;
	case 'h':
		fputs(usage, stdout);
		return EXIT_SUCCESS;
	}
	fputs("affiant run --help tells the options\n", stderr);
	return EXIT_USAGE;
}

static int parse(int argc, char **argv, struct run *r)
{
	static const struct option table[] = {
		{"agent", required_argument, NULL, 'a'},
		{"task", required_argument, NULL, 't'},
		{"purpose", required_argument, NULL, 'p'},
		{"expires", required_argument, NULL, 'e'},
		{"scope", required_argument, NULL, 's'},
		{"on-behalf-of", required_argument, NULL, 'b'},
		{"measure", required_argument, NULL, 'm'},
		{"isolation", required_argument, NULL, 'i'},
		{"socket", required_argument, NULL, 'S'},
		{"user", required_argument, NULL, 'u'},
		{"verbose", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int option, code;

	while ((option = getopt_long(argc, argv, "+h", table, NULL)) >= 0) {
		code = set(r, option);
		if (code >= 0)
			return code;
	}
	if (!r->open.agent)
		return wrong("--agent is required");
	if (optind == argc)
		return wrong("no command is given");
	return -1;
}

/*
 * Found before the session is opened, so that a mistyped name opens none. What execvp(3) would
 * find: the first executable file; EACCES only when there was nothing better.
 */
static int find(const char *name, char ret[static PATH_MAX])
{
	const char *path = getenv("PATH") ?: "/usr/local/bin:/usr/bin:/bin";
	int err = -ENOENT;

	if (strchr(name, '/')) {
		if (snprintf(ret, PATH_MAX, "%s", name) >= PATH_MAX)
			return -ENAMETOOLONG;
		return access(name, X_OK) < 0 ? -errno : 0;
	}
	for (;;) {
		size_t len = strcspn(path, ":");
		struct stat st;

		if (snprintf(ret, PATH_MAX, "%.*s%s%s", (int)len, path, len ? "/" : "", name) <
		    PATH_MAX) {
			if (!access(ret, X_OK) && !stat(ret, &st) && S_ISREG(st.st_mode))
				return 0;
			if (errno == EACCES)
				err = -EACCES;
		}
		if (!path[len])
			return err;
		path += len + 1;
	}
}

static int fail(const char *name, int err)
{
	log_error("%s: %s", name, err == -ENOENT ? "command not found" : strerror(-err));
	return err == -ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}

/* In a domain before the session begins: no process of it was ever outside. */
static int isolate(struct run *r)
{
	int err;

	r->open.isolation = AFFIANT_ISOLATION_NONE;
	if (r->isolation == ISOLATION_NONE)
		return 0;
	err = isolate_landlock();
	if (!err) {
		r->open.isolation = AFFIANT_ISOLATION_LANDLOCK;
		return 0;
	}
	if (r->isolation == ISOLATION_LANDLOCK) {
		log_error("--isolation landlock: %s; it needs Landlock ABI 6 (Linux 6.12)",
			  strerror(-err));
		return err;
	}
	log_warning(
		"no isolation from other sessions of this user: Landlock ABI 6 (Linux 6.12) is not there");
	return 0;
}

static int open_session(void *run, int pidfd)
{
	struct affiant_session session;
	struct run *r = run;
	struct affiant *a;
	int err;

	r->open.pidfd = pidfd;
	r->open.held = pidfd >= 0;

	err = affiant_connect(r->socket, &a);
	if (err) {
		log_error("%s: %s; is affiantd running? The command was not run.",
			  client_path(r->socket), strerror(-err));
		return err;
	}
	err = affiant_open_session(a, &r->open, &session);
	if (err)
		log_error("no session was opened: %s. The command was not run.", affiant_error(a));
	else if (r->verbose)
		log_info("session %s of %s", session.id, session.spiffe_id);
	affiant_disconnect(a);
	return err;
}

/* As whom the command runs. */
static int find_user(const struct run *r, struct runas *ret)
{
	int err = runas_find(r->user, ret);

	if (err == -EPERM)
		log_error("--user: only root can become another user");
	else if (err == -EINVAL)
		log_error("--user: '%s' is root: leave the option away", r->user);
	else if (err == -ENOENT)
		log_error("--user: there is no user '%s' on this host (without an entry: UID:GID)",
			  r->user);
	else if (err)
		log_error("--user: %s", strerror(-err));
	return err;
}

/* The session begins: this process is in it, and is who the command runs as. */
static int enter(struct run *r)
{
	struct runas user = {0};
	int err;

	if (!r->user) {
		if (geteuid() == 0)
			log_notice("this session has root's power: its digests can't be proven "
				   "(see --user)");
		return isolate(r) ?: open_session(r, -1);
	}
	err = find_user(r, &user);
	if (err)
		return err;
	err = isolate(r);
	if (!err) {
		err = runas_open(&user, open_session, r);
		if (err < 0)
			log_error("--user: '%s' was not run as that user", r->user);
	}
	runas_clear(&user);
	return err;
}

int cmd_run(int argc, char **argv)
{
	struct run r = {.open = {.pidfd = -1}};
	char path[PATH_MAX];
	int code, err;

	code = parse(argc, argv, &r);
	if (code >= 0)
		return code;
	r.open.scopes = r.scopes;
	r.open.measures = r.measures;
	argv += optind;
	err = find(argv[0], path);
	if (err)
		return fail(argv[0], err);
	if (enter(&r))
		return EXIT_OURS;
	execv(path, argv);
	return fail(argv[0], -errno);
}
