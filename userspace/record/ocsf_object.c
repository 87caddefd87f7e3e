/* SPDX-License-Identifier: Apache-2.0 */
#include "record/ocsf_object.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "base/uuid.h"
#include "record/hashes.h"
#include "record/socketname.h"
#include "record/words.h"

#define NS_PER_MS UINT64_C(1000000)

static void format_boot_id(const Affiant__V1__Record *r, char ret[static UUID_TEXT_SIZE])
{
	struct uuid id = {};

	if (r->has_boot_id && r->boot_id.len == UUID_SIZE)
		memcpy(id.bytes, r->boot_id.data, UUID_SIZE);
	uuid_format(&id, ret);
}

/* "boot id:tgid:start:exec_seq": never a bare pid. */
static json_t *process_uid(const Affiant__V1__Record *r, const Affiant__V1__ProcessId *id)
{
	char boot[UUID_TEXT_SIZE], text[128];

	format_boot_id(r, boot);
	snprintf(text, sizeof(text), "%s:%u:%" PRIu64 ":%u", boot, id->tgid, id->start_boottime_ns,
		 id->exec_seq);
	return json_string_nocheck(text);
}

/* Wall time, by the distance of the record's own two clocks. */
static void put_created(struct json_builder *b, const Affiant__V1__Record *r,
			const Affiant__V1__ProcessId *id, json_t *process)
{
	if (!id->has_start_boottime_ns || !r->has_boottime_ns || !r->has_wall_ns ||
	    id->start_boottime_ns > r->boottime_ns ||
	    r->boottime_ns - id->start_boottime_ns > r->wall_ns)
		return;
	json_put(b, process, "created_time",
		 json_integer((r->wall_ns - (r->boottime_ns - id->start_boottime_ns)) / NS_PER_MS));
}

static json_t *of_id(struct json_builder *b, const Affiant__V1__Record *r,
		     const Affiant__V1__ProcessId *id)
{
	json_t *process = json_object();

	if (!id) {
		json_put(b, process, "uid", json_string("unknown"));
		return process;
	}
	json_put(b, process, "pid", json_integer(id->tgid));
	json_put(b, process, "uid", process_uid(r, id));
	put_created(b, r, id, process);
	return process;
}

