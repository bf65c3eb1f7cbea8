/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The FUSE wire protocol, version 7.46 (Linux 7.3), as the kernel and a server exchange
 * it over /dev/fuse and over io_uring. Internal: this header is not installed.
 *
 * Names and layouts are the kernel's, and test/test_kernel_header.py holds them to the
 * kernel's own linux/fuse.h; it also lists the few names that exist only here. Numbers in
 * the comments, such as "7.28", are the protocol minor that introduced a thing: this
 * library talks to kernels from 7.26 on, so anything newer may be missing at the other end.
 *
 * All integers are native-endian. Every structure has the same layout for 32-bit and
 * 64-bit programs; fields named padding, unused, dummy, spare or reserved are sent as 0.
 */
#ifndef FUSE_KERNEL_H_
#define FUSE_KERNEL_H_

#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

/* ---- Version ---- */

#define FUSE_KERNEL_VERSION	  7
#define FUSE_KERNEL_MINOR_VERSION 46

/* ---- Message frame: what precedes the arguments of every request and reply ---- */

#define FUSE_ROOT_ID 1

/* A server that reads /dev/fuse with a smaller buffer than this gets EINVAL. */
#define FUSE_MIN_READ_BUFFER 8192

/* Set in fuse_in_header.unique of a request that FUSE_NOTIFY_RESEND brought back. */
#define FUSE_UNIQUE_RESEND (1ULL << 63)

/* uid and gid of a caller that has no mapping into the server's ids (FUSE_ALLOW_IDMAP) */
#define FUSE_INVALID_UIDGID ((uint32_t)(-1))

struct fuse_in_header {
	uint32_t len; /* of the whole message, this header and extensions included */
	uint32_t opcode;
	uint64_t unique;
	uint64_t nodeid;
	uint32_t uid;
	uint32_t gid;
	uint32_t pid;
	uint16_t total_extlen; /* extensions at the end, in units of 8 bytes; 7.38 */
	uint16_t padding;
};

/* unique 0 makes the message a notification: error then holds its fuse_notify_code. */
struct fuse_out_header {
	uint32_t len;
	int32_t error; /* 0 or a negative errno above -512 */
	uint64_t unique;
};

/* Records of variable length (directory entries, extensions) start on 8 bytes. */
#define FUSE_REC_ALIGN(x) (((x) + sizeof(uint64_t) - 1) & ~(sizeof(uint64_t) - 1))

enum fuse_opcode {
	FUSE_LOOKUP = 1,
	FUSE_FORGET = 2, /* never answered */
	FUSE_GETATTR = 3,
	FUSE_SETATTR = 4,
	FUSE_READLINK = 5,
	FUSE_SYMLINK = 6,
	FUSE_MKNOD = 8,
	FUSE_MKDIR = 9,
	FUSE_UNLINK = 10,
	FUSE_RMDIR = 11,
	FUSE_RENAME = 12,
	FUSE_LINK = 13,
	FUSE_OPEN = 14,
	FUSE_READ = 15,
	FUSE_WRITE = 16,
	FUSE_STATFS = 17,
	FUSE_RELEASE = 18,
	FUSE_FSYNC = 20,
	FUSE_SETXATTR = 21,
	FUSE_GETXATTR = 22,
	FUSE_LISTXATTR = 23,
	FUSE_REMOVEXATTR = 24,
	FUSE_FLUSH = 25,
	FUSE_INIT = 26,
	FUSE_OPENDIR = 27,
	FUSE_READDIR = 28,
	FUSE_RELEASEDIR = 29,
	FUSE_FSYNCDIR = 30,
	FUSE_GETLK = 31,
	FUSE_SETLK = 32,
	FUSE_SETLKW = 33,
	FUSE_ACCESS = 34,
	FUSE_CREATE = 35,
	FUSE_INTERRUPT = 36, /* no reply, or EAGAIN (repeat), or ENOSYS (never again) */
	FUSE_BMAP = 37,
	FUSE_DESTROY = 38,
	FUSE_IOCTL = 39,
	FUSE_POLL = 40,
	FUSE_NOTIFY_REPLY = 41, /* never answered */
	FUSE_BATCH_FORGET = 42, /* never answered */
	FUSE_FALLOCATE = 43,
	FUSE_READDIRPLUS = 44,
	FUSE_RENAME2 = 45,
	FUSE_LSEEK = 46,
	FUSE_COPY_FILE_RANGE = 47,    /* 7.28 */
	FUSE_SETUPMAPPING = 48,	      /* 7.31 */
	FUSE_REMOVEMAPPING = 49,      /* 7.31 */
	FUSE_SYNCFS = 50,	      /* 7.34 */
	FUSE_TMPFILE = 51,	      /* 7.37 */
	FUSE_STATX = 52,	      /* 7.39 */
	FUSE_COPY_FILE_RANGE_64 = 53, /* 7.45 */

