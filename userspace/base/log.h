/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log: lines for a person on stderr: "affiantd: what happened". Under journald (JOURNAL_STREAM)
 * each begins with sd-daemon(3)'s <level>. Library code does not log: the caller that gives up
 * does, once.
 */
#pragma once

#include <syslog.h>

/* @name is borrowed for good; @max_level: LOG_ERR .. LOG_DEBUG, what is above is left out. */
void log_open(const char *name, int max_level);

void log_line(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, __VA_ARGS__)
#define log_notice(...) log_line(LOG_NOTICE, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
