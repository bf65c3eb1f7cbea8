/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * zero_copy: a filesystem with one file for each way in which reads and writes can be
 * answered (way.c). Their data is in files of the same names in a folder, or in what an
 * open file has besides (file.c).
 */
#ifndef TEST_FS_ZERO_COPY_H
#define TEST_FS_ZERO_COPY_H

#include "../../../example/serve.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

#define STRIPES	    4
#define STRIPE_SIZE ((size_t)16 * 1024)

struct file;

/* A file of this filesystem; its inode number is its index in ways[] and FIRST_INO. */
#define FIRST_INO 2

struct way {
	const char *name;

	/* These answer the request. write() is given the data as write_buf() is. */
	void (*read)(fuse_req_t req, struct file *file, size_t size, off_t off);
	void (*write)(fuse_req_t req, struct file *file, struct fuse_bufvec *data,
		      off_t off);

	/* Comes by what else an open file needs. Returns 0 or an errno. May be NULL. */
	int (*open)(struct file *file, int flags);

	const char *target; /* what stands for the file in the folder, or NULL */
	bool direct;	    /* each read(2) and write(2) shall be a request */
	bool declines;	    /* is opened with FUSE_ZERO_COPY_DECLINE */
	bool is_striped;    /* over STRIPES files in the folder */
};

extern const struct way ways[];
extern const size_t way_count;

/* Of the command line. */
extern struct options {
	char *folder;
	int old_write;	   /* there is write(), and no write_buf() */
	int no_capability; /* write_buf(), but no FUSE_CAP_ZERO_COPY_WRITE */
	int says_nothing;  /* of zero-copy, when files are opened */
	int writeback;
	int direct_io;
	unsigned longer; /* by so many bytes is a file said to be longer than it is */
} options;

/* file.c: files in the folder, and open files. */

struct file {
	struct file *next, **link;
	const struct way *way;
	int fd;		      /* the file in the folder, or `target` */
	int stripes[STRIPES]; /* or these */
	int near, far; /* -1, or the ends of a pipe or socket: ours, and the other */
};

/* Returns 0 or an errno. */
int file_open(const struct way *way, int flags, struct file **opened);
void file_close(struct file *file);
void file_close_all(void);
int file_create_all(void);
int file_attr(const struct way *way, struct stat *attr);
int file_truncate(const struct way *way, off_t size);

/* way.c */

/* Waits for what goes on in threads of its own. */
void way_wait(void);

#endif
