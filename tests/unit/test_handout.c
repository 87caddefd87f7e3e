/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/handout.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#include "attest/ossl.h"
#include "attest/parts.h"
#include "attest/systemdlog.h"
#include "base/cleanup.h"
#include "handed.h"

#define IMA "sys/kernel/security/ima/binary_runtime_measurements"
#define BOOT "sys/kernel/security/tpm0/binary_bios_measurements"
#define SYSTEMD "run/log/systemd/tpm2-measure.log"
#define HEAD "{\"__cmwc_t\":\"" CMW_TYPE_HOST "\""
#define ENTRY_LEN (4 + 20 + 4 + 6 + 4 + 90)
#define TIMEOUT_NS 700000000ull
#define SOON_MS 5000

struct bed {
	char directory[64];
	int root;
	struct handout *handout;
};

static int set_up(void **state)
{
	static const char *const made[] = {"sys",
					   "sys/kernel",
					   "sys/kernel/security",
					   "sys/kernel/security/ima",
					   "sys/kernel/security/tpm0",
					   "run",
					   "run/log",
					   "run/log/systemd"};
	struct bed *b = calloc(1, sizeof(*b));

	strcpy(b->directory, "/tmp/affiant-handout-XXXXXX");
	if (!mkdtemp(b->directory))
		return 1;
	b->root = open(b->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < sizeof(made) / sizeof(*made); i++)
		if (mkdirat(b->root, made[i], 0700) < 0)
			return 1;
	*state = b;
	return handout_new(b->root, TIMEOUT_NS, &b->handout);
}

static int tear_down(void **state)
{
	struct bed *b = *state;
	char command[128];

	handout_free(b->handout);
	close(b->root);
	snprintf(command, sizeof(command), "rm -r %s", b->directory);
	if (system(command))
		return 1;
	free(b);
	return 0;
}

static void put_log(struct bed *b, const char *path, const void *data, size_t len)
{
	_cleanup_close_ int fd = openat(b->root, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	while (len) {
		ssize_t n = write(fd, data, len);

		assert_true(n > 0);
		data = (const char *)data + n;
		len -= n;
	}
}

/* Entries that can be told apart by their data. */
static uint8_t *ima_list(size_t entries)
{
	uint8_t *list = calloc(entries, ENTRY_LEN), *at = list;
	static const uint32_t pcr = 10, name_len = 6, data_len = 90;

	assert_non_null(list);
	for (uint32_t i = 0; i < entries; i++, at += ENTRY_LEN) {
		memcpy(at, &pcr, 4);
		memcpy(at + 24, &name_len, 4);
		memcpy(at + 28, "ima-ng", 6);
		memcpy(at + 34, &data_len, 4);
		memcpy(at + 38, &i, 4);
	}
	return list;
}

/* What came, taken apart. To be cleared by clear(). */
static void take(struct handed *of, struct cmw_item items[static HOST_MEMBERS])
{
	_cleanup_free_ char *text = NULL;
	struct cmw_fault fault;
	struct parts p;
	size_t len;

	assert_int_equal(of->err, 0);
	text = handed_read(of, &len);
	assert_int_equal(len, of->size);
	parts_init(&p);
	assert_int_equal(cmw_read(text, len, &p.host, &fault), 0);
	for (size_t i = 0; i < HOST_MEMBERS; i++)
		assert_int_equal(cmw_decode(&p.host_items[i]), 0);
	memcpy(items, p.host_items, sizeof(p.host_items));
}

static void clear(struct cmw_item items[static HOST_MEMBERS])
{
	cmw_clear(&(struct cmw){.items = items, .count = HOST_MEMBERS});
}

static void ask(struct bed *b, uint64_t from, struct handed *ret)
{
	assert_int_equal(handed_begin(b->handout, 1, HEAD, from, ret), 0);
	assert_true(handed_wait(b->handout, ret, SOON_MS));
}

/* ---- what comes out ---- */

static void test_without_logs(void **state)
{
	struct cmw_item items[HOST_MEMBERS];
	struct handed h;

	ask(*state, 0, &h);
	assert_int_equal(h.size, strlen(HEAD "}"));
	take(&h, items);
	for (size_t i = 0; i < HOST_MEMBERS; i++)
		assert_null(items[i].content);
	ask(*state, 1, &h);
	assert_int_equal(h.err, -ERANGE);
}

/* Around the sizes of blocks, groups of three and steps. */
static void test_logs_of_all_lengths(void **state)
{
	static const size_t lengths[] = {0,
					 1,
					 2,
					 3,
					 49151,
					 49152,
					 49153,
					 98304,
					 HANDOUT_STEP,
					 HANDOUT_STEP + 1,
					 3 * HANDOUT_STEP - 1};
	_cleanup_free_ uint8_t *data = malloc(3 * HANDOUT_STEP);

	for (size_t i = 0; i < 3 * HANDOUT_STEP; i++)
		data[i] = i * 2654435761u >> 13;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		struct cmw_item items[HOST_MEMBERS];
		struct handed h;

		put_log(*state, BOOT, data, lengths[i]);
		put_log(*state, SYSTEMD, data + 1, lengths[i] / 4);
		ask(*state, 0, &h);
		take(&h, items);
		assert_int_equal(items[BOOT_LOG].len, lengths[i]);
		assert_memory_equal(items[BOOT_LOG].content, data, lengths[i]);
		assert_int_equal(items[SYSTEMD_LOG].len, lengths[i] / 4);
		assert_memory_equal(items[SYSTEMD_LOG].content, data + 1, lengths[i] / 4);
		clear(items);
	}
}

