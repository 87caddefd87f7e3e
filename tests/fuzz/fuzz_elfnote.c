/* SPDX-License-Identifier: Apache-2.0 */
#include "collect/elfnote.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct elfnote note;

	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	if (elfnote_read(fd, &note) == 0 && note.build_id_len > BUILD_ID_MAX)
		abort();
	return 0;
}
