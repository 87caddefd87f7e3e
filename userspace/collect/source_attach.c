// SPDX-License-Identifier: Apache-2.0
/*
 * Every step leaves a state from which a later start goes on: what is pinned is taken over, what is
 * not is made. A stub's slot is filled before the stub is attached, and a stub is attached only
 * once it is pinned.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/stat.h>

#include "affiant.skel.h"
#include "base/cleanup.h"
#include "collect/envtable.h"
#include "collect/probe.h"
#include "collect/source_impl.h"
#include "collect/why.h"

/* A member of the skeleton by its offset, so that tables can be constant. */
#define PROGRAM(member) offsetof(struct affiant, progs.member)
#define MAP(member) offsetof(struct affiant, maps.member)

static struct bpf_program *program_of(const struct source *s, size_t offset)
{
	return *(struct bpf_program **)((char *)s->skeleton + offset);
}

static struct bpf_map *map_of(const struct source *s, size_t offset)
{
	return *(struct bpf_map **)((char *)s->skeleton + offset);
}

static const struct stub {
	const char *name;
	size_t stub, target, dispatch;
	const char *feature; /* NULL: the baseline */
} stubs[STUBS] = {
	{"fork", PROGRAM(stub_fork), PROGRAM(on_fork), MAP(dispatch_fork)},
	{"exec", PROGRAM(stub_exec), PROGRAM(on_exec), MAP(dispatch_exec)},
	{"exit", PROGRAM(stub_exit), PROGRAM(on_exit), MAP(dispatch_exit)},
	{"listen", PROGRAM(stub_listen), PROGRAM(on_listen), MAP(dispatch_listen), "listen"},
	{"state", PROGRAM(stub_state), PROGRAM(on_state), MAP(dispatch_state)},
	{"report", PROGRAM(stub_report), PROGRAM(on_report), MAP(dispatch_report)},
	{"send", PROGRAM(stub_send), PROGRAM(on_send), MAP(dispatch_send), "send"},
	{"mkdir", PROGRAM(stub_mkdir), PROGRAM(on_mkdir), MAP(dispatch_mkdir)},
	{"rmdir", PROGRAM(stub_rmdir), PROGRAM(on_rmdir), MAP(dispatch_rmdir)},
};

/* Hooks of one feature stand together; without one they are the baseline. */
static const struct hook {
	const char *name;
	const char *feature;
	size_t program;
	int type;
	unsigned int flags;
} hooks[] = {
	{"sock_create", NULL, PROGRAM(on_create), BPF_CGROUP_INET_SOCK_CREATE},
	{"sock_release", NULL, PROGRAM(on_release), BPF_CGROUP_INET_SOCK_RELEASE},
	{"connect4", NULL, PROGRAM(on_connect4), BPF_CGROUP_INET4_CONNECT},
	{"connect6", NULL, PROGRAM(on_connect6), BPF_CGROUP_INET6_CONNECT},
	{"sendmsg4", NULL, PROGRAM(on_sendmsg4), BPF_CGROUP_UDP4_SENDMSG},
	{"sendmsg6", NULL, PROGRAM(on_sendmsg6), BPF_CGROUP_UDP6_SENDMSG},
	{"connect_unix", "connect_unix", PROGRAM(on_connect_unix), PROBE_CGROUP_UNIX_CONNECT},
	{"sendmsg_unix", "sendmsg_unix", PROGRAM(on_sendmsg_unix), PROBE_CGROUP_UNIX_SENDMSG},
	{"asked_connect4", "asked", PROGRAM(on_asked_connect4), BPF_CGROUP_INET4_CONNECT,
	 PROBE_F_PREORDER},
	{"asked_connect6", "asked", PROGRAM(on_asked_connect6), BPF_CGROUP_INET6_CONNECT,
	 PROBE_F_PREORDER},
	{"asked_sendmsg4", "asked", PROGRAM(on_asked_sendmsg4), BPF_CGROUP_UDP4_SENDMSG,
	 PROBE_F_PREORDER},
	{"asked_sendmsg6", "asked", PROGRAM(on_asked_sendmsg6), BPF_CGROUP_UDP6_SENDMSG,
	 PROBE_F_PREORDER},
};

