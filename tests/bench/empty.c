/* SPDX-License-Identifier: Apache-2.0 */
/*
 * empty: attaches programs that return at once to the hooks that affiantd uses, says "ready" and
 * waits for the end of its input. What these cost is the price of having hooks at all: no code of
 * ours can be below it.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const int cgroup_hooks[] = {
	BPF_CGROUP_INET_SOCK_CREATE, BPF_CGROUP_INET_SOCK_RELEASE, BPF_CGROUP_INET4_CONNECT,
	BPF_CGROUP_INET6_CONNECT,    BPF_CGROUP_UDP4_SENDMSG,      BPF_CGROUP_UDP6_SENDMSG,
};

static const char *const tracepoints[] = {
	"sched_process_fork",  "sched_process_exec",   "sched_process_exit",
	"inet_sock_set_state", "inet_sk_error_report", "cgroup_mkdir",	"cgroup_rmdir",
};

static const char license[] = "Dual BSD/GPL";

/* return @value */
static int load(enum bpf_prog_type type, const struct bpf_prog_load_opts *opts, int value)
{
	const struct bpf_insn code[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = value},
		{.code = BPF_JMP | BPF_EXIT},
	};

	return bpf_prog_load(type, "empty", license, code, sizeof(code) / sizeof(*code), opts);
}

static int attach_cgroup(int cgroup, int hook)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = hook);
	enum bpf_prog_type type =
		hook == BPF_CGROUP_INET_SOCK_CREATE || hook == BPF_CGROUP_INET_SOCK_RELEASE
			? BPF_PROG_TYPE_CGROUP_SOCK
			: BPF_PROG_TYPE_CGROUP_SOCK_ADDR;
	int prog = load(type, &opts, 1);

	return prog < 0 ? prog : bpf_link_create(prog, cgroup, hook, NULL);
}

static int attach_tracepoint(const char *name)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_TRACE_RAW_TP);
	int id = libbpf_find_vmlinux_btf_id(name, BPF_TRACE_RAW_TP), prog;

	if (id < 0)
		return id;
	opts.attach_btf_id = id;
	prog = load(BPF_PROG_TYPE_TRACING, &opts, 0);
	return prog < 0 ? prog : bpf_raw_tracepoint_open(NULL, prog);
}

int main(int argc, char **argv)
{
	int cgroup = argc == 2 ? open(argv[1], O_RDONLY | O_DIRECTORY) : -1;
	char c;

	if (cgroup < 0) {
		fprintf(stderr, "usage: empty CGROUP2-ROOT\n");
		return EXIT_FAILURE;
	}
	for (size_t i = 0; i < sizeof(cgroup_hooks) / sizeof(*cgroup_hooks); i++) {
		if (attach_cgroup(cgroup, cgroup_hooks[i]) < 0) {
			fprintf(stderr, "empty: hook %d: %s\n", cgroup_hooks[i], strerror(errno));
			return EXIT_FAILURE;
		}
	}
	for (size_t i = 0; i < sizeof(tracepoints) / sizeof(*tracepoints); i++) {
		if (attach_tracepoint(tracepoints[i]) < 0) {
			fprintf(stderr, "empty: %s: %s\n", tracepoints[i], strerror(errno));
			return EXIT_FAILURE;
		}
	}
	puts("ready");
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	return EXIT_SUCCESS;
}
