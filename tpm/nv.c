/* SPDX-License-Identifier: Apache-2.0 */
#include "tpm/nv.h"

#include <errno.h>
#include <string.h>

int nv_list(struct context *c, TPM2_HANDLE first, TPM2_HANDLE end, TPM2_HANDLE *ret, size_t room,
	    size_t *ret_count)
{
	_cleanup_free_ TPMS_CAPABILITY_DATA *data = NULL;
	const TPML_HANDLE *list;
	TPMI_YES_NO more;
	size_t count = 0;
	int err;

	err = TPM_COMMAND(
		c, Esys_GetCapability,
		(c->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES, first, room),
		(c->esys, &more, &data));
	if (err)
		return err;
	if (data->capability != TPM2_CAP_HANDLES)
		return context_fail(c, -EIO, "the TPM does not tell its NV indices");
	list = &data->data.handles;
	while (count < list->count && count < room && list->handle[count] < end) {
		ret[count] = list->handle[count];
		count++;
	}
	*ret_count = count;
	return 0;
}

int nv_open(struct context *c, TPM2_HANDLE index, ESYS_TR *ret, TPMS_NV_PUBLIC *ret_public)
{
	_cleanup_free_ TPM2B_NV_PUBLIC *public = NULL;
	_cleanup_free_ TPM2B_NAME *name = NULL;
	ESYS_TR nv;
	int err;

	err = TPM_COMMAND(c, Esys_TR_FromTPMPublic,
			  (c->esys, index, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE),
			  (c->esys, &nv));
	if (err && context_code(c) == TPM2_RC_HANDLE) {
		c->broken = false;
		return -ENOENT;
	}
	if (err)
		return err;
	err = TPM_COMMAND(c, Esys_NV_ReadPublic,
			  (c->esys, nv, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE),
			  (c->esys, &public, &name));
	if (err) {
		Esys_TR_Close(c->esys, &nv);
		return err;
	}
	*ret = nv;
	*ret_public = public->nvPublic;
	return 0;
}

static int read_opened(struct context *c, ESYS_TR nv, const TPMS_NV_PUBLIC *public, uint8_t *ret,
		       size_t *ret_len)
{
	ESYS_TR by = public->attributes & TPMA_NV_AUTHREAD ? nv : ESYS_TR_RH_OWNER;
	size_t have = 0, n;
	uint32_t most;
	int err;

	err = context_property(c, TPM2_PT_NV_BUFFER_MAX, &most);
	while (!err && have < public->dataSize) {
		_cleanup_free_ TPM2B_MAX_NV_BUFFER *part = NULL;

		n = public->dataSize - have;
		if (n > most)
			n = most;
		err = TPM_COMMAND(
			c, Esys_NV_Read,
			(c->esys, by, nv, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, n, have),
			(c->esys, &part));
		if (!err && (part->size == 0 || part->size > n))
			err = context_fail(c, -EIO, "TPM2_NV_Read: %u bytes, not %zu", part->size,
					   n);
		if (!err) {
			memcpy(ret + have, part->buffer, part->size);
			have += part->size;
		}
	}
	*ret_len = have;
	return err;
}

int nv_read(struct context *c, TPM2_HANDLE index, uint8_t **ret, size_t *ret_len)
{
	_cleanup_free_ uint8_t *data = NULL;
	TPMS_NV_PUBLIC public;
	size_t len = 0;
	ESYS_TR nv;
	int err;

	err = nv_open(c, index, &nv, &public);
	if (err)
		return err;
	data = malloc(public.dataSize ?: 1);
	if (!(public.attributes & TPMA_NV_WRITTEN))
		err = -ENOENT;
	else if (!data)
		err = -ENOMEM;
	else
		err = read_opened(c, nv, &public, data, &len);
	Esys_TR_Close(c->esys, &nv);
	if (err)
		return err;
	*ret = TAKE_PTR(data);
	*ret_len = len;
	return 0;
}
