/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * maps: shared by the programs, defined in maps.bpf.c. All but the scratch ones are pinned and
 * outlive an upgrade: a value may use its spare bytes, but never change its shape. Sizes marked
 * with a * are set by the loader.
 */
#pragma once

#include "environment.h"
#include "event.h"
#include "kernel.h"
#include "orders.h"
#include "values.h"

/*
 * What is known of a socket; zero where nothing is. Programs of one socket run under its lock, but
 * releases and reports don't: 'phase' is claimed by compare-and-exchange.
 */
struct socket_state {
	struct event_actor opener; /* session 0: opened by nobody of ours, or unknown */
	/* of the last attempt; of a datagram socket: of its last connect, or of its first flow */
	struct event_actor actor;
	struct event_address asked; /* set by the pre-order hook, used up by the hook after it */
	struct event_address connected; /* by 'actor'; no family: not that we know */
	struct event_address flow; /* UDP: the first destination; most sockets have no other */
	__u64 flow_start;          /* and who sent there */
	__u32 flow_tgid;
	__u32 flow_exec_seq;
	__u32 flow_told; /* enum flow_flag */
	__u32 spare_told;
	__u64 connection; /* of the last attempt; UDP: of the connected flow */
	__u64 first;      /* UDP: of the first flow */
	__u64 attempt_ns;
	__u64 first_ns; /* of 'first' */
	__u64 cookie;
	__u32 phase;       /* enum phase */
	__s32 stale_error; /* sk_err and sk_err_soft when the attempt began */
	__s32 stale_error_soft;
	__u16 protocol;
	__u16 first_allowed; /* 0: 'first' was refused */
	__u32 segments; /* that had left the socket when the attempt began */
	__u32 txhash;   /* UDP: sk_txhash when the last connect began; one that works changes it */
	__u64 connecting; /* UDP: the thread whose connect that was, until its end is known */
	__u64 excess;     /* UDP: datagrams that were not told */
	__u64 minute_ns;  /* when it began, and the flows that were told since */
	__u32 minute_flows;
	__u32 senders; /* tgid of the last entry of 'flows' of who sent over the connection */
	struct event_address others; /* likewise, of destinations */
	__u32 others_tgid;
	__u32 spare32;
	__u32 named[4]; /* UDP: threads that gave an address with what they are sending */
	__u64 spare[3];
};

enum phase {
	PHASE_NONE,        /* no attempt, or it was told to its end */
	PHASE_ATTEMPTED,   /* the connect hook saw it */
	PHASE_SYN,         /* TCP took it up */
	PHASE_ESTABLISHED, /* UDP: connected, no error told yet */
};

/* Assembled here, because an exec event is larger than a program's stack and varies in length. */
struct scratch {
	struct event_exec exec;
	char data[EVENT_DATA_MAX];
	char slack[EVENT_ARGV_MAX]; /* the verifier's bound of the last write */
	__u32 used;                 /* of data */
	struct path path, root;     /* what path_append() walks */
	struct task_struct *task;   /* what running_match(), ancestor_selected() start from */
	struct selector found;      /* by running_match() */
	struct selector_exe_key place; /* of an executable that is matched */
};

/* What environment_scan() works on: too large for a stack, too. */
struct environment {
	__u64 begin, end; /* in the process's memory */
	__u64 found[2];   /* event_exec.environment */
	__u32 cut;        /* there is more */
	__u32 strings;    /* that were met */
	__u32 length;     /* of piece */
	__u32 spare;
	/* A name may begin at the end of the piece, and is followed by as many zeros. */
	char piece[ENVIRONMENT_PIECE + 2 * 8 * ENVIRONMENT_WORDS];
};

struct map_tags {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536); /* * */
	__type(key, __u32);
	__type(value, struct tag);
};

struct map_events {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20); /* * */
};

struct map_control {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct control);
};

struct map_losses {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 64); /* LOSS_KINDS, and room for more */
	__type(key, __u32);
	__type(value, __u64);
};

struct map_sequences {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sequence);
};

struct map_sockets {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct socket_state);
};

struct map_flows {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, EVENT_FLOWS_MAX);
	__type(key, struct flow_key);
	__type(value, struct flow);
};

struct map_patterns {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PATTERNS_MAX);
	__type(key, __u32);
	__type(value, struct pattern);
};

/* Not allocated beforehand: most hosts have a few hundred cgroups. */
struct map_cgroups {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, CGROUPS_MAX);
	__type(key, __u64);
	__type(value, struct cgroup_state);
};

struct map_selectors_exe {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct selector_exe_key);
	__type(value, struct selector);
};

struct map_selectors_uid {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct selector);
};

