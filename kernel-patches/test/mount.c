// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include "mount.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

void die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	fflush(NULL);
	_exit(1);
}

/* FORGET and INTERRUPT come here for as long as the mount lives; neither wants a reply. */
static void *read_classic(void *argument)
{
	struct mounted *mounted = argument;
	static char buffer[MAX_PAYLOAD + 65536];

	for (;;) {
		ssize_t size = read(mounted->fuse, buffer, sizeof(buffer));

		if (size < 0 && (errno == ENODEV || errno == ECONNABORTED))
			return NULL;
		if (size < 0 && errno != EINTR && errno != EAGAIN && errno != ENOENT)
			die("/dev/fuse: %s", strerror(errno));
	}
}

unsigned int request_timeout;

static void answer_init(struct mounted *mounted)
{
	static char buffer[MAX_PAYLOAD + 65536];
	struct fuse_in_header *in = (void *)buffer;
	struct fuse_init_in *init = (void *)(in + 1);
	struct {
		struct fuse_out_header header;
		struct fuse_init_out init;
	} reply = { .header.len = sizeof(reply) };
	uint64_t flags = FUSE_INIT_EXT | FUSE_BIG_WRITES | FUSE_MAX_PAGES |
			 FUSE_ASYNC_READ | FUSE_ASYNC_DIO | FUSE_OVER_IO_URING |
			 FUSE_PARALLEL_DIROPS;

	if (read(mounted->fuse, buffer, sizeof(buffer)) < 0)
		die("FUSE_INIT: %s", strerror(errno));
	if (in->opcode != FUSE_INIT)
		die("opcode %u before FUSE_INIT", in->opcode);
	mounted->kernel_flags = init->flags | (uint64_t)init->flags2 << 32;

	if (request_timeout)
		flags |= FUSE_REQUEST_TIMEOUT;
	reply.header.unique = in->unique;
	reply.init.major = FUSE_KERNEL_VERSION;
	reply.init.minor = FUSE_KERNEL_MINOR_VERSION;
	reply.init.max_readahead = init->max_readahead;
	reply.init.flags = flags;
	reply.init.flags2 = flags >> 32;
	reply.init.max_write = MAX_PAYLOAD;
	reply.init.max_pages = MAX_PAYLOAD / 4096;
	reply.init.max_background = 64;
	reply.init.congestion_threshold = 48;
	reply.init.request_timeout = request_timeout;
	if (write(mounted->fuse, &reply, sizeof(reply)) < 0)
		die("FUSE_INIT: %s", strerror(errno));
}

static int possible_cpus(void)
{
	FILE *file = fopen("/sys/devices/system/cpu/possible", "r");
	int first = 0, last = 0;

	if (!file || fscanf(file, "%d-%d", &first, &last) < 1)
		die("/sys/devices/system/cpu/possible: not as expected");
	fclose(file);
	return (last ? last : first) + 1;
}

void mount_begin(struct mounted *mounted, const char *path)
{
	char options[128];

	mounted->path = path;
	mounted->nr_queues = possible_cpus();
	mounted->fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (mounted->fuse < 0)
		die("/dev/fuse: %s", strerror(errno));
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", mounted->fuse);
	if (mount("raw", path, "fuse", MS_NOSUID | MS_NODEV, options))
		die("mount: %s", strerror(errno));
	answer_init(mounted);
	if (pthread_create(&mounted->reader, NULL, read_classic, mounted))
		die("pthread_create");
}

void mount_leave(struct mounted *mounted)
{
	umount2(mounted->path, MNT_DETACH);
	pthread_join(mounted->reader, NULL);
}

void mount_end(struct mounted *mounted)
{
	mount_leave(mounted);
	close(mounted->fuse);
}

/* Opens a file of the connection's in /sys/fs/fuse/connections */
static int open_control(const struct mounted *mounted, const char *name, int flags)
{
	char line[256], path[128];
	unsigned int id = 0;
	FILE *file;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", mounted->fuse);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "fuse_connection: %u", &id) == 1)
			break;
	if (file)
		fclose(file);
	snprintf(path, sizeof(path), "/sys/fs/fuse/connections/%u/%s", id, name);
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		die("%s: %s", path, strerror(errno));
	return fd;
}

void mount_abort(struct mounted *mounted)
{
	int fd = open_control(mounted, "abort", O_WRONLY);

	if (write(fd, "1", 1) != 1)
		die("abort: %s", strerror(errno));
	close(fd);
}

void mount_wait_for(struct mounted *mounted, int requests)
{
	char text[32] = "";
	int fd;

	for (int i = 0; i < 5000 && atoi(text) != requests; i++) {
		usleep(2000);
		fd = open_control(mounted, "waiting", O_RDONLY);
		if (read(fd, text, sizeof(text) - 1) <= 0)
			die("waiting: %s", strerror(errno));
		close(fd);
	}
	if (atoi(text) != requests)
		die("%d requests, not %d", atoi(text), requests);
}
