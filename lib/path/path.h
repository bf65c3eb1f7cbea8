/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The path-based interface, as the files of this folder see it. It is a filesystem on the
 * low-level interface and knows nothing else of the library, except how to mount.
 *
 * A handler begins an operation (op.c), which finds and claims its paths; calls the stack of
 * filesystems (stack.c); notes in the tree of nodes what has changed; ends the operation,
 * and only then replies, so that whoever gets the reply finds the claims dropped.
 */
#ifndef FUSE_PATH_PATH_H
#define FUSE_PATH_PATH_H

#include "fuse.h"
#include "fuse_lowlevel.h"
#include "path/tree.h"
#include "support/scratch.h"

/* What stat(2) and readdir(3) show where no inode number is known. */
#define FUSE_UNKNOWN_INO 0xffffffff

/* Locks are found by the number of their node. */
#define FUSE_LOCK_CHAINS 64

struct fuse_held_lock;

struct fuse_lock_table {
	pthread_mutex_t lock;
	struct fuse_held_lock *chain[FUSE_LOCK_CHAINS];
};

struct fuse_interrupted;

/* Who is to be sent signals (interrupt.c). */
struct fuse_interrupts {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct fuse_interrupted *list;
	pthread_t thread; /* if running */
	bool running;
	bool stopping;
	bool installed; /* our handler for the signal */
	int signal;
};

/* The thread that forgets what need not be remembered any longer (cleanup.c). */
struct fuse_cleanup {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t thread;
	bool wanted; /* as soon as it is known that there is something to do */
	bool running;
	bool stopping;
};

struct fuse {
	struct fuse_session *se;
	struct fuse_fs *fs; /* the top of the stack; NULL when destroyed */
	struct fuse_config conf;
	bool started; /* init() was called: conf is settled, and the tree has a root */
	bool has_read_buf; /* the program's own filesystem, at the bottom */

	struct fuse_tree tree;
	struct fuse_lock_table locks;
	struct fuse_scratches scratches; /* for what is read */
	struct fuse_interrupts interrupts;
	struct fuse_cleanup cleanup;
	_Atomic unsigned hidden_count; /* of names ever made up */

	void **modules; /* handles of dlopen() */
	size_t module_count;
};

/* An operation whose caller was interrupted, in the list of those. */
struct fuse_interrupted {
	struct fuse_interrupts *interrupts;
	struct fuse_interrupted *next, **link; /* link is NULL: not in the list */
	pthread_t thread;
};

/* A handler's work on a request. */
struct fuse_op {
	struct fuse *f;
	fuse_req_t req;
	struct fuse_claims claims;
	struct fuse_interrupted interrupted;
};

/* ---- op.c ---- */

/* Makes the request that of fuse_get_context(); nothing is claimed. Also for no request. */
void fuse_context_enter(struct fuse *f, fuse_req_t req);

/*
 * Each begins an operation: with the path of a node, of an entry in a directory, or of a
 * node that is open, which may do without (op->claims.place[0].path is NULL then). Returns 0 or a
 * negative errno; then there is nothing to end.
 */
int fuse_op_begin(struct fuse_op *op, fuse_req_t req, fuse_ino_t ino);
int fuse_op_begin_entry(struct fuse_op *op, fuse_req_t req, fuse_ino_t parent,
			const char *name);
int fuse_op_begin_open(struct fuse_op *op, fuse_req_t req, fuse_ino_t ino,
		       const struct fuse_file_info *fi);
/* An open node that is about to be closed, or unlocked: it need not have a path. Never fails. */
void fuse_op_begin_closing(struct fuse_op *op, fuse_req_t req, fuse_ino_t ino);
/* The same where the kernel was not told that it is open: the request is gone. */
void fuse_op_begin_taking_back(struct fuse_op *op, struct fuse *f, fuse_ino_t ino);
/* With the places filled in by the caller. */
int fuse_op_begin_places(struct fuse_op *op, fuse_req_t req, int count);
/* Claims nothing any more: others need not wait until it ends. */
void fuse_op_let_go(struct fuse_op *op);
void fuse_op_end(struct fuse_op *op);

static inline const char *fuse_op_path(const struct fuse_op *op)
{
	return op->claims.count ? op->claims.place[0].path : NULL;
}

/* fuse_op_end(), and the reply that says 0 or -error. */
void fuse_op_end_with(struct fuse_op *op, int error);

