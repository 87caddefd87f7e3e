/* SPDX-License-Identifier: Apache-2.0 */
#include "tpm/context.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tss2/tss2_rc.h>

#include "base/clock.h"

#define HANDLES_MAX 64 /* of one kind, flushed at start: no TPM has room for as many */
#define AGAIN_FIRST_NS 5000000ull
#define AGAIN_MAX_NS 200000000ull

/*
 * ESYS writes to stderr what it returns anyway. Before any thread is there: getenv(3) is not to be
 * raced.
 */
__attribute__((constructor)) static void silence_tss(void)
{
	setenv("TSS2_LOG", "all+none", 0);
}

int context_fail(struct context *c, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(c->error, sizeof(c->error), format, args);
	va_end(args);
	return err;
}

/* What a TPM said, or the kernel's resource manager in its place; 0: it was somebody else. */
static TSS2_RC of_tpm(TSS2_RC rc)
{
	TSS2_RC layer = rc & TSS2_RC_LAYER_MASK;

	return layer == TSS2_TPM_RC_LAYER || layer == TSS2_RESMGR_TPM_RC_LAYER
		       ? rc & ~TSS2_RC_LAYER_MASK
		       : 0;
}

/* TPM 2.0 Library, Part 2, 6.6: format one has a number of what it blames above the code. */
static TSS2_RC code_of(TSS2_RC rc)
{
	return rc & TPM2_RC_FMT1 ? rc & (TPM2_RC_FMT1 | 0x3f) : rc;
}

TSS2_RC context_code(const struct context *c)
{
	return code_of(c->rc);
}

bool context_blames_parameter(const struct context *c)
{
	return (c->rc & TPM2_RC_FMT1) && (c->rc & TPM2_RC_P);
}

void context_begin(struct context *c, uint64_t within_ns)
{
	c->command.deadline_ns = clock_ns(CLOCK_MONOTONIC) + within_ns;
	c->command.tries = 0;
	c->rc = 0;
	c->commands++;
	tcti_set_deadline(c->tcti, c->command.deadline_ns);
}

/* "Not now": it tests itself, or protects its NV memory from wear (Part 2, 6.6.3). */
static bool passes(TSS2_RC rc)
{
	return rc == TPM2_RC_RETRY || rc == TPM2_RC_YIELDED || rc == TPM2_RC_TESTING ||
	       rc == TPM2_RC_NV_RATE || rc == TPM2_RC_NV_UNAVAILABLE;
}

bool context_again(struct context *c, TSS2_RC rc)
{
	uint64_t pause = AGAIN_FIRST_NS << (c->command.tries < 6 ? c->command.tries : 6);
	struct timespec ts;

	if (!passes(of_tpm(rc)))
		return false;
	if (pause > AGAIN_MAX_NS)
		pause = AGAIN_MAX_NS;
	if (clock_ns(CLOCK_MONOTONIC) + pause >= c->command.deadline_ns)
		return false;
	c->command.tries++;
	ts = (struct timespec){.tv_nsec = pause};
	nanosleep(&ts, NULL);
	return true;
}

/* The TPM was reset, or something flushed our keys and sessions (Part 2, 6.6.3). */
static bool forgot(TSS2_RC rc)
{
	return code_of(rc) == TPM2_RC_HANDLE ||
	       (rc >= TPM2_RC_REFERENCE_H0 && rc <= TPM2_RC_REFERENCE_S6) ||
	       rc == TPM2_RC_INITIALIZE || rc == TPM2_RC_AUTH_CONTEXT || rc == TPM2_RC_CONTEXT_GAP;
}

static int transmission_failed(struct context *c, const char *command)
{
	int err = tcti_error(c->tcti);

	switch (err) {
	case -ETIMEDOUT:
		return context_fail(c, err, "TPM2_%s: no answer within %llu ms", command,
				    (unsigned long long)c->timeout_ns / 1000000);
	case -ECANCELED:
		return context_fail(c, err, "TPM2_%s: stopped", command);
	case -EBADMSG:
		return context_fail(c, -EIO, "TPM2_%s: what came back is no response of a TPM",
				    command);
	default:
		return context_fail(c, -ENODEV, "TPM2_%s: the connection is lost: %s", command,
				    strerror(-err));
	}
}

int context_end(struct context *c, const char *name, TSS2_RC rc)
{
	const char *command = name + strlen("Esys_");

	c->rc = of_tpm(rc);
	if (rc == TSS2_RC_SUCCESS)
		return 0;
	c->broken = !c->rc || forgot(c->rc);
	if (tcti_error(c->tcti))
		return transmission_failed(c, command);
	context_fail(c, 0, "TPM2_%s: %s", command, Tss2_RC_Decode(rc));
	if (c->rc == TPM2_RC_LOCKOUT)
		return -EAGAIN;
	if (passes(c->rc))
		return -ETIMEDOUT;
	return (rc & ~TSS2_RC_LAYER_MASK) == TSS2_BASE_RC_MEMORY && !c->rc ? -ENOMEM : -EIO;
}

