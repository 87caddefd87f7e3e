// SPDX-License-Identifier: Apache-2.0
/*
 * Where the numbers of a set of maps begin. Sources, ids and connection numbers derive from them, so
 * that those of two sets that were made in one boot must never meet.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "affiant.skel.h"
#include "base/cleanup.h"
#include "collect/source_impl.h"
#include "collect/why.h"

#define TICK_NS 4000 /* no CPU tells more often than that, in the long run; 48 bits last 35 years */
#define PAST_MAX ((uint64_t)1 << 47) /* beyond, something is wrong with what is known */

bool epoch_control(const struct source *s, struct control *ret)
{
	_cleanup_close_ int fd = pins_get(s->pins, "map", "control");
	struct bpf_map_info info = {};
	uint32_t len = sizeof(info), zero = 0;

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len) || info.value_size != sizeof(*ret))
		return false;
	return !bpf_map_lookup_elem(fd, &zero, ret) && ret->setups && ret->sequence_base;
}

static int set_sequences(const struct source *s, uint64_t base)
{
	_cleanup_free_ struct sequence *all = NULL;
	int cpus = libbpf_num_possible_cpus();
	uint32_t zero = 0;

	if (cpus < 0)
		return cpus;
	all = calloc(cpus, sizeof(*all));
	if (!all)
		return -ENOMEM;
	for (int i = 0; i < cpus; i++)
		all[i].next = base;
	return bpf_map_update_elem(bpf_map__fd(s->skeleton->maps.sequences), &zero, all, BPF_ANY)
		       ? -errno
		       : 0;
}

int epoch_begin(struct source *s, uint64_t past, char *why, size_t why_size)
{
	uint64_t now, base;
	int err;

	err = source_boottime(s, &now);
	if (err)
		return why_say(why, why_size, err, "can't tell the time since boot: %s",
			       strerror(-err));
	base = now / TICK_NS > past ? now / TICK_NS : past;
	if (past > PAST_MAX)
		return why_say(why, why_size, -EOVERFLOW,
			       "the saved state knows an event number that none can have (%llu): "
			       "move the state directory away",
			       (unsigned long long)past);
	if (getrandom(s->control->epoch, sizeof(s->control->epoch), 0) !=
	    (ssize_t)sizeof(s->control->epoch))
		return why_errno(why, why_size, "no random numbers");
	err = set_sequences(s, base);
	if (err)
		return why_say(why, why_size, err, "can't set the event numbers: %s",
			       strerror(-err));
	/* Selectors are told to the kernel a little later. */
	if (past)
		s->control->made_ns = s->control->unwatched_since = now;
	s->control->sequence_base = base;
	return 0;
}

void source_get_epoch(const struct source *s, struct source_epoch *ret)
{
	_Static_assert(sizeof(ret->id) == sizeof(s->control->epoch), "epoch");
	memcpy(ret->id, s->control->epoch, sizeof(ret->id));
	ret->base = s->control->sequence_base;
	ret->made_ns = s->control->made_ns;
}

int source_boottime(const struct source *s, uint64_t *ret_ns)
{
	struct boottime context = {0};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &context, .ctx_size_in = sizeof(context));

	if (bpf_prog_test_run_opts(bpf_program__fd(s->skeleton->progs.on_boottime), &opts))
		return -errno;
	if ((int)opts.retval < 0)
		return (int)opts.retval;
	*ret_ns = context.ns;
	return 0;
}
