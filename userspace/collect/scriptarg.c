/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/scriptarg.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/effort.h"
#include "base/limit.h"
#include "collect/answers.h"
#include "collect/credentials.h"
#include "collect/decode.h"
#include "collect/interpreters.h"
#include "collect/procroot.h"

/* A word of node, with its underscores as dashes. */
#define WORD_MAX 64

struct arguments {
	const char *at, *end;
	bool cut; /* there were more */
};

/* NULL when there is no further one, or it was cut. */
static const char *next_argument(struct arguments *a)
{
	const char *s = a->at, *nul = memchr(s, '\0', a->end - s);

	if (!nul)
		return NULL;
	a->at = nul + 1;
	return s;
}

/*
 * An option's value in an argument of its own. One that looks like an option is a mistake that the
 * interpreter may see otherwise than we do.
 */
static const char *next_value(struct arguments *a)
{
	const char *value = next_argument(a);

	return value && *value && *value != '-' ? value : NULL;
}

struct search {
	const struct interpreter *in;
	struct arguments rest;
	const char *noted; /* the script, if nothing that follows speaks against it */
	bool in_options, letters_seen;
};

enum verdict { GO_ON, NONE, FOUND };

/* What both kinds of option have in common. @value: what is attached, NULL if nothing is. */
static enum verdict follow(struct search *s, char mark, const char *value, const char **ret)
{
	switch (mark) {
	case '=':
	case '*':
		return GO_ON;
	case '?':
		return value ? GO_ON : NONE;
	case ':':
		return value || next_value(&s->rest) ? GO_ON : NONE;
	case '<':
		s->noted = value ?: next_value(&s->rest);
		return s->noted ? GO_ON : NONE;
	case '>':
		*ret = value ?: next_value(&s->rest);
		return *ret ? FOUND : NONE;
	default:
		return NONE;
	}
}

/* Finds node's words however they are spelt; a negation is there for flags alone. */
static bool find_word(const struct interpreter *in, const char *word, size_t len, char *ret)
{
	char copy[WORD_MAX];

	if (interpreter_lists(in->words, word, len, ret))
		return true;
	if (!(in->traits & LIKE_NODE) || len >= sizeof(copy))
		return false;
	for (size_t i = 0; i < len; i++)
		copy[i] = word[i] == '_' ? '-' : word[i];
	if (interpreter_lists(in->words, copy, len, ret))
		return true;
	if (len < 3 || memcmp(copy, "no-", 3) != 0 ||
	    !interpreter_lists(in->words, copy + 3, len - 3, ret))
		return false;
	/* V8's are marked = whether they take a value or not. */
	return *ret == INTERPRETER_FLAG || *ret == '=';
}

static enum verdict skip_word(struct search *s, const char *word, const char **ret)
{
	size_t len = strcspn(word, "=");
	const char *value = word[len] ? word + len + 1 : NULL;
	char mark;

	if (!find_word(s->in, word, len, &mark))
		return NONE;
	if (value && (mark == INTERPRETER_FLAG || s->in->traits & NO_EQUALS))
		return NONE;
	return mark == INTERPRETER_FLAG ? GO_ON : follow(s, mark, value, ret);
}

/* The mark of a letter; '!' for one that is not known. */
static char mark_of(const char *letters, char letter)
{
	while (*letters) {
		char known = *letters++, mark = INTERPRETER_FLAG;

		if (*letters && strchr(":=?><!+&,#", *letters))
			mark = *letters++;
		if (known == letter)
			return mark;
	}
	return '!';
}

/* Whether white space parts it: perl reads what follows as further options. */
static bool is_parted(const char *value)
{
	return value && strpbrk(value, " \t\n\v\f\r");
}

