// SPDX-License-Identifier: GPL-2.0-only
/*
 * passthrough: what a path names, by the system call that does it.
 *
 * The whole file system of the machine appears below the mount point; with the module subdir,
 * one directory of it. The simplest filesystem that can do everything: each operation on a
 * path is one system call, in by_path.c. Here is what remains: directories, data, and the
 * beginning. passthrough_fh is the faster sibling, passthrough_hp the model to follow.
 *
 * Served by root to others, the tree has to be one that only the mount changes: who can
 * exchange a directory or a file for a symbolic link underneath, between two system calls
 * on its path, makes root go there.
 *
 *     passthrough MOUNTPOINT -o modules=subdir,subdir=DIRECTORY
 *     ls -l MOUNTPOINT
 *     fusermount3 -u MOUNTPOINT
 *
 * --plus gives the kernel attributes when it reads a directory, and lets it believe them for
 * a second, as it does by default: so that ls -l does not
 * have to ask for each.
 */
#include "by_path.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

static int fill_plus;

static void *pt_init(struct fuse_conn_info *conn, struct fuse_config *cfg)
{
	cfg->use_ino = 1;
	cfg->parallel_direct_writes = 1;
	by_path_init(conn);
	if (fill_plus)
		return NULL;
	/* Others may change the files without our knowing. */
	cfg->entry_timeout = 0;
	cfg->attr_timeout = 0;
	cfg->negative_timeout = 0;
	return NULL;
}

/* ---- Directories ---- */

static int pt_readdir(const char *path, void *buf, fuse_fill_dir_t filler, off_t off,
		      struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		struct stat attr = { .st_ino = entry->d_ino,
				     .st_mode = DTTOIF(entry->d_type) };
		bool plus = fill_plus && fstatat(dirfd(dir), entry->d_name, &attr,
						 AT_SYMLINK_NOFOLLOW) == 0;

		filler(buf, entry->d_name, &attr, 0,
		       plus ? FUSE_FILL_DIR_PLUS : FUSE_FILL_DIR_DEFAULTS);
	}
	closedir(dir);
	return 0;
}

/* ---- Files: open ones have a descriptor ---- */

static int pt_read(const char *path, char *buf, size_t size, off_t off,
		   struct fuse_file_info *fi)
{
	return result((int)pread(fd_of(fi), buf, size, off));
}

static int pt_write(const char *path, const char *buf, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	int fd = fd_to_write(fi), res;

	if (fd < 0)
		return fd;
	res = result((int)pwrite(fd, buf, size, off));
	append_written(fi, fd);
	return res;
}

static const struct fuse_operations operations = {
	.init = pt_init,
	.getattr = by_path_getattr,
	.statx = by_path_statx,
	.access = by_path_access,
	.readlink = by_path_readlink,
	.chmod = by_path_chmod,
	.chown = by_path_chown,
	.truncate = by_path_truncate,
	.utimens = by_path_utimens,
	.statfs = by_path_statfs,
	.setxattr = by_path_setxattr,
	.getxattr = by_path_getxattr,
	.listxattr = by_path_listxattr,
	.removexattr = by_path_removexattr,
	.mknod = by_path_mknod,
	.mkdir = by_path_mkdir,
	.symlink = by_path_symlink,
	.link = by_path_link,
	.unlink = by_path_unlink,
	.rmdir = by_path_rmdir,
	.rename = by_path_rename,
	.readdir = pt_readdir,
	.create = by_path_create,
	.open = by_path_open,
	.release = by_fd_release,
	.read = pt_read,
	.write = pt_write,
	.fsync = by_fd_fsync,
	.fallocate = by_fd_fallocate,
	.copy_file_range = by_fd_copy_file_range,
	.lseek = by_fd_lseek,
};

int main(int argc, char **argv)
{
	static const struct fuse_opt plus[] = {
		{ "--plus", 0, 1 },
		FUSE_OPT_END,
	};
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	int status;

	/* The modes that callers ask for have been masked already. */
	umask(0);
	if (fuse_opt_parse(&args, &fill_plus, plus, NULL) != 0)
		return 1;
	status = fuse_main(args.argc, args.argv, &operations, NULL);
	fuse_opt_free_args(&args);
	return status;
}
