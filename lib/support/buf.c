// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Buffer vectors, and copying between them.
 *
 * fuse_buf_copy() cuts the two vectors at each other's seams, so that below it a piece
 * lies in one buffer on either side. A piece that comes out short ends the whole copy:
 * what follows it belongs behind bytes that never arrived.
 */
#include "support/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A piece's side: a buffer, and where in it the piece starts. */
struct side {
	const struct fuse_buf *buf;
	size_t off;
};

enum direction {
	READ_IN,
	WRITE_OUT
};

/* At most so much memory for what comes from a file to go to another one. */
enum {
	LARGE = 256 * 1024
};

struct fuse_buf *fuse_bufvec_current(struct fuse_bufvec *bufv, size_t *left)
{
	for (; bufv->idx < bufv->count; bufv->idx++, bufv->off = 0) {
		struct fuse_buf *buf = &bufv->buf[bufv->idx];

		if (bufv->off < buf->size) {
			*left = buf->size - bufv->off;
			return buf;
		}
	}
	return NULL;
}

void fuse_bufvec_advance(struct fuse_bufvec *bufv, size_t bytes)
{
	size_t left;

	while (bytes > 0 && fuse_bufvec_current(bufv, &left)) {
		size_t step = bytes < left ? bytes : left;

		bufv->off += step;
		bytes -= step;
	}
}

/* The sum of the buffers' sizes from one of them on. */
static size_t size_from(const struct fuse_bufvec *bufv, size_t idx)
{
	size_t sum = 0;

	for (; idx < bufv->count; idx++) {
		if (__builtin_add_overflow(sum, bufv->buf[idx].size, &sum))
			return SIZE_MAX;
	}
	return sum;
}

size_t fuse_bufvec_left(const struct fuse_bufvec *bufv)
{
	size_t here, behind;

	if (bufv->idx >= bufv->count)
		return 0;
	here = bufv->buf[bufv->idx].size;
	here = bufv->off < here ? here - bufv->off : 0;
	behind = size_from(bufv, bufv->idx + 1);
	return here > SIZE_MAX - behind ? SIZE_MAX : here + behind;
}

bool fuse_bufvec_in_memory(const struct fuse_bufvec *bufv)
{
	size_t off = bufv->off;

	for (size_t idx = bufv->idx; idx < bufv->count; idx++, off = 0) {
		const struct fuse_buf *buf = &bufv->buf[idx];

		if (off < buf->size && (buf->flags & FUSE_BUF_IS_FD))
			return false;
	}
	return true;
}

size_t fuse_buf_size(const struct fuse_bufvec *bufv)
{
	return size_from(bufv, 0);
}

/* Where in its file a side starts; -EOVERFLOW where no file can reach. */
static int position(struct side side, off_t *pos)
{
	return __builtin_add_overflow(side.buf->pos, side.off, pos) ? -EOVERFLOW : 0;
}

/* One system call between a file and memory, begun again when a signal cuts in. */
static ssize_t move_some(struct side side, char *mem, size_t len,
			 enum direction direction)
{
	int fd = side.buf->fd;
	ssize_t moved;
	off_t pos;
	int error;

	if (!(side.buf->flags & FUSE_BUF_FD_SEEK)) {
		do {
			moved = direction == READ_IN ? read(fd, mem, len)
						     : write(fd, mem, len);
		} while (moved < 0 && errno == EINTR);
		return moved < 0 ? -errno : moved;
	}

	error = position(side, &pos);
	if (error)
		return error;
	do {
		moved = direction == READ_IN ? pread(fd, mem, len, pos)
					     : pwrite(fd, mem, len, pos);
	} while (moved < 0 && errno == EINTR);
	return moved < 0 ? -errno : moved;
}

/* Between a file and memory; all of it if that is insisted on, and if there is so much. */
static ssize_t move(struct side side, char *mem, size_t len, enum direction direction,
		    bool insist)
{
	size_t done = 0;

	while (done < len) {
		ssize_t moved = move_some(side, mem + done, len - done, direction);

		if (moved < 0)
			return done ? (ssize_t)done : moved;
		if (moved == 0)
			break;
		done += (size_t)moved;
		side.off += (size_t)moved;
		if (!insist)
			break;
	}
	return (ssize_t)done;
}

static bool retries(const struct fuse_buf *buf)
{
	return buf->flags & FUSE_BUF_FD_RETRY;
}

/*
 * From file to file through memory of ours, one room full of it at a time. The writes
 * insist whatever the flags say: bytes read from a pipe can be neither read again nor
 * given back.
 */