#define HOOKS (sizeof(hooks) / sizeof(*hooks))

static void list_add(const char *list[static FEATURES_MAX + 1], const char *word)
{
	for (size_t i = 0; i < FEATURES_MAX; i++) {
		if (list[i] && !strcmp(list[i], word))
			return;
		if (!list[i]) {
			list[i] = word;
			return;
		}
	}
}

static bool listed(const char *const list[static FEATURES_MAX + 1], const char *word)
{
	for (size_t i = 0; list[i]; i++)
		if (!strcmp(list[i], word))
			return true;
	return false;
}

static void feature_note(struct source *s, const char *word, bool granted)
{
	list_add(granted ? s->features : s->missing, word);
}

static bool granted(const struct source *s, const char *feature)
{
	return !feature || listed(s->features, feature);
}

/* A stub is loaded only when none is attached: it stays as it is for good. */
static int prepare_stub(struct source *s, const struct stub *stub)
{
	_cleanup_close_ int link = -1, prog = -1;
	bool attached;
	int err;

	err = bpf_program__set_autoload(program_of(s, stub->target), granted(s, stub->feature));
	if (err || !granted(s, stub->feature))
		return err ?: bpf_program__set_autoload(program_of(s, stub->stub), false);
	link = pins_get(s->pins, "link", stub->name);
	prog = pins_get(s->pins, "prog", stub->name);
	attached = link >= 0 && prog >= 0;
	if (!attached && link >= 0)
		pins_remove(s->pins, "link", stub->name);
	if (!attached && prog >= 0)
		pins_remove(s->pins, "prog", stub->name);
	return bpf_program__set_autoload(program_of(s, stub->stub), !attached);
}

static bool is_pinned(const struct source *s, const char *kind, const char *name)
{
	_cleanup_close_ int fd = pins_get(s->pins, kind, name);

	return fd >= 0;
}

static bool link_is_ours(const struct source *s, int link, const struct hook *h)
{
	struct bpf_link_info info = {};
	uint32_t len = sizeof(info);
	struct stat root;

	return !bpf_obj_get_info_by_fd(link, &info, &len) && !fstat(s->cgroup, &root) &&
	       info.type == BPF_LINK_TYPE_CGROUP && info.cgroup.cgroup_id == root.st_ino &&
	       info.cgroup.attach_type == (uint32_t)h->type;
}

/* A bit of control.attached: by the order of the two tables, to which others are only appended. */
#define STUB_BIT(i) ((uint64_t)1 << (i))
#define HOOK_BIT(i) ((uint64_t)1 << (32 + (i)))

bool attach_is_whole(const struct source *s, uint64_t attached)
{
	bool whole = true;

	/* What this kernel has, the last daemon may not have known. */
	for (size_t i = 0; i < STUBS; i++)
		whole &= (stubs[i].feature && !(attached & STUB_BIT(i))) ||
			 (is_pinned(s, "link", stubs[i].name) &&
			  is_pinned(s, "prog", stubs[i].name));
	for (size_t i = 0; i < HOOKS; i++) {
		_cleanup_close_ int link = pins_get(s->pins, "link", hooks[i].name);

		whole &= (hooks[i].feature && !(attached & HOOK_BIT(i))) ||
			 (link >= 0 && link_is_ours(s, link, &hooks[i]));
	}
	return whole;
}

uint64_t source_detached(const struct source *s)
{
	uint64_t detached = 0;

	for (size_t i = 0; i < HOOKS; i++)
		if (s->links[STUBS + i] >= 0 && !link_is_ours(s, s->links[STUBS + i], &hooks[i]))
			detached |= (uint64_t)1 << i;
	return detached;
}

const char *source_hook(size_t i)
{
	return i < HOOKS ? hooks[i].name : NULL;
}