void context_flush(struct context *c, ESYS_TR *handle)
{
	const struct context before = *c;
	ESYS_TR h = *handle;

	*handle = ESYS_TR_NONE;
	if (h == ESYS_TR_NONE || !c->esys || tcti_error(c->tcti))
		return;
	(void)TPM_COMMAND(c, Esys_FlushContext, (c->esys, h), (c->esys));
	/* What failed before is what the caller wants to tell. */
	memcpy(c->error, before.error, sizeof(c->error));
	c->rc = before.rc;
	c->broken = c->broken || before.broken;
}

int context_session(struct context *c, ESYS_TR salt_key, TPMA_SESSION attributes, ESYS_TR *ret)
{
	static const TPMT_SYM_DEF aes = {
		.algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};
	static const TPMT_SYM_DEF none = {.algorithm = TPM2_ALG_NULL};
	ESYS_TR session;
	int err;

	err = TPM_COMMAND(c, Esys_StartAuthSession,
			  (c->esys, salt_key, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
			   ESYS_TR_NONE, NULL, TPM2_SE_HMAC,
			   salt_key == ESYS_TR_NONE ? &none : &aes, TPM2_ALG_SHA256),
			  (c->esys, &session));
	if (err)
		return err;
	/*
	 * It stays until it is flushed: one more command, and never a doubt whether it is still
	 * there.
	 */
	if (Esys_TRSess_SetAttributes(c->esys, session, TPMA_SESSION_CONTINUESESSION | attributes,
				      0xff)) {
		context_flush(c, &session);
		return context_fail(c, -EIO, "Esys_TRSess_SetAttributes failed");
	}
	*ret = session;
	return 0;
}

int context_property(struct context *c, uint32_t property, uint32_t *ret)
{
	_cleanup_free_ TPMS_CAPABILITY_DATA *data = NULL;
	const TPML_TAGGED_TPM_PROPERTY *list;
	TPMI_YES_NO more;
	int err;

	err = TPM_COMMAND(c, Esys_GetCapability,
			  (c->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
			   TPM2_CAP_TPM_PROPERTIES, property, 1),
			  (c->esys, &more, &data));
	if (err)
		return err;
	list = &data->data.tpmProperties;
	if (data->capability != TPM2_CAP_TPM_PROPERTIES || list->count != 1 ||
	    list->tpmProperty[0].property != property)
		return context_fail(c, -EIO, "the TPM does not tell its property 0x%x", property);
	*ret = list->tpmProperty[0].value;
	return 0;
}

/* ESYS knows only what it made itself. */
static int flush_handle(struct context *c, TPM2_HANDLE handle)
{
	const uint8_t command[] = {
		0x80,         0x01,         0,           0,     0, 14, 0, 0, 0x01, 0x65,
		handle >> 24, handle >> 16, handle >> 8, handle};
	uint32_t rc;
	int err;

	context_begin(c, c->timeout_ns);
	err = tcti_command(c->tcti, command, sizeof(command), &rc);
	if (err)
		return transmission_failed(c, "FlushContext");
	if (rc)
		return context_fail(c, -EIO, "TPM2_FlushContext of 0x%08x, which somebody left: %s",
				    handle, Tss2_RC_Decode(rc));
	return 0;
}

static int flush_kind(struct context *c, TPM2_HANDLE first)
{
	_cleanup_free_ TPMS_CAPABILITY_DATA *data = NULL;
	TPMI_YES_NO more;
	int err;

	err = TPM_COMMAND(c, Esys_GetCapability,
			  (c->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES,
			   first, HANDLES_MAX),
			  (c->esys, &more, &data));
	if (err)
		return err;
	if (data->capability != TPM2_CAP_HANDLES)
		return context_fail(c, -EIO, "the TPM does not tell its handles");
	for (size_t i = 0; !err && i < data->data.handles.count; i++)
		err = flush_handle(c, data->data.handles.handle[i]);
	return err;
}

static int flush_stale(struct context *c)
{
	static const TPM2_HANDLE kinds[] = {TPM2_TRANSIENT_FIRST, TPM2_LOADED_SESSION_FIRST,
					    TPM2_ACTIVE_SESSION_FIRST};
	int err = 0;

	if (tcti_managed(c->tcti))
		return 0;
	for (size_t i = 0; !err && i < sizeof(kinds) / sizeof(*kinds); i++)
		err = flush_kind(c, kinds[i]);
	return err;
}

int context_open(struct context *c)
{
	int err = tcti_connect(c->tcti);

	c->broken = false;
	if (err == -ETIMEDOUT)
		return context_fail(c, err,
				    "the TPM is still busy with what it did not answer in time");
	if (err)
		return context_fail(c, err == -ENOMEM ? err : -ENODEV,
				    "can't connect to the TPM: %s", strerror(-err));
	if (Esys_Initialize(&c->esys, tcti_tss(c->tcti), NULL))
		err = context_fail(c, -ENOMEM, "Esys_Initialize failed");
	else if (Esys_SetTimeout(c->esys, TSS2_TCTI_TIMEOUT_BLOCK))
		err = context_fail(c, -EIO, "Esys_SetTimeout failed");
	else
		err = flush_stale(c);
	if (err)
		context_close(c);
	return err;
}

void context_close(struct context *c)
{
	if (c->esys)
		Esys_Finalize(&c->esys);
	tcti_disconnect(c->tcti);
}
