// SPDX-License-Identifier: GPL-2.0-only
/*
 * shared_memory: a filesystem for clients that share memory with it. Its files are one and the same
 * file of SIZE bytes, and their names say how it is read and written:
 *
 *   payload   at the place of the request's payload
 *   buf       out of other memory, and into it
 *   data      by fuse_reply_data() and fuse_buf_copy() with a descriptor
 *   fd        by fuse_reply_read_fd() and fuse_reply_write_fd()
 *   filled    by fuse_req_get_data()
 *   held      as payload, but not before the root's user.go has been set
 *
 * Attributes of the root that can be set:
 *
 *   user.add, user.look   memory to be added, as the path of a descriptor; by a descriptor that
 *                         may only be read
 *   user.remove           the id of memory to be removed
 *   user.go               anything
 *
 * and read:
 *
 *   user.id      of the memory that was added last
 *   user.seen    how many reads and writes were in shared memory, and how many of them were not
 *                where they said
 *   user.held    how many requests are held
 */
#include "../../example/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_shared_memory.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SIZE	 ((16 << 20) - 123)
#define HELD_MAX 64
#define IDS_MAX	 20000

enum way {
	PAYLOAD = 2,
	BUF,
	DATA,
	FD,
	FILLED,
	HELD,
	WAYS
};

static const char *const names[WAYS] = {
	[PAYLOAD] = "payload", [BUF] = "buf",	    [DATA] = "data",
	[FD] = "fd",	       [FILLED] = "filled", [HELD] = "held",
};

static struct fuse_session *session;
static int content; /* a memfd */

static struct {
	pthread_mutex_t lock;
	_Atomic uint64_t last;
	int descriptors[IDS_MAX]; /* by id, plus one; of this test's own */
} memories = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct {
	_Atomic unsigned reads, writes, wrong;
} seen;

struct held {
	fuse_req_t req;
	bool is_read;
	size_t size;
	off_t off;
};

static struct {
	pthread_mutex_t lock;
	_Atomic unsigned count;
	struct held requests[HELD_MAX];
} helds = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- Memory ---- */

/* Under the lock, or it may be closed by now. */
static int descriptor_of(uint64_t id)
{
	return id < IDS_MAX ? memories.descriptors[id] - 1 : -1;
}

static int add(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);
	uint64_t id;
	int error;

	if (fd < 0)
		return errno;
	error = -fuse_session_add_shared_memory(session, fd, &id);
	if (error || id >= IDS_MAX) {
		close(fd);
		return error ? error : ENOSPC;
	}
	pthread_mutex_lock(&memories.lock);
	memories.last = id;
	memories.descriptors[id] = fd + 1;
	pthread_mutex_unlock(&memories.lock);
	return 0;
}

static int forget(uint64_t id)
{
	int error = -fuse_session_remove_shared_memory(session, id);
	int fd;

	pthread_mutex_lock(&memories.lock);
	fd = descriptor_of(id);
	if (!error && fd >= 0) {
		memories.descriptors[id] = 0;
		close(fd);
	}
	pthread_mutex_unlock(&memories.lock);
	return error;
}

/* Whether what is at `bytes` can be read at that place of the memory, too. */
static bool is_there(int fd, off_t off, const char *bytes, size_t size)
{
	char *other = malloc(size);
	bool same = other && pread(fd, other, size, off) == (ssize_t)size &&
		    !memcmp(bytes, other, size);

	free(other);
	return same;
}

static void look(fuse_req_t req, const char *bytes, size_t size,
		 _Atomic unsigned *counter)
{
	uint64_t id;
	off_t off;
	int fd;

	if (fuse_req_get_shared_memory(req, &id, &off) != 0)
		return;
	atomic_fetch_add(counter, 1);
	pthread_mutex_lock(&memories.lock);
	fd = descriptor_of(id);
	if (fd >= 0 && bytes && !is_there(fd, off, bytes, size))
		atomic_fetch_add(&seen.wrong, 1);
	pthread_mutex_unlock(&memories.lock);
}

/* ---- Reads ---- */

static size_t left(size_t size, off_t off)
{
	if (off >= SIZE)
		return 0;
	return size < (size_t)(SIZE - off) ? size : (size_t)(SIZE - off);
}

