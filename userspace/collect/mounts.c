/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/effort.h"

/* \040 and the like (proc(5)). Only shortens. */
static void unescape(char *s)
{
	char *to = s;

	while (*s) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
		    s[3] >= '0' && s[3] <= '7') {
			*to++ = (s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0');
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
}

/* "rw,nosuid,nodev,relatime" */
static bool has_option(const char *options, const char *option)
{
	size_t len = strlen(option);

	for (const char *at = options; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (!strncmp(at, option, len) && (at[len] == ',' || !at[len]))
			return true;
	}
	return false;
}

bool mount_line_parse(char *line, struct mount_line *ret)
{
	struct mount_line m = {};
	char *save, *word;

	word = strtok_r(line, " \n", &save);
	for (int field = 1; word; field++) {
		if (field == 3 && sscanf(word, "%u:%u", &m.major, &m.minor) != 2)
			return false;
		if (field == 5)
			m.point = word;
		if (field == 6) {
			m.nosuid = has_option(word, "nosuid");
			m.idmapped = has_option(word,
						"idmapped"); /* Linux 5.12, which has such mounts */
		}
		/* Optional fields end with a lone '-', before which there are at least six. */
		if (field > 6 && strcmp(word, "-") == 0) {
			m.type = strtok_r(NULL, " \n", &save);
			break;
		}
		word = strtok_r(NULL, " \n", &save);
	}
	if (!m.point || !m.type)
		return false;
	unescape(m.point);
	*ret = m;
	return true;
}

bool mounts_local(const char *type)
{
	static const char *const local[] = {
		"ext2",  "ext3",     "ext4",     "xfs",  "btrfs", "f2fs",    "bcachefs", "zfs",
		"jfs",   "nilfs2",   "reiserfs", "vfat", "exfat", "ntfs3",   "ubifs",    "tmpfs",
		"ramfs", "squashfs", "iso9660",  "udf",  "erofs", "overlay",
	};

	for (size_t i = 0; i < sizeof(local) / sizeof(*local); i++)
		if (strcmp(type, local[i]) == 0)
			return true;
	return false;
}

int mounts_open_fd(pid_t tgid)
{
	char path[40];
	int fd;

	if (tgid)
		snprintf(path, sizeof(path), "/proc/%d/mountinfo", tgid);
	else
		snprintf(path, sizeof(path), "/proc/self/mountinfo");
	fd = effort_open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

FILE *mounts_open(pid_t tgid)
{
	int fd = mounts_open_fd(tgid);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "re");

	if (fd >= 0 && !f)
		close(fd);
	return f;
}
