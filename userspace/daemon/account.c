/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/account.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>

#include "base/units.h"

/* (uid_t)-1 means "no change" to setresuid(2) and chown(2): no account has it. */
#define ID_MAX (UINT32_MAX - 1)

int account_user(const char *text, uid_t *ret)
{
	const struct passwd *entry;
	uint64_t n;

	if (number_parse(text, &n) == 0 && n <= ID_MAX) {
		*ret = n;
		return 0;
	}
	entry = getpwnam(text);
	if (!entry)
		return -ENOENT;
	*ret = entry->pw_uid;
	return 0;
}

int account_group(const char *text, gid_t *ret)
{
	const struct group *entry;
	uint64_t n;

	if (number_parse(text, &n) == 0 && n <= ID_MAX) {
		*ret = n;
		return 0;
	}
	entry = getgrnam(text);
	if (!entry)
		return -ENOENT;
	*ret = entry->gr_gid;
	return 0;
}
