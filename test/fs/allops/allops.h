/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * allops: a filesystem in memory that has every operation there is, counts their calls, and
 * sends notifications when it is told to. Files in its root that no listing shows:
 *
 *   .calls      read: how often each operation was called
 *   .nodes      read: each inode's number, lookup count, links and opens
 *   .control    write: a command, see control.c; its error is the write's
 *   .retrieved  read: what the last retrieve_reply() brought
 *
 * What is done to these is not counted.
 *
 * One lock guards all there is. It is not held while a reply or a notification is sent, nor
 * while a handler waits for somebody's file lock.
 */
#ifndef ALLOPS_H
#define ALLOPS_H

#include <stdbool.h>

#include "../locks.h"

/* In the order of struct fuse_lowlevel_ops. */
/* clang-format off */
#define OPERATIONS(X)                                                           \
	X(init) X(destroy) X(lookup) X(forget) X(getattr) X(setattr) X(readlink)\
	X(mknod) X(mkdir) X(unlink) X(rmdir) X(symlink) X(rename) X(link)       \
	X(open) X(read) X(write) X(flush) X(release) X(fsync) X(opendir)        \
	X(readdir) X(releasedir) X(fsyncdir) X(statfs) X(setxattr) X(getxattr)  \
	X(listxattr) X(removexattr) X(access) X(create) X(getlk) X(setlk)       \
	X(bmap) X(ioctl) X(poll) X(write_buf) X(retrieve_reply) X(forget_multi) \
	X(flock) X(fallocate) X(readdirplus) X(copy_file_range) X(lseek)        \
	X(tmpfile) X(statx)
/* clang-format on */

enum operation {
#define NUMBER(name) OP_##name,
	OPERATIONS(NUMBER)
#undef NUMBER
	OP_COUNT
};

/* The files that are not nodes. */
enum special {
	CONTROL = FUSE_ROOT_ID + 1,
	CALLS,
	NODES,
	RETRIEVED,
	FIRST_FREE_INO,
};

struct name {
	struct name *next;
	off_t cookie; /* names are in the order of these */
	struct node *node;
	char text[];
};

struct xattr {
	struct xattr *next;
	char *name;
	size_t size;
	char value[];
};

struct node {
	struct stat attr;
	struct timespec btime;
	uint64_t lookups; /* replies that named it, less what was forgotten */
	unsigned opens;

	char *data; /* a file's or link's contents; attr.st_size bytes of `room` */
	size_t room;

	struct node *parent; /* a directory's */
	struct name *names;
	off_t next_cookie;

	struct xattr *xattrs;
	struct lock_table posix_locks, bsd_locks;

	struct fuse_pollhandle *pollhandle; /* who waits, or NULL */
	unsigned events;		    /* that are there */
};

struct options {
	double timeout;
	char *reply;   /* how data is answered: "buf", "iov" or "data" */
	char *without; /* operations to leave out, with ':' in between */
	char *report;  /* a file to write .calls and .nodes to, in the end */
};

extern struct options options;
extern pthread_mutex_t lock; /* for everything in this folder */
extern struct fuse_session *session;

/* count.c */

/* What is done to a special file does not count. */
void called(enum operation operation, fuse_ino_t ino);
/* Something that should never happen, to be seen in .calls. */
void mishap(const char *what);
/* Both return text to be freed, or NULL. */
char *calls_text(void);
char *nodes_text(void);
/* Sets operations to NULL. False if there is a name that is none. */
bool leave_out(struct fuse_lowlevel_ops *ops, const char *list);

/* node.c: with the lock held, but for operations */

struct node *node_find(fuse_ino_t ino); /* NULL if there is none, or it is special */
/* With no lookups, links or opens. NULL without memory. */
struct node *node_new(mode_t mode, const struct fuse_ctx *ctx);
/* To be called when a count went down. */
void node_settle(struct node *node);
void node_lose_lookups(struct node *node, uint64_t count);
void node_for_each(void (*visit)(const struct node *node, void *data), void *data);
unsigned node_count(void);
bool node_make(void); /* the root */
void node_free_all(void);
void touch_contents(struct node *node);	 /* mtime and ctime */
void touch_node(struct node *node);	 /* ctime */
void drop_privileges(struct node *node); /* set-user-ID and set-group-ID */
struct stat special_attr(fuse_ino_t ino);
/* What lookup() and the like answer; counts the lookup. */
struct fuse_entry_param entry_for(struct node *node);
/* Takes entry_for()'s lookup back, if the reply did not arrive. Without the lock. */
void reply_entry(fuse_req_t req, const struct fuse_entry_param *e);
void unreplied_entry(fuse_ino_t ino);

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup);
void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		struct fuse_file_info *fi);
void op_statx(fuse_req_t req, fuse_ino_t ino, int flags, int mask,
	      struct fuse_file_info *fi);
void op_access(fuse_req_t req, fuse_ino_t ino, int mask);
void op_statfs(fuse_req_t req, fuse_ino_t ino);

/* directory.c */

struct name *name_find(struct node *dir, const char *text);
/* 0 or an errno. */
int name_add(struct node *dir, const char *text, struct node *node);
void name_remove(struct node *dir, struct name *name);
/* The directory and the last name of a path from the root; 0 or an errno. */
int path_walk(const char *path, struct node **dir, const char **last);

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	      dev_t rdev);
void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void op_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name);
void op_readlink(fuse_req_t req, fuse_ino_t ino);
void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname);
void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
	       const char *newname, unsigned int flags);
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	       struct fuse_file_info *fi);
void op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode,
		struct fuse_file_info *fi);
void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi);
void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);

/* file.c */

/* Changes a size; what is new is zero. 0 or an errno. With the lock held. */
int resize(struct node *node, off_t size);
void open_file(struct node *node, struct fuse_file_info *fi); /* with the lock held */
/* Answers with data the way that options.reply says. */
int reply_in_style(fuse_req_t req, const char *data, size_t size);

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
	     struct fuse_file_info *fi);
void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
	      struct fuse_file_info *fi);
void op_write_buf(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *bufv, off_t off,
		  struct fuse_file_info *fi);
void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
		  struct fuse_file_info *fi);
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
	      struct fuse_file_info *fi);
void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
			struct fuse_file_info *fi_out, size_t len, int flags);
void op_bmap(fuse_req_t req, fuse_ino_t ino, size_t blocksize, uint64_t idx);

/* extra.c */

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
		 size_t size, int flags);
void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);
void op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
	      struct flock *wanted);
void op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
	      struct flock *wanted, int sleep);
void op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op);
void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
	      struct fuse_file_info *fi, unsigned flags, const void *in_buf,
	      size_t in_bufsz, size_t out_bufsz);
void op_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
	     struct fuse_pollhandle *ph);

/* control.c */

static inline bool is_special(fuse_ino_t ino)
{
	return ino > FUSE_ROOT_ID && ino < FIRST_FREE_INO;
}

fuse_ino_t special_find(const char *name); /* 0: it is the name of none */
void special_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void special_read(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi);
void special_release(struct fuse_file_info *fi);
/* Answers req when the command was carried out, or has failed. */
void control_write(fuse_req_t req, const char *text, size_t size);
bool control_start(void);
void control_stop(void);

void op_retrieve_reply(fuse_req_t req, void *cookie, fuse_ino_t ino, off_t offset,
		       struct fuse_bufvec *bufv);

#endif
