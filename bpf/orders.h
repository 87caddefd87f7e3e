/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* orders: what the daemon has programs do that it runs itself, and what they answer. */
#pragma once

#include <linux/types.h>

#include "event.h"
#include "values.h"

/* 'adopt': one element, what the task iterator is to do, and what it did. */
enum adopt_mode {
	ADOPT_ONE,         /* the process 'tgid' gets 'tag' */
	ADOPT_MATCHING,    /* processes that match a selector, but for those below another match */
	ADOPT_DESCENDANTS, /* children of tagged processes, and of those that found no room */
	ADOPT_UNTAGGED,    /* who found no room before */
};

struct adopt {
	__u32 mode; /* enum adopt_mode */
	__u32 tgid;
	struct tag tag;
	__u32 added;
	__s32 error;   /* the last one; ADOPT_ONE: -ESRCH until the process was met */
	__u32 skipped; /* that match a selector with SELECTOR_EXEC_ONLY */
	__u32 left;    /* that have no tag: there is no room */
};

/* 'orders': one element, what the program over it is to do with tags and shares. */
enum tag_order_what {
	ORDER_UNTAG,  /* the tag of 'tgid' goes, if the process began at 'start_boottime' */
	ORDER_ADJUST, /* 'delta' is added to the tags that 'session' holds */
	ORDER_FORGET, /* the share of 'session' goes, if it holds nothing */
};

struct tag_order {
	__u32 what; /* enum tag_order_what */
	__u32 tgid;
	__u64 start_boottime;
	__u64 session;
	__s32 delta;
	__s32 error; /* -ENOENT: there was no such thing */
};

/* Context of the program that identifies a file of the caller: in and out. */
struct identify {
	__u32 fd;
	__u32 spare;
	struct object_id id;
	struct object_guard guard;
};

/* Likewise, of the one that tells where such a file stands. */
struct locate {
	__u32 fd;
	__u32 spare;
	struct selector_exe_key place;
};

/* The cgroup hooks at which other programs can have the last word. */
enum behind_hook {
	BEHIND_SOCK_CREATE,
	BEHIND_CONNECT4,
	BEHIND_CONNECT6,
	BEHIND_SENDMSG4,
	BEHIND_SENDMSG6,
	BEHIND_CONNECT_UNIX,
	BEHIND_SENDMSG_UNIX,
	BEHIND_HOOKS,
};

#define BEHIND_PROGRAMS 64 /* of one hook at most: BPF_CGROUP_MAX_PROGS in kernel/bpf/cgroup.c */

/* Likewise, of the one that tells one of the programs at the root of cgroup2, as they run. */
struct behind {
	__u32 hook;  /* in: enum behind_hook */
	__u32 index; /* in: from 0, none is left out */
	__u32 id;    /* out; 0: there are no more */
	__u32 spare;
	char name[16];
};

/* Likewise, of the one that tells the time of the initial time namespace: CLOCK_BOOTTIME. */
struct boottime {
	__u64 ns;
};

_Static_assert(sizeof(struct tag_order) == 32, "tag_order");
