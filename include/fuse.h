/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The high-level interface: a filesystem of paths, which answers by returning.
 *
 * A filesystem fills in struct fuse_operations and calls fuse_main(), which does all the
 * rest. The library keeps track of which path an inode has, so that an operation is given
 * the path as it is now, and that nobody renames any part of it before the operation has
 * returned.
 *
 * Operations return 0, or a result of 0 and above where there is one, for success, and a
 * negative errno value for failure. So do functions, unless they say otherwise.
 */
#ifndef FUSE_H_
#define FUSE_H_

#include "fuse_common.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

struct statx;

/** A filesystem and its session. */
struct fuse;

/** What readdir() is asked for. */
enum fuse_readdir_flags {
	/** Nothing in particular. */
	FUSE_READDIR_DEFAULTS = 0,

	/**
	 * Attributes of the entries are of use, if the filesystem has them at hand: it may
	 * pass FUSE_FILL_DIR_PLUS to the filler.
	 */
	FUSE_READDIR_PLUS = (1 << 0)
};

/** What readdir() tells the filler about an entry. */
enum fuse_fill_dir_flags {
	/** Nothing in particular. */
	FUSE_FILL_DIR_DEFAULTS = 0,

	/**
	 * All attributes are there, not only the file type and st_ino. No matter whether
	 * FUSE_READDIR_PLUS asked for them.
	 */
	FUSE_FILL_DIR_PLUS = (1 << 1)
};

/**
 * Add an entry to a directory that readdir() is asked for.
 *
 * @param buf readdir()'s argument
 * @param name the name
 * @param stbuf attributes, of which type and, with use_ino, st_ino count; NULL if they are
 *              not known
 * @param off the value that readdir() gets to go on behind this entry; 0 if it always
 *            fills in all entries
 * @param flags see there
 * @return 0; 1 if the entry did not fit, and readdir() shall return
 */
typedef int (*fuse_fill_dir_t)(void *buf, const char *name, const struct stat *stbuf,
			       off_t off, enum fuse_fill_dir_flags flags);

/**
 * Settings. The library fills them in from the options; init() may change them.
 *
 * Members are named after the mount options that set them.
 */
struct fuse_config {
	/** Not 0: every st_gid is gid. */
	int32_t set_gid;
	uint32_t gid;

	/** Not 0: every st_uid is uid. */
	int32_t set_uid;
	uint32_t uid;

	/** Not 0: the permissions of every st_mode are what umask lacks; see fmask. */
	int32_t set_mode;
	uint32_t umask;

	/** For how long, in seconds, the kernel may use a name without asking. 1. */
	double entry_timeout;

	/** For how long, in seconds, it may take for granted that there is no such name. 0. */
	double negative_timeout;

	/** For how long, in seconds, it may use attributes without asking. 1. */
	double attr_timeout;

	/**
	 * Not 0: when a caller is interrupted, a signal is sent to the thread of its
	 * operation, again and again, until this returns.
	 */
	int32_t intr;

	/** Which one: SIGUSR1 unless set. */
	int32_t intr_signal;

	/**
	 * Inodes that the kernel has forgotten are remembered for so many seconds, so that
	 * they come back with the same number. -1: as long as the session lasts.
	 */
	int32_t remember;

	/**
	 * Not 0: a file that is removed while it is open is removed at once. Otherwise it
	 * is renamed to a hidden name, .fuse_hidden and some digits, and removed when the
	 * last one closes it, so that the filesystem need not care.
	 *
	 * Set it if the filesystem works by fh alone. If it needs paths, reads and
	 * writes of such a file, and what else works on an open file, fail with ENOENT.
	 */
	int32_t hard_remove;

	/**
	 * Not 0: st_ino is the filesystem's, in stat(2) and readdir(3). Otherwise it is
	 * the number that the library has given to the inode. The kernel itself always goes
	 * by the latter.
	 */
	int32_t use_ino;

	/**
	 * Not 0, and use_ino is 0: readdir(3) shows the inode number of names which have
	 * been looked up, and an unknown one for others.
	 */
	int32_t readdir_ino;

	/** Not 0: all files bypass the page cache, as if open() had set direct_io. */
	int32_t direct_io;

