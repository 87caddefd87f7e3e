// SPDX-License-Identifier: Apache-2.0
/* Where a set of maps begins to count, and when it is taken over, or made anew. */
#include "source_bed.h"

#include <bpf/bpf.h>

#define SMALL_RING 16384

static int play_nothing(void *data)
{
	(void)data;
	return 0;
}

static void bed_begin(struct bed *b, const char *name, uint64_t past)
{
	snprintf(b->pin_dir, sizeof(b->pin_dir), "/sys/fs/bpf/affiant-test-%s-%d", name, getpid());
	b->config = (struct source_config){
		.pin_dir = b->pin_dir, .ring_bytes = SMALL_RING, .max_tags = 64};
	if (source_open(&b->config, &b->source, b->why, sizeof(b->why)) ||
	    source_attach(b->source, past, b->why, sizeof(b->why)))
		fail_msg("%s", b->why);
}

static void bed_end(struct bed *b)
{
	bed_close(b);
	assert_int_equal(source_uninstall(b->pin_dir, b->why, sizeof(b->why)), 0);
}

static void bed_remove_pin(const struct bed *b, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", b->pin_dir, name);
	assert_int_equal(unlink(path), 0);
}

static uint64_t boottime_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec * UINT64_C(1000000000) + t.tv_nsec;
}

/* The lowest number of all its events. */
static uint64_t lowest(const struct bed *b)
{
	const struct event_header *h = NULL;
	uint64_t low = UINT64_MAX;

	while ((h = bed_next(b, h)))
		low = h->sequence < low ? h->sequence : low;
	return low;
}

static void numbers_begin_with_the_time(void **state)
{
	struct bed *all = bed_get(state), b = {.buffer = all->buffer};
	uint64_t before = boottime_ns(), now;
	struct source_epoch epoch;
	pid_t pid;

	bed_begin(&b, "base", 0);
	source_get_epoch(b.source, &epoch);
	assert_true(epoch.base >= before / 4000 && epoch.base <= boottime_ns() / 4000);
	assert_int_equal(source_boottime(b.source, &now), 0);
	assert_true(now >= before && now <= boottime_ns());
	pid = bed_play(&b, play_nothing, NULL);
	assert_int_equal(lowest(&b), epoch.base + 1);
	assert_int_equal(bed_count(&b, EVENT_EXIT, pid), 1);
	bed_end(&b);
}

static void numbers_begin_above_what_is_known(void **state)
{
	struct bed *all = bed_get(state), b = {.buffer = all->buffer};
	const uint64_t past = UINT64_C(1) << 46;
	struct source_epoch first, again, other;
	struct source *s = NULL;

	bed_begin(&b, "past", past);
	source_get_epoch(b.source, &first);
	assert_int_equal(first.base, past);
	bed_play(&b, play_nothing, NULL);
	assert_int_equal(lowest(&b), past + 1);
	/* Who takes the maps over goes on with them, whatever he knows. */
	bed_close(&b);
	b.used = 0;
	bed_begin(&b, "past", past + 1000000);
	source_get_epoch(b.source, &again);
	assert_memory_equal(&first, &again, sizeof(first));
	assert_true(source_continued(b.source));
	bed_play(&b, play_nothing, NULL);
	assert_true(lowest(&b) < past + 1000);
	bed_end(&b);

	bed_begin(&b, "past", 0);
	source_get_epoch(b.source, &other);
	assert_memory_not_equal(first.id, other.id, sizeof(first.id));
	assert_false(source_continued(b.source));
	bed_end(&b);

	assert_int_equal(source_open(&b.config, &s, b.why, sizeof(b.why)), 0);
	assert_int_equal(source_attach(s, UINT64_C(1) << 48, b.why, sizeof(b.why)), -EOVERFLOW);
	source_close(s);
	assert_int_equal(access(b.pin_dir, F_OK), -1);
}

