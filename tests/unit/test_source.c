// SPDX-License-Identifier: Apache-2.0
#include "source_bed.h"

#include <fcntl.h>

static int play_nothing(void *data)
{
	(void)data;
	return 0;
}

static int play_fork_exec(void *data)
{
	pid_t pid = fork();
	int status;

	(void)data;
	if (!pid) {
		execl("/bin/sh", "sh", "-c", "exit 3", (char *)NULL);
		_exit(98);
	}
	return waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 3 ? 0 : 1;
}

static void a_process_has_a_beginning_and_an_end(void **state)
{
	struct bed *b = bed_get(state);
	pid_t pid = bed_play(b, play_nothing, NULL);
	const struct event_exec *adopt = bed_find(b, EVENT_ADOPT, pid, 0);
	const struct event_exit *end = bed_find(b, EVENT_EXIT, pid, 0);

	assert_non_null(adopt);
	assert_int_equal(adopt->header.actor.session, BED_SESSION);
	assert_int_equal(adopt->header.actor.task, 7);
	assert_int_equal(adopt->parent_tgid, getpid());
	assert_non_null(end);
	assert_int_equal(end->status, 0);
	assert_int_equal(bed_count(b, EVENT_EXIT, pid), 1);
	assert_int_equal(source_tag_of(b->source, pid, &(struct tag){}), -ENOENT);
}

static void children_inherit_and_exec_is_told(void **state)
{
	struct bed *b = bed_get(state);
	pid_t pid = bed_play(b, play_fork_exec, NULL);
	const struct event_fork *child = bed_find(b, EVENT_FORK, 0, 0);
	const struct event_exec *exec;
	const struct event_exit *end;

	assert_non_null(child);
	assert_int_equal(child->parent_tgid, pid);
	assert_int_equal(child->header.actor.session, BED_SESSION);
	exec = bed_find(b, EVENT_EXEC, child->header.actor.tgid, 0);
	assert_non_null(exec);
	assert_int_equal(exec->header.actor.exec_seq, child->header.actor.exec_seq + 1);
	assert_int_equal(exec->argc, 3);
	assert_memory_equal(exec->data + exec->exe_len + exec->cwd_len, "/bin/sh", exec->filename_len);
	assert_int_equal(exec->argv_len, sizeof("sh\0-c\0exit 3"));
	end = bed_find(b, EVENT_EXIT, child->header.actor.tgid, 0);
	assert_non_null(end);
	assert_int_equal(WEXITSTATUS(end->status), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_process_has_a_beginning_and_an_end),
		cmocka_unit_test(children_inherit_and_exec_is_told),
	};

	return cmocka_run_group_tests(tests, bed_setup, bed_teardown);
}
