/* SPDX-License-Identifier: Apache-2.0 */
#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/standard.h"
#include "cli/cmd.h"

static const struct {
	const char *name;
	int (*function)(int argc, char **argv);
	const char *does;
} subcommands[] = {
	{"run", cmd_run, "runs a command as an agent's session"},
	{"sessions", cmd_sessions, "lists the sessions that live"},
	{"session", cmd_session, "ends a session"},
	{"events", cmd_events, "shows what agents did"},
	{"status", cmd_status, "shows the daemon's rates, losses, cache and memory"},
	{"match", cmd_match, "says which selector would take a process, and why"},
	{"evidence", cmd_evidence, "asks for evidence about the process that asks"},
	{"enroll", cmd_enroll, "enrols this host's attestation key with a verifier"},
	{"ca", cmd_ca, "certifies hosts' attestation keys: the verifier's side of enrolment"},
	{"verify", cmd_verify, "judges evidence by a policy: for a token service"},
	{"uninstall-bpf", cmd_uninstall_bpf, "ends tracing: removes all pinned programs and maps"},
};

#define COUNT (sizeof(subcommands) / sizeof(subcommands[0]))

static void usage(FILE *to)
{
	fputs("Usage: affiant COMMAND [OPTION]...\n"
	      "What each AI agent on this host runs, where it connects, and for whom.\n\n",
	      to);
	for (size_t i = 0; i < COUNT; i++)
		fprintf(to, "  %-14s %s\n", subcommands[i].name, subcommands[i].does);
	fputs("\n'affiant COMMAND --help' tells the options of each. See affiant(1).\n", to);
}

static int run(int argc, char **argv)
{
	if (argc < 2) {
		usage(stderr);
		return EXIT_USAGE;
	}
	for (size_t i = 0; i < COUNT; i++)
		if (!strcmp(argv[1], subcommands[i].name))
			return subcommands[i].function(argc - 1, argv + 1);
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		usage(stdout);
		return EXIT_SUCCESS;
	}
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "version")) {
		puts("affiant " AFFIANT_VERSION);
		return EXIT_SUCCESS;
	}
	log_error("'%s' is not a command; affiant --help lists them", argv[1]);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	int code, err = standard_reserve();

	if (err)
		return EXIT_FAILURE;
	log_open("affiant", LOG_INFO);
	setlocale(LC_CTYPE, "");
	code = run(argc, argv);
	err = code == EXIT_SUCCESS ? standard_flush() : 0;
	if (err) {
		log_error("standard output: %s", strerror(-err));
		return EXIT_FAILURE;
	}
	return code;
}
