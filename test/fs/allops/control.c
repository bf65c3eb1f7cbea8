// SPDX-License-Identifier: GPL-2.0-only
/*
 * The files that are not nodes. Commands for .control, one per write:
 *
 *   inval_inode FILE OFFSET LENGTH     notifications. FILE is a path from the root, or
 *   store FILE OFFSET TEXT             '#' and an inode number
 *   store_fd FILE OFFSET TEXT          (the text comes out of a file)
 *   retrieve FILE OFFSET LENGTH
 *   poll FILE EVENTS                   sets what poll() says, and tells those who wait
 *   inval_entry PATH
 *   expire_entry PATH
 *   delete PATH                        removes the file, too
 *   increment_epoch -
 *
 *   poke FILE OFFSET TEXT              changes that the kernel is not told of
 *   resize FILE SIZE
 *   events FILE EVENTS
 *   create PATH TEXT
 *   remove PATH
 *   swap PATH PATH
 *
 * A thread carries them out and answers the write then: a notification waits for operations
 * in the kernel that a handler's thread may have to answer first.
 */
#include "allops.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *const names[FIRST_FREE_INO] = {
	[CONTROL] = ".control",
	[CALLS] = ".calls",
	[NODES] = ".nodes",
	[RETRIEVED] = ".retrieved",
};

struct text {
	struct text *next;
	size_t size;
	char data[];
};

/* What special files showed when they were opened, as long as they are. */
static struct text *shown;
static struct text *retrieved;
static char cookie; /* its address is one */

/* ---- The files ---- */

fuse_ino_t special_find(const char *name)
{
	for (fuse_ino_t ino = CONTROL; ino < FIRST_FREE_INO; ino++)
		if (strcmp(names[ino], name) == 0)
			return ino;
	return 0;
}

static struct text *copy_text(const char *data, size_t size)
{
	struct text *text = malloc(sizeof(*text) + size);

	if (text) {
		text->size = size;
		if (size)
			memcpy(text->data, data, size);
	}
	return text;
}

static struct text *copy_string(char *string)
{
	struct text *text = string ? copy_text(string, strlen(string)) : NULL;

	free(string);
	return text;
}

static struct text *copy_retrieved(void)
{
	struct text *text;

	pthread_mutex_lock(&lock);
	text = retrieved ? copy_text(retrieved->data, retrieved->size) : copy_text("", 0);
	pthread_mutex_unlock(&lock);
	return text;
}

static struct text *text_of(fuse_ino_t ino)
{
	switch (ino) {
	case CALLS:
		return copy_string(calls_text());
	case NODES:
		return copy_string(nodes_text());
	case RETRIEVED:
		return copy_retrieved();
	default:
		return copy_text("", 0);
	}
}

void special_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct text *text = text_of(ino);

	fi->fh = (uintptr_t)text;
	fi->direct_io = 1;
	fi->parallel_direct_writes = 1;
	if (!text) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	pthread_mutex_lock(&lock);
	text->next = shown;
	shown = text;
	pthread_mutex_unlock(&lock);
	if (fuse_reply_open(req, fi) != 0)
		special_release(fi);
}

/* Out of a copy: once the reply has arrived, the file may be closed before this returns. */
void special_read(fuse_req_t req, size_t size, off_t off, struct fuse_file_info *fi)
{
	const struct text *text = (void *)(uintptr_t)fi->fh;
	size_t start = (size_t)off < text->size ? (size_t)off : text->size;
	size_t left = text->size - start;
	struct text *part = copy_text(text->data + start, size < left ? size : left);

	if (part)
		fuse_reply_buf(req, part->data, part->size);
	else
		fuse_reply_err(req, ENOMEM);
	free(part);
}

void special_release(struct fuse_file_info *fi)
{
	struct text *text = (void *)(uintptr_t)fi->fh, **link = &shown;

	pthread_mutex_lock(&lock);
	while (*link != text)
		link = &(*link)->next;
	*link = text->next;
	pthread_mutex_unlock(&lock);
	free(text);
}

/* ---- Finding what a command means ---- */

