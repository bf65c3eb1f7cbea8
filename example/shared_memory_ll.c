// SPDX-License-Identifier: GPL-2.0-only
/*
 * shared_memory_ll: a store of objects that looks at every byte, and copies none.
 *
 * Whatever is written has its checksums computed and kept, whatever is read has them compared:
 * so the server must see the data, and zero-copy past its memory is of no use to it. But a client
 * that has its data in memory which it shares with the server (shared_memory_client.c is one) spares
 * both copies: the kernel says only where in that memory the data are.
 *
 *     shared_memory_ll --store=FOLDER MOUNTPOINT
 *
 * Try it:
 *
 *     shared_memory_ll --store=/tmp/store mnt -o io_uring,stats=/tmp/stats.json
 *     shared_memory_client store mnt/perl /usr/bin/perl --verify
 *     shared_memory_client load mnt/perl /tmp/perl; cmp /tmp/perl /usr/bin/perl
 *     shared_memory_client load mnt/perl /tmp/perl --private
 *     fusermount3 -u mnt
 *     grep shared /tmp/stats.json
 *
 * What it does is the same on every kernel, for every client, and over /dev/fuse; it is only
 * copied there. doc/shared-memory.md has a picture.
 *
 * A client may change its memory while it is being written from. Then what is stored and its
 * checksum may not belong together, and that block cannot be read any more: no worse than what such
 * a client could expect of any file. A server that has to know better copies before it looks.
 */
#include "serve.h"

#include "object_store/objects.h"

#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define TIMEOUT 60.0 /* seconds: nobody else changes the store */

static struct {
	char *store;
	int no_channel;
} options;

/* Inode numbers are pointers, but for the root's. */
static struct object *object_of(fuse_ino_t ino)
{
	return (struct object *)(uintptr_t)ino;
}

/* ---- Data ---- */

/*
 * fuse_req_get_payload() says where the reply is to be: in the client's memory, if that is
 * shared, or in a buffer of the ring. What is put there is not copied by this process. Over
 * /dev/fuse there is no such place.
 */
static void store_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi)
{
	char *place, *own = NULL;
	size_t room;
	ssize_t got;

	if (fuse_req_get_payload(req, &place, &room, NULL) != 0 || room < size)
		place = own = malloc(size);
	got = place ? checked_file_read(&object_of(ino)->file, place, size, off)
		    : -ENOMEM;
	if (got < 0)
		fuse_reply_err(req, (int)-got);
	else
		fuse_reply_buf(req, place, (size_t)got);
	free(own);
}

/* buf is the client's memory, if that is shared: sums are computed from it, and it is written. */
static void store_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size,
			off_t off, struct fuse_file_info *fi)
{
	ssize_t put = checked_file_write(&object_of(ino)->file, buf, size, off);

	if (put < 0)
		fuse_reply_err(req, (int)-put);
	else
		fuse_reply_write(req, (size_t)put);
}

static void store_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
			struct fuse_file_info *fi)
{
	fuse_reply_err(req, -checked_file_sync(&object_of(ino)->file));
}

/* ---- Attributes ---- */

static int get_attr(fuse_ino_t ino, struct stat *attr)
{
	if (ino != FUSE_ROOT_ID)
		return objects_get_attr(object_of(ino), attr);
	*attr = (struct stat){
		.st_ino = FUSE_ROOT_ID,
		.st_mode = S_IFDIR | 0755,
		.st_nlink = 2,
		.st_uid = getuid(),
		.st_gid = getgid(),
	};
	return 0;
}

static void store_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat attr;
	int error = get_attr(ino, &attr);

	if (error)
		fuse_reply_err(req, error);
	else
		fuse_reply_attr(req, &attr, TIMEOUT);
}

/* Times are the files' own; owner and mode cannot be changed. */
static void store_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
			  struct fuse_file_info *fi)
{
	int error = 0;

	if (to_set & (FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))
		error = EPERM;
	else if (to_set & FUSE_SET_ATTR_SIZE)
		error = -checked_file_resize(&object_of(ino)->file, attr->st_size);
	if (error)
		fuse_reply_err(req, error);
	else
		store_getattr(req, ino, fi);
}

/* ---- Names ---- */

static int fill_entry(struct object *object, struct fuse_entry_param *entry)
{
	int error;

	*entry = (struct fuse_entry_param){
		.ino = (uintptr_t)object,
		.attr_timeout = TIMEOUT,
		.entry_timeout = TIMEOUT,
	};
	error = objects_get_attr(object, &entry->attr);
	if (error)
		objects_forget(object, 1);
	return error;
}

static void store_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry;
	struct object *object;
	int error = objects_find(name, &object);

	if (!error)
		error = fill_entry(object, &entry);
	if (error)
		fuse_reply_err(req, error);
	else
		fuse_reply_entry(req, &entry);
}