/* Quoted as a shell would read it: where one argument ends shows. */
static json_t *command_line(struct json_builder *b, const Affiant__V1__Process *p)
{
	static const char plain[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_@%+=:,./-";
	_cleanup_buffer_ struct buffer line = {};
	json_t *value;

	for (size_t i = 0; i < p->n_argv; i++) {
		const ProtobufCBinaryData *arg = &p->argv[i];
		bool quote = !arg->len;

		for (size_t n = 0; n < arg->len && !quote; n++)
			quote = !arg->data[n] || !strchr(plain, arg->data[n]);
		if (i)
			buffer_add_char(&line, ' ');
		if (!quote) {
			buffer_add(&line, arg->data, arg->len);
			continue;
		}
		buffer_add_char(&line, '\'');
		for (size_t n = 0; n < arg->len; n++) {
			if (arg->data[n] == '\'')
				buffer_add_text(&line, "'\\'");
			buffer_add(&line, &arg->data[n], 1);
		}
		buffer_add_char(&line, '\'');
	}
	if (buffer_error(&line))
		return NULL;
	value = json_text(b, line.data, line.len);
	return value;
}

static void put_hash(struct json_builder *b, json_t *hashes, int algorithm_id,
		     const char *algorithm, const ProtobufCBinaryData *value)
{
	json_t *hash = json_object();

	json_put(b, hash, "algorithm_id", json_integer(algorithm_id));
	json_put(b, hash, "algorithm", json_string(algorithm));
	json_put(b, hash, "value", json_hex(value->data, value->len));
	json_add(b, hashes, hash);
}

static void put_hashes(struct json_builder *b, json_t *file, const Affiant__V1__Digest *d)
{
	const ProtobufCBinaryData *bytes = hashes_proven(d);
	json_t *hashes;

	/* Whoever reads hashes of a file takes them for those of what ran. */
	if (!bytes)
		return;
	hashes = json_array();
	if (bytes == &d->verity)
		/* Not the digest of the file's bytes but the root of a tree over them. */
		put_hash(b, hashes, 99, "fs-verity", bytes);
	else
		put_hash(b, hashes, 3, "SHA-256", bytes);
	json_put(b, file, "hashes", hashes);
}

static json_t *of_file(struct json_builder *b, const Affiant__V1__Executable *e)
{
	const uint8_t *slash = e->path.len ? memrchr(e->path.data, '/', e->path.len) : NULL;
	size_t skip = slash ? (size_t)(slash - e->path.data) + 1 : 0;
	json_t *file = json_object();

	if (e->has_path && e->path.len > skip)
		json_put(b, file, "name", json_text(b, e->path.data + skip, e->path.len - skip));
	else
		json_put(b, file, "name", json_string("unknown"));
	json_put(b, file, "type_id", json_integer(1));
	if (e->has_path)
		json_put(b, file, "path", json_text(b, e->path.data, e->path.len));
	if (e->has_size && e->size <= INT64_MAX)
		json_put(b, file, "size", json_integer(e->size));
	if (e->has_deleted)
		json_put(b, file, "is_deleted", json_boolean(e->deleted));
	put_hashes(b, file, e->digest);
	return file;
}

static json_t *of_ancestry(struct json_builder *b, const Affiant__V1__Record *r)
{
	const Affiant__V1__Process *p = r->process;
	json_t *ancestry = json_array();

	for (size_t i = 0; i < p->n_ancestry; i++) {
		const Affiant__V1__Ancestor *a = p->ancestry[i];
		json_t *entity = of_id(b, r, a->id);

		if (a->has_exe)
			json_put(b, entity, "path", json_text(b, a->exe.data, a->exe.len));
		json_add(b, ancestry, entity);
	}
	return ancestry;
}

/* At the attempt, where that is known; else at the exec. */
static bool account_of(const Affiant__V1__Record *r, uint32_t *ret)
{
	const Affiant__V1__Process *p = r->process;

	if (r->body_case == AFFIANT__V1__RECORD__BODY_CONNECT && r->connect->has_uid)
		*ret = r->connect->uid;
	else if (r->body_case == AFFIANT__V1__RECORD__BODY_LISTENING && r->listening->has_uid)
		*ret = r->listening->uid;
	else if (p && p->has_uid)
		*ret = p->uid;
	else
		return false;
	return true;
}

static void put_account(struct json_builder *b, const Affiant__V1__Record *r, json_t *process)
{
	uint32_t number;
	json_t *user;
	char uid[16];

	if (!account_of(r, &number))
		return;
	/* A number: names are never looked up. */
	snprintf(uid, sizeof(uid), "%u", number);
	user = json_object();
	json_put(b, user, "uid", json_string(uid));
	json_put(b, process, "user", user);
}

json_t *ocsf_process_brief(struct json_builder *b, const Affiant__V1__Record *r)
{
	json_t *process = of_id(b, r, r->process ? r->process->id : NULL);

	put_account(b, r, process);
	return process;
}

/* What of a Process and its parts has a home, thus is left out of "unmapped". */
static const char *const process_mapped[] = {"id",   "parent", "ancestry",   "cwd",
					     "argv", "comm",   "executable", NULL};
static const char *const executable_mapped[] = {"path", "size", "deleted", "digest", NULL};

/* Of a digest, what stands in hashes. */
static const char *const *digest_mapped(const Affiant__V1__Digest *d)
{
	static const char *const sha256[] = {"sha256", NULL}, *const verity[] = {"verity", NULL};
	const ProtobufCBinaryData *bytes = hashes_proven(d);

	return !bytes ? NULL : bytes == &d->verity ? verity : sha256;
}

static void put_unmapped(struct json_builder *b, const Affiant__V1__Process *p, json_t *unmapped)
{
	const Affiant__V1__Executable *e = p->executable;
	json_t *process = json_of_message(b, &p->base, process_mapped) ?: json_object();
	json_t *executable;

	if (e) {
		executable = json_of_message(b, &e->base, executable_mapped) ?: json_object();
		if (e->digest)
			json_put_message(b, executable, "digest", &e->digest->base,
					 digest_mapped(e->digest));
		json_put(b, process, "executable", executable);
	}
	json_put(b, unmapped, "process", process);
}

json_t *ocsf_process(struct json_builder *b, const Affiant__V1__Record *r, json_t *unmapped)
{
	const Affiant__V1__Process *p = r->process;
	json_t *process = ocsf_process_brief(b, r);

	if (!p)
		return process;
	if (p->has_comm)
		json_put(b, process, "name", json_text(b, p->comm.data, p->comm.len));
	if (p->executable) {
		if (p->executable->has_path)
			json_put(b, process, "path",
				 json_text(b, p->executable->path.data, p->executable->path.len));
		json_put(b, process, "file", of_file(b, p->executable));
	}
	if (p->n_argv)
		json_put(b, process, "cmd_line", command_line(b, p));
	if (p->has_cwd)
		json_put(b, process, "working_directory", json_text(b, p->cwd.data, p->cwd.len));
	if (p->parent)
		json_put(b, process, "parent_process", of_id(b, r, p->parent));
	if (p->n_ancestry)
		json_put(b, process, "ancestry", of_ancestry(b, r));
	put_unmapped(b, p, unmapped);
	return process;
}

static void put_unix_name(struct json_builder *b, json_t *endpoint, const Affiant__V1__Endpoint *e)
{
	_cleanup_buffer_ struct buffer name = {};

	socketname_add(&name, e);
	json_put(b, endpoint, "name",
		 buffer_error(&name) ? NULL : json_text(b, name.data, name.len));
}

json_t *ocsf_endpoint(struct json_builder *b, const Affiant__V1__Endpoint *e)
{
	char text[INET6_ADDRSTRLEN];
	json_t *endpoint;

	if (!e || (!e->has_address && !e->has_path))
		return NULL;
	endpoint = json_object();
	if (e->has_address && (e->address.len == 4 || e->address.len == 16)) {
		inet_ntop(e->address.len == 4 ? AF_INET : AF_INET6, e->address.data, text,
			  sizeof(text));
		json_put(b, endpoint, "ip", json_string(text));
	}
	if (e->has_port)
		json_put(b, endpoint, "port", json_integer(e->port));
	if (e->has_scope_id && e->scope_id) {
		snprintf(text, sizeof(text), "%u", e->scope_id);
		json_put(b, endpoint, "interface_uid", json_string(text));
	}
	if (e->has_path)
		put_unix_name(b, endpoint, e);
	return endpoint;
}

static int protocol_number(Affiant__V1__Protocol protocol)
{
	switch (protocol) {
	case AFFIANT__V1__PROTOCOL__PROTOCOL_TCP:
	case AFFIANT__V1__PROTOCOL__PROTOCOL_MPTCP: /* on the wire, an option of TCP */
		return IPPROTO_TCP;
	case AFFIANT__V1__PROTOCOL__PROTOCOL_UDP:
		return IPPROTO_UDP;
	case AFFIANT__V1__PROTOCOL__PROTOCOL_ICMP:
		return IPPROTO_ICMP;
	case AFFIANT__V1__PROTOCOL__PROTOCOL_ICMPV6:
		return IPPROTO_ICMPV6;
	case AFFIANT__V1__PROTOCOL__PROTOCOL_SCTP:
		return IPPROTO_SCTP;
	case AFFIANT__V1__PROTOCOL__PROTOCOL_UDPLITE:
		return IPPROTO_UDPLITE;
	default:
		return -1;
	}
}

json_t *ocsf_connection(struct json_builder *b, const Affiant__V1__Record *r,
			Affiant__V1__Protocol protocol, const Affiant__V1__ConnectionId *id,
			const Affiant__V1__Endpoint *remote)
{
	json_t *info = json_object();
	char boot[UUID_TEXT_SIZE], uid[UUID_TEXT_SIZE + 24];

	json_put(b, info, "direction_id", json_integer(2));
	json_put(b, info, "direction", json_string("Outbound"));
	json_put(b, info, "protocol_name",
		 json_string(word_of(&affiant__v1__protocol__descriptor, protocol)));
	if (protocol_number(protocol) >= 0)
		json_put(b, info, "protocol_num", json_integer(protocol_number(protocol)));
	if (remote && remote->has_address)
		json_put(b, info, "protocol_ver_id",
			 json_integer(remote->address.len == 4 ? 4 : 6));
	if (id && id->has_number) {
		format_boot_id(r, boot);
		snprintf(uid, sizeof(uid), "%s:%" PRIu64, boot, id->number);
		json_put(b, info, "uid", json_string(uid));
	}
	return info;
}

json_t *ocsf_device(struct json_builder *b, const Affiant__V1__Record *r)
{
	json_t *device = json_object(), *os = json_object();
	char boot[UUID_TEXT_SIZE];

	if (r->has_host)
		json_put(b, device, "uid", json_hex(r->host.data, r->host.len));
	else
		json_put(b, device, "uid", json_string("unknown"));
	json_put(b, device, "type_id", json_integer(0));
	if (r->has_boot_id) {
		format_boot_id(r, boot);
		json_put(b, device, "boot_uid", json_string(boot));
	}
	json_put(b, os, "name", json_string("Linux"));
	json_put(b, os, "type_id", json_integer(200));
	if (r->body_case == AFFIANT__V1__RECORD__BODY_DAEMON_STARTED && r->daemon_started->kernel) {
		const char *kernel = r->daemon_started->kernel;

		json_put(b, os, "kernel_release", json_text(b, kernel, strlen(kernel)));
	}
	json_put(b, device, "os", os);
	return device;
}