static int find_target(const char *path, fuse_ino_t *ino)
{
	struct name *name = NULL;
	struct node *dir;
	const char *last;
	int res;

	*ino = FUSE_ROOT_ID;
	if (path[0] == '#') {
		*ino = strtoull(path + 1, NULL, 10);
		return 0;
	}
	if (strcmp(path, ".") == 0)
		return 0;
	pthread_mutex_lock(&lock);
	res = path_walk(path, &dir, &last);
	if (!res)
		name = name_find(dir, last);
	if (name)
		*ino = name->node->attr.st_ino;
	else if (!res)
		res = ENOENT;
	pthread_mutex_unlock(&lock);
	return res;
}

static int find_entry(const char *path, fuse_ino_t *parent, const char **name)
{
	struct node *dir;
	int res;

	pthread_mutex_lock(&lock);
	res = path_walk(path, &dir, name);
	*parent = dir->attr.st_ino;
	pthread_mutex_unlock(&lock);
	return res;
}

/* Takes a number off the front of the words that follow. */
static long long take_number(const char **words)
{
	char *end;
	long long number = strtoll(*words, &end, 0);

	*words = end + strspn(end, " ");
	return number;
}

/* ---- Notifications ---- */

static int inval_inode(const char *path, const char *words)
{
	fuse_ino_t ino;
	int res = find_target(path, &ino);
	off_t off = take_number(&words);

	return res ? res
		   : -fuse_lowlevel_notify_inval_inode(session, ino, off,
						       take_number(&words));
}

static int inval_entry(const char *path, const char *words)
{
	const char *name;
	fuse_ino_t parent;
	int res = find_entry(path, &parent, &name);

	return res ? res
		   : -fuse_lowlevel_notify_inval_entry(session, parent, name,
						       strlen(name));
}

static int expire_entry(const char *path, const char *words)
{
	const char *name;
	fuse_ino_t parent;
	int res = find_entry(path, &parent, &name);

	return res ? res
		   : -fuse_lowlevel_notify_expire_entry(session, parent, name,
							strlen(name));
}

static int remove_silently(const char *path, const char *words)
{
	struct name *name = NULL;
	const char *last;
	struct node *dir;
	int res;

	pthread_mutex_lock(&lock);
	res = path_walk(path, &dir, &last);
	if (!res)
		name = name_find(dir, last);
	if (name)
		name_remove(dir, name);
	else
		res = ENOENT;
	pthread_mutex_unlock(&lock);
	return res;
}

static int delete (const char *path, const char *words)
{
	const char *name;
	fuse_ino_t parent, child;
	int res = find_target(path, &child);

	if (!res)
		res = find_entry(path, &parent, &name);
	if (!res)
		res = remove_silently(path, words);
	return res ? res
		   : -fuse_lowlevel_notify_delete(session, parent, child, name,
						  strlen(name));
}

static int store(const char *path, const char *words)
{
	fuse_ino_t ino;
	int res = find_target(path, &ino);
	off_t off = take_number(&words);
	struct fuse_bufvec data = FUSE_BUFVEC_INIT(strlen(words));

	data.buf[0].mem = (void *)words;
	return res ? res : -fuse_lowlevel_notify_store(session, ino, off, &data, 0);
}

static int store_fd(const char *path, const char *words)
{
	fuse_ino_t ino;
	int res = find_target(path, &ino);
	off_t off = take_number(&words);
	struct fuse_bufvec data = FUSE_BUFVEC_INIT(strlen(words));
	int fd = memfd_create("store", MFD_CLOEXEC);

	if (fd < 0)
		return errno;
	data.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	data.buf[0].fd = fd;
	data.buf[0].pos = 10;
	if (pwrite(fd, words, strlen(words), 10) != (ssize_t)strlen(words))
		res = EIO;
	if (!res)
		res = -fuse_lowlevel_notify_store(session, ino, off, &data, 0);
	close(fd);
	return res;
}