	/** Not 0: opening a file does not drop what is cached of it: keep_cache for all. */
	int32_t kernel_cache;

	/** Not 0: opening a file drops its cache if size or modification time changed. */
	int32_t auto_cache;

	/**
	 * For how long, in seconds, auto_cache relies on attributes that were seen;
	 * attr_timeout unless the first member is set.
	 */
	int32_t ac_attr_timeout_set;
	double ac_attr_timeout;

	/**
	 * Not 0: operations on open files may be called without a path, NULL. Those are:
	 * read, write, read_buf, write_buf, flush, release, fallocate, fsync, readdir, releasedir,
	 * fsyncdir, lock, flock, ioctl, poll, lseek, copy_file_range; and getattr, chmod, chown,
	 * truncate, utimens, statx if they have a struct fuse_file_info. It saves the
	 * making of paths, and lets renames go on meanwhile.
	 */
	int32_t nullpath_ok;

	/* The library's own; leave them alone. */
	int32_t show_help;
	char *modules;
	int32_t debug;

	/** With set_mode: what the umask is for other things than directories, if not 0. */
	uint32_t fmask;

	/** With set_mode: what the umask is for directories, if not 0. */
	uint32_t dmask;

	/** Not 0: closing a file that was open for reading only needs no flush(). */
	int32_t no_rofd_flush;

	/** Not 0: direct writes to one file may run at the same time. */
	int32_t parallel_direct_writes;

	/** Not in use. */
	uint32_t flags;

	/** Not in use. */
	uint64_t reserved[48];
};

/**
 * The operations of a filesystem.
 *
 * Any may be NULL. The call then fails with ENOSYS, or what the text says. With the
 * multi-threaded loop and over io_uring several run at once, on one file too.
 *
 * Paths begin with a slash, which is the root of the mount. They, and all other arguments,
 * are valid until the operation returns. fuse_get_context() tells who has called.
 *
 * fi is the open file: fh as open(), create() or opendir() left it. Where it may be NULL,
 * NULL does not mean that the file is not open.
 */
struct fuse_operations {
	/**
	 * Get attributes, as lstat(2) does. st_dev and st_blksize do not count, st_ino
	 * only with use_ino.
	 *
	 * @param fi may be NULL
	 */
	int (*getattr)(const char *path, struct stat *stbuf, struct fuse_file_info *fi);

	/**
	 * Read a symbolic link.
	 *
	 * @param buf where its contents go, with a zero behind; cut off if they are longer
	 * @param size the size of buf
	 * @return 0, not the length
	 */
	int (*readlink)(const char *path, char *buf, size_t size);

	/**
	 * Make a node that is neither a directory nor a link; a regular file too, if there
	 * is no create().
	 */
	int (*mknod)(const char *path, mode_t mode, dev_t rdev);

	/**
	 * Make a directory.
	 *
	 * @param mode permissions; the bits for the file type may be missing
	 */
	int (*mkdir)(const char *path, mode_t mode);

	/** Remove a name that is not a directory's. */
	int (*unlink)(const char *path);

	/** Remove an empty directory. */
	int (*rmdir)(const char *path);

	/** Make a symbolic link at path. */
	int (*symlink)(const char *target, const char *path);

	/**
	 * Rename, replacing what newpath stands for.
	 *
	 * @param flags as for renameat2(2): RENAME_NOREPLACE and RENAME_EXCHANGE must be
	 *              obeyed or answered with EINVAL
	 */
	int (*rename)(const char *oldpath, const char *newpath, unsigned int flags);

	/** Give a file another name. */
	int (*link)(const char *oldpath, const char *newpath);

	/**
	 * Change permissions.
	 *
	 * @param fi may be NULL
	 */
	int (*chmod)(const char *path, mode_t mode, struct fuse_file_info *fi);

	/**
	 * Change owner and group. Set-user-ID and set-group-ID are to be cleared, unless
	 * init() has given up FUSE_CAP_HANDLE_KILLPRIV.
	 *
	 * @param uid the owner; -1 to leave it
	 * @param gid the group; -1 to leave it
	 * @param fi may be NULL
	 */
	int (*chown)(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *fi);