/* What no verifier takes is as good as not there. */
static void test_a_log_too_long(void **state)
{
	_cleanup_free_ uint8_t *data = calloc(1, SYSTEMDLOG_SIZE_MAX + 1);

	for (size_t more = 0; more < 2; more++) {
		struct cmw_item items[HOST_MEMBERS];
		struct handed h;

		put_log(*state, SYSTEMD, data, SYSTEMDLOG_SIZE_MAX + more);
		ask(*state, 0, &h);
		take(&h, items);
		assert_true(more ? !items[SYSTEMD_LOG].content :
				   items[SYSTEMD_LOG].len == SYSTEMDLOG_SIZE_MAX);
		clear(items);
	}
}

static void assert_part(struct bed *b, const uint8_t *list, size_t entries, size_t from)
{
	struct cmw_item items[HOST_MEMBERS];
	struct handed h;
	char range[64];

	ask(b, from, &h);
	take(&h, items);
	snprintf(range, sizeof(range), "{\"from\":%zu,\"entries\":%zu}", from, entries - from);
	assert_string_equal((const char *)items[IMA_RANGE].content, range);
	assert_int_equal(items[IMA_LOG].len, (entries - from) * ENTRY_LEN);
	assert_memory_equal(items[IMA_LOG].content, list + from * ENTRY_LEN, items[IMA_LOG].len);
	clear(items);
}

/* From any entry on, whatever step of reading it lies in; an entry that is not whole is left out. */
static void test_ima_list_from_an_entry_on(void **state)
{
	const size_t entries = 3 * HANDOUT_STEP / ENTRY_LEN;
	_cleanup_free_ uint8_t *list = ima_list(entries);
	struct handed h;

	put_log(*state, IMA, list, entries * ENTRY_LEN);
	assert_part(*state, list, entries, 0);
	assert_part(*state, list, entries, 1);
	assert_part(*state, list, entries, HANDOUT_STEP / ENTRY_LEN);
	assert_part(*state, list, entries, HANDOUT_STEP / ENTRY_LEN + 1);
	assert_part(*state, list, entries, entries - 1);
	assert_part(*state, list, entries, entries);
	ask(*state, entries + 1, &h);
	assert_int_equal(h.err, -ERANGE);
	put_log(*state, IMA, list, entries * ENTRY_LEN - 7);
	assert_part(*state, list, entries - 1, 3);
	memset(list + 24, 0xff, 4);
	put_log(*state, IMA, list, entries * ENTRY_LEN);
	ask(*state, 0, &h);
	assert_int_equal(h.err, -EBADMSG);
}

/* ---- who waits for whom ---- */

/* Larger than a pipe. */
static void put_large(struct bed *b)
{
	_cleanup_free_ uint8_t *data = calloc(1, HANDOUT_STEP);

	put_log(b, BOOT, data, HANDOUT_STEP);
}

/* Another session waits for nobody; the own next request waits until the first was read. */
static void test_one_of_a_session(void **state)
{
	struct bed *b = *state;
	struct handed first, second, other;
	struct cmw_item items[HOST_MEMBERS];

	put_large(b);
	ask(b, 0, &first);
	assert_int_equal(handed_begin(b->handout, 1, HEAD, 0, &second), 0);
	assert_int_equal(handed_begin(b->handout, 2, HEAD, 0, &other), 0);
	assert_true(handed_wait(b->handout, &other, SOON_MS));
	take(&other, items);
	clear(items);
	assert_false(second.told);
	take(&first, items);
	clear(items);
	assert_true(handed_wait(b->handout, &second, SOON_MS));
	take(&second, items);
	clear(items);
}

