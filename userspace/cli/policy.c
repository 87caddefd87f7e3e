/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "attest/certificate.h"
#include "attest/verify.h"
#include "base/base64url.h"
#include "base/file.h"
#include "base/trusted.h"
#include "base/units.h"
#include "cli/policy_impl.h"

#define SECOND 1000000000ull
#define MAX_AGE 300 /* seconds */
#define SKEW 5

DEFINE_CLEANUP(struct policy *, policy_free)
DEFINE_CLEANUP(struct sha256_context *, sha256_free)
DEFINE_CLEANUP(struct verifier *, verifier_free)

#define mistake(x, key, ...) document_mistake((x)->document, (x)->ret_why, key, __VA_ARGS__)

void policy_free(struct policy *p)
{
	if (!p)
		return;
	document_free(p->document);
	for (size_t i = 0; i < p->owned_count; i++)
		free(p->owned[i]);
	free(p->owned);
	free(p);
}

const struct affiant_policy *policy_rules(const struct policy *p)
{
	return &p->rules;
}

static int own(struct policy *p, void *memory)
{
	void **more = memory ? reallocarray(p->owned, p->owned_count + 1, sizeof(*more)) : NULL;

	if (!more)
		return -ENOMEM;
	p->owned = more;
	more[p->owned_count++] = memory;
	return 0;
}

void *policy_alloc(struct policy *p, size_t count, size_t size)
{
	void *memory = calloc(count ?: 1, size);

	if (own(p, memory) < 0) {
		free(memory);
		return NULL;
	}
	return memory;
}

/* ---- files ---- */

/* -EPERM: @why says what others could change. */
static int read_all(int dir, const char *name, size_t max, char **ret, size_t *ret_len,
		    char why[static TRUSTED_WHY_SIZE])
{
	_cleanup_close_ int fd =
		trusted_open(dir, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, why, TRUSTED_WHY_SIZE);
	_cleanup_free_ char *text = NULL;
	struct stat st;
	ssize_t len;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if ((uint64_t)st.st_size > max)
		return -EFBIG;
	text = malloc(st.st_size + 2);
	if (!text)
		return -ENOMEM;
	len = file_read(fd, text, st.st_size + 1);
	if (len < 0)
		return len;
	text[len] = '\0';
	*ret = TAKE_PTR(text);
	*ret_len = len;
	return 0;
}

int policy_read(struct policy_reading *x, const char *key, const char *name, size_t max, char **ret,
		size_t *ret_len)
{
	char *text, why[TRUSTED_WHY_SIZE];
	uint64_t size;
	size_t len;
	int err;

	if (x->dir < 0)
		return mistake(x, key, "'%s': files can't be named here", name);
	err = read_all(x->dir, name, max, &text, &len, why);
	if (err == -ENOMEM)
		return err;
	if (err == -EPERM && *why)
		return mistake(x, key, "%s", why);
	if (err)
		return mistake(x, key, "'%s': %s", name,
			       err == -EINVAL ? "is not a file" : strerror(-err));
	err = own(x->policy, text);
	if (err) {
		free(text);
		return err;
	}
	size = len;
	err = sha256_update(x->digest, &size, sizeof(size)) ?: sha256_update(x->digest, text, len);
	*ret = text;
	*ret_len = len;
	return err;
}

/* ---- values ---- */

int policy_word(struct policy_reading *x, const char *key, const char *text,
		const char *const *words, unsigned int *ret)
{
	char all[256] = "";
	size_t len = 0;

	if (!text)
		return 0;
	for (unsigned int i = 0; words[i]; i++) {
		if (!strcmp(words[i], text)) {
			*ret = i;
			return 0;
		}
		if (len < sizeof(all) && *words[i])
			len += snprintf(all + len, sizeof(all) - len, "%s%s", len ? ", " : "",
					words[i]);
	}
	return mistake(x, key, "'%s' is not one of %s", text, all);
}

