/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox: the seccomp filter of the running daemon, an allow-list.
 *
 * What is not listed fails with EPERM: a library that tries something new after an update then
 * fails in that one thing, loudly, and recording goes on. What only an intruder would try
 * (executing, forking, tracing, loading code into the kernel) kills the process: tracing goes on in
 * the kernel, and the next daemon takes over.
 */
#pragma once

/* For all threads, those to come too. no_new_privs or CAP_SYS_ADMIN is needed. */
int sandbox_enter(void);
