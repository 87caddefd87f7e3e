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
#include "collect/credentials.h"
#include "collect/decode.h"
#include "collect/procroot.h"

/*
 * How options are skipped. Each letter or word is a flag, unless a mark follows:
 *	:  takes a value (attached, or the next argument)
 *	=  takes the rest of its argument, if any
 *	!  then there is no script
 *	>  its value is the script
 * Unknown letters end the search without a script; unknown long options are flags.
 */
struct interpreter {
	const char *name;    /* "python" stands for python3 and python3.11 as well */
	const char *letters; /* NULL: options are single words after one dash (java) */
	const char *words;
	const char *commands; /* words before the script */
	bool pathlike; /* a script has a dot or a slash in its name; other words are commands */
};

#define NODE_WORDS                                                                                 \
	"eval! print! require: import: loader: experimental-loader: conditions: env-file: "        \
	"icu-data-dir: input-type: openssl-config: redirect-warnings: title: "                     \
	"trace-event-categories: unhandled-rejections: watch-path: disable-warning: "              \
	"dns-result-order: tls-cipher-list: diagnostic-dir: max-http-header-size: "                \
	"heapsnapshot-signal: run! test! help! version! v8-options!"

static const struct interpreter interpreters[] = {
	{"python", "bBdEhiIOPqRsStuvVx?W:X:Q:c!m!", "check-hash-based-pycs: help! version!"},
	{"pypy", "bBdEhiIOqRsStuvVxW:X:c!m!", "jit: help! version! info!"},
	{"bash", "abefhiklmnprtuvxBCDEHPTO:o:c!s!",
	 "rcfile: init-file: help! version! dump-strings! dump-po-strings!"},
	{"dash", "aCefnuvxIiEVbo:c!s!", ""},
	{"sh", "aCefnuvxIiEVbhklmprtBHPTo:c!s!", "rcfile: init-file: help! version!"},
	{"zsh", "0123456789BCDEFGHIJKLMNOPQRSTUVWXYZabdefghijklmnpqrtuvwxyzo:c!s!",
	 "help! version!"},
	{"ksh", "abefhikmnprtuvxBCDEGHPo:c!s!", ""},
	{"node", "hvice!p!r:C:", NODE_WORDS, "inspect", false},
	{"nodejs", "hvice!p!r:C:", NODE_WORDS, "inspect", false},
	{"perl", "0=acC=dD=F=hi=I:l=M=m=npsStTuUvV=wWx=Xe!E!", "help! version!"},
	{"ruby", "0=aC:dE:F=hi=I:K=lnpr:sST=vwW=x=ye!",
	 "help! version! encoding: external-encoding:"},
	{"php", "aCehHilmnqsvwc:d:g:z:f>r!B!R!F>E!S!t:",
	 "define: file> run! help! version! server! docroot: ini!"},
	{"lua", "iEvWl:e:", ""},
	{"luajit", "iEve:l:j=O=b!", ""},
	{"java", NULL,
	 "jar> cp: classpath: -class-path: p: -module-path: -upgrade-module-path: -add-modules: "
	 "-add-exports: -add-opens: -add-reads: -limit-modules: -source: m! -module! version! -version! "
	 "help! -help!"},
	{"deno", "qAhVrc:L:",
	 "config: import-map: log-level: cert: lock: location: seed: help! version! eval!",
	 "run serve test bench", true},
	{"bun", "hvib:r:c:e!p!",
	 "preload: require: config: cwd: env-file: eval! print! help! version!", "run test", true},
	{"tclsh", "", ""},
	{"Rscript", "e!", "help! version!"},
	/* `ld.so ./program` runs a program that the kernel saw no exec of. */
	{"ld-linux", "",
	 "library-path: preload: audit: argv0: inhibit-rpath: glibc-hwcaps-prepend: "
	 "glibc-hwcaps-mask: help! version! list-tunables! list-diagnostics!"},
	{"ld-musl", "", "library-path: preload: argv0:"},
};

/* "python3.11" is python; "pythonista" is not. "ld-linux-x86-64.so.2" is ld-linux. */
static bool is_called(const char *file, const char *name)
{
	size_t n = strlen(name);

	return strncmp(file, name, n) == 0 &&
	       (strspn(file + n, "0123456789.-") == strlen(file + n) ||
		(strncmp(name, "ld-", 3) == 0 && file[n] == '-'));
}

static const struct interpreter *find(const char *file)
{
	for (size_t i = 0; i < sizeof(interpreters) / sizeof(*interpreters); i++)
		if (is_called(file, interpreters[i].name))
			return &interpreters[i];
	return NULL;
}

/* The mark of @word in a list; 0: a flag, or unknown. */
static char mark_of(const char *list, const char *word, size_t len)
{
	while (*list) {
		size_t n = strcspn(list, " ");
		size_t bare = strcspn(list, " :=!>");

		if (bare == len && memcmp(list, word, len) == 0)
			return bare < n ? list[bare] : 0;
		list += n + (list[n] == ' ');
	}
	return 0;
}

static bool lists(const char *list, const char *word)
{
	size_t len = strlen(word);

	while (list && *list) {
		size_t n = strcspn(list, " ");

		if (n == len && memcmp(list, word, len) == 0)
			return true;
		list += n + (list[n] == ' ');
	}
	return false;
}

