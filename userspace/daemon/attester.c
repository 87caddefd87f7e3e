/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/attester.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "attest/cmw.h"
#include "attest/enrol.h"
#include "attest/jose.h"
#include "attest/ossl.h"
#include "attest/tpm2.h"
#include "base/cleanup.h"
#include "base/file.h"

#define AK_CHAIN "ak-chain.pem"
#define AK_CHAIN_MAX 65536

struct attester {
	struct attester_config config;
	int dir; /* state_dir/tpm */
	struct tpm_worker *tpm;
	bool known;          /* 'identity' is: */
	uint64_t generation; /* the worker's number of it */
	struct tpm_identity identity;
	uint8_t ueid[CLAIMS_UEID_SIZE];
	char *ak_chain;
	EVP_PKEY *key;
	char kid[JOSE_THUMBPRINT_SIZE];
	json_t *header;
	struct measure_host host;
	struct sha256 self, bpf;
	char *host_claims; /* JSON */
	struct sha256 host_digest;
};

DEFINE_CLEANUP(struct attester *, attester_free)
DEFINE_CLEANUP(BIO *, BIO_free)
DEFINE_CLEANUP(struct sha256_context *, sha256_free)

static int why(char **ret_why, int err, const char *what)
{
	if (asprintf(ret_why, "%s: %s", what, strerror(-err)) < 0)
		*ret_why = NULL;
	return err;
}

/* ---- the AK's certificate ---- */

static bool chain_is_of(const void *pem, size_t len, const struct tpm_identity *identity)
{
	_cleanup_(BIO_freep) BIO *bio = BIO_new_mem_buf(pem, len);
	_cleanup_(X509_freep) X509 *leaf = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	_cleanup_key_ EVP_PKEY *key = NULL;
	struct tpm2_public public;

	return leaf && !tpm2_public_parse(identity->ak_public, identity->ak_public_len, &public) &&
	       !tpm2_public_key(&public, &key) && EVP_PKEY_eq(key, X509_get0_pubkey(leaf)) == 1;
}

/*
 * NULL: there is none, or it is of another AK (the TPM was cleared): then this host is not
 * enrolled.
 */