static void key_of(char ret[static 256], const char *key, unsigned int i)
{
	snprintf(ret, 256, "%s[%u]", key, i);
}

int policy_words(struct policy_reading *x, const char *key, const struct raw_texts *list,
		 const char *const *words, uint32_t usual, uint32_t *ret)
{
	unsigned int word;
	char at[256];
	int err = 0;

	*ret = list->count ? 0 : usual;
	for (unsigned int i = 0; !err && i < list->count; i++) {
		key_of(at, key, i);
		err = policy_word(x, at, list->items[i], words, &word);
		if (!err)
			*ret |= 1u << word;
	}
	return err;
}

int policy_digests(struct policy_reading *x, const char *key, const struct raw_texts *list,
		   struct affiant_digests *ret)
{
	struct affiant_digest *digests = policy_alloc(x->policy, list->count, sizeof(*digests));
	char at[256];
	size_t len;

	if (!digests)
		return -ENOMEM;
	for (unsigned int i = 0; i < list->count; i++) {
		const char *text = list->items[i];

		key_of(at, key, i);
		if (!strcmp(text, "any") && list->count == 1) {
			*ret = (struct affiant_digests){.any = true};
			return 0;
		}
		if (hex_decode(text, strlen(text), digests[i].sha256, SHA256_SIZE, &len) ||
		    len != SHA256_SIZE)
			return mistake(x, at,
				       "'%s' is neither a SHA-256 digest in 64 lower case "
				       "hexadecimal digits, nor 'any' alone",
				       text);
	}
	*ret = (struct affiant_digests){.list = digests, .count = list->count};
	return 0;
}

int policy_digests_or_any(struct policy_reading *x, const char *key, const struct raw_texts *list,
			  struct affiant_digests *ret)
{
	if (list->count)
		return policy_digests(x, key, list, ret);
	*ret = (struct affiant_digests){.any = true};
	return 0;
}

int policy_texts(struct policy_reading *x, const char *key, const struct raw_texts *list,
		 struct affiant_texts *ret)
{
	char at[256];

	for (unsigned int i = 0; i < list->count; i++) {
		if (*list->items[i])
			continue;
		key_of(at, key, i);
		return mistake(x, at, "is empty");
	}
	/* The document, which has them, lives as long as the policy. */
	ret->list = (const char *const *)list->items;
	ret->count = list->count;
	return 0;
}

/*
 * Where nothing is named nothing passes, or the key is not judged, or a usual value is meant: who
 * writes an empty value may mean any of these. With these keys there is but one meaning.
 */
static bool may_be_empty(const char *path)
{
	static const char environment[] = "].environment";
	const size_t len = strlen(path), end = strlen(environment);

	return len > end && !strcmp(path + len - end, environment);
}

static int refuse_empty(struct policy_reading *x)
{
	const char *path = document_empty(x->document, may_be_empty);

	return path ? mistake(x, path, "is empty: name what passes, or leave it out") : 0;
}

static int get_seconds(struct policy_reading *x, const char *key, const char *text, uint64_t max,
		       uint32_t usual, uint32_t *ret)
{
	uint64_t ns;

	*ret = usual;
	if (!text)
		return 0;
	if (duration_parse(text, &ns) || ns < SECOND || ns > max * SECOND)
		return mistake(x, key, "'%s' is not a duration from 1s to %llus", text,
			       (unsigned long long)max);
	*ret = ns / SECOND;
	return 0;
}

/* ---- trust ---- */

static int add_pem(struct policy_reading *x, const char *key, const struct raw_texts *list,
		   bool software, struct affiant_pem *to, size_t *count)
{
	char at[256];
	int err = 0;

	for (unsigned int i = 0; !err && i < list->count; i++) {
		STACK_OF(X509) *chain = NULL;
		char *text;
		size_t len;

		key_of(at, key, i);
		err = policy_read(x, at, list->items[i], CERTIFICATE_PEM_MAX, &text, &len);
		if (err)
			break;
		err = certificate_chain_of_pem(text, len, &chain);
		certificate_chain_free(chain);
		if (err)
			return err == -ENOMEM
				       ? err
				       : mistake(x, at, "'%s' is not 1 to %d certificates in PEM",
						 list->items[i], CERTIFICATE_CHAIN_MAX);
		to[(*count)++] =
			(struct affiant_pem){.text = text, .len = len, .software = software};
	}
	return err;
}