	CUSE_INIT = 4096,

	/* What an INIT looks like from a peer of the other byte order. */
	CUSE_INIT_BSWAP_RESERVED = 1048576,
	FUSE_INIT_BSWAP_RESERVED = 436207616,
};

/*
 * Extensions (7.38) follow the arguments of a request that makes a node, as many bytes as
 * total_extlen says: a sequence of records, each starting with a fuse_ext_header. A type
 * up to FUSE_MAX_NR_SECCTX is no type at all but the nr_secctx of a fuse_secctx_header,
 * which has the same shape; that many security labels follow it.
 */
enum fuse_ext_type {
	FUSE_MAX_NR_SECCTX = 31,
	FUSE_EXT_GROUPS = 32,
};

struct fuse_ext_header {
	uint32_t size; /* of the record, this header included */
	uint32_t type;
};

struct fuse_supp_groups {
	uint32_t nr_groups;
	uint32_t groups[];
};

struct fuse_secctx_header {
	uint32_t size; /* of the record, this header included */
	uint32_t nr_secctx;
};

/* Followed by the terminated xattr name and then size bytes of label. */
struct fuse_secctx {
	uint32_t size;
	uint32_t padding;
};

/* ---- INIT: the first request, in which both sides settle the features ---- */

/* Up to 7.35 the kernel's INIT ends before flags2. */
#define FUSE_COMPAT_INIT_IN_SIZE 16

/* What a kernel reads of the reply when minor is below 5, and below 23. */
#define FUSE_COMPAT_INIT_OUT_SIZE    8
#define FUSE_COMPAT_22_INIT_OUT_SIZE 24

struct fuse_init_in {
	uint32_t major;
	uint32_t minor;
	uint32_t max_readahead;
	uint32_t flags;
	uint32_t flags2; /* valid with FUSE_INIT_EXT; 7.36 */
	uint32_t unused[11];
};

struct fuse_init_out {
	uint32_t major;
	uint32_t minor;
	uint32_t max_readahead;
	uint32_t flags;
	uint16_t max_background;
	uint16_t congestion_threshold;
	uint32_t max_write;
	uint32_t time_gran;	  /* of time stamps, in ns */
	uint16_t max_pages;	  /* with FUSE_MAX_PAGES */
	uint16_t map_alignment;	  /* log2, with FUSE_MAP_ALIGNMENT */
	uint32_t flags2;	  /* with FUSE_INIT_EXT */
	uint32_t max_stack_depth; /* with FUSE_PASSTHROUGH */
	uint16_t request_timeout; /* in s, with FUSE_REQUEST_TIMEOUT */
	uint16_t unused[11];
};

/* Bits 0 to 31 travel in flags. */
#define FUSE_ASYNC_READ		 (1 << 0)
#define FUSE_POSIX_LOCKS	 (1 << 1)
#define FUSE_FILE_OPS		 (1 << 2)
#define FUSE_ATOMIC_O_TRUNC	 (1 << 3)
#define FUSE_EXPORT_SUPPORT	 (1 << 4) /* the server can look up "." and ".." */
#define FUSE_BIG_WRITES		 (1 << 5)
#define FUSE_DONT_MASK		 (1 << 6)
#define FUSE_SPLICE_WRITE	 (1 << 7)
#define FUSE_SPLICE_MOVE	 (1 << 8)
#define FUSE_SPLICE_READ	 (1 << 9)
#define FUSE_FLOCK_LOCKS	 (1 << 10)
#define FUSE_HAS_IOCTL_DIR	 (1 << 11)
#define FUSE_AUTO_INVAL_DATA	 (1 << 12)
#define FUSE_DO_READDIRPLUS	 (1 << 13)
#define FUSE_READDIRPLUS_AUTO	 (1 << 14)
#define FUSE_ASYNC_DIO		 (1 << 15)
#define FUSE_WRITEBACK_CACHE	 (1 << 16)
#define FUSE_NO_OPEN_SUPPORT	 (1 << 17) /* ENOSYS to an open means: never ask again */
#define FUSE_PARALLEL_DIROPS	 (1 << 18)
#define FUSE_HANDLE_KILLPRIV	 (1 << 19)
#define FUSE_POSIX_ACL		 (1 << 20)
#define FUSE_ABORT_ERROR	 (1 << 21) /* an aborted device reads as ECONNABORTED */
#define FUSE_MAX_PAGES		 (1 << 22)
#define FUSE_CACHE_SYMLINKS	 (1 << 23)
#define FUSE_NO_OPENDIR_SUPPORT	 (1 << 24)
#define FUSE_EXPLICIT_INVAL_DATA (1 << 25)
#define FUSE_MAP_ALIGNMENT	 (1 << 26)
#define FUSE_SUBMOUNTS		 (1 << 27)
#define FUSE_HANDLE_KILLPRIV_V2	 (1 << 28)
#define FUSE_SETXATTR_EXT	 (1 << 29)
#define FUSE_INIT_EXT		 (1 << 30) /* flags2 is there and counts */
#define FUSE_INIT_RESERVED	 (1U << 31)