static void read_payload(fuse_req_t req, size_t size, off_t off)
{
	size_t room;
	char *place;

	if (fuse_req_get_payload(req, &place, &room, NULL) != 0) {
		place = malloc(size);
		pread(content, place, left(size, off), off);
		fuse_reply_buf(req, place, left(size, off));
		free(place);
		return;
	}
	size = left(size, off);
	pread(content, place, size, off);
	look(req, place, size, &seen.reads);
	fuse_reply_buf(req, place, size);
}

static void read_buf(fuse_req_t req, size_t size, off_t off)
{
	char *bytes = malloc(size);

	size = left(size, off);
	pread(content, bytes, size, off);
	look(req, NULL, 0, &seen.reads);
	fuse_reply_buf(req, bytes, size);
	free(bytes);
}

static void read_data(fuse_req_t req, size_t size, off_t off)
{
	struct fuse_bufvec data = FUSE_BUFVEC_INIT(left(size, off));

	data.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	data.buf[0].fd = content;
	data.buf[0].pos = off;
	look(req, NULL, 0, &seen.reads);
	fuse_reply_data(req, &data, 0);
}

static void read_filled(fuse_req_t req, size_t size, off_t off)
{
	struct fuse_bufvec from = FUSE_BUFVEC_INIT(left(size, off));
	struct fuse_bufvec to = FUSE_BUFVEC_INIT(0);
	ssize_t copied = -EIO;

	from.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	from.buf[0].fd = content;
	from.buf[0].pos = off;
	look(req, NULL, 0, &seen.reads);
	if (fuse_req_get_data(req, &to.buf[0]) == 0)
		copied = fuse_buf_copy(&to, &from, 0);
	if (copied < 0)
		fuse_reply_err(req, (int)-copied);
	else
		fuse_reply_read_filled(req, (size_t)copied);
}

static void hold(fuse_req_t req, bool is_read, size_t size, off_t off)
{
	const struct held held = { req, is_read, size, off };
	bool full;

	pthread_mutex_lock(&helds.lock);
	full = helds.count == HELD_MAX;
	if (!full)
		helds.requests[helds.count++] = held;
	pthread_mutex_unlock(&helds.lock);
	if (full)
		fuse_reply_err(req, EBUSY);
}

static void do_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	switch (ino) {
	case PAYLOAD:
		return read_payload(req, size, off);
	case BUF:
		return read_buf(req, size, off);
	case DATA:
		return read_data(req, size, off);
	case FD:
		look(req, NULL, 0, &seen.reads);
		fuse_reply_read_fd(req, content, off, left(size, off));
		return;
	case FILLED:
		return read_filled(req, size, off);
	case HELD:
		return hold(req, true, size, off);
	default:
		fuse_reply_err(req, EISDIR);
	}
}

/* ---- Writes ---- */

static void write_payload(fuse_req_t req, const char *bytes, size_t size, off_t off)
{
	size_t room;
	char *place;

	look(req, bytes, size, &seen.writes);
	if (fuse_req_get_shared_memory(req, NULL, NULL) == 0 &&
	    (fuse_req_get_payload(req, &place, &room, NULL) != 0 || place != bytes ||
	     room < size))
		atomic_fetch_add(&seen.wrong, 1);
	pwrite(content, bytes, size, off);
	fuse_reply_write(req, size);
}

static void do_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size,
		     off_t off, struct fuse_file_info *fi)
{
	if (off > SIZE || size > (size_t)(SIZE - off)) {
		fuse_reply_err(req, EFBIG);
		return;
	}
	if (ino == FD) {
		look(req, bytes, size, &seen.writes);
		fuse_reply_write_fd(req, content, off, size);
	} else if (ino == HELD) {
		hold(req, false, size, off);
	} else {
		write_payload(req, bytes, size, off);
	}
}

static void do_write_buf(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *from,
			 off_t off, struct fuse_file_info *fi)
{
	struct fuse_bufvec to = FUSE_BUFVEC_INIT(fuse_buf_size(from));
	bool memory = !(from->buf[0].flags & FUSE_BUF_IS_FD);
	ssize_t copied;

	if (ino != DATA && ino != FILLED && memory) {
		do_write(req, ino, (char *)from->buf[0].mem + from->off,
			 fuse_buf_size(from), off, fi);
		return;
	}
	to.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	to.buf[0].fd = content;
	to.buf[0].pos = off;
	look(req, NULL, 0, &seen.writes);
	copied = fuse_buf_copy(&to, from, 0);
	if (copied < 0)
		fuse_reply_err(req, (int)-copied);
	else
		fuse_reply_write(req, (size_t)copied);
}

