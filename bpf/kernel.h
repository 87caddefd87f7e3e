/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * kernel: the kernel's types, cut down to the fields that are read. Offsets and existence are
 * resolved on the running kernel (CO-RE), so order and size here mean nothing; a suffix ___x is a
 * layout of some kernels.
 */
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>

#define AF_INET 2
#define AF_INET6 10

#define SOCK_STREAM 1
#define SOCK_DGRAM 2

#define EPERM 1
#define ENOENT 2
#define ESRCH 3
#define EBADF 9
#define EAGAIN 11
#define EEXIST 17
#define ENOSPC 28

/* include/linux/sched/signal.h */
#define SIGNAL_GROUP_EXIT 0x00000004

/* include/linux/sched.h */
#define PF_KTHREAD 0x00200000

/* include/uapi/linux/magic.h */
#define TMPFS_MAGIC 0x01021994
#define HUGETLBFS_MAGIC 0x958458f6
#define OVERLAYFS_MAGIC 0x794c7630

/* include/linux/proc_ns.h, PROC_USER_INIT_INO */
#define USER_NS_INIT_INUM 0xEFFFFFFDu

/* include/net/tcp_states.h */
enum {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT,
	TCP_SYN_RECV,
	TCP_FIN_WAIT1,
	TCP_FIN_WAIT2,
	TCP_TIME_WAIT,
	TCP_CLOSE,
	TCP_CLOSE_WAIT,
	TCP_LAST_ACK,
	TCP_LISTEN,
	TCP_CLOSING,
};

/* include/uapi/linux/in.h */
enum {
	IPPROTO_TCP = 6,
	IPPROTO_UDP = 17,
	IPPROTO_SCTP = 132,
	IPPROTO_UDPLITE = 136,
	IPPROTO_MPTCP = 262,
};

/* include/net/sock.h, enum sock_flags: the peer's FIN came */
#define SOCK_DONE 1

/* include/uapi/linux/in.h */
#define INADDR_LOOPBACK 0x7f000001u

/* include/linux/netdevice.h */
#define NETDEV_HASHENTRIES 256

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	__s64 counter;
} atomic64_t;

typedef struct {
	unsigned int val;
} kuid_t;

typedef struct {
	unsigned int val;
} kgid_t;

/*
 * 6.3 on: one u64; before: u32[2] (f122a08b197d). Its eight bytes are copied, little-endian both.
 */
typedef struct {
	__u64 val;
} kernel_cap_t;

struct timespec64 {
	__s64 tv_sec;
	long tv_nsec;
};

struct qstr {
	union {
		struct {
			__u32 hash;
			__u32 len;
		};
	};
	const unsigned char *name;
};

struct ns_common {
	unsigned int inum;
};

struct user_namespace {
	struct ns_common ns;
};

struct super_block {
	__u32 s_dev;
	unsigned long s_magic;
	struct user_namespace *s_user_ns;
};

struct inode {
	struct super_block *i_sb;
	unsigned short i_mode;
	kuid_t i_uid;
	unsigned long i_ino;
	unsigned int i_nlink;
	long long i_size;
	__u32 i_generation;
	atomic64_t i_version;
	__s64 i_ctime_sec; /* 6.11 on (3aa63a569c64) */
	__u32 i_ctime_nsec;
};

struct inode___6_6 {
	struct timespec64 __i_ctime; /* 6.6 to 6.10 (13bc24457850) */
};

struct inode___5_15 {
	struct timespec64 i_ctime; /* until 6.5 */
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
};

struct uid_gid_map {
	__u32 nr_extents;
};

/* Later: the maps themselves, empty where nothing is mapped. */
struct mnt_idmap {
	struct uid_gid_map uid_map, gid_map;
};

struct mnt_idmap___6_2 {
	struct user_namespace *owner; /* the initial one where nothing is mapped */
};

struct vfsmount {
	struct dentry *mnt_root;
	struct mnt_idmap *mnt_idmap; /* 6.2 on (256c8aed2b42) */
};

