/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forge_pinned fuse|odirect VICTIM [outside]: maps a page of VICTIM's, begins to read into it what
 * arrives late, unmaps and closes it: nobody has it open for writing any more. A child executes it,
 * and then the read ends: the bytes of a running file change. What the child says is
 * forge_victim's.
 *
 * fuse: the read is of a file that is always read by direct I/O. odirect: by its reader's choice
 * (O_DIRECT). outside: executes nothing, says "pinned", and after a byte of its input "landed".
 */
#include "fuse_file.h"

#include <pthread.h>

struct reading {
	int fd;
	void *page;
	int done[2];
};

static void *read_into(void *data)
{
	struct reading *r = data;

	if (read(r->fd, r->page, PAGE) != PAGE)
		err(1, "the direct read");
	signal_byte(r->done[1]);
	return NULL;
}

static void thread_start(void *run(void *), void *data)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, data))
		errx(1, "no thread");
}

static void *map_page(const char *path, const struct mark *m)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	char *page;

	if (fd < 0)
		err(1, "%s", path);
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, m->at);
	if (page == MAP_FAILED)
		err(1, "mmap");
	close(fd);
	return page;
}

int main(int argc, char **argv)
{
	static struct mark m;
	struct fuse_file file = {.reply = m.page};
	int asked[2], answer[2];
	struct reading reading;
	struct child child;

	usage_unless(argc == 3 || argc == 4, "forge_pinned fuse|odirect VICTIM [outside]");
	file.direct = !strcmp(argv[1], "fuse");
	mark_find(argv[2], &m);
	m.page[MARK_STATE] = 'B';
	pipe_of(asked);
	pipe_of(answer);
	file.asked = asked[1];
	file.answer = answer[0];
	pipe_of(reading.done);

	own_namespaces(CLONE_NEWNS);
	fuse_file_mount(&file);
	fuse_file_serve(&file);
	reading.fd = open(FUSE_FILE_MOUNT, O_RDONLY | O_CLOEXEC | (file.direct ? 0 : O_DIRECT));
	if (reading.fd < 0)
		err(1, "%s", FUSE_FILE_MOUNT);
	reading.page =
		map_page(argv[2], &m); /* the server, a child, is not to have it mapped too */
	thread_start(read_into, &reading);
	await_byte(asked[0]);
	munmap(reading.page, PAGE);

	if (argc == 4) {
		say("pinned");
		await_byte(STDIN_FILENO);
	} else {
		child_start(&child, -1, argv[2]);
	}
	signal_byte(answer[1]);
	await_byte(reading.done[0]);
	if (argc == 4)
		say("landed");
	return argc == 4 ? 0 : child_end(&child);
}
