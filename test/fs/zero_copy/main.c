// SPDX-License-Identifier: GPL-2.0-only
#include "zero_copy.h"

#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct options options;

#define FLAG(name, member)                                \
	{                                                 \
		name, offsetof(struct options, member), 1 \
	}

static const struct fuse_opt option_specs[] = {
	{ "folder=%s", offsetof(struct options, folder), 0 },
	{ "longer=%u", offsetof(struct options, longer), 0 },
	FLAG("old_write", old_write),
	FLAG("says_nothing", says_nothing),
	FLAG("no_capability", no_capability),
	FLAG("writeback", writeback),
	FLAG("direct_io", direct_io),
	FUSE_OPT_END,
};

static const char help[] =
	"    -o folder=PATH         where the data is\n"
	"    -o longer=N            say that each file has N bytes more than it has\n"
	"    -o old_write           have write(), and no write_buf()\n"
	"    -o says_nothing        leave it to the library which opens ask for zero-copy\n"
	"    -o no_capability       do not ask for FUSE_CAP_ZERO_COPY_WRITE\n"
	"    -o writeback           let the kernel collect writes\n"
	"    -o direct_io           let all files go past the page cache\n";

/*
 * What the handlers saw. The file "report" has it, a line "NAME COUNT" for each.
 */
static struct {
	atomic_ulong reads, zero_copied_reads;
	atomic_ulong writes, zero_copied_writes;
} seen;

#define REPORT_INO 1000
#define REPORT	   "report"

/* ---- Names and attributes ---- */

static const struct way *way_of(fuse_ino_t ino)
{
	return ino >= FIRST_INO && ino < FIRST_INO + way_count ? &ways[ino - FIRST_INO]
							       : NULL;
}

static fuse_ino_t ino_of(const char *name)
{
	for (size_t i = 0; i < way_count; i++)
		if (strcmp(ways[i].name, name) == 0)
			return FIRST_INO + i;
	return strcmp(name, REPORT) == 0 ? REPORT_INO : 0;
}

static int attr_of(fuse_ino_t ino, struct stat *attr)
{
	int error = 0;

	memset(attr, 0, sizeof(*attr));
	if (way_of(ino))
		error = file_attr(way_of(ino), attr);
	else if (ino == FUSE_ROOT_ID)
		*attr = (struct stat){ .st_mode = S_IFDIR | 0755, .st_nlink = 2 };
	else
		*attr = (struct stat){ .st_mode = S_IFREG | 0444, .st_nlink = 1 };
	attr->st_ino = ino;
	return error;
}

static void zc_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param e = { .ino = ino_of(name) };
	int error = e.ino ? attr_of(e.ino, &e.attr) : ENOENT;

	if (error)
		fuse_reply_err(req, error);
	else
		fuse_reply_entry(req, &e);
}

static void zc_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat attr;
	int error = attr_of(ino, &attr);

	if (error)
		fuse_reply_err(req, error);
	else
		fuse_reply_attr(req, &attr, 0);
}

static void zc_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		       struct fuse_file_info *fi)
{
	int error = 0;

	if (to_set & FUSE_SET_ATTR_SIZE && way_of(ino))
		error = file_truncate(way_of(ino), attr->st_size);
	if (error)
		fuse_reply_err(req, error);
	else
		zc_getattr(req, ino, fi);
}

/* ---- Open files ---- */

static void zc_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	const struct way *way = way_of(ino);
	struct file *file = NULL;
	int error = way ? file_open(way, fi->flags, &file) : 0;

	if (error) {
		fuse_reply_err(req, error);
		return;
	}
	fi->fh = (uintptr_t)file;
	fi->direct_io = !way || way->direct || options.direct_io;
	fi->parallel_direct_writes = fi->direct_io;
	if (!way || way->declines)
		fi->zero_copy = FUSE_ZERO_COPY_DECLINE;
	else if (!options.says_nothing)
		fi->zero_copy = FUSE_ZERO_COPY_ASK;
	if (fuse_reply_open(req, fi) < 0 && file)
		file_close(file);
}