/* The programs look names up in constants, which are there before they are. */
static int prepare_environment(struct source *s)
{
	struct affiant__rodata *to = s->skeleton->rodata;
	struct envtable table;
	int err = envtable_make(&table);

	if (err)
		return err;
	to->environment_multiplier = table.multiplier;
	to->environment_first = table.first;
	_Static_assert(sizeof(to->environment_slots) == sizeof(table.slots), "slots");
	_Static_assert(sizeof(to->environment_names) == sizeof(table.names), "names");
	_Static_assert(sizeof(to->environment_prefixes) == sizeof(table.prefixes), "prefixes");
	memcpy((void *)to->environment_slots, table.slots, sizeof(table.slots));
	memcpy((void *)to->environment_names, table.names, sizeof(table.names));
	memcpy((void *)to->environment_prefixes, table.prefixes, sizeof(table.prefixes));
	return 0;
}

int attach_prepare(struct source *s, char *why, size_t why_size)
{
	int err = prepare_environment(s);

	for (size_t i = 0; i < HOOKS; i++) {
		const struct hook *h = &hooks[i];

		if (h->feature && !listed(s->features, h->feature) &&
		    !listed(s->missing, h->feature))
			feature_note(s, h->feature, probe_hook(s->cgroup, h->type, h->flags));
		err = err
			      ?: bpf_program__set_autoload(program_of(s, h->program),
							   granted(s, h->feature));
		err = err
			      ?: bpf_program__set_expected_attach_type(program_of(s, h->program),
								       h->type);
	}
	s->skeleton->rodata->granted_retval = probe_retval();
	s->skeleton->rodata->granted_loop = probe_loop();
	feature_note(s, "denied", s->skeleton->rodata->granted_retval);
	s->skeleton->rodata->granted_listen = probe_function("inet_csk_listen_start");
	feature_note(s, "listen", s->skeleton->rodata->granted_listen);
	feature_note(s, "send", probe_tracepoint("sock_send_length"));
	for (size_t i = 0; i < STUBS && !err; i++)
		err = prepare_stub(s, &stubs[i]);
	return err ? why_say(why, why_size, err, "can't prepare the programs: %s", strerror(-err))
		   : 0;
}

/*
 * The pinned stub must jump through the map that we fill: somebody may have removed some pins by
 * hand.
 */
static bool stub_uses(int prog, const struct bpf_map *map)
{
	struct bpf_map_info map_info = {};
	struct bpf_prog_info info = {};
	uint32_t ids[8], len = sizeof(map_info);

	if (bpf_obj_get_info_by_fd(bpf_map__fd(map), &map_info, &len))
		return false;
	info.map_ids = (uintptr_t)ids;
	info.nr_map_ids = sizeof(ids) / sizeof(*ids);
	len = sizeof(info);
	if (bpf_obj_get_info_by_fd(prog, &info, &len))
		return false;
	for (uint32_t i = 0; i < info.nr_map_ids && i < sizeof(ids) / sizeof(*ids); i++)
		if (ids[i] == map_info.id)
			return true;
	return false;
}

static int attach_stub(struct source *s, const struct stub *stub)
{
	_cleanup_close_ int link = -1;
	int prog = bpf_program__fd(program_of(s, stub->stub)), err;

	err = pins_put(s->pins, "prog", stub->name, prog);
	if (err)
		return err;
	link = bpf_raw_tracepoint_open(NULL, prog);
	if (link < 0)
		return -errno;
	return pins_put(s->pins, "link", stub->name, link);
}

