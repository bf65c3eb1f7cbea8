// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The opcode table: all that the library knows of an opcode, but for the code that takes
 * its arguments apart.
 */
#include "protocol/opcode.h"

/* Fails to compile when the argument would not fit into fuse_message.arg. */
#define SIZE(type) (sizeof(char[sizeof(type) <= FUSE_ARG_MAX ? 1 : -1]) * sizeof(type))

#define OP(name_, type_, flags_, decode_)           \
	[FUSE_##name_] = { .name = #name_,          \
			   .arg_size = SIZE(type_), \
			   .arg_min = SIZE(type_),  \
			   .flags = (flags_),       \
			   .decode = fuse_decode_##decode_ }

/* The first argument is a name, or there is none. */
#define OP_BARE(name_, flags_, decode_)       \
	[FUSE_##name_] = { .name = #name_,    \
			   .flags = (flags_), \
			   .decode = fuse_decode_##decode_ }

/* The argument was shorter once, or is under some conditions. */
#define OP_GREW(name_, type_, min_, flags_, decode_) \
	[FUSE_##name_] = { .name = #name_,           \
			   .arg_size = SIZE(type_),  \
			   .arg_min = (min_),        \
			   .flags = (flags_),        \
			   .decode = fuse_decode_##decode_ }

#define UNANSWERED (FUSE_OP_NO_REPLY | FUSE_OP_OTHERS)
#define OTHERS	   FUSE_OP_OTHERS

static const struct fuse_opcode_entry table[] = {
	/* major and minor are all that a reader of any version can count on */
	OP_GREW(INIT, struct fuse_init_in, 8, OTHERS, init),
	OP_BARE(DESTROY, OTHERS, destroy),
	OP(INTERRUPT, struct fuse_interrupt_in, UNANSWERED, interrupt),

	OP_BARE(LOOKUP, 0, lookup),
	OP(FORGET, struct fuse_forget_in, UNANSWERED, forget),
	OP(BATCH_FORGET, struct fuse_batch_forget_in, UNANSWERED, batch_forget),
	OP(GETATTR, struct fuse_getattr_in, 0, getattr),
	OP(SETATTR, struct fuse_setattr_in, 0, setattr),
	OP(STATX, struct fuse_statx_in, 0, statx),
	OP(ACCESS, struct fuse_access_in, 0, access),
	OP_BARE(READLINK, 0, readlink),
	OP_BARE(SYMLINK, 0, symlink),
	OP(MKNOD, struct fuse_mknod_in, 0, mknod),
	OP(MKDIR, struct fuse_mkdir_in, 0, mkdir),
	OP_BARE(UNLINK, 0, unlink),
	OP_BARE(RMDIR, 0, rmdir),
	OP(RENAME, struct fuse_rename_in, 0, rename),
	OP(RENAME2, struct fuse_rename2_in, 0, rename2),
	OP(LINK, struct fuse_link_in, 0, link),
	OP_BARE(STATFS, 0, statfs),
	OP_GREW(SETXATTR, struct fuse_setxattr_in, FUSE_COMPAT_SETXATTR_IN_SIZE, 0,
		setxattr),
	OP(GETXATTR, struct fuse_getxattr_in, 0, getxattr),
	OP(LISTXATTR, struct fuse_getxattr_in, 0, listxattr),
	OP_BARE(REMOVEXATTR, 0, removexattr),

	OP(OPEN, struct fuse_open_in, 0, open),
	OP(OPENDIR, struct fuse_open_in, 0, opendir),
	OP(CREATE, struct fuse_create_in, 0, create),
	OP(TMPFILE, struct fuse_create_in, 0, tmpfile),
	OP(READ, struct fuse_read_in, OTHERS, read),
	OP(READDIR, struct fuse_read_in, OTHERS, readdir),
	OP(READDIRPLUS, struct fuse_read_in, OTHERS, readdirplus),
	OP(WRITE, struct fuse_write_in, OTHERS | FUSE_OP_PIPE, write),
	OP(NOTIFY_REPLY, struct fuse_notify_retrieve_in, UNANSWERED | FUSE_OP_PIPE,
	   notify_reply),
	OP(FLUSH, struct fuse_flush_in, 0, flush),
	OP(RELEASE, struct fuse_release_in, OTHERS, release),
	OP(RELEASEDIR, struct fuse_release_in, OTHERS, releasedir),
	OP(FSYNC, struct fuse_fsync_in, OTHERS, fsync),
	OP(FSYNCDIR, struct fuse_fsync_in, OTHERS, fsyncdir),
	OP(FALLOCATE, struct fuse_fallocate_in, 0, fallocate),
	OP(LSEEK, struct fuse_lseek_in, 0, lseek),
	OP(COPY_FILE_RANGE, struct fuse_copy_file_range_in, 0, copy_file_range),
	OP(COPY_FILE_RANGE_64, struct fuse_copy_file_range_in, 0, copy_file_range),
	OP(BMAP, struct fuse_bmap_in, 0, bmap),
	OP(GETLK, struct fuse_lk_in, 0, getlk),
	OP(SETLK, struct fuse_lk_in, 0, setlk),
	OP(SETLKW, struct fuse_lk_in, FUSE_OP_MAY_WAIT, setlkw),
	OP(IOCTL, struct fuse_ioctl_in, 0, ioctl),
	OP(POLL, struct fuse_poll_in, 0, poll),
};

/* Far from the others in number. What is in front of its flags is as in FUSE_INIT. */
static const struct fuse_opcode_entry cuse_init = {
	.name = "CUSE_INIT",
	.arg_size = SIZE(struct cuse_init_in),
	.arg_min = SIZE(struct cuse_init_in),
	.flags = OTHERS,
	.decode = fuse_decode_init,
};
_Static_assert(offsetof(struct cuse_init_in, flags) ==
		       offsetof(struct fuse_init_in, flags),
	       "one hook takes both");

const struct fuse_opcode_entry *fuse_opcode_find(uint32_t opcode)
{
	if (opcode == CUSE_INIT)
		return &cuse_init;
	if (opcode >= sizeof(table) / sizeof(table[0]) || !table[opcode].name)
		return NULL;
	return &table[opcode];
}

const char *fuse_opcode_name(uint32_t opcode)
{
	const struct fuse_opcode_entry *entry = fuse_opcode_find(opcode);

	return entry ? entry->name : "???";
}