	/**
	 * Change the size. As to set-user-ID see chown().
	 *
	 * @param fi may be NULL
	 */
	int (*truncate)(const char *path, off_t size, struct fuse_file_info *fi);

	/**
	 * Open a file. Without this operation every open succeeds.
	 *
	 * O_CREAT, O_EXCL and O_NOCTTY are not in fi->flags; O_TRUNC is, unless init() has
	 * given up FUSE_CAP_ATOMIC_O_TRUNC. Permissions are the filesystem's to check, unless
	 * it is mounted with default_permissions. With FUSE_CAP_WRITEBACK_CACHE there may
	 * be reads of a file that is open for writing only, and O_APPEND is the kernel's
	 * business; without, it is the filesystem's.
	 *
	 * @param fi fh, and the answer's members, are to be set here
	 */
	int (*open)(const char *path, struct fuse_file_info *fi);

	/**
	 * Read.
	 *
	 * @return the number of bytes: size, or fewer at the end of the file, which is
	 *         elsewhere filled up with zeros. With direct_io a short read is just that
	 */
	int (*read)(const char *path, char *buf, size_t size, off_t off,
		    struct fuse_file_info *fi);

	/**
	 * Write. As to set-user-ID see chown().
	 *
	 * @return the number of bytes: size, and fewer only with direct_io
	 */
	int (*write)(const char *path, const char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi);

	/**
	 * Get figures of the whole filesystem. f_favail, f_fsid and f_flag do not count.
	 * Without this operation they say nothing much.
	 */
	int (*statfs)(const char *path, struct statvfs *stbuf);

	/**
	 * A descriptor of the file is closed, maybe not the last one: close(2) returns
	 * what this returns. Not a request to write to the medium, that is fsync(). May
	 * be called more than once for one open(), or never.
	 */
	int (*flush)(const char *path, struct fuse_file_info *fi);

	/**
	 * The last descriptor of an open file, and the last mapping, are gone: called once
	 * for each open() and create() that succeeded. Nobody sees what it returns.
	 */
	int (*release)(const char *path, struct fuse_file_info *fi);

	/**
	 * Bring data to where they last.
	 *
	 * @param datasync not 0: only what fdatasync(2) does
	 */
	int (*fsync)(const char *path, int datasync, struct fuse_file_info *fi);

	/** Set an extended attribute; flags as for setxattr(2). */
	int (*setxattr)(const char *path, const char *name, const char *value,
			size_t size, int flags);

	/**
	 * Get an extended attribute.
	 *
	 * @param size the size of value; 0 to ask how much is needed
	 * @return the attribute's size
	 */
	int (*getxattr)(const char *path, const char *name, char *value, size_t size);

	/**
	 * List the names of extended attributes, each with a zero behind.
	 *
	 * @param size the size of list; 0 to ask how much is needed
	 * @return the list's size
	 */
	int (*listxattr)(const char *path, char *list, size_t size);

	/** Remove an extended attribute. */
	int (*removexattr)(const char *path, const char *name);

	/** Open a directory. Without this operation every one can be opened. */
	int (*opendir)(const char *path, struct fuse_file_info *fi);

	/**
	 * Read a directory: call filler for each entry, in one of two ways.
	 *
	 * Either for all entries, whatever off is, with offsets of 0. The library keeps
	 * them until the directory is closed or read from the start again.
	 *
	 * Or for the entries behind off, 0 being the start, with the offset of the next
	 * one each, until the filler returns 1.
	 */
	int (*readdir)(const char *path, void *buf, fuse_fill_dir_t filler, off_t off,
		       struct fuse_file_info *fi, enum fuse_readdir_flags flags);

	/**
	 * What release() is to open(), to opendir().
	 *
	 * @param path NULL if the directory has been removed
	 */
	int (*releasedir)(const char *path, struct fuse_file_info *fi);

	/**
	 * fsync() for a directory.
	 *
	 * @param path NULL if the directory has been removed
	 */
	int (*fsyncdir)(const char *path, int datasync, struct fuse_file_info *fi);

