// SPDX-License-Identifier: Apache-2.0
#include "collect/source.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "affiant.skel.h"
#include "base/cleanup.h"
#include "collect/memory.h"
#include "collect/probe.h"
#include "collect/source_impl.h"
#include "collect/why.h"

DEFINE_CLEANUP(struct source *, source_close)
DEFINE_CLEANUP(struct pins *, pins_close)

/* Each version's own: nothing in them outlives a run. */
static bool is_pinned(const struct bpf_map *map)
{
	static const char *const own[] = {"scratch_exec", "scratch_adopt", "scratch_environment",
					  "scratch_cgroup", "scratch_unix", "adopt", "orders"};

	for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
		if (!strcmp(bpf_map__name(map), own[i]))
			return false;
	return !bpf_map__is_internal(map);
}

static int size_maps(struct source *s, const struct source_config *config, char *why,
		     size_t why_size)
{
	uint32_t ring = config->ring_bytes ?: memory_ring_default(s->cgroup);
	struct bpf_map *map;
	int err;

	err = bpf_map__set_max_entries(s->skeleton->maps.events, ring)
		      ?: bpf_map__set_max_entries(s->skeleton->maps.tags, config->max_tags);
	if (err)
		return why_say(why, why_size, err, "can't size the maps: %s", strerror(-err));
	if (config->flows_per_minute)
		s->skeleton->rodata->flows_per_minute = config->flows_per_minute;
	bpf_object__for_each_map(map, s->skeleton->obj)
	{
		err = is_pinned(map) ? pins_reuse_map(s->pins, map, why, why_size) : 0;
		if (err)
			return err;
	}
	return 0;
}

/*
 * Whether the pinned maps are all there, and a daemon went on to the end with them. One that is of
 * another shape is told elsewhere. A map that a later version adds would have to be left out, or
 * each upgrade to it begins anew.
 */
static bool is_whole(const struct source *s)
{
	struct control control;
	struct bpf_map *map;
	bool whole = true;

	bpf_object__for_each_map(map, s->skeleton->obj)
	{
		int err = is_pinned(map) ? pins_look(s->pins, map) : 0;

		if (err == -ESTALE)
			return true;
		whole &= err != -ENOENT;
	}
	return whole && epoch_control(s, &control) && attach_is_whole(s, control.attached);
}

/* What a start left that did not come to its end, and what somebody left who removed some pins. */
static int begin_or_go_on(struct source *s, char *why, size_t why_size)
{
	int err;

	s->made = !is_whole(s);
	err = s->made ? pins_sweep(s->pins, NULL) : 0;
	return err ? why_say(why, why_size, err, "can't remove what is left of the pins: %s",
			     strerror(-err))
		   : 0;
}

static int pin_maps(struct source *s, char *why, size_t why_size)
{
	struct bpf_map *map;
	int err;

	bpf_object__for_each_map(map, s->skeleton->obj)
	{
		if (!is_pinned(map))
			continue;
		err = pins_put(s->pins, "map", bpf_map__name(map), bpf_map__fd(map));
		if (err && err != -EEXIST)
			return why_say(why, why_size, err, "can't pin map_%s: %s",
				       bpf_map__name(map), strerror(-err));
	}
	return 0;
}

static int load(struct source *s, const struct source_config *config, char *why, size_t why_size)
{
	int err;

	why_listen();
	s->skeleton = affiant__open();
	if (!s->skeleton)
		return why_heard(why, why_size, -errno, "can't open the BPF object");
	err = begin_or_go_on(s, why, why_size) ?:
	      size_maps(s, config, why, why_size) ?:
	      attach_prepare(s, why, why_size);
	if (err)
		return err;
	err = affiant__load(s->skeleton);
	return err ? why_heard(why, why_size, err == -EPERM ? err : -ENOTSUP,
			       "the kernel refused the BPF programs")
		   : 0;
}

/* The ring's last eighth is for events that come in softirq. */
static int open_maps(struct source *s, char *why, size_t why_size)
{
	void *map;
	int err;

	err = ring_open(bpf_map__fd(s->skeleton->maps.events), &s->ring);
	if (err)
		return why_say(why, why_size, err, "can't map the ring buffer: %s", strerror(-err));
	map = mmap(NULL, sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_SHARED,
		   bpf_map__fd(s->skeleton->maps.control), 0);
	if (map == MAP_FAILED)
		return why_errno(why, why_size, "can't map the control block");
	s->control = map;
	s->control->task_limit = ring_size(s->ring) - ring_size(s->ring) / 8;
	s->control->max_tags = bpf_map__max_entries(s->skeleton->maps.tags);
	s->control->consumer_asleep = 0;
	s->continued = s->control->setups > 0;
	s->max_tags = bpf_map__max_entries(s->skeleton->maps.tags);
	return 0;
}

