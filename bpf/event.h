/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * event: what the kernel programs tell the daemon. With values.h and orders.h the only contract
 * between bpf/ and userspace/.
 *
 * Every event starts with struct event_header. Sizes are multiples of 8, integers are host-endian,
 * times are CLOCK_BOOTTIME nanoseconds, pids are those of the initial pid namespace. Padding is
 * explicit and zero. Only struct event_exec and struct event_unix vary in length.
 */
#pragma once

#include <linux/types.h>

#define EVENT_ARGV_MAX 4096 /* bytes of argv kept, the rest is counted */
#define EVENT_PATH_MAX 1024 /* bytes of each path kept */
#define EVENT_DATA_MAX (EVENT_ARGV_MAX + 4 * EVENT_PATH_MAX)
#define EVENT_UNIX_PATH_MAX 112 /* sun_path is 108 (unix(7)), rounded up */
#define EVENT_TYPES_MAX 32      /* room for types: what is counted after them keeps its number */

/* Numbers are stored in journals: never reuse one. */
enum event_type {
	EVENT_FORK = 1,    /* event_fork: a tagged process made a process (never a thread) */
	EVENT_EXEC = 2,    /* event_exec */
	EVENT_EXIT = 3,    /* event_exit: the last thread of a tagged process is ending */
	EVENT_ADOPT = 4,   /* event_exec without argv: an existing process was tagged */
	EVENT_CONNECT = 5, /* event_connect: an attempt, or the first datagram of a flow */
	EVENT_OUTCOME = 6, /* event_outcome: what became of an attempt */
	EVENT_CLOSE = 7, /* event_close: the end of what had been established, or of a UDP socket */
	EVENT_UNIX = 8,  /* event_unix: connect(2) to a Unix socket */
	EVENT_UNTRACKED = 9, /* event_untracked: a socket whose connections no hook sees */
	EVENT_TAG_LOST = 10, /* event_untagged: for a process of a session there is no tag */
	EVENT_LISTEN = 11,   /* event_listen */
	EVENT_TYPES,
};
_Static_assert(EVENT_TYPES <= EVENT_TYPES_MAX, "losses are counted by type");

/*
 * Per-CPU counters in the map 'losses'. Below EVENT_TYPES: events of that type which found no room
 * in the ring. They, not the sequence numbers, say how much was lost.
 */
enum loss {
	/* no socket storage: the attempt is reported, its outcome is not */
	LOSS_STORAGE = EVENT_TYPES_MAX,
	LOSS_TAG, /* a child or a match that could not be tagged (no room) */
	LOSS_CGROUP, /* a cgroup that selectors look for or below (map full) */
	LOSS_SLOT,   /* runs of a hook that found no program behind it: its pin was removed */
	LOSS_KINDS,
};

/* What a tag says of the process that acts. Taken from the tag or the socket, never from names. */
struct event_actor {
	__u64 session;        /* the daemon's or the kernel's key; 0: not of a session */
	__u64 start_boottime; /* with tgid: the identity of the process within one boot */
	__u32 tgid;
	__u32 exec_seq; /* task_struct.self_exec_id, truncated */
	__u32 task;     /* number of the session's task, 0: none */
	__u32 flags;    /* TAG_* */
};

enum tag_flag {
	TAG_SELECTED = 1 << 0, /* by a selector, not by the API */
};

struct event_header {
	__u64 boottime_ns;
	__u64 sequence; /* per CPU, counted before the reserve, so that failed ones leave a gap */
	__u32 cpu;
	__u16 type; /* enum event_type */
	__u16 size; /* of the whole event */
	__u32 tid;  /* current's; 0 in softirq */
	__u32 selector; /* 1 + the one that took the actor's process; 0: none, or not told */
	struct event_actor actor;
};

/* Identity of an inode as the kernel sees it, which is not always what stat(2) says (overlayfs). */
struct object_id {
	__u64 inode;
	__u64 size;
	__s64 ctime_s;
	__u64 version;  /* i_version, with its flag bit masked; 0 where the filesystem has none */
	__u32 ctime_ns; /* flag bit 31 masked */
	__u32 device;   /* s_dev: (major << 20) | minor */
	__u32 generation;
	__u32 magic; /* low half of s_magic: what a change leaves behind differs by filesystem */
};

/*
 * Who can write to an object, read together with its identity. Of an overlay's file that has no
 * upper copy all of it, and 'lower', is of the one file below, whose bytes are executed.
 */
struct object_guard {
	struct object_id lower; /* all zero without GUARD_LOWER */
	__u32 owner;            /* kuid: as the initial user namespace has it */
	__u32 mode;             /* i_mode: type and permissions */
	__u32 flags;            /* enum guard_flag */
	__u32 spare;
};