static char *read_chain(int dir, const struct tpm_identity *identity)
{
	_cleanup_close_ int fd = openat(dir, AK_CHAIN, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	_cleanup_free_ char *pem = malloc(AK_CHAIN_MAX + 1);
	ssize_t len = fd >= 0 && pem ? file_read(fd, pem, AK_CHAIN_MAX) : 0;

	if (len <= 0 || !chain_is_of(pem, len, identity))
		return NULL;
	pem[len] = '\0';
	return TAKE_PTR(pem);
}

static int write_chain(int dir, const void *pem, size_t len)
{
	_cleanup_close_ int fd =
		openat(dir, AK_CHAIN ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int err;

	if (fd < 0)
		return -errno;
	err = file_write(fd, pem, len);
	if (err)
		return err;
	if (fsync(fd) < 0 || renameat(dir, AK_CHAIN ".new", dir, AK_CHAIN) < 0 || fsync(dir) < 0)
		return -errno;
	return 0;
}

/* ---- beginning ---- */

static int measure_self(struct sha256 *ret)
{
	_cleanup_close_ int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	_cleanup_(sha256_freep) struct sha256_context *sum = NULL;
	uint8_t block[65536];
	ssize_t n;
	int err = fd < 0 ? -errno : sha256_new(&sum);

	while (!err && (n = read(fd, block, sizeof(block)))) {
		if (n < 0)
			return -errno;
		err = sha256_update(sum, block, n);
	}
	return err ?: sha256_final(sum, ret);
}

/* Made anew each time, and never written anywhere: who reads the disk can't speak for this host. */
static int make_key(struct attester *a)
{
	_cleanup_json_ json_t *jwk = NULL;
	int err = jose_key_new(&a->key) ?: jose_thumbprint(a->key, a->kid);

	if (err)
		return err;
	jwk = jose_jwk(a->key, false);
	a->header = json_pack("{s:s, s:s, s:O?}", "alg", "ES256", "typ", "eat+jwt", "jwk", jwk);
	return jwk && a->header ? 0 : -ENOMEM;
}

static int open_tpm(struct attester *a)
{
	struct tpm_config tpm = a->config.tpm;

	if (mkdirat(a->config.state_dir, "tpm", 0700) < 0 && errno != EEXIST)
		return -errno;
	a->dir =
		openat(a->config.state_dir, "tpm", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (a->dir < 0)
		return -errno;
	tpm.tcti = a->config.tcti;
	tpm.state_dir = a->dir;
	return tpm_worker_new(&tpm, &a->tpm);
}

int attester_new(const struct attester_config *config, struct attester **ret, char **ret_why)
{
	_cleanup_(attester_freep) struct attester *a = calloc(1, sizeof(*a));
	int err;

	if (!a)
		return -ENOMEM;
	a->config = *config;
	a->dir = -1;
	err = measure_self(&a->self);
	if (err)
		return why(ret_why, err, "/proc/self/exe");
	err = make_key(a) ?: sha256_of(config->bpf, config->bpf_len, &a->bpf) ?:
	      measure_host(config->root, &a->host);
	if (err)
		return why(ret_why, err, "the evidence key can't be made");
	err = config->tcti ? open_tpm(a) : 0;
	if (err)
		return why(ret_why, err, "the TPM's thread can't be started");
	*ret = TAKE_PTR(a);
	return 0;
}

void attester_free(struct attester *a)
{
	if (!a)
		return;
	tpm_worker_free(a->tpm);
	if (a->known)
		tpm_identity_clear(&a->identity);
	free(a->ak_chain);
	free(a->host_claims);
	EVP_PKEY_free(a->key);
	json_decref(a->header);
	closep(&a->dir);
	free(a);
}

struct tpm_worker *attester_tpm(struct attester *a)
{
	return a->tpm;
}

/* ---- what the host says of itself ---- */

static bool set_text(char **to, const char *from)
{
	*to = strdup(from);
	return *to;
}

static bool add_file(struct claims_host *h, enum claims_role role, const char *path,
		     const struct sha256 *digest)
{
	struct claims_file *f = &h->files[h->files_count];

	f->role = role;
	f->state = CLAIMS_OBSERVED;
	memcpy(f->digest, digest->bytes, SHA256_SIZE);
	f->digest_len = SHA256_SIZE;
	h->files_count++;
	return set_text(&f->path, path);
}

/* Whether it can be read: how long it is is no matter here. */
static bool has_log(const struct attester *a, enum measure_log log)
{
	_cleanup_close_ int fd = measure_open(a->config.root, log);
	char byte;

	return fd >= 0 && read(fd, &byte, 1) >= 0;
}

static int fill_host(const struct attester *a, struct claims_host *h)
{
	static const enum claims_lockdown lockdowns[] = {CLAIMS_LOCKDOWN_UNAVAILABLE,
							 CLAIMS_UNLOCKED, CLAIMS_INTEGRITY,
							 CLAIMS_CONFIDENTIALITY};
	static const enum claims_secure_boot boots[] = {
		CLAIMS_SECURE_BOOT_UNAVAILABLE, CLAIMS_SECURE_BOOT_OFF, CLAIMS_SECURE_BOOT_ON};
	const size_t cmdline_len = strlen(a->host.cmdline);

	memcpy(h->host_id, a->config.host_id, sizeof(h->host_id));
	memcpy(h->boot_id.bytes, a->config.boot_id, UUID_SIZE);
	h->cmdline_sha256 = a->host.cmdline_digest;
	h->lockdown = lockdowns[a->host.lockdown];
	h->secure_boot = boots[a->host.secure_boot];
	h->boot_log = has_log(a, MEASURE_BOOT);
	h->ima_log = has_log(a, MEASURE_IMA);
	h->systemd_log = has_log(a, MEASURE_SYSTEMD);
	h->tpm.firmware = a->identity.firmware;
	h->tpm.ak_name_len = a->identity.ak_name_len;
	memcpy(h->tpm.ak_name, a->identity.ak_name, a->identity.ak_name_len);
	h->tpm.enrolled = a->ak_chain != NULL;
	return set_text(&h->kernel, a->host.kernel) &&
			       (!cmdline_len || cmdline_len > CLAIMS_CMDLINE_MAX ||
				set_text(&h->cmdline, a->host.cmdline)) &&
			       set_text(&h->tpm.manufacturer, a->identity.manufacturer) &&
			       set_text(&h->tpm.vendor, a->identity.vendor) &&
			       add_file(h, CLAIMS_EXECUTABLE, "affiantd", &a->self) &&
			       add_file(h, CLAIMS_CONFIGURATION, "affiant.yaml",
					&a->config.config_digest) &&
			       add_file(h, CLAIMS_BPF, "affiant.bpf.o", &a->bpf)
		       ? 0
		       : -ENOMEM;
}

/* Once for each TPM and certificate: workload evidence names its digest. */
static int make_host_claims(struct attester *a)
{
	struct claims_host h = {0};
	const char *why;
	char *text;
	int err;

	err = fill_host(a, &h) ?: claims_host_encode(&h, &text, &a->host_digest, &why);
	claims_host_clear(&h);
	if (err)
		return err;
	free(a->host_claims);
	a->host_claims = text;
	return 0;
}

int attester_claims(struct attester *a, struct claims *ret)
{
	memcpy(ret->ueid, a->ueid, sizeof(ret->ueid));
	memcpy(ret->kid, a->kid, sizeof(ret->kid));
	memcpy(ret->host_id, a->config.host_id, sizeof(ret->host_id));
	ret->host = a->host_digest;
	return set_text(&ret->version, AFFIANT_VERSION) ? 0 : -ENOMEM;
}

/* ---- who the TPM is ---- */

/* It can be another one after it was lost: a software TPM made anew, or one that was cleared. */
static int learn_identity(struct attester *a, uint64_t generation)
{
	struct tpm_identity now;
	int err = tpm_worker_identity(a->tpm, &now);

	if (err)
		return err;
	if (a->known)
		tpm_identity_clear(&a->identity);
	free(a->ak_chain);
	a->identity = now;
	a->ak_chain = read_chain(a->dir, &now);
	a->known = true;
	a->generation = 0; /* of none: the next one who asks tries again */
	err = claims_ueid(now.ek_public, now.ek_public_len, a->ueid) ?: make_host_claims(a);
	if (!err)
		a->generation = generation;
	return err;
}

/* One that is locked out is asked all the same: nothing else would show that it no longer is. */
bool attester_ready(struct attester *a, char *ret_why, size_t size)
{
	struct tpm_status status;
	int err;

	if (!a->tpm) {
		snprintf(ret_why, size, "no TPM is configured (tpm.tcti)");
		return false;
	}
	tpm_worker_status(a->tpm, &status);
	if (status.state != TPM_READY && status.state != TPM_LOCKED_OUT) {
		snprintf(ret_why, size, "%s",
			 *status.error ? status.error
				       : "the TPM has not been reached yet: try again");
		return false;
	}
	if (a->known && a->generation == status.generation)
		return true;
	err = learn_identity(a, status.generation);
	if (err)
		snprintf(ret_why, size, "who the TPM is can't be told: %s", strerror(-err));
	return !err;
}

const struct tpm_identity *attester_identity(const struct attester *a)
{
	return a->known ? &a->identity : NULL;
}

const char *attester_ak_chain(const struct attester *a)
{
	return a->ak_chain;
}

int attester_install(struct attester *a, const void *pem, size_t len)
{
	char *copy;
	int err;

	if (!a->known || len > AK_CHAIN_MAX || memchr(pem, '\0', len) ||
	    !chain_is_of(pem, len, &a->identity))
		return -EBADMSG;
	copy = strndup(pem, len);
	if (!copy)
		return -ENOMEM;
	err = write_chain(a->dir, pem, len);
	if (err) {
		free(copy);
		return err;
	}
	free(a->ak_chain);
	a->ak_chain = copy;
	return make_host_claims(a);
}

/* ---- signing ---- */

int attester_signing_input(struct attester *a, const json_t *claims, char **ret)
{
	return jose_signing_input(a->header, claims, ret);
}

int attester_sign(struct attester *a, const char *signing_input, char **ret)
{
	return jose_jws(a->key, signing_input, ret);
}

/* ---- host evidence ---- */

static int put_ek_chain(struct buffer *b, const struct tpm_identity *identity)
{
	_cleanup_(BIO_freep) BIO *bio = BIO_new(BIO_s_mem());
	char *pem;
	long len;

	if (!bio)
		return -ENOMEM;
	for (size_t i = 0; i < identity->ek_chain_count; i++) {
		const uint8_t *at = identity->ek_chain[i].data;

		if (PEM_write_bio(bio, "CERTIFICATE", "", at, identity->ek_chain[i].len) <= 0)
			return -ENOMEM;
	}
	len = BIO_get_mem_data(bio, &pem);
	if (len > 0)
		cmw_put(b, "ek_chain", CMW_PEM, pem, len);
	return 0;
}

int attester_put_host(struct attester *a, struct buffer *b)
{
	const struct tpm_identity *i = &a->identity;
	int err;

	cmw_begin(b, CMW_TYPE_HOST);
	cmw_put(b, "claims", CMW_HOST_CLAIMS, a->host_claims, strlen(a->host_claims));
	cmw_put(b, "ek_public", CMW_TPMT_PUBLIC, i->ek_public, i->ek_public_len);
	cmw_put(b, "ak_public", CMW_TPMT_PUBLIC, i->ak_public, i->ak_public_len);
	err = put_ek_chain(b, i);
	if (a->ak_chain)
		cmw_put(b, "ak_chain", CMW_PEM, a->ak_chain, strlen(a->ak_chain));
	return err ?: buffer_error(b);
}

/* ---- enrolment ---- */

int attester_enrolment(const struct attester *a, char **ret)
{
	const struct tpm_identity *i = &a->identity;
	struct enrol_request r = {
		.ek_public = {(uint8_t *)i->ek_public, i->ek_public_len},
		.ak_public = {(uint8_t *)i->ak_public, i->ak_public_len},
		.ek_chain_count = i->ek_chain_count,
	};
	_cleanup_json_ json_t *o = NULL;

	memcpy(r.host_id, a->config.host_id, sizeof(r.host_id));
	for (size_t n = 0; n < i->ek_chain_count; n++)
		r.ek_chain[n] = (struct enrol_blob){i->ek_chain[n].data, i->ek_chain[n].len};
	o = enrol_request_json(&r);
	*ret = o ? json_dumps(o, JSON_INDENT(2)) : NULL;
	return *ret ? 0 : -ENOMEM;
}
