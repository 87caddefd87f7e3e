/* SPDX-License-Identifier: Apache-2.0 */
/*
 * samples: fixed records of every type and outcome. docs/samples is made from them, and the tests
 * of what shows records rest on them. Addresses are those set aside for documentation (RFC 5737,
 * RFC 3849).
 */
#pragma once

#include <affiant/v1/record.pb-c.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

/* Tables, with several fields on a line. */
/* clang-format off */
#define BASE(type) .base = PROTOBUF_C_MESSAGE_INIT(&affiant__v1__##type##__descriptor)
#define HAS(field, ...) .has_##field = 1, .field = __VA_ARGS__
#define BYTES(text) { sizeof(text) - 1, (uint8_t *)(text) }
#define TEXT(text) ((char[]){ text })
#define LIST(field, type, ...)                                                                     \
	.n_##field = sizeof((type[]){ __VA_ARGS__ }) / sizeof(type), .field = (type[]){ __VA_ARGS__ }

#define BOOT_NS UINT64_C(5021000000000)
#define WALL_NS UINT64_C(1793600000250000000)	/* 2026-11-02T06:13:20.25Z */
#define SESSION "\x01\xa1\x99\x0c\x52\x10\x7a\xbc\x9d\xef\x01\x23\x45\x67\x89\xab"
#define SHA(c) c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c

static Affiant__V1__Agent sample_agent = {
	BASE(agent),
	.spiffe_id = TEXT("spiffe://example.org/agent/research"),
	.name = TEXT("research"),
};

static Affiant__V1__Session sample_session = {
	BASE(session),
	HAS(id, BYTES(SESSION)),
	HAS(isolation, AFFIANT__V1__ISOLATION__ISOLATION_LANDLOCK),
};

static Affiant__V1__Session sample_folding = {
	BASE(session),
	HAS(id, BYTES(SESSION)),
	HAS(isolation, AFFIANT__V1__ISOLATION__ISOLATION_LANDLOCK),
	HAS(folded, 1),
};

static Affiant__V1__Task sample_task = {
	BASE(task),
	.id = TEXT("T-1042"),
	.purpose = TEXT("summarise the release notes"),
	HAS(expires_wall_ns, WALL_NS + UINT64_C(3600000000000)),
	LIST(scope, char *, TEXT("web:read"), TEXT("repo:read")),
};

static Affiant__V1__Principal sample_principal = {
	BASE(principal),
	.subject = TEXT("alice@example.org"),
	HAS(assurance, AFFIANT__V1__ASSURANCE__ASSURANCE_ASSERTED),
};

#define PROCESS_ID(pid, start, exec)                                                               \
	(&(Affiant__V1__ProcessId){ BASE(process_id), HAS(tgid, pid), HAS(start_boottime_ns, start), \
				    HAS(exec_seq, exec) })
#define OBSERVED(c)                                                                                \
	(&(Affiant__V1__Digest){ BASE(digest), HAS(state, AFFIANT__V1__HASH_STATE__HASH_OBSERVED), \
				 HAS(sha256, BYTES(SHA(c))) })
#define OFFERED(c)                                                                                 \
	(&(Affiant__V1__Digest){ BASE(digest), HAS(state, AFFIANT__V1__HASH_STATE__HASH_OFFERED), \
				 HAS(sha256, BYTES(SHA(c))) })