	/**
	 * The filesystem is mounted; comes before all other operations. Features and
	 * settings are chosen here, and this is the place to start threads: fuse_main() goes
	 * to the background before.
	 *
	 * @return what fuse_get_context() gives as private_data from now on
	 */
	void *(*init)(struct fuse_conn_info *conn, struct fuse_config *cfg);

	/**
	 * The end.
	 *
	 * @param private_data what init() returned
	 */
	void (*destroy)(void *private_data);

	/**
	 * Check permissions as access(2) does. Not called if it is mounted with
	 * default_permissions. Without this operation everything is permitted.
	 */
	int (*access)(const char *path, int mask);

	/**
	 * Make a regular file and open it. Without this operation mknod() and open() are
	 * called.
	 *
	 * @param fi as for open(), but O_CREAT is in the flags, and O_EXCL if it was given
	 */
	int (*create)(const char *path, mode_t mode, struct fuse_file_info *fi);

	/**
	 * A POSIX lock. Without this operation they work among users of the mount.
	 *
	 * For F_GETLK the library first looks at locks that were set through this mount,
	 * whose l_pid it knows. Owners are told apart by fi->lock_owner; l_pid is of use to
	 * show it.
	 *
	 * @param cmd F_GETLK, F_SETLK or F_SETLKW
	 * @param lock the lock; l_whence is SEEK_SET
	 */
	int (*lock)(const char *path, struct fuse_file_info *fi, int cmd,
		    struct flock *lock);

	/**
	 * Set the times of access and modification.
	 *
	 * @param tv both, as for utimensat(2), with UTIME_NOW and UTIME_OMIT
	 * @param fi may be NULL
	 */
	int (*utimens)(const char *path, const struct timespec tv[2],
		       struct fuse_file_info *fi);

	/**
	 * Find a block of a file on the device below. Of use to filesystems on a block
	 * device (option blkdev).
	 *
	 * @param blocksize the size of a block
	 * @param idx the number within the file; to be replaced by the device's
	 */
	int (*bmap)(const char *path, size_t blocksize, uint64_t *idx);

	/**
	 * Control.
	 *
	 * @param cmd the number, which also tells direction and size; an int in interfaces
	 *            before 3.5
	 * @param arg the caller's argument: an address in its memory, or a number
	 * @param flags FUSE_IOCTL_COMPAT; FUSE_IOCTL_DIR, then fi is a directory
	 * @param data in for _IOC_WRITE, out for _IOC_READ, _IOC_SIZE(cmd) bytes each way;
	 *             NULL if there are none
	 * @return what ioctl(2) shall return
	 */
#if FUSE_USE_VERSION < 35
	int (*ioctl)(const char *path, int cmd, void *arg, struct fuse_file_info *fi,
		     unsigned int flags, void *data);
#else
	int (*ioctl)(const char *path, unsigned int cmd, void *arg,
		     struct fuse_file_info *fi, unsigned int flags, void *data);
#endif

	/**
	 * Say whether a file is ready.
	 *
	 * @param ph if not NULL, the caller waits: tell it with fuse_notify_poll(), now or
	 *           later, when this changes. It belongs to the filesystem, which frees it
	 *           with fuse_pollhandle_destroy(), and replaces one that it holds.
	 * @param reventsp where the events go that are there
	 */
	int (*poll)(const char *path, struct fuse_file_info *fi,
		    struct fuse_pollhandle *ph, unsigned *reventsp);

	/**
	 * Write, from wherever the data are: instead of write(), and as that.
	 *
	 * @param buf the data; fuse_buf_copy() brings them to where they shall be
	 */
	int (*write_buf)(const char *path, struct fuse_bufvec *buf, off_t off,
			 struct fuse_file_info *fi);

	/**
	 * Read, to where the data are anyway: instead of read(). What names a descriptor
	 * can go to the kernel, or with zero-copy to the client, without a copy.
	 *
	 * @param bufp to be set to a vector that was made with malloc(), like any memory
	 *             that it names. The library frees them
	 */
	int (*read_buf)(const char *path, struct fuse_bufvec **bufp, size_t size,
			off_t off, struct fuse_file_info *fi);

