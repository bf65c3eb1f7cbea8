// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A path-based filesystem from its options to its end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuse_config.h"
#include "mount/mount.h"
#include "path/path.h"
#include "session/session.h"

/* ---- The beginning and the end, as the session calls them ---- */

static void start(void *userdata, struct fuse_conn_info *conn)
{
	struct fuse *f = userdata;

	if (f->started)
		return;
	fuse_context_enter(f, NULL);
	/* File servers ask about numbers: look_up_dots() in meta.c answers. */
	fuse_set_feature_flag(conn, FUSE_CAP_EXPORT_SUPPORT);
	fuse_fs_init(f->fs, conn, &f->conf);
	/*
	 * Its handlers would wait for data while they have claims, and who is to move the data may
	 * be waiting for these.
	 */
	if (!f->conf.nullpath_ok)
		fuse_unset_feature_flag(conn, FUSE_CAP_ZERO_COPY_WRITE);
	atomic_store(&f->scratches.usual, conn->max_write);
	if (fuse_interrupts_start(f) != 0)
		f->conf.intr = 0;
	fuse_tree_lock(&f->tree);
	if (fuse_nodes_init(&f->tree.nodes, f->conf.remember, f->conf.auto_cache) != 0) {
		fuse_log(FUSE_LOG_ERR, "fuse: no memory for the root\n");
		fuse_session_exit(f->se);
	}
	fuse_tree_unlock(&f->tree);
	fuse_cleanup_may_start(f);
}

static void end(void *userdata)
{
	struct fuse *f = userdata;

	fuse_context_enter(f, NULL);
	fuse_remove_all_hidden(f);
	fuse_fs_destroy(f->fs);
	f->fs = NULL;
}

/*
 * Some have another place besides, of which nothing is known here, so that anywhere is near; and a
 * rename may be of a directory. The last to release a hidden file removes it.
 */
static bool may_wait(void *userdata, uint32_t opcode, fuse_ino_t ino)
{
	struct fuse *f = userdata;

	switch (opcode) {
	case FUSE_RENAME:
	case FUSE_RENAME2:
		return fuse_tree_may_wait(&f->tree, FUSE_ROOT_ID, true);
	case FUSE_UNLINK:
	case FUSE_RMDIR:
	case FUSE_RELEASE:
		return fuse_tree_may_wait(&f->tree, ino, true);
	case FUSE_LINK:
	case FUSE_COPY_FILE_RANGE:
	case FUSE_COPY_FILE_RANGE_64:
		return fuse_tree_may_wait_anywhere(&f->tree);
	}
	return fuse_tree_may_wait(&f->tree, ino, false);
}

static const struct fuse_lowlevel_ops operations = {
	.init = start,
	.destroy = end,
	.lookup = fuse_path_lookup,
	.forget = fuse_path_forget,
	.forget_multi = fuse_path_forget_multi,
	.getattr = fuse_path_getattr,
	.setattr = fuse_path_setattr,
	.statx = fuse_path_statx,
	.access = fuse_path_access,
	.readlink = fuse_path_readlink,
	.mknod = fuse_path_mknod,
	.mkdir = fuse_path_mkdir,
	.unlink = fuse_path_unlink,
	.rmdir = fuse_path_rmdir,
	.symlink = fuse_path_symlink,
	.rename = fuse_path_rename,
	.link = fuse_path_link,
	.create = fuse_path_create,
	.open = fuse_path_open,
	.read = fuse_path_read,
	.write_buf = fuse_path_write_buf,
	.flush = fuse_path_flush,
	.release = fuse_path_release,
	.fsync = fuse_path_fsync,
	.opendir = fuse_path_opendir,
	.readdir = fuse_path_readdir,
	.readdirplus = fuse_path_readdirplus,
	.releasedir = fuse_path_releasedir,
	.fsyncdir = fuse_path_fsyncdir,
	.statfs = fuse_path_statfs,
	.setxattr = fuse_path_setxattr,
	.getxattr = fuse_path_getxattr,
	.listxattr = fuse_path_listxattr,
	.removexattr = fuse_path_removexattr,
	.getlk = fuse_path_getlk,
	.setlk = fuse_path_setlk,
	.flock = fuse_path_flock,
	.bmap = fuse_path_bmap,
	.ioctl = fuse_path_ioctl,
	.poll = fuse_path_poll,
	.fallocate = fuse_path_fallocate,
	.copy_file_range = fuse_path_copy_file_range,
	.lseek = fuse_path_lseek,
};

/* ---- Making and freeing ---- */

static void free_fuse(struct fuse *f)
{
	/* Where init() was never called, end() was not either. */
	if (f->fs) {
		fuse_context_enter(f, NULL);
		fuse_fs_destroy(f->fs);
	}
	fuse_context_enter(NULL, NULL);
	fuse_modules_unload(f);
	if (f->started)
		fuse_interrupts_stop(f);
	fuse_cleanup_destroy(&f->cleanup);
	fuse_scratches_destroy(&f->scratches);
	fuse_locks_destroy(&f->locks);
	fuse_tree_destroy(&f->tree);
	fuse_config_free(&f->conf);
	free(f);
}