struct vfsmount___5_12 {
	struct user_namespace *mnt_userns; /* until 6.1; the initial one where nothing is mapped */
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	struct path f_path;
	struct inode *f_inode;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct fs_struct {
	struct path root, pwd;
};

struct group_info {
	int ngroups;
	kgid_t gid[1];
};

struct vm_area_struct {
	unsigned long vm_start, vm_end;
	struct file *vm_file;
};

struct vm_area_struct___6_0 {
	struct vm_area_struct *vm_next;
};

struct mm_struct {
	unsigned long arg_start, arg_end, env_start, env_end;
	struct file *exe_file;
};

struct mm_struct___6_0 {
	struct vm_area_struct *mmap; /* until 6.0 (763ecb035029) */
};

/* By architecture: x86, arm64 */
struct pt_regs___x86 {
	unsigned long ip;
};

struct pt_regs___arm64 {
	unsigned long long pc;
};

struct uts_namespace {
	struct ns_common ns;
};

struct ipc_namespace {
	struct ns_common ns;
};

struct mnt_namespace {
	struct ns_common ns;
};

struct pid_namespace {
	struct ns_common ns;
};

struct hlist_node {
	struct hlist_node *next;
};

struct hlist_head {
	struct hlist_node *first;
};

struct net {
	struct ns_common ns;
	struct hlist_head *dev_index_head; /* NETDEV_HASHENTRIES of them */
};

struct net_device {
	int ifindex;
	struct hlist_node index_hlist;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct time_namespace {
	struct ns_common ns;
};

struct cgroup_namespace {
	struct ns_common ns;
};

struct nsproxy {
	struct uts_namespace *uts_ns;
	struct ipc_namespace *ipc_ns;
	struct mnt_namespace *mnt_ns;
	struct net *net_ns;
	struct time_namespace *time_ns;
	struct cgroup_namespace *cgroup_ns;
};

struct upid {
	struct pid_namespace *ns;
};

struct pid {
	unsigned int level;
	struct upid numbers[1];
};

struct cred {
	kuid_t uid, euid, suid, fsuid;
	kgid_t gid, egid, sgid, fsgid;
	struct group_info *group_info;
	kernel_cap_t cap_permitted, cap_effective;
	struct user_namespace *user_ns;
};

struct kernfs_iattrs {
	kuid_t ia_uid;
};

struct kernfs_node {
	__u64 id;
	const char *name;
	unsigned short mode;
	struct kernfs_iattrs *iattr; /* NULL: root's */
};

struct cgroup_subsys_state {
	struct cgroup_subsys_state *parent;
};

struct cgroup_root {
	int hierarchy_id; /* 0: the unified one */
};

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
	struct cgroup_root *root;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct cgroup_root___cgrp {
	struct cgroup cgrp;
};

struct bpf_prog_aux {
	__u32 id;
	char name[16];
};

struct bpf_prog {
	struct bpf_prog_aux *aux;
};

struct bpf_prog_array_item {
	struct bpf_prog *prog;
};

struct bpf_prog_array {
	struct bpf_prog_array_item items[1];
};

/* Where the kernel is in the programs of a hook, while one of them runs. */
struct bpf_run_ctx {
	char spare;
};

struct bpf_cg_run_ctx {
	const struct bpf_prog_array_item *prog_item;
};

enum cgroup_bpf_attach_type {
	CGROUP_INET_SOCK_CREATE,
	CGROUP_INET4_CONNECT,
	CGROUP_INET6_CONNECT,
	CGROUP_UDP4_SENDMSG,
	CGROUP_UDP6_SENDMSG,
	CGROUP_UNIX_CONNECT,
	CGROUP_UNIX_SENDMSG,
};

/* What runs in a cgroup, in its order: its own, those of the cgroups below first. */
struct cgroup_bpf {
	struct bpf_prog_array *effective[1];
};

struct cgroup___bpf {
	struct cgroup_bpf bpf;
};

struct signal_struct {
	atomic_t live;
	int group_exit_code;
	unsigned int flags;
};

struct task_struct {
	unsigned int flags;
	int exit_code;
	int pid, tgid;
	__u64 start_boottime;
	__u64 self_exec_id;
	unsigned int in_execve : 1;
	char comm[16];
	struct task_struct *real_parent, *group_leader;
	struct pid *thread_pid;
	struct signal_struct *signal;
	struct mm_struct *mm;
	struct fs_struct *fs;
	struct files_struct *files;
	struct nsproxy *nsproxy;
	struct css_set *cgroups;
	const struct cred *cred;
	struct bpf_run_ctx *bpf_ctx;
};

struct linux_binprm {
	unsigned int secureexec : 1;
	int argc;
	const char *filename;
	const char *interp;
};

struct in6_addr {
	union {
		__u8 u6_addr8[16];
		__be32 u6_addr32[4];
	} in6_u;
};

struct sock_common {
	__be32 skc_daddr, skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	int skc_bound_dev_if;
	unsigned long skc_flags;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr;
	struct {
		__s64 counter;
	} skc_cookie; /* 0: nobody asked for it yet */
};

struct sock {
	struct sock_common __sk_common;
	unsigned char sk_kern_sock : 1;
	__u16 sk_type, sk_protocol;
	int sk_err, sk_err_soft;
	__u32 sk_txhash;
	__u8 sk_shutdown;
	struct socket *sk_socket;
};

struct socket {
	short type;
};

struct socket_alloc {
	struct socket socket;
	struct inode vfs_inode;
};

struct ipv6_pinfo {
	int mcast_oif;
};

struct inet_sock {
	struct ipv6_pinfo *pinet6;
	__be16 inet_sport;
	int mc_index;
};

struct tcp_sock {
	__u64 bytes_received, bytes_acked;
	__u32 snd_una, write_seq, segs_out;
	__u8 repair : 1;
};

struct bpf_sock_addr_kern {
	struct sock *sk;
	void *uaddr;
	__u32 uaddrlen; /* 6.7 on (fefba7d1ae19) */
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	void *key;
	void *value;
};

struct bpf_iter__bpf_sk_storage_map {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	struct sock *sk;
	void *value;
};

#pragma clang attribute pop

/* UAPI, the parts of address structures that hooks hand over in kernel memory */
struct sockaddr_in6 {
	__u16 sin6_family;
	__be16 sin6_port;
	__be32 sin6_flowinfo;
	__u8 sin6_addr[16];
	__u32 sin6_scope_id;
};