static inline struct fuse *fuse_of(fuse_req_t req)
{
	return (struct fuse *)fuse_req_userdata(req);
}

/* ---- meta.c ---- */

/*
 * Attributes as callers see them: numbers, and what the options say about them. Not with the
 * tree's lock held.
 */
void fuse_adapt_attr(struct fuse *f, fuse_ino_t ino, struct stat *attr);
/*
 * The kernel is about to be told what a name stands for. attr is what the filesystem said.
 * Fills in *e; the lookup count goes up. Returns 0 or a negative errno.
 */
int fuse_enter(struct fuse *f, fuse_ino_t parent, const char *name,
	       const struct stat *attr, struct fuse_entry_param *e);
/* The kernel was not told after all, or has forgotten. */
void fuse_forget(struct fuse *f, fuse_ino_t ino, uint64_t count);
/* fuse_op_end(), and the reply with an entry, or an error. */
void fuse_op_end_with_entry(struct fuse_op *op, int error, struct fuse_entry_param *e);
/* Ask the filesystem about the operation's path, which is this name's. */
int fuse_look_up(struct fuse_op *op, fuse_ino_t parent, const char *name,
		 struct fuse_entry_param *e, struct fuse_file_info *fi);

/* What auto_cache goes by. The file's attributes were just seen. */
void fuse_note_attr(struct fuse *f, fuse_ino_t ino, const struct stat *attr);

void fuse_path_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void fuse_path_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup);
void fuse_path_forget_multi(fuse_req_t req, size_t count,
			    struct fuse_forget_data *forgets);
void fuse_path_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fuse_path_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		       struct fuse_file_info *fi);
void fuse_path_statx(fuse_req_t req, fuse_ino_t ino, int flags, int mask,
		     struct fuse_file_info *fi);
void fuse_path_access(fuse_req_t req, fuse_ino_t ino, int mask);
void fuse_path_readlink(fuse_req_t req, fuse_ino_t ino);
void fuse_path_statfs(fuse_req_t req, fuse_ino_t ino);
void fuse_path_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
			const char *value, size_t size, int flags);
void fuse_path_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void fuse_path_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void fuse_path_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);
void fuse_path_bmap(fuse_req_t req, fuse_ino_t ino, size_t blocksize, uint64_t idx);

/* ---- names.c: what makes, moves and removes names ---- */

void fuse_path_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		     dev_t rdev);
void fuse_path_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void fuse_path_symlink(fuse_req_t req, const char *target, fuse_ino_t parent,
		       const char *name);
void fuse_path_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void fuse_path_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void fuse_path_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
		      fuse_ino_t newparent, const char *newname, unsigned int flags);
void fuse_path_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent,
		    const char *newname);

/* ---- hidden.c ---- */

/* Whether removing what is at an exclusively claimed place means hiding it. */
bool fuse_is_to_be_hidden(struct fuse *f, const struct fuse_place *place);
/*
 * Gives it a hidden name. Returns 0 and the hidden path, to be freed with free(); or a
 * negative errno, -ENOSYS where files cannot be renamed. Either of the next two follows.
 */
int fuse_hide(struct fuse *f, struct fuse_place *place, char **hidden_path);
/* It stays so: removes it if it has been closed meanwhile. */
void fuse_hidden_for_good(struct fuse *f, struct fuse_place *place,
			  const char *hidden_path);
/* Takes that back; what was hidden before, as fuse_is_hidden() has told, stays so. */
void fuse_unhide(struct fuse *f, struct fuse_place *place, const char *hidden_path,
		 bool was_hidden);
/* Whether what is at an exclusively claimed place was removed and is only still open. */
bool fuse_is_hidden(struct fuse *f, const struct fuse_place *place);
/* The last one has closed a hidden file: removes it, unless it is no such any more. */
void fuse_remove_hidden(struct fuse *f, fuse_ino_t ino);
/* The session ends. */
void fuse_remove_all_hidden(struct fuse *f);

/* ---- file.c ---- */

/* A file was opened; undone by closing it. */
void fuse_opened(struct fuse *f, fuse_ino_t ino);

void fuse_path_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fuse_path_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		      struct fuse_file_info *fi);
void fuse_path_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fuse_path_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fuse_path_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
		     struct fuse_file_info *fi);

/* ---- data.c ---- */