static int open_iterators(struct source *s, char *why, size_t why_size)
{
	union bpf_iter_link_info sockets = {.map.map_fd = bpf_map__fd(s->skeleton->maps.sockets)};
	LIBBPF_OPTS(bpf_link_create_opts, opts, .iter_info = &sockets,
		    .iter_info_len = sizeof(sockets));

	s->adopt = bpf_link_create(bpf_program__fd(s->skeleton->progs.on_adopt), 0, BPF_TRACE_ITER,
				   NULL);
	if (s->adopt < 0)
		return why_errno(why, why_size, "can't attach the task iterator");
	s->live = bpf_link_create(bpf_program__fd(s->skeleton->progs.on_live), 0, BPF_TRACE_ITER,
				  &opts);
	if (s->live < 0)
		return why_errno(why, why_size, "can't attach the iterator over sockets");
	return orders_open(s, why, why_size);
}

static int set_up(struct source *s, const struct source_config *config, char *why, size_t why_size)
{
	int err;

	err = probe_baseline(why, why_size);
	if (err)
		return err;
	s->cgroup = probe_cgroup_root(config->cgroup_root, why, why_size);
	if (s->cgroup < 0)
		return s->cgroup;
	return pins_open(config->pin_dir, true, &s->pins, why, why_size) ?:
	       load(s, config, why, why_size) ?:
	       open_maps(s, why, why_size) ?:
	       open_iterators(s, why, why_size);
}

int source_open(const struct source_config *config, struct source **ret, char *why, size_t why_size)
{
	_cleanup_(source_closep) struct source *s = NULL;
	int err;

	s = calloc(1, sizeof(*s));
	if (!s)
		return why_say(why, why_size, -ENOMEM, "out of memory");
	pthread_mutex_init(&s->adopt_lock, NULL);
	s->cgroup = s->adopt = s->live = s->orders = s->barrier = -1;
	for (size_t i = 0; i < STUBS; i++)
		s->stubs[i] = -1;
	for (size_t i = 0; i < LINKS_MAX; i++)
		s->links[i] = -1;
	err = set_up(s, config, why, why_size);
	if (err)
		return err;
	*ret = TAKE_PTR(s);
	return 0;
}

int source_attach(struct source *s, uint64_t past, char *why, size_t why_size)
{
	int err;

	/* Nothing counts yet, and nobody finds maps that don't know where they begin. */
	err = s->made ? epoch_begin(s, past, why, why_size) : 0;
	err = err ?: pin_maps(s, why, why_size) ?: attach_programs(s, why, why_size);
	if (err)
		return err;
	s->control->setups++;
	s->attached = true;
	return 0;
}

void source_close(struct source *s)
{
	if (!s)
		return;
	if (s->control)
		munmap(s->control, sysconf(_SC_PAGESIZE));
	ring_close(s->ring);
	for (size_t i = 0; i < STUBS; i++)
		closep(&s->stubs[i]);
	for (size_t i = 0; i < LINKS_MAX; i++)
		closep(&s->links[i]);
	closep(&s->adopt);
	closep(&s->live);
	closep(&s->orders);
	closep(&s->barrier);
	closep(&s->cgroup);
	affiant__destroy(s->skeleton);
	/* A start that failed before it pinned anything leaves nothing. */
	if (s->made && !s->attached)
		(void)pins_remove_directory(s->pins);
	pins_close(s->pins);
	pthread_mutex_destroy(&s->adopt_lock);
	free(s);
}

int source_uninstall(const char *pin_dir, char *why, size_t why_size)
{
	_cleanup_(pins_closep) struct pins *pins = NULL;
	int err;

	err = pins_open(pin_dir, false, &pins, why, why_size);
	if (err)
		return err;
	err = pins_sweep(pins, NULL) ?: pins_remove_directory(pins);
	return err ? why_say(why, why_size, err, "can't remove %s: %s", pin_dir, strerror(-err))
		   : 0;
}

bool source_continued(const struct source *s)
{
	return s->continued;
}