static ssize_t copy_through(struct side dst, struct side src, size_t len, char *room,
			    size_t room_size)
{
	size_t done = 0;

	while (done < len) {
		size_t want = len - done < room_size ? len - done : room_size;
		ssize_t got = move(src, room, want, READ_IN, retries(src.buf));
		ssize_t put;

		if (got <= 0)
			return done ? (ssize_t)done : got;
		put = move(dst, room, (size_t)got, WRITE_OUT, true);
		/* A file that reads at its own position can be taken back, a pipe cannot. */
		if (put < got && !(src.buf->flags & FUSE_BUF_FD_SEEK))
			(void)lseek(src.buf->fd, (put < 0 ? 0 : put) - got, SEEK_CUR);
		if (put < 0)
			return done ? (ssize_t)done : put;
		done += (size_t)put;
		src.off += (size_t)put;
		dst.off += (size_t)put;
		if ((size_t)put < want)
			break;
	}
	return (ssize_t)done;
}

static ssize_t copy_read_write(struct side dst, struct side src, size_t len)
{
	char small[4096];
	size_t size = len < LARGE ? len : LARGE;
	char *large = size > sizeof(small) ? malloc(size) : NULL;
	ssize_t copied;

	if (large)
		copied = copy_through(dst, src, len, large, size);
	else
		copied = copy_through(dst, src, len, small, sizeof(small));
	free(large);
	return copied;
}

static ssize_t copy_splice(struct side dst, struct side src, size_t len,
			   enum fuse_buf_copy_flags flags)
{
	unsigned how = (flags & FUSE_BUF_SPLICE_MOVE ? SPLICE_F_MOVE : 0) |
		       (flags & FUSE_BUF_SPLICE_NONBLOCK ? SPLICE_F_NONBLOCK : 0);
	bool insist = retries(src.buf) || retries(dst.buf);
	off_t *in = NULL, *out = NULL;
	off_t in_pos, out_pos;
	size_t done = 0;

	if (src.buf->flags & FUSE_BUF_FD_SEEK) {
		in = &in_pos;
		if (position(src, in))
			return -EOVERFLOW;
	}
	if (dst.buf->flags & FUSE_BUF_FD_SEEK) {
		out = &out_pos;
		if (position(dst, out))
			return -EOVERFLOW;
	}

	/* splice(2) itself moves *in and *out on. */
	while (done < len) {
		ssize_t moved =
			splice(src.buf->fd, in, dst.buf->fd, out, len - done, how);

		if (moved < 0 && errno == EINTR)
			continue;
		if (moved < 0)
			return done ? (ssize_t)done : -errno;
		done += (size_t)moved;
		if (moved == 0 || !insist)
			break;
	}
	return (ssize_t)done;
}

/*
 * With a pipe on either side splice(2) is one system call for two and copies less.
 * Whether there is one is cheapest found out by trying: EINVAL says that there is none,
 * or that one of the two cannot be spliced, and that nothing was moved.
 */
static ssize_t copy_files(struct side dst, struct side src, size_t len,
			  enum fuse_buf_copy_flags flags)
{
	ssize_t copied;

	if (flags & FUSE_BUF_NO_SPLICE)
		return copy_read_write(dst, src, len);
	copied = copy_splice(dst, src, len, flags);
	if (copied == -EINVAL && !(flags & FUSE_BUF_FORCE_SPLICE))
		return copy_read_write(dst, src, len);
	return copied;
}

static char *memory(struct side side)
{
	return (char *)side.buf->mem + side.off;
}

static ssize_t copy_plain(struct side dst, struct side src, size_t len,
			  enum fuse_buf_copy_flags flags)
{
	bool from_file = src.buf->flags & FUSE_BUF_IS_FD;
	bool to_file = dst.buf->flags & FUSE_BUF_IS_FD;

	if (from_file && to_file)
		return copy_files(dst, src, len, flags);
	if (from_file)
		return move(src, memory(dst), len, READ_IN, retries(src.buf));
	if (to_file)
		return move(dst, memory(src), len, WRITE_OUT, retries(dst.buf));
	memmove(memory(dst), memory(src), len);
	return (ssize_t)len;
}

/* ---- Data that are with a client ---- */

static bool is_with_client(struct side side)
{
	return side.buf->flags & FUSE_BUF_WITH_CLIENT;
}

/* Where in the client's data a piece lies; false if not within them. */
static bool place_of(struct side side, size_t len, struct fuse_client_data **data,
		     size_t *off)
{
	off_t pos;

	*data = side.buf->mem;
	if (position(side, &pos) || pos < (*data)->origin)
		return false;
	*off = (size_t)(pos - (*data)->origin);
	return *off <= (*data)->size && len <= (*data)->size - *off;
}

typedef ssize_t (*client_move)(struct fuse_client_data *data, size_t off, size_t len,
			       int fd, off_t pos);

/* Between a client and a file; all of it if that is insisted on, and if there is so much. */
static ssize_t move_past(struct fuse_client_data *data, size_t off, size_t len,
			 struct side file, client_move once)
{
	size_t done = 0;
	off_t pos = -1;