static Affiant__V1__Process sample_process = {
	BASE(process),
	.id = PROCESS_ID(4211, UINT64_C(5020100000000), 3),
	.parent = PROCESS_ID(4200, UINT64_C(5019000000000), 2),
	LIST(ancestry, Affiant__V1__Ancestor *,
	     &(Affiant__V1__Ancestor){ BASE(ancestor), .id = PROCESS_ID(4200, UINT64_C(5019000000000), 2),
				       HAS(exe, BYTES("/usr/bin/bash")) }),
	HAS(uid, 1000), HAS(gid, 1000), HAS(euid, 1000), HAS(egid, 1000),
	HAS(cap_effective, 0), HAS(cap_permitted, 0),
	HAS(cgroup, BYTES("/system.slice/research.service")), HAS(cgroup_id, 7311),
	.namespaces = &(Affiant__V1__Namespaces){
		BASE(namespaces), HAS(mnt, 4026531841), HAS(pid, 4026531836), HAS(net, 4026531840),
		HAS(user, 4026531837), HAS(cgroup, 4026531835), HAS(ipc, 4026531839),
		HAS(uts, 4026531838), HAS(time, 4026531834),
	},
	HAS(cwd, BYTES("/srv/research")),
	LIST(argv, ProtobufCBinaryData, BYTES("python3"), BYTES("agent.py"), BYTES("--topic"),
	     BYTES("release notes")),
	HAS(argc, 4),
	HAS(comm, BYTES("python3")),
	.executable = &(Affiant__V1__Executable){
		BASE(executable), HAS(path, BYTES("/usr/bin/python3.11")), .digest = OBSERVED("\x1f"),
		HAS(device, (8 << 20) | 1), HAS(inode, 393297), HAS(size, 6831704),
		HAS(build_id, BYTES("\x30\x71\x2f\x5d\x9a\x41\x13\x70")),
	},
	LIST(chain, Affiant__V1__Step *,
	     &(Affiant__V1__Step){ BASE(step), HAS(kind, AFFIANT__V1__STEP_KIND__STEP_INTERPRETER),
				   HAS(path, BYTES("/usr/bin/python3.11")), .digest = OBSERVED("\x1f") },
	     &(Affiant__V1__Step){ BASE(step), HAS(kind, AFFIANT__V1__STEP_KIND__STEP_LOADER),
				   HAS(path, BYTES("/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")),
				   .digest = OBSERVED("\x2e") },
	     &(Affiant__V1__Step){ BASE(step), HAS(kind, AFFIANT__V1__STEP_KIND__STEP_SCRIPT_ARGUMENT),
				   HAS(path, BYTES("/srv/research/agent.py")), .digest = OFFERED("\xab"),
				   HAS(named_by_argv, 1) }),
};

/* A short-lived child: gone before it could be hashed. */
static Affiant__V1__Process sample_child = {
	BASE(process),
	.id = PROCESS_ID(4223, UINT64_C(5020900000000), 4),
	.parent = PROCESS_ID(4211, UINT64_C(5020100000000), 3),
	LIST(ancestry, Affiant__V1__Ancestor *,
	     &(Affiant__V1__Ancestor){ BASE(ancestor), .id = PROCESS_ID(4211, UINT64_C(5020100000000), 3),
				       HAS(exe, BYTES("/usr/bin/python3.11")) },
	     &(Affiant__V1__Ancestor){ BASE(ancestor), .id = PROCESS_ID(4200, UINT64_C(5019000000000), 2),
				       HAS(exe, BYTES("/usr/bin/bash")) }),
	HAS(uid, 1000), HAS(gid, 1000),
	LIST(argv, ProtobufCBinaryData, BYTES("git"), BYTES("clone"), BYTES("--token=[redacted]"),
	     BYTES("https://git.example.org/notes.git")),
	HAS(argc, 4), HAS(redacted, 1), HAS(comm, BYTES("git")),
	LIST(environment, char *, TEXT("LD_PRELOAD"), TEXT("GIT_SSH_COMMAND")),
	HAS(environment_cut, 1),
	.executable = &(Affiant__V1__Executable){
		BASE(executable), HAS(path, BYTES("/usr/bin/git")),
		.digest = &(Affiant__V1__Digest){ BASE(digest),
						  HAS(state, AFFIANT__V1__HASH_STATE__HASH_TOO_LATE) },
		HAS(size, 3704328),
	},
};

/* What a session built itself, and a script that its interpreter opens again. */
static Affiant__V1__Process sample_built = {
	BASE(process),
	.id = PROCESS_ID(4226, UINT64_C(5020920000000), 1),
	.parent = PROCESS_ID(4211, UINT64_C(5020100000000), 3),
	LIST(argv, ProtobufCBinaryData, BYTES("bin/node"), BYTES("tool.js")),
	HAS(argc, 2), HAS(comm, BYTES("node")), HAS(uid, 1000), HAS(gid, 1000),
	.executable = &(Affiant__V1__Executable){
		BASE(executable), HAS(path, BYTES("/srv/research/bin/node")),
		.digest = &(Affiant__V1__Digest){
			BASE(digest), HAS(state, AFFIANT__V1__HASH_STATE__HASH_UNPROVEN),
			HAS(unproven_sha256, BYTES(SHA("\x77"))),
			HAS(unproven, AFFIANT__V1__UNPROVEN__UNPROVEN_OWNER) },
		HAS(size, 91330408),
	},
	LIST(chain, Affiant__V1__Step *,
	     &(Affiant__V1__Step){ BASE(step), HAS(kind, AFFIANT__V1__STEP_KIND__STEP_LOADER),
				   HAS(path, BYTES("/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")),
				   .digest = OBSERVED("\x2e") },
	     &(Affiant__V1__Step){ BASE(step), HAS(kind, AFFIANT__V1__STEP_KIND__STEP_SCRIPT_ARGUMENT),
				   HAS(path, BYTES("/srv/research/tool.js")), .digest = OFFERED("\xac"),
				   HAS(named_by_argv, 1) }),
};