static int fill_stub(struct source *s, size_t i, char *why, size_t why_size)
{
	const struct stub *stub = &stubs[i];
	int target = bpf_program__fd(program_of(s, stub->target)), err;
	struct bpf_map *dispatch = map_of(s, stub->dispatch);
	uint32_t slot = 0;

	if (!granted(s, stub->feature)) {
		pins_remove(s->pins, "link", stub->name);
		pins_remove(s->pins, "prog", stub->name);
		return 0;
	}
	if (bpf_map_update_elem(bpf_map__fd(dispatch), &slot, &target, BPF_ANY))
		return why_errno(why, why_size, "can't set program on_%s", stub->name);
	if (bpf_program__autoload(program_of(s, stub->stub))) {
		err = attach_stub(s, stub);
		if (err)
			return why_say(why, why_size, err, "can't attach stub_%s: %s", stub->name,
				       strerror(-err));
	}
	s->stubs[i] = pins_get(s->pins, "prog", stub->name);
	if (s->stubs[i] < 0)
		return why_say(why, why_size, s->stubs[i], "prog_%s: %s", stub->name,
			       strerror(-s->stubs[i]));
	if (!stub_uses(s->stubs[i], dispatch))
		return why_say(
			why, why_size, -ESTALE,
			"the pins don't belong together (prog_%s uses other maps): run 'affiant uninstall-bpf', "
			"which ends the sessions that are tracked now",
			stub->name);
	return 0;
}

/* The link that is pinned gets the new program, in one step; or there is none yet. */
static int attach_hook(struct source *s, const struct hook *h)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = h->flags);
	int prog = bpf_program__fd(program_of(s, h->program));
	_cleanup_close_ int link = -1;

	link = pins_get(s->pins, "link", h->name);
	if (link >= 0 && link_is_ours(s, link, h))
		return bpf_link_update(link, prog, NULL) ? -errno : 0;
	if (link >= 0)
		pins_remove(s->pins, "link", h->name);
	link = bpf_link_create(prog, s->cgroup, h->type, &opts);
	if (link < 0)
		return -errno;
	return pins_put(s->pins, "link", h->name, link);
}

static bool keep_known(const char *kind, const char *name)
{
	if (!strcmp(kind, "map"))
		return true;
	for (size_t i = 0; i < STUBS; i++)
		if (!strcmp(name, stubs[i].name))
			return true;
	for (size_t i = 0; i < HOOKS; i++)
		if (!strcmp(kind, "link") && !strcmp(name, hooks[i].name))
			return true;
	return false;
}

/* Whoever empties the bpffs ends nothing while this daemon runs: the next one will see. */
static void hold_links(struct source *s)
{
	size_t n = 0;

	_Static_assert(STUBS + HOOKS <= LINKS_MAX, "room for each");
	for (size_t i = 0; i < STUBS; i++)
		s->links[n++] = pins_get(s->pins, "link", stubs[i].name);
	for (size_t i = 0; i < HOOKS; i++)
		s->links[n++] = pins_get(s->pins, "link", hooks[i].name);
}

int attach_programs(struct source *s, char *why, size_t why_size)
{
	uint64_t attached = 0;
	int err = 0;

	for (size_t i = 0; i < STUBS; i++) {
		err = fill_stub(s, i, why, why_size);
		if (err)
			return err;
		attached |= granted(s, stubs[i].feature) ? STUB_BIT(i) : 0;
	}
	for (size_t i = 0; i < HOOKS; i++) {
		attached |= granted(s, hooks[i].feature) ? HOOK_BIT(i) : 0;
		if (granted(s, hooks[i].feature))
			err = attach_hook(s, &hooks[i]);
		else
			err = pins_remove(s->pins, "link", hooks[i].name);
		if (err)
			return why_say(why, why_size, err, "can't attach %s: %s", hooks[i].name,
				       strerror(-err));
	}
	s->barrier = pins_get(s->pins, "link", hooks[0].name);
	if (s->barrier < 0)
		return why_say(why, why_size, s->barrier, "link_%s: %s", hooks[0].name,
			       strerror(-s->barrier));
	hold_links(s);
	s->control->attached = attached;
	/* What only a later version knows would go on with that version's programs. */
	err = pins_sweep(s->pins, keep_known);
	return err ? why_say(why, why_size, err, "can't remove other pins: %s", strerror(-err)) : 0;
}
