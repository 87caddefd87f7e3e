/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables against the interpreters that are installed: each option that one prints in its help,
 * that its table knows, and each letter, is given to it before three scripts, which say who was
 * run. What scriptarg_name() names is what was run, or it names none.
 *
 * AFFIANT_TEST_INTERPRETERS: directories like PATH's in which further ones are looked for.
 */
#include "collect/interpreters.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "collect/scriptarg.h"
#include "scratch.h"

#define ARGS_MAX 8
#define OPTIONS_MAX 2048
#define OPTION_SIZE 80

static char dir[] = "/tmp/affiant-interpreters-XXXXXX";

/* How one is asked, and what a script of its says: RAN|<the main script>|<this file>| (there @) */
struct real {
	const char *name, *extension;
	const char *help; /* options that print options, separated by spaces */
	const char *script;
	const char *before; /* what stands before the options (deno run) */
	/* Options that take one of a few values, and one of these: "-o errexit" */
	const char *const *values;
	/* Options that are not tried: they wait for a debugger, or never end. */
	const char *skipped;
	const char *code; /* a file's name that is code as well */
	bool slow;        /* it takes minutes in all: tools/test --long tries it */
};

static const char *const shell_values[] = {"-o errexit", "+o errexit",   "-O extglob",
					   "+O extglob", "--emulate sh", NULL};
static const char *const python_values[] = {"-W ignore", "-X dev", "--check-hash-based-pycs never",
					    "--jit off", NULL};
static const char *const perl_values[] = {"-Mstrict", "-mstrict", "-0777", "-l012",       "-CSD",
					  "-F,",      "-i.bak",   "-I .",  "-Mstrict -w", NULL};
static const char *const none[] = {NULL};

#define SHELL_SCRIPT "\necho \"RAN|$0|@|\"\n"
#define PYTHON_SCRIPT "\nimport sys; print('RAN|' + sys.argv[0] + '|@|')\n"
#define LUA_SCRIPT "\nprint('RAN|' .. arg[0] .. '|@|')\n"
#define NODE_SCRIPT "\nconsole.log('RAN|' + process.argv[1] + '|@|');\n"

static const struct real reals[] = {
	{"bash", "", "--help", SHELL_SCRIPT, NULL, shell_values, "", "true"},
	{"dash", "", "", SHELL_SCRIPT, NULL, shell_values, "", "true"},
	{"zsh", "", "--help", SHELL_SCRIPT, NULL, shell_values, "", "true"},
	{"ksh93", "", "--man", SHELL_SCRIPT, NULL, shell_values, "", "true"},
	{"mksh", "", "", SHELL_SCRIPT, NULL, shell_values, "", "true"},
	{"fish", "", "--help", "\necho \"RAN|\"(status filename)\"|@|\"\n", NULL, none, "", "true"},
	{"python3", "", "--help --help-all", PYTHON_SCRIPT, NULL, python_values, "", "1",
	 true},
	/* It refuses other values with success. */
	{"pypy3", "", "--help", PYTHON_SCRIPT, NULL, python_values, "--check-hash-based-pycs", "1"},
	{"perl", "", "-h", "\nprint \"RAN|$0|@|\\n\";\n", NULL, perl_values, "", "true"},
	{"ruby", "", "--help -h", "\nputs \"RAN|#{$0}|@|\"\n", NULL, none, "", "true"},
	{"php", "", "--help", "\n<?php echo \"RAN|\" . $argv[0] . \"|@|\\n\";\n", NULL, none, "",
	 "1;"},
	{"lua", "", "-h", LUA_SCRIPT, NULL, none, "", "x=1"},
	{"luajit", "", "-h", LUA_SCRIPT, NULL, none, "", "x=1"},
	{"tclsh", "", "", "\nputs \"RAN|$argv0|@|\"\n", NULL, none, "", "true"},
	{"node", ".js", "--help", NODE_SCRIPT, NULL, none,
	 "--inspect-brk --inspect-brk-node --inspect-wait --watch", "true", true},
	{"bun", ".js", "--help", NODE_SCRIPT, NULL, none, "--watch --hot", "true"},
	{"deno", ".js", "run --help=full", "\nconsole.log('RAN|' + Deno.mainModule + '|@|');\n",
	 "run", none, "--watch --inspect-brk --inspect-wait", "true"},
};

