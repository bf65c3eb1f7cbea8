// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Operations from their beginning to their end, and what the filesystem's code can ask about
 * the one that it carries out.
 */
#include <errno.h>
#include <string.h>

#include "path/path.h"

static __thread struct {
	struct fuse_context public;
	fuse_req_t req; /* NULL outside of operations */
} current;

struct fuse_context *fuse_get_context(void)
{
	return &current.public;
}

int fuse_getgroups(int size, gid_t list[])
{
	return current.req ? fuse_req_getgroups(current.req, size, list) : -EINVAL;
}

int fuse_interrupted(void)
{
	return current.req ? fuse_req_interrupted(current.req) : 0;
}

void fuse_context_enter(struct fuse *f, fuse_req_t req)
{
	const struct fuse_ctx *ctx = req ? fuse_req_ctx(req) : NULL;

	current.req = req;
	current.public = (struct fuse_context){ .fuse = f };
	if (!ctx)
		return;
	current.public.uid = ctx->uid;
	current.public.gid = ctx->gid;
	current.public.pid = ctx->pid;
	current.public.umask = ctx->umask;
}

static void set_up(struct fuse_op *op, struct fuse *f, fuse_req_t req)
{
	op->f = f;
	op->req = req;
	op->claims.count = 0;
	op->claims.urgent = false;
	op->claims.nameless_ok = false;
	op->interrupted.link = NULL;
}

static void set_place(struct fuse_op *op, fuse_ino_t ino, const char *name)
{
	op->claims.place[0].ino = ino;
	op->claims.place[0].name = name;
	op->claims.place[0].exclusive = false;
	op->claims.place[0].path = NULL;
	op->claims.count = 1;
}

/* Waiting for claims is none of the filesystem's business: it is watched afterwards. */
static int start(struct fuse_op *op)
{
	int error = 0;

	if (op->claims.count)
		error = fuse_tree_claim(&op->f->tree, &op->claims);
	if (error)
		return error;
	fuse_context_enter(op->f, op->req);
	if (op->f->conf.intr && op->req)
		fuse_interrupts_watch(op);
	return 0;
}

int fuse_op_begin(struct fuse_op *op, fuse_req_t req, fuse_ino_t ino)
{
	set_up(op, fuse_of(req), req);
	set_place(op, ino, NULL);
	return start(op);
}

int fuse_op_begin_entry(struct fuse_op *op, fuse_req_t req, fuse_ino_t parent,
			const char *name)
{
	set_up(op, fuse_of(req), req);
	set_place(op, parent, name);
	return start(op);
}

int fuse_op_begin_open(struct fuse_op *op, fuse_req_t req, fuse_ino_t ino,
		       const struct fuse_file_info *fi)
{
	set_up(op, fuse_of(req), req);
	if (!fi || !op->f->conf.nullpath_ok)
		set_place(op, ino, NULL);
	return start(op);
}

/* It has to be closed whatever happens: if need be, without claims. */
static void start_closing(struct fuse_op *op, fuse_ino_t ino)
{
	if (!op->f->conf.nullpath_ok)
		set_place(op, ino, NULL);
	op->claims.urgent = true;
	op->claims.nameless_ok = true;
	if (start(op) == 0)
		return;
	op->claims.count = 0;
	start(op);
}

void fuse_op_begin_closing(struct fuse_op *op, fuse_req_t req, fuse_ino_t ino)
{
	set_up(op, fuse_of(req), req);
	start_closing(op, ino);
}

void fuse_op_begin_taking_back(struct fuse_op *op, struct fuse *f, fuse_ino_t ino)
{
	set_up(op, f, NULL);
	start_closing(op, ino);
}

int fuse_op_begin_places(struct fuse_op *op, fuse_req_t req, int count)
{
	set_up(op, fuse_of(req), req);
	for (int i = 0; i < count; i++)
		op->claims.place[i].path = NULL;
	op->claims.count = count;
	return start(op);
}

void fuse_op_let_go(struct fuse_op *op)
{
	if (op->claims.count)
		fuse_tree_let_go(&op->f->tree, &op->claims);
}

void fuse_op_end(struct fuse_op *op)
{
	if (op->f->conf.intr && op->req)
		fuse_interrupts_unwatch(op);
	if (op->claims.count)
		fuse_tree_drop(&op->f->tree, &op->claims);
	op->claims.count = 0;
	current.req = NULL;
}

void fuse_op_end_with(struct fuse_op *op, int error)
{
	fuse_op_end(op);
	fuse_reply_err(op->req, -error);
}
