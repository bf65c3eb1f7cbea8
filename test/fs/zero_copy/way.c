// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ways in which reads and writes can be answered.
 */
#include "zero_copy.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- Threads ---- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t none;
	unsigned running;
} threads = { .lock = PTHREAD_MUTEX_INITIALIZER, .none = PTHREAD_COND_INITIALIZER };

static void thread_ends(void)
{
	pthread_mutex_lock(&threads.lock);
	if (--threads.running == 0)
		pthread_cond_broadcast(&threads.none);
	pthread_mutex_unlock(&threads.lock);
}

/* The work ends with thread_ends(). Returns 0 or an errno, with the work not begun. */
static int start_thread(void *(*work)(void *), void *data)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int error;

	pthread_mutex_lock(&threads.lock);
	threads.running++;
	pthread_mutex_unlock(&threads.lock);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	error = pthread_create(&thread, &attributes, work, data);
	pthread_attr_destroy(&attributes);
	if (error)
		thread_ends();
	return error;
}

void way_wait(void)
{
	pthread_mutex_lock(&threads.lock);
	while (threads.running)
		pthread_cond_wait(&threads.none, &threads.lock);
	pthread_mutex_unlock(&threads.lock);
}

/* ---- What others have in common ---- */

static struct fuse_bufvec place_in(int fd, size_t size, off_t off)
{
	struct fuse_bufvec place = FUSE_BUFVEC_INIT(size);

	place.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	place.buf[0].fd = fd;
	place.buf[0].pos = off;
	return place;
}

static struct fuse_bufvec stream(int fd, size_t size)
{
	struct fuse_bufvec place = FUSE_BUFVEC_INIT(size);

	place.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_RETRY;
	place.buf[0].fd = fd;
	return place;
}

/* written: bytes, or a negative errno */
static void reply_written(fuse_req_t req, ssize_t written)
{
	if (written < 0)
		fuse_reply_err(req, (int)-written);
	else
		fuse_reply_write(req, (size_t)written);
}

/* The same of what fuse_req_get_data()'s buffer was filled with. */
static void reply_filled(fuse_req_t req, ssize_t filled)
{
	if (filled < 0)
		fuse_reply_err(req, (int)-filled);
	else
		fuse_reply_read_filled(req, (size_t)filled);
}

static ssize_t result_of(ssize_t returned)
{
	return returned < 0 ? -errno : returned;
}

static void write_refused(fuse_req_t req, struct file *file, struct fuse_bufvec *data,
			  off_t off)
{
	fuse_reply_err(req, EPERM);
}

/* ---- fd: the explicit calls ---- */

static void fd_read(fuse_req_t req, struct file *file, size_t size, off_t off)
{
	fuse_reply_read_fd(req, file->fd, off, size);
}

static void fd_write(fuse_req_t req, struct file *file, struct fuse_bufvec *data,
		     off_t off)
{
	fuse_reply_write_fd(req, file->fd, off, fuse_buf_size(data));
}

/* ---- data: what filesystems do that know nothing of zero-copy ---- */

static void data_read(fuse_req_t req, struct file *file, size_t size, off_t off)
{
	struct fuse_bufvec source = place_in(file->fd, size, off);

	fuse_reply_data(req, &source, 0);
}

static void data_write(fuse_req_t req, struct file *file, struct fuse_bufvec *data,
		       off_t off)
{
	struct fuse_bufvec place = place_in(file->fd, fuse_buf_size(data), off);

	reply_written(req, fuse_buf_copy(&place, data, 0));
}

/* ---- locked: one after the other, as in filesystems with state of their own ---- */

static pthread_mutex_t one_by_one = PTHREAD_MUTEX_INITIALIZER;

static void locked_read(fuse_req_t req, struct file *file, size_t size, off_t off)
{
	pthread_mutex_lock(&one_by_one);
	data_read(req, file, size, off);
	pthread_mutex_unlock(&one_by_one);
}

