/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/aside_impl.h"

static struct running count_running(const struct pool *p, uint64_t key, uint32_t user)
{
	struct running n = {0};

	for (size_t i = 0; i < p->running_count; i++) {
		const struct job *j = p->running[i];
		bool of_key = key && j->work.key == key;
		bool of_user = user != ASIDE_NOBODY && j->user == user;

		if (j->work.wait_ns == ASIDE_ENDS)
			continue;
		n.all++;
		n.of_key += of_key;
		n.of_user += of_user;
		n.stuck += j->stuck;
		n.stuck_of_key += j->stuck && of_key;
		n.stuck_of_user += j->stuck && of_user;
	}
	return n;
}

struct running aside_count(const struct pool *p)
{
	return count_running(p, 0, ASIDE_NOBODY);
}

bool aside_is_room(const struct pool *p, const struct job *j)
{
	struct running n;

	if (j->work.wait_ns == ASIDE_ENDS)
		return true;
	n = count_running(p, j->work.key, j->user);
	return n.all < p->threads - ASIDE_RESERVED && n.of_key < ASIDE_KEY_MAX &&
	       n.of_user < ASIDE_USER_MAX;
}

uint32_t aside_user(const struct pool *p, const struct aside_work *w)
{
	return w->key && p->user_of ? p->user_of(p->users, w->key) : ASIDE_NOBODY;
}

bool aside_is_blocked(const struct pool *p, const struct aside_work *w)
{
	struct running n;

	if (w->wait_ns == ASIDE_ENDS)
		return false;
	n = count_running(p, w->key, aside_user(p, w));
	return n.stuck >= p->threads - ASIDE_RESERVED || n.stuck_of_key >= ASIDE_KEY_MAX ||
	       n.stuck_of_user >= ASIDE_USER_MAX;
}

/*
 * The loop waits for it: not behind what is under way for its key, which may take its time. Some of
 * the threads that are kept free are for such, and what is stuck was counted before.
 */
bool aside_may_run_awaited(const struct pool *p)
{
	return aside_count(p).all < p->threads - ASIDE_RESERVED / 2;
}
