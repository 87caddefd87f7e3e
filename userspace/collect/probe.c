// SPDX-License-Identifier: Apache-2.0
#include "collect/probe.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "collect/why.h"

#define CGROUP_ROOT_ID 1           /* of its inode, and of bpf_get_current_cgroup_id() */
#define PID_NS_INITIAL 4026531836u /* PROC_PID_INIT_INO, include/linux/proc_ns.h */

/* mountinfo (proc_pid_mountinfo(5)) escapes space, tab, newline and backslash as \ooo. */
static void unescape(char *s)
{
	unsigned int c;
	char *to = s;
	int used;

	while (*s) {
		if (*s == '\\' && sscanf(s + 1, "%3o%n", &c, &used) == 1 && used == 3) {
			*to++ = c;
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
}

/* The first mount of the whole of a cgroup2 tree. */
static int find_cgroup_mount(char *ret, size_t size)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	size_t room = 0;

	if (!f)
		return -errno;
	while (getline(&line, &room, f) >= 0) {
		char root[4096], at[4096], *type = strstr(line, " - ");

		if (!type || strncmp(type, " - cgroup2 ", 11) ||
		    sscanf(line, "%*s %*s %*s %4095s %4095s", root, at) != 2 || strcmp(root, "/"))
			continue;
		unescape(at);
		if (strlen(at) >= size)
			return -ENAMETOOLONG;
		strcpy(ret, at);
		return 0;
	}
	return -ENOENT;
}

int probe_cgroup_root(const char *path, char *why, size_t why_size)
{
	_cleanup_close_ int fd = -1;
	struct statfs fs;
	char found[4096];
	struct stat st;

	if (!path) {
		if (find_cgroup_mount(found, sizeof(found)))
			return why_say(
				why, why_size, -ENOENT,
				"cgroup v2 is not mounted: mount -t cgroup2 none /sys/fs/cgroup");
		path = found;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) || fstatfs(fd, &fs))
		return why_errno(why, why_size, "%s", path);
	if (fs.f_type != CGROUP2_SUPER_MAGIC)
		return why_say(why, why_size, -ENOENT, "%s is not of cgroup v2", path);
	if (st.st_ino != CGROUP_ROOT_ID)
		return why_say(
			why, why_size, -ENOENT,
			"%s is not the root of cgroup v2: affiantd can't run in a cgroup namespace",
			path);
	return TAKE_FD(fd);
}

static int load(const struct bpf_insn *insns, size_t count, int attach_type)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = attach_type);

	return bpf_prog_load(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "affiant_probe", "GPL", insns, count,
			     &opts);
}

/* return 1: go on */
#define MOV(reg, value)                                                                            \
	{                                                                                          \
		.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = reg, .imm = value                  \
	}
#define CALL(function)                                                                             \
	{                                                                                          \
		.code = BPF_JMP | BPF_CALL, .imm = function                                        \
	}
#define EXIT                                                                                       \
	{                                                                                          \
		.code = BPF_JMP | BPF_EXIT                                                         \
	}

static int load_trivial(int attach_type)
{
	static const struct bpf_insn insns[] = {MOV(BPF_REG_0, 1), EXIT};

	return load(insns, sizeof(insns) / sizeof(*insns), attach_type);
}

int probe_baseline(char *why, size_t why_size)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (stat("/proc/self/ns/pid", &st))
		return why_errno(why, why_size, "/proc/self/ns/pid");
	if (st.st_ino != PID_NS_INITIAL)
		return why_say(why, why_size, -ENOTSUP,
			       "affiantd has to run in the initial pid namespace");
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		return why_say(
			why, why_size, -ENOTSUP,
			"the kernel has no BTF (/sys/kernel/btf/vmlinux, CONFIG_DEBUG_INFO_BTF)");
	fd = load_trivial(BPF_CGROUP_INET4_CONNECT);
	if (fd >= 0)
		return 0;
	if (errno == EPERM)
		return why_say(
			why, why_size, -EPERM,
			"not allowed to load BPF programs: root, or CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN");
	return why_say(why, why_size, -ENOTSUP, "the kernel loads no cgroup/connect4 program: %s",
		       strerror(errno));
}

bool probe_hook(int cgroup_fd, int attach_type, unsigned int flags)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = flags);
	_cleanup_close_ int prog = -1, link = -1;

	prog = load_trivial(attach_type);
	if (prog < 0)
		return false;
	link = bpf_link_create(prog, cgroup_fd, attach_type, &opts);
	return link >= 0;
}

bool probe_function(const char *name)
{
	static const struct bpf_insn insns[] = {MOV(BPF_REG_0, 0), EXIT};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_TRACE_FEXIT);
	_cleanup_close_ int prog = -1, link = -1;
	int id = libbpf_find_vmlinux_btf_id(name, BPF_TRACE_FEXIT);

	if (id <= 0)
		return false;
	opts.attach_btf_id = id;
	prog = bpf_prog_load(BPF_PROG_TYPE_TRACING, "affiant_probe", "GPL", insns,
			     sizeof(insns) / sizeof(*insns), &opts);
	if (prog < 0)
		return false;
	link = bpf_raw_tracepoint_open(NULL, prog);
	return link >= 0;
}

bool probe_retval(void)
{
	static const struct bpf_insn insns[] = {CALL(BPF_FUNC_get_retval), MOV(BPF_REG_0, 1), EXIT};
	_cleanup_close_ int prog =
		load(insns, sizeof(insns) / sizeof(*insns), BPF_CGROUP_INET4_CONNECT);

	return prog >= 0;
}

bool probe_loop(void)
{
	return libbpf_probe_bpf_helper(BPF_PROG_TYPE_CGROUP_SOCK, BPF_FUNC_loop, NULL) == 1;
}

bool probe_tracepoint(const char *name)
{
	struct btf *btf = btf__load_vmlinux_btf();
	char typedef_name[128];
	bool there;

	if (!btf)
		return false;
	snprintf(typedef_name, sizeof(typedef_name), "btf_trace_%s", name);
	there = btf__find_by_name_kind(btf, typedef_name, BTF_KIND_TYPEDEF) > 0;
	btf__free(btf);
	return there;
}
