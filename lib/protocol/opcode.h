/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opcodes as data, and a request's message taken apart by that data. Shared by the files
 * of protocol/ only.
 */
#ifndef FUSE_OPCODE_H
#define FUSE_OPCODE_H

#include <errno.h>
#include <string.h>

#include "protocol/protocol.h"

/* Room for the largest first argument; the kernel's ring headers have the same. */
#define FUSE_ARG_MAX FUSE_URING_OP_IN_OUT_SZ

/* What a decoder answers when the message contradicts itself or ends too early. */
#define FUSE_MALFORMED (-EIO)

/* A message whose first argument is known to be complete. */
struct fuse_message {
	/*
	 * The first argument, aligned for any type and followed by zeros, so that a field
	 * that the other side is too old to send reads as 0.
	 */
	_Alignas(8) char arg[FUSE_ARG_MAX];
	/* What follows it, without the extensions. Decoders consume it from the front. */
	const char *payload;
	size_t payload_size;
	int payload_fd; /* the pipe that holds the payload, and payload is NULL; or -1 */
	void *loaded;	/* malloc'ed memory that payload points into, or NULL */
};

enum {
	FUSE_OP_NO_REPLY = 1 << 0,
	/* May wait for another client (fuse_transport_handler.may_wait). */
	FUSE_OP_MAY_WAIT = 1 << 1,
	/*
	 * Open to users whom allow_root keeps out: it goes on with what was opened by
	 * somebody who was let in, or is on nobody's behalf.
	 */
	FUSE_OP_OTHERS = 1 << 2,
	/* The decoder copes with a payload that is in a pipe. */
	FUSE_OP_PIPE = 1 << 3,
};

struct fuse_opcode_entry {
	const char *name; /* NULL: no such opcode */
	uint8_t arg_size; /* of the first argument; 0 if there are only names and data */
	uint8_t arg_min;  /* of the same from the oldest kernel */
	uint8_t flags;	  /* FUSE_OP_* */
	/*
	 * Hands the request to the filesystem (or answers it) and returns 0: from then on the
	 * request is not to be touched. Or returns the negative errno to answer it with.
	 */
	int (*decode)(struct fuse_req *req, struct fuse_message *message);
};

/* NULL if the opcode is not known. */
const struct fuse_opcode_entry *fuse_opcode_find(uint32_t opcode);

/* The caller of fuse_session_process_buf() may have put the message at any address. */
static inline struct fuse_in_header fuse_req_header(const struct fuse_req *req)
{
	struct fuse_in_header header;

	memcpy(&header, req->view.header, sizeof(header));
	return header;
}

static inline const struct fuse_lowlevel_ops *fuse_req_ops(const struct fuse_req *req)
{
	return &req->protocol->ops;
}

/* message.c */

/*
 * Checks the message against the table. Returns 0 or a negative errno; message->loaded
 * is to be freed in both cases.
 */
int fuse_message_parse(struct fuse_message *message, const struct fuse_req *req,
		       const struct fuse_opcode_entry *entry);
/* Consumes a terminated string; NULL if the payload has none. */
const char *fuse_message_string(struct fuse_message *message);
/* Brings a payload that is in a pipe into memory. Returns 0 or a negative errno. */
int fuse_message_load(struct fuse_message *message);

/* decode.c: session, names, attributes */
int fuse_decode_init(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_destroy(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_interrupt(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_lookup(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_forget(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_batch_forget(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_getattr(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_setattr(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_statx(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_access(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_readlink(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_symlink(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_mknod(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_mkdir(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_unlink(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_rmdir(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_rename(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_rename2(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_link(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_statfs(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_setxattr(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_getxattr(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_listxattr(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_removexattr(struct fuse_req *req, struct fuse_message *message);

/* decode_file.c: what works on an open file or directory, or opens one */
int fuse_decode_open(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_opendir(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_create(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_tmpfile(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_read(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_readdir(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_readdirplus(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_write(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_notify_reply(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_flush(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_release(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_releasedir(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_fsync(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_fsyncdir(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_fallocate(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_lseek(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_copy_file_range(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_bmap(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_getlk(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_setlk(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_setlkw(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_ioctl(struct fuse_req *req, struct fuse_message *message);
int fuse_decode_poll(struct fuse_req *req, struct fuse_message *message);

/*
 * client_data.c: what the filesystem is given of a zero-copied write; false if that is memory.
 */
bool fuse_write_data(struct fuse_req *req, size_t size, struct fuse_buf *buf);
/* What its handler made of it, as far as that tells something for the next one. */
void fuse_write_answered(struct fuse_req *req, int error, size_t count);

/* live.c: true if an ioctl is for the library itself; *res is what a decoder returns then */
bool fuse_live_answers(struct fuse_req *req, const struct fuse_ioctl_in *in, int *res);

/* channel_xattr.c: the same for a getxattr, of which `size` bytes are wanted */
bool fuse_channel_xattr_answers(struct fuse_req *req, const char *name, size_t size,
				int *res);

#endif
