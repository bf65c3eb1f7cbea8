// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What goes on with an open file: reads, writes, and what else it can be told to do.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "path/path.h"

/* ---- Reading ---- */

static void read_as_buffers(struct fuse_op *op, size_t size, off_t off,
			    struct fuse_file_info *fi)
{
	struct fuse_bufvec *buf = NULL;
	int error = fuse_fs_read_buf(op->f->fs, fuse_op_path(op), &buf, size, off, fi);

	fuse_op_end(op);
	if (error)
		fuse_reply_err(op->req, -error);
	else if (buf)
		fuse_reply_data(op->req, buf, FUSE_BUF_SPLICE_MOVE);
	else
		fuse_reply_buf(op->req, NULL, 0);
	fuse_free_bufvec(buf);
}

/* Where the reply leaves from, if that is memory; otherwise in memory of our own. */
static void read_to_memory(struct fuse_op *op, size_t size, off_t off,
			   struct fuse_file_info *fi)
{
	struct fuse_scratch *own = NULL;
	size_t room_size = 0;
	char *room = NULL;
	int res = -ENOMEM;

	if (fuse_req_get_payload(op->req, &room, &room_size, NULL) != 0 ||
	    room_size < size) {
		own = fuse_scratch_get(&op->f->scratches, size);
		room = own ? own->mem : NULL;
	}
	if (room)
		res = fuse_fs_read(op->f->fs, fuse_op_path(op), room, size, off, fi);
	if (res > 0 && (size_t)res > size) {
		fuse_log(FUSE_LOG_ERR, "fuse: the filesystem read more than it should\n");
		res = -EIO;
	}
	fuse_op_end(op);
	if (res < 0)
		fuse_reply_err(op->req, -res);
	else
		fuse_reply_buf(op->req, room, (size_t)res);
	if (own)
		fuse_scratch_put(&op->f->scratches, own);
}

void fuse_path_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	struct fuse_op op;
	int error = fuse_op_begin_open(&op, req, ino, fi);

	if (error)
		fuse_reply_err(req, -error);
	else if (op.f->has_read_buf)
		read_as_buffers(&op, size, off, fi);
	else
		read_to_memory(&op, size, off, fi);
}

/* ---- Writing ---- */

void fuse_path_write_buf(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *buf,
			 off_t off, struct fuse_file_info *fi)
{
	struct fuse_op op;
	int res = fuse_op_begin_open(&op, req, ino, fi);

	if (res == 0) {
		res = fuse_fs_write_buf(op.f->fs, fuse_op_path(&op), buf, off, fi);
		fuse_op_end(&op);
	}
	if (res < 0)
		fuse_reply_err(req, -res);
	else
		fuse_reply_write(req, (size_t)res);
}

static void answer_count(fuse_req_t req, ssize_t res)
{
	if (res < 0)
		fuse_reply_err(req, (int)-res);
	else
		fuse_reply_write(req, (size_t)res);
}

void fuse_path_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			       struct fuse_file_info *fi_in, fuse_ino_t ino_out,
			       off_t off_out, struct fuse_file_info *fi_out, size_t len,
			       int flags)
{
	struct fuse_op op;
	struct fuse_place *place = op.claims.place;
	bool with_paths = !fuse_of(req)->conf.nullpath_ok;
	ssize_t res;

	for (int i = 0; i < 2; i++) {
		place[i].ino = i ? ino_out : ino_in;
		place[i].name = NULL;
		place[i].exclusive = false;
	}
	res = fuse_op_begin_places(&op, req, with_paths ? 2 : 0);
	if (res == 0) {
		res = fuse_fs_copy_file_range(op.f->fs, with_paths ? place[0].path : NULL,
					      fi_in, off_in,
					      with_paths ? place[1].path : NULL, fi_out,
					      off_out, len, flags);
		fuse_op_end(&op);
	}
	answer_count(req, res);
}

void fuse_path_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset,
			 off_t length, struct fuse_file_info *fi)
{
	struct fuse_op op;
	int error = fuse_op_begin_open(&op, req, ino, fi);

	if (error) {
		fuse_reply_err(req, -error);
		return;
	}
	error = fuse_fs_fallocate(op.f->fs, fuse_op_path(&op), mode, offset, length, fi);
	fuse_op_end_with(&op, error);
}

void fuse_path_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
		     struct fuse_file_info *fi)
{
	struct fuse_op op;
	off_t res = fuse_op_begin_open(&op, req, ino, fi);

	if (res == 0) {
		res = fuse_fs_lseek(op.f->fs, fuse_op_path(&op), off, whence, fi);
		fuse_op_end(&op);
	}
	if (res < 0)
		fuse_reply_err(req, (int)-res);
	else
		fuse_reply_lseek(req, res);
}

/* ---- Control ---- */

/* One memory for both directions, as large as the larger one. */
static int control(struct fuse_op *op, unsigned int cmd, void *arg,
		   struct fuse_file_info *fi, unsigned flags, const void *in_buf,
		   size_t in_size, size_t out_size, void **data)
{
	size_t size = in_size > out_size ? in_size : out_size;

	*data = NULL;
	if (size) {
		*data = calloc(1, size);
		if (!*data)
			return -ENOMEM;
		if (in_size)
			memcpy(*data, in_buf, in_size);
	}
	return fuse_fs_ioctl(op->f->fs, fuse_op_path(op), cmd, arg, fi, flags, *data);
}

void fuse_path_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
		     struct fuse_file_info *fi, unsigned flags, const void *in_buf,
		     size_t in_size, size_t out_size)
{
	struct fuse_file_info file = *fi;
	void *data = NULL;
	struct fuse_op op;
	int res;

	/* Only character devices have them, where sizes are not in the number. */
	if (flags & FUSE_IOCTL_UNRESTRICTED) {
		fuse_reply_err(req, EPERM);
		return;
	}
	if (flags & FUSE_IOCTL_DIR)
		file = fuse_dir_file(fi);
	res = fuse_op_begin_open(&op, req, ino, fi);
	if (res == 0) {
		res = control(&op, cmd, arg, &file, flags, in_buf, in_size, out_size,
			      &data);
		fuse_op_end(&op);
	}
	if (res < 0)
		fuse_reply_err(req, -res);
	else
		fuse_reply_ioctl(req, res, data, out_size);
	free(data);
}

void fuse_path_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		    struct fuse_pollhandle *ph)
{
	unsigned revents = 0;
	struct fuse_op op;
	int error = fuse_op_begin_open(&op, req, ino, fi);

	if (error) {
		fuse_pollhandle_destroy(ph);
		fuse_reply_err(req, -error);
		return;
	}
	error = fuse_fs_poll(op.f->fs, fuse_op_path(&op), fi, ph, &revents);
	fuse_op_end(&op);
	if (error)
		fuse_reply_err(req, -error);
	else
		fuse_reply_poll(req, revents);
}