/* It ran before it was traced: what it runs is its own word. */
static Affiant__V1__Process sample_claimed = {
	BASE(process),
	.id = PROCESS_ID(4100, UINT64_C(5010000000000), 0),
	LIST(argv, ProtobufCBinaryData, BYTES("researchd")),
	HAS(argc, 1), HAS(comm, BYTES("researchd")), HAS(uid, 1000), HAS(gid, 1000), HAS(late, 1),
	.executable = &(Affiant__V1__Executable){
		BASE(executable), HAS(path, BYTES("/usr/bin/researchd")),
		.digest = &(Affiant__V1__Digest){ BASE(digest),
						  HAS(state, AFFIANT__V1__HASH_STATE__HASH_CLAIMED) },
		HAS(size, 181336),
	},
};

/*
 * What is hostile: an escape sequence, bytes that are no UTF-8, a name that tries to look like a
 * column.
 */
static Affiant__V1__Process sample_hostile = {
	BASE(process),
	.id = PROCESS_ID(4230, UINT64_C(5020950000000), 1),
	LIST(argv, ProtobufCBinaryData, BYTES("x\x1b]0;owned\x07"), BYTES("100%\xff"), BYTES("")),
	HAS(comm, BYTES("\x1b[2Jx")),
	HAS(uid, 1000),
	.executable = &(Affiant__V1__Executable){
		BASE(executable), HAS(path, BYTES("/tmp/\x1b[31mno\xc2\x9bsuch established \xe2\x80\xae\xff%41")),
		.digest = &(Affiant__V1__Digest){
			BASE(digest), HAS(state, AFFIANT__V1__HASH_STATE__HASH_VERITY),
			HAS(verity, BYTES(SHA("\x5a"))), .verity_algorithm = TEXT("sha256") },
		HAS(memfd, 1), HAS(deleted, 1),
	},
};

#define V4(a, b, c, d, p)                                                                          \
	(&(Affiant__V1__Endpoint){ BASE(endpoint), HAS(address, { 4, (uint8_t[]){ a, b, c, d } }), \
				   HAS(port, p) })
#define V6(text, p)                                                                                \
	(&(Affiant__V1__Endpoint){ BASE(endpoint), HAS(address, BYTES(text)), HAS(port, p) })
#define CONNECTION(n)                                                                              \
	(&(Affiant__V1__ConnectionId){ BASE(connection_id), HAS(cookie, 8192 + (n)),               \
				       HAS(number, (UINT64_C(1) << 48) + (n)) })

#define HEAD(seq)                                                                                  \
	BASE(record),                                                                              \
	HAS(id, { 16, (uint8_t[]){ 0x01, 0xa1, 0x99, 0x0c, 0x60, seq, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, seq } }), \
	HAS(sequence, seq),                                                                        \
	HAS(boot_id, BYTES("\x6f\x0d\x2c\x7b\x5e\x14\x4e\x0a\x9c\x3b\x2a\x10\x77\x5d\x1e\x42")),      \
	HAS(host, BYTES("\xc4\x5e\x81\x09\x2b\x7a\x4f\x36\x90\x1d\xee\x52\x0c\xba\x64\x38")),         \
	HAS(boottime_ns, BOOT_NS + (seq) * UINT64_C(1000000)),                                     \
	HAS(wall_ns, WALL_NS + (seq) * UINT64_C(1000000)),                                         \
	HAS(clock_state, AFFIANT__V1__CLOCK_STATE__CLOCK_SYNCHRONISED)
#define ACTOR(p)                                                                                   \
	.agent = &sample_agent, .session = &sample_session, .task = &sample_task,                  \
	.principal = &sample_principal, .process = &(p)
#define RECORD(seq, p, type, TYPE, ...)                                                            \
	(&(Affiant__V1__Record){ HEAD(seq), ACTOR(p),                                              \
				 .body_case = AFFIANT__V1__RECORD__BODY_##TYPE,                    \
				 .type = (void *)&(__VA_ARGS__) })
#define HOST_RECORD(seq, type, TYPE, ...)                                                          \
	(&(Affiant__V1__Record){ HEAD(seq), .body_case = AFFIANT__V1__RECORD__BODY_##TYPE,         \
				 .type = (void *)&(__VA_ARGS__) })
