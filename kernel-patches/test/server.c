// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include "server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	ROOT = 1,
	DATA,
	LINK,
	ENTRIES
};

/* What a completion is about, in the upper half of its user_data */
enum {
	FETCH,
	MOVE_LINKED,
	MOVE_WAIT
};

struct held {
	bool busy;
	uint64_t unique, commit_id;
	uint32_t size; /* that a linked move should have */
	bool is_write;
	uint16_t buf_id;
};

struct server_queue {
	struct queue queue;
	struct server *server;
	pthread_t thread;
	int scratch; /* a memfd, for replies to zero-copied requests that are made in memory */
	char *scratch_memory;
	struct held *held;
	struct counters counters;
	unsigned int live;
	unsigned int buffers;
	/* completions that came while another one was waited for */
	struct io_uring_cqe backlog[4096];
	unsigned int nr_backlog;
};

struct request {
	struct server_queue *sq;
	unsigned int slot;
	struct fuse_uring_req_header *header;
	struct fuse_in_header in;
	struct fuse_uring_ent_in_out ent;
	char *payload;
	bool zero_copy;
	int error;
	uint32_t reply_size;
	bool committed; /* or will be by itself */
};

static void complete(struct server_queue *sq, const struct io_uring_cqe *cqe);

/* Moves between the request's pages and a file, and waits for it. */
static int move(struct request *request, uint8_t opcode, int fd, uint32_t size,
		uint64_t offset)
{
	struct server_queue *sq = request->sq;
	uint64_t data = (uint64_t)MOVE_WAIT << 32 | request->slot;
	struct io_uring_sqe *sqe = queue_sqe(&sq->queue);
	struct io_uring_cqe *cqe;

	io_uring_prep_rw(opcode, sqe, fd, NULL, size, offset);
	sqe->buf_index = request->slot;
	sqe->user_data = data;
	io_uring_submit(&sq->queue.ring);
	for (;;) {
		int error = io_uring_wait_cqe(&sq->queue.ring, &cqe);

		if (error == -EINTR)
			continue;
		if (error)
			die("waiting for a move: %s", strerror(-error));
		if (cqe->user_data == data) {
			int result = cqe->res;

			io_uring_cqe_seen(&sq->queue.ring, cqe);
			return result;
		}
		if (sq->nr_backlog == 4096)
			die("too many completions at once");
		sq->backlog[sq->nr_backlog++] = *cqe;
		io_uring_cqe_seen(&sq->queue.ring, cqe);
	}
}

static void fill_header(struct fuse_uring_req_header *header, uint64_t unique, int error,
			uint32_t payload_size)
{
	struct fuse_out_header *out = (void *)header->in_out;

	memset(out, 0, sizeof(*out));
	out->unique = unique;
	out->error = error;
	out->len = sizeof(*out) + payload_size;
	header->ring_ent_in_out.payload_sz = payload_size;
}

static struct fuse_attr attributes(struct server *server, uint64_t node)
{
	struct fuse_attr attr = { .ino = node, .nlink = 1, .blksize = 4096 };
	struct stat stat;

	attr.mode = node == DATA   ? S_IFREG | 0644
		    : node == LINK ? S_IFLNK | 0777
				   : S_IFDIR | 0755;
	if (node == DATA && !fstat(server->backing, &stat))
		attr.size = stat.st_size;
	if (node == LINK)
		attr.size = strlen(LINK_TARGET);
	return attr;
}

/* Gives @size bytes at @data as the reply, whichever way they have to go. */
static void reply_bytes(struct request *request, const void *data, uint32_t size)
{
	struct server_queue *sq = request->sq;
	size_t offset = (size_t)request->slot * 65536;
	int moved;

	request->reply_size = size;
	if (!request->zero_copy) {
		memcpy(request->payload, data, size);
		return;
	}
	if (!size)
		return;
	memcpy(sq->scratch_memory + offset, data, size);
	moved = move(request, IORING_OP_READ_FIXED, sq->scratch, size, offset);
	if (moved != (int)size)
		die("opcode %u: %d of %u bytes moved", request->in.opcode, moved, size);
}