enum guard_flag {
	GUARD_INIT_USERNS = 1 << 0, /* the superblock is of the initial user namespace */
	GUARD_IDMAPPED = 1 << 1,    /* reached through an idmapped mount, or that can't be known */
	GUARD_LOWER = 1 << 2,       /* of an overlay, and only its lower file is there */
	GUARD_UPPER = 1 << 3,       /* of an overlay, with an upper copy */
	GUARD_OPAQUE = 1 << 4,      /* of an overlay, and what lies below can't be known */
};

struct event_fork {
	struct event_header header; /* actor: the child */
	__u64 parent_start;
	__u32 parent_tgid;
	__u32 parent_exec_seq;
};

/*
 * Of this process, and of what it makes, only forks and the exit are told until it has a tag
 * (EVENT_ADOPT, or EVENT_EXEC). Once for each.
 */
struct event_untagged {
	struct event_header header; /* actor: the process */
	__u64 parent_start;
	__u32 parent_tgid;
	__u32 parent_exec_seq;
	__u32 selector; /* valid with TAG_SELECTED */
	__u32 spare;
};

enum exec_flag {
	EXEC_MEMFD = 1 << 0,
	EXEC_DELETED = 1 << 1, /* the executable has no link left */
	EXEC_SETUID = 1 << 2,  /* secureexec: setuid, setgid or file capabilities */
	EXEC_ARGV_CUT = 1 << 3,
	EXEC_PATH_CUT = 1 << 4, /* a path did not fit */
	EXEC_SELECTED = 1 << 5, /* this exec matched a selector and began a membership */
	EXEC_ROOT = 1 << 6,     /* kuid 0 is among its user ids */
	EXEC_INIT_USERNS = 1 << 7, /* its capabilities are of the initial user namespace */
	EXEC_DISK_GROUP = 1 << 8,  /* it is in a group that can write to a block device */
	EXEC_ENVIRONMENT_CUT = 1 << 9, /* there may be more than 'environment' says */
	EXEC_BY_EXE = 1 << 10,  /* the selector that matched names an executable */
	EXEC_BEGIN = 1 << 11,   /* 'begin' is valid */
	EXEC_MOUNTED = 1 << 12, /* the executable is mounted by itself: its name is the mount's */
};

enum exec_ns { NS_MNT, NS_PID, NS_NET, NS_USER, NS_CGROUP, NS_IPC, NS_UTS, NS_TIME, NS_COUNT };

/*
 * data holds, one after another: exe_len bytes of the executable's path and cwd_len bytes of the
 * working directory, both as components from the leaf to the root of the mount tree, each ended by
 * NUL; then filename (as given to execve) and interp (what the kernel runs in the end), each
 * without NUL; then argv, each argument ended by NUL.
 */
struct event_exec {
	struct event_header header;
	struct object_id exe;
	struct object_guard guard; /* of exe */
	/* whose code runs first, as it is mapped: exe's, or its ELF loader's */
	struct object_id begin;
	struct object_guard begin_guard;
	__u64 environment[2]; /* a bit for each of the names in userspace/base/environment.h */
	__u64 parent_start;
	__u64 cgroup; /* id in the unified hierarchy */
	__u64 cap_effective;
	__u64 cap_permitted;
	__u32 parent_tgid;
	__u32 selector; /* valid with EXEC_SELECTED and TAG_SELECTED */
	__u32 uid, gid, euid, egid;
	__u32 ns[NS_COUNT]; /* inode numbers, enum exec_ns */
	__u32 flags;        /* enum exec_flag */
	__u32 argc;
	__u32 argv_total; /* bytes of argv before cutting */
	__u16 exe_len;
	__u16 cwd_len;
	__u16 filename_len;
	__u16 interp_len;
	__u16 argv_len;
	__u16 spare[5];
	char comm[16];
	char data[];
};

struct event_exit {
	struct event_header header;
	__s32 status; /* as wait(2) would tell it */
	__u32 spare;
};

/* v4-mapped addresses are stored as AF_INET. Ports are host-endian. */
struct event_address {
	__u16 family; /* AF_INET, AF_INET6; 0: absent */
	__u16 port;
	__u32 scope_id;
	__u8 bytes[16]; /* network order; AF_INET uses the first four */
};

enum connect_flag {
	CONNECT_ASKED = 1 << 0,      /* 'asked' is valid: seen before other programs rewrote it */
	CONNECT_DENIED = 1 << 1,     /* another program refused it (bpf_get_retval() == -EPERM) */
	CONNECT_NO_STORAGE = 1 << 2, /* outcome and close can't be told */
	CONNECT_OPENER = 1 << 3,     /* 'opener' is valid */
	CONNECT_SENDMSG = 1 << 4,    /* seen at a datagram, not at connect(2) */
	CONNECT_FOREIGN = 1 << 5,    /* by an untagged task, over a tagged opener's socket */
	CONNECT_MAPPED = 1 << 6,     /* an IPv6 socket talking IPv4 */
	/* seen when it sent: nobody of ours, or another process, connected the socket to there */
	CONNECT_SEND = 1 << 7,
	CONNECT_CWD_CUT = 1 << 8, /* of event_unix: 'cwd' did not fit */
	/* other programs ran behind ours: they could still change the address, or refuse */
	CONNECT_BEHIND = 1 << 9,
};