/* ---- running ---- */

struct outcome {
	char text[256 * 1024];
	bool ended; /* by itself */
	int status;
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void child(const char *path, char *const *argv, int out)
{
	int in = open("/dev/null", O_RDONLY);

	setsid();
	if (chdir(dir) < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		_exit(126);
	setenv("HOME", dir, 1);
	setenv("NO_COLOR", "1", 1);
	setenv("TERM", "dumb", 1);
	execv(path, argv);
	_exit(126);
}

static void run(const char *path, char *const *argv, struct outcome *ret)
{
	const int64_t deadline = now_ms() + 4000;
	size_t used = 0;
	int fd[2];
	pid_t pid;

	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0)
		child(path, argv, fd[1]);
	close(fd[1]);
	ret->ended = false;
	while (now_ms() < deadline) {
		struct pollfd p = {.fd = fd[0], .events = POLLIN};
		ssize_t n;

		if (poll(&p, 1, 100) <= 0)
			continue;
		/* What is beyond our buffer is of no interest. */
		if (used == sizeof(ret->text) - 1)
			used /= 2;
		n = read(fd[0], ret->text + used, sizeof(ret->text) - 1 - used);
		if (n <= 0) {
			ret->ended = true;
			break;
		}
		used += n;
	}
	ret->text[used] = '\0';
	if (!ret->ended)
		kill(-pid, SIGKILL);
	waitpid(pid, &ret->status, 0);
	close(fd[0]);
}

/* The script that says that it is the one which was run, or "". */
static void ran(const struct outcome *o, char ret[static NAME_MAX + 1])
{
	const char *at = o->text;

	ret[0] = '\0';
	while ((at = strstr(at, "RAN|"))) {
		size_t zero = strcspn(at += 4, "|\n"), file;
		const char *leaf;

		if (at[zero] != '|')
			continue;
		file = strcspn(at + zero + 1, "|\n");
		leaf = memrchr(at, '/', zero);
		leaf = leaf ? leaf + 1 : at;
		if (file == (size_t)(at + zero - leaf) && memcmp(leaf, at + zero + 1, file) == 0) {
			snprintf(ret, NAME_MAX + 1, "%.*s", (int)file, leaf);
			return;
		}
	}
}

static const char *named(const char *exe, char *const *argv)
{
	static struct {
		struct event_exec e;
		char data[EVENT_DATA_MAX];
	} event;
	char *at = event.e.data;

	memset(&event, 0, sizeof(event));
	event.e.header.type = EVENT_EXEC;
	at = stpcpy(at, exe) + 1;
	event.e.exe_len = at - event.e.data;
	for (size_t i = 0; argv[i]; i++)
		at = stpcpy(at, argv[i]) + 1;
	event.e.argv_len = at - event.e.data - event.e.exe_len;
	return scriptarg_name(&event.e);
}

/* ---- one interpreter ---- */

struct tried {
	const struct real *real;
	const char *path, *exe;
	unsigned int right, wrong;
	char *options[OPTIONS_MAX]; /* tried */
	size_t n;
};

static void make_script(const struct real *r, const char *name)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_fclose_ FILE *f = NULL;
	const char *at = strchr(r->script, '@');

	assert_true(asprintf(&path, "%s/%s", dir, name) > 0);
	f = fopen(path, "we");
	assert_non_null(f);
	fprintf(f, "%.*s%s%s", (int)(at - r->script), r->script, name, at + 1);
	assert_int_equal(fchmod(fileno(f), 0755), 0);
}