/* Not allocated beforehand: sessions are few. One that finds no room has no limit of its own. */
struct map_shares {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct share);
};

/* With a task, for as long as it lives: without a bound but memory's. */
struct map_untagged {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct tag);
};

/* Sessions of which an exec was not told, or a process could not be tagged. */
struct map_unseen {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, __u64); /* CLOCK_BOOTTIME, of the last time */
};

/* One slot each, by the tracepoint whose stub jumps through it. */
struct map_dispatch {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
};

/* A cgroup that is being made. */
struct cgroup_made {
	struct cgroup_state parent, state;
	struct pattern_step step;
};

struct map_scratch_cgroup {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cgroup_made);
};

struct map_scratch {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
};

struct map_environment {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct environment);
};

/* Where an event_unix whose path is relative is assembled: one of several, see slot_claim(). */
#define UNIX_SLOTS 4
#define UNIX_CWD_SIZE (EVENT_PATH_MAX + 256) /* room for one more name, the verifier's bound */

struct unix_scratch {
	struct event_unix event;
	char cwd[UNIX_CWD_SIZE + 8];
	struct path path, root; /* what is walked */
	__u32 used;             /* of cwd */
	__u32 busy;
};

struct map_scratch_unix {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, UNIX_SLOTS);
	__type(key, __u32);
	__type(value, struct unix_scratch);
};

/*
 * Datagrams to Unix sockets that had their record, by all that tells one destination of one actor
 * from another: two paths can't be made to meet. What falls out, for others were used later, is
 * told once more; see remembers().
 */
struct unix_flow {
	__u64 cookie;
	__u64 start_boottime; /* of the actor */
	__u32 tgid;
	__u32 exec_seq;
	/*
	 * That a relative path begins at, else 0: the inode's number, which is another's once it is
	 * removed and on btrfs that of every subvolume's root, and where it is kept while it is used.
	 */
	__u64 directory, kept;
	__u32 device;     /* of the directory */
	__u32 generation; /* likewise */
	__u16 flags;      /* enum connect_flag */
	__u16 path_len;
	__u32 zero;
	char path[EVENT_UNIX_PATH_MAX];
};

struct map_unix_flows {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct unix_flow);
	__type(value, __u64); /* CLOCK_BOOTTIME of the datagram that was told */
};

struct map_orders {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tag_order);
};

struct map_adopt {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct adopt);
};

extern struct map_tags tags SEC(".maps");
extern struct map_events events SEC(".maps");
extern struct map_control control SEC(".maps");
extern struct map_losses losses SEC(".maps");
extern struct map_sequences sequences SEC(".maps");
extern struct map_sockets sockets SEC(".maps");
extern struct map_flows flows SEC(".maps");
extern struct map_patterns patterns SEC(".maps");
extern struct map_cgroups cgroups SEC(".maps");
extern struct map_selectors_exe selectors_exe SEC(".maps");
extern struct map_selectors_uid selectors_uid SEC(".maps");
extern struct map_shares shares SEC(".maps");
extern struct map_untagged untagged SEC(".maps");
extern struct map_unseen unseen SEC(".maps");
extern struct map_unix_flows unix_flows SEC(".maps");
extern struct map_dispatch dispatch_fork SEC(".maps");
extern struct map_dispatch dispatch_exec SEC(".maps");
extern struct map_dispatch dispatch_exit SEC(".maps");
extern struct map_dispatch dispatch_state SEC(".maps");
extern struct map_dispatch dispatch_report SEC(".maps");
extern struct map_dispatch dispatch_listen SEC(".maps");
extern struct map_dispatch dispatch_send SEC(".maps");
extern struct map_dispatch dispatch_mkdir SEC(".maps");
extern struct map_dispatch dispatch_rmdir SEC(".maps");

/*
 * Not pinned: each version's own. An iterator runs in user context and must not share an exec's
 * scratch.
 */
extern struct map_scratch scratch_exec SEC(".maps");
extern struct map_scratch scratch_adopt SEC(".maps");
extern struct map_environment scratch_environment SEC(".maps");
extern struct map_scratch_cgroup scratch_cgroup SEC(".maps");
extern struct map_scratch_unix scratch_unix SEC(".maps");
extern struct map_adopt adopt SEC(".maps");
extern struct map_orders orders SEC(".maps");

/*
 * Set by the loader from what it probed: bpf_get_retval() may be called (5.18 on), bpf_loop()
 * (5.17).
 */
extern const volatile bool granted_retval, granted_loop;
/* Likewise: the end of inet_csk_listen_start() can be traced. */
extern const volatile bool granted_listen;
/* Likewise, from its configuration: new destinations that a datagram socket tells in a minute. */
extern const volatile __u32 flows_per_minute;