/* Bits 32 to 63 travel in flags2, shifted down by 32. */
#define FUSE_SECURITY_CTX	  (1ULL << 32)
#define FUSE_HAS_INODE_DAX	  (1ULL << 33)
#define FUSE_CREATE_SUPP_GROUP	  (1ULL << 34)
#define FUSE_HAS_EXPIRE_ONLY	  (1ULL << 35)
#define FUSE_DIRECT_IO_ALLOW_MMAP (1ULL << 36)
#define FUSE_PASSTHROUGH	  (1ULL << 37)
#define FUSE_NO_EXPORT_SUPPORT	  (1ULL << 38)
#define FUSE_HAS_RESEND		  (1ULL << 39)
#define FUSE_ALLOW_IDMAP	  (1ULL << 40)
#define FUSE_OVER_IO_URING	  (1ULL << 41)
#define FUSE_REQUEST_TIMEOUT	  (1ULL << 42)
#define FUSE_HAS_IO_URING_BUFPOOL (1ULL << 43) /* dialect C, below */
#define FUSE_HAS_IO_URING_SHARED_MEMORY \
	(1ULL << 61)			       /* with A or C, below; not in mainline */
#define FUSE_HAS_IO_URING_BUFRING (1ULL << 62) /* dialect B, below; not in mainline */

#define FUSE_DIRECT_IO_RELAX	  FUSE_DIRECT_IO_ALLOW_MMAP /* its former name */

/* ---- Attributes: stat, statx, statfs, access ---- */

/* Sizes that kernels before 7.9 and 7.4 knew of fuse_attr_out and fuse_statfs_out. */
#define FUSE_COMPAT_ATTR_OUT_SIZE 96
#define FUSE_COMPAT_STATFS_SIZE	  48

/* fuse_attr.flags */
#define FUSE_ATTR_SUBMOUNT (1 << 0)
#define FUSE_ATTR_DAX	   (1 << 1)

struct fuse_attr {
	uint64_t ino;
	uint64_t size;
	uint64_t blocks; /* of 512 bytes */
	uint64_t atime;
	uint64_t mtime;
	uint64_t ctime;
	uint32_t atimensec;
	uint32_t mtimensec;
	uint32_t ctimensec;
	uint32_t mode;
	uint32_t nlink;
	uint32_t uid;
	uint32_t gid;
	uint32_t rdev;
	uint32_t blksize;
	uint32_t flags; /* FUSE_ATTR_*; 7.32 */
};

/* fuse_getattr_in.getattr_flags: fh is valid */
#define FUSE_GETATTR_FH (1 << 0)

struct fuse_getattr_in {
	uint32_t getattr_flags;
	uint32_t dummy;
	uint64_t fh;
};

struct fuse_attr_out {
	uint64_t attr_valid; /* how long the kernel may cache them: s, then ns */
	uint32_t attr_valid_nsec;
	uint32_t dummy;
	struct fuse_attr attr;
};

/* fuse_setattr_in.valid: which fields to set, or how */
#define FATTR_MODE	   (1 << 0)
#define FATTR_UID	   (1 << 1)
#define FATTR_GID	   (1 << 2)
#define FATTR_SIZE	   (1 << 3)
#define FATTR_ATIME	   (1 << 4)
#define FATTR_MTIME	   (1 << 5)
#define FATTR_FH	   (1 << 6)
#define FATTR_ATIME_NOW	   (1 << 7)
#define FATTR_MTIME_NOW	   (1 << 8)
#define FATTR_LOCKOWNER	   (1 << 9)
#define FATTR_CTIME	   (1 << 10)
#define FATTR_KILL_SUIDGID (1 << 11)