/* So slow that it is given to other threads than those that reads are called in. */
static void locked_write(fuse_req_t req, struct file *file, struct fuse_bufvec *data,
			 off_t off)
{
	pthread_mutex_lock(&one_by_one);
	usleep(3000);
	data_write(req, file, data, off);
	pthread_mutex_unlock(&one_by_one);
}

/* ---- closed: the descriptor's number is another file's as soon as the call returns ---- */

static void reuse(int fd)
{
	int other = open("/dev/zero", O_RDWR | O_CLOEXEC);

	dup2(other, fd);
	close(other);
	close(fd);
}

static void closed_read(fuse_req_t req, struct file *file, size_t size, off_t off)
{
	int fd = dup(file->fd);
	struct fuse_bufvec source = place_in(fd, size, off);

	fuse_reply_data(req, &source, 0);
	reuse(fd);
}

/* The program's first page, and then the file. */
static void mixed_read(fuse_req_t req, struct file *file, size_t size, off_t off)
{
	const size_t first = 4096;
	struct {
		struct fuse_bufvec vector;
		struct fuse_buf more;
	} all = { .vector = { .count = 2 } };
	struct fuse_buf *buf = all.vector.buf;
	int program = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int fd = dup(file->fd);

	if (off != 0 || size <= first) {
		fuse_reply_err(req, EINVAL);
	} else {
		buf[0] = place_in(program, first, 0).buf[0];
		buf[1] = place_in(fd, size - first, 0).buf[0];
		fuse_reply_data(req, &all.vector, 0);
	}
	reuse(fd);
	close(program);
}

static void closed_write(fuse_req_t req, struct file *file, struct fuse_bufvec *data,
			 off_t off)
{
	int fd = dup(file->fd);
	struct fuse_bufvec place = place_in(fd, fuse_buf_size(data), off);
	ssize_t written = fuse_buf_copy(&place, data, 0);

	reuse(fd);
	reply_written(req, written);
}

/* ---- vector: file, memory, and file again ---- */

static void vector_read(fuse_req_t req, struct file *file, size_t size, off_t off)
{
	struct {
		struct fuse_bufvec vector;
		struct fuse_buf more[2];
	} all = { .vector = { .count = 3 } };
	struct fuse_buf *buf = all.vector.buf;
	size_t part = size / 3;
	char *middle = malloc(part + 1);
	ssize_t got = middle ? pread(file->fd, middle, part, off + (off_t)part) : -1;

	if (got < 0) {
		fuse_reply_err(req, EIO);
	} else if ((size_t)got < part) {
		data_read(req, file, size, off); /* the end is near */
	} else {
		buf[0] = place_in(file->fd, part, off).buf[0];
		buf[1] = (struct fuse_buf){ .size = part, .mem = middle };
		buf[2] =
			place_in(file->fd, size - 2 * part, off + 2 * (off_t)part).buf[0];
		fuse_reply_data(req, &all.vector, 0);
	}
	free(middle);
}

/* ---- parts: several pieces of a file, one behind the other ---- */

static void parts_read(fuse_req_t req, struct file *file, size_t size, off_t off)
{
	enum {
		PARTS = 11
	};
	struct {
		struct fuse_bufvec vector;
		struct fuse_buf more[PARTS - 1];
	} all = { .vector = { .count = PARTS } };
	struct fuse_buf *buf = all.vector.buf;
	size_t part = size / PARTS;

	if (part == 0) {
		data_read(req, file, size, off);
		return;
	}
	for (size_t i = 0; i < PARTS; i++)
		buf[i] = place_in(file->fd, part, off + (off_t)(i * part)).buf[0];
	buf[PARTS - 1].size = size - (PARTS - 1) * part;
	fuse_reply_data(req, &all.vector, 0);
}