static void zc_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (fi->fh)
		file_close((struct file *)(uintptr_t)fi->fh);
	fuse_reply_err(req, 0);
}

static void zc_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
		     struct fuse_file_info *fi)
{
	fuse_reply_err(req, 0);
}

static void report(fuse_req_t req, size_t size, off_t off)
{
	char text[256];
	int length = snprintf(text, sizeof(text),
			      "reads %lu\nzero_copied_reads %lu\n"
			      "writes %lu\nzero_copied_writes %lu\n",
			      seen.reads, seen.zero_copied_reads, seen.writes,
			      seen.zero_copied_writes);

	if (off != 0 || size < (size_t)length)
		length = 0;
	fuse_reply_buf(req, text, (size_t)length);
}

static void zc_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	struct file *file = (struct file *)(uintptr_t)fi->fh;

	if (!file) {
		report(req, size, off);
		return;
	}
	seen.reads++;
	seen.zero_copied_reads += fuse_req_is_zero_copy(req);
	file->way->read(req, file, size, off);
}

static void zc_write_buf(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *data,
			 off_t off, struct fuse_file_info *fi)
{
	struct file *file = (struct file *)(uintptr_t)fi->fh;

	seen.writes++;
	seen.zero_copied_writes += fuse_req_is_zero_copy(req);
	file->way->write(req, file, data, off);
}

/* As it was written before there was anything else. */
static void zc_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size,
		     off_t off, struct fuse_file_info *fi)
{
	struct file *file = (struct file *)(uintptr_t)fi->fh;
	ssize_t written;

	seen.writes++;
	seen.zero_copied_writes += fuse_req_is_zero_copy(req);
	written = pwrite(file->fd, data, size, off);
	if (written < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_write(req, (size_t)written);
}

/* ---- The session ---- */

static void zc_init(void *userdata, struct fuse_conn_info *conn)
{
	if (!options.no_capability && !options.old_write)
		fuse_set_feature_flag(conn, FUSE_CAP_ZERO_COPY_WRITE);
	if (options.writeback)
		fuse_set_feature_flag(conn, FUSE_CAP_WRITEBACK_CACHE);
}

static const struct fuse_lowlevel_ops *operations(void)
{
	static struct fuse_lowlevel_ops ops = {
		.init = zc_init,
		.lookup = zc_lookup,
		.getattr = zc_getattr,
		.setattr = zc_setattr,
		.open = zc_open,
		.release = zc_release,
		.read = zc_read,
		.write_buf = zc_write_buf,
		.fsync = zc_fsync,
	};

	if (options.old_write) {
		ops.write = zc_write;
		ops.write_buf = NULL;
	}
	return &ops;
}

/*
 * Threads that still carry something go by the ends of pipes, which files have; and no
 * reply goes out any more that might need one.
 */
static void destroyed(void)
{
	file_close_all();
	way_wait();
}

/* Whether the session has left a queue's memory behind, which is a file. */
static bool rings_are_left(void)
{
	DIR *folder = opendir("/proc/self/fd");
	const struct dirent *entry;
	bool any = false;

	while (folder && (entry = readdir(folder))) {
		char target[64];
		ssize_t length = readlinkat(dirfd(folder), entry->d_name, target,
					    sizeof(target) - 1);

		target[length > 0 ? length : 0] = '\0';
		any |= strncmp(target, "/memfd:fuse-ring", 16) == 0;
	}
	if (folder)
		closedir(folder);
	return any;
}

int main(int argc, char **argv)
{
	struct program program = { .help = help, .destroyed = destroyed };
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	int error = EINVAL, status = 1;

	if (fuse_opt_parse(&args, &options, option_specs, NULL) == 0 && options.folder)
		error = file_create_all();
	if (error) {
		fprintf(stderr, "zero_copy: folder %s: %s\n",
			options.folder ? options.folder : "is missing", strerror(error));
	} else {
		program.operations = operations();
		status = serve(&args, &program);
	}
	if (rings_are_left()) {
		fprintf(stderr, "zero_copy: the session is over, and has left memory\n");
		status = 1;
	}
	free(options.folder);
	fuse_opt_free_args(&args);
	return status;
}