const char *const *source_features(const struct source *s)
{
	return s->features;
}

const char *const *source_missing(const struct source *s)
{
	return s->missing;
}

const void *source_object(const struct source *s, size_t *ret_size)
{
	(void)s;
	return affiant__elf_bytes(ret_size);
}

int source_cgroup_fd(const struct source *s)
{
	return s->cgroup;
}

int source_fd(const struct source *s)
{
	return bpf_map__fd(s->skeleton->maps.events);
}

int source_read(struct source *s, void *buffer, size_t size, size_t *ret_len)
{
	if (size < EVENT_SIZE_MAX)
		return -EINVAL;
	*ret_len = ring_read(s->ring, buffer, size);
	return 0;
}

void source_release(struct source *s)
{
	ring_release(s->ring);
}

void source_sleep(struct source *s, bool asleep)
{
	__atomic_store_n(&s->control->consumer_asleep, asleep, __ATOMIC_SEQ_CST);
}

uint64_t source_written(const struct source *s)
{
	return ring_written(s->ring);
}

uint64_t source_taken(const struct source *s)
{
	return ring_taken(s->ring);
}

size_t source_ring_size(const struct source *s)
{
	return ring_size(s->ring);
}

size_t source_ring_used(const struct source *s)
{
	return ring_used(s->ring);
}

bool source_unseen(const struct source *s, uint64_t session)
{
	uint64_t at;

	return __atomic_load_n(&s->control->unseen, __ATOMIC_SEQ_CST) ||
	       !bpf_map_lookup_elem(bpf_map__fd(s->skeleton->maps.unseen), &session, &at);
}

void source_forget_unseen(struct source *s, uint64_t session, uint64_t before_ns)
{
	int fd = bpf_map__fd(s->skeleton->maps.unseen);
	uint64_t at;

	if (!bpf_map_lookup_elem(fd, &session, &at) && at < before_ns)
		(void)bpf_map_delete_elem(fd, &session);
}

int source_sweep_unseen(struct source *s, uint64_t before_ns,
			bool (*keep)(uint64_t session, void *data), void *data)
{
	int fd = bpf_map__fd(s->skeleton->maps.unseen), err;
	uint64_t next, key, at;
	bool more = !bpf_map_get_next_key(fd, NULL, &next);

	while (more) {
		key = next;
		/* The next one has to be known before this one goes: else the walk begins again. */
		more = !bpf_map_get_next_key(fd, &key, &next);
		if (bpf_map_lookup_elem(fd, &key, &at) || at >= before_ns || keep(key, data))
			continue;
		err = bpf_map_delete_elem(fd, &key) ? -errno : 0;
		if (err && err != -ENOENT)
			return err;
	}
	return 0;
}

void source_set_disk_groups(struct source *s, const struct disk_groups *groups)
{
	struct disk_groups *to = &s->control->disk;

	/* In between, everybody is in one. */
	__atomic_store_n(&to->count, DISK_GROUPS_MAX + 1, __ATOMIC_SEQ_CST);
	memcpy(to->gid, groups->gid, sizeof(to->gid));
	__atomic_store_n(&to->count, groups->count, __ATOMIC_SEQ_CST);
}

int source_losses(struct source *s, uint64_t ret[static LOSS_KINDS], uint64_t *ret_missed)
{
	_cleanup_free_ uint64_t *values = NULL;
	uint64_t sums[LOSS_KINDS] = {}, missed = 0;
	int cpus = libbpf_num_possible_cpus();

	if (cpus < 0)
		return cpus;
	values = calloc(cpus, sizeof(*values));
	if (!values)
		return -ENOMEM;
	for (uint32_t kind = 0; kind < LOSS_KINDS; kind++) {
		if (bpf_map_lookup_elem(bpf_map__fd(s->skeleton->maps.losses), &kind, values))
			return -errno;
		for (int i = 0; i < cpus; i++)
			sums[kind] += values[i];
	}
	for (size_t i = 0; i < STUBS; i++) {
		struct bpf_prog_info info = {};
		uint32_t len = sizeof(info);

		if (s->stubs[i] < 0)
			continue; /* of a feature that is missing */
		if (bpf_obj_get_info_by_fd(s->stubs[i], &info, &len))
			return -errno;
		missed += info.recursion_misses;
	}
	memcpy(ret, sums, sizeof(sums));
	*ret_missed = missed;
	return 0;
}