/* The data is looked at before it is written. */
static void vector_write(fuse_req_t req, struct file *file, struct fuse_bufvec *data,
			 off_t off)
{
	size_t size = fuse_buf_size(data);
	struct fuse_bufvec memory = FUSE_BUFVEC_INIT(size);
	ssize_t got;

	memory.buf[0].mem = malloc(size + 1);
	if (!memory.buf[0].mem) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	got = fuse_buf_copy(&memory, data, 0);
	if (got > 0)
		got = result_of(pwrite(file->fd, memory.buf[0].mem, (size_t)got, off));
	reply_written(req, got);
	free(memory.buf[0].mem);
}

/* ---- memory: out of a buffer of one's own ---- */

static void memory_read(fuse_req_t req, struct file *file, size_t size, off_t off)
{
	char *memory = malloc(size + 1);
	ssize_t got = memory ? pread(file->fd, memory, size, off) : -1;

	if (got < 0)
		fuse_reply_err(req, EIO);
	else
		fuse_reply_buf(req, memory, (size_t)got);
	free(memory);
}

/* Without FUSE_CAP_ZERO_COPY_WRITE the bytes are there to be looked at, or in a pipe. */
static void memory_write(fuse_req_t req, struct file *file, struct fuse_bufvec *data,
			 off_t off)
{
	const struct fuse_buf *buf = &data->buf[0];

	if (buf->flags & FUSE_BUF_IS_FD)
		vector_write(req, file, data, off);
	else
		reply_written(req, result_of(pwrite(file->fd, buf->mem, buf->size, off)));
}

/* ---- retry: short reads are to be gone on with ---- */

static void retry_read(fuse_req_t req, struct file *file, size_t size, off_t off)
{
	struct fuse_bufvec source = place_in(file->fd, size, off);

	source.buf[0].flags |= FUSE_BUF_FD_RETRY;
	fuse_reply_data(req, &source, 0);
}

/* ---- crowded: no descriptor is left when the reply is made ---- */

/*
 * The limit is the process's, and the next request comes when this one is answered, perhaps to
 * another thread: one at a time, or what it finds to restore is none.
 */
static void crowded_read(fuse_req_t req, struct file *file, size_t size, off_t off)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct fuse_bufvec source = place_in(file->fd, size, off);
	struct rlimit usual, none;

	pthread_mutex_lock(&lock);
	getrlimit(RLIMIT_NOFILE, &usual);
	none = usual;
	none.rlim_cur = 0;
	setrlimit(RLIMIT_NOFILE, &none);
	fuse_reply_data(req, &source, 0);
	setrlimit(RLIMIT_NOFILE, &usual);
	pthread_mutex_unlock(&lock);
}

/* ---- pieces: out of several buffers ---- */

static void pieces_read(fuse_req_t req, struct file *file, size_t size, off_t off)
{
	char *memory = malloc(size + 1);
	ssize_t got = memory ? pread(file->fd, memory, size, off) : -1;
	size_t half = got > 0 ? (size_t)got / 2 : 0;
	struct iovec iov[3] = {
		{ memory, half },
		{ memory, 0 },
		{ memory + half, got > 0 ? (size_t)got - half : 0 },
	};

	if (got < 0)
		fuse_reply_err(req, EIO);
	else
		fuse_reply_iov(req, iov, 3);
	free(memory);
}

/* ---- payload: where the reply leaves from ---- */

static void payload_read(fuse_req_t req, struct file *file, size_t size, off_t off)
{
	char *payload;
	size_t room;
	ssize_t got;

	if (fuse_req_get_payload(req, &payload, &room, NULL) < 0) {
		memory_read(req, file, size, off); /* no rings */
		return;
	}
	got = pread(file->fd, payload, size < room ? size : room, off);
	if (got < 0)
		fuse_reply_err(req, EIO);
	else
		fuse_reply_buf(req, payload, (size_t)got);
}

