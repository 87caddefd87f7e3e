/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* values: what the maps hold that both sides touch. They outlive an upgrade: see maps.h. */
#pragma once

#include <linux/types.h>

#include "event.h"
#include "pattern.h"

/* Destinations of one session's datagrams to Unix sockets that are remembered, to be told once */
#define EVENT_UNIX_FLOWS_PER_MINUTE 512
#define EVENT_FLOWS_MAX 65536       /* entries of 'flows' */
#define EVENT_FLOWS_PER_MINUTE 1024 /* of one datagram socket, beside its first: the default */

/*
 * 'tags': by tgid. 'untagged': with a task, the tag that its process would have if there were room;
 * there spare[0] says that its exit was told.
 */
struct tag {
	__u64 start_boottime;
	__u64 session;
	__u32 exec_seq;
	__u32 task;
	__u32 flags; /* enum tag_flag */
	__u32 selector;
	__u64 table; /* 0; these are a later version's: values outlive an upgrade */
	__u32 table_exec_seq;
	__u32 policy;
	__u64 spare[2];
};

/* 'shares': by session, what it holds of what all share. */
struct share {
	__u32 tags;
	__u32 flows;
	__u64 changes; /* of 'tags', up or down: equal at two looks, nothing happened between */
	__u32 flags;   /* enum share_flag */
	__u32 spare;
	__u32 unix_window; /* which minute, about */
	__u32 unix_count;  /* datagrams to Unix sockets that were remembered in it */
};

enum share_flag {
	SHARE_UNTAGGED = 1 << 0, /* a process of it had no tag, at some time */
};

#define SHARE_OF(entries) ((entries) / 4) /* that one session may hold of a map's entries */

/*
 * 'flows': destinations that were told of a socket, by process, but for the first one of a datagram
 * socket and the one it is connected to, which are kept with it. Who sends over a connection that
 * another made has an entry with 'to' all zero.
 */
struct flow_key {
	__u64 cookie;
	struct event_address to;
	__u32 tgid;
	__u32 zero;
};

enum flow_flag {
	FLOW_ALLOWED = 1 << 0, /* told as sent */
	FLOW_DENIED = 1 << 1,  /* told as refused */
	FLOW_LOOSE = 1 << 2,   /* linked to no socket's others: it ends by its age */
};

struct flow {
	__u64 session; /* whose share it counts in */
	__u64 start;   /* start_boottime of 'tgid', and the image that it ran */
	__u32 exec_seq;
	__u32 spare;
	/*
	 * The next of the socket, where linked. Where 'to' is all zero: whereto the process sent,
	 * and the tgid of the next one who did.
	 */
	struct event_address next;
	__u32 next_tgid;
	__u32 flags;  /* enum flow_flag */
	__u64 made_ns; /* CLOCK_BOOTTIME */
};

/* 'cgroups', 'selectors_exe', 'selectors_uid': what an untagged exec is matched with. */
struct selector {
	__u64 session; /* key of the session; 0: a new key for each match, or (cgroups) no match */
	__u32 id;      /* the daemon's number for the selector */
	__u32 flags;   /* enum selector_flag */
};

enum selector_flag {
	SELECTOR_EXEC_ONLY = 1 << 0, /* leaves alone what runs already ('adopt: no') */
};

/*
 * 'cgroups': by id, those that a pattern has taken or may take something below. The others are
 * absent, and so is what is below them.
 */
struct cgroup_state {
	__u64 generation;         /* of the patterns; another one than control's: absent */
	struct selector selector; /* its session: of all the cgroups below the one that matched */
	__u64 alive;              /* a bit for each pattern with positions; none once it matched */
	__u32 at[PATTERNS_MAX];   /* struct pattern_step */
	__u32 by_others;          /* others than root can have made it */
	__u32 spare;
};

#define CGROUPS_MAX 65536
#define CGROUPS_OF_OTHERS_MAX (CGROUPS_MAX / 2) /* what root makes has the rest for itself */

#define SELECTOR_NAME_SIZE 256 /* NAME_MAX and its NUL; what is longer is nobody's */

/*
 * Where an executable stands: whichever file has the name there when it is executed, by whatever
 * mount it is reached. On btrfs inodes of different subvolumes have the same number, and anybody
 * can make a subvolume. What he makes there is his, and of a later generation.
 */