/* A start that ends between its steps leaves nothing that a later one takes for whole. */
static void what_was_not_finished_is_made_again(void **state)
{
	struct bed *all = bed_get(state), b = {.buffer = all->buffer};
	struct source_epoch first, again;
	struct source *s = NULL;
	struct control c;
	uint32_t zero = 0;
	char path[128];
	int fd;

	bed_begin(&b, "half", 0);
	source_get_epoch(b.source, &first);
	bed_end(&b);
	assert_int_equal(source_open(&b.config, &s, b.why, sizeof(b.why)), 0);
	source_close(s);
	assert_int_equal(access(b.pin_dir, F_OK), -1);

	bed_begin(&b, "half", 0);
	bed_close(&b);
	snprintf(path, sizeof(path), "%s/map_control", b.pin_dir);
	for (int i = 0; i < 2; i++) {
		fd = bpf_obj_get(path);
		assert_true(fd >= 0);
		assert_int_equal(bpf_map_lookup_elem(fd, &zero, &c), 0);
		assert_int_equal(c.setups, 1);
		if (i)
			c.sequence_base = 0;
		else
			c.setups = 0;
		assert_int_equal(bpf_map_update_elem(fd, &zero, &c, BPF_ANY), 0);
		close(fd);
		bed_begin(&b, "half", 0);
		source_get_epoch(b.source, &again);
		assert_memory_not_equal(first.id, again.id, sizeof(first.id));
		assert_memory_not_equal(c.epoch, again.id, sizeof(again.id));
		assert_false(source_continued(b.source));
		bed_play(&b, play_nothing, NULL);
		assert_true(lowest(&b) > again.base);
		b.used = 0;
		bed_close(&b);
	}
	assert_int_equal(source_uninstall(b.pin_dir, b.why, sizeof(b.why)), 0);
}

static void what_belongs_together_is_there_or_made_again(void **state)
{
	static const char *const pins[] = {"map_control", "map_sequences",     "map_losses",
					   "map_events",  "map_tags",          "map_shares",
					   "map_sockets", "map_dispatch_exit", "link_exit",
					   "prog_exec",   "link_connect6"};
	struct bed *all = bed_get(state), b = {.buffer = all->buffer};
	struct source_epoch before, after;

	bed_begin(&b, "set", 0);
	source_get_epoch(b.source, &before);
	for (size_t i = 0; i < sizeof(pins) / sizeof(*pins); i++) {
		bed_close(&b);
		bed_remove_pin(&b, pins[i]);
		bed_begin(&b, "set", 0);
		source_get_epoch(b.source, &after);
		assert_memory_not_equal(before.id, after.id, sizeof(before.id));
		assert_false(source_continued(b.source));
		before = after;
		b.used = 0;
		bed_play(&b, play_nothing, NULL);
		assert_true(lowest(&b) > after.base);
	}
	bed_end(&b);
}

/* Its pins are another version's: that is for a person to decide. */
static void another_shape_is_an_error(void **state)
{
	struct bed *all = bed_get(state), b = {.buffer = all->buffer};
	struct source *s = NULL;
	char path[128];
	int fd;

	bed_begin(&b, "shape", 0);
	bed_close(&b);
	bed_remove_pin(&b, "map_tags");
	fd = bpf_map_create(BPF_MAP_TYPE_HASH, "tags", 4, 40, 64, NULL);
	assert_true(fd >= 0);
	snprintf(path, sizeof(path), "%s/map_tags", b.pin_dir);
	assert_int_equal(bpf_obj_pin(fd, path), 0);
	close(fd);
	bed_remove_pin(&b, "map_shares");
	assert_int_equal(source_open(&b.config, &s, b.why, sizeof(b.why)), -ESTALE);
	assert_non_null(strstr(b.why, "affiant uninstall-bpf"));
	assert_int_equal(source_uninstall(b.pin_dir, b.why, sizeof(b.why)), 0);
}

/* ---- sessions that are marked ---- */

static bool keep_even(uint64_t session, void *asked)
{
	++*(unsigned int *)asked;
	return session % 2 == 0;
}

static void marks_are_swept(void **state)
{
	struct bed *all = bed_get(state), b = {.buffer = all->buffer};
	unsigned int asked = 0;
	char path[128];
	int fd;

	bed_begin(&b, "marks", 0);
	snprintf(path, sizeof(path), "%s/map_unseen", b.pin_dir);
	fd = bpf_obj_get(path);
	assert_true(fd >= 0);
	assert_int_equal(source_sweep_unseen(b.source, 1000, keep_even, &asked), 0);
	assert_int_equal(asked, 0);
	for (uint64_t key = 1; key <= 500; key++) {
		uint64_t at = key <= 400 ? 10 : 1000;

		assert_int_equal(bpf_map_update_elem(fd, &key, &at, BPF_ANY), 0);
	}
	assert_int_equal(source_sweep_unseen(b.source, 1000, keep_even, &asked), 0);
	assert_int_equal(asked, 400);
	for (uint64_t key = 1; key <= 500; key++)
		assert_int_equal(source_unseen(b.source, key), key > 400 || key % 2 == 0);
	close(fd);
	bed_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_begin_with_the_time),
		cmocka_unit_test(numbers_begin_above_what_is_known),
		cmocka_unit_test(what_was_not_finished_is_made_again),
		cmocka_unit_test(what_belongs_together_is_there_or_made_again),
		cmocka_unit_test(another_shape_is_an_error),
		cmocka_unit_test(marks_are_swept),
	};

	return cmocka_run_group_tests(tests, bed_setup, bed_teardown);
}
