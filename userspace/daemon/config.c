/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/trusted.h"
#include "daemon/interpret.h"
#include "daemon/schema.h"
#include "yaml/document.h"

#define FILES_MAX 1024 /* in conf.d */

DEFINE_CLEANUP(struct document *, document_free)
DEFINE_CLEANUP(struct config *, config_free)
DEFINE_CLEANUP(struct sha256_context *, sha256_free)

static void role_free(struct config_role *r)
{
	free(r->users);
	free(r->groups);
}

static void list_free(char **list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(list[i]);
	free(list);
}

void config_free(struct config *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->agents_count; i++)
		interpret_agent_free(&c->agents[i]);
	free(c->agents);
	role_free(&c->launchers);
	role_free(&c->readers);
	list_free(c->launcher_programs, c->launcher_programs_count);
	free(c->trusted_owners);
	list_free(c->redact.flags, c->redact.flags_count);
	list_free(c->redact.patterns, c->redact.patterns_count);
	free(c->tpm.tcti);
	free(c->trust_domain);
	free(c->state_dir);
	free(c->runtime_dir);
	free(c->pin_dir);
	free(c->socket);
	free(c);
}

__attribute__((format(printf, 4, 5))) static int complain(int err, char **ret_why, const char *name,
							  const char *format, ...)
{
	_cleanup_free_ char *what = NULL;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vasprintf(&what, format, ap);
	va_end(ap);
	if (n < 0)
		what = NULL;
	if (n < 0 || asprintf(ret_why, "%s: %s", name, what) < 0) {
		*ret_why = NULL;
		return -ENOMEM;
	}
	return err;
}

/*
 * Who may write the configuration, or put another into its place, decides who launches agents and
 * what is kept secret. A descriptor, or *@ret_why.
 */
static int open_trusted(int dir, const char *file, const char *name, int flags, char **ret_why)
{
	char why[TRUSTED_WHY_SIZE];
	int fd = trusted_open(dir, file, flags, why, sizeof(why));

	if (fd == -EPERM && *why) {
		*ret_why = strdup(why);
		return *ret_why ? fd : -ENOMEM;
	}
	return fd < 0 ? complain(fd, ret_why, name, "%s", strerror(-fd)) : fd;
}

static int read_file(int dir, const char *file, const char *name, char **ret, size_t *ret_len,
		     char **ret_why)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int fd = -1;
	struct stat st;
	ssize_t len;

	fd = open_trusted(dir, file, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, ret_why);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return complain(-errno, ret_why, name, "%m");
	if (!S_ISREG(st.st_mode))
		return complain(-EINVAL, ret_why, name, "is not a file");

	/* One byte more than may be there, so that too much shows. */
	text = malloc(DOCUMENT_SIZE_MAX + 1);
	if (!text)
		return -ENOMEM;
	len = file_read(fd, text, DOCUMENT_SIZE_MAX + 1);
	if (len < 0)
		return complain(len, ret_why, name, "%s", strerror(-len));
	*ret = TAKE_PTR(text);
	*ret_len = len;
	return 0;
}