	/**
	 * A BSD lock. Without this operation they work among users of the mount. Owners are
	 * told apart by fi->lock_owner, which release() gets again.
	 *
	 * @param op as for flock(2)
	 */
	int (*flock)(const char *path, struct fuse_file_info *fi, int op);

	/** Allocate or free space of a file; mode as for fallocate(2). */
	int (*fallocate)(const char *path, int mode, off_t offset, off_t length,
			 struct fuse_file_info *fi);

	/**
	 * Copy from file to file. Without this operation callers have to read and write.
	 * Since 3.4.
	 *
	 * @return the number of bytes copied
	 */
	ssize_t (*copy_file_range)(const char *path_in, struct fuse_file_info *fi_in,
				   off_t offset_in, const char *path_out,
				   struct fuse_file_info *fi_out, off_t offset_out,
				   size_t size, int flags);

	/**
	 * Find data or a hole. Since 3.8.
	 *
	 * @param whence SEEK_DATA or SEEK_HOLE
	 * @return where it is
	 */
	off_t (*lseek)(const char *path, off_t off, int whence,
		       struct fuse_file_info *fi);

	/**
	 * Get attributes as statx(2) does. Since 3.18.
	 *
	 * @param flags the AT_STATX_ bits of statx(2)'s flags
	 * @param mask the STATX_ bits that are asked for
	 * @param fi may be NULL
	 */
	int (*statx)(const char *path, int flags, int mask, struct statx *stxbuf,
		     struct fuse_file_info *fi);
};

/** Who is asking, and whom. */
struct fuse_context {
	/** The filesystem. */
	struct fuse *fuse;

	/**
	 * The calling thread: user, group, number. For a write() with fi->writepage they say
	 * nothing.
	 */
	uid_t uid;
	gid_t gid;
	pid_t pid;

	/** What init() returned; before that, what fuse_new() or fuse_main() was given. */
	void *private_data;

	/** The umask of the calling process. */
	mode_t umask;
};

/** What fuse_main() calls. */
int fuse_main_real_versioned(int argc, char *argv[], const struct fuse_operations *op,
			     size_t op_size, struct libfuse_version *version,
			     void *user_data);

/** fuse_main() with the size of the structure given. For those who called it always. */
static inline int fuse_main_real(int argc, char *argv[], const struct fuse_operations *op,
				 size_t op_size, void *user_data)
{
	struct libfuse_version version = { FUSE_MAJOR_VERSION, FUSE_MINOR_VERSION,
					   FUSE_HOTFIX_VERSION, 0 };

	return fuse_main_real_versioned(argc, argv, op, op_size, &version, user_data);
}

static inline int fuse_main_fn(int argc, char *argv[], const struct fuse_operations *op,
			       void *user_data)
{
	return fuse_main_real(argc, argv, op, sizeof(*op), user_data);
}

/**
 * Be a filesystem: understand the command line, mount, go to the background, carry out
 * requests until unmounted or told to end by a signal, and clean up. Options are those of
 * fuse_parse_cmdline(), fuse_new() and fuse_session_new(); a program takes its own ones
 * out before, with fuse_opt_parse().
 *
 * With an empty argv[0] the help text does not say how to call the program, so that the
 * program can say it.
 *
 * @param argc, argv as main() was given them
 * @param op the operations
 * @param user_data the first private_data
 * @return 0 if all went well, also with --help and --version. 1: bad options; 2: no mount
 *         point; 3: fuse_new() failed; 4: mounting failed; 5: it could not go to the
 *         background; 6: no signal handlers; 7: no memory for the loop; 8: the loop was
 *         ended by a signal or an error
 */
/* clang-format off */
#define fuse_main(argc, argv, op, user_data) fuse_main_fn(argc, argv, op, user_data)
/* clang-format on */

/*
 * What fuse_main() is made of.
 */

/**
 * Print the options of fuse_new(), with those of the session and of modules, to standard
 * output.
 *
 * @param args the command line, for modules=
 */
void fuse_lib_help(struct fuse_args *args);

/** What fuse_new() calls. */
struct fuse *_fuse_new_30(struct fuse_args *args, const struct fuse_operations *op,
			  size_t op_size, struct libfuse_version *version,
			  void *user_data);
