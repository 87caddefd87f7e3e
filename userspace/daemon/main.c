/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/pb.h"
#include "base/priority.h"
#include "base/standard.h"
#include "collect/source.h"
#include "daemon/config.h"
#include "daemon/core.h"
#include "daemon/directory.h"
#include "daemon/limits.h"
#include "daemon/privileges.h"
#include "daemon/server.h"
#include "daemon/turn.h"

#define EXIT_USAGE 64

static const char usage[] =
	"Usage: affiantd [OPTION]...\n"
	"Records what each AI agent on this host runs and where it connects.\n"
	"\n"
	"  --config FILE       configuration (default " CONFIG_PATH ")\n"
	"  --state-dir DIR     ledger and journal\n"
	"  --runtime-dir DIR   where the socket lies\n"
	"  --socket PATH       the local socket\n"
	"  --pin-dir DIR       in a bpffs: programs, maps and links that outlive the daemon\n"
	"  --check-config      read the configuration, say what is wrong with it, and exit\n"
	"  --verbose           say more\n"
	"  --help, --version\n"
	"\n"
	"It stays in the foreground and tells systemd (sd_notify) when it is ready. SIGTERM and\n"
	"SIGINT end it; tracing goes on in the kernel until 'affiant uninstall-bpf'.\n"
	"See affiantd(8).\n";

struct options {
	const char *config;
	struct config_paths paths;
	bool check;
	bool verbose;
};

/* -1: go on; else the exit code. */
static int parse(int argc, char **argv, struct options *o)
{
	static const struct option table[] = {
		{"config", required_argument, NULL, 'c'},
		{"state-dir", required_argument, NULL, 's'},
		{"runtime-dir", required_argument, NULL, 'r'},
		{"socket", required_argument, NULL, 'S'},
		{"pin-dir", required_argument, NULL, 'p'},
		{"check-config", no_argument, NULL, 'C'},
		{"verbose", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "h", table, NULL)) >= 0) {
		switch (c) {
		case 'c':
			o->config = optarg;
			break;
		case 's':
			o->paths.state_dir = optarg;
			break;
		case 'r':
			o->paths.runtime_dir = optarg;
			break;
		case 'S':
			o->paths.socket = optarg;
			break;
		case 'p':
			o->paths.pin_dir = optarg;
			break;
		case 'C':
			o->check = true;
			break;
		case 'v':
			o->verbose = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		case 'V':
			puts("affiantd " AFFIANT_VERSION);
			return EXIT_SUCCESS;
		default:
			fputs("affiantd --help tells the options\n", stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr,
			"affiantd: '%s': no arguments are taken; affiantd --help tells the options\n",
			argv[optind]);
		return EXIT_USAGE;
	}
	return -1;
}

/* As the unit has it (LimitNOFILE), where there is no unit: a shell's limit is 1024. */
static int raise_file_limit(void)
{
	const rlim_t wanted = 65536;
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur >= wanted)
		return 0;
	files.rlim_cur = files.rlim_max < wanted ? files.rlim_max : wanted;
	(void)setrlimit(RLIMIT_NOFILE, &files); /* with fewer, fewer files wait at once */
	if (files.rlim_cur >= LIMITS_FILES_MIN)
		return 0;
	log_error("%lu open files are too few, %d are needed%s", (unsigned long)files.rlim_cur,
		  LIMITS_FILES_MIN, limits_advice(-EMFILE));
	return -EMFILE;
}

/* What the records begin with: which program, over which kernel, and what it can't see. */
static void tell_started(struct core *c)
{
	Affiant__V1__Record r = AFFIANT__V1__RECORD__INIT;
	Affiant__V1__DaemonStarted m = AFFIANT__V1__DAEMON_STARTED__INIT;
	struct source_epoch epoch;
	struct sha256 object;
	struct utsname u;
	const void *elf;
	size_t size;

	m.version = (char *)AFFIANT_VERSION;
	SET(&m, tracing_was_on, source_continued(c->source));
	elf = source_object(c->source, &size);
	if (!sha256_of(elf, size, &object))
		SET(&m, bpf_sha256, ((ProtobufCBinaryData){SHA256_SIZE, object.bytes}));
	SET(&m, config_sha256,
	    ((ProtobufCBinaryData){SHA256_SIZE, (uint8_t *)c->config->digest.bytes}));
	m.features = (char **)source_features(c->source);
	while (m.features[m.n_features])
		m.n_features++;
	m.missing = (char **)source_missing(c->source);
	while (m.missing[m.n_missing])
		m.n_missing++;
	if (!uname(&u))
		m.kernel = u.release;
	source_get_epoch(c->source, &epoch);
	SET(&m, epoch, ((ProtobufCBinaryData){sizeof(epoch.id), epoch.id}));
	r.body_case = AFFIANT__V1__RECORD__BODY_DAEMON_STARTED;
	r.daemon_started = &m;
	core_tell(c, &r);
	core_flush(c);
}