static void payload_write(fuse_req_t req, struct file *file, struct fuse_bufvec *data,
			  off_t off)
{
	size_t size = fuse_buf_size(data), room;
	char *payload;
	int res = 0;

	if (!fuse_req_is_zero_copy(req)) {
		data_write(req, file, data, off);
		return;
	}
	for (int i = 0; i < 2 && res == 0; i++) /* asking twice is no mistake */
		res = fuse_req_get_payload(req, &payload, &room, NULL);
	if (res == 0 && room < size)
		res = -EIO;
	reply_written(req, res ? res : result_of(pwrite(file->fd, payload, size, off)));
}

/* ---- shuffled: piece by piece, each in another manner, last ones first ---- */

/* The pieces that a request is done in; what is left goes with the first one. */
enum {
	SHUFFLES = 5
};

static size_t start_of(size_t size, unsigned piece)
{
	return piece ? size - size / 7 * (SHUFFLES - piece)
		     : 0; /* after the last: the end */
}

/* The part of the data from `off` on: by position, or by the vector's offset. */
static struct fuse_bufvec part_of(const struct fuse_buf *data, size_t off, size_t size,
				  bool by_position)
{
	struct fuse_bufvec part = { .count = 1, .buf = { *data } };

	if (by_position && (data->flags & FUSE_BUF_FD_SEEK)) {
		part.buf[0].pos += (off_t)off;
		part.buf[0].size = size;
	} else {
		part.off = off;
		part.buf[0].size = off + size;
	}
	return part;
}

/* Through a pipe of our own: what has no positions on one side, and the data on the other. */
static ssize_t by_pipe(struct fuse_bufvec *dst, struct fuse_bufvec *src)
{
	struct fuse_bufvec room;
	ssize_t copied;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
	room = stream(ends[1], fuse_buf_size(src) - src->off);
	copied = fuse_buf_copy(&room, src, 0);
	close(ends[1]);
	if (copied > 0) {
		room = stream(ends[0], (size_t)copied);
		copied = fuse_buf_copy(dst, &room, 0);
	}
	close(ends[0]);
	return copied;
}

static ssize_t by_memory(struct fuse_bufvec *dst, struct fuse_bufvec *src)
{
	struct fuse_bufvec room = FUSE_BUFVEC_INIT(fuse_buf_size(src) - src->off);
	ssize_t copied;

	room.buf[0].mem = malloc(room.buf[0].size + 1);
	if (!room.buf[0].mem)
		return -ENOMEM;
	copied = fuse_buf_copy(&room, src, 0);
	if (copied > 0) {
		room.idx = room.off = 0;
		room.buf[0].size = (size_t)copied;
		copied = fuse_buf_copy(dst, &room, 0);
	}
	free(room.buf[0].mem);
	return copied;
}

static ssize_t by_turns(struct fuse_bufvec *dst, struct fuse_bufvec *src, unsigned turn)
{
	if (turn % 3 == 1)
		return by_pipe(dst, src);
	if (turn % 3 == 2)
		return by_memory(dst, src);
	return fuse_buf_copy(dst, src, 0);
}

/* Between the data and the file. Returns how many bytes from the first one on were copied. */
static ssize_t shuffle(const struct fuse_buf *data, int fd, off_t off, bool reads)
{
	size_t size = data->size, copied[SHUFFLES], sum = 0;

	for (unsigned i = SHUFFLES; i-- > 0;) {
		size_t start = start_of(size, i);
		size_t length = start_of(size, i + 1) - start;
		struct fuse_bufvec part = part_of(data, start, length, i % 2);
		struct fuse_bufvec place = place_in(fd, length, off + (off_t)start);
		ssize_t res = by_turns(reads ? &part : &place, reads ? &place : &part,
				       i + (unsigned)(off / 4096));

		if (res < 0)
			return res;
		copied[i] = (size_t)res;
	}
	for (unsigned i = 0; i < SHUFFLES; i++) {
		sum += copied[i];
		if (sum < start_of(size, i + 1))
			break;
	}
	return (ssize_t)sum;
}