struct selector_exe_key {
	__u64 inode; /* of the directory, and what follows */
	__u32 device;
	__u32 generation;
	__u32 owner; /* kuid */
	__u32 spare;
	char name[SELECTOR_NAME_SIZE]; /* zero to its end */
};

enum overlay_kind {
	OVERLAY_UNKNOWN, /* not met yet, or its types are not to be had */
	OVERLAY_INODE,   /* 'lower' is a pointer to the lower inode (5.15) */
	OVERLAY_PATH,    /* 'lower' is a struct ovl_path */
	OVERLAY_STACK,   /* 'lower' is a pointer to a struct ovl_entry (6.5 on) */
};

/* Offsets into overlayfs's own structures, which may be a module's: in bytes. */
struct overlay_layout {
	__u32 kind;      /* enum overlay_kind; written last */
	__u32 vfs_inode; /* in struct ovl_inode */
	__u32 upper;     /* __upperdentry, likewise */
	__u32 lower;     /* likewise */
	__u32 lowerdata; /* likewise, and one; 0: there is no such field */
	__u32 dentry;    /* in struct ovl_path */
	__u32 numlower;  /* in struct ovl_entry */
	__u32 stack;     /* likewise */
};

#define DISK_GROUPS_MAX 7

/* The groups that can write to a block device. */
struct disk_groups {
	__u32 count; /* beyond DISK_GROUPS_MAX: everybody is taken to be in one */
	__u32 gid[DISK_GROUPS_MAX];
};

/* 'control': one element, mapped by the daemon. */
struct control {
	__u32 consumer_asleep; /* set by the daemon; the next event clears it and wakes */
	__u32 selectors;       /* a bit for each kind with an entry: SELECT_* */
	__u64 task_limit;      /* bytes of ring beyond which task-context events are refused */
	__u64 setups;          /* daemons that set the programs up to the end */
	struct overlay_layout overlay;
	struct disk_groups disk;
	__u64 unseen; /* not 0: the map 'unseen' had no room */
	__u64 places_ns; /* when a daemon last saw where its executables are; 0: never */
	/*
	 * Of the patterns in 'patterns': a digest of them. 0: none, or they are being changed.
	 * 'walked' is equal once all cgroups that there were have their state.
	 */
	__u64 generation, walked;
	__u64 unwatched_since; /* boottime; 0: the patterns hold, and have held all the time */
	__u32 patterns;
	__u32 cgroups_lost; /* a cgroup found no room: they are to be walked again */
	__u32 cgroups_of_others; /* states with by_others, about */
	__u32 max_tags;          /* entries of 'tags' */
	/*
	 * Of this set of maps, which begins to count at 'sequence_base' on every CPU: the numbers
	 * of two sets made in one boot never meet.
	 */
	__u64 epoch[2];      /* random */
	__u64 sequence_base; /* of the numbers that were given, none is as low; 0: not set yet */
	__u64 made_ns; /* when, if something of this boot was known then already; 0: nothing was */
	/*
	 * How often a process was left without a tag, and how often that had been when all of them
	 * had one, or were gone. Equal: there is none.
	 */
	__u64 untagged, settled;
	__u64 untagged_unknown; /* not 0: whose it was can't be told, 'shares' had no room */
	__u64 attached; /* a bit for each stub and hook that the last daemon attached, by their order */
	__u64 spare[17];
};

enum selector_kind { SELECT_CGROUP = 1 << 0, SELECT_EXE = 1 << 1, SELECT_UID = 1 << 2 };

/* 'sequences': per CPU. */
struct sequence {
	__u64 next;
};

_Static_assert(sizeof(struct tag) == 64, "tag");
_Static_assert(sizeof(struct share) == 32, "share");
_Static_assert(sizeof(struct flow_key) == 40, "flow_key");
_Static_assert(sizeof(struct flow) == 64, "flow");
_Static_assert(sizeof(struct control) == 344, "control");
_Static_assert(sizeof(struct selector_exe_key) == 280, "selector_exe_key");
_Static_assert(sizeof(struct component) == 520, "component");
_Static_assert(sizeof(struct pattern) == 16 + 16 * 520, "pattern");
_Static_assert(sizeof(struct cgroup_state) == 296, "cgroup_state");