static void do_lookup(struct request *request)
{
	static const char *const names[] = {
		[DATA] = "data", [LINK] = "link", [ENTRIES] = "entries"
	};
	struct fuse_entry_out *entry = (void *)request->payload;
	uint64_t node = 0;

	for (int i = DATA; i <= ENTRIES; i++)
		if (!strcmp(request->payload, names[i]))
			node = i;
	if (!node || request->in.nodeid != ROOT) {
		request->error = -ENOENT;
		return;
	}
	memset(entry, 0, sizeof(*entry));
	entry->nodeid = node;
	entry->entry_valid = 100;
	entry->attr = attributes(request->sq->server, node);
	request->reply_size = sizeof(*entry);
}

static void do_attributes(struct request *request)
{
	struct fuse_attr_out *out = (void *)request->payload;

	if (request->in.opcode == FUSE_SETATTR) {
		struct fuse_setattr_in *in = (void *)request->header->op_in;

		if (in->valid & FATTR_SIZE &&
		    ftruncate(request->sq->server->backing, in->size)) {
			request->error = -errno;
			return;
		}
	}
	memset(out, 0, sizeof(*out));
	out->attr = attributes(request->sq->server, request->in.nodeid);
	request->reply_size = sizeof(*out);
}

/* Both commands leave with the next submission; nothing is heard but the entry's next request. */
static void link_move(struct request *request, uint8_t opcode, uint32_t size,
		      uint64_t offset)
{
	struct server_queue *sq = request->sq;
	struct io_uring_sqe *sqe;

	if (io_uring_sq_space_left(&sq->queue.ring) < 2)
		io_uring_submit(&sq->queue.ring);
	sqe = queue_sqe(&sq->queue);
	io_uring_prep_rw(opcode, sqe, sq->server->backing, NULL, size, offset);
	sqe->buf_index = request->slot;
	sqe->flags = IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
	sqe->user_data = (uint64_t)MOVE_LINKED << 32 | request->slot;
	fill_header(request->header, request->in.unique, 0, request->reply_size);
	queue_commit(&sq->queue, request->ent.commit_id, request->slot);
	request->committed = true;
	sq->counters.linked++;
}

static void do_read(struct request *request)
{
	struct server *server = request->sq->server;
	struct fuse_read_in in = *(struct fuse_read_in *)request->header->op_in;
	ssize_t size;

	if (server->delay_us)
		usleep(server->delay_us);
	if (!request->zero_copy) {
		size = pread(server->backing, request->payload, in.size, in.offset);
	} else if (server->linked) {
		request->reply_size = in.size;
		link_move(request, IORING_OP_READ_FIXED, in.size, in.offset);
		return;
	} else {
		size = move(request, IORING_OP_READ_FIXED, server->backing, in.size,
			    in.offset);
		if (size < 0)
			errno = -size;
	}
	if (size < 0)
		request->error = -errno;
	else
		request->reply_size = size;
}

static void do_write(struct request *request)
{
	struct server *server = request->sq->server;
	struct fuse_write_in in = *(struct fuse_write_in *)request->header->op_in;
	struct fuse_write_out *out = (void *)request->payload;
	ssize_t size;

	if (request->ent.payload_sz != in.size)
		die("WRITE of %u bytes has a payload of %u", in.size,
		    request->ent.payload_sz);
	if (!request->zero_copy) {
		size = pwrite(server->backing, request->payload, in.size, in.offset);
	} else if (server->linked) {
		*out = (struct fuse_write_out){ .size = in.size };
		request->reply_size = sizeof(*out);
		link_move(request, IORING_OP_WRITE_FIXED, in.size, in.offset);
		return;
	} else {
		size = move(request, IORING_OP_WRITE_FIXED, server->backing, in.size,
			    in.offset);
		if (size < 0)
			errno = -size;
	}
	if (size < 0) {
		request->error = -errno;
		return;
	}
	*out = (struct fuse_write_out){ .size = size };
	request->reply_size = sizeof(*out);
}

static void do_readdir(struct request *request)
{
	struct fuse_read_in in = *(struct fuse_read_in *)request->header->op_in;
	char entries[65536];
	uint32_t size = 0;

	for (uint64_t i = in.offset; i < NR_ENTRIES; i++) {
		struct fuse_dirent *entry = (void *)(entries + size);
		char name[64];
		uint32_t length =
			snprintf(name, sizeof(name), "an entry with number %lu", i);

		if (size + FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + length) > in.size)
			break;
		memset(entry, 0, FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + length));
		entry->ino = 1000 + i;
		entry->off = i + 1;
		entry->namelen = length;
		entry->type = S_IFREG >> 12;
		memcpy(entry->name, name, length);
		size += FUSE_DIRENT_SIZE(entry);
	}
	reply_bytes(request, entries, size);
}