static void shuffled_read(fuse_req_t req, struct file *file, size_t size, off_t off)
{
	struct fuse_buf data;
	int error = fuse_req_get_data(req, &data);
	reply_filled(req, error ? error : shuffle(&data, file->fd, off, true));
}

/* A pipe's data come in their order, and no other way. */
static void shuffled_write(fuse_req_t req, struct file *file, struct fuse_bufvec *data,
			   off_t off)
{
	struct fuse_buf buf;

	if ((data->buf[0].flags & FUSE_BUF_IS_FD) &&
	    !(data->buf[0].flags & FUSE_BUF_FD_SEEK))
		data_write(req, file, data, off);
	else if (fuse_req_get_data(req, &buf))
		fuse_reply_err(req, EIO);
	else
		reply_written(req, shuffle(&buf, file->fd, off, false));
}

/* ---- unfilled: a reply of bytes that nobody has put anywhere ---- */

static void unfilled_read(fuse_req_t req, struct file *file, size_t size, off_t off)
{
	struct fuse_buf data;

	if (fuse_req_get_data(req, &data))
		fuse_reply_err(req, ENODATA);
	else if (!fuse_req_is_zero_copy(req))
		fuse_reply_err(req, EIO);
	else
		fuse_reply_read_filled(req, size);
}

/* ---- looking: a handler that reads descriptors itself, and knows no better ---- */

static void looking_write(fuse_req_t req, struct file *file, struct fuse_bufvec *data,
			  off_t off)
{
	const struct fuse_buf *buf = &data->buf[0];
	char *memory = malloc(buf->size + 1);
	ssize_t got = -ENOMEM;

	if (!(buf->flags & FUSE_BUF_IS_FD))
		got = result_of(pwrite(file->fd, buf->mem, buf->size, off));
	else if (memory) {
		got = result_of(buf->flags & FUSE_BUF_FD_SEEK
					? pread(buf->fd, memory, buf->size, buf->pos)
					: read(buf->fd, memory, buf->size));
		if (got > 0)
			got = result_of(pwrite(file->fd, memory, (size_t)got, off));
	}
	free(memory);
	reply_written(req, got);
}

/* ---- striped: pieces in turn from several files ---- */

/* The caller frees it. *count is how many there are; the first one is empty. */
static struct fuse_fd_range *stripes_of(const struct file *file, size_t size, off_t off,
					size_t *count)
{
	struct fuse_fd_range *ranges = calloc(size / STRIPE_SIZE + 3, sizeof(*ranges));
	size_t n = 0;

	if (!ranges)
		return NULL;
	ranges[n++].fd = file->stripes[0];
	while (size) {
		size_t number = (size_t)off / STRIPE_SIZE, in = (size_t)off % STRIPE_SIZE;
		size_t length = STRIPE_SIZE - in < size ? STRIPE_SIZE - in : size;

		ranges[n].fd = file->stripes[number % STRIPES];
		ranges[n].off = (off_t)(number / STRIPES * STRIPE_SIZE + in);
		ranges[n++].size = length;
		size -= length;
		off += (off_t)length;
	}
	*count = n;
	return ranges;
}

static void striped_read(fuse_req_t req, struct file *file, size_t size, off_t off)
{
	size_t count;
	struct fuse_fd_range *ranges = stripes_of(file, size, off, &count);

	if (ranges)
		fuse_reply_read_fdv(req, ranges, count);
	else
		fuse_reply_err(req, ENOMEM);
	free(ranges);
}

static void striped_write(fuse_req_t req, struct file *file, struct fuse_bufvec *data,
			  off_t off)
{
	size_t count;
	struct fuse_fd_range *ranges = stripes_of(file, fuse_buf_size(data), off, &count);

	if (ranges)
		fuse_reply_write_fdv(req, ranges, count);
	else
		fuse_reply_err(req, ENOMEM);
	free(ranges);
}

