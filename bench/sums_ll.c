// SPDX-License-Identifier: GPL-2.0-only
/*
 * sums_ll: a server that sees every byte and copies none, whatever the transport does.
 *
 *     sums_ll [--no-channel] MOUNTPOINT
 *
 * MOUNTPOINT/data.0 is all there is. What is written is summed up, as programs do that look for
 * duplicates; what is read is made where the reply is to be, as those do that decompress, and summed
 * up. The last sum is to be seen as the file's change time, so no compiler can leave it out.
 */
#include "../example/object_store/xxh3.h"
#include "../example/serve.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define FILE_ID	  2
#define FILE_NAME "data.0"
#define FILE_SIZE (INT64_C(128) << 20)
#define TIMEOUT	  86400.0

static struct {
	int no_channel;
} options;

static _Atomic(uint64_t) last_sum;

static struct stat attr_of(fuse_ino_t ino)
{
	return (struct stat){
		.st_ino = ino,
		.st_mode = ino == FILE_ID ? S_IFREG | 0644 : S_IFDIR | 0755,
		.st_nlink = ino == FILE_ID ? 1 : 2,
		.st_size = ino == FILE_ID ? FILE_SIZE : 0,
		.st_ctim.tv_nsec = (long)(last_sum % 1000000000),
	};
}

static void sums_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct fuse_entry_param entry = {
		.ino = FILE_ID,
		.attr = attr_of(FILE_ID),
		.attr_timeout = TIMEOUT,
		.entry_timeout = TIMEOUT,
	};

	if (strcmp(name, FILE_NAME) == 0)
		fuse_reply_entry(req, &entry);
	else
		fuse_reply_err(req, ENOENT);
}

static void sums_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat attr = attr_of(ino);

	fuse_reply_attr(req, &attr, TIMEOUT);
}

static void sums_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
			 struct fuse_file_info *fi)
{
	sums_getattr(req, ino, fi);
}

static void sums_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	fi->direct_io = 1;
	fuse_reply_open(req, fi);
}

/* Each word is its own place in the file, counted in words. */
static void make(char *place, size_t size, off_t off)
{
	uint64_t first = (uint64_t)off / sizeof(first);
	uint64_t *words = (uint64_t *)(void *)place;

	for (size_t i = 0; i < size / sizeof(*words); i++)
		words[i] = first + i;
}

static void sums_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		      struct fuse_file_info *fi)
{
	char *place;
	size_t room;

	if (fuse_req_get_payload(req, &place, &room, NULL) != 0 || room < size) {
		fuse_reply_err(req, EOPNOTSUPP);
		return;
	}
	make(place, size, off);
	last_sum = XXH3_64bits(place, size);
	fuse_reply_buf(req, place, size);
}

static void sums_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size,
		       off_t off, struct fuse_file_info *fi)
{
	last_sum = XXH3_64bits(buf, size);
	fuse_reply_write(req, size);
}

static const struct fuse_lowlevel_ops operations = {
	.lookup = sums_lookup,
	.getattr = sums_getattr,
	.setattr = sums_setattr,
	.open = sums_open,
	.read = sums_read,
	.write = sums_write,
};

static int started(struct fuse_session *session)
{
	return options.no_channel ? 0 : serve_memory(session);
}

static const struct fuse_opt table[] = {
	{ "--no-channel", offsetof(__typeof__(options), no_channel), 1 },
	FUSE_OPT_END,
};

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	const struct program program = {
		.help = "    --no-channel           takes no memory from clients\n",
		.operations = &operations,
		.started = started,
	};
	int status = 1;

	if (fuse_opt_parse(&args, &options, table, NULL) == 0)
		status = serve(&args, &program);
	fuse_opt_free_args(&args);
	return status;
}