static int get_firmware(struct policy_reading *x, const struct raw_texts *list)
{
	uint64_t *versions = policy_alloc(x->policy, list->count, sizeof(*versions));
	uint8_t bytes[8];
	char at[256];
	size_t len;

	if (!versions)
		return -ENOMEM;
	for (unsigned int i = 0; i < list->count; i++) {
		key_of(at, "trust.firmware", i);
		if (hex_decode(list->items[i], strlen(list->items[i]), bytes, sizeof(bytes),
			       &len) ||
		    len != sizeof(bytes))
			return mistake(x, at, "'%s' is not 16 lower case hexadecimal digits",
				       list->items[i]);
		for (size_t k = 0; k < sizeof(bytes); k++)
			versions[i] = versions[i] << 8 | bytes[k];
	}
	x->policy->rules.firmware = versions;
	x->policy->rules.firmware_count = list->count;
	x->policy->rules.any_firmware = !list->count;
	return 0;
}

static int get_trust(struct policy_reading *x, const struct raw_trust *raw)
{
	static const char *const words[] = {"no", "yes", NULL};
	struct affiant_policy *p = &x->policy->rules;
	struct affiant_pem *tpm =
		policy_alloc(x->policy, raw->tpm.count + raw->software_tpm.count, sizeof(*tpm));
	struct affiant_pem *ca = policy_alloc(x->policy, raw->enrolment.count, sizeof(*ca));
	unsigned int word = 0;
	int err;

	if (!tpm || !ca)
		return -ENOMEM;
	err = add_pem(x, "trust.tpm", &raw->tpm, false, tpm, &p->tpm_roots_count) ?:
	      add_pem(x, "trust.software_tpm", &raw->software_tpm, true, tpm, &p->tpm_roots_count) ?:
	      add_pem(x, "trust.enrolment", &raw->enrolment, false, ca, &p->ak_roots_count) ?:
	      policy_word(x, "trust.allow_software_tpm", raw->allow_software_tpm, words, &word) ?:
	      get_firmware(x, &raw->firmware);
	p->tpm_roots = tpm;
	p->ak_roots = ca;
	p->allow_software_tpm = word;
	return err;
}

static int get_host(struct policy_reading *x, const char *key, const struct raw_host *raw,
		    struct affiant_host *to)
{
	static const char *const words[] = {"required", "none-software", "none-hardware", NULL};
	unsigned int word = 0;
	char at[256];
	int err;

	snprintf(at, sizeof(at), "%s.ueid", key);
	if (!raw->ueid ||
	    base64url_decode_exact(raw->ueid, strlen(raw->ueid), to->ueid, sizeof(to->ueid)) ||
	    to->ueid[0] != 1)
		return mistake(x, at, "'%s' is not a ueid, as 'affiant ca challenge' shows it",
			       raw->ueid ?: "");
	snprintf(at, sizeof(at), "%s.ek_certificate", key);
	err = policy_word(x, at, raw->ek_certificate, words, &word);
	if (err)
		return err;
	to->no_ek_certificate = word > 0;
	to->hardware = word == 2;
	to->asset = raw->asset;
	snprintf(at, sizeof(at), "%s.agents", key);
	return policy_texts(x, at, &raw->agents, &to->agents);
}