static void go(void)
{
	struct held now[HELD_MAX];
	unsigned count;

	pthread_mutex_lock(&helds.lock);
	count = helds.count;
	memcpy(now, helds.requests, count * sizeof(*now));
	helds.count = 0;
	pthread_mutex_unlock(&helds.lock);
	for (unsigned i = 0; i < count; i++) {
		const struct held *held = &now[i];
		size_t room;
		char *place;

		if (held->is_read)
			read_payload(held->req, held->size, held->off);
		else if (fuse_req_get_payload(held->req, &place, &room, NULL) == 0)
			write_payload(held->req, place, held->size, held->off);
		else
			fuse_reply_err(held->req, EIO);
	}
}

/* ---- Attributes ---- */

static void do_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
			const char *value, size_t size, int flags)
{
	bool goes = !strcmp(name, "user.go");
	char text[256];
	int error = ENOTSUP;

	snprintf(text, sizeof(text), "%.*s", (int)size, value);
	if (!strcmp(name, "user.add"))
		error = add(text, O_RDWR);
	else if (!strcmp(name, "user.look"))
		error = add(text, O_RDONLY);
	else if (!strcmp(name, "user.remove"))
		error = forget(strtoull(text, NULL, 10));
	else if (goes)
		error = 0;
	fuse_reply_err(req, error);
	if (goes)
		go();
}

static void do_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	char text[256] = "";

	if (!strcmp(name, "user.id"))
		snprintf(text, sizeof(text), "%llu", (unsigned long long)memories.last);
	else if (!strcmp(name, "user.seen"))
		snprintf(text, sizeof(text), "%u %u %u", atomic_load(&seen.reads),
			 atomic_load(&seen.writes), atomic_load(&seen.wrong));
	else if (!strcmp(name, "user.held"))
		snprintf(text, sizeof(text), "%u", helds.count);
	if (!*text)
		fuse_reply_err(req, ENODATA);
	else if (!size)
		fuse_reply_xattr(req, strlen(text));
	else
		fuse_reply_buf(req, text, strlen(text));
}

/* ---- Nodes ---- */

static struct stat attributes_of(fuse_ino_t ino)
{
	struct stat st = { .st_ino = ino, .st_nlink = 1 };

	st.st_mode = ino == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0666;
	st.st_size = ino == FUSE_ROOT_ID ? 0 : SIZE;
	return st;
}

static void do_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry = { .attr_timeout = 60, .entry_timeout = 60 };

	for (fuse_ino_t ino = PAYLOAD; ino < WAYS; ino++) {
		if (strcmp(name, names[ino]) != 0)
			continue;
		entry.ino = ino;
		entry.attr = attributes_of(ino);
		fuse_reply_entry(req, &entry);
		return;
	}
	fuse_reply_err(req, ENOENT);
}

static void do_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st = attributes_of(ino);

	fuse_reply_attr(req, &st, 60);
}

static int started(struct fuse_session *se)
{
	session = se;
	return 0;
}

int main(int argc, char **argv)
{
	static int wants_write_buf;
	static const struct fuse_opt specs[] = {
		{ "--write-buf", 0, 1 },
		FUSE_OPT_END,
	};
	struct fuse_lowlevel_ops operations = {
		.lookup = do_lookup,
		.getattr = do_getattr,
		.read = do_read,
		.write = do_write,
		.setxattr = do_setxattr,
		.getxattr = do_getxattr,
	};
	const struct program program = {
		.help = "    --write-buf            has the handler for buffers\n",
		.operations = &operations,
		.started = started,
	};
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	int status = 1;

	content = memfd_create("content", MFD_CLOEXEC);
	if (content < 0 || ftruncate(content, SIZE) < 0) {
		perror("content");
		return 1;
	}
	if (fuse_opt_parse(&args, &wants_write_buf, specs, NULL) == 0) {
		if (wants_write_buf)
			operations.write_buf = do_write_buf;
		status = serve(&args, &program);
	}
	fuse_opt_free_args(&args);
	close(content);
	return status;
}