/* Inverts the bytes. In goes before out, so with zero-copy the pages are read and written. */
static void do_ioctl(struct request *request)
{
	struct fuse_ioctl_in in = *(struct fuse_ioctl_in *)request->header->op_in;
	struct fuse_ioctl_out *out = (void *)request->payload;
	struct server_queue *sq = request->sq;
	size_t offset = (size_t)request->slot * 65536;
	char bytes[4096];

	if (in.cmd != IOCTL_INVERT || in.in_size != _IOC_SIZE(IOCTL_INVERT)) {
		request->error = -ENOTTY;
		return;
	}
	if (request->zero_copy) {
		if (move(request, IORING_OP_WRITE_FIXED, sq->scratch, in.in_size,
			 offset) != (int)in.in_size)
			die("ioctl: its bytes cannot be had");
		memcpy(bytes, sq->scratch_memory + offset, in.in_size);
	} else {
		memcpy(bytes, request->payload, in.in_size);
	}
	for (uint32_t i = 0; i < in.in_size; i++)
		bytes[i] = ~bytes[i];
	if (request->zero_copy) {
		reply_bytes(request, bytes, in.in_size);
	} else {
		memcpy(out + 1, bytes, in.in_size);
	}
	*out = (struct fuse_ioctl_out){ 0 };
	request->reply_size = sizeof(*out) + in.in_size;
}

static void serve(struct request *request)
{
	switch (request->in.opcode) {
	case FUSE_LOOKUP:
		do_lookup(request);
		break;
	case FUSE_GETATTR:
	case FUSE_SETATTR:
		do_attributes(request);
		break;
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		memset(request->payload, 0, sizeof(struct fuse_open_out));
		request->reply_size = sizeof(struct fuse_open_out);
		break;
	case FUSE_READ:
		do_read(request);
		break;
	case FUSE_WRITE:
		do_write(request);
		break;
	case FUSE_READDIR:
		do_readdir(request);
		break;
	case FUSE_READLINK:
		reply_bytes(request, LINK_TARGET, strlen(LINK_TARGET));
		break;
	case FUSE_IOCTL:
		do_ioctl(request);
		break;
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
	case FUSE_FLUSH:
	case FUSE_FSYNC:
		break;
	default:
		request->error = -ENOSYS;
	}
}

static void count(struct request *request)
{
	struct counters *counters = &request->sq->counters;

	counters->requests++;
	counters->zero_copied += request->zero_copy;
	if (request->ent.buf_id == UINT16_MAX) {
		counters->bufferless++;
		return;
	}
	counters->buffered++;
	if (request->ent.buf_id >= request->sq->queue.setup.nr_bufs)
		die("buffer %u of %u", request->ent.buf_id,
		    request->sq->queue.setup.nr_bufs);
	if (request->ent.buf_id >= counters->most_buffers)
		counters->most_buffers = request->ent.buf_id + 1;
}

static void receive(struct server_queue *sq, unsigned int slot)
{
	struct fuse_uring_req_header *header = &sq->queue.headers[slot];
	struct request request = {
		.sq = sq,
		.slot = slot,
		.header = header,
		.in = *(struct fuse_in_header *)header->in_out,
		.ent = header->ring_ent_in_out,
		.zero_copy = header->ring_ent_in_out.flags & FUSE_URING_ENT_ZERO_COPY,
	};

	/* an entry without a buffer ring has its own buffer, and the kernel does not number it */
	if (!sq->queue.setup.flags)
		request.ent.buf_id = slot;
	if (request.ent.buf_id != UINT16_MAX)
		request.payload = sq->queue.pool +
				  (size_t)request.ent.buf_id * sq->queue.setup.buf_size;
	count(&request);
	sq->held[slot] = (struct held){
		.busy = true,
		.unique = request.in.unique,
		.commit_id = request.ent.commit_id,
		.buf_id = request.ent.buf_id,
		.is_write = request.in.opcode == FUSE_WRITE,
	};
	if (request.in.opcode == FUSE_READ)
		sq->held[slot].size = ((struct fuse_read_in *)header->op_in)->size;
	if (request.in.opcode == FUSE_WRITE)
		sq->held[slot].size = ((struct fuse_write_in *)header->op_in)->size;
	serve(&request);
	if (request.committed)
		return;
	if (request.error)
		request.reply_size = 0;
	fill_header(header, request.in.unique, request.error, request.reply_size);
	queue_commit(&sq->queue, request.ent.commit_id, slot);
}

