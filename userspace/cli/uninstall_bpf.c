/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cli/cmd.h"
#include "collect/source.h"

#define PIN_DIR "/sys/fs/bpf/affiant"

static const char usage[] =
	"Usage: affiant uninstall-bpf [OPTION]...\n"
	"Ends tracing: removes the pinned programs, maps and links that outlive the daemon.\n"
	"Stop affiantd first. Processes of living sessions are recorded no more.\n"
	"\n"
	"  --pin-dir DIR   where they are pinned (default " PIN_DIR ")\n"
	"  -h, --help\n"
	"\n"
	"Exit code: 0, also when there was nothing; 1 while a daemon runs, or without the right;\n"
	"64 for a wrong option.\n";

int cmd_uninstall_bpf(int argc, char **argv)
{
	static const struct option table[] = {
		{"pin-dir", required_argument, NULL, 'p'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	const char *dir = PIN_DIR;
	char why[512] = "";
	int option, err;

	while ((option = getopt_long(argc, argv, "h", table, NULL)) >= 0) {
		switch (option) {
		case 'p':
			dir = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		default:
			fputs("affiant uninstall-bpf --help tells the options\n", stderr);
			return EXIT_USAGE;
		}
	}
	err = source_uninstall(dir, why, sizeof(why));
	if (!err)
		return EXIT_SUCCESS;
	log_error("%s", *why ? why : strerror(-err));
	return EXIT_FAILURE;
}
