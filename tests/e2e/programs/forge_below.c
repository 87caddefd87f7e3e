/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forge_below IMAGE: its own file lies in a file system whose image is the file IMAGE: lets go of
 * it, stores into the image, and has the kernel forget the pages that it read before: "forged". No
 * time of the file changes. Then it waits for the end of its input.
 */
#include "let_go.h"

/*
 * The page by its beginning, which has a number of its own: the image may hold other victims, and a
 * file at any place.
 */
static off_t find_page(int image, const char *page)
{
	static char block[1 << 20];
	const char *found;
	ssize_t n;

	for (off_t at = 0; (n = pread(image, block, sizeof(block), at)) >= PAGE;
	     at += n - PAGE + 1) {
		found = memmem(block, n, page, PAGE / 16);
		if (found)
			return at + (found - block);
	}
	errx(1, "the image does not hold the page");
}

static char state_of(const char *path, const struct mark *m)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char state;

	if (fd < 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) ||
	    pread(fd, &state, 1, m->at + MARK_STATE) != 1)
		err(1, "%s", path);
	close(fd);
	return state;
}

int main(int argc, char **argv)
{
	char own[4096] = "";
	struct mark m, below;
	int image;

	usage_unless(argc == 2, "forge_below IMAGE");
	if (readlink("/proc/self/exe", own, sizeof(own) - 1) < 0)
		err(1, "/proc/self/exe");
	mark_find(own, &m);
	image = open(argv[1], O_RDWR | O_CLOEXEC);
	if (image < 0)
		err(1, "%s", argv[1]);
	let_go();
	below.at = find_page(image, m.page);
	mark_store(image, &below);
	if (fsync(image))
		err(1, "fsync");
	say(state_of(own, &m) == 'B' ? "forged" : "the kernel keeps the pages");
	await_end();
	return 0;
}
