/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/verify.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "attest/ear.h"
#include "attest/ossl.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/cmd.h"
#include "cli/filing.h"
#include "cli/policy.h"
#include "cli/verify_state.h"

#define EXIT_UNDECIDED 2
#define KEY_MAX 4096 /* bytes of a JWK's file */

DEFINE_CLEANUP(struct policy *, policy_free)
DEFINE_CLEANUP(struct verifier *, verifier_free)
DEFINE_CLEANUP(struct verify_result *, verify_result_free)

static const char usage[] =
	"Usage: affiant verify --policy FILE --nonce NONCE --audience AUDIENCE [OPTION]... "
	"[EVIDENCE|-]\n"
	"       affiant verify --policy FILE --check-policy\n"
	"Judges evidence by a policy, and says what was checked and what it showed. Needs no "
	"daemon, no TPM and no\n"
	"privileges. That a nonce is accepted once only is for whoever gave it out to see to.\n"
	"\n"
	"  -p, --policy FILE    what passes (docs/token-services.md)\n"
	"      --nonce NONCE    that was given out\n"
	"      --audience TEXT  that was asked for: this verifier's name\n"
	"      --state DIR      remembers hosts there, so that logs need not come every time\n"
	"      --time SECONDS   judges as of then, not now\n"
	"  -o, --output FORMAT  text (default), json, ear: a signed attestation result\n"
	"      --ear-key FILE   that signs it: a private JWK (EC, P-256)\n"
	"      --ear-profile P  ietf (default), veraison\n"
	"      --check-policy   only reads the policy\n"
	"  -h, --help\n"
	"\n"
	"Exit code: 0 affirmed, 1 refused, 2 it can't be judged (malformed, or host evidence is "
	"needed), 64 for a wrong\n"
	"option or policy.\n";

enum output { OUTPUT_TEXT, OUTPUT_JSON, OUTPUT_EAR };

struct options {
	const char *policy, *nonce, *audience, *state, *ear_key;
	enum ear_profile profile;
	int64_t now;
	enum output output;
	bool check_policy;
	EVP_PKEY *key;
};

enum { NONCE = 256, AUDIENCE, STATE, TIME, CHECK, EAR_KEY, EAR_PROFILE };

static const struct option table[] = {
	{"policy", required_argument, NULL, 'p'},
	{"nonce", required_argument, NULL, NONCE},
	{"audience", required_argument, NULL, AUDIENCE},
	{"state", required_argument, NULL, STATE},
	{"time", required_argument, NULL, TIME},
	{"output", required_argument, NULL, 'o'},
	{"ear-key", required_argument, NULL, EAR_KEY},
	{"ear-profile", required_argument, NULL, EAR_PROFILE},
	{"check-policy", no_argument, NULL, CHECK},
	{"help", no_argument, NULL, 'h'},
	{0},
};

/* ---- for people ---- */

static bool colours(void)
{
	const char *no = getenv("NO_COLOR");

	return isatty(STDOUT_FILENO) && !(no && *no);
}

static const char *colour_of(int good)
{
	if (!colours())
		return "";
	return good > 0 ? "\033[32m" : good < 0 ? "\033[31m" : "\033[33m";
}

static void put_text(const char *text)
{
	_cleanup_buffer_ struct buffer b = {};

	text_printable(&b, text, strlen(text), 0);
	if (!buffer_error(&b))
		fwrite(b.data, 1, b.len, stdout);
}

static void put_check(const struct verify_check *c, size_t group)
{
	static const struct {
		const char *mark;
		int good;
	} outcomes[] = {
		[VERIFY_PASSED] = {"ok", 1},
		[VERIFY_FAILED] = {"NO", -1},
		[VERIFY_NOT_JUDGED] = {"--", 0},
	};
	const char *end = colours() ? "\033[0m" : "";

	printf("  %s%s%s  %-20s ", colour_of(outcomes[c->outcome].good), outcomes[c->outcome].mark,
	       end, c->name + group + 2);
	put_text(c->showed);
	putchar('\n');
}