/* "-ux", "-Wignore", "-oe pipefail": all letters of one argument. */
static enum verdict skip_letters(struct search *s, const char *c, const char **ret)
{
	s->letters_seen = true;
	while (*c) {
		char mark = mark_of(s->in->letters, *c++);
		const char *value = *c ? c : NULL;

		if (value && (s->in->traits & LIKE_NODE ||
			      (s->in->traits & LETTERS_ALONE && mark == INTERPRETER_FLAG)))
			return NONE;
		switch (mark) {
		case INTERPRETER_FLAG:
			break;
		case '#':
			if (*c == ':')
				return is_parted(value) ? NONE : GO_ON;
			c += strspn(c, "01234567");
			break;
		case ',':
			if (value)
				return NONE;
			/* fallthrough */
		case '&':
			if (!next_value(&s->rest))
				return NONE;
			break;
		case '+':
			return value ? GO_ON : NONE;
		case '?':
			/* deno -R=/etc, but is it -R -W in -RW, or a value? */
			return !value || *value == '=' ? GO_ON : NONE;
		case '=':
			return is_parted(value) ? NONE : GO_ON;
		case '<':
		case '>':
			/* php drops the "=" of -f=FILE. */
			if (*c == '=')
				return NONE;
			/* fallthrough */
		default:
			return follow(s, mark, value, ret);
		}
	}
	return GO_ON;
}

/* An argument that begins with a dash or a plus. */
static enum verdict skip_option(struct search *s, const char *arg, const char **ret)
{
	const struct interpreter *in = s->in;
	const char *word = arg + 1;
	char mark;

	if (!in->letters)
		return skip_word(s, word, ret);
	if (arg[0] == '+' || *word != '-') {
		if (in->traits & WORDS_AFTER_ONE_DASH && arg[0] == '-' && !s->letters_seen &&
		    interpreter_lists(in->words, word, strlen(word), &mark))
			return skip_word(s, word, ret);
		return skip_letters(s, word, ret);
	}
	if (in->traits & WORDS_FIRST && s->letters_seen)
		return NONE;
	return skip_word(s, word + 1, ret);
}

static bool has_suffix(const char *s, const char *suffix)
{
	size_t len = strlen(s), n = strlen(suffix);

	return len > n && strcmp(s + len - n, suffix) == 0;
}

/* "https:", "npm:", "jsr:", "file:": what deno and bun look up otherwise. */
static bool has_scheme(const char *s)
{
	size_t n = strcspn(s, ":/");

	return s[n] == ':' && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					"0123456789+-.") == n;
}

/* A file in a directory of that name is run, if any: we don't know which. */
static bool is_directory(const char *name)
{
	const char *slash = strrchr(name, '/'), *leaf = slash ? slash + 1 : name;

	return !*leaf || strcmp(leaf, ".") == 0 || strcmp(leaf, "..") == 0;
}

static const char *operand(const struct interpreter *in, const char *arg)
{
	switch (in->operand) {
	case OPERAND_ANY:
		return arg;
	case OPERAND_PATHLIKE:
		return strpbrk(arg, "./") && !has_scheme(arg) ? arg : NULL;
	case OPERAND_WITH_SLASH:
		return strchr(arg, '/') ? arg : NULL;
	case OPERAND_JAVA:
		return arg[0] != '@' && has_suffix(arg, ".java") ? arg : NULL;
	case OPERAND_NONE:
		break;
	}
	return NULL;
}

static const char *search(const struct interpreter *in, struct arguments rest)
{
	struct search s = {.in = in, .rest = rest, .in_options = true};
	const char *commands = in->commands, *arg, *found = NULL;
	enum verdict v;
	char mark;

	while ((arg = next_argument(&s.rest))) {
		bool alone = strcmp(arg, "-") == 0;

		if (!*arg || (alone && !(s.in_options && in->traits & DASH_ENDS_OPTIONS)))
			return NULL;
		if (s.in_options && (alone || strcmp(arg, "--") == 0)) {
			if (in->traits & DASHES_END_SEARCH)
				return s.noted;
			s.in_options = false;
			continue;
		}
		if (s.in_options && (*arg == '-' || (*arg == '+' && in->traits & TAKES_PLUS))) {
			v = skip_option(&s, arg, &found);
			if (v == GO_ON)
				continue;
			return v == FOUND ? found : NULL;
		}
		if (s.noted)
			return s.noted;
		if (interpreter_lists(commands, arg, strlen(arg), &mark)) {
			if (mark == '!')
				return NULL;
			commands = NULL;
			continue;
		}
		return operand(in, arg);
	}
	return s.rest.at == s.rest.end && !s.rest.cut ? s.noted : NULL;
}