static void make_scripts(const struct real *r)
{
	static const char *const names[] = {"f1", "f2", "f3", "errexit", "1"};

	/* An option may have had one of them written to. */
	scratch_remove(dir);
	assert_int_equal(mkdir(dir, 0755), 0);

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		_cleanup_free_ char *name = NULL;

		assert_true(asprintf(&name, "%s%s", names[i], r->extension) > 0);
		make_script(r, name);
	}
	make_script(r, r->code);
}

/* @line: the arguments after `before`, separated by single spaces. */
static void try(struct tried *t, const char *line)
{
	static struct outcome o;
	char copy[1024], *argv[ARGS_MAX + 2], script[NAME_MAX + 1], *save;
	const char *name;
	size_t n = 0;

	snprintf(copy, sizeof(copy), "%s%s%s", t->real->before ?: "", t->real->before ? " " : "",
		 line);
	argv[n++] = (char *)t->exe;
	for (char *w = strtok_r(copy, " ", &save); w && n <= ARGS_MAX;
	     w = strtok_r(NULL, " ", &save))
		argv[n++] = w;
	argv[n] = NULL;
	name = named(t->exe, argv);
	if (!name) /* which is never wrong */
		return;
	make_scripts(t->real);
	run(t->path, argv, &o);
	ran(&o, script);
	if (strcmp(name, script) == 0) {
		t->right++;
	} else if (!o.ended) {
		print_message("%s %s: still running\n", t->exe, line);
	} else if (o.ended && (*script || o.status == 0)) { /* else it refused the arguments */
		t->wrong++;
		print_error("%s %s: says %s, runs %s\n", t->exe, line, name,
			    *script ? script : "none");
	}
}

static void __attribute__((format(printf, 2, 3))) try_line(struct tried *t, const char *format, ...)
{
	char line[512];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	try(t, line);
}

static bool is_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = list; (at = strstr(at, word)); at += len)
		if ((at == list || at[-1] == ' ') && (!at[len] || at[len] == ' '))
			return true;
	return false;
}

static bool is_tried(struct tried *t, const char *option)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->options[i], option) == 0)
			return true;
	assert_true(t->n < OPTIONS_MAX);
	t->options[t->n++] = strdup(option);
	return false;
}

static void try_option(struct tried *t, const char *option)
{
	const char *e = t->real->extension;

	if (is_word(t->real->skipped, option) || is_tried(t, option))
		return;
	/* An option that evaluates the next argument succeeds with this one, and runs no script. */
	try_line(t, "%s %s f1%s f2%s", option, t->real->code, e, e);
	try_line(t, "%s=1 f1%s f2%s", option, e, e);
	if (strncmp(option, "--", 2) == 0) {
		try_line(t, "--no-%s f1%s f2%s", option + 2, e, e);
		return;
	}
	try_line(t, "%s -- f1%s f2%s", option, e, e);
	try_line(t, "%s - f1%s f2%s", option, e, e);
}

/* All that looks like an option in what it prints. */
static void try_printed(struct tried *t, const char *text)
{
	for (const char *at = text; *at; at++) {
		char option[OPTION_SIZE];
		size_t n;

		if (*at != '-' || (at > text && !strchr(" ,|[(\n\t", at[-1])))
			continue;
		n = strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
		if (n < 2 || n >= sizeof(option))
			continue;
		snprintf(option, sizeof(option), "%.*s", (int)n, at);
		try_option(t, option);
	}
}

static void try_help(struct tried *t)
{
	static struct outcome o;
	char copy[128], *argv[ARGS_MAX], *save;

	snprintf(copy, sizeof(copy), "%s", t->real->help);
	argv[0] = (char *)t->exe;
	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		size_t n = 1;

		/* "run --help" is a command line, "--help --help-all" are two */
		if (w[0] != '-') {
			argv[n++] = w;
			w = strtok_r(NULL, " ", &save);
		}
		argv[n++] = w;
		argv[n] = NULL;
		run(t->path, argv, &o);
		try_printed(t, o.text);
	}
}