static void print_text(const struct verify_result *r)
{
	const char *end = colours() ? "\033[0m" : "";
	const char *last = "";

	for (size_t i = 0; i < r->checks_count; i++) {
		const struct verify_check *c = &r->checks[i];
		size_t group = strcspn(c->name, ":");

		if (strlen(last) < group || strncmp(last, c->name, group + 1))
			printf("%.*s\n", (int)group, c->name);
		last = c->name;
		put_check(c, group);
	}
	printf("%s%s%s", colour_of(r->verdict == AFFIANT_AFFIRMED ? 1 : -1),
	       verify_verdict_word(r->verdict), end);
	if (r->verdict != AFFIANT_AFFIRMED)
		printf(": %s: ", verify_code_name(r->code));
	put_text(verify_reason(r));
	printf("\ntier: %s\n", verify_tier_word(r->tier));
	if (r->asset) {
		fputs("host: ", stdout);
		put_text(r->asset);
		putchar('\n');
	}
}

static int print_json(const struct verify_result *r)
{
	_cleanup_json_ json_t *json = verify_result_json(r);

	return json && !json_dumpf(json, stdout, JSON_INDENT(2)) && putchar('\n') != EOF ? 0 : -EIO;
}

static int print_ear(const struct options *o, const struct affiant_policy *policy,
		     const struct verify_result *r)
{
	const struct ear_options ear = {
		.profile = o->profile,
		.developer = "https://affiant.dev",
		.build = "affiant " AFFIANT_VERSION,
		.policy = policy->digest,
		.nonce = o->nonce,
		.now = o->now,
	};
	_cleanup_free_ char *token = NULL;
	int err = ear_sign(r, &ear, o->key, &token);

	return err ?: puts(token) == EOF ? -EIO : 0;
}

static int print(const struct options *o, const struct affiant_policy *policy,
		 const struct verify_result *r)
{
	static const int codes[] = {
		[AFFIANT_AFFIRMED] = EXIT_SUCCESS,
		[AFFIANT_REFUSED] = EXIT_FAILURE,
		[AFFIANT_UNDECIDED] = EXIT_UNDECIDED,
	};
	int err = 0;

	if (o->output == OUTPUT_TEXT)
		print_text(r);
	else
		err = o->output == OUTPUT_JSON ? print_json(r) : print_ear(o, policy, r);
	if (!err && fflush(stdout) == 0)
		return codes[r->verdict];
	log_error("the result can't be written: %s", strerror(err ? -err : errno));
	return EXIT_UNDECIDED;
}

/* A private JWK on P-256. */
static int read_key(const char *path, EVP_PKEY **ret)
{
	_cleanup_buffer_ struct buffer b = {};
	_cleanup_json_ json_t *jwk = NULL;
	_cleanup_key_ EVP_PKEY *key = NULL;
	int err = filing_read_trusted(path, KEY_MAX, &b);

	if (err)
		return err;
	err = jose_json(b.data, b.len, 2, &jwk)
		      ?: json_object_get(jwk, "d") ? jose_key_of_jwk(jwk, &key)
						   : -EINVAL;
	if (b.data)
		OPENSSL_cleanse(b.data, b.len);
	if (err || EVP_PKEY_get_bits(key) != 256) {
		log_error("%s: is not a private JWK with \"kty\": \"EC\" and \"crv\": \"P-256\"",
			  path);
		return -EINVAL;
	}
	*ret = TAKE_PTR(key);
	return 0;
}

/* ---- work ---- */