const char *scriptarg_name(const struct event_exec *exec)
{
	const struct interpreter *in;
	struct arguments rest;
	struct exec_strings x;
	const char *zero, *file, *found;

	/*
	 * What it is called says what it is, unless it was mounted there: any user can mount node
	 * over a file called dash in a namespace of his own, and the two read options differently.
	 */
	if (exec->flags & EXEC_MOUNTED)
		return NULL;
	exec_strings(exec, &x);
	/* Components come leaf first. */
	if (!memchr(x.exe, '\0', x.exe_len))
		return NULL;
	file = x.exe;
	rest = (struct arguments){x.argv, x.argv + x.argv_len, exec->flags & EXEC_ARGV_CUT};
	zero = next_argument(&rest);
	if (!zero)
		return NULL;
	if (strcmp(file, "busybox") == 0) {
		file = strrchr(zero, '/') ? strrchr(zero, '/') + 1 : zero;
		file = strcmp(file, "busybox") == 0 ? next_argument(&rest) : file;
		if (!file || (strcmp(file, "sh") != 0 && strcmp(file, "ash") != 0))
			return NULL;
		file = "ash";
	}
	in = interpreter_find(file);
	found = in ? search(in, rest) : NULL;
	return found && !is_directory(found) ? found : NULL;
}

/* ---- opening ---- */

struct scriptarg {
	int proc; /* /proc/PID */
	const struct answering *answering;
	uint64_t start_boottime;
	char cwd[PATH_TEXT_SIZE];
	char name[];
};

int scriptarg_new(const struct event_exec *exec, const char *name, const struct answering *a,
		  struct scriptarg **ret)
{
	struct exec_strings x;
	struct scriptarg *s;
	char path[32];

	s = malloc(sizeof(*s) + strlen(name) + 1);
	if (!s)
		return -ENOMEM;
	s->answering = a;
	strcpy(s->name, name);
	exec_strings(exec, &x);
	path_from_components(x.cwd, x.cwd_len, exec->flags & EXEC_PATH_CUT, s->cwd);
	s->start_boottime = exec->header.actor.start_boottime;
	snprintf(path, sizeof(path), "/proc/%u", exec->header.actor.tgid);
	s->proc = effort_open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->proc < 0) {
		(void)limit_of(-errno);
		free(s);
		return -ESRCH;
	}
	*ret = s;
	return 0;
}

void scriptarg_free(struct scriptarg *s)
{
	if (!s)
		return;
	closep(&s->proc);
	free(s);
}

/*
 * The pid may have been given anew between the event and scriptarg_new(); stat(5) tells ticks since
 * boot.
 */
static bool is_same_process(const struct scriptarg *s)
{
	_cleanup_close_ int fd = effort_openat(s->proc, "stat", O_RDONLY | O_CLOEXEC);
	const uint64_t tick_ns = 1000000000u / sysconf(_SC_CLK_TCK);
	unsigned long long start;
	char text[1024], *p;
	ssize_t n;

	n = fd < 0 ? -1 : effort_read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return false;
	text[n] = '\0';
	p = strrchr(text, ')'); /* the name before it may hold anything */
	if (!p ||
	    sscanf(p + 1,
		   " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
		   &start) != 1)
		return false;
	return start == s->start_boottime / tick_ns;
}

static int open_readable(const struct answering *a, int root, const char *cwd, const char *name)
{
	_cleanup_close_ int fd = procroot_resolve(root, cwd, name, true);
	struct object_facts facts;
	char path[32];
	int file, err;

	if (fd == -EAGAIN || fd == -EINVAL) /* RESOLVE_CACHED: Linux 5.12 */
		fd = procroot_walk(root, cwd, name, a);
	if (fd < 0)
		return fd;
	err = answers_look(a, fd, &facts);
	if (err)
		return err;
	if (!S_ISREG(facts.guard.mode))
		return -EINVAL;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	file = effort_open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	return file < 0 ? -errno : file;
}

int scriptarg_open(void *scriptarg)
{
	const struct scriptarg *s = scriptarg;
	struct credentials_saved saved;
	_cleanup_close_ int root = -1;
	struct credentials c;
	int r;

	/* The root while we have our own rights: it takes ptrace access. */
	root = effort_openat(s->proc, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || !is_same_process(s))
		return -ESRCH;
	if (s->cwd[0] != '/' && s->name[0] != '/') /* the event had no room for all of it */
		return -ENAMETOOLONG;
	r = credentials_read(s->proc, &c) ?: credentials_assume(&c, &saved);
	if (r < 0)
		return r;
	r = open_readable(s->answering, root, s->cwd, s->name);
	credentials_restore(&saved);
	return r;
}
