/* SPDX-License-Identifier: Apache-2.0 */
/* cmd: the subcommands of affiant. Each takes its own name as argv[0] and returns an exit code. */
#pragma once

#define EXIT_USAGE 64 /* EX_USAGE of sysexits(3) */

int cmd_run(int argc, char **argv);
int cmd_sessions(int argc, char **argv);
int cmd_session(int argc, char **argv);
int cmd_match(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_events(int argc, char **argv);
int cmd_ca(int argc, char **argv);
int cmd_evidence(int argc, char **argv);
int cmd_enroll(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_uninstall_bpf(int argc, char **argv);
