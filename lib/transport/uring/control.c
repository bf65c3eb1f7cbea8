// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A ring for commands that are about the connection: those of the queues belong to their
 * owners, and may be what failed. It has room for one command, which the kernel answers at once.
 */
#include "fuse_config.h"

#include <errno.h>
#include <string.h>

#include "transport/uring/queue.h"

int fuse_uring_control_open(struct fuse_uring_control *control)
{
	struct io_uring_params params = { .flags = IORING_SETUP_SQE128 };
	int error = io_uring_queue_init_params(1, &control->ring, &params);

	if (error)
		return error;
	fuse_uring_keep_from_children(&control->ring);
	control->open = true;
	return 0;
}

void fuse_uring_control_close(struct fuse_uring_control *control)
{
	if (control->open)
		io_uring_queue_exit(&control->ring);
	control->open = false;
}

static int submit(struct io_uring *ring)
{
	int result;

	do
		result = io_uring_submit(ring);
	while (result == -EINTR);
	return result;
}

/* One completion: 0 or a negative errno. */
static int take(struct io_uring *ring, struct io_uring_cqe *taken)
{
	struct __kernel_timespec timeout = { .tv_sec = 1 };
	struct io_uring_cqe *cqe;
	int result;

	do
		result = io_uring_wait_cqe_timeout(ring, &cqe, &timeout);
	while (result == -EINTR);
	if (result < 0)
		return result == -ETIME ? -ETIMEDOUT : result;
	*taken = *cqe;
	io_uring_cqe_seen(ring, cqe);
	return 0;
}

/* Returns the latest command's result. One that was given up on may come in late. */
static int await(struct fuse_uring_control *control)
{
	struct io_uring_cqe cqe;
	int error;

	do
		error = take(&control->ring, &cqe);
	while (!error && cqe.user_data != control->sent);
	return error ? error : cqe.res;
}

int fuse_uring_control_send(struct fuse_uring_control *control, int fd, uint32_t op,
			    const struct fuse_uring_cmd_req *command)
{
	struct io_uring_sqe *sqe;
	int result;

	if (!control->open)
		return -ENOENT;
	sqe = io_uring_get_sqe(&control->ring);
	if (!sqe)
		return -EBUSY;
	memset(sqe, 0, 2 * sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = fd;
	sqe->cmd_op = op;
	sqe->user_data = ++control->sent;
	memcpy(sqe->cmd, command, sizeof(*command));
	result = submit(&control->ring);
	return result < 0 ? result : await(control);
}
