/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The low-level interface: a filesystem of inode numbers, which answers requests when it
 * likes.
 *
 * A filesystem fills in struct fuse_lowlevel_ops, makes a session of it with
 * fuse_session_new(), mounts it with fuse_session_mount() and runs fuse_session_loop() or
 * fuse_session_loop_mt(). The loop calls the operations; each of them is answered by
 * exactly one fuse_reply_ function, at once or later, from any thread. After the reply
 * the request is gone.
 *
 * Functions return 0 for success and a negative errno value for failure, unless they say
 * otherwise.
 */
#ifndef FUSE_LOWLEVEL_H_
#define FUSE_LOWLEVEL_H_

#include "fuse_common.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <utime.h>

#ifdef __cplusplus
extern "C" {
#endif

struct statx;

/** The inode number of the root directory. */
#define FUSE_ROOT_ID 1

/**
 * An inode number: the filesystem chooses it, and the kernel gives it back (as a nodeid).
 */
typedef uint64_t fuse_ino_t;

/** A request. Valid from the operation's call until its reply. */
typedef struct fuse_req *fuse_req_t;

/** One mounted filesystem. */
struct fuse_session;

/** What a name stands for. */
struct fuse_entry_param {
	/**
	 * The inode; its lookup count goes up by one with the reply. 0 for "no such
	 * name", which, unlike the error ENOENT, the kernel remembers for entry_timeout.
	 */
	fuse_ino_t ino;

	/**
	 * Tells apart uses of one inode number over time. For NFS export, ino and
	 * generation together must be unique over the life of the filesystem.
	 */
	uint64_t generation;

	/** Its attributes. st_ino is what stat(2) shows; the kernel goes by ino. */
	struct stat attr;

	/** For how long, in seconds, the kernel may use attr without asking. */
	double attr_timeout;

	/** For how long, in seconds, the kernel may use the name without asking. */
	double entry_timeout;
};

/** Who made a request, as seen from the filesystem's own namespaces. */
struct fuse_ctx {
	/** User ID used for file access. */
	uid_t uid;

	/** Group ID used for file access. */
	gid_t gid;

	/** Thread ID; 0 if the filesystem's PID namespace does not know it. */
	pid_t pid;

	/** The umask, for operations that create. */
	mode_t umask;
};

/** One line of forget_multi(). */
struct fuse_forget_data {
	/** The inode. */
	fuse_ino_t ino;

	/** How far its lookup count goes down. */
	uint64_t nlookup;
};

/**
 * How to reach the kernel when the session's descriptor cannot be read and written as
 * /dev/fuse can. All functions return as the system calls of the same name do: -1 and
 * errno on failure.
 */
struct fuse_custom_io {
	/** Send one reply, whole. Must be there. */
	ssize_t (*writev)(int fd, struct iovec *iov, int count, void *userdata);

	/** Receive one request, whole. Must be there. */
	ssize_t (*read)(int fd, void *buf, size_t buf_len, void *userdata);

	/** Receive one request into a pipe; NULL if this cannot be done. */
	ssize_t (*splice_receive)(int fdin, off_t *offin, int fdout, off_t *offout,
				  size_t len, unsigned int flags, void *userdata);

	/** Send one reply out of a pipe; NULL if this cannot be done. */
	ssize_t (*splice_send)(int fdin, off_t *offin, int fdout, off_t *offout,
			       size_t len, unsigned int flags, void *userdata);

	/** Make another descriptor of the same connection, for one thread. Since 3.17. */
	int (*clone_fd)(int master_fd);
};

/** What becomes of a name that the kernel remembers. */
enum fuse_notify_entry_flags {
	/** It is forgotten. */
	FUSE_LL_INVALIDATE = 0,

	/** It is asked for again before its next use. */
	FUSE_LL_EXPIRE_ONLY = (1 << 0)
};

/* What setattr() is to change: bits of to_set. */
#define FUSE_SET_ATTR_MODE	(1 << 0)  /* st_mode */
#define FUSE_SET_ATTR_UID	(1 << 1)  /* st_uid */
#define FUSE_SET_ATTR_GID	(1 << 2)  /* st_gid */
#define FUSE_SET_ATTR_SIZE	(1 << 3)  /* st_size */
#define FUSE_SET_ATTR_ATIME	(1 << 4)  /* st_atim */
#define FUSE_SET_ATTR_MTIME	(1 << 5)  /* st_mtim */
#define FUSE_SET_ATTR_ATIME_NOW (1 << 7)  /* st_atim, to the time it is */
#define FUSE_SET_ATTR_MTIME_NOW (1 << 8)  /* st_mtim, to the time it is */
#define FUSE_SET_ATTR_FORCE	(1 << 9)  /* not sent at present */
#define FUSE_SET_ATTR_CTIME	(1 << 10) /* st_ctim */
#define FUSE_SET_ATTR_KILL_SUID (1 << 11) /* clear set-user-ID and set-group-ID */
#define FUSE_SET_ATTR_KILL_SGID (1 << 12) /* not sent at present */
#define FUSE_SET_ATTR_FILE	(1 << 13) /* not sent at present */
#define FUSE_SET_ATTR_KILL_PRIV (1 << 14) /* not sent at present */
#define FUSE_SET_ATTR_OPEN	(1 << 15) /* not sent at present */
#define FUSE_SET_ATTR_TIMES_SET (1 << 16) /* not sent at present */
#define FUSE_SET_ATTR_TOUCH	(1 << 17) /* not sent at present */

/**
 * The operations of a filesystem.
 *
 * Any may be NULL: the request is then answered with ENOSYS, or with what the text says.
 * Some answers of ENOSYS are remembered by the kernel, which then does not ask again.
 * With the multi-threaded loop and over io_uring several operations run at once, on one
 * inode too.
 *
 * Arguments belong to the library and are valid until the operation returns or replies,
 * whichever is first: whoever answers later copies them. "Answer" names the replies that
 * mean success; fuse_reply_err() answers any operation that has one.
 *
 * An inode's lookup count is the number of replies that named it (those of lookup(),
 * mknod(), mkdir(), symlink(), link(), create(), tmpfile(), and each entry but "." and
 * ".." of readdirplus()) less what forget() took away. Until it is 0 the kernel may use
 * the inode number, even without a name to it.
 */
struct fuse_lowlevel_ops {
	/**
	 * The connection is up; no other operation was called before. Features and limits
	 * are chosen here. Has no reply.
	 *
	 * @param userdata from fuse_session_new()
	 * @param conn what was agreed on, valid during the call
	 */
	void (*init)(void *userdata, struct fuse_conn_info *conn);

	/**
	 * The session ends. Nothing can be sent to the kernel any more; inodes with a
	 * lookup count count as forgotten. Has no reply.
	 *
	 * @param userdata from fuse_session_new()
	 */
	void (*destroy)(void *userdata);

	/**
	 * Look up a name. Answer: fuse_reply_entry().
	 *
	 * @param parent the directory
	 * @param name the name
	 */
	void (*lookup)(fuse_req_t req, fuse_ino_t parent, const char *name);

	/**
	 * Lower a lookup count. At 0 the inode may go, unless it has a name still. At the
	 * end of the session the kernel forgets what is left without saying so. Answer:
	 * fuse_reply_none().
	 *
	 * @param nlookup by how much
	 */
	void (*forget)(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup);

	/**
	 * Get attributes. Answer: fuse_reply_attr().
	 *
	 * @param fi the open file if the caller has one, with fh set, otherwise NULL
	 */
	void (*getattr)(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

	/**
	 * Set attributes. Answer: fuse_reply_attr(), with all of them.
	 *
	 * @param attr the new values of what to_set names; the rest says nothing
	 * @param to_set FUSE_SET_ATTR_ bits
	 * @param fi the open file if the caller has one, with fh set, otherwise NULL
	 */
	void (*setattr)(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
			struct fuse_file_info *fi);

	/** Read a symbolic link. Answer: fuse_reply_readlink(). */
	void (*readlink)(fuse_req_t req, fuse_ino_t ino);

	/**
	 * Make a node that is neither a directory nor a link; a regular file too, when
	 * create() is NULL. Answer: fuse_reply_entry().
	 *
	 * @param mode its type and permissions
	 * @param rdev its device number, if it is a device
	 */
	void (*mknod)(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		      dev_t rdev);

	/**
	 * Make a directory. Answer: fuse_reply_entry().
	 *
	 * @param mode its permissions
	 */
	void (*mkdir)(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);

	/**
	 * Remove a name. The inode stays until forgotten. Answer: fuse_reply_err(req, 0).
	 */
	void (*unlink)(fuse_req_t req, fuse_ino_t parent, const char *name);

	/**
	 * Remove an empty directory. It stays until forgotten. Answer:
	 * fuse_reply_err(req, 0).
	 */
	void (*rmdir)(fuse_req_t req, fuse_ino_t parent, const char *name);

	/**
	 * Make a symbolic link. Answer: fuse_reply_entry().
	 *
	 * @param link its contents
	 */
	void (*symlink)(fuse_req_t req, const char *link, fuse_ino_t parent,
			const char *name);

	/**
	 * Rename, replacing what newname stood for. Answer: fuse_reply_err(req, 0).
	 *
	 * @param flags as for renameat2(2): RENAME_NOREPLACE and RENAME_EXCHANGE must be
	 *              obeyed or answered with EINVAL
	 */
	void (*rename)(fuse_req_t req, fuse_ino_t parent, const char *name,
		       fuse_ino_t newparent, const char *newname, unsigned int flags);

	/** Give an inode another name. Answer: fuse_reply_entry(). */
	void (*link)(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent,
		     const char *newname);

	/**
	 * Open a file. Answer: fuse_reply_open(). Without this, and if the answer is
	 * ENOSYS and FUSE_CAP_NO_OPEN_SUPPORT is there, files are used without handles.
	 *
	 * The kernel has checked permissions if default_permissions is on. O_CREAT,
	 * O_EXCL, O_NOCTTY are never in the flags; O_TRUNC only with
	 * FUSE_CAP_ATOMIC_O_TRUNC.
	 *
	 * @param fi flags are set; fh and the answer's members are to be set
	 */
	void (*open)(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

	/**
	 * Read. Answer: fuse_reply_buf(), fuse_reply_iov() or fuse_reply_data(), with
	 * size bytes, or fewer at the end of the file. With direct_io fewer bytes are a
	 * short read anywhere.
	 *
	 * @param size how many bytes
	 * @param off from where
	 * @param fi the open file, with fh set
	 */
	void (*read)(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		     struct fuse_file_info *fi);

	/**
	 * Write. Answer: fuse_reply_write(), with size bytes; fewer only with direct_io.
	 * Not called if write_buf() is there.
	 *
	 * @param buf the data
	 * @param size how many bytes
	 * @param off to where
	 * @param fi the open file, with fh, and writepage if it applies, set
	 */
	void (*write)(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size,
		      off_t off, struct fuse_file_info *fi);

	/**
	 * A descriptor of an open file is closed, maybe not the only one. What is
	 * reported here is what close(2) returns. POSIX locks of fi->lock_owner are to be
	 * dropped. Answer: fuse_reply_err(). ENOSYS counts as success, for good.
	 */
	void (*flush)(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

	/**
	 * The last descriptor and mapping of an open file are gone: called once for each
	 * open() and create(). Answer: fuse_reply_err(); nobody sees an error.
	 *
	 * @param fi fh and flags are set; flush, flock_release and lock_owner if they
	 *           apply
	 */
	void (*release)(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

	/**
	 * Bring written data to where it lasts. Answer: fuse_reply_err(). ENOSYS counts
	 * as success, for good.
	 *
	 * @param datasync not 0: as fdatasync(2) does
	 */
	void (*fsync)(fuse_req_t req, fuse_ino_t ino, int datasync,
		      struct fuse_file_info *fi);

	/**
	 * Open a directory. Answer: fuse_reply_open(). ENOSYS with
	 * FUSE_CAP_NO_OPENDIR_SUPPORT: as for open().
	 *
	 * @param fi flags are set; fh, cache_readdir and keep_cache are to be set
	 */
	void (*opendir)(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

	/**
	 * Read a directory. Answer: fuse_reply_buf() or fuse_reply_data(), with entries
	 * made by fuse_add_direntry(), and nothing at the end.
	 *
	 * @param size how many bytes, at most
	 * @param off 0 to start, otherwise the off of the last entry that was read
	 */
	void (*readdir)(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			struct fuse_file_info *fi);

	/** What release() is to open(), to opendir(). Answer: fuse_reply_err(). */
	void (*releasedir)(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

	/** fsync() of a directory: its entries. Answer: fuse_reply_err(). */
	void (*fsyncdir)(fuse_req_t req, fuse_ino_t ino, int datasync,
			 struct fuse_file_info *fi);

	/**
	 * Get figures of the whole filesystem. Answer: fuse_reply_statfs().
	 *
	 * @param ino the inode that was asked about
	 */
	void (*statfs)(fuse_req_t req, fuse_ino_t ino);

	/**
	 * Set an extended attribute. Answer: fuse_reply_err(). ENOSYS: there are none,
	 * for good.
	 *
	 * @param flags as for setxattr(2)
	 */
	void (*setxattr)(fuse_req_t req, fuse_ino_t ino, const char *name,
			 const char *value, size_t size, int flags);

	/**
	 * Get an extended attribute. Answer: if size is 0 its size, with
	 * fuse_reply_xattr(); otherwise its value, with fuse_reply_buf(), or ERANGE if it
	 * is longer than size. ENOSYS: there are none, for good.
	 */
	void (*getxattr)(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);

	/**
	 * List extended attributes. As getxattr(); the value is all names, each with its
	 * terminating zero.
	 */
	void (*listxattr)(fuse_req_t req, fuse_ino_t ino, size_t size);

	/** Remove an extended attribute. Answer: fuse_reply_err(). */
	void (*removexattr)(fuse_req_t req, fuse_ino_t ino, const char *name);

	/**
	 * Check permissions as access(2) does. Not called with default_permissions.
	 * Answer: fuse_reply_err(). ENOSYS: always permitted, for good.
	 *
	 * @param mask as access(2)'s mode
	 */
	void (*access)(fuse_req_t req, fuse_ino_t ino, int mask);

	/**
	 * Make a regular file, if there is none of that name, and open it. Answer:
	 * fuse_reply_create(). Without it the kernel uses mknod() and open().
	 *
	 * @param mode its type and permissions
	 * @param fi as for open(), but O_CREAT is in the flags, and O_EXCL if it was given
	 */
	void (*create)(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		       struct fuse_file_info *fi);

	/**
	 * Find a POSIX lock that is in the way of another. Answer: fuse_reply_lock().
	 *
	 * @param fi fh and lock_owner are set
	 * @param lock the lock that would be set
	 */
	void (*getlk)(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		      struct flock *lock);

	/**
	 * Set or remove a POSIX lock. Answer: fuse_reply_err(). Without getlk() and
	 * setlk() the kernel keeps such locks itself, for this mount only.
	 *
	 * @param lock the lock; its l_pid is of no use if it comes from another machine
	 * @param sleep not 0: wait until the lock can be had; an interrupt ends this with
	 *              EINTR
	 */
	void (*setlk)(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		      struct flock *lock, int sleep);

	/**
	 * Find a block of a file on the device below. Only for filesystems on a block
	 * device (option blkdev). Answer: fuse_reply_bmap().
	 *
	 * @param blocksize the size of a block, in bytes
	 * @param idx the block's number within the file
	 */
	void (*bmap)(fuse_req_t req, fuse_ino_t ino, size_t blocksize, uint64_t idx);

	/**
	 * Control. Answer: fuse_reply_ioctl(), fuse_reply_ioctl_iov(), or, with
	 * FUSE_IOCTL_UNRESTRICTED, fuse_reply_ioctl_retry().
	 *
	 * @param cmd the number; an int in interfaces before 3.5
	 * @param arg the caller's argument: an address in its memory, or a number
	 * @param flags FUSE_IOCTL_ bits
	 * @param in_buf what the caller passes in
	 * @param in_bufsz its size, in bytes
	 * @param out_bufsz how much may be passed out, in bytes
	 */
#if FUSE_USE_VERSION < 35
	void (*ioctl)(fuse_req_t req, fuse_ino_t ino, int cmd, void *arg,
		      struct fuse_file_info *fi, unsigned flags, const void *in_buf,
		      size_t in_bufsz, size_t out_bufsz);
#else
	void (*ioctl)(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
		      struct fuse_file_info *fi, unsigned flags, const void *in_buf,
		      size_t in_bufsz, size_t out_bufsz);
#endif

	/**
	 * Say whether a file is ready. Answer: fuse_reply_poll(). ENOSYS: always ready,
	 * for good.
	 *
	 * @param fi fh and poll_events are set
	 * @param ph if not NULL, the caller waits: tell it with
	 *           fuse_lowlevel_notify_poll(), then or later, when this changes. It
	 *           belongs to the filesystem, which frees it with
	 *           fuse_pollhandle_destroy(), and replaces one that it holds for the
	 *           same open.
	 */
	void (*poll)(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		     struct fuse_pollhandle *ph);

	/**
	 * Write, from wherever the data is. Answer: as for write().
	 *
	 * @param bufv the data; fuse_buf_copy() brings it to where it shall be. It may
	 *             lie in a pipe and is then gone once the operation has returned.
	 * @param off to where
	 */
	void (*write_buf)(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *bufv,
			  off_t off, struct fuse_file_info *fi);

	/**
	 * What fuse_lowlevel_notify_retrieve() asked for. Answer: fuse_reply_none().
	 *
	 * @param cookie as it was given then
	 * @param offset where in the file
	 * @param bufv the data; less than was asked for if the cache had less
	 */
	void (*retrieve_reply)(fuse_req_t req, void *cookie, fuse_ino_t ino, off_t offset,
			       struct fuse_bufvec *bufv);

	/**
	 * forget() for many. Without it forget() is called for each. Answer:
	 * fuse_reply_none().
	 *
	 * @param count how many
	 * @param forgets which, and by how much
	 */
	void (*forget_multi)(fuse_req_t req, size_t count,
			     struct fuse_forget_data *forgets);

	/**
	 * Set or remove a BSD lock. Answer: fuse_reply_err(). Without it the kernel keeps
	 * such locks itself, for this mount only.
	 *
	 * @param fi fh and lock_owner are set
	 * @param op as for flock(2)
	 */
	void (*flock)(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op);

	/**
	 * Allocate or free space of a file. Answer: fuse_reply_err(). ENOSYS: EOPNOTSUPP,
	 * for good.
	 *
	 * @param mode as for fallocate(2)
	 */
	void (*fallocate)(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset,
			  off_t length, struct fuse_file_info *fi);

	/**
	 * Read a directory, with what lookup() would say about each name. Answer: as for
	 * readdir(), with entries made by fuse_add_direntry_plus(). Lookup counts of
	 * entries that are sent go up by one, except for "." and "..".
	 */
	void (*readdirplus)(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			    struct fuse_file_info *fi);

	/**
	 * Copy from file to file. Answer: fuse_reply_write(), with the number of bytes
	 * copied. ENOSYS: the kernel reads and writes, for good. Since 3.4.
	 *
	 * @param flags as for copy_file_range(2)
	 */
	void (*copy_file_range)(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
				struct fuse_file_info *fi_in, fuse_ino_t ino_out,
				off_t off_out, struct fuse_file_info *fi_out, size_t len,
				int flags);

	/**
	 * Find data or a hole. Answer: fuse_reply_lseek(). ENOSYS: the file is all data,
	 * for good. Since 3.8.
	 *
	 * @param whence SEEK_DATA or SEEK_HOLE
	 */
	void (*lseek)(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
		      struct fuse_file_info *fi);

	/**
	 * Make a regular file without a name, and open it (O_TMPFILE). Answer:
	 * fuse_reply_create(). ENOSYS: EOPNOTSUPP, for good. Since 3.14.
	 *
	 * @param parent the directory that it could later be linked to
	 * @param mode its type and permissions
	 */
	void (*tmpfile)(fuse_req_t req, fuse_ino_t parent, mode_t mode,
			struct fuse_file_info *fi);

	/**
	 * Get attributes as statx(2) does. Answer: fuse_reply_statx(). ENOSYS: the kernel
	 * uses getattr(), for good. Since 3.18.
	 *
	 * @param flags the AT_STATX_ bits of statx(2)'s flags
	 * @param mask the STATX_ bits that are asked for
	 * @param fi the open file if the caller has one, with fh set, otherwise NULL
	 */
	void (*statx)(fuse_req_t req, fuse_ino_t ino, int flags, int mask,
		      struct fuse_file_info *fi);
};

/*
 * Replies. Any thread may send one, once. All but the direntry functions end the request,
 * whatever they return; arguments are copied or sent before they return.
 *
 * They return 0, or a negative errno value if the reply could not be delivered: -ENOENT
 * when the caller was interrupted and did not wait for it. Open files, entries and the
 * like that the kernel was to be told of are then unknown to it.
 */

/**
 * Answer with an error, or with success where there is nothing more to say.
 *
 * @param err a positive errno value, or 0
 */
int fuse_reply_err(fuse_req_t req, int err);

/** End a request that has no answer: forget(), forget_multi(), retrieve_reply(). */
void fuse_reply_none(fuse_req_t req);

/**
 * Answer with what a name stands for: lookup(), mknod(), mkdir(), symlink(), link(). The
 * inode's lookup count goes up if, and only if, this succeeds.
 *
 * @param e the entry
 */
int fuse_reply_entry(fuse_req_t req, const struct fuse_entry_param *e);

/**
 * Answer with an entry that is open: create(), tmpfile(). On failure the inode's lookup
 * count did not go up, and release() will not be called.
 *
 * @param e the entry
 * @param fi the open file: fh and the members that open() may set
 */
int fuse_reply_create(fuse_req_t req, const struct fuse_entry_param *e,
		      const struct fuse_file_info *fi);

/**
 * Answer with attributes: getattr(), setattr().
 *
 * @param attr the attributes
 * @param attr_timeout for how long, in seconds, the kernel may use them without asking
 */
int fuse_reply_attr(fuse_req_t req, const struct stat *attr, double attr_timeout);

/**
 * Answer with extended attributes: statx().
 *
 * @param flags not in use: 0
 * @param statx the attributes, with stx_mask saying which there are
 * @param attr_timeout for how long, in seconds, the kernel may use them without asking
 *
 * Since 3.18.
 */
int fuse_reply_statx(fuse_req_t req, int flags, struct statx *statx, double attr_timeout);

/**
 * Answer with a symbolic link's contents: readlink().
 *
 * @param link the contents
 */
int fuse_reply_readlink(fuse_req_t req, const char *link);

/**
 * Let the kernel read and write a file for us. For open() and create(), before the reply;
 * needs FUSE_CAP_PASSTHROUGH and CAP_SYS_ADMIN.
 *
 * @param req the request
 * @param fd the file; it may be closed afterwards
 * @return a number above 0 for fuse_file_info.backing_id, which stays valid for any
 *         number of opens of that file until fuse_passthrough_close(); 0 on failure,
 *         after a message
 *
 * Since 3.17.
 */
int fuse_passthrough_open(fuse_req_t req, int fd);

/**
 * Give a number of fuse_passthrough_open() back. Files that are open with it are not
 * affected.
 *
 * @param req any request of the session
 * @param backing_id the number
 * @return 0, or a negative value on failure, after a message
 *
 * Since 3.17.
 */
int fuse_passthrough_close(fuse_req_t req, int backing_id);

/**
 * Answer with an open file: open(), opendir(). On failure release() or releasedir() will
 * not be called.
 *
 * @param fi the open file: fh and the members that these may set
 */
int fuse_reply_open(fuse_req_t req, const struct fuse_file_info *fi);

/**
 * Answer with a number of bytes: write(), write_buf(), copy_file_range().
 *
 * @param count how many were written
 */
int fuse_reply_write(fuse_req_t req, size_t count);

/**
 * Answer with data: read(), readdir(), readdirplus(), getxattr(), listxattr().
 *
 * @param buf the data; NULL if there is none
 * @param size its size, in bytes; not more than was asked for
 */
int fuse_reply_buf(fuse_req_t req, const char *buf, size_t size);

/**
 * Answer with data from wherever it is: as fuse_reply_buf(). Data in files goes to the
 * kernel without a copy in between, where the transport can do that. If a file ends
 * early, so does the answer.
 *
 * @param bufv the data; its place moves
 * @param flags how to copy
 */
int fuse_reply_data(fuse_req_t req, struct fuse_bufvec *bufv,
		    enum fuse_buf_copy_flags flags);

/**
 * Answer with data in pieces: as fuse_reply_buf(). If there are more than IOV_MAX - 1, the
 * caller gets EIO, and -E2BIG is returned.
 *
 * @param iov the pieces
 * @param count how many
 */
int fuse_reply_iov(fuse_req_t req, const struct iovec *iov, int count);

/**
 * Answer with figures of the filesystem: statfs().
 *
 * @param stbuf the figures
 */
int fuse_reply_statfs(fuse_req_t req, const struct statvfs *stbuf);

/**
 * Answer with the size of an attribute or list: getxattr() and listxattr() with size 0.
 *
 * @param count the size, in bytes
 */
int fuse_reply_xattr(fuse_req_t req, size_t count);

/**
 * Answer with a lock: getlk().
 *
 * @param lock one that is in the way, or any with l_type F_UNLCK if none is
 */
int fuse_reply_lock(fuse_req_t req, const struct flock *lock);

/**
 * Answer with the number of a block: bmap().
 *
 * @param idx the block's number on the device
 */
int fuse_reply_bmap(fuse_req_t req, uint64_t idx);

/**
 * Add an entry to a buffer that readdir() is filling.
 *
 * @param req the request
 * @param buf where the entry goes; may be NULL if bufsize is 0
 * @param bufsize how much room is left there, in bytes
 * @param name the name
 * @param stbuf st_ino, and the file type of st_mode, are used
 * @param off the value that readdir() gets to go on behind this entry; not 0
 * @return the size that the entry needs, in bytes; if that is above bufsize, nothing was
 *         written
 */
size_t fuse_add_direntry(fuse_req_t req, char *buf, size_t bufsize, const char *name,
			 const struct stat *stbuf, off_t off);

/**
 * Add an entry to a buffer that readdirplus() is filling: as fuse_add_direntry().
 *
 * @param e what lookup() would say; with ino 0, nothing but the name, and the file type
 *          and st_ino of attr, is used, and no lookup count goes up
 */
size_t fuse_add_direntry_plus(fuse_req_t req, char *buf, size_t bufsize, const char *name,
			      const struct fuse_entry_param *e, off_t off);

/**
 * Ask to be called again, with the contents of ranges of the caller's memory and room for
 * others: ioctl() with FUSE_IOCTL_UNRESTRICTED. That call is a new request; this one ends.
 *
 * There can be FUSE_IOCTL_MAX_IOV ranges, in and out together. If there are more, the caller
 * gets EIO, and -EINVAL is returned.
 *
 * @param in_iov what to pass in
 * @param in_count how many ranges
 * @param out_iov what will be passed out
 * @param out_count how many ranges
 */
int fuse_reply_ioctl_retry(fuse_req_t req, const struct iovec *in_iov, size_t in_count,
			   const struct iovec *out_iov, size_t out_count);

/**
 * Answer ioctl().
 *
 * @param result what the system call returns
 * @param buf what is passed out; may be NULL if size is 0
 * @param size its size, in bytes
 */
int fuse_reply_ioctl(fuse_req_t req, int result, const void *buf, size_t size);

/**
 * Answer ioctl() with data in pieces. If there are more than IOV_MAX - 2, the caller gets
 * EIO, and -E2BIG is returned.
 *
 * @param result what the system call returns
 * @param iov the pieces
 * @param count how many
 */
int fuse_reply_ioctl_iov(fuse_req_t req, int result, const struct iovec *iov, int count);

/**
 * Answer poll().
 *
 * @param revents the events that are there, as in poll(2)
 */
int fuse_reply_poll(fuse_req_t req, unsigned revents);

/**
 * Answer lseek().
 *
 * @param off the offset found, in bytes from the start of the file
 */
int fuse_reply_lseek(fuse_req_t req, off_t off);

/*
 * Notifications: what the filesystem tells the kernel unasked. Any thread may send one,
 * while the session is mounted. -ENOSYS says that the kernel is too old for it, -ENOENT
 * that it does not know the inode or name, in which case there is nothing to do.
 *
 * Those that name inodes and entries wait for operations of theirs in the kernel. A
 * thread that is to answer such an operation must not send them before it has: that would
 * be a deadlock.
 */

/**
 * Tell those who poll() a file to look again.
 *
 * @param ph what poll() was given; it stays the filesystem's
 */
int fuse_lowlevel_notify_poll(struct fuse_pollhandle *ph);

/**
 * Drop cached attributes of an inode, and cached data.
 *
 * @param off where the data starts; negative: attributes only
 * @param len how many bytes; 0 or less for all to the end
 */
int fuse_lowlevel_notify_inval_inode(struct fuse_session *se, fuse_ino_t ino, off_t off,
				     off_t len);

/**
 * Let all names that the kernel remembers be asked for again before their next use.
 *
 * Since 3.18.
 */
int fuse_lowlevel_notify_increment_epoch(struct fuse_session *se);

/**
 * Drop a name that the kernel remembers, and the attributes of its directory.
 *
 * @param namelen the name's length, in bytes
 */
int fuse_lowlevel_notify_inval_entry(struct fuse_session *se, fuse_ino_t parent,
				     const char *name, size_t namelen);

/**
 * Let a name be asked for again before its next use, without dropping what lies below it.
 * -ENOSYS without FUSE_CAP_EXPIRE_ONLY.
 *
 * @param namelen the name's length, in bytes
 *
 * Since 3.12.
 */
int fuse_lowlevel_notify_expire_entry(struct fuse_session *se, fuse_ino_t parent,
				      const char *name, size_t namelen);

/**
 * Drop a name because its file was removed: those who watch that file hear of it.
 *
 * @param child the inode; if the kernel knows another one by that name, the name is dropped
 *              and no more, and -ENOENT returned
 * @param namelen the name's length, in bytes
 */
int fuse_lowlevel_notify_delete(struct fuse_session *se, fuse_ino_t parent,
				fuse_ino_t child, const char *name, size_t namelen);

/**
 * Put data into the kernel's cache. A file that is shorter becomes longer by it.
 *
 * @param offset where in the file
 * @param bufv the data
 * @param flags how to copy
 */
int fuse_lowlevel_notify_store(struct fuse_session *se, fuse_ino_t ino, off_t offset,
			       struct fuse_bufvec *bufv, enum fuse_buf_copy_flags flags);

/**
 * Get data from the kernel's cache. It comes through retrieve_reply(), from offset up to
 * the first page that is not there. Data that was not yet written stays to be written.
 *
 * @param size how many bytes
 * @param offset where in the file
 * @param cookie passed on to retrieve_reply()
 */
int fuse_lowlevel_notify_retrieve(struct fuse_session *se, fuse_ino_t ino, size_t size,
				  off_t offset, void *cookie);

/**
 * Let the kernel forget inodes that nobody uses, as far as it remembers them only to be quick.
 * What comes of it comes as forget(). Inodes that are in use stay, as do those that the
 * kernel does not know: there is no telling which. -ENOSYS before Linux 6.18.
 *
 * An addition of this library.
 *
 * @param nodeids the inodes
 * @param count how many
 */
int fuse_lowlevel_notify_prune(struct fuse_session *se, const fuse_ino_t *nodeids,
			       uint32_t count);

/*
 * Requests. For any thread, until the reply.
 */

/** @return the userdata of fuse_session_new() */
void *fuse_req_userdata(fuse_req_t req);

/** @return who made the request; valid until the reply */
const struct fuse_ctx *fuse_req_ctx(fuse_req_t req);

/**
 * Get the supplementary groups of the process that made the request, out of /proc. Of use
 * as long as that process waits, and while it is in sight of the filesystem's PID
 * namespace.
 *
 * @param size the number of groups that list has room for; may be 0
 * @param list where they go, as many as there is room for
 * @return the number of groups that there are, which may be above size; -ENOSYS where
 *         this cannot be found out; another negative errno value if it failed
 */
int fuse_req_getgroups(fuse_req_t req, int size, gid_t list[]);

/**
 * Called when the caller of a request was interrupted, and when the session's loop is about
 * to end, which waits for all operations to return. fuse_req_interrupted() is then true. It
 * may send the reply only if the operation's own thread is sure not to.
 */
typedef void (*fuse_interrupt_func_t)(fuse_req_t req, void *data);

/**
 * Ask to be told of an interrupt. If there was one already, the function is called before
 * this returns; otherwise by the thread that receives the interrupt. It is not called
 * after the reply.
 *
 * @param func the function; NULL to be told no more
 * @param data passed to it
 */
void fuse_req_interrupt_func(fuse_req_t req, fuse_interrupt_func_t func, void *data);

/** @return 1 if the caller was interrupted, otherwise 0 */
int fuse_req_interrupted(fuse_req_t req);

/**
 * @return true if the request came over io_uring
 *
 * Since 3.18.
 */
bool fuse_req_is_uring(fuse_req_t req);

/**
 * Get at the memory that a request's payload came in, and that its reply's will leave
 * from. Data put there needs no copy: fuse_reply_buf() sees that it is in place.
 *
 * @param payload set to the memory; valid until the reply
 * @param payload_sz set to its size, in bytes
 * @param mr set to the region of memory that the payload is part of, for registering it
 *           with a device; NULL if there is none. May itself be NULL.
 * @return 0; -EINVAL if the request did not come over io_uring, has no such memory (one without
 *         a payload and with no reply but an error may have none), or for a missing pointer;
 *         another negative errno if the data of a zero-copied write could not be fetched
 *
 * Since 3.18.
 */
int fuse_req_get_payload(fuse_req_t req, char **payload, size_t *payload_sz, void **mr);

/*
 * Command line.
 */

/** Print the version of protocol and library to standard output. */
void fuse_lowlevel_version(void);

/** Print the options that fuse_session_new() understands to standard output. */
void fuse_lowlevel_help(void);

/** Print the options that fuse_parse_cmdline() understands to standard output. */
void fuse_cmdline_help(void);

/** What fuse_parse_cmdline() found. */
struct fuse_cmdline_opts {
	/** -s: run the single-threaded loop. */
	int singlethread;

	/** -f, or implied by -d: stay in the foreground. */
	int foreground;

	/** -d, -o debug: log every request. It stays in the list too. */
	int debug;

	/** -o subtype, or fsname given: do not use the program's name for it. */
	int nodefault_subtype;

	/**
	 * The mount point as an absolute path, to be freed with free(); NULL if none was
	 * given.
	 */
	char *mountpoint;

	/** -V, --version: print the version and exit. */
	int show_version;

	/** -h, --help: print help and exit. */
	int show_help;

	/** -o clone_fd: for fuse_loop_cfg_set_clone_fd(). */
	int clone_fd;

	/** -o max_idle_threads=N: for fuse_loop_cfg_set_idle_threads(). */
	unsigned int max_idle_threads;

	/** -o max_threads=N: for fuse_loop_cfg_set_max_threads(). Since 3.12. */
	unsigned int max_threads;
};

/**
 * Take the options that most filesystems have in common out of an argument list. Unless
 * it was given, a subtype is added to the list: the name of the program.
 *
 * @param args the list
 * @param opts filled in
 * @return 0, or -1 on failure, after a message
 *
 * Programs of interfaces before 3.12 get a function that does not know of max_threads.
 */
#if defined(LIBFUSE_BUILT_WITH_VERSIONED_SYMBOLS)
int fuse_parse_cmdline(struct fuse_args *args, struct fuse_cmdline_opts *opts);
#elif FUSE_USE_VERSION < FUSE_MAKE_VERSION(3, 12)
int fuse_parse_cmdline_30(struct fuse_args *args, struct fuse_cmdline_opts *opts);
#define fuse_parse_cmdline(args, opts) fuse_parse_cmdline_30(args, opts)
#else
int fuse_parse_cmdline_312(struct fuse_args *args, struct fuse_cmdline_opts *opts);
#define fuse_parse_cmdline(args, opts) fuse_parse_cmdline_312(args, opts)
#endif

/*
 * Sessions.
 */

/** What fuse_session_new() calls. */
struct fuse_session *fuse_session_new_versioned(struct fuse_args *args,
						const struct fuse_lowlevel_ops *op,
						size_t op_size,
						struct libfuse_version *version,
						void *userdata);

static inline struct fuse_session *fuse_session_new_fn(struct fuse_args *args,
						       const struct fuse_lowlevel_ops *op,
						       size_t op_size, void *userdata)
{
	struct libfuse_version version = { FUSE_MAJOR_VERSION, FUSE_MINOR_VERSION,
					   FUSE_HOTFIX_VERSION, 0 };

	return fuse_session_new_versioned(args, op, op_size, &version, userdata);
}

/**
 * Make a session. It is not mounted yet.
 *
 * @param args the program's name and options; those understood are removed, an unknown
 *             one is an error. It stays the caller's.
 * @param op the operations; copied
 * @param op_size sizeof(*op)
 * @param userdata passed to init() and destroy(), and returned by fuse_req_userdata()
 * @return the session, to be freed with fuse_session_destroy(); NULL on failure, after a
 *         message
 */
#define fuse_session_new(args, op, op_size, userdata) \
	fuse_session_new_fn(args, op, op_size, userdata)

/**
 * Let a session speak to the kernel through functions and a descriptor of the caller's.
 * Instead of fuse_session_mount().
 *
 * @param io the functions; copied
 * @param op_size sizeof(*io). Interfaces before 3.17 do not have this parameter, nor
 *                clone_fd().
 * @param fd passed to the functions; the session closes it in the end
 * @return 0; -EINVAL if io is NULL, or lacks read or writev; -EBADF if fd is negative;
 *         -ENOMEM
 */
#if FUSE_USE_VERSION < FUSE_MAKE_VERSION(3, 17)
int fuse_session_custom_io_30(struct fuse_session *se, const struct fuse_custom_io *io,
			      int fd);

static inline int fuse_session_custom_io(struct fuse_session *se,
					 const struct fuse_custom_io *io, int fd)
{
	return fuse_session_custom_io_30(se, io, fd);
}
#else
int fuse_session_custom_io_317(struct fuse_session *se, const struct fuse_custom_io *io,
			       size_t op_size, int fd);

static inline int fuse_session_custom_io(struct fuse_session *se,
					 const struct fuse_custom_io *io, size_t op_size,
					 int fd)
{
	return fuse_session_custom_io_317(se, io, op_size, fd);
}
#endif

/**
 * Mount a session. Root mounts by itself, others through fusermount3.
 *
 * @param mountpoint a directory or file; or "/dev/fd/N" for a descriptor of /dev/fuse
 *                   that somebody else has mounted already
 * @return 0, or -1 on failure, after a message
 */
int fuse_session_mount(struct fuse_session *se, const char *mountpoint);

/**
 * Receive and carry out requests in the calling thread, until the session ends: by
 * fuse_session_exit(), by a signal, or by an unmount. Over io_uring each queue has its
 * own thread besides.
 *
 * @return 0 after an unmount or fuse_session_exit(); the number of the signal after one;
 *         a negative errno value on failure
 */
int fuse_session_loop(struct fuse_session *se);

/**
 * The same in several threads.
 *
 * @param config settings; NULL for defaults. It stays the caller's. In interfaces before
 *               3.2 the second parameter is clone_fd alone.
 * @return as fuse_session_loop()
 */
#if FUSE_USE_VERSION < 32
int fuse_session_loop_mt_31(struct fuse_session *se, int clone_fd);
#define fuse_session_loop_mt(se, clone_fd) fuse_session_loop_mt_31(se, clone_fd)
#elif FUSE_USE_VERSION < FUSE_MAKE_VERSION(3, 12)
int fuse_session_loop_mt_32(struct fuse_session *se, struct fuse_loop_config *config);
#define fuse_session_loop_mt(se, config) fuse_session_loop_mt_32(se, config)
#elif defined(LIBFUSE_BUILT_WITH_VERSIONED_SYMBOLS)
int fuse_session_loop_mt(struct fuse_session *se, struct fuse_loop_config *config);
#else
int fuse_session_loop_mt_312(struct fuse_session *se, struct fuse_loop_config *config);
#define fuse_session_loop_mt(se, config) fuse_session_loop_mt_312(se, config)
#endif

/**
 * Mark a session as over, so that its loop ends. Any thread may call it; a signal handler
 * too. A loop that waits for a request ends at once; one that waits in a custom read(),
 * and has no other threads, when that returns.
 */
void fuse_session_exit(struct fuse_session *se);

/**
 * Take the mark away, and the error that ended the loop. Not while a loop runs. Another loop can
 * follow, but over io_uring only with io_uring_pool=none: it returns -EOPNOTSUPP otherwise.
 */
void fuse_session_reset(struct fuse_session *se);

/** @return not 0 if the session is marked as over */
int fuse_session_exited(struct fuse_session *se);

/**
 * Unmount a session, if it is mounted still. To be called before fuse_session_destroy().
 * Over io_uring it waits for the handlers that run, unless one of them calls it.
 */
void fuse_session_unmount(struct fuse_session *se);

/** Free a session. Its loop has ended, and its requests have been answered. */
void fuse_session_destroy(struct fuse_session *se);

/**
 * @return the descriptor of /dev/fuse, for poll(2) and the like; it stays the session's
 */
int fuse_session_fd(struct fuse_session *se);

/**
 * Carry out one request. For loops of one's own. Any thread may call it.
 *
 * @param buf what fuse_session_receive_buf() filled in
 */
void fuse_session_process_buf(struct fuse_session *se, const struct fuse_buf *buf);

/**
 * Wait for one request. For loops of one's own. Any thread may call it, each with its own
 * buffer.
 *
 * @param buf filled in. Start with zeros: mem is allocated when it is NULL, used again by
 *            the next call, and freed with free() by the caller.
 * @return the request's size, in bytes; 0 when the session is over; a negative errno
 *         value on failure,
 *         -EINTR after a signal
 */
int fuse_session_receive_buf(struct fuse_session *se, struct fuse_buf *buf);

/*
 * Additions of this library, which libfuse 3.18 does not have. They change the meaning of
 * nothing above. Since 3.18 of this library.
 */

/** A piece of a file, a device, a pipe or a socket. */
struct fuse_fd_range {
	/** The descriptor. */
	int fd;

	/** Where the piece begins, in bytes; -1 for what has no positions, or to use its own. */
	off_t off;

	/** How long it is, in bytes. */
	size_t size;
};

/**
 * @return true if the request is a read or a write whose data can move between the client's
 *         pages and a descriptor without being copied to this process
 */
bool fuse_req_is_zero_copy(fuse_req_t req);

/**
 * Answer a read() with what a descriptor holds. With zero-copy the kernel moves the data
 * into the client's pages; without, the library reads them into the reply. Either way
 * fewer bytes than asked for are a short read, an error of the descriptor is the
 * reply's, and the filesystem need not know which way it went.
 *
 * The call returns at once and the data may move later: the descriptor has to stay open until the
 * request is answered, which it is before release() of the file is called. Use
 * fuse_reply_data() for one that is closed earlier.
 *
 * @param fd descriptor to read from
 * @param off where to begin, in bytes; -1 as in struct fuse_fd_range
 * @param size bytes to read, at most what read() was asked for
 * @return 0, or a negative errno value if no reply could be sent; -EINVAL if the request
 *         is no read or has been answered. The request is gone in any case.
 */
int fuse_reply_read_fd(fuse_req_t req, int fd, off_t off, size_t size);

/**
 * Carry out a write() to a descriptor, and answer with the number of bytes that it took.
 * Otherwise as fuse_reply_read_fd(). Over /dev/fuse it has to be called before the
 * handler returns, since the data are gone then.
 *
 * @param fd descriptor to write to
 * @param off where to begin, in bytes; -1 as in struct fuse_fd_range
 * @param size bytes to write, from the beginning of the request's data on
 * @return as fuse_reply_read_fd(); -EINVAL also if the request has fewer bytes
 */
int fuse_reply_write_fd(fuse_req_t req, int fd, off_t off, size_t size);

/**
 * The same for data that lie in several places, as in a striped or a tiered store. With
 * zero-copy all pieces move side by side. What follows a piece that came out short does not
 * count, even if it was moved.
 *
 * @param ranges the pieces in the order of the file's data; not needed after the call
 * @param count how many, at most 1024
 */
int fuse_reply_read_fdv(fuse_req_t req, const struct fuse_fd_range *ranges, size_t count);

/** The counterpart of fuse_reply_read_fdv() for write(). */
int fuse_reply_write_fdv(fuse_req_t req, const struct fuse_fd_range *ranges,
			 size_t count);

/**
 * Get the data of a read() or a write() as a buffer for fuse_buf_copy(), to move them by and by,
 * to and from several places, or to pass them on through a socket. With zero-copy the buffer
 * stands for the client's pages, and what is copied between it and a descriptor is never
 * in this process; without, it is memory of the request's (or, for a write over /dev/fuse,
 * the pipe that write_buf() was given). A copy may wait as long as its descriptor does, and
 * comes out short, or fails, as it would with memory.
 *
 * A read is answered by fuse_reply_read_filled(), a write by fuse_reply_write(). Any thread may
 * copy, one at a time.
 *
 * @param req a read() or a write() that has not been answered
 * @param data filled in: the data from their beginning on. It is of use until the request is
 *        answered. A write's are to be read from, a read's to be written to. A part of them is
 *        a vector with an offset, or, with FUSE_BUF_FD_SEEK, a buffer with a later pos.
 * @return 0, or a negative errno value: -EINVAL if the request is neither, -ENOMEM
 */
int fuse_req_get_data(fuse_req_t req, struct fuse_buf *data);

/**
 * Answer a read() whose data have been copied to where fuse_req_get_data() said.
 *
 * @param size bytes, from the beginning of the data on; fewer than asked for are a short read
 * @return 0, or a negative errno value if no reply could be sent; -EINVAL if the request is no
 *         read, has been answered, or so many bytes have not been copied. The request is
 *         gone in any case.
 */
int fuse_reply_read_filled(fuse_req_t req, size_t size);

/**
 * Why the data of a read or a write did not move by zero-copy. Each request that had data and
 * was not zero-copied is counted under one of these, the first that applies.
 */
enum fuse_copy_reason {
	/** It came over /dev/fuse. */
	FUSE_COPIED_OVER_DEVICE,

	/** The queue that it came by has no zero-copy: not asked for, or not to be had. */
	FUSE_COPIED_BY_QUEUE,

	/** Its file was opened without zero-copy: the filesystem declined, or never answers so. */
	FUSE_COPIED_DECLINED,

	/** The reply to a read was in memory. */
	FUSE_COPIED_FROM_MEMORY,

	/** fuse_reply_data() was given several buffers of different kinds. */
	FUSE_COPIED_SEVERAL_BUFFERS,

	/** fuse_reply_data() was given FUSE_BUF_FD_RETRY, which is a loop of reads. */
	FUSE_COPIED_TO_RETRY,

	/** fuse_reply_data() could not duplicate the descriptor: there were none left. */
	FUSE_COPIED_NO_DESCRIPTOR,

	/** A write handler takes data in memory only, or has not shown yet that it does not. */
	FUSE_COPIED_FOR_HANDLER,

	/** A handler that copes with data elsewhere wanted a write's in memory. */
	FUSE_COPIED_LOOKED_AT,

	/** The file behind it can only be read and written by way of a process's memory. */
	FUSE_COPIED_FOR_FILE,

	/** How many there are. Never more than FUSE_COPY_REASONS_ROOM. */
	FUSE_COPY_REASONS
};

/** Counters that struct fuse_transport_stats has for them, those to come included. */
#define FUSE_COPY_REASONS_ROOM 16

/**
 * @return a reason in a word, as statistics files and fusestat have it ("declined"); NULL if
 *         there is no such reason
 */
const char *fuse_copy_reason_name(unsigned reason);

/** The same in a few words for people. */
const char *fuse_copy_reason_text(unsigned reason);

/** What went through a transport, or through one queue of it, since it was started. */
struct fuse_transport_stats {
	/** Requests received. */
	uint64_t requests;

	/** Replies sent. */
	uint64_t replies;

	/** Those of them that were errors. */
	uint64_t errors;

	/** Bytes of data in replies to read(). */
	uint64_t bytes_read;

	/** Bytes of data in write() requests. */
	uint64_t bytes_written;

	/** Reads and writes whose data this process never touched. */
	uint64_t zero_copied_requests;

	/** Their data, in bytes. */
	uint64_t zero_copied_bytes;

	/** System calls that submitted to a ring or waited for one. */
	uint64_t enters;

	/** Replies among these submissions. */
	uint64_t commits;

	/** Times that polling found a request before it gave up. */
	uint64_t polls_hit;

	/** Times that polling gave up, and the queue went to sleep. */
	uint64_t polls_missed;

	/** Requests that a queue's thread handed to a worker. */
	uint64_t handed_over;

	/** Zero-copied requests whose data and reply went to the kernel as one chain... */
	uint64_t linked;

	/** ...those of them that moved less than announced, and were replied to once more. */
	uint64_t broken;

	/** Zero-copied requests whose reply was sent after their data had been moved. */
	uint64_t unlinked;

	/**
	 * Reads and writes that the kernel had made ready for zero-copy, but whose data went
	 * through this process's memory: the filesystem answered from there, or looked at them.
	 */
	uint64_t copied;

	/**
	 * Requests of other kinds that the kernel had made ready for zero-copy: directories,
	 * links, ioctls, retrieved caches. Their data always go through memory.
	 */
	uint64_t paged;

	/**
	 * Those of bytes_read and bytes_written that were not zero-copied, but needed no copy
	 * within this process: the filesystem found or left them in the payload memory of a ring.
	 */
	uint64_t pool_bytes;

	/** Those that were copied within it, or went over /dev/fuse. */
	uint64_t copied_bytes;

	/** Reads and writes that had data and were not zero-copied, by enum fuse_copy_reason. */
	uint64_t copy_reasons[FUSE_COPY_REASONS_ROOM];

	/**
	 * Reads and writes in memory that the client shares (fuse_shared_memory.h), and their
	 * data, in bytes. These are counted nowhere else but in bytes_read and bytes_written.
	 */
	uint64_t shared_requests;
	uint64_t shared_bytes;
};

/** How a session is doing. */
struct fuse_session_stats {
	/** What carries its requests: "dev" or "io_uring". */
	char transport[16];

	/** In which dialect; empty if the transport has none. */
	char dialect[16];

	/** 1 if data can move without a copy in this process, otherwise 0. */
	uint32_t zero_copy;

	/**
	 * How many queues fuse_session_get_queue_stats() can tell about; 0 on /dev/fuse.
	 */
	uint32_t queues;

	/** Of which kind its pools of payload buffers are: "plain" or "registered"; empty without. */
	char pool[16];

	/**
	 * Zero. Room for members to come; total stays the last one, and grows at its end.
	 */
	uint32_t reserved[2];

	/** All queues together, and what went through /dev/fuse beside them. */
	struct fuse_transport_stats total;
};

/**
 * Get a session's figures. Any thread may call it, from fuse_session_mount() on until
 * fuse_session_destroy(). Counters are read one by one while requests go on: they need
 * not fit each other exactly.
 *
 * @param stats filled in
 * @param size sizeof(*stats) as the caller knows it. A shorter structure gets as much as
 *             it has room for; what a longer one has beyond this library's is set to
 *             zero.
 * @return 0; -EINVAL if a pointer is NULL or size is 0
 */
int fuse_session_get_stats(struct fuse_session *se, struct fuse_session_stats *stats,
			   size_t size);

/**
 * Get one queue's figures: as fuse_session_get_stats().
 *
 * @param queue which, from 0 to below fuse_session_stats.queues
 * @param stats filled in
 * @param size sizeof(*stats) as the caller knows it
 * @return 0; -EINVAL if there is no such queue, a pointer is NULL or size is 0
 */
int fuse_session_get_queue_stats(struct fuse_session *se, unsigned queue,
				 struct fuse_transport_stats *stats, size_t size);

#ifdef __cplusplus
}
#endif

#endif /* FUSE_LOWLEVEL_H_ */