struct fuse *_fuse_new_31(struct fuse_args *args, const struct fuse_operations *op,
			  size_t op_size, struct libfuse_version *version,
			  void *user_data);

static inline struct fuse *fuse_new_fn(struct fuse_args *args,
				       const struct fuse_operations *op, size_t op_size,
				       void *user_data)
{
	struct libfuse_version version = { FUSE_MAJOR_VERSION, FUSE_MINOR_VERSION,
					   FUSE_HOTFIX_VERSION, 0 };

#if FUSE_USE_VERSION == 30
	return _fuse_new_30(args, op, op_size, &version, user_data);
#else
	return _fuse_new_31(args, op, op_size, &version, user_data);
#endif
}

/**
 * Make a filesystem. It is not mounted yet.
 *
 * @param args the command line: argv[0] and options. Those that are understood are removed;
 *             what is left is an error. In the interface of 3.0 --help is understood too:
 *             help is printed, and NULL returned.
 * @param op the operations
 * @param size sizeof(*op)
 * @param data the first private_data
 * @return the filesystem, or NULL on failure, after a message
 */
/* clang-format off */
#define fuse_new(args, op, size, data) fuse_new_fn(args, op, size, data)
/* clang-format on */

/**
 * Mount it.
 *
 * @return 0, or -1 on failure, after a message
 */
int fuse_mount(struct fuse *f, const char *mountpoint);

/** Unmount it, if it is mounted still. */
void fuse_unmount(struct fuse *f);

/** Free it. It is not mounted any more, and its loop has ended. */
void fuse_destroy(struct fuse *f);

/**
 * Carry out requests, one at a time, until the session ends.
 *
 * @return 0 if it was unmounted or fuse_exit() was called, the number of the signal that
 *         ended it, or a negative errno value
 */
int fuse_loop(struct fuse *f);

/** End the loop. Any thread may call it, an operation and a signal handler, too. */
void fuse_exit(struct fuse *f);

/**
 * Carry out requests, several at a time.
 *
 * @param f the filesystem
 * @param config settings, or NULL for the library's; in interfaces before 3.2 clone_fd
 * @return as fuse_loop()
 */
#if FUSE_USE_VERSION < 32
int fuse_loop_mt_31(struct fuse *f, int clone_fd);
#define fuse_loop_mt(f, clone_fd) fuse_loop_mt_31(f, clone_fd)
#elif FUSE_USE_VERSION < FUSE_MAKE_VERSION(3, 12)
int fuse_loop_mt_32(struct fuse *f, struct fuse_loop_config *config);
#define fuse_loop_mt(f, config) fuse_loop_mt_32(f, config)
#elif defined(LIBFUSE_BUILT_WITH_VERSIONED_SYMBOLS)
int fuse_loop_mt(struct fuse *f, struct fuse_loop_config *config);
#else
int fuse_loop_mt_312(struct fuse *f, struct fuse_loop_config *config);
#define fuse_loop_mt(f, config) fuse_loop_mt_312(f, config)
#endif

/** @return its session, for functions of the low-level interface */
struct fuse_session *fuse_get_session(struct fuse *f);

/**
 * Mount, and leave the rest to the caller.
 *
 * @param mountpoint where
 * @param options mount options, as behind -o; may be NULL
 * @return a descriptor of /dev/fuse, or -1 on failure, after a message
 */
int fuse_open_channel(const char *mountpoint, const char *options);

/*
 * For operations.
 */

/** @return who is asking; valid until the operation returns, in its thread only */
struct fuse_context *fuse_get_context(void);

/**
 * Get the supplementary groups of the calling process. It has to be in sight of this
 * process's PID namespace.
 *
 * @param size how many fit into list
 * @return how many there are, which may be more; or a negative errno value
 */
int fuse_getgroups(int size, gid_t list[]);

/** @return 1 if the caller was interrupted, and wants the operation to end early */
int fuse_interrupted(void);

/*
 * For operations and other threads.
 */

/**
 * Drop what the kernel has cached of a file: attributes and data. Not to be called by an
 * operation on that file.
 *
 * @return 0; -ENOENT if the kernel does not know the path, which is just as well; or
 *         another negative errno value
 */