static int set_up(struct fuse *f, struct fuse_args *args,
		  const struct fuse_operations *op, size_t op_size,
		  struct libfuse_version *version, void *user_data)
{
	bool in_memory;

	if (fuse_config_parse(&f->conf, args) != 0)
		return -1;
	/* Here, so that the filesystem's init() finds it, and may choose another. */
	if (!f->conf.ac_attr_timeout_set)
		f->conf.ac_attr_timeout = f->conf.attr_timeout;
	f->fs = fuse_stack_new(op, op_size, user_data, f->conf.debug);
	if (!f->fs)
		return -1;
	/* The modules above it have both ways to read. */
	f->has_read_buf = fuse_stack_has_read_buf(f->fs);
	in_memory = fuse_stack_is_in_memory(f->fs);
	if (fuse_modules_push(f, args) != 0)
		return -1;
	f->se = fuse_session_new_versioned(args, &operations, sizeof(operations), version,
					   f);
	if (!f->se)
		return -1;
	f->se->in_memory = in_memory;
	fuse_session_protocol(f->se)->may_wait = may_wait;
	return 0;
}

struct fuse *fuse_make(struct fuse_args *args, const struct fuse_operations *op,
		       size_t op_size, struct libfuse_version *version, void *user_data)
{
	struct fuse *f = calloc(1, sizeof(*f));

	if (!f) {
		fuse_log(FUSE_LOG_ERR, "fuse: no memory for a filesystem\n");
		return NULL;
	}
	fuse_tree_init(&f->tree);
	fuse_locks_init(&f->locks);
	fuse_scratches_init(&f->scratches, 0);
	fuse_cleanup_init(&f->cleanup);
	if (set_up(f, args, op, op_size, version, user_data) == 0)
		return f;
	free_fuse(f);
	return NULL;
}

void fuse_destroy(struct fuse *f)
{
	fuse_stop_cleanup_thread(f);
	fuse_session_destroy(f->se);
	free_fuse(f);
}

/* ---- The session ---- */

struct fuse_session *fuse_get_session(struct fuse *f)
{
	return f->se;
}

int fuse_mount(struct fuse *f, const char *mountpoint)
{
	return fuse_session_mount(f->se, mountpoint);
}

void fuse_unmount(struct fuse *f)
{
	fuse_session_unmount(f->se);
}

void fuse_exit(struct fuse *f)
{
	fuse_session_exit(f->se);
}

int fuse_loop(struct fuse *f)
{
	int result;

	if (!f || fuse_start_cleanup_thread(f) != 0)
		return -1;
	result = fuse_session_loop(f->se);
	fuse_stop_cleanup_thread(f);
	return result;
}

int fuse_run_threads(struct fuse *f, struct fuse_loop_config *config)
{
	int result;

	if (!f || fuse_start_cleanup_thread(f) != 0)
		return -1;
	result = fuse_session_loop_mt(f->se, config);
	fuse_stop_cleanup_thread(f);
	return result;
}

int fuse_open_channel(const char *mountpoint, const char *options)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_mount_options *parsed = NULL;
	int fd = -1;

	if (fuse_opt_add_arg(&args, "") == 0 &&
	    (!options || (fuse_opt_add_arg(&args, "-o") == 0 &&
			  fuse_opt_add_arg(&args, options) == 0)))
		parsed = fuse_mount_options_parse(&args);
	if (parsed)
		fd = fuse_mount_at(mountpoint, parsed);
	fuse_mount_options_free(parsed);
	fuse_opt_free_args(&args);
	return fd;
}

/* ---- Notifications ---- */

int fuse_notify_poll(struct fuse_pollhandle *ph)
{
	return fuse_lowlevel_notify_poll(ph);
}

/* The number of what is at a path, as far as the kernel knows it; 0 if it does not. */
static fuse_ino_t find_path(struct fuse *f, const char *path)
{
	struct fuse_nodes *nodes = &f->tree.nodes;
	char *copy = strdup(path), *rest = copy;
	struct fuse_node *node;
	fuse_ino_t ino = 0;
	const char *name;

	if (!copy)
		return 0;
	fuse_tree_lock(&f->tree);
	node = nodes->root;
	while (node && (name = strsep(&rest, "/"))) {
		if (*name)
			node = fuse_node_child(nodes, node, name);
	}
	if (node)
		ino = node->id;
	fuse_tree_unlock(&f->tree);
	free(copy);
	return ino;
}

int fuse_invalidate_path(struct fuse *f, const char *path)
{
	fuse_ino_t ino = find_path(f, path);

	return ino ? fuse_lowlevel_notify_inval_inode(f->se, ino, 0, 0) : -ENOENT;
}
