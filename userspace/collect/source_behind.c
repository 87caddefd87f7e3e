// SPDX-License-Identifier: Apache-2.0
#include <bpf/bpf.h>
#include <errno.h>

#include "affiant.skel.h"
#include "collect/source_impl.h"

static const struct bpf_program *ours_of(const struct source *s, enum behind_hook hook)
{
	switch (hook) {
	case BEHIND_SOCK_CREATE:
		return s->skeleton->progs.on_create;
	case BEHIND_CONNECT4:
		return s->skeleton->progs.on_connect4;
	case BEHIND_CONNECT6:
		return s->skeleton->progs.on_connect6;
	case BEHIND_SENDMSG4:
		return s->skeleton->progs.on_sendmsg4;
	case BEHIND_SENDMSG6:
		return s->skeleton->progs.on_sendmsg6;
	case BEHIND_CONNECT_UNIX:
		return s->skeleton->progs.on_connect_unix;
	case BEHIND_SENDMSG_UNIX:
		return s->skeleton->progs.on_sendmsg_unix;
	case BEHIND_HOOKS:
		break;
	}
	return NULL;
}

const char *source_behind_word(enum behind_hook hook)
{
	static const char *const words[] = {
		[BEHIND_SOCK_CREATE] = "sock_create",   [BEHIND_CONNECT4] = "connect4",
		[BEHIND_CONNECT6] = "connect6",         [BEHIND_SENDMSG4] = "sendmsg4",
		[BEHIND_SENDMSG6] = "sendmsg6",         [BEHIND_CONNECT_UNIX] = "connect_unix",
		[BEHIND_SENDMSG_UNIX] = "sendmsg_unix",
	};
	_Static_assert(sizeof(words) / sizeof(*words) == BEHIND_HOOKS, "a word for each");

	return words[hook];
}

/* 0: it is not loaded, as the kernel has no such hook. */
static uint32_t id_of(const struct bpf_program *program)
{
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);

	return bpf_program__fd(program) >= 0 &&
			       !bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &len)
		       ? info.id
		       : 0;
}

/* One more, or id 0 at the end. */
static int look(const struct source *s, struct behind *b)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = b, .ctx_size_in = sizeof(*b));

	return bpf_prog_test_run_opts(bpf_program__fd(s->skeleton->progs.on_behind), &opts) ? -errno
											    : 0;
}

int source_behind(struct source *s, source_behind_fn each, void *data)
{
	for (enum behind_hook hook = 0; hook < BEHIND_HOOKS; hook++) {
		uint32_t ours = id_of(ours_of(s, hook));
		struct behind b = {.hook = hook};
		bool met = false;

		for (; ours && b.index < BEHIND_PROGRAMS; b.index++) {
			int err = look(s, &b);

			if (err)
				return err;
			if (!b.id)
				break;
			if (met)
				each(data, hook, b.id, b.name);
			met |= b.id == ours;
			b.id = 0;
		}
	}
	return 0;
}