int fuse_invalidate_path(struct fuse *f, const char *path);

/**
 * Tell those who poll() a file to look again.
 *
 * @param ph what poll() was given; it stays valid
 */
int fuse_notify_poll(struct fuse_pollhandle *ph);

/**
 * With remember=: start a thread that calls fuse_clean_cache() in time. The loops do so
 * themselves.
 *
 * @return 0, or -1 on failure, after a message
 */
int fuse_start_cleanup_thread(struct fuse *fuse);

/** End that thread. */
void fuse_stop_cleanup_thread(struct fuse *fuse);

/**
 * With remember=: forget inodes whose time is over.
 *
 * @return in how many seconds it should be called again
 */
int fuse_clean_cache(struct fuse *fuse);

/*
 * Filesystems in a stack. Each function calls an operation of a filesystem, with a
 * private_data of its own, and returns what that returns. Where there is no such operation
 * it returns -ENOSYS, but for open, release, opendir, releasedir and statfs: 0.
 */

/** A filesystem in the stack. */
struct fuse_fs;

int fuse_fs_getattr(struct fuse_fs *fs, const char *path, struct stat *buf,
		    struct fuse_file_info *fi);
int fuse_fs_statx(struct fuse_fs *fs, const char *path, int flags, int mask,
		  struct statx *stxbuf, struct fuse_file_info *fi);
int fuse_fs_access(struct fuse_fs *fs, const char *path, int mask);
int fuse_fs_readlink(struct fuse_fs *fs, const char *path, char *buf, size_t len);
int fuse_fs_mknod(struct fuse_fs *fs, const char *path, mode_t mode, dev_t rdev);
int fuse_fs_mkdir(struct fuse_fs *fs, const char *path, mode_t mode);
int fuse_fs_symlink(struct fuse_fs *fs, const char *linkname, const char *path);
int fuse_fs_unlink(struct fuse_fs *fs, const char *path);
int fuse_fs_rmdir(struct fuse_fs *fs, const char *path);
int fuse_fs_rename(struct fuse_fs *fs, const char *oldpath, const char *newpath,
		   unsigned int flags);
int fuse_fs_link(struct fuse_fs *fs, const char *oldpath, const char *newpath);
int fuse_fs_chmod(struct fuse_fs *fs, const char *path, mode_t mode,
		  struct fuse_file_info *fi);
int fuse_fs_chown(struct fuse_fs *fs, const char *path, uid_t uid, gid_t gid,
		  struct fuse_file_info *fi);
int fuse_fs_truncate(struct fuse_fs *fs, const char *path, off_t size,
		     struct fuse_file_info *fi);
int fuse_fs_utimens(struct fuse_fs *fs, const char *path, const struct timespec *tv,
		    struct fuse_file_info *fi);
int fuse_fs_statfs(struct fuse_fs *fs, const char *path, struct statvfs *buf);
int fuse_fs_setxattr(struct fuse_fs *fs, const char *path, const char *name,
		     const char *value, size_t size, int flags);
int fuse_fs_getxattr(struct fuse_fs *fs, const char *path, const char *name, char *value,
		     size_t size);
int fuse_fs_listxattr(struct fuse_fs *fs, const char *path, char *list, size_t size);
int fuse_fs_removexattr(struct fuse_fs *fs, const char *path, const char *name);
int fuse_fs_create(struct fuse_fs *fs, const char *path, mode_t mode,
		   struct fuse_file_info *fi);
int fuse_fs_open(struct fuse_fs *fs, const char *path, struct fuse_file_info *fi);
int fuse_fs_read(struct fuse_fs *fs, const char *path, char *buf, size_t size, off_t off,
		 struct fuse_file_info *fi);
int fuse_fs_read_buf(struct fuse_fs *fs, const char *path, struct fuse_bufvec **bufp,
		     size_t size, off_t off, struct fuse_file_info *fi);
int fuse_fs_write(struct fuse_fs *fs, const char *path, const char *buf, size_t size,
		  off_t off, struct fuse_file_info *fi);