static void try_letters(struct tried *t)
{
	const char *e = t->real->extension;

	for (char c = '!'; c <= '~'; c++) {
		char option[] = {'-', c, '\0'};

		try_option(t, option);
		try_line(t, "-%c1 f1%s f2%s", c, e, e);
		try_line(t, "-%cf1%s f2%s f3%s", c, e, e, e);
		try_line(t, "+%c f1%s f2%s", c, e, e);
		/* The letter of the shells that takes an argument of its own. */
		try_line(t, "-%co errexit f1%s f2%s", c, e, e);
		try_line(t, "-o%c errexit f1%s f2%s", c, e, e);
		try_line(t, "-%c%c f1%s f2%s", c, c, e, e);
	}
}

static void try_words(struct tried *t, const struct interpreter *in)
{
	for (const char *w = in->words; *w; w += strspn(w, " ")) {
		char option[OPTION_SIZE];
		size_t n = strcspn(w, " :=?><!*");

		snprintf(option, sizeof(option), "-%s%.*s", in->letters ? "-" : "", (int)n, w);
		try_option(t, option);
		if (in->traits & WORDS_AFTER_ONE_DASH)
			try_option(t, option + 1);
		w += strcspn(w, " ");
	}
}

static void try_installed(struct tried *t)
{
	const struct interpreter *in = interpreter_find(t->exe);
	const char *e = t->real->extension;

	if (!in)
		fail_msg("%s (%s) is in no table", t->path, t->exe);
	try_line(t, "f1%s f2%s", e, e);
	assert_int_equal(t->right, 1);
	for (const char *const *v = t->real->values; *v; v++)
		try_line(t, "%s f1%s f2%s", *v, e, e);
	try_letters(t);
	try_words(t, in);
	try_help(t);
	print_message("%s: %u right\n", t->path, t->right);
	while (t->n)
		free(t->options[--t->n]);
	if (t->wrong)
		fail_msg("%s: %u wrong", t->path, t->wrong);
}

static void test_real(void **state)
{
	const char *more = getenv("AFFIANT_TEST_INTERPRETERS");
	char copy[4096], path[PATH_MAX], *save;
	const struct real *r = *state;
	unsigned int found = 0;

	if (r->slow && !getenv("AFFIANT_TEST_LONG")) {
		print_message("%s: long: tools/test --long runs it\n", r->name);
		skip();
	}
	snprintf(copy, sizeof(copy), "/usr/bin:%s", more ?: "");
	for (char *d = strtok_r(copy, ":", &save); d; d = strtok_r(NULL, ":", &save)) {
		_cleanup_free_ char *file = NULL, *real = NULL;
		struct tried t = {.real = r};

		assert_true(asprintf(&file, "%s/%s", d, r->name) > 0);
		real = realpath(file, path) ? strdup(path) : NULL;
		if (!real || access(real, X_OK) < 0)
			continue;
		t.path = real;
		t.exe = strrchr(real, '/') + 1;
		try_installed(&t);
		found++;
	}
	if (!found) {
		print_message("%s is not installed\n", r->name);
		skip();
	}
}

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	return scratch_remove(dir);
}

/* An argument: only interpreters of that name (with * and ?). */
int main(int argc, char **argv)
{
	enum { N = sizeof(reals) / sizeof(*reals) };
	struct CMUnitTest tests[N];

	for (size_t i = 0; i < N; i++)
		tests[i] = (struct CMUnitTest){.name = reals[i].name,
					       .test_func = test_real,
					       .initial_state = (void *)&reals[i]};
	cmocka_set_test_filter(argc > 1 ? argv[1] : NULL);
	return cmocka_run_group_tests_name("interpreters", tests, make_dir, remove_dir);
}