struct fuse_setattr_in {
	uint32_t valid;
	uint32_t padding;
	uint64_t fh;
	uint64_t size;
	uint64_t lock_owner;
	uint64_t atime;
	uint64_t mtime;
	uint64_t ctime;
	uint32_t atimensec;
	uint32_t mtimensec;
	uint32_t ctimensec;
	uint32_t mode;
	uint32_t unused4;
	uint32_t uid;
	uint32_t gid;
	uint32_t unused5;
};

/* fuse_statx and fuse_sx_time are laid out like struct statx of statx(2). */
struct fuse_sx_time {
	int64_t tv_sec;
	uint32_t tv_nsec;
	int32_t __reserved;
};

struct fuse_statx {
	uint32_t mask;
	uint32_t blksize;
	uint64_t attributes;
	uint32_t nlink;
	uint32_t uid;
	uint32_t gid;
	uint16_t mode;
	uint16_t __spare0[1];
	uint64_t ino;
	uint64_t size;
	uint64_t blocks;
	uint64_t attributes_mask;
	struct fuse_sx_time atime;
	struct fuse_sx_time btime;
	struct fuse_sx_time ctime;
	struct fuse_sx_time mtime;
	uint32_t rdev_major;
	uint32_t rdev_minor;
	uint32_t dev_major;
	uint32_t dev_minor;
	uint64_t __spare2[14];
};

struct fuse_statx_in {
	uint32_t getattr_flags;
	uint32_t reserved;
	uint64_t fh;
	uint32_t sx_flags;
	uint32_t sx_mask;
};

struct fuse_statx_out {
	uint64_t attr_valid;
	uint32_t attr_valid_nsec;
	uint32_t flags;
	uint64_t spare[2];
	struct fuse_statx stat;
};

struct fuse_kstatfs {
	uint64_t blocks;
	uint64_t bfree;
	uint64_t bavail;
	uint64_t files;
	uint64_t ffree;
	uint32_t bsize;
	uint32_t namelen;
	uint32_t frsize;
	uint32_t padding;
	uint32_t spare[6];
};

struct fuse_statfs_out {
	struct fuse_kstatfs st;
};

struct fuse_access_in {
	uint32_t mask;
	uint32_t padding;
};

/* ---- Names and nodes: look up, forget, make, link, rename ---- */

/* Sizes that kernels before 7.9 and 7.12 knew of fuse_entry_out and fuse_mknod_in. */
#define FUSE_COMPAT_ENTRY_OUT_SIZE 120
#define FUSE_COMPAT_MKNOD_IN_SIZE  8

/* Each one the kernel accepts adds 1 to the node's lookup count. */
struct fuse_entry_out {
	uint64_t nodeid;     /* 0: the name does not exist, and that may be cached */
	uint64_t generation; /* tells apart two lives of one nodeid */
	uint64_t entry_valid;
	uint64_t attr_valid;
	uint32_t entry_valid_nsec;
	uint32_t attr_valid_nsec;
	struct fuse_attr attr;
};

struct fuse_forget_in {
	uint64_t nlookup;
};

struct fuse_forget_one {
	uint64_t nodeid;
	uint64_t nlookup;
};

/* Followed by count fuse_forget_one. */
struct fuse_batch_forget_in {
	uint32_t count;
	uint32_t dummy;
};

struct fuse_mknod_in {
	uint32_t mode;
	uint32_t rdev;
	uint32_t umask;
	uint32_t padding;
};

struct fuse_mkdir_in {
	uint32_t mode;
	uint32_t umask;
};

struct fuse_rename_in {
	uint64_t newdir;
};

struct fuse_rename2_in {
	uint64_t newdir;
	uint32_t flags; /* RENAME_* of renameat2(2) */
	uint32_t padding;
};

struct fuse_link_in {
	uint64_t oldnodeid;
};

/* ---- Open files ---- */

/* fuse_open_in.open_flags and fuse_create_in.open_flags */
#define FUSE_OPEN_KILL_SUIDGID (1 << 0)

/* fuse_open_out.open_flags */
#define FOPEN_DIRECT_IO		     (1 << 0)
#define FOPEN_KEEP_CACHE	     (1 << 1)
#define FOPEN_NONSEEKABLE	     (1 << 2)
#define FOPEN_CACHE_DIR		     (1 << 3) /* 7.28 */
#define FOPEN_STREAM		     (1 << 4)
#define FOPEN_NOFLUSH		     (1 << 5) /* 7.35 */
#define FOPEN_PARALLEL_DIRECT_WRITES (1 << 6) /* 7.38 */
#define FOPEN_PASSTHROUGH	     (1 << 7) /* backing_id is valid; 7.40 */
#define FOPEN_IO_URING_ZERO_COPY     (1 << 8) /* dialect C, below; 7.46 */

