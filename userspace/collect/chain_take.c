/* SPDX-License-Identifier: Apache-2.0 */
/* Which steps are of an exec. */
#include "collect/chain_impl.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <utlist.h>

#include "base/cleanup.h"
#include "collect/decode.h"
#include "collect/elfnote.h"
#include "collect/opened.h"
#include "collect/shebang.h"

/*
 * Whether an event may be missing that belongs between @s and its executable. fanotify merges an
 * event with an equal one of that process which is still unread: both are then read in one batch,
 * and so is whatever was queued between them. A lost event leaves the same hole.
 */
static bool may_be_merged(const struct chain *c, const struct step *s)
{
	const struct process *p = s->process;

	if (c->loss_batch >= s->batch || p->dropped_batch == s->batch)
		return true;
	return s != p->steps && s->prev->batch == s->batch;
}

static bool read_shebang(int fd, struct shebang *ret)
{
	char head[SHEBANG_MAX];
	ssize_t n = pread(fd, head, sizeof(head), 0);

	return n > 0 && shebang_parse(head, n, ret);
}

static bool rewritten(const struct event_exec *exec)
{
	struct exec_strings x;

	exec_strings(exec, &x);
	return x.filename_len != x.interp_len || memcmp(x.filename, x.interp, x.interp_len) != 0;
}

/*
 * Whether @s, at which the exec seems to begin, is what execve was given. A filesystem that is not
 * marked tells of no opening: then what the process tried before, in vain, stands where the file
 * that was executed would.
 */
static bool is_begin(const struct chain *c, const struct event_exec *exec, const struct step *s)
{
	char filename[EVENT_PATH_MAX + 1];
	struct exec_strings x;

	exec_strings(exec, &x);
	if (x.filename_len >= sizeof(filename))
		return false;
	memcpy(filename, x.filename, x.filename_len);
	filename[x.filename_len] = '\0';
	return opened_is_named(&c->config, s->fd, exec, filename);
}

/*
 * The first step of the exec whose executable is @exe; NULL when what precedes it does not explain
 * the exec. A process that tried to execute other files before, in vain, left steps behind: what
 * counts is what the scripts say themselves, checked against the names that the kernel passed on.
 */
static struct step *first_step(const struct chain *c, const struct event_exec *exec,
			       struct step *exe)
{
	struct step *first = exe->process->steps, *s = exe;
	struct shebang script;
	unsigned int at = 0;
	int r = 1;

	if (!rewritten(exec))
		return exe;
	if (exe == first)
		return NULL;
	/* binfmt_misc has its own ways: the file before its interpreter is the one. */
	if (exe->prev == first && !read_shebang(first->fd, &script))
		return may_be_merged(c, first) || !is_begin(c, exec, first) ? NULL : first;
	while (r == 1 && s != first) {
		s = s->prev;
		r = read_shebang(s->fd, &script) ? shebang_follow(exec, &script, &at) : -ENOENT;
	}
	return r == 0 && is_begin(c, exec, s) ? s : NULL;
}

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* An overlay's file is not the one that is mapped: which it is shows when it is hashed. */
static bool may_be_loader(const struct step *exe, const struct step *s)
{
	_cleanup_free_ char *path = NULL;
	struct elfnote note;
	struct statfs fs;

	if (fstatfs(s->fd, &fs) < 0 || fs.f_type != OVERLAYFS_SUPER_MAGIC ||
	    elfnote_read(exe->fd, &note) < 0 || !note.loader[0])
		return false;
	path = opened_path(s->fd);
	return path && !strcmp(base_of(path), base_of(note.loader));
}

/*
 * The loader is opened after the executable that asks for it; but so is what a failed attempt asked
 * for, and of the true one nothing may have been told. The kernel says which one it mapped.
 */
static struct step *loader_step(const struct chain *c, const struct event_exec *exec,
				struct step *exe)
{
	if (!exec_has_loader(exec))
		return NULL;
	for (struct step *s = exe->next; s; s = s->next)
		if (opened_is_object(&c->config, s->fd, &exec->begin))
			return s;
	return exe->next && may_be_loader(exe, exe->next) ? exe->next : NULL;
}

static void hand_out(struct chain *c, struct step *s, enum chain_kind kind, struct chain_step *ret)
{
	ret->kind = kind;
	ret->path = opened_path(s->fd);
	ret->fd = TAKE_FD(s->fd);
	chain_step_free(c, s);
}

static int take(struct chain *c, struct step *first, struct step *exe, struct step *loader,
		struct chain_step ret[static CHAIN_STEPS_MAX])
{
	struct process *p = exe->process;
	enum chain_kind kind = CHAIN_SCRIPT;
	struct step *s, *next;
	int n = 0;

	while (p->steps != first)
		chain_step_free(c, p->steps);
	for (s = first; s && n < CHAIN_STEPS_MAX; s = next) {
		next = s == exe ? loader : s == loader ? NULL : s->next;
		if (s == exe)
			kind = n ? CHAIN_INTERPRETER : CHAIN_EXECUTABLE;
		else if (s == loader)
			kind = CHAIN_LOADER;
		hand_out(c, s, kind, &ret[n++]);
	}
	return n;
}

int chain_take(struct chain *c, const struct event_exec *exec,
	       struct chain_step ret[static CHAIN_STEPS_MAX])
{
	pid_t tgid = exec->header.actor.tgid;
	struct step *exe, *first;
	struct process *p;

	HASH_FIND_INT(c->processes, &tgid, p);
	if (!p)
		return 0;
	p->limbo = false;
	/* The first one that fits: later ones may be of execs whose turn comes later. */
	DL_FOREACH (p->steps, exe) {
		first = opened_is_object(&c->config, exe->fd, &exec->exe) ? first_step(c, exec, exe)
									  : NULL;
		if (first)
			return take(c, first, exe, loader_step(c, exec, exe), ret);
	}
	if (p->overrun)
		chain_count_loss(c);
	p->overrun = false;
	return 0;
}