struct event_connect {
	struct event_header header;
	__u64 connection; /* (cpu << 48) | sequence of this event: unique within a boot */
	__u64 cookie;     /* SO_COOKIE; 0: unknown */
	struct event_actor opener;
	struct event_address reached;
	struct event_address asked;
	struct event_address local; /* as far as bound */
	__u32 uid, gid;             /* effective, of the caller */
	__u16 sock_type;            /* SOCK_* */
	__u16 protocol;             /* IPPROTO_* */
	__u16 flags;                /* enum connect_flag */
	__u16 spare;
};

enum outcome_flag {
	/* told by the release of the socket; 'from' 0: TCP never took it up */
	OUTCOME_RELEASE = 1 << 0,
	OUTCOME_REPORT = 1 << 1, /* told by inet_sk_error_report */
	OUTCOME_REUSED = 1 << 2, /* told by the next attempt on the same socket; 'from' likewise */
	/* the socket is in repair (TCP_REPAIR): no handshake took place, no FIN or RST is sent */
	OUTCOME_REPAIR = 1 << 3,
	OUTCOME_NOT_SENT = 1 << 4, /* a datagram socket's connect(2) failed on this host */
	OUTCOME_UNSURE = 1 << 5,   /* or has not returned yet: another thread uses the socket */
};

struct event_outcome {
	struct event_header header; /* actor: who attempted, out of socket storage */
	__u64 connection;
	__u64 cookie;
	__u64 latency_ns;
	struct event_address local;
	struct event_address peer;
	__s32 error;      /* sk_err */
	__s32 error_soft; /* sk_err_soft */
	__u8 from, to;    /* TCP states (include/net/tcp_states.h); 0 where none */
	__u8 shutdown;    /* sk_shutdown */
	__u8 flags;       /* enum outcome_flag */
	__u32 spare;
};

struct event_close {
	struct event_header header;
	__u64 connection; /* TCP: the connection; UDP: the first flow of the socket */
	__u64 cookie;
	__u64 bytes_sent; /* acknowledged payload: SYN and FIN taken off; TCP only */
	__u64 bytes_received;
	__u64 duration_ns; /* since the attempt */
	__u64 excess;      /* UDP: datagrams to destinations that found no room in 'flows' */
	__s32 error;
	__s32 error_soft;
	__u8 from, to;
	__u8 shutdown;
	__u8 flags; /* enum outcome_flag */
	__u16 protocol;
	__u16 spare;
};

struct event_unix {
	struct event_header header;
	__u64 connection;
	__u64 cookie;
	struct event_actor opener;
	__u32 uid, gid;
	__u16 sock_type;
	__u16 flags;    /* enum connect_flag */
	__u16 path_len; /* bytes of sun_path; an abstract name starts with NUL */
	__u16 cwd_len;
	char path[EVENT_UNIX_PATH_MAX];
	/* where a relative path begins: components as in event_exec.data; CONNECT_CWD_CUT */
	char cwd[];
};

/* A socket of a tagged process, or one that it was given, takes connections from now on. */
struct event_listen {
	struct event_header header;
	__u64 cookie;
	struct event_actor opener; /* session 0: unknown */
	struct event_address local;
	__u32 uid, gid;
	__u16 sock_type;
	__u16 protocol;
	__u32 inode; /* of the socket, as fstat(2) tells it; 0: unknown */
};

struct event_untracked {
	struct event_header header;
	__u64 cookie;
	__u32 uid, gid;
	__u16 family;
	__u16 sock_type;
	__u16 protocol;
	__u16 flags; /* CONNECT_DENIED, CONNECT_BEHIND */
};

#define EVENT_SIZE_MAX (sizeof(struct event_exec) + EVENT_DATA_MAX)

_Static_assert(sizeof(struct event_header) == 64, "event_header");
_Static_assert(sizeof(struct object_id) == 48, "object_id");
_Static_assert(sizeof(struct object_guard) == 64, "object_guard");
_Static_assert(sizeof(struct event_untagged) == 88, "event_untagged");
_Static_assert(sizeof(struct event_exec) == 440, "event_exec");
_Static_assert(sizeof(struct event_connect) == 200, "event_connect");
_Static_assert(sizeof(struct event_outcome) == 152, "event_outcome");
_Static_assert(sizeof(struct event_close) == 128, "event_close");
_Static_assert(sizeof(struct event_unix) == 240, "event_unix");
_Static_assert(sizeof(struct event_untracked) == 88, "event_untracked");
_Static_assert(sizeof(struct event_listen) == 144, "event_listen");