struct fuse_open_in {
	uint32_t flags;	     /* O_* of open(2) */
	uint32_t open_flags; /* 7.33 */
};

struct fuse_create_in {
	uint32_t flags;
	uint32_t mode;
	uint32_t umask;
	uint32_t open_flags; /* 7.33 */
};

/* CREATE and TMPFILE answer with a fuse_entry_out and then this. */
struct fuse_open_out {
	uint64_t fh;
	uint32_t open_flags;
	int32_t backing_id; /* 7.40 */
};

/* fuse_release_in.release_flags */
#define FUSE_RELEASE_FLUSH	  (1 << 0)
#define FUSE_RELEASE_FLOCK_UNLOCK (1 << 1)

struct fuse_release_in {
	uint64_t fh;
	uint32_t flags;
	uint32_t release_flags;
	uint64_t lock_owner;
};

struct fuse_flush_in {
	uint64_t fh;
	uint32_t unused;
	uint32_t padding;
	uint64_t lock_owner;
};

/* fuse_fsync_in.fsync_flags: data only */
#define FUSE_FSYNC_FDATASYNC (1 << 0)

struct fuse_fsync_in {
	uint64_t fh;
	uint32_t fsync_flags;
	uint32_t padding;
};

struct fuse_syncfs_in {
	uint64_t padding;
};

/* fuse_read_in.read_flags: lock_owner is valid */
#define FUSE_READ_LOCKOWNER (1 << 1)

/* READ, READDIR and READDIRPLUS */
struct fuse_read_in {
	uint64_t fh;
	uint64_t offset;
	uint32_t size;
	uint32_t read_flags;
	uint64_t lock_owner;
	uint32_t flags;
	uint32_t padding;
};

/* Size that kernels before 7.9 knew of fuse_write_in. */
#define FUSE_COMPAT_WRITE_IN_SIZE 24

/* fuse_write_in.write_flags */
#define FUSE_WRITE_CACHE	(1 << 0) /* page-cache write-back; fh is any open one */
#define FUSE_WRITE_LOCKOWNER	(1 << 1) /* lock_owner is valid */
#define FUSE_WRITE_KILL_SUIDGID (1 << 2) /* 7.31 */
#define FUSE_WRITE_KILL_PRIV	FUSE_WRITE_KILL_SUIDGID /* its former name */

/* Followed by size bytes of data. */
struct fuse_write_in {
	uint64_t fh;
	uint64_t offset;
	uint32_t size;
	uint32_t write_flags;
	uint64_t lock_owner;
	uint32_t flags;
	uint32_t padding;
};

/* WRITE and COPY_FILE_RANGE */
struct fuse_write_out {
	uint32_t size;
	uint32_t padding;
};

/* The request's own nodeid is the source. */
struct fuse_copy_file_range_in {
	uint64_t fh_in;
	uint64_t off_in;
	uint64_t nodeid_out;
	uint64_t fh_out;
	uint64_t off_out;
	uint64_t len;
	uint64_t flags;
};

/* COPY_FILE_RANGE_64 */
struct fuse_copy_file_range_out {
	uint64_t bytes_copied;
};

struct fuse_fallocate_in {
	uint64_t fh;
	uint64_t offset;
	uint64_t length;
	uint32_t mode;
	uint32_t padding;
};

struct fuse_lseek_in {
	uint64_t fh;
	uint64_t offset;
	uint32_t whence;
	uint32_t padding;
};

struct fuse_lseek_out {
	uint64_t offset;
};

struct fuse_bmap_in {
	uint64_t block;
	uint32_t blocksize;
	uint32_t padding;
};

struct fuse_bmap_out {
	uint64_t block;
};

/* ---- Directory listings: a READDIR or READDIRPLUS reply is a run of these records ---- */

struct fuse_dirent {
	uint64_t ino;
	uint64_t off; /* of the entry after this one */
	uint32_t namelen;
	uint32_t type; /* DT_*: (mode & S_IFMT) >> 12 */
	char name[];   /* not terminated */
};

struct fuse_direntplus {
	struct fuse_entry_out entry_out;
	struct fuse_dirent dirent;
};

#define FUSE_NAME_OFFSET	    offsetof(struct fuse_dirent, name)
#define FUSE_NAME_OFFSET_DIRENTPLUS offsetof(struct fuse_direntplus, dirent.name)
#define FUSE_DIRENT_ALIGN(x)	    FUSE_REC_ALIGN(x)
#define FUSE_DIRENT_SIZE(d)	    FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + (d)->namelen)
#define FUSE_DIRENTPLUS_SIZE(d) \
	FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET_DIRENTPLUS + (d)->dirent.namelen)