static int get_hosts(struct policy_reading *x, const struct raw_policy *raw)
{
	struct affiant_host *hosts = policy_alloc(x->policy, raw->hosts_count, sizeof(*hosts));
	char key[64];
	int err = hosts ? 0 : -ENOMEM;

	for (unsigned int i = 0; !err && i < raw->hosts_count; i++) {
		snprintf(key, sizeof(key), "hosts[%u]", i);
		err = get_host(x, key, &raw->hosts[i], &hosts[i]);
		for (unsigned int k = 0; !err && k < i; k++)
			if (!memcmp(hosts[k].ueid, hosts[i].ueid, sizeof(hosts[k].ueid)))
				err = mistake(x, key, "hosts[%u] has the same ueid", k);
	}
	x->policy->rules.hosts = hosts;
	x->policy->rules.hosts_count = raw->hosts_count;
	return err;
}

/* ---- the whole ---- */

static int interpret(struct policy_reading *x, const struct raw_policy *raw)
{
	struct affiant_policy *p = &x->policy->rules;
	struct affiant_daemon *d = &p->daemon;

	return refuse_empty(x) ?:
	       get_seconds(x, "max_age", raw->max_age, 86400, MAX_AGE, &p->max_age) ?:
	       get_seconds(x, "skew", raw->skew, 3600, SKEW, &p->skew) ?:
	       get_trust(x, &raw->trust) ?:
	       get_hosts(x, raw) ?:
	       policy_boot(x, &raw->boot) ?:
	       policy_ima(x, &raw->ima) ?:
	       policy_digests(x, "daemon.executables", &raw->daemon.executables, &d->executables) ?:
	       policy_digests(x, "daemon.configurations", &raw->daemon.configurations, &d->configurations) ?:
	       policy_digests(x, "daemon.bpf", &raw->daemon.bpf, &d->bpf) ?:
	       policy_agents(x, raw);
}

/* What the library would refuse, told here. */
static int check(struct policy_reading *x)
{
	_cleanup_(verifier_freep) struct verifier *v = NULL;
	const char *why = "";
	int err = verifier_new(&x->policy->rules, &v, &why);

	return err == -EINVAL ? mistake(x, "", "%s", why) : err;
}

int policy_parse(const char *name, const void *text, size_t len, int dir, struct policy **ret,
		 char **ret_why)
{
	_cleanup_(sha256_freep) struct sha256_context *digest = NULL;
	_cleanup_(policy_freep) struct policy *p = calloc(1, sizeof(*p));
	const struct raw_policy *raw;
	struct policy_reading x;
	struct sha256 all;
	int err;

	*ret_why = NULL;
	err = p ? sha256_new(&digest) : -ENOMEM;
	err = err ?: sha256_update(digest, text, len)
			 ?: document_new(name, text, len, &policy_schema, &p->document, ret_why);
	if (err)
		return err;
	x = (struct policy_reading){p, p->document, dir, digest, ret_why};
	raw = document_root(p->document);
	if (!raw || !document_keys(p->document))
		return document_mistake(p->document, ret_why, "", "says nothing");
	err = interpret(&x, raw) ?: check(&x) ?: sha256_final(digest, &all);
	if (err)
		return err;
	memcpy(p->rules.digest, &all, sizeof(all));
	*ret = TAKE_PTR(p);
	return 0;
}

int policy_load(const char *path, struct policy **ret, char **ret_why)
{
	_cleanup_free_ char *text = NULL, *copy = strdup(path);
	_cleanup_close_ int dir = -1;
	char why[TRUSTED_WHY_SIZE] = "";
	size_t len;
	int err;

	*ret_why = NULL;
	if (!copy)
		return -ENOMEM;
	dir = open(dirname(copy), O_PATH | O_DIRECTORY | O_CLOEXEC);
	err = dir < 0 ? -errno : read_all(AT_FDCWD, path, DOCUMENT_SIZE_MAX, &text, &len, why);
	if (!err)
		return policy_parse(path, text, len, dir, ret, ret_why);
	if (err == -EPERM && *why)
		*ret_why = strdup(why);
	else if (err != -ENOMEM && asprintf(ret_why, "%s: %s", path,
					    err == -EINVAL ? "is not a file" : strerror(-err)) < 0)
		*ret_why = NULL;
	return err;
}