static void store_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups)
{
	if (ino != FUSE_ROOT_ID)
		objects_forget(object_of(ino), lookups);
	fuse_reply_none(req);
}

/*
 * Data must not go through the page cache: it is the client's own pages that are to be in
 * the request.
 */
static int open_object(struct object *object, struct fuse_file_info *fi)
{
	fi->direct_io = 1;
	return fi->flags & O_TRUNC ? -checked_file_resize(&object->file, 0) : 0;
}

static void store_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	int error = open_object(object_of(ino), fi);

	if (error)
		fuse_reply_err(req, error);
	else
		fuse_reply_open(req, fi);
}

static void store_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
			 struct fuse_file_info *fi)
{
	struct fuse_entry_param entry;
	struct object *object;
	int error = objects_create(name, fi->flags & O_EXCL, &object);

	if (!error) {
		error = open_object(object, fi);
		if (error)
			objects_forget(object, 1);
		else
			error = fill_entry(object, &entry);
	}
	if (error)
		fuse_reply_err(req, error);
	else
		fuse_reply_create(req, &entry, fi);
}

static void store_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	fuse_reply_err(req, objects_remove(name));
}

/* ---- The one folder ---- */

static DIR *list_of(const struct fuse_file_info *fi)
{
	return (DIR *)(uintptr_t)fi->fh;
}

static void store_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	int fd = objects_open_list();
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	int error = errno;

	if (list) {
		fi->fh = (uintptr_t)list;
		fuse_reply_open(req, fi);
		return;
	}
	if (fd >= 0)
		close(fd);
	fuse_reply_err(req, error);
}

static void store_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			  struct fuse_file_info *fi)
{
	DIR *list = list_of(fi);
	char *entries = malloc(size);
	size_t used = 0, length = 0;
	struct dirent *found;

	if (!entries) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	seekdir(list, off);
	while ((found = readdir(list))) {
		const struct stat attr = {
			.st_ino = found->d_ino,
			.st_mode = (mode_t)DTTOIF(found->d_type),
		};

		length = fuse_add_direntry(req, entries + used, size - used,
					   found->d_name, &attr, telldir(list));
		if (length > size - used)
			break;
		used += length;
	}
	fuse_reply_buf(req, entries, used);
	free(entries);
}

static void store_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	closedir(list_of(fi));
	fuse_reply_err(req, 0);
}

static const struct fuse_lowlevel_ops operations = {
	.lookup = store_lookup,
	.forget = store_forget,
	.getattr = store_getattr,
	.setattr = store_setattr,
	.open = store_open,
	.create = store_create,
	.read = store_read,
	.write = store_write,
	.fsync = store_fsync,
	.unlink = store_unlink,
	.opendir = store_opendir,
	.readdir = store_readdir,
	.releasedir = store_releasedir,
};

/* ---- Start and end ---- */

/* All that it takes: clients find the channel by themselves. The session closes it. */
static int started(struct fuse_session *session)
{
	return options.no_channel ? 0 : serve_memory(session);
}

/* Each object that the kernel knows has two descriptors. */
static void raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static const struct fuse_opt table[] = {
	{ "--store=%s", offsetof(__typeof__(options), store), 0 },
	{ "--no-channel", offsetof(__typeof__(options), no_channel), 1 },
	FUSE_OPT_END,
};

static int wants_to_know(const struct fuse_args *args)
{
	for (int i = 1; i < args->argc; i++)
		if (strcmp(args->argv[i], "--help") == 0 ||
		    strcmp(args->argv[i], "-h") == 0 ||
		    strcmp(args->argv[i], "--version") == 0 ||
		    strcmp(args->argv[i], "-V") == 0)
			return 1;
	return 0;
}

static int open_store(const struct fuse_args *args)
{
	int error;

	if (wants_to_know(args))
		return 0;
	if (!options.store) {
		fprintf(stderr, "%s: --store=FOLDER is missing, try --help\n",
			args->argv[0]);
		return -1;
	}
	error = objects_open(options.store);
	if (error)
		fprintf(stderr, "%s: %s\n", options.store, strerror(error));
	return -error;
}

int main(int argc, char **argv)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	const struct program program = {
		.help = "    --store=FOLDER         where the objects are kept\n"
			"    --no-channel           takes no memory from clients\n",
		.operations = &operations,
		.started = started,
	};
	int status = 1;

	if (fuse_opt_parse(&args, &options, table, NULL) == 0 &&
	    fuse_opt_insert_arg(&args, 1, "-odefault_permissions") == 0 &&
	    open_store(&args) == 0) {
		raise_limit();
		status = serve(&args, &program);
	}
	free(options.store);
	fuse_opt_free_args(&args);
	return status;
}