#define FOLDED(seq, ...)                                                                           \
	(&(Affiant__V1__Record){ HEAD(seq), .agent = &sample_agent, .session = &sample_folding,    \
				 .task = &sample_task, .principal = &sample_principal,             \
				 .body_case = AFFIANT__V1__RECORD__BODY_FOLDED,                    \
				 .folded = &(Affiant__V1__Folded){ BASE(folded), __VA_ARGS__ } })
#define GROUP(KIND, n, ...)                                                                        \
	(&(Affiant__V1__FoldedGroup){ BASE(folded_group),                                          \
				      HAS(kind, AFFIANT__V1__FOLDED_KIND__FOLDED_##KIND),          \
				      HAS(count, n), __VA_ARGS__ })
#define OTHERS(KIND, n, ...)                                                                       \
	(&(Affiant__V1__FoldedOthers){ BASE(folded_others),                                        \
				       HAS(kind, AFFIANT__V1__FOLDED_KIND__FOLDED_##KIND),         \
				       HAS(count, n), __VA_ARGS__ })
#define BY(PROTOCOL, RESULT)                                                                       \
	HAS(protocol, AFFIANT__V1__PROTOCOL__PROTOCOL_##PROTOCOL),                                 \
	HAS(outcome, AFFIANT__V1__OUTCOME__##RESULT)
#define CONNECT(seq, p, ...) RECORD(seq, p, connect, CONNECT, (Affiant__V1__Connect){ BASE(connect), __VA_ARGS__ })
#define TCP(n, result)                                                                             \
	.connection = CONNECTION(n), HAS(protocol, AFFIANT__V1__PROTOCOL__PROTOCOL_TCP),           \
	HAS(outcome, AFFIANT__V1__OUTCOME__##result), HAS(uid, 1000), HAS(gid, 1000)
#define UNKNOWN_OPENER (&(Affiant__V1__Opener){ BASE(opener), HAS(unknown, 1) })
#define LOSS(where, what, n)                                                                       \
	(&(Affiant__V1__LostCount){ BASE(lost_count), .stage = TEXT(where), .kind = TEXT(what), HAS(count, n) })

static const struct sample {
	const char *name;
	Affiant__V1__Record *record;
} samples[] __attribute__((unused)) = {
	{ "daemon_started", HOST_RECORD(1, daemon_started, DAEMON_STARTED, (Affiant__V1__DaemonStarted){
		BASE(daemon_started), .version = TEXT("0.1.0"), HAS(tracing_was_on, 0),
		HAS(bpf_sha256, BYTES(SHA("\xb1"))), HAS(config_sha256, BYTES(SHA("\xc0"))),
		LIST(features, char *, TEXT("connect_unix"), TEXT("fanotify")),
		LIST(missing, char *, TEXT("lsm")),
		.kernel = TEXT("6.1.0-18-amd64"),
		HAS(epoch, BYTES("\x5e\x01\x83\x2b\x90\x77\x4c\xaa\x0d\x61\xf2\x38\x19\xee\x54\xb7")) }) },
	{ "session_started", RECORD(2, sample_process, session_started, SESSION_STARTED,
		(Affiant__V1__SessionStarted){
		BASE(session_started), HAS(origin, AFFIANT__V1__SESSION_ORIGIN__ORIGIN_RUN),
		HAS(launcher_uid, 0), .launcher = PROCESS_ID(4100, UINT64_C(5018000000000), 9),
		.manifest = &(Affiant__V1__Manifest){
			BASE(manifest), HAS(root, BYTES(SHA("\x3d"))), HAS(entries, 2),
			HAS(state, AFFIANT__V1__HASH_STATE__HASH_OBSERVED),
			LIST(paths, Affiant__V1__ManifestPath *, &(Affiant__V1__ManifestPath){
				BASE(manifest_path), HAS(path, BYTES("/srv/research")),
				HAS(root, BYTES(SHA("\x3d"))), HAS(entries, 2) }),
			LIST(files, Affiant__V1__ManifestFile *,
			     &(Affiant__V1__ManifestFile){ BASE(manifest_file), HAS(path, BYTES("agent.py")),
				HAS(mode, 0100644), HAS(sha256, BYTES(SHA("\xab"))) },
			     &(Affiant__V1__ManifestFile){ BASE(manifest_file), HAS(path, BYTES("prompt.txt")),
				HAS(mode, 0100644), HAS(sha256, BYTES(SHA("\xcd"))) }) } }) },
	{ "session_started late", RECORD(3, sample_process, session_started, SESSION_STARTED,
		(Affiant__V1__SessionStarted){
		BASE(session_started), HAS(origin, AFFIANT__V1__SESSION_ORIGIN__ORIGIN_SELECTOR),
		.selector = TEXT("unit research.service"), HAS(late, 1),
		LIST(open_connections, Affiant__V1__OpenConnection *, &(Affiant__V1__OpenConnection){
			BASE(open_connection), HAS(protocol, AFFIANT__V1__PROTOCOL__PROTOCOL_TCP),
			.local = V4(192, 0, 2, 10, 40312), .remote = V4(203, 0, 113, 80, 443),
			HAS(tgid, 4211) },
		     &(Affiant__V1__OpenConnection){
			BASE(open_connection), HAS(protocol, AFFIANT__V1__PROTOCOL__PROTOCOL_TCP),
			.local = V4(127, 0, 0, 1, 8080), HAS(tgid, 4211), HAS(listening, 1) },
		     &(Affiant__V1__OpenConnection){
			BASE(open_connection), HAS(protocol, AFFIANT__V1__PROTOCOL__PROTOCOL_RAW),
			.local = &(Affiant__V1__Endpoint){ BASE(endpoint), HAS(address, BYTES("\0\0\0\0")) },
			HAS(tgid, 4211), HAS(family, 2), HAS(type, 3), HAS(protocol_number, 1) }) }) },
	{ "exec", RECORD(4, sample_process, exec, EXEC, (Affiant__V1__Exec){
		BASE(exec), HAS(filename, BYTES("/usr/bin/python3")),
		HAS(interpreter, BYTES("/usr/bin/python3")) }) },
	{ "exec too_late", RECORD(5, sample_child, exec, EXEC, (Affiant__V1__Exec){
		BASE(exec), HAS(filename, BYTES("/usr/bin/git")), HAS(interpreter, BYTES("/usr/bin/git")) }) },
	{ "exec hostile", RECORD(6, sample_hostile, exec, EXEC, (Affiant__V1__Exec){
		BASE(exec), HAS(filename, BYTES("/proc/self/fd/3")) }) },
	{ "exit", RECORD(7, sample_process, exit, EXIT, (Affiant__V1__Exit){
		BASE(exit), HAS(status, 3 << 8), HAS(lifetime_ns, 900500000) }) },
	{ "exit killed", RECORD(8, sample_child, exit, EXIT, (Affiant__V1__Exit){
		BASE(exit), HAS(status, 9), HAS(lifetime_ns, 12000000) }) },
	{ "connect established", CONNECT(9, sample_process, TCP(9, ESTABLISHED),
		.reached = V4(203, 0, 113, 80, 443), .local = V4(192, 0, 2, 10, 40312),
		HAS(latency_ns, 12345678)) },
	{ "connect rewritten", CONNECT(10, sample_process, TCP(10, ESTABLISHED),
		.asked = V4(198, 51, 100, 1, 80), .reached = V4(10, 96, 0, 7, 8080),
		.local = V4(192, 0, 2, 10, 40313), HAS(latency_ns, 210000)) },
	{ "connect refused", CONNECT(11, sample_process, TCP(11, REFUSED),
		.reached = V6("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07", 8443), HAS(errno_, ECONNREFUSED),
		HAS(latency_ns, 98000)) },
	{ "connect timed_out", CONNECT(12, sample_process, TCP(12, TIMED_OUT),
		.reached = V4(198, 51, 100, 9, 443), HAS(errno_, ETIMEDOUT),
		HAS(latency_ns, UINT64_C(131072000000)), HAS(completes_pending, 1)) },
	{ "connect unreachable", CONNECT(13, sample_process, TCP(13, UNREACHABLE),
		.reached = (&(Affiant__V1__Endpoint){ BASE(endpoint), HAS(address,
			BYTES("\xfe\x80\0\0\0\0\0\0\x02\x15\x5d\xff\xfe\0\0\x01")), HAS(port, 22),
			HAS(scope_id, 3) }),
		HAS(errno_, EHOSTUNREACH)) },
	{ "connect reset", CONNECT(14, sample_process, TCP(14, RESET),
		.reached = V4(203, 0, 113, 81, 443), HAS(errno_, ECONNRESET), HAS(latency_ns, 5000000)) },
	{ "connect aborted", CONNECT(15, sample_child, TCP(15, ABORTED),
		.reached = V4(203, 0, 113, 82, 443), .opener = UNKNOWN_OPENER) },
	{ "connect denied", CONNECT(16, sample_child, TCP(16, DENIED),
		.reached = V4(203, 0, 113, 83, 25), HAS(errno_, EPERM)) },
	{ "connect not_sent", CONNECT(17, sample_child, TCP(17, NOT_SENT),
		.reached = V4(255, 255, 255, 255, 9)) },
	{ "connect pending", CONNECT(18, sample_process, TCP(18, PENDING),
		.reached = V4(198, 51, 100, 9, 443)) },
	{ "connect udp", CONNECT(19, sample_process, .connection = CONNECTION(19),
		HAS(protocol, AFFIANT__V1__PROTOCOL__PROTOCOL_UDP),
		HAS(outcome, AFFIANT__V1__OUTCOME__ATTEMPTED), HAS(by_datagram, 1), HAS(v4_mapped, 1),
		.reached = V4(192, 0, 2, 53, 53), .local = V4(0, 0, 0, 0, 51000)) },
	{ "connect unix", CONNECT(20, sample_process, .connection = CONNECTION(20),
		HAS(protocol, AFFIANT__V1__PROTOCOL__PROTOCOL_UNIX),
		HAS(outcome, AFFIANT__V1__OUTCOME__ATTEMPTED),
		.reached = (&(Affiant__V1__Endpoint){ BASE(endpoint), HAS(path, BYTES("/run/docker.sock")) }),
		.opener = UNKNOWN_OPENER) },
	{ "connect abstract", CONNECT(21, sample_process, .connection = CONNECTION(21),
		HAS(protocol, AFFIANT__V1__PROTOCOL__PROTOCOL_UNIX),
		HAS(outcome, AFFIANT__V1__OUTCOME__ATTEMPTED),
		.reached = (&(Affiant__V1__Endpoint){ BASE(endpoint), HAS(path, BYTES("\0/tmp/.X11-unix/X0")) }),
		.opener = UNKNOWN_OPENER) },
	{ "connect relative", CONNECT(40, sample_process, .connection = CONNECTION(40),
		HAS(protocol, AFFIANT__V1__PROTOCOL__PROTOCOL_UNIX),
		HAS(outcome, AFFIANT__V1__OUTCOME__ATTEMPTED), HAS(by_datagram, 1),
		.reached = (&(Affiant__V1__Endpoint){ BASE(endpoint), HAS(path, BYTES("../run/log")),
						      HAS(resolved, BYTES("/srv/run/log")) }),
		.opener = UNKNOWN_OPENER) },
	{ "connect opener", CONNECT(22, sample_child, TCP(22, ESTABLISHED),
		.reached = V4(203, 0, 113, 80, 443), HAS(outcome_untracked, 1),
		.opener = &(Affiant__V1__Opener){ BASE(opener),
			.process = PROCESS_ID(4211, UINT64_C(5020100000000), 3), HAS(session, BYTES(SESSION)) }) },
	{ "close", RECORD(23, sample_process, close, CLOSE, (Affiant__V1__Close){
		BASE(close), .connection = CONNECTION(9), HAS(protocol, AFFIANT__V1__PROTOCOL__PROTOCOL_TCP),
		.remote = V4(203, 0, 113, 80, 443), .local = V4(192, 0, 2, 10, 40312), HAS(bytes_sent, 1810),
		HAS(bytes_received, 5241880), HAS(duration_ns, 2431000000) }) },
	{ "close reset", RECORD(24, sample_process, close, CLOSE, (Affiant__V1__Close){
		BASE(close), .connection = CONNECTION(10), HAS(protocol, AFFIANT__V1__PROTOCOL__PROTOCOL_TCP),
		.remote = V4(10, 96, 0, 7, 8080), HAS(bytes_sent, 77), HAS(bytes_received, 0),
		HAS(duration_ns, 31000000), HAS(reset, 1), HAS(errno_, ECONNRESET) }) },
	{ "close udp", RECORD(25, sample_process, close, CLOSE, (Affiant__V1__Close){
		BASE(close), .connection = CONNECTION(19), HAS(protocol, AFFIANT__V1__PROTOCOL__PROTOCOL_UDP),
		HAS(duration_ns, 900000000), HAS(excess_datagrams, 412) }) },
	{ "untracked_socket", RECORD(26, sample_child, untracked_socket, UNTRACKED_SOCKET,
		(Affiant__V1__UntrackedSocket){
		BASE(untracked_socket), HAS(protocol, AFFIANT__V1__PROTOCOL__PROTOCOL_RAW), HAS(family, 2),
		HAS(type, 3), HAS(protocol_number, 1), HAS(cookie, 8300) }) },
	{ "untracked_socket denied", RECORD(34, sample_child, untracked_socket, UNTRACKED_SOCKET,
		(Affiant__V1__UntrackedSocket){
		BASE(untracked_socket), HAS(protocol, AFFIANT__V1__PROTOCOL__PROTOCOL_TCP), HAS(family, 10),
		HAS(type, 1), HAS(protocol_number, 6), HAS(cookie, 8301), HAS(denied, 1) }) },
	{ "listening", RECORD(35, sample_process, listening, LISTENING, (Affiant__V1__Listening){
		BASE(listening), HAS(protocol, AFFIANT__V1__PROTOCOL__PROTOCOL_TCP),
		.local = V4(0, 0, 0, 0, 8080), HAS(cookie, 8302), HAS(uid, 1000), HAS(gid, 1000) }) },
	{ "listening given", RECORD(36, sample_child, listening, LISTENING, (Affiant__V1__Listening){
		BASE(listening), HAS(protocol, AFFIANT__V1__PROTOCOL__PROTOCOL_TCP),
		.local = V4(127, 0, 0, 1, 40123), HAS(cookie, 8303), HAS(uid, 1000), HAS(gid, 1000),
		.opener = UNKNOWN_OPENER }) },
	{ "connect unsure", CONNECT(37, sample_process, .connection = CONNECTION(37),
		HAS(protocol, AFFIANT__V1__PROTOCOL__PROTOCOL_UDP),
		HAS(outcome, AFFIANT__V1__OUTCOME__ATTEMPTED), HAS(by_datagram, 1),
		.reached = V4(10, 96, 0, 10, 53), HAS(reached_unsure, 1), HAS(outcome_unsure, 1)) },
	{ "connect repaired", CONNECT(38, sample_process, TCP(38, ESTABLISHED),
		.reached = V4(203, 0, 113, 84, 443), HAS(repaired, 1)) },
	{ "close repaired", RECORD(39, sample_process, close, CLOSE, (Affiant__V1__Close){
		BASE(close), .connection = CONNECTION(38), HAS(protocol, AFFIANT__V1__PROTOCOL__PROTOCOL_TCP),
		.remote = V4(203, 0, 113, 84, 443), HAS(bytes_sent, 0), HAS(bytes_received, 0),
		HAS(duration_ns, 4000000), HAS(reset, 0), HAS(repaired, 1) }) },
	{ "lost", HOST_RECORD(27, lost, LOST, (Affiant__V1__Lost){
		BASE(lost), LIST(counts, Affiant__V1__LostCount *, LOSS("ring", "connect", 17), LOSS("ring", "exec", 2),
			LOSS("sequence", "number", 19)),
		LIST(ranges, Affiant__V1__LostRange *, &(Affiant__V1__LostRange){
			BASE(lost_range), HAS(cpu, 1), HAS(first, 90210), HAS(last, 90228) }),
		LIST(totals, Affiant__V1__LostCount *, LOSS("ring", "connect", 40), LOSS("ring", "exec", 2)),
		HAS(from_boottime_ns, UINT64_C(5020027000000)) }) },
	{ "lost tag", HOST_RECORD(33, lost, LOST, (Affiant__V1__Lost){
		BASE(lost), LIST(counts, Affiant__V1__LostCount *, LOSS("tag", "process", 1)),
		LIST(totals, Affiant__V1__LostCount *, LOSS("tag", "process", 1)),
		LIST(processes, Affiant__V1__LostProcess *, &(Affiant__V1__LostProcess){
			BASE(lost_process), .id = PROCESS_ID(4230, UINT64_C(5020350000000), 3),
			.parent = PROCESS_ID(4211, UINT64_C(5020100000000), 3),
			HAS(session, BYTES("\x01\xa1\x99\x0c\x52\x10\x7a\xbc\x9d\xef\x01\x23\x45\x67\x89\xab")) }) }) },
	{ "gap", HOST_RECORD(28, gap, GAP, (Affiant__V1__Gap){
		BASE(gap), HAS(reason, AFFIANT__V1__GAP_REASON__GAP_RETENTION), HAS(first_sequence, 1),
		HAS(last_sequence, 98304), HAS(bytes, 67108912) }) },
	{ "gap torn", HOST_RECORD(29, gap, GAP, (Affiant__V1__Gap){
		BASE(gap), HAS(reason, AFFIANT__V1__GAP_REASON__GAP_TORN), HAS(bytes, 311) }) },
	{ "gap tracing_removed", HOST_RECORD(34, gap, GAP, (Affiant__V1__Gap){
		BASE(gap), HAS(reason, AFFIANT__V1__GAP_REASON__GAP_TRACING_REMOVED),
		HAS(from_boottime_ns, UINT64_C(5120001000000)), HAS(to_boottime_ns, UINT64_C(5143001000000)),
		HAS(untracked_processes, 2) }) },
	{ "gap void", HOST_RECORD(43, gap, GAP, (Affiant__V1__Gap){
		BASE(gap), HAS(reason, AFFIANT__V1__GAP_REASON__GAP_VOID), HAS(first_sequence, 4100),
		HAS(last_sequence, 8211) }) },
	{ "session_ended", RECORD(30, sample_process, session_ended, SESSION_ENDED, (Affiant__V1__SessionEnded){
		BASE(session_ended), HAS(reason, AFFIANT__V1__SESSION_END_REASON__END_LAST_EXIT),
		HAS(processes, 12), HAS(connections, 31), HAS(execs, 14), HAS(status, 0) }) },
	{ "exec unproven", RECORD(32, sample_built, exec, EXEC, (Affiant__V1__Exec){
		BASE(exec), HAS(filename, BYTES("bin/node")), HAS(interpreter, BYTES("bin/node")) }) },
	{ "connect claimed", CONNECT(33, sample_claimed, TCP(33, ESTABLISHED),
		.reached = V4(192, 0, 2, 77, 8444), .local = V4(192, 0, 2, 10, 40333),
		HAS(latency_ns, 12345678)) },
	{ "connect by send", CONNECT(43, sample_child, .connection = CONNECTION(43),
		HAS(protocol, AFFIANT__V1__PROTOCOL__PROTOCOL_TCP), HAS(by_send, 1),
		.reached = V4(203, 0, 113, 85, 443), .local = V4(192, 0, 2, 10, 40343),
		.opener = &(Affiant__V1__Opener){ BASE(opener),
			.process = PROCESS_ID(4211, UINT64_C(5020100000000), 3), HAS(session, BYTES(SESSION)) }) },
	{ "folded", FOLDED(34,
		HAS(from_boottime_ns, BOOT_NS - UINT64_C(1000000000)), HAS(to_boottime_ns, BOOT_NS),
		LIST(first, Affiant__V1__FoldedGroup *,
			GROUP(CONNECT, 3, BY(TCP, PENDING), .destination = V4(192, 0, 2, 200, 9999)),
			GROUP(CONNECT, 1, BY(UNIX, ATTEMPTED), .destination =
				(&(Affiant__V1__Endpoint){ BASE(endpoint), HAS(path, BYTES("/srv/agent.sock")) }))),
		LIST(busiest, Affiant__V1__FoldedGroup *,
			GROUP(CONNECT, 51023, BY(TCP, TIMED_OUT), HAS(again, 12),
				.destination = V4(192, 0, 2, 201, 9999)),
			GROUP(CLOSE, 871, HAS(protocol, AFFIANT__V1__PROTOCOL__PROTOCOL_UDP),
				.destination = V4(192, 0, 2, 202, 9999), HAS(bytes_sent, 71230),
				HAS(bytes_received, 1210), HAS(excess_datagrams, 3)),
			GROUP(UNTRACKED_SOCKET, 4, HAS(protocol, AFFIANT__V1__PROTOCOL__PROTOCOL_RAW),
				HAS(family, 2), HAS(type, 3), HAS(protocol_number, 1))),
		LIST(others, Affiant__V1__FoldedOthers *,
			OTHERS(CONNECT, 8077, HAS(again, 7), HAS(distinct, 4090), HAS(distinct_at_least, 1)),
			OTHERS(CLOSE, 2, HAS(distinct, 2), HAS(bytes_sent, 10), HAS(bytes_received, 20),
				HAS(excess_datagrams, 1))),
		HAS(first_unsure, 1)) },
	{ "folded processes", FOLDED(35,
		HAS(from_boottime_ns, BOOT_NS - UINT64_C(1000000000)), HAS(to_boottime_ns, BOOT_NS),
		LIST(busiest, Affiant__V1__FoldedGroup *, GROUP(EXEC, 310, HAS(path, BYTES("/usr/bin/git"))),
			GROUP(EXIT, 309, HAS(path, BYTES("/usr/bin/git"))))) },
	{ "daemon_stopping", HOST_RECORD(31, daemon_stopping, DAEMON_STOPPING, (Affiant__V1__DaemonStopping){
		BASE(daemon_stopping), .reason = TEXT("SIGTERM") }) },
};

static const size_t samples_count __attribute__((unused)) = sizeof(samples) / sizeof(*samples);

/* Its bytes, in @buffer, which is large enough for every sample. */
static inline size_t sample_pack(const Affiant__V1__Record *r, uint8_t *buffer)
{
	return affiant__v1__record__pack(r, buffer);
}