/* ---- thread: another thread answers, when the handler has long returned ---- */

struct later {
	fuse_req_t req;
	struct file *file;
	struct fuse_bufvec data; /* a write's */
	size_t size;		 /* a read's */
	off_t off;
};

static struct later *remember(fuse_req_t req, struct file *file, off_t off)
{
	struct later *later = malloc(sizeof(*later));

	if (later)
		*later = (struct later){ .req = req, .file = file, .off = off };
	return later;
}

static void do_later(void *(*work)(void *), struct later *later, fuse_req_t req)
{
	int error = later ? start_thread(work, later) : ENOMEM;

	if (!error)
		return;
	free(later);
	fuse_reply_err(req, error);
}

static void *read_later(void *data)
{
	struct later *later = data;

	fd_read(later->req, later->file, later->size, later->off);
	free(later);
	thread_ends();
	return NULL;
}

/* By turns with fuse_buf_copy() and with the explicit call. */
static void *write_later(void *data)
{
	struct later *later = data;

	if (later->off / 4096 % 2)
		data_write(later->req, later->file, &later->data, later->off);
	else
		fd_write(later->req, later->file, &later->data, later->off);
	free(later);
	thread_ends();
	return NULL;
}

static void thread_read(fuse_req_t req, struct file *file, size_t size, off_t off)
{
	struct later *later = remember(req, file, off);

	if (later)
		later->size = size;
	do_later(read_later, later, req);
}

/* Of what is in a pipe or in the message nothing is left when the handler returns. */
static void thread_write(fuse_req_t req, struct file *file, struct fuse_bufvec *data,
			 off_t off)
{
	struct later *later;

	if (!fuse_req_is_zero_copy(req)) {
		data_write(req, file, data, off);
		return;
	}
	later = remember(req, file, off);
	if (later)
		later->data = *data;
	do_later(write_later, later, req);
}

/* ---- pipe and socket: what has no positions ---- */

/* Between one end, which is closed afterwards, and the file in the folder. */
struct carrier {
	int from, to;
	unsigned delay; /* seconds before it begins */
};

static void *carry(void *data)
{
	struct carrier *carrier = data;
	char buffer[32768];
	ssize_t got;

	sleep(carrier->delay);
	while ((got = read(carrier->from, buffer, sizeof(buffer))) > 0)
		for (ssize_t done = 0, put = 0; done < got; done += put) {
			put = write(carrier->to, buffer + done, (size_t)(got - done));
			if (put <= 0)
				goto out; /* nobody listens any more */
		}
out:
	close(carrier->from);
	close(carrier->to);
	free(carrier);
	thread_ends();
	return NULL;
}

static int start_carrier(int from, int to, unsigned delay)
{
	struct carrier *carrier = malloc(sizeof(*carrier));
	int error = ENOMEM;

	if (carrier) {
		*carrier = (struct carrier){ .from = from, .to = to, .delay = delay };
		error = start_thread(carry, carrier);
	}
	if (error) {
		free(carrier);
		close(from);
		close(to);
	}
	return error;
}

/* ends[0] is for reading; ours is that which the client's reads or writes go to. */
static int carry_between(struct file *file, const int ends[2], int flags)
{
	bool reads = (flags & O_ACCMODE) == O_RDONLY;
	int fd = dup(file->fd);

	file->near = ends[!reads];
	return reads ? start_carrier(fd, ends[1], 0) : start_carrier(ends[0], fd, 0);
}

static int pipe_open(struct file *file, int flags)
{
	int ends[2];

	return pipe2(ends, O_CLOEXEC) < 0 ? errno : carry_between(file, ends, flags);
}

static int socket_open(struct file *file, int flags)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return errno;
	return carry_between(file, ends, flags);
}

static void near_read(fuse_req_t req, struct file *file, size_t size, off_t off)
{
	fuse_reply_read_fd(req, file->near, -1, size);
}

