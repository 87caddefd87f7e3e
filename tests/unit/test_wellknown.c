/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/wellknown.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct one {
	Affiant__V1__Record record;
	Affiant__V1__Connect connect;
	Affiant__V1__Endpoint reached;
	Affiant__V1__Opener opener;
};

static void make(struct one *o, const char *path, size_t len)
{
	affiant__v1__record__init(&o->record);
	affiant__v1__connect__init(&o->connect);
	affiant__v1__endpoint__init(&o->reached);
	affiant__v1__opener__init(&o->opener);
	o->record.body_case = AFFIANT__V1__RECORD__BODY_CONNECT;
	o->record.connect = &o->connect;
	o->connect.protocol = AFFIANT__V1__PROTOCOL__PROTOCOL_UNIX;
	o->connect.outcome = AFFIANT__V1__OUTCOME__ATTEMPTED;
	o->connect.reached = &o->reached;
	o->connect.opener = &o->opener;
	o->opener.unknown = true;
	o->reached.has_path = true;
	o->reached.path = (ProtobufCBinaryData){len, (uint8_t *)path};
}

static bool of(const char *path, size_t len)
{
	struct one o;

	make(&o, path, len);
	return wellknown_connect(&o.record);
}

#define OF(path) of(path, sizeof(path) - 1)

static void by_name(void **state)
{
	(void)state;
	assert_true(OF("/dev/log"));
	assert_true(OF("/run/nscd/socket"));
	assert_true(OF("/var/run/nscd/socket"));
	assert_true(OF("/run/systemd/notify"));
	assert_true(OF("/run/systemd/journal/socket"));
	assert_true(OF("/run/systemd/journal/stdout"));
	assert_true(OF("/run/systemd/userdb/io.systemd.DynamicUser"));
}

static void and_no_other(void **state)
{
	(void)state;
	assert_false(OF(""));
	assert_false(OF("\0/dev/log"));
	assert_false(OF("/dev/lo"));
	assert_false(OF("/dev/log2"));
	assert_false(OF("/dev/log/x"));
	assert_false(OF("/dev//log"));
	assert_false(OF("dev/log"));
	assert_false(OF("/run/systemd/userdb/"));
	assert_false(OF("/run/systemd/userdb"));
	assert_false(OF("/run/systemd/userdb/."));
	assert_false(OF("/run/systemd/userdb/.."));
	assert_false(OF("/run/systemd/userdb/../private"));
	assert_false(OF("/run/systemd/userdb/a/b"));
	assert_false(OF("/run/systemd/journal/../private"));
	/* Work is handed over by these. */
	assert_false(OF("/run/systemd/private"));
	assert_false(OF("/run/systemd/resolve/io.systemd.Resolve"));
	assert_false(OF("/run/dbus/system_bus_socket"));
	assert_false(OF("/run/docker.sock"));
}

static void only_what_is_ordinary(void **state)
{
	struct one o;

	(void)state;
	make(&o, "/dev/log", 8);
	assert_true(wellknown_connect(&o.record));
	o.connect.opener = NULL;
	assert_true(wellknown_connect(&o.record));
	o.connect.outcome = AFFIANT__V1__OUTCOME__DENIED;
	assert_false(wellknown_connect(&o.record));
	make(&o, "/dev/log", 8);
	o.opener.unknown = false; /* another's socket */
	assert_false(wellknown_connect(&o.record));
	make(&o, "/dev/log", 8);
	o.connect.protocol = AFFIANT__V1__PROTOCOL__PROTOCOL_TCP;
	assert_false(wellknown_connect(&o.record));
	make(&o, "/dev/log", 8);
	o.connect.reached = NULL;
	assert_false(wellknown_connect(&o.record));
	make(&o, "/dev/log", 8);
	o.record.body_case = AFFIANT__V1__RECORD__BODY_CLOSE;
	assert_false(wellknown_connect(&o.record));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_name),
		cmocka_unit_test(and_no_other),
		cmocka_unit_test(only_what_is_ordinary),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