void fuse_path_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi);
void fuse_path_write_buf(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *buf,
			 off_t off, struct fuse_file_info *fi);
void fuse_path_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset,
			 off_t length, struct fuse_file_info *fi);
void fuse_path_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			       struct fuse_file_info *fi_in, fuse_ino_t ino_out,
			       off_t off_out, struct fuse_file_info *fi_out, size_t len,
			       int flags);
void fuse_path_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
		     struct fuse_file_info *fi);
void fuse_path_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
		     struct fuse_file_info *fi, unsigned flags, const void *in_buf,
		     size_t in_size, size_t out_size);
void fuse_path_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		    struct fuse_pollhandle *ph);

/* ---- locks.c ---- */

void fuse_locks_init(struct fuse_lock_table *table);
void fuse_locks_destroy(struct fuse_lock_table *table);
/* What F_SETLK has done, by an owner. */
void fuse_locks_set(struct fuse_lock_table *table, fuse_ino_t ino, uint64_t owner,
		    const struct flock *lock);
/* One that is in the way of another, which it then replaces. */
bool fuse_locks_find(struct fuse_lock_table *table, fuse_ino_t ino, uint64_t owner,
		     struct flock *lock);
/* A descriptor was closed: the owner's locks are gone. As flush() of the filesystem goes. */
int fuse_flush_locks(struct fuse_op *op, fuse_ino_t ino, struct fuse_file_info *fi,
		     int flushed);

void fuse_path_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		     struct flock *lock);
void fuse_path_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		     struct flock *lock, int sleep);
void fuse_path_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op);

/* ---- dir.c ---- */

/* The filesystem's own fuse_file_info of an open directory. */
struct fuse_file_info fuse_dir_file(const struct fuse_file_info *fi);

void fuse_path_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fuse_path_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		       struct fuse_file_info *fi);
void fuse_path_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
			   struct fuse_file_info *fi);
void fuse_path_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void fuse_path_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync,
			struct fuse_file_info *fi);

/* ---- interrupt.c ---- */

/* As conf.intr and conf.intr_signal have it. Returns 0, or -1 after a message. */
int fuse_interrupts_start(struct fuse *f);
void fuse_interrupts_stop(struct fuse *f);
/* Between these two the operation's thread is sent signals if its caller is interrupted. */
void fuse_interrupts_watch(struct fuse_op *op);
void fuse_interrupts_unwatch(struct fuse_op *op);

/* ---- cleanup.c ---- */

void fuse_cleanup_init(struct fuse_cleanup *cleanup);
void fuse_cleanup_destroy(struct fuse_cleanup *cleanup);
/* conf is settled: start the thread if it was wanted before. */
void fuse_cleanup_may_start(struct fuse *f);

/* ---- stack.c ---- */

/* The bottom of a stack, whose destroy() comes only if init() has been called. */
struct fuse_fs *fuse_stack_new(const struct fuse_operations *op, size_t op_size,
			       void *private_data, bool debug);
/* Whether reads come as a buffer vector, and need no memory beforehand. */
/* Whether all that is read and written is in memory. */
bool fuse_stack_is_in_memory(const struct fuse_fs *fs);
bool fuse_stack_has_read_buf(const struct fuse_fs *fs);
bool fuse_stack_has_create(const struct fuse_fs *fs);
/* Memory for so much data, to be freed with free(). */
void *fuse_alloc_data(size_t size);
void fuse_free_bufvec(struct fuse_bufvec *buf);

/* ---- modules.c ---- */

/* Puts the modules that the option names above f->fs. Returns 0, or -1 after a message. */
int fuse_modules_push(struct fuse *f, struct fuse_args *args);
/* Lets the built-in modules, and those that a colon-separated list names, print their help. */
void fuse_modules_help(const char *list);
void fuse_modules_unload(struct fuse *f);

/* ---- options.c ---- */

/* Takes the options out of args. Returns 0, or -1 after a message. */
int fuse_config_parse(struct fuse_config *conf, struct fuse_args *args);
void fuse_config_free(struct fuse_config *conf);

/* ---- fs.c, main.c: what compat.c makes entry points of ---- */

struct fuse *fuse_make(struct fuse_args *args, const struct fuse_operations *op,
		       size_t op_size, struct libfuse_version *version, void *user_data);
int fuse_run_threads(struct fuse *f, struct fuse_loop_config *config);

#endif
