/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ca.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attest/authority.h"
#include "base/log.h"
#include "base/units.h"
#include "cli/cmd.h"

#define SECOND 1000000000ull

static const char usage[] =
	"Usage: affiant ca init --dir DIR [--name NAME] [--curve P-256|P-384] [--days N]\n"
	"       affiant ca challenge --dir DIR --trust FILE... [OPTION]... REQUEST\n"
	"       affiant ca issue --dir DIR [--days N] [-O FILE] ANSWER\n"
	"The verifier's side of enrolment: checks that a host's attestation key lives in a TPM\n"
	"whose endorsement key is trusted, and certifies it. Needs no daemon and no privileges.\n"
	"REQUEST and ANSWER are files of 'affiant enroll'; - is standard input.\n"
	"\n"
	"init makes a certificate authority: DIR/ca.pem, DIR/ca.key (0600).\n"
	"challenge checks a request, and prints a challenge that only that TPM can open, once.\n"
	"issue checks the answer, and prints the certificate and its issuer in PEM.\n"
	"\n"
	"  -d, --dir DIR       the authority's directory\n"
	"  -O, --out FILE      instead of standard output\n"
	"      --name NAME     of a new authority (affiant enrolment CA)\n"
	"      --curve CURVE   of its key: P-256 (default), or P-384\n"
	"      --days N        how long what is issued is valid (init: 3650, issue: 365)\n"
	"  -t, --trust FILE    certificates, in PEM, of who vouches for TPMs; up to 32 times\n"
	"      --expires TIME  until when a challenge can be answered (default 1h)\n"
	"      --allow-software-tpm\n"
	"                      takes a TPM that is a program too, which its host's root can read\n"
	"      --ueid UEID     takes this TPM without a certificate of its endorsement key:\n"
	"                      its ueid was learnt otherwise\n"
	"  -h, --help\n"
	"\n"
	"Exit code: 0, 1 when refused or when something fails, 64 for a wrong option.\n";

enum { NAME = 256, CURVE, DAYS, EXPIRES, SOFTWARE, UEID };

static const struct option table[] = {
	{"dir", required_argument, NULL, 'd'},
	{"out", required_argument, NULL, 'O'},
	{"trust", required_argument, NULL, 't'},
	{"name", required_argument, NULL, NAME},
	{"curve", required_argument, NULL, CURVE},
	{"days", required_argument, NULL, DAYS},
	{"expires", required_argument, NULL, EXPIRES},
	{"allow-software-tpm", no_argument, NULL, SOFTWARE},
	{"ueid", required_argument, NULL, UEID},
	{"help", no_argument, NULL, 'h'},
	{0},
};

static bool wrong(const char *option, const char *value, const char *allowed)
{
	log_error("--%s: '%s' is not %s", option, value, allowed);
	return false;
}

static bool set_option(struct ca_options *o, int option)
{
	switch (option) {
	case 'd':
		o->dir = optarg;
		return true;
	case 'O':
		o->out = optarg;
		return true;
	case 't':
		if (o->trust_count == CA_TRUST_MAX)
			return wrong("trust", optarg,
				     "one of 32 files, at most: put several certificates into one");
		o->trust[o->trust_count++] = optarg;
		return true;
	case NAME:
		o->name = optarg;
		return (*optarg && strlen(optarg) <= AUTHORITY_NAME_MAX) ||
		       wrong("name", optarg, "of 1 to 64 bytes");
	case CURVE:
		o->curve = optarg;
		return !strcmp(optarg, "P-256") || !strcmp(optarg, "P-384") ||
		       wrong("curve", optarg, "P-256 or P-384");
	case DAYS:
		return (!number_parse(optarg, &o->days) && o->days > 0 &&
			o->days <= AUTHORITY_DAYS_MAX) ||
		       wrong("days", optarg, "a number from 1 to 36500");
	case EXPIRES:
		if (duration_parse(optarg, &o->expires) || o->expires < SECOND ||
		    o->expires > 30 * 86400 * SECOND)
			return wrong("expires", optarg, "a time from 1s to 30d");
		o->expires /= SECOND;
		return true;
	case SOFTWARE:
		o->software = true;
		return true;
	case UEID:
		o->ueid = optarg;
		return true;
	default:
		fputs("affiant ca --help tells the options\n", stderr);
		return false;
	}
}

static int run(const char *verb, struct ca_options *o, int count, char **arguments)
{
	bool init = !strcmp(verb, "init"), challenge = !strcmp(verb, "challenge");

	if (!init && !challenge && strcmp(verb, "issue")) {
		log_error("ca: '%s' is not one of init, challenge, issue", verb);
		return EXIT_USAGE;
	}
	if (!o->dir) {
		log_error("ca %s: --dir is missing", verb);
		return EXIT_USAGE;
	}
	if (count != !init) {
		log_error("ca %s takes %s; affiant ca --help tells more", verb,
			  init ? "no file" : "one file");
		return EXIT_USAGE;
	}
	if (challenge && !o->trust_count == !o->ueid) {
		log_error("ca challenge: either --trust, the issuers of EK certificates, or "
			  "--ueid, of a TPM without one");
		return EXIT_USAGE;
	}
	if (init)
		return ca_init(o);
	return challenge ? ca_challenge(o, arguments[0]) : ca_issue(o, arguments[0]);
}

int cmd_ca(int argc, char **argv)
{
	struct ca_options o = {
		.out = "-", .name = "affiant enrolment CA", .curve = "P-256", .expires = 3600};
	int option;

	while ((option = getopt_long(argc, argv, "d:O:t:h", table, NULL)) >= 0) {
		if (option == 'h') {
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		}
		if (!set_option(&o, option))
			return EXIT_USAGE;
	}
	if (optind == argc) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	return run(argv[optind], &o, argc - optind - 1, argv + optind + 1);
}