/* ---- Extended attributes ---- */

/* What is sent unless FUSE_SETXATTR_EXT was settled: size and flags only. */
#define FUSE_COMPAT_SETXATTR_IN_SIZE 8

/* fuse_setxattr_in.setxattr_flags */
#define FUSE_SETXATTR_ACL_KILL_SGID (1 << 0)

struct fuse_setxattr_in {
	uint32_t size;
	uint32_t flags; /* XATTR_* of setxattr(2) */
	uint32_t setxattr_flags;
	uint32_t padding;
};

/* size 0 asks how large the value or list is: the answer is then a fuse_getxattr_out. */
struct fuse_getxattr_in {
	uint32_t size;
	uint32_t padding;
};

struct fuse_getxattr_out {
	uint32_t size;
	uint32_t padding;
};

/* ---- Locks ---- */

/* fuse_lk_in.lk_flags: this is flock(2), not a POSIX lock */
#define FUSE_LK_FLOCK (1 << 0)

struct fuse_file_lock {
	uint64_t start;
	uint64_t end; /* inclusive; the largest off_t for "to the end of the file" */
	uint32_t type;
	uint32_t pid;
};

struct fuse_lk_in {
	uint64_t fh;
	uint64_t owner;
	struct fuse_file_lock lk;
	uint32_t lk_flags;
	uint32_t padding;
};

struct fuse_lk_out {
	struct fuse_file_lock lk;
};

/* ---- Interrupt, ioctl, poll ---- */

struct fuse_interrupt_in {
	uint64_t unique; /* of the request to interrupt */
};

/* fuse_ioctl_in.flags, and FUSE_IOCTL_RETRY in fuse_ioctl_out.flags */
#define FUSE_IOCTL_COMPAT	(1 << 0)
#define FUSE_IOCTL_UNRESTRICTED (1 << 1)
#define FUSE_IOCTL_RETRY	(1 << 2)
#define FUSE_IOCTL_32BIT	(1 << 3)
#define FUSE_IOCTL_DIR		(1 << 4)
#define FUSE_IOCTL_COMPAT_X32	(1 << 5) /* 7.30 */

/* Most iovecs, in and out together, that a retry may ask for. */
#define FUSE_IOCTL_MAX_IOV 256

struct fuse_ioctl_in {
	uint64_t fh;
	uint32_t flags;
	uint32_t cmd;
	uint64_t arg;
	uint32_t in_size;
	uint32_t out_size;
};

struct fuse_ioctl_iovec {
	uint64_t base;
	uint64_t len;
};

/* A retry is followed by in_iovs and then out_iovs fuse_ioctl_iovec. */
struct fuse_ioctl_out {
	int32_t result;
	uint32_t flags;
	uint32_t in_iovs;
	uint32_t out_iovs;
};

/* fuse_poll_in.flags: the caller waits, so notify kh when an event comes */
#define FUSE_POLL_SCHEDULE_NOTIFY (1 << 0)

struct fuse_poll_in {
	uint64_t fh;
	uint64_t kh;
	uint32_t flags;
	uint32_t events;
};

struct fuse_poll_out {
	uint32_t revents;
	uint32_t padding;
};

/* ---- Notifications: messages that the server sends without being asked ---- */

enum fuse_notify_code {
	FUSE_NOTIFY_POLL = 1,
	FUSE_NOTIFY_INVAL_INODE = 2,
	FUSE_NOTIFY_INVAL_ENTRY = 3,
	FUSE_NOTIFY_STORE = 4,
	FUSE_NOTIFY_RETRIEVE = 5, /* answered by a FUSE_NOTIFY_REPLY request */
	FUSE_NOTIFY_DELETE = 6,
	FUSE_NOTIFY_RESEND = 7,	   /* no arguments; with FUSE_HAS_RESEND */
	FUSE_NOTIFY_INC_EPOCH = 8, /* no arguments; 7.44 */
	FUSE_NOTIFY_PRUNE = 9,	   /* 7.45 */
};

struct fuse_notify_poll_wakeup_out {
	uint64_t kh;
};

struct fuse_notify_inval_inode_out {
	uint64_t ino;
	int64_t off; /* negative: attributes only */
	int64_t len; /* 0 or less: to the end of the file */
};

/* fuse_notify_inval_entry_out.flags, with FUSE_HAS_EXPIRE_ONLY: time out, do not drop */
#define FUSE_EXPIRE_ONLY (1 << 0)

