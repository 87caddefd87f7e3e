/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/power.h"

#include <linux/capability.h>
#include <sys/stat.h>

#define BIT(capability) (UINT64_C(1) << (capability))

/*
 * What lets nobody write to another's file or memory, nor to a device. All else is taken to be
 * root's power, capabilities that are still to come too.
 */
#define HARMLESS                                                                                   \
	(BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_NET_RAW) | BIT(CAP_NET_ADMIN) |                       \
	 BIT(CAP_NET_BROADCAST) | BIT(CAP_KILL) | BIT(CAP_SYS_NICE) | BIT(CAP_SYS_RESOURCE) |      \
	 BIT(CAP_IPC_LOCK) | BIT(CAP_AUDIT_WRITE))

/* Whose files are taken for root's can change them as root can. */
static bool is_trusted(const struct attribute *a, uint32_t uid)
{
	return a->config.trusted && a->config.trusted(a->config.data, uid);
}

static bool has_power(const struct attribute *a, const struct event_exec *e)
{
	uint64_t capabilities = e->cap_permitted | e->cap_effective;

	return e->flags & (EXEC_ROOT | EXEC_DISK_GROUP) ||
	       (e->flags & EXEC_INIT_USERNS && capabilities & ~HARMLESS) ||
	       is_trusted(a, e->uid) || is_trusted(a, e->euid);
}

/*
 * A setuid program has what it gained for itself: it counts if it executes something with it. That
 * it is what root made of it has to be sure, else the agent could have written it.
 */
static bool gained_by_file(const struct attribute *a, const struct event_exec *e,
			   const struct image *before)
{
	const struct object_facts file = {e->exe, e->guard};

	return e->header.type == EVENT_EXEC && e->flags & EXEC_SETUID && before && before->known &&
	       !before->power && a->config.guarded && a->config.guarded(a->config.data, &file);
}

/*
 * Who sets the session up, executed by root from outside: systemd-executor, runc. Another's, with
 * some capability or group, does what its arguments say.
 */
static bool is_launcher(const struct attribute *a, const struct event_exec *e,
			const struct session *s)
{
	const struct object_facts file = {e->exe, e->guard};

	return e->header.type == EVENT_EXEC && !(s->power & POWER_BEGUN) &&
	       (e->flags & (EXEC_ROOT | EXEC_SETUID)) == EXEC_ROOT && e->uid == 0 &&
	       a->config.launcher && a->config.launcher(a->config.data, &file);
}

static bool is_late(const struct session *s)
{
	return s->head && s->head->session_started && s->head->session_started->late;
}

void power_executed(struct attribute *a, const struct event_exec *e, const struct image *before,
		    struct image *image, struct session *s)
{
	image->power = has_power(a, e);
	if (image->power && is_launcher(a, e, s))
		return;
	s->power |= POWER_BEGUN;
	if (image->power && !gained_by_file(a, e, before))
		s->power |= POWER_ROOT;
	/* It ran before, and what it was then nobody saw. */
	if (e->header.type == EVENT_ADOPT && is_late(s))
		s->power |= POWER_UNKNOWN;
}

void power_missed(struct session *s)
{
	s->power |= POWER_UNKNOWN;
}

void power_ended(struct attribute *a, struct session *s, uint64_t boottime_ns)
{
	if (power_had(a, s))
		power_missed(s);
	if (a->config.over)
		a->config.over(a->config.data, s->key, boottime_ns);
}

bool power_had(const struct attribute *a, const struct session *s)
{
	return s->power & (POWER_ROOT | POWER_UNKNOWN) ||
	       (a->config.unseen && a->config.unseen(a->config.data, s->key));
}
