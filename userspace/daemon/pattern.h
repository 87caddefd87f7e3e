/* SPDX-License-Identifier: Apache-2.0 */
/* pattern: from a selector's text to what the kernel matches cgroups with (bpf/pattern.h). */
#pragma once

#include <sys/types.h>

#include "values.h"

/*
 * A path from the root of the hierarchy: "/a/b-*.scope". Each component has at most two '*', which
 * stand for any bytes but '/'; one that is "**" alone stands for zero or more cgroups that none but
 * root can have made. Its 'selector' is the caller's to set.
 *
 * NULL, or what is wrong, to be read behind the text: static; then @ret is of no use.
 */
const char *pattern_of_path(const char *text, struct pattern *ret);

/*
 * A unit of the system manager: below slices only, all made by root. "a@*.service", at most two
 * '*'.
 */
const char *pattern_of_unit(const char *unit, struct pattern *ret);

/* A unit of that user's own manager, who may have made anything below it. */
const char *pattern_of_user_unit(uid_t uid, const char *unit, struct pattern *ret);