static int judge(const struct options *o, const struct affiant_policy *policy, const char *path)
{
	_cleanup_(verify_result_freep) struct verify_result *r = NULL;
	_cleanup_(verifier_freep) struct verifier *v = NULL;
	_cleanup_(verify_state_done) struct verify_state state = {.dir = o->state, .lock = -1};
	_cleanup_buffer_ struct buffer evidence = {};
	struct verify_request q = {
		.nonce = o->nonce,
		.audience = o->audience,
		.now = o->now,
		.recall = verify_state_recall,
		.data = &state,
	};
	const char *why = "no memory";
	int err = filing_read(path, BOUNDS_EVIDENCE, &evidence);

	if (err)
		return EXIT_UNDECIDED;
	q.evidence = evidence.data;
	q.len = evidence.len;
	if (verifier_new(policy, &v, &why)) {
		log_error("%s: %s", o->policy, why);
		return EXIT_UNDECIDED;
	}
	err = verify(v, &q, &r);
	if (err) {
		if (err == -ENOMEM)
			log_error("%s: %s", path, strerror(-err));
		return EXIT_UNDECIDED;
	}
	if (r->has_host && verify_state_save(&state, &r->host) < 0)
		return EXIT_UNDECIDED;
	return print(o, policy, r);
}

static int set_word(const char *option, const char *text, const char *const *words,
		    unsigned int *ret)
{
	for (unsigned int i = 0; words[i]; i++)
		if (!strcmp(words[i], text)) {
			*ret = i;
			return 0;
		}
	log_error("--%s: '%s' is not one that affiant verify --help tells", option, text);
	return -EINVAL;
}

static int set_option(struct options *o, int option)
{
	static const char *const outputs[] = {"text", "json", "ear", NULL};
	static const char *const profiles[] = {"ietf", "veraison", NULL};
	char *end;

	switch (option) {
	case 'p':
		o->policy = optarg;
		return 0;
	case NONCE:
		o->nonce = optarg;
		return 0;
	case AUDIENCE:
		o->audience = optarg;
		return 0;
	case STATE:
		o->state = optarg;
		return 0;
	case CHECK:
		o->check_policy = true;
		return 0;
	case TIME:
		errno = 0;
		o->now = strtoll(optarg, &end, 10);
		if (!errno && end != optarg && !*end && o->now >= 0 && o->now < INT64_C(1) << 40)
			return 0;
		log_error("--time: '%s' is not a number of seconds", optarg);
		return -EINVAL;
	case EAR_KEY:
		o->ear_key = optarg;
		return 0;
	case EAR_PROFILE:
		return set_word("ear-profile", optarg, profiles, (unsigned int *)&o->profile);
	case 'o':
		return set_word("output", optarg, outputs, (unsigned int *)&o->output);
	default:
		fputs("affiant verify --help tells the options\n", stderr);
		return -EINVAL;
	}
}

int cmd_verify(int argc, char **argv)
{
	_cleanup_(policy_freep) struct policy *policy = NULL;
	struct options o = {.now = time(NULL)};
	_cleanup_free_ char *why = NULL;
	int option, err;

	while ((option = getopt_long(argc, argv, "p:o:h", table, NULL)) >= 0) {
		if (option == 'h') {
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		}
		if (set_option(&o, option) < 0)
			return EXIT_USAGE;
	}
	if (!o.policy || (!o.check_policy && (!o.nonce || !o.audience)) || argc - optind > 1) {
		log_error("--policy, --nonce and --audience are needed, and one file at most; "
			  "affiant verify --help tells more");
		return EXIT_USAGE;
	}
	if ((o.output == OUTPUT_EAR) != !!o.ear_key) {
		log_error("--output ear and --ear-key go together");
		return EXIT_USAGE;
	}
	err = policy_load(o.policy, &policy, &why);
	if (err) {
		log_error("%s", why ?: strerror(-err));
		return EXIT_USAGE;
	}
	if (o.check_policy)
		return EXIT_SUCCESS;
	if (o.output == OUTPUT_EAR && read_key(o.ear_key, &o.key) < 0)
		return EXIT_USAGE;
	err = judge(&o, policy_rules(policy), optind < argc ? argv[optind] : "-");
	EVP_PKEY_free(o.key);
	return err;
}