/* Followed by the terminated name; namelen does not count the terminator. */
struct fuse_notify_inval_entry_out {
	uint64_t parent;
	uint32_t namelen;
	uint32_t flags;
};

/* Followed by the terminated name; namelen does not count the terminator. */
struct fuse_notify_delete_out {
	uint64_t parent;
	uint64_t child;
	uint32_t namelen;
	uint32_t padding;
};

/* Followed by size bytes of data. */
struct fuse_notify_store_out {
	uint64_t nodeid;
	uint64_t offset;
	uint32_t size;
	uint32_t padding;
};

struct fuse_notify_retrieve_out {
	uint64_t notify_unique; /* the answer's fuse_in_header.unique */
	uint64_t nodeid;
	uint64_t offset;
	uint32_t size;
	uint32_t padding;
};

/* As long as a fuse_write_in, and followed by size bytes of data too. */
struct fuse_notify_retrieve_in {
	uint64_t dummy1;
	uint64_t offset;
	uint32_t size;
	uint32_t dummy2;
	uint64_t dummy3;
	uint64_t dummy4;
};

/* Followed by count nodeids of 64 bits. */
struct fuse_notify_prune_out {
	uint32_t count;
	uint32_t padding;
	uint64_t spare;
};

/* ---- ioctls on /dev/fuse ---- */

struct fuse_backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};

#define FUSE_DEV_IOC_MAGIC	   229
#define FUSE_DEV_IOC_CLONE	   _IOR(FUSE_DEV_IOC_MAGIC, 0, uint32_t)
#define FUSE_DEV_IOC_BACKING_OPEN  _IOW(FUSE_DEV_IOC_MAGIC, 1, struct fuse_backing_map)
#define FUSE_DEV_IOC_BACKING_CLOSE _IOW(FUSE_DEV_IOC_MAGIC, 2, uint32_t)
#define FUSE_DEV_IOC_SYNC_INIT	   _IO(FUSE_DEV_IOC_MAGIC, 3)

/* ---- DAX windows (virtiofs): here for completeness, this library answers ENOSYS ---- */

#define FUSE_SETUPMAPPING_FLAG_WRITE (1ull << 0)
#define FUSE_SETUPMAPPING_FLAG_READ  (1ull << 1)

struct fuse_setupmapping_in {
	uint64_t fh;
	uint64_t foffset; /* in the file */
	uint64_t len;
	uint64_t flags;
	uint64_t moffset; /* in the window */
};

/* Followed by count fuse_removemapping_one. */
struct fuse_removemapping_in {
	uint32_t count;
};

struct fuse_removemapping_one {
	uint64_t moffset;
	uint64_t len;
};

/* PAGE_SIZE is the kernel's; a user of this macro brings its own. */
#define FUSE_REMOVEMAPPING_MAX_ENTRY (PAGE_SIZE / sizeof(struct fuse_removemapping_one))

/* ---- CUSE: character devices ---- */

/* CUSE_INIT flags, both ways */
#define CUSE_UNRESTRICTED_IOCTL (1 << 0)

/* Most bytes of "KEY=value" strings that may follow a cuse_init_out. */
#define CUSE_INIT_INFO_MAX 4096

struct cuse_init_in {
	uint32_t major;
	uint32_t minor;
	uint32_t unused;
	uint32_t flags;
};

struct cuse_init_out {
	uint32_t major;
	uint32_t minor;
	uint32_t unused;
	uint32_t flags;
	uint32_t max_read;
	uint32_t max_write;
	uint32_t dev_major;
	uint32_t dev_minor;
	uint32_t spare[10];
};

/*
 * ---- io_uring: the same messages in registered entries ----
 *
 * Three dialects share the header slot and the commands' first fields:
 *   A  one payload buffer per entry   FUSE_OVER_IO_URING, 7.42
 *   B  buffer ring                    FUSE_HAS_IO_URING_BUFRING, patched 7.2 kernels
 *   C  buffer pool                    FUSE_HAS_IO_URING_BUFPOOL, 7.46
 * They differ in what follows qid in the command, and in one word of fuse_uring_ent_in_out.
 * A kernel ignores the fields and flags of a dialect it does not have: send them only to
 * one that announced it.
 *
 * With FUSE_HAS_IO_URING_SHARED_MEMORY a READ's or WRITE's data may lie in memory that the server
 * has registered.
 */

#define FUSE_URING_IN_OUT_HEADER_SZ 128
#define FUSE_URING_OP_IN_OUT_SZ	    128

/* fuse_uring_ent_in_out.flags, B and C: the payload is the caller's own pages */
#define FUSE_URING_ENT_ZERO_COPY (1 << 0)
/* ...or lies in shared memory, where `memory` says */
#define FUSE_URING_ENT_SHARED_MEMORY (1ULL << 48)

