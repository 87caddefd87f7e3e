/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deny_send on|off CGROUP: attaches somebody else's programs to a cgroup, which refuse every
 * datagram that names its destination, or detaches them.
 */
#include "program.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>

static const enum bpf_attach_type types[] = {BPF_CGROUP_UDP4_SENDMSG, BPF_CGROUP_UDP6_SENDMSG};

static void attach(int group, enum bpf_attach_type type)
{
	const struct bpf_insn deny[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = type);
	int program = bpf_prog_load(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "test_deny_send", "GPL", deny,
				    2, &options);

	if (program < 0 || bpf_prog_attach(program, group, type, BPF_F_ALLOW_MULTI))
		err(1, "attach");
	close(program);
}

static void detach(int group, enum bpf_attach_type type)
{
	__u32 flags, ids[8], count = 8;

	if (bpf_prog_query(group, type, 0, &flags, ids, &count))
		err(1, "query");
	for (__u32 i = 0; i < count; i++) {
		int program = bpf_prog_get_fd_by_id(ids[i]);

		if (program < 0 || bpf_prog_detach2(program, group, type))
			err(1, "detach");
		close(program);
	}
}

int main(int argc, char **argv)
{
	int group;

	usage_unless(argc == 3, "deny_send on|off CGROUP");
	group = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (group < 0)
		err(1, "%s", argv[2]);
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (!strcmp(argv[1], "on"))
			attach(group, types[i]);
		else
			detach(group, types[i]);
	return 0;
}