static void tell_stopping(struct core *c)
{
	Affiant__V1__Record r = AFFIANT__V1__RECORD__INIT;
	Affiant__V1__DaemonStopping m = AFFIANT__V1__DAEMON_STOPPING__INIT;

	m.reason = (char *)"signal";
	r.body_case = AFFIANT__V1__RECORD__BODY_DAEMON_STOPPING;
	r.daemon_stopping = &m;
	core_drain(c);
	core_tell(c, &r);
	core_flush(c);
}

/*
 * Everybody connects, whatever the umask; a directory that was there is left as it is, if it is
 * root's.
 */
static int make_runtime_dir(const char *path)
{
	_cleanup_close_ int fd = -1;
	char why[PATH_MAX + 128];
	int err;

	err = directory_make(path, 0755, &fd, why, sizeof(why));
	if (err)
		log_error("%s", why);
	return err;
}

static int open_server(struct core *c, const struct config *config)
{
	struct server_config server = {
		.socket = config->socket,
		.launcher_users = config->launchers.users,
		.launcher_users_count = config->launchers.users_count,
		.launcher_groups = config->launchers.groups,
		.launcher_groups_count = config->launchers.groups_count,
		.reader_users = config->readers.users,
		.reader_users_count = config->readers.users_count,
		.reader_groups = config->readers.groups,
		.reader_groups_count = config->readers.groups_count,
	};
	int err;

	err = server_new(c->event, &server, &core_server_ops, c, &c->server);
	if (err == -EADDRINUSE)
		log_error("%s: another daemon answers there", config->socket);
	else if (err)
		log_error("%s: %s", config->socket, strerror(-err));
	return err;
}

/* SIGTERM and SIGINT leave the loop by it; both are blocked in every thread. */
static int catch_signals(sd_event *event)
{
	sigset_t set;
	int err;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	err = sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL);
	return err < 0 ? err : sd_event_add_signal(event, NULL, SIGINT, NULL, NULL);
}

static int limit_privileges(void)
{
	char kept[256];
	int err = privileges_limit();

	privileges_describe(kept, sizeof(kept));
	if (err == -EPERM)
		log_error("one of these capabilities is missing, here or in the bounding set: %s",
			  kept);
	else if (err)
		log_error("capabilities cannot be dropped: %s", strerror(-err));
	return err;
}

static int serve(const struct config *config, sd_event *event)
{
	_cleanup_free_ char *why = NULL;
	struct core *c = NULL;
	int err;

	priority_raise();
	err = limit_privileges() ?: make_runtime_dir(config->runtime_dir);
	if (err)
		return err;
	err = core_open(config, event, &c, &why);
	if (err) {
		log_error("%s%s", why ?: strerror(-err), limits_advice(err));
		return err;
	}
	err = open_server(c, config);
	if (!err) {
		err = privileges_drop();
		if (err)
			log_error("the system call filter cannot be installed: %s", strerror(-err));
	}
	err = err ?: core_start(c);
	if (!err) {
		tell_started(c);
		sd_event_set_watchdog(event, true);
		sd_notify(false, "READY=1\nSTATUS=recording");
		err = turn_loop(event);
		sd_notify(false, "STOPPING=1");
		tell_stopping(c);
	}
	server_free(c->server);
	c->server = NULL;
	if (err < 0)
		log_error("%s", strerror(-err));
	if (!core_close(c)) {
		/* All is durable; what runs at an exit may be in a thread's use. */
		log_notice(
			"a thread waits for a filesystem that does not answer, and is left behind");
		_exit(err < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
	}
	return err;
}

int main(int argc, char **argv)
{
	struct options o = {0};
	_cleanup_free_ char *why = NULL;
	struct config *config = NULL;
	sd_event *event = NULL;
	int err = parse(argc, argv, &o);

	if (err >= 0)
		return err;
	if (standard_reserve())
		return EXIT_FAILURE;
	log_open("affiantd", o.verbose ? LOG_DEBUG : LOG_INFO);
	if (o.check)
		return config_check(o.config, stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
	if (geteuid()) {
		log_error("has to be started by root: it loads kernel programs");
		return EXIT_FAILURE;
	}
	umask(077);
	if (raise_file_limit())
		return EXIT_FAILURE;
	err = config_load(o.config, &o.paths, &config, &why);
	if (err) {
		log_error("%s", why ?: strerror(-err));
		return EXIT_FAILURE;
	}
	err = sd_event_default(&event);
	err = err < 0 ? err : catch_signals(event);
	err = err < 0 ? err : serve(config, event);
	sd_event_unref(event);
	config_free(config);
	return err < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