static void near_write(fuse_req_t req, struct file *file, struct fuse_bufvec *data,
		       off_t off)
{
	fuse_reply_write_fd(req, file->near, -1, fuse_buf_size(data));
}

/* ---- sent: to a socket and from one by fuse_buf_copy(), which waits ---- */

static void sent_read(fuse_req_t req, struct file *file, size_t size, off_t off)
{
	struct fuse_bufvec source = stream(file->near, size);
	struct fuse_bufvec data = { .count = 1 };
	ssize_t got = fuse_req_get_data(req, &data.buf[0]);

	if (got == 0)
		got = fuse_buf_copy(&data, &source, 0);
	reply_filled(req, got);
}

static void sent_write(fuse_req_t req, struct file *file, struct fuse_bufvec *data,
		       off_t off)
{
	struct fuse_bufvec place = stream(file->near, fuse_buf_size(data));

	reply_written(req, fuse_buf_copy(&place, data, 0));
}

/* ---- blocked: a pipe with which nothing ever happens, empty or full ---- */

static int fill_up(int fd)
{
	char page[4096] = "";

	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return errno;
	while (write(fd, page, sizeof(page)) > 0)
		;
	return fcntl(fd, F_SETFL, 0) < 0 ? errno : 0;
}

static int blocked_open(struct file *file, int flags)
{
	bool reads = (flags & O_ACCMODE) == O_RDONLY;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return errno;
	file->near = ends[!reads];
	file->far = ends[reads];
	return reads ? 0 : fill_up(file->near);
}

/* ---- late: what is written waits for so long that a queue without requests counts as idle ---- */

#define LATE_SECONDS 3

static int late_open(struct file *file, int flags)
{
	int ends[2], error;

	if ((flags & O_ACCMODE) == O_RDONLY)
		return pipe_open(file, flags);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return errno;
	file->near = ends[1];
	error = fill_up(file->near);
	if (!error)
		return start_carrier(ends[0], dup(file->fd), LATE_SECONDS);
	close(ends[0]);
	return error;
}

/* ---- broken: a pipe whose other end is gone ---- */

static int broken_open(struct file *file, int flags)
{
	int ends[2];
	bool reads = (flags & O_ACCMODE) == O_RDONLY;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return errno;
	file->near = ends[!reads];
	close(ends[reads]);
	return 0;
}

/* ---- What goes wrong ---- */

static void eio_read(fuse_req_t req, struct file *file, size_t size, off_t off)
{
	fuse_reply_err(req, EIO);
}

static void eio_write(fuse_req_t req, struct file *file, struct fuse_bufvec *data,
		      off_t off)
{
	fuse_reply_err(req, EIO);
}

#define NO_DESCRIPTOR 1000000

static void badfd_read(fuse_req_t req, struct file *file, size_t size, off_t off)
{
	fuse_reply_read_fd(req, NO_DESCRIPTOR, off, size);
}

static void badfd_write(fuse_req_t req, struct file *file, struct fuse_bufvec *data,
			off_t off)
{
	fuse_reply_write_fd(req, NO_DESCRIPTOR, off, fuse_buf_size(data));
}

/* Against the rules; but it must not be the end of anything. */
static void early_read(fuse_req_t req, struct file *file, size_t size, off_t off)
{
	int fd = dup(file->fd);

	fuse_reply_read_fd(req, fd, off, size);
	close(fd);
}

static void early_write(fuse_req_t req, struct file *file, struct fuse_bufvec *data,
			off_t off)
{
	int fd = dup(file->fd);

	fuse_reply_write_fd(req, fd, off, fuse_buf_size(data));
	close(fd);
}

static void toolong_read(fuse_req_t req, struct file *file, size_t size, off_t off)
{
	fuse_reply_read_fd(req, file->fd, off, size + 1);
}

static void toolong_write(fuse_req_t req, struct file *file, struct fuse_bufvec *data,
			  off_t off)
{
	fuse_reply_write_fd(req, file->fd, off, fuse_buf_size(data) + 1);
}