/* fuse_uring_ent_in_out.memory */
#define FUSE_URING_MEMORY_ID(memory)	 ((memory) >> 48)
#define FUSE_URING_MEMORY_OFFSET(memory) ((memory) & ((1ULL << 48) - 1))

struct fuse_uring_ent_in_out {
	uint64_t flags;
	uint64_t commit_id; /* to be handed back in the command's commit_id */
	uint32_t payload_sz;
	union {
		uint32_t offset; /* C: of the payload in the pool, bytes */
		struct {
			uint16_t buf_id; /* B: the payload is at buf_id * buf_size */
			uint16_t buf_id_padding;
		};
	};
	union {
		uint64_t reserved;
		uint64_t memory; /* with FUSE_URING_ENT_SHARED_MEMORY */
	};
};

/*
 * One entry's header slot. in_out holds a fuse_in_header, and takes the fuse_out_header
 * of the reply; op_in holds the request's first argument.
 */
struct fuse_uring_req_header {
	char in_out[FUSE_URING_IN_OUT_HEADER_SZ];
	char op_in[FUSE_URING_OP_IN_OUT_SZ];
	struct fuse_uring_ent_in_out ring_ent_in_out;
};

/* sqe->cmd_op of an IORING_OP_URING_CMD on the fuse device */
enum fuse_uring_cmd {
	FUSE_IO_URING_CMD_INVALID = 0,
	FUSE_IO_URING_CMD_REGISTER = 1,		/* offer an entry, wait for a request */
	FUSE_IO_URING_CMD_COMMIT_AND_FETCH = 2, /* reply, wait for the next one */
	FUSE_IO_URING_CMD_ADD_QUEUE = 3,	/* C */
	FUSE_IO_URING_CMD_ADD_BUFPOOL = 4,	/* C */
	FUSE_IO_URING_CMD_ADD_MEMORY = 0x1000,	/* completes with the memory's id */
	FUSE_IO_URING_CMD_REMOVE_MEMORY = 0x1001,
};

/* fuse_uring_cmd_req.flags of ADD_MEMORY: what the server may do with it */
#define FUSE_URING_MEMORY_READ	(1ULL << 0)
#define FUSE_URING_MEMORY_WRITE (1ULL << 1)

/* fuse_uring_cmd_req.flags at ADD_QUEUE, C */
#define FUSE_URING_ZERO_COPY (1 << 0)

/* The sqe's command area in A (up to padding) and C. */
struct fuse_uring_cmd_req {
	uint64_t flags;
	uint64_t commit_id;
	uint16_t qid;
	uint8_t padding[6];
	union {
		struct {
			uint64_t uaddr;
			uint32_t len;
			uint32_t reserved;
		} bufpool; /* C, at ADD_BUFPOOL */

		/* C, at REGISTER in a zero-copy queue: slot of the ring's buffer table
		 * that the kernel puts the caller's pages in */
		uint16_t ent_zero_copy_buf_index;

		struct {
			uint32_t id; /* at REMOVE_MEMORY */
			int32_t fd;  /* at ADD_MEMORY */
		} memory;
	};
};

/* fuse_uring_bufring_cmd_req.flags at REGISTER, B */
#define FUSE_URING_BUFRING	     (1 << 0)
#define FUSE_URING_PINNED_HEADERS    (1 << 1)
#define FUSE_URING_PINNED_BUFFERS    (1 << 2)
#define FUSE_URING_BUFRING_ZERO_COPY (1 << 3)

/* The sqe's command area in B. */
struct fuse_uring_bufring_cmd_req {
	uint64_t flags;
	uint64_t commit_id;
	uint16_t qid;
	uint16_t padding;
	struct {
		uint32_t buf_size;
		uint16_t max_queue_depth;
		uint16_t padding;
	} init; /* at REGISTER, the same in every one of a queue */
};

_Static_assert(sizeof(struct fuse_uring_ent_in_out) == 32 &&
		       offsetof(struct fuse_uring_ent_in_out, buf_id) == 20,
	       "ring entry header");
_Static_assert(sizeof(struct fuse_uring_req_header) == 288, "ring header slot");
_Static_assert(offsetof(struct fuse_uring_cmd_req, bufpool) == 24, "bufpool command");
_Static_assert(offsetof(struct fuse_uring_bufring_cmd_req, init) == 20 &&
		       sizeof(struct fuse_uring_bufring_cmd_req) <= 80,
	       "bufring command");

#endif
