/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deny_unix CGROUP: somebody else's programs that refuse every connect and datagram to a Unix
 * socket from the sockets of a cgroup, until its input ends.
 */
#include "program.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>

/* Missing in Debian 12's <linux/bpf.h>: since 6.7 (859051dd165e). */
static const int types[] = {49 /* BPF_CGROUP_UNIX_CONNECT */, 50 /* BPF_CGROUP_UNIX_SENDMSG */};
#define TYPES (sizeof(types) / sizeof(types[0]))

int main(int argc, char **argv)
{
	const struct bpf_insn deny[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int group, programs[TYPES];
	char c;

	usage_unless(argc == 2, "deny_unix CGROUP");
	group = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < TYPES; i++) {
		LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = types[i]);

		programs[i] = bpf_prog_load(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "test_unix", "GPL",
					    deny, 2, &options);
		if (programs[i] < 0 ||
		    bpf_prog_attach(programs[i], group, types[i], BPF_F_ALLOW_MULTI))
			err(1, "attach to %s", argv[1]);
	}
	printf("attached\n");
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	for (size_t i = 0; i < TYPES; i++)
		if (bpf_prog_detach2(programs[i], group, types[i]))
			err(1, "detach from %s", argv[1]);
	return 0;
}
