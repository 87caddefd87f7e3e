/* SPDX-License-Identifier: Apache-2.0 */
/*
 * behind CGROUP ADDRESS PORT: somebody else's programs at connect4 and sendmsg4 of a cgroup, as a
 * service proxy's or a policy's, until its standard input ends: what goes to 198.51.100.97 goes to
 * ADDRESS PORT, what goes to 198.51.100.98 is refused, all else is let alone.
 */
#include "program.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <stddef.h>

#define SERVICE "198.51.100.97"
#define REFUSED "198.51.100.98"

#define MOVE(register_, value)                                                                     \
	((struct bpf_insn){.code = BPF_ALU | BPF_MOV, .dst_reg = register_, .imm = (int)(value)})
#define LOAD(register_, field)                                                                     \
	((struct bpf_insn){.code = BPF_LDX | BPF_MEM | BPF_W,                                      \
			   .dst_reg = register_,                                                   \
			   .src_reg = BPF_REG_1,                                                   \
			   .off = offsetof(struct bpf_sock_addr, field)})
#define STORE(field, register_)                                                                    \
	((struct bpf_insn){.code = BPF_STX | BPF_MEM | BPF_W,                                      \
			   .dst_reg = BPF_REG_1,                                                   \
			   .src_reg = register_,                                                   \
			   .off = offsetof(struct bpf_sock_addr, field)})
#define UNLESS(register_, value, skipped)                                                          \
	((struct bpf_insn){.code = BPF_JMP32 | BPF_JNE,                                            \
			   .dst_reg = register_,                                                   \
			   .imm = (int)(value),                                                    \
			   .off = skipped})
#define RETURN ((struct bpf_insn){.code = BPF_JMP | BPF_EXIT})

static in_addr_t ip_of(const char *text)
{
	union address a;

	address_read(text, "0", &a);
	return a.v4.sin_addr.s_addr;
}

static void attach(int cgroup, enum bpf_attach_type type, const union address *to)
{
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = type);
	const struct bpf_insn code[] = {
		LOAD(BPF_REG_2, user_ip4),
		UNLESS(BPF_REG_2, ip_of(REFUSED), 2),
		MOVE(BPF_REG_0, 0),
		RETURN,
		UNLESS(BPF_REG_2, ip_of(SERVICE), 4),
		MOVE(BPF_REG_2, to->v4.sin_addr.s_addr),
		STORE(user_ip4, BPF_REG_2),
		MOVE(BPF_REG_2, to->v4.sin_port),
		STORE(user_port, BPF_REG_2),
		MOVE(BPF_REG_0, 1),
		RETURN,
	};
	int program = bpf_prog_load(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "test_balancer", "GPL", code,
				    sizeof(code) / sizeof(code[0]), &options);

	if (program < 0 || bpf_link_create(program, cgroup, type, NULL) < 0)
		err(1, "attach type %d", type);
}

int main(int argc, char **argv)
{
	union address to;
	char byte;
	int cgroup;

	usage_unless(argc == 4, "behind CGROUP ADDRESS PORT");
	cgroup = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cgroup < 0)
		err(1, "%s", argv[1]);
	address_read(argv[2], argv[3], &to);
	attach(cgroup, BPF_CGROUP_INET4_CONNECT, &to);
	attach(cgroup, BPF_CGROUP_UDP4_SENDMSG, &to);
	puts("attached");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	return 0;
}