static int retrieve(const char *path, const char *words)
{
	fuse_ino_t ino;
	int res = find_target(path, &ino);
	off_t off = take_number(&words);

	pthread_mutex_lock(&lock);
	free(retrieved);
	retrieved = NULL;
	pthread_mutex_unlock(&lock);
	return res ? res
		   : -fuse_lowlevel_notify_retrieve(
			     session, ino, (size_t)take_number(&words), off, &cookie);
}

void op_retrieve_reply(fuse_req_t req, void *from, fuse_ino_t ino, off_t offset,
		       struct fuse_bufvec *bufv)
{
	struct fuse_bufvec to = FUSE_BUFVEC_INIT(fuse_buf_size(bufv));
	char head[64];
	int length = snprintf(head, sizeof(head), "%ju %jd %zu\n", (uintmax_t)ino,
			      (intmax_t)offset, to.buf[0].size);
	struct text *text = malloc(sizeof(*text) + (size_t)length + to.buf[0].size);

	called(OP_retrieve_reply, ino);
	if (from != &cookie)
		mishap("a retrieve_reply() has the wrong cookie");
	if (text) {
		memcpy(text->data, head, (size_t)length);
		to.buf[0].mem = text->data + length;
		if (fuse_buf_copy(&to, bufv, 0) != (ssize_t)to.buf[0].size)
			mishap("a retrieve_reply()'s data is not all there");
		text->size = (size_t)length + to.buf[0].size;
		pthread_mutex_lock(&lock);
		free(retrieved);
		retrieved = text;
		pthread_mutex_unlock(&lock);
	}
	fuse_reply_none(req);
}

/* Returns the handle of who waits, which is the caller's then, or NULL. */
static struct fuse_pollhandle *set_events(fuse_ino_t ino, unsigned events)
{
	struct fuse_pollhandle *handle = NULL;
	struct node *node;

	pthread_mutex_lock(&lock);
	node = node_find(ino);
	if (node) {
		node->events = events;
		handle = node->pollhandle;
		node->pollhandle = NULL;
	}
	pthread_mutex_unlock(&lock);
	return handle;
}

static int wake_pollers(const char *path, const char *words)
{
	struct fuse_pollhandle *handle;
	fuse_ino_t ino;
	int res = find_target(path, &ino);

	if (res)
		return res;
	handle = set_events(ino, (unsigned)take_number(&words));
	if (!handle)
		return ENOENT;
	res = -fuse_lowlevel_notify_poll(handle);
	fuse_pollhandle_destroy(handle);
	return res;
}

static int increment_epoch(const char *path, const char *words)
{
	return -fuse_lowlevel_notify_increment_epoch(session);
}

/* ---- What the kernel is not told of ---- */

static int poke(const char *path, const char *words)
{
	fuse_ino_t ino;
	int res = find_target(path, &ino);
	off_t off = take_number(&words);
	size_t size = strlen(words);
	struct node *node;

	if (res)
		return res;
	pthread_mutex_lock(&lock);
	node = node_find(ino);
	if (!node || off < 0 || off + (off_t)size > node->attr.st_size)
		res = EINVAL;
	else
		memcpy(node->data + off, words, size);
	pthread_mutex_unlock(&lock);
	return res;
}

static int resize_silently(const char *path, const char *words)
{
	fuse_ino_t ino;
	int res = find_target(path, &ino);
	struct node *node;

	if (res)
		return res;
	pthread_mutex_lock(&lock);
	node = node_find(ino);
	res = node ? resize(node, take_number(&words)) : ENOENT;
	pthread_mutex_unlock(&lock);
	return res;
}

static int set_events_silently(const char *path, const char *words)
{
	fuse_ino_t ino;
	int res = find_target(path, &ino);
	struct node *node;

	pthread_mutex_lock(&lock);
	node = res ? NULL : node_find(ino);
	if (node)
		node->events = (unsigned)take_number(&words);
	pthread_mutex_unlock(&lock);
	return res;
}

