/* SPDX-License-Identifier: Apache-2.0 */
#include "attest/measure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "base/file.h"

#define SECURITYFS "sys/kernel/security/"
/*
 * EFI global variable: UEFI Specification, section 3.3. Four bytes of attributes, then the value.
 */
#define SECURE_BOOT "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

static const char *const paths[MEASURE_LOGS] = {
	[MEASURE_BOOT] = SECURITYFS "tpm0/binary_bios_measurements",
	[MEASURE_IMA] = SECURITYFS "ima/binary_runtime_measurements",
	[MEASURE_SYSTEMD] = "run/log/systemd/tpm2-measure.log",
};

int measure_open(int root, enum measure_log log)
{
	int fd = openat(root, paths[log], O_RDONLY | O_CLOEXEC | O_NOCTTY);

	return fd < 0 ? -errno : fd;
}

/* A small file as text, cut at @size; "" when it can't be read. */
static size_t read_text(int root, const char *path, char *ret, size_t size)
{
	_cleanup_close_ int fd = openat(root, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t len = fd >= 0 ? file_read(fd, ret, size - 1) : 0;

	len = len < 0 ? 0 : len;
	ret[len] = '\0';
	return len;
}

static enum measure_lockdown read_lockdown(int root)
{
	char text[128];

	read_text(root, SECURITYFS "lockdown", text, sizeof(text));
	if (strstr(text, "[confidentiality]"))
		return LOCKDOWN_CONFIDENTIALITY;
	if (strstr(text, "[integrity]"))
		return LOCKDOWN_INTEGRITY;
	return strstr(text, "[none]") ? LOCKDOWN_NONE : LOCKDOWN_UNAVAILABLE;
}

static enum measure_secure_boot read_secure_boot(int root)
{
	char value[8];

	if (read_text(root, SECURE_BOOT, value, sizeof(value)) != 5)
		return SECURE_BOOT_UNAVAILABLE;
	return value[4] == 1 ? SECURE_BOOT_ON : SECURE_BOOT_OFF;
}

int measure_host(int root, struct measure_host *ret)
{
	struct utsname u;
	size_t len;

	memset(ret, 0, sizeof(*ret));
	if (!uname(&u))
		snprintf(ret->kernel, sizeof(ret->kernel), "%s", u.release);
	/* COMMAND_LINE_SIZE is 4096 at most on the architectures that there are. */
	len = read_text(root, "proc/cmdline", ret->cmdline, sizeof(ret->cmdline));
	if (len && ret->cmdline[len - 1] == '\n')
		ret->cmdline[--len] = '\0';
	ret->lockdown = read_lockdown(root);
	ret->secure_boot = read_secure_boot(root);
	return sha256_of(ret->cmdline, len, &ret->cmdline_digest);
}
