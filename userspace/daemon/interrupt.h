/* SPDX-License-Identifier: Apache-2.0 */
/*
 * interrupt: ends a wait that a system call of this thread fell into although it was asked not to
 * wait.
 *
 * The last reference to a descriptor that somebody passed is put by whoever reads or closes, and
 * that waits as long as its owner likes (SO_LINGER on a TCP socket whose peer takes nothing). Such
 * a wait ends with a signal, and so do all that follow before that is delivered.
 */
#pragma once

struct interrupt;

/* For the calling thread. Its signal is SIGALRM. */
int interrupt_new(struct interrupt **ret);
void interrupt_free(struct interrupt *i);

/* From the one to the other, system calls that wait get EINTR after INTERRUPT_MS, again and again.
 */
#define INTERRUPT_MS 2
void interrupt_begin(const struct interrupt *i);
void interrupt_end(const struct interrupt *i);
