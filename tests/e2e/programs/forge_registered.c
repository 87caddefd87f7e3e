/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forge_registered VICTIM|memfd:VICTIM: registers a page of VICTIM's as an io_uring's buffer,
 * unmaps and closes it. A child executes it, and then something is read into the buffer: the bytes
 * of a running file change. What the child says is forge_victim's. With memfd: it is a copy in
 * memory.
 *
 * The kernel refuses such buffers of files that are written back to a disk: this is for tmpfs and
 * memfd.
 */
#include "memory.h"

#include <liburing.h>

/* Returns where the page was mapped: the buffer's name from then on. */
static void *pin(struct io_uring *ring, int fd, const struct mark *m)
{
	struct iovec page = {.iov_len = PAGE};
	int r = io_uring_queue_init(4, ring, 0);

	if (r < 0)
		skip("no io_uring here: %s", strerror(-r));
	page.iov_base = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, m->at);
	if (page.iov_base == MAP_FAILED)
		err(1, "mmap");
	r = io_uring_register_buffers(ring, &page, 1);
	if (r < 0)
		skip("no registered buffer of this file: %s", strerror(-r));
	munmap(page.iov_base, PAGE);
	return page.iov_base;
}

static void land(struct io_uring *ring, const struct mark *m, void *buffer)
{
	int from = memfd_create("later", MFD_CLOEXEC);
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct io_uring_cqe *cqe;

	if (from < 0 || write(from, m->page, PAGE) != PAGE)
		err(1, "memfd");
	io_uring_prep_read_fixed(sqe, from, buffer, PAGE, 0, 0);
	if (io_uring_submit(ring) != 1 || io_uring_wait_cqe(ring, &cqe) || cqe->res != PAGE)
		errx(1, "the read into the buffer");
}

int main(int argc, char **argv)
{
	static struct mark m;
	struct io_uring ring;
	struct child child;
	int fd, in_memory;
	const char *path;
	void *buffer;

	usage_unless(argc == 2, "forge_registered VICTIM|memfd:VICTIM");
	in_memory = !strncmp(argv[1], "memfd:", 6);
	path = argv[1] + (in_memory ? 6 : 0);
	mark_find(path, &m);
	m.page[MARK_STATE] = 'B';
	fd = in_memory ? memory_copy(path) : open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		err(1, "%s", path);
	buffer = pin(&ring, fd, &m);
	if (in_memory) /* executed by a descriptor that can't write */
		fd = memory_reopened(fd);
	else
		close(fd);
	child_start(&child, in_memory ? fd : -1, path);
	land(&ring, &m, buffer);
	return child_end(&child);
}
