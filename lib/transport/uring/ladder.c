// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Whether there can be rings at all, in which dialect, and what is done to the kernel when
 * there cannot after all. The ladder's last rung, /dev/fuse, is not here: it is what
 * remains when fuse_uring_new() or fuse_uring_start() say why not.
 *
 * The steps that fault injection knows, in the order in which a mount takes them:
 *
 *	in fuse_uring_new():	cpu-list, thread-create, eventfd, memfd, map-headers,
 *				map-payload, ring-create, and with buffer pools
 *				buffer-table, pool-register, with pinned buffer rings
 *				buffer-table, pin-headers, pin-payload
 *	in fuse_uring_start():	register-submit, register-refused, and before these with
 *				buffer pools add-queue, add-bufpool, with pinned buffer
 *				rings unpin-trial
 *
 * cpu-list is passed once, and each of the others once per queue; fuse_uring_available()
 * passes ring-create and cpu-list once more before. For register-refused the
 * errno is the kernel's own: it is really asked for something that it refuses.
 */
#include "fuse_config.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support/fault.h"
#include "transport/uring/dialect.h"

#define POSSIBLE_CPUS "/sys/devices/system/cpu/possible"
#define ENABLE_URING  "/sys/module/fuse/parameters/enable_uring"

/* Queues have 16-bit numbers, and the highest one is kept for a queue that does not exist. */
#define QUEUES_MAX UINT16_MAX

const struct fuse_uring_dialect *const fuse_uring_ladder[] = {
	&fuse_uring_bufpool_zero_copy_registered,
	&fuse_uring_bufpool_zero_copy,
	&fuse_uring_bufpool_registered,
	&fuse_uring_bufpool,
	&fuse_uring_bufring_zero_copy,
	&fuse_uring_bufring_pinned,
	&fuse_uring_bufring_pinned_headers,
	&fuse_uring_bufring,
	&fuse_uring_per_entry,
	NULL,
};

/* ---- The machine ---- */

static int read_line(const char *path, char *line, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length;
	int error = 0;

	if (fd < 0)
		return -errno;
	length = read(fd, line, size - 1);
	if (length < 0)
		error = -errno;
	else if (length == 0 || line[length - 1] != '\n')
		error = -EINVAL;
	else
		line[length - 1] = '\0';
	close(fd);
	return error;
}

static bool read_number(const char **text, unsigned *number)
{
	unsigned value = 0;

	if (!isdigit((unsigned char)**text))
		return false;
	while (isdigit((unsigned char)**text)) {
		value = 10 * value + (unsigned)(*(*text)++ - '0');
		if (value > QUEUES_MAX)
			return false;
	}
	*number = value;
	return true;
}

/*
 * Counts a list like "0-3,5", in ascending order; -1 if it is anything else. The kernel
 * has as many queues as there are possible CPUs, however these are numbered.
 */
static int count_cpus(const char *list)
{
	unsigned count = 0, next = 0, first, last;

	for (;;) {
		if (!read_number(&list, &first))
			return -1;
		last = first;
		if (*list == '-' && (list++, !read_number(&list, &last)))
			return -1;
		if (first < next || last < first)
			return -1;
		count += last - first + 1;
		next = last + 1;
		if (*list == '\0')
			return count <= QUEUES_MAX ? (int)count : -1;
		if (*list++ != ',')
			return -1;
	}
}

int fuse_uring_possible_cpus(struct fuse_uring_reason *why)
{
	char list[4096];
	int error = fuse_fault("cpu-list");
	int count;

	if (!error)
		error = read_line(POSSIBLE_CPUS, list, sizeof(list));
	if (error) {
		fuse_uring_explain(why, "cpu-list (" POSSIBLE_CPUS ")", -1, error);
		return -1;
	}
	count = count_cpus(list);
	if (count < 0)
		snprintf(why->text, sizeof(why->text),
			 "cpu-list (" POSSIBLE_CPUS "): not a list of CPUs: %.60s", list);
	return count;
}

static bool kernel_has_it_enabled(struct fuse_uring_reason *why)
{
	char answer[8];
	int error = read_line(ENABLE_URING, answer, sizeof(answer));

	if (!error && strcmp(answer, "Y") == 0)
		return true;
	if (!error)
		snprintf(why->text, sizeof(why->text),
			 "FUSE over io_uring is disabled (%s is %s)", ENABLE_URING,
			 answer);
	else if (error == -ENOENT)
		snprintf(why->text, sizeof(why->text),
			 "this kernel has no FUSE over io_uring (there is no %s)",
			 ENABLE_URING);
	else
		fuse_uring_explain(why, ENABLE_URING, -1, error);
	return false;
}

/* ---- What was asked for ---- */

static bool check_depth(unsigned depth, struct fuse_uring_reason *why)
{
	if (depth >= 1 && depth <= FUSE_URING_MAX_DEPTH)
		return true;
	snprintf(why->text, sizeof(why->text),
		 "a queue depth of %u is not within 1 to %u", depth,
		 FUSE_URING_MAX_DEPTH);
	return false;
}

bool fuse_uring_check(const struct fuse_uring_config *config,
		      struct fuse_uring_reason *why)
{
	if (!check_depth(config->queue_depth, why))
		return false;
	/* payload_sz has 32 bits. */
	if (config->payload_max >= FUSE_MIN_READ_BUFFER &&
	    config->payload_max <= INT32_MAX)
		return true;
	snprintf(why->text, sizeof(why->text),
		 "a payload of %zu bytes is not within %d to %d", config->payload_max,
		 FUSE_MIN_READ_BUFFER, INT32_MAX);
	return false;
}

bool fuse_uring_available(unsigned queue_depth, bool zero_copy,
			  struct fuse_uring_reason *why)
{
	struct io_uring ring;
	int error;

	if (!check_depth(queue_depth, why) || !kernel_has_it_enabled(why) ||
	    (zero_copy && !fuse_uring_may_zero_copy(why)))
		return false;
	error = fuse_fault("ring-create");
	if (!error)
		error = fuse_uring_ring_init(&ring, queue_depth + 1, 0);
	if (error) {
		fuse_uring_explain(why, "ring-create", -1, error);
		return false;
	}
	io_uring_queue_exit(&ring);
	return fuse_uring_possible_cpus(why) > 0;
}

/* ---- Giving up ---- */

/*
 * Sends a REGISTER for a queue that cannot exist. Returns 0 if the kernel refused it as it
 * should: then it uses no rings for this connection, and has told those who wait.
 */
int fuse_uring_refuse(struct fuse_uring_control *control, int fd)
{
	const struct fuse_uring_cmd_req command = { .qid = UINT16_MAX };
	int result = fuse_uring_control_send(control, fd, FUSE_IO_URING_CMD_REGISTER,
					     &command);

	switch (result) {
	case -EINVAL:	  /* as intended */
	case -EOPNOTSUPP: /* rings are off already */
	case -ENOTCONN:	  /* there is nobody left to wait */
	case -ECONNABORTED:
	case -ENODEV:
		return 0;
	default:
		return result < 0 ? result : -EPROTO;
	}
}