/* A linked move that did not do all: its commit was dropped, the true reply is committed alone. */
static void move_broke(struct server_queue *sq, unsigned int slot, int result)
{
	struct held *held = &sq->held[slot];
	struct fuse_uring_req_header *header = &sq->queue.headers[slot];
	uint32_t size = result < 0 ? 0 : result;

	sq->counters.broken++;
	if (held->is_write && result >= 0) {
		struct fuse_write_out *out =
			(void *)(sq->queue.pool +
				 (size_t)held->buf_id * sq->queue.setup.buf_size);

		*out = (struct fuse_write_out){ .size = result };
		size = sizeof(*out);
	}
	fill_header(header, held->unique, result < 0 ? result : 0, size);
	queue_commit(&sq->queue, held->commit_id, slot);
}

static void complete(struct server_queue *sq, const struct io_uring_cqe *cqe)
{
	unsigned int slot = (uint32_t)cqe->user_data;

	if (cqe->user_data >> 32 == MOVE_LINKED) {
		move_broke(sq, slot, cqe->res);
		return;
	}
	if (!cqe->res) {
		receive(sq, slot);
		return;
	}
	if (cqe->res != -ENOTCONN && cqe->res != -ECONNABORTED && cqe->res != -ECANCELED)
		die("queue %d, entry %u: %s", sq->queue.qid, slot, strerror(-cqe->res));
	sq->live--;
}

static void *serve_queue(void *argument)
{
	struct server_queue *sq = argument;
	struct io_uring_cqe *cqe;

	for (unsigned int slot = 0; slot < sq->queue.setup.depth; slot++)
		queue_register(&sq->queue, slot);
	sq->live = sq->queue.setup.depth;
	while (sq->live) {
		int error =
			io_uring_submit_and_wait(&sq->queue.ring, sq->nr_backlog ? 0 : 1);

		if (error < 0 && error != -EINTR)
			die("io_uring_submit_and_wait: %s", strerror(-error));
		while (sq->nr_backlog) {
			struct io_uring_cqe first = sq->backlog[0];

			memmove(sq->backlog, sq->backlog + 1,
				--sq->nr_backlog * sizeof(first));
			complete(sq, &first);
		}
		while (!io_uring_peek_cqe(&sq->queue.ring, &cqe)) {
			struct io_uring_cqe copy = *cqe;

			io_uring_cqe_seen(&sq->queue.ring, cqe);
			complete(sq, &copy);
		}
	}
	return NULL;
}

void server_start(struct server *server, const char *mountpoint)
{
	size_t scratch = (size_t)server->setup.depth * 65536;

	mount_begin(&server->mount, mountpoint);
	server->queues = calloc(server->mount.nr_queues, sizeof(*server->queues));
	for (int i = 0; i < server->mount.nr_queues; i++) {
		struct server_queue *sq = &server->queues[i];

		sq->server = server;
		sq->held = calloc(server->setup.depth, sizeof(*sq->held));
		sq->scratch = memfd_create("scratch", MFD_CLOEXEC);
		if (sq->scratch < 0 || ftruncate(sq->scratch, scratch))
			die("memfd: %s", strerror(errno));
		sq->scratch_memory = mmap(NULL, scratch, PROT_READ | PROT_WRITE,
					  MAP_SHARED, sq->scratch, 0);
		queue_init(&sq->queue, &server->mount, i, &server->setup);
		if (pthread_create(&sq->thread, NULL, serve_queue, sq))
			die("pthread_create");
	}
}

void server_stop(struct server *server)
{
	size_t scratch = (size_t)server->setup.depth * 65536;

	mount_leave(&server->mount);
	for (int i = 0; i < server->mount.nr_queues; i++) {
		struct server_queue *sq = &server->queues[i];
		struct counters *sum = &server->counters, *part = &sq->counters;

		pthread_join(sq->thread, NULL);
		queue_free(&sq->queue);
		munmap(sq->scratch_memory, scratch);
		close(sq->scratch);
		free(sq->held);
		sum->requests += part->requests;
		sum->zero_copied += part->zero_copied;
		sum->buffered += part->buffered;
		sum->bufferless += part->bufferless;
		sum->linked += part->linked;
		sum->broken += part->broken;
		if (part->most_buffers > sum->most_buffers)
			sum->most_buffers = part->most_buffers;
	}
	close(server->mount.fuse);
	free(server->queues);
}