int fuse_fs_write_buf(struct fuse_fs *fs, const char *path, struct fuse_bufvec *buf,
		      off_t off, struct fuse_file_info *fi);
int fuse_fs_flush(struct fuse_fs *fs, const char *path, struct fuse_file_info *fi);
int fuse_fs_release(struct fuse_fs *fs, const char *path, struct fuse_file_info *fi);
int fuse_fs_fsync(struct fuse_fs *fs, const char *path, int datasync,
		  struct fuse_file_info *fi);
int fuse_fs_opendir(struct fuse_fs *fs, const char *path, struct fuse_file_info *fi);
int fuse_fs_readdir(struct fuse_fs *fs, const char *path, void *buf,
		    fuse_fill_dir_t filler, off_t off, struct fuse_file_info *fi,
		    enum fuse_readdir_flags flags);
int fuse_fs_releasedir(struct fuse_fs *fs, const char *path, struct fuse_file_info *fi);
int fuse_fs_fsyncdir(struct fuse_fs *fs, const char *path, int datasync,
		     struct fuse_file_info *fi);
int fuse_fs_lock(struct fuse_fs *fs, const char *path, struct fuse_file_info *fi, int cmd,
		 struct flock *lock);
int fuse_fs_flock(struct fuse_fs *fs, const char *path, struct fuse_file_info *fi,
		  int op);
int fuse_fs_bmap(struct fuse_fs *fs, const char *path, size_t blocksize, uint64_t *idx);
#if FUSE_USE_VERSION < 35
int fuse_fs_ioctl(struct fuse_fs *fs, const char *path, int cmd, void *arg,
		  struct fuse_file_info *fi, unsigned int flags, void *data);
#else
int fuse_fs_ioctl(struct fuse_fs *fs, const char *path, unsigned int cmd, void *arg,
		  struct fuse_file_info *fi, unsigned int flags, void *data);
#endif
int fuse_fs_poll(struct fuse_fs *fs, const char *path, struct fuse_file_info *fi,
		 struct fuse_pollhandle *ph, unsigned *reventsp);
int fuse_fs_fallocate(struct fuse_fs *fs, const char *path, int mode, off_t offset,
		      off_t length, struct fuse_file_info *fi);
ssize_t fuse_fs_copy_file_range(struct fuse_fs *fs, const char *path_in,
				struct fuse_file_info *fi_in, off_t off_in,
				const char *path_out, struct fuse_file_info *fi_out,
				off_t off_out, size_t len, int flags);
off_t fuse_fs_lseek(struct fuse_fs *fs, const char *path, off_t off, int whence,
		    struct fuse_file_info *fi);

/** Call init(), and take note of what it returns. A module's init() calls it. */
void fuse_fs_init(struct fuse_fs *fs, struct fuse_conn_info *conn,
		  struct fuse_config *cfg);

/** Call destroy(), and free the filesystem. A module's destroy() calls it. */
void fuse_fs_destroy(struct fuse_fs *fs);

/**
 * Make a filesystem that is part of a stack. For a module's factory.
 *
 * @param op the operations
 * @param op_size sizeof(*op)
 * @param private_data the first private_data
 * @return the filesystem, or NULL on failure, after a message
 */
struct fuse_fs *fuse_fs_new(const struct fuse_operations *op, size_t op_size,
			    void *private_data);

/**
 * Makes a module's filesystem, which lies above another one.
 *
 * @param args the command line; the module takes its own options out. With -h it prints
 *             its help and returns NULL.
 * @param fs the filesystem below, and a NULL
 * @return the filesystem, or NULL on failure, after a message
 */
typedef struct fuse_fs *(*fuse_module_factory_t)(struct fuse_args *args,
						 struct fuse_fs *fs[]);

/**
 * Says that a shared object, libfusemod_NAME.so, is a module, for option modules=NAME.
 *
 * @param name_ its name
 * @param factory_ its factory
 */
/* clang-format off */
#define FUSE_REGISTER_MODULE(name_, factory_) \
	fuse_module_factory_t fuse_module_ ## name_ ## _factory = factory_
/* clang-format on */

#ifdef __cplusplus
}
#endif

#endif /* FUSE_H_ */