	while (done < len) {
		ssize_t moved;

		if ((file.buf->flags & FUSE_BUF_FD_SEEK) && position(file, &pos))
			return done ? (ssize_t)done : -EOVERFLOW;
		moved = once(data, off + done, len - done, file.buf->fd, pos);
		if (moved == -EINTR)
			continue;
		if (moved < 0)
			return done ? (ssize_t)done : moved;
		done += (size_t)moved;
		file.off += (size_t)moved;
		if (moved == 0 || !retries(file.buf))
			break;
	}
	return (ssize_t)done;
}

/* The piece becomes one in memory. */
static int load_piece(struct side *src, size_t len, struct fuse_buf *loaded)
{
	struct fuse_client_data *data;
	size_t off;

	if (!place_of(*src, len, &data, &off) || !data->ops->load)
		return -EINVAL;
	*loaded = (struct fuse_buf){ .size = data->size };
	*src = (struct side){ loaded, off };
	return data->ops->load(data, &loaded->mem);
}

static ssize_t copy_from_client(struct side dst, struct side src, size_t len,
				enum fuse_buf_copy_flags flags)
{
	struct fuse_client_data *data;
	struct fuse_buf loaded;
	ssize_t sent = -EOPNOTSUPP;
	size_t off;
	int error;

	if (!place_of(src, len, &data, &off))
		return -EINVAL;
	data->to_file |= dst.buf->flags & FUSE_BUF_IS_FD;
	if ((dst.buf->flags & FUSE_BUF_IS_FD) && data->ops->send)
		sent = move_past(data, off, len, dst, data->ops->send);
	if (sent != -EOPNOTSUPP)
		return sent;
	error = load_piece(&src, len, &loaded);
	return error ? error : copy_plain(dst, src, len, flags);
}

/* What comes out of a file by way of memory, no more than fits in there at a time. */
static ssize_t receive_through(struct fuse_client_data *data, size_t off, struct side src,
			       size_t len)
{
	size_t want = len < LARGE ? len : LARGE;
	char *room = malloc(want ? want : 1);
	size_t done = 0;
	ssize_t moved = -ENOMEM;

	while (room && done < len) {
		if (want > len - done)
			want = len - done;
		moved = move(src, room, want, READ_IN, retries(src.buf));
		if (moved > 0)
			moved = data->ops->fill(data, off + done, room, (size_t)moved);
		if (moved <= 0)
			break;
		done += (size_t)moved;
		src.off += (size_t)moved;
		if ((size_t)moved < want)
			break;
	}
	free(room);
	return done || !len ? (ssize_t)done : moved;
}

static ssize_t copy_to_client(struct side dst, struct side src, size_t len)
{
	struct fuse_client_data *data;
	ssize_t received;
	size_t off;

	if (!place_of(dst, len, &data, &off) || !data->ops->fill)
		return -EINVAL;
	if (!(src.buf->flags & FUSE_BUF_IS_FD))
		return data->ops->fill(data, off, memory(src), len);
	received = move_past(data, off, len, src, data->ops->receive);
	if (received != -EOPNOTSUPP)
		return received;
	return receive_through(data, off, src, len);
}

static ssize_t copy_piece(struct side dst, struct side src, size_t len,
			  enum fuse_buf_copy_flags flags)
{
	struct fuse_buf loaded;
	int error;

	if (is_with_client(src) && !is_with_client(dst))
		return copy_from_client(dst, src, len, flags);
	if (!is_with_client(dst))
		return copy_plain(dst, src, len, flags);
	error = is_with_client(src) ? load_piece(&src, len, &loaded) : 0;
	return error ? error : copy_to_client(dst, src, len);
}

ssize_t fuse_buf_copy(struct fuse_bufvec *dst, struct fuse_bufvec *src,
		      enum fuse_buf_copy_flags flags)
{
	size_t copied = 0;

	if (dst == src)
		return (ssize_t)fuse_buf_size(dst);
	for (;;) {
		size_t space, data, len;
		const struct fuse_buf *to = fuse_bufvec_current(dst, &space);
		const struct fuse_buf *from = fuse_bufvec_current(src, &data);
		ssize_t moved;

		if (!to || !from)
			break;
		len = space < data ? space : data;
		moved = copy_piece((struct side){ to, dst->off },
				   (struct side){ from, src->off }, len, flags);
		if (moved < 0)
			return copied ? (ssize_t)copied : moved;
		fuse_bufvec_advance(dst, (size_t)moved);
		fuse_bufvec_advance(src, (size_t)moved);
		copied += (size_t)moved;
		if ((size_t)moved < len)
			break;
	}
	return (ssize_t)copied;
}