struct arguments {
	const char *at, *end;
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

enum verdict { GO_ON, NONE, FOUND };

static enum verdict skip_word(const struct interpreter *in, const char *word,
			      struct arguments *rest, const char **ret)
{
	size_t len = strcspn(word, "=");
	const char *value = word[len] ? word + len + 1 : NULL;

	switch (mark_of(in->words, word, len)) {
	case '!':
		return NONE;
	case ':':
		return value || next_argument(rest) ? GO_ON : NONE;
	case '>':
		*ret = value ?: next_argument(rest);
		return *ret ? FOUND : NONE;
	default:
		return GO_ON;
	}
}

/* A cluster of letters: "-ux", "-Wignore". */
static enum verdict skip_letters(const struct interpreter *in, const char *cluster,
				 struct arguments *rest, const char **ret)
{
	for (const char *c = cluster; *c; c++) {
		const char *known = strchr(":=!>", *c) ? NULL : strchr(in->letters, *c);
		const char *value = c[1] ? c + 1 : NULL;

		if (!known)
			return NONE;
		switch (known[1]) {
		case '!':
			return NONE;
		case '=':
			return GO_ON;
		case ':':
			return value || next_argument(rest) ? GO_ON : NONE;
		case '>':
			*ret = value ?: next_argument(rest);
			return *ret ? FOUND : NONE;
		}
	}
	return GO_ON;
}

static const char *search(const struct interpreter *in, struct arguments *rest)
{
	const char *arg, *found = NULL;
	bool options = true, command = in->commands;
	enum verdict v;

	while ((arg = next_argument(rest))) {
		bool plus = in->letters && arg[0] == '+' && arg[1];

		if (!*arg || strcmp(arg, "-") == 0)
			return NULL;
		if (options && strcmp(arg, "--") == 0) {
			options = false;
			continue;
		}
		if (options && (arg[0] == '-' || plus)) {
			if (in->letters && arg[1] != '-')
				v = skip_letters(in, arg + 1, rest, &found);
			else
				v = skip_word(in, arg + (in->letters ? 2 : 1), rest, &found);
			if (v == GO_ON)
				continue;
			return v == FOUND ? found : NULL;
		}
		if (command && lists(in->commands, arg)) {
			command = false;
			continue;
		}
		if (in->pathlike && (!strpbrk(arg, "./") || strstr(arg, "://")))
			return NULL;
		/* java's first word is a class, unless it is source. */
		if (!in->letters &&
		    (strlen(arg) < 5 || strcmp(arg + strlen(arg) - 5, ".java") != 0))
			return NULL;
		return arg;
	}
	return NULL;
}

const char *scriptarg_name(const struct event_exec *exec)
{
	const struct interpreter *in;
	struct arguments rest;
	struct exec_strings x;
	const char *zero, *file;

	exec_strings(exec, &x);
	/* Components come leaf first. */
	if (!memchr(x.exe, '\0', x.exe_len))
		return NULL;
	file = x.exe;
	rest = (struct arguments){x.argv, x.argv + x.argv_len};
	zero = next_argument(&rest);
	if (!zero)
		return NULL;
	if (strcmp(file, "busybox") == 0) {
		file = strrchr(zero, '/') ? strrchr(zero, '/') + 1 : zero;
		file = strcmp(file, "busybox") == 0 ? next_argument(&rest) : file;
		if (!file || (strcmp(file, "sh") != 0 && strcmp(file, "ash") != 0))
			return NULL;
		file = "sh";
	}
	in = find(file);
	return in ? search(in, &rest) : NULL;
}

/* ---- opening ---- */

struct scriptarg {
	int proc; /* /proc/PID */
	uint64_t start_boottime;
	char cwd[PATH_TEXT_SIZE];
	char name[];
};

int scriptarg_new(const struct event_exec *exec, const char *name, struct scriptarg **ret)
{
	struct exec_strings x;
	struct scriptarg *s;
	char path[32];

	s = malloc(sizeof(*s) + strlen(name) + 1);
	if (!s)
		return -ENOMEM;
	strcpy(s->name, name);
	exec_strings(exec, &x);
	path_from_components(x.cwd, x.cwd_len, exec->flags & EXEC_PATH_CUT, s->cwd);
	s->start_boottime = exec->header.actor.start_boottime;
	snprintf(path, sizeof(path), "/proc/%u", exec->header.actor.tgid);
	s->proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->proc < 0) {
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
	_cleanup_close_ int fd = openat(s->proc, "stat", O_RDONLY | O_CLOEXEC);
	const uint64_t tick_ns = 1000000000u / sysconf(_SC_CLK_TCK);
	unsigned long long start;
	char text[1024], *p;
	ssize_t n;

	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
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

static int open_readable(int root, const char *cwd, const char *name)
{
	_cleanup_close_ int fd = procroot_resolve(root, cwd, name, false);
	char path[32];
	struct stat st;
	int file;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
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
	root = openat(s->proc, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || !is_same_process(s))
		return -ESRCH;
	if (s->cwd[0] != '/' && s->name[0] != '/') /* the event had no room for all of it */
		return -ENAMETOOLONG;
	r = credentials_read(s->proc, &c) ?: credentials_assume(&c, &saved);
	if (r < 0)
		return r;
	r = open_readable(root, s->cwd, s->name);
	credentials_restore(&saved);
	return r;
}