/* A reply of its own accord, rather than the file's. */
static void less_read(fuse_req_t req, struct file *file, size_t size, off_t off)
{
	fuse_reply_read_fd(req, file->fd, off, size - size / 3);
}

static void less_write(fuse_req_t req, struct file *file, struct fuse_bufvec *data,
		       off_t off)
{
	size_t size = fuse_buf_size(data);

	fuse_reply_write_fd(req, file->fd, off, size - size / 3);
}

const struct way ways[] = {
	{ .name = "fd", .read = fd_read, .write = fd_write },
	{ .name = "declined", .read = fd_read, .write = fd_write, .declines = true },
	{ .name = "data", .read = data_read, .write = data_write },
	{ .name = "locked", .read = locked_read, .write = locked_write },
	{ .name = "closed", .read = closed_read, .write = closed_write },
	{ .name = "vector", .read = vector_read, .write = vector_write },
	{ .name = "parts", .read = parts_read, .write = data_write },
	{ .name = "memory", .read = memory_read, .write = memory_write },
	{ .name = "pieces", .read = pieces_read, .write = data_write },
	{ .name = "payload", .read = payload_read, .write = payload_write },
	{ .name = "shuffled", .read = shuffled_read, .write = shuffled_write },
	{ .name = "unfilled", .read = unfilled_read, .write = data_write },
	{ .name = "looking", .read = memory_read, .write = looking_write },
	{ .name = "retry", .read = retry_read, .write = fd_write },
	{ .name = "crowded", .read = crowded_read, .write = fd_write },
	{ .name = "striped",
	  .read = striped_read,
	  .write = striped_write,
	  .is_striped = true },
	{ .name = "thread", .read = thread_read, .write = thread_write },
	{ .name = "pipe",
	  .open = pipe_open,
	  .read = near_read,
	  .write = near_write,
	  .direct = true },
	{ .name = "socket",
	  .open = socket_open,
	  .read = near_read,
	  .write = near_write,
	  .direct = true },
	{ .name = "sent",
	  .open = socket_open,
	  .read = sent_read,
	  .write = sent_write,
	  .direct = true },
	{ .name = "blocked",
	  .open = blocked_open,
	  .read = near_read,
	  .write = near_write,
	  .direct = true },
	{ .name = "late",
	  .open = late_open,
	  .read = near_read,
	  .write = near_write,
	  .direct = true },
	{ .name = "broken",
	  .open = broken_open,
	  .read = near_read,
	  .write = near_write,
	  .direct = true },
	{ .name = "full",
	  .target = "/dev/full",
	  .read = fd_read,
	  .write = fd_write,
	  .direct = true },
	/* Neither can be read into pages that are not this process's. */
	{ .name = "environ",
	  .target = "/proc/self/environ",
	  .read = fd_read,
	  .write = write_refused,
	  .direct = true },
	{ .name = "environ_closed",
	  .target = "/proc/self/environ",
	  .read = closed_read,
	  .write = write_refused,
	  .direct = true },
	{ .name = "mixed_closed",
	  .target = "/proc/self/environ",
	  .read = mixed_read,
	  .write = write_refused,
	  .direct = true },
	{ .name = "directory",
	  .target = "/",
	  .read = fd_read,
	  .write = write_refused,
	  .direct = true },
	{ .name = "readonly",
	  .target = "/proc/self/exe",
	  .read = fd_read,
	  .write = fd_write,
	  .direct = true },
	{ .name = "eio", .read = eio_read, .write = eio_write },
	{ .name = "badfd", .read = badfd_read, .write = badfd_write },
	{ .name = "early", .read = early_read, .write = early_write },
	{ .name = "toolong", .read = toolong_read, .write = toolong_write },
	{ .name = "less", .read = less_read, .write = less_write },
};

const size_t way_count = sizeof(ways) / sizeof(ways[0]);