static int create_silently(const char *path, const char *words)
{
	const struct fuse_ctx nobody = { 0 };
	struct node *dir, *node;
	const char *last;
	int res;

	pthread_mutex_lock(&lock);
	res = path_walk(path, &dir, &last);
	if (!res && name_find(dir, last))
		res = EEXIST;
	node = res ? NULL : node_new(S_IFREG | 0644, &nobody);
	if (!res)
		res = node ? resize(node, (off_t)strlen(words)) : ENOMEM;
	if (!res) {
		memcpy(node->data, words, strlen(words));
		res = name_add(dir, last, node);
	}
	pthread_mutex_unlock(&lock);
	return res;
}

static int swap(const char *path, const char *words)
{
	struct name *name = NULL, *other = NULL;
	struct node *dir, *node;
	const char *last;

	pthread_mutex_lock(&lock);
	if (path_walk(path, &dir, &last) == 0)
		name = name_find(dir, last);
	if (path_walk(words, &dir, &last) == 0)
		other = name_find(dir, last);
	if (name && other) {
		node = name->node;
		name->node = other->node;
		other->node = node;
	}
	pthread_mutex_unlock(&lock);
	return name && other ? 0 : ENOENT;
}

/* ---- Commands ---- */

static const struct {
	const char *name;
	int (*run)(const char *path, const char *words);
} commands[] = {
	{ "inval_inode", inval_inode },
	{ "inval_entry", inval_entry },
	{ "expire_entry", expire_entry },
	{ "delete", delete },
	{ "store", store },
	{ "store_fd", store_fd },
	{ "retrieve", retrieve },
	{ "poll", wake_pollers },
	{ "increment_epoch", increment_epoch },
	{ "poke", poke },
	{ "resize", resize_silently },
	{ "events", set_events_silently },
	{ "create", create_silently },
	{ "remove", remove_silently },
	{ "swap", swap },
};

static int run_command(char *text)
{
	char *words = text, *name = strsep(&words, " "), *path = strsep(&words, " ");

	for (size_t i = 0; path && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, name) == 0)
			return commands[i].run(path, words ? words : "");
	return EINVAL;
}

struct job {
	struct job *next;
	fuse_req_t req;
	size_t size;
	char text[];
};

static struct {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct job *first, **end;
	bool runs, stop;
} jobs = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.changed = PTHREAD_COND_INITIALIZER,
	.end = &jobs.first,
};

void control_write(fuse_req_t req, const char *text, size_t size)
{
	struct job *job = malloc(sizeof(*job) + size + 1);

	if (!job) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	*job = (struct job){ .req = req, .size = size };
	memcpy(job->text, text, size);
	job->text[size] = '\0';
	pthread_mutex_lock(&jobs.lock);
	*jobs.end = job;
	jobs.end = &job->next;
	pthread_cond_signal(&jobs.changed);
	pthread_mutex_unlock(&jobs.lock);
}

static struct job *take_job(void)
{
	struct job *job;

	pthread_mutex_lock(&jobs.lock);
	while (!jobs.first && !jobs.stop)
		pthread_cond_wait(&jobs.changed, &jobs.lock);
	job = jobs.first;
	if (job) {
		jobs.first = job->next;
		if (!jobs.first)
			jobs.end = &jobs.first;
	}
	pthread_mutex_unlock(&jobs.lock);
	return job;
}

static void *run_jobs(void *unused)
{
	struct job *job;

	while ((job = take_job())) {
		int res = run_command(job->text);

		if (res)
			fuse_reply_err(job->req, res);
		else
			fuse_reply_write(job->req, job->size);
		free(job);
	}
	return NULL;
}

bool control_start(void)
{
	jobs.runs = pthread_create(&jobs.thread, NULL, run_jobs, NULL) == 0;
	return jobs.runs;
}

void control_stop(void)
{
	pthread_mutex_lock(&jobs.lock);
	jobs.stop = true;
	pthread_cond_signal(&jobs.changed);
	pthread_mutex_unlock(&jobs.lock);
	if (jobs.runs)
		pthread_join(jobs.thread, NULL);
	free(retrieved);
	/* Of files that were just closed the kernel may not have had the time to say so. */
	while (shown) {
		struct text *next = shown->next;

		free(shown);
		shown = next;
	}
}
