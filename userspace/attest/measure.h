/* SPDX-License-Identifier: Apache-2.0 */
/*
 * measure: what a host says of its own boot, read from where the kernel and systemd put it.
 * Statements and logs alone: what they are worth follows from the quote that vouches for them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"

#define MEASURE_LOG_MAX (128u << 20) /* bytes of a log: a longer one is left out, never cut */
#define MEASURE_CMDLINE_MAX 4096

enum measure_log {
	/* binary_bios_measurements: TCG PC Client Platform Firmware Profile, section 10 */
	MEASURE_BOOT,
	MEASURE_IMA,     /* binary_runtime_measurements: Documentation/security/IMA-templates.rst */
	MEASURE_SYSTEMD, /* tpm2-measure.log: JSON-seq, systemd-pcrextend(8) */
	MEASURE_LOGS,
};

enum measure_lockdown {
	LOCKDOWN_UNAVAILABLE,
	LOCKDOWN_NONE,
	LOCKDOWN_INTEGRITY,
	LOCKDOWN_CONFIDENTIALITY
};
enum measure_secure_boot { SECURE_BOOT_UNAVAILABLE, SECURE_BOOT_OFF, SECURE_BOOT_ON };

struct measure_host {
	char kernel[65]; /* uname(2), release */
	char cmdline[MEASURE_CMDLINE_MAX];
	/* of the whole, as /proc/cmdline has it, without the newline at its end */
	struct sha256 cmdline_digest;
	enum measure_lockdown lockdown;
	enum measure_secure_boot secure_boot;
};

/*
 * @root: descriptor of the directory below which sys, proc and run lie: "/", but for tests. What
 * can't be read is unavailable, or empty. 0 or -ENOMEM.
 */
int measure_host(int root, struct measure_host *ret);

/* A log, to be read: a descriptor, or -errno of open(2): -ENOENT when the host has none. */
int measure_open(int root, enum measure_log log);
