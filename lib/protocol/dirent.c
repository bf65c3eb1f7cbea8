// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The records of which the replies to READDIR and READDIRPLUS are made.
 */
#include <string.h>

#include "protocol/protocol.h"

/*
 * A record is `head_size` bytes of `head`, which ends with a fuse_dirent, the name and
 * zeros up to the next multiple of 8. The place for it may have any alignment.
 */
static void put_record(char *buf, size_t size, const void *head, size_t head_size,
		       const char *name, size_t name_size)
{
	memcpy(buf, head, head_size);
	memcpy(buf + head_size, name, name_size);
	memset(buf + head_size + name_size, 0, size - head_size - name_size);
}

static void encode_dirent(struct fuse_dirent *dirent, const struct stat *stat,
			  size_t name_size, off_t off)
{
	dirent->ino = stat->st_ino;
	dirent->off = (uint64_t)off;
	dirent->namelen = (uint32_t)name_size;
	dirent->type = (stat->st_mode & S_IFMT) >> 12;
}

size_t fuse_add_direntry(fuse_req_t req, char *buf, size_t bufsize, const char *name,
			 const struct stat *stbuf, off_t off)
{
	size_t name_size = strlen(name);
	size_t size = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + name_size);

	if (buf && size <= bufsize) {
		struct fuse_dirent dirent;

		encode_dirent(&dirent, stbuf, name_size, off);
		put_record(buf, size, &dirent, FUSE_NAME_OFFSET, name, name_size);
	}
	return size;
}

size_t fuse_add_direntry_plus(fuse_req_t req, char *buf, size_t bufsize, const char *name,
			      const struct fuse_entry_param *e, off_t off)
{
	size_t name_size = strlen(name);
	size_t size = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET_DIRENTPLUS + name_size);

	if (buf && size <= bufsize) {
		struct fuse_direntplus plus;

		fuse_entry_from_param(&plus.entry_out, e);
		encode_dirent(&plus.dirent, &e->attr, name_size, off);
		put_record(buf, size, &plus, FUSE_NAME_OFFSET_DIRENTPLUS, name,
			   name_size);
	}
	return size;
}