static void test_queue_of_a_session(void **state)
{
	struct bed *b = *state;
	struct handed first, waiting[HANDOUT_QUEUE_MAX], more, other;

	put_large(b);
	ask(b, 0, &first);
	for (size_t i = 0; i < HANDOUT_QUEUE_MAX; i++)
		assert_int_equal(handed_begin(b->handout, 1, HEAD, 0, &waiting[i]), 0);
	assert_int_equal(handed_begin(b->handout, 1, HEAD, 0, &more), -EBUSY);
	assert_int_equal(handed_begin(b->handout, 2, HEAD, 0, &other), 0);
	assert_true(handed_wait(b->handout, &other, SOON_MS));
	close(other.fd);
	close(first.fd); /* who goes makes room */
	assert_true(handed_wait(b->handout, &waiting[0], SOON_MS));
	close(waiting[0].fd);
	/* The rest ends with the handout. */
}

/* Who doesn't read is left behind, and knows: less than was promised comes out. */
static void test_reader_that_does_not_read(void **state)
{
	struct bed *b = *state;
	struct handed first, second;
	struct timespec from, to;
	size_t len;
	char *text;

	put_large(b);
	clock_gettime(CLOCK_MONOTONIC, &from);
	ask(b, 0, &first);
	assert_int_equal(handed_begin(b->handout, 1, HEAD, 0, &second), 0);
	assert_true(handed_wait(b->handout, &second, 20000));
	clock_gettime(CLOCK_MONOTONIC, &to);
	assert_true((to.tv_sec - from.tv_sec) * 1e9 + (to.tv_nsec - from.tv_nsec) >= TIMEOUT_NS);
	text = handed_read(&first, &len);
	assert_true(len < first.size);
	free(text);
	close(second.fd);
}

/* So many at once, however many sessions there are; then the next one's turn comes. */
static void test_bounded_in_all(void **state)
{
	struct bed *b = *state;
	struct handed at_once[HANDOUT_STREAMS_MAX], more;

	put_large(b);
	for (size_t i = 0; i < HANDOUT_STREAMS_MAX; i++) {
		assert_int_equal(handed_begin(b->handout, 100 + i, HEAD, 0, &at_once[i]), 0);
		assert_true(handed_wait(b->handout, &at_once[i], SOON_MS));
	}
	assert_int_equal(handed_begin(b->handout, 7, HEAD, 0, &more), 0);
	assert_false(handed_wait(b->handout, &more, 100));
	for (size_t i = 0; i < HANDOUT_STREAMS_MAX; i++)
		close(at_once[i].fd);
	assert_true(handed_wait(b->handout, &more, SOON_MS));
	close(more.fd);
}

/* Those who take nothing hold up nobody, however many they are and however much they ask for. */
static void test_readers_that_hold_up_others(void **state)
{
	struct bed *b = *state;
	struct handout *h;
	struct handed at_once[HANDOUT_STREAMS_MAX], again[2 * HANDOUT_STREAMS_MAX], more;

	put_large(b);
	assert_int_equal(handout_new(b->root, 60000000000ull, &h), 0);
	for (size_t i = 0; i < HANDOUT_STREAMS_MAX; i++) {
		assert_int_equal(handed_begin(h, 100 + i, HEAD, 0, &at_once[i]), 0);
		assert_true(handed_wait(h, &at_once[i], SOON_MS));
	}
	for (size_t i = 0; i < 2 * HANDOUT_STREAMS_MAX; i++)
		assert_int_equal(handed_begin(h, 100 + i / 2, HEAD, 0, &again[i]), 0);
	assert_int_equal(handed_begin(h, 7, HEAD, 0, &more), 0);
	for (int i = 0; i < 10 && !more.told; i++)
		(void)handed_wait(h, &more, 1000);
	assert_true(more.told);
	close(more.fd);
	handout_free(h);
	for (size_t i = 0; i < HANDOUT_STREAMS_MAX; i++)
		close(at_once[i].fd);
	for (size_t i = 0; i < 2 * HANDOUT_STREAMS_MAX; i++)
		if (again[i].fd >= 0)
			close(again[i].fd);
}

/* A log that shrinks between its two readings gives less than was promised, not other bytes. */
static void test_log_that_shrinks(void **state)
{
	struct bed *b = *state;
	struct handed h;
	size_t len;
	char *text;

	put_large(b);
	ask(b, 0, &h);
	put_log(b, BOOT, "", 0);
	text = handed_read(&h, &len);
	assert_true(len < h.size);
	free(text);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_without_logs),
		TEST(test_logs_of_all_lengths),
		TEST(test_a_log_too_long),
		TEST(test_ima_list_from_an_entry_on),
		TEST(test_one_of_a_session),
		TEST(test_queue_of_a_session),
		TEST(test_reader_that_does_not_read),
		TEST(test_bounded_in_all),
		TEST(test_readers_that_hold_up_others),
		TEST(test_log_that_shrinks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