/* conf.d/<name>.yaml, in the order of strcmp(), whatever the locale. */
static int wanted(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && len > 5 && !strcmp(entry->d_name + len - 5, ".yaml");
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int load_agents(int dir, const char *dir_name, const char *file, struct config *c,
		       struct sha256_context *sum, char **ret_why)
{
	_cleanup_(document_freep) struct document *document = NULL;
	_cleanup_free_ char *name = NULL, *text = NULL;
	size_t len;
	int err;

	if (asprintf(&name, "%s/%s", dir_name, file) < 0) {
		name = NULL;
		return -ENOMEM;
	}
	err = read_file(dir, file, name, &text, &len, ret_why);
	if (err)
		return err;
	return sha256_update(sum, text, len) ?:
	       document_new(name, text, len, &schema_agents, &document, ret_why) ?:
	       interpret_agents(document, c, ret_why);
}

static int load_directory(const char *config_path, struct config *c, struct sha256_context *sum,
			  char **ret_why)
{
	const char *slash = strrchr(config_path, '/');
	_cleanup_free_ char *name = NULL;
	_cleanup_close_ int fd = -1;
	struct dirent **entries;
	int err = 0, count;

	if (asprintf(&name, "%.*sconf.d", slash ? (int)(slash + 1 - config_path) : 0, config_path) <
	    0) {
		name = NULL;
		return -ENOMEM;
	}
	fd = open_trusted(AT_FDCWD, name, name, O_RDONLY | O_DIRECTORY, ret_why);
	if (fd == -ENOENT) {
		free(*ret_why);
		*ret_why = NULL;
		return 0;
	}
	if (fd < 0)
		return fd;

	count = scandirat(fd, ".", &entries, wanted, by_name);
	if (count < 0)
		return complain(-errno, ret_why, name, "%m");
	if (count > FILES_MAX)
		err = complain(-E2BIG, ret_why, name, "holds more than %d files", FILES_MAX);
	for (int i = 0; i < count; i++) {
		if (!err)
			err = load_agents(fd, name, entries[i]->d_name, c, sum, ret_why);
		free(entries[i]);
	}
	free(entries);
	return err;
}

static int load_files(const char *given, struct config *c, char **ret_why)
{
	_cleanup_(sha256_freep) struct sha256_context *sum = NULL;
	_cleanup_(document_freep) struct document *document = NULL;
	_cleanup_free_ char *text = NULL;
	const char *path = given ?: CONFIG_PATH;
	size_t len = 0;
	int err;

	err = sha256_new(&sum);
	if (err)
		return err;
	err = read_file(AT_FDCWD, path, path, &text, &len, ret_why);
	if (err == -ENOENT && !given) {
		free(*ret_why);
		*ret_why = NULL;
		err = 0;
	}
	if (err)
		return err;
	return sha256_update(sum, text ?: "", len) ?:
	       document_new(path, text ?: "", len, &schema_config, &document, ret_why) ?:
	       interpret_config(document, c, ret_why) ?:
	       interpret_agents(document, c, ret_why) ?:
	       load_directory(path, c, sum, ret_why) ?:
	       sha256_final(sum, &c->digest);
}

static int override(char **to, const char *value, const char *option, size_t max, char **ret_why)
{
	char *copy;

	if (!value)
		return 0;
	if (*value != '/')
		return complain(-EINVAL, ret_why, option, "'%s' is not an absolute path", value);
	if (strlen(value) > max)
		return complain(-ENAMETOOLONG, ret_why, option, "is longer than %zu bytes", max);
	copy = strdup(value);
	if (!copy)
		return -ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}

static int apply_paths(struct config *c, const struct config_paths *p, char **ret_why)
{
	const size_t socket_max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
	const size_t path_max = 1024;
	int err = 0;

	if (p)
		err = override(&c->state_dir, p->state_dir, "--state-dir", path_max, ret_why) ?:
		      override(&c->runtime_dir, p->runtime_dir, "--runtime-dir", path_max, ret_why) ?:
		      override(&c->pin_dir, p->pin_dir, "--pin-dir", path_max, ret_why) ?:
		      override(&c->socket, p->socket, "--socket", socket_max, ret_why);
	if (err)
		return err;
	/* A runtime directory from the command line is meant to hold the socket, whatever the file
	 * says. */
	if (p && p->runtime_dir && !p->socket) {
		free(c->socket);
		c->socket = NULL;
	}
	if (!c->socket && asprintf(&c->socket, "%s/affiant.sock", c->runtime_dir) < 0) {
		c->socket = NULL;
		return -ENOMEM;
	}
	if (strlen(c->socket) > socket_max)
		return complain(-ENAMETOOLONG, ret_why, c->socket,
				"is longer than the %zu bytes a socket's path can have",
				socket_max);
	return 0;
}

int config_load(const char *path, const struct config_paths *paths, struct config **ret,
		char **ret_why)
{
	_cleanup_(config_freep) struct config *c = NULL;
	int err;

	*ret_why = NULL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	err = interpret_defaults(c) ?:
	      load_files(path, c, ret_why) ?:
	      apply_paths(c, paths, ret_why);
	if (err)
		return err;
	c->any_agent = !c->agents_count;
	*ret = TAKE_PTR(c);
	return 0;
}

int config_check(const char *path, FILE *out)
{
	_cleanup_(config_freep) struct config *c = NULL;
	_cleanup_free_ char *why = NULL;
	char digest[SHA256_HEX_SIZE];
	int err;

	err = config_load(path, NULL, &c, &why);
	if (err) {
		fprintf(out, "affiantd: %s\n", why ?: strerror(-err));
		return err;
	}
	hex_encode(c->digest.bytes, SHA256_SIZE, digest);
	fprintf(out,
		"affiantd: %s: good: trust domain %s, agents: %zu, selectors: %zu, SHA-256 %s\n",
		path ?: CONFIG_PATH, c->trust_domain, c->agents_count, c->selectors_count, digest);
	return 0;
}

const struct config_agent *config_agent(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->agents_count; i++)
		if (!strcmp(c->agents[i].name, name))
			return &c->agents[i];
	return NULL;
}

const struct config_selector *config_selector(const struct config *c, uint32_t id,
					      const struct config_agent **ret_agent)
{
	for (size_t i = 0; i < c->agents_count; i++) {
		const struct config_agent *a = &c->agents[i];

		for (size_t k = 0; k < a->selectors_count; k++) {
			if (a->selectors[k].id != id)
				continue;
			if (ret_agent)
				*ret_agent = a;
			return &a->selectors[k];
		}
	}
	return NULL;
}

bool config_name_valid(const char *name)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
	size_t len = strlen(name);

	return len > 0 && len <= CONFIG_NAME_MAX && !name[strspn(name, plain)] &&
	       strcmp(name, ".") && strcmp(name, "..") && strcmp(name, CONFIG_NAME_UNKNOWN);
}
