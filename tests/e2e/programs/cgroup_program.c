/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup_program deny CGROUP, nosocket CGROUP, or redirect CGROUP ADDRESS PORT: attaches somebody
 * else's program to a cgroup, which stays until the cgroup goes: one refuses every connection, one
 * every socket, one sends connections to ADDRESS PORT.
 */
#include "program.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <stddef.h>

#define LOAD(register_, value)                                                                     \
	((struct bpf_insn){.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = register_, .imm = value})
#define STORE(field, register_)                                                                    \
	((struct bpf_insn){.code = BPF_STX | BPF_MEM | BPF_W,                                      \
			   .dst_reg = BPF_REG_1,                                                   \
			   .src_reg = register_,                                                   \
			   .off = offsetof(struct bpf_sock_addr, field)})
#define RETURN ((struct bpf_insn){.code = BPF_JMP | BPF_EXIT})

static void attach(const char *cgroup, enum bpf_attach_type type, const struct bpf_insn *code,
		   size_t count)
{
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = type);
	int program =
		bpf_prog_load(type == BPF_CGROUP_INET_SOCK_CREATE ? BPF_PROG_TYPE_CGROUP_SOCK
								  : BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
			      "test_cgroup", "GPL", code, count, &options);
	int group = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (program < 0 || group < 0)
		err(1, "%s", cgroup);
	if (bpf_prog_attach(program, group, type, BPF_F_ALLOW_MULTI))
		err(1, "attach to %s", cgroup);
}

int main(int argc, char **argv)
{
	union address to;

	if (argc == 3 && (!strcmp(argv[1], "deny") || !strcmp(argv[1], "nosocket"))) {
		const struct bpf_insn deny[] = {LOAD(BPF_REG_0, 0), RETURN};

		attach(argv[2],
		       *argv[1] == 'd' ? BPF_CGROUP_INET4_CONNECT : BPF_CGROUP_INET_SOCK_CREATE,
		       deny, 2);
		return 0;
	}
	usage_unless(argc == 5 && !strcmp(argv[1], "redirect"),
		     "cgroup_program deny|nosocket|redirect CGROUP [ADDRESS PORT]");
	address_read(argv[3], argv[4], &to);
	const struct bpf_insn redirect[] = {
		LOAD(BPF_REG_2, to.v4.sin_addr.s_addr),
		STORE(user_ip4, BPF_REG_2),
		LOAD(BPF_REG_2, to.v4.sin_port),
		STORE(user_port, BPF_REG_2),
		LOAD(BPF_REG_0, 1),
		RETURN,
	};
	attach(argv[2], BPF_CGROUP_INET4_CONNECT, redirect, sizeof(redirect) / sizeof(redirect[0]));
	return 0;
}
