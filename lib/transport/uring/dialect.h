/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a dialect of FUSE over io_uring has to say: the part of the wire format in which
 * kernels differ. One dialect is a rung of the ladder; a format that may be used in
 * several ways (pinned or not, zero-copy or not) is several rungs, whose tables share
 * their functions.
 *
 * All functions but probe() run in the queue's owner thread.
 */
#ifndef FUSE_URING_DIALECT_H
#define FUSE_URING_DIALECT_H

#include "transport/uring/queue.h"

struct fuse_uring_dialect {
	const char *name; /* as statistics give it */

	/* By what FUSE_INIT offers it, beside FUSE_OVER_IO_URING; 0: nothing more. */
	uint64_t offer;

	/* What FUSE_INIT's reply has to carry for the kernel to speak this dialect. */
	uint64_t init_flags;

	/* Which kind of pool the kernel shares payload buffers out of, if it does. */
	enum fuse_uring_pool pool;
	uint64_t pool_size_max; /* in bytes, as far as the format sets a limit; 0: none */

	/* What the kernel itself pins, and maps for itself. */
	enum fuse_uring_pin pin;

	/* The kernel leaves data with their clients: all, or where it was asked to. */
	bool zero_copy;
	bool for_all;

	/*
	 * What to go on with, in the same memory, when the kernel refuses set-up for lack of
	 * a privilege. NULL: nothing.
	 */
	const struct fuse_uring_dialect *unprivileged;

	/*
	 * Bytes from one entry's header slot to the next: a multiple of a cache line where
	 * the format leaves the choice, for neighbours are used by different threads.
	 */
	size_t header_stride;

	/*
	 * Whether this rung is one of those to try, the options that are about ways to do
	 * the same considered. NULL: always.
	 */
	bool (*suits)(const struct fuse_uring_config *config);

	/* False with *why filled in if the kernel did not offer what the dialect needs. */
	bool (*probe)(uint64_t kernel_flags, struct fuse_uring_reason *why);

	/*
	 * Prepares a ring whose memory exists, before FUSE_INIT is answered: tables of
	 * registered buffers, say. May be NULL. Returns 0 or a negative errno, with *step naming
	 * what failed.
	 */
	int (*setup_ring)(struct fuse_uring_queue *queue, const char **step);

	/*
	 * Makes the kernel know the queue, after FUSE_INIT was answered and before the first
	 * REGISTER. May be NULL. Result as above.
	 */
	int (*setup_queue)(struct fuse_uring_queue *queue, const char **step);

	/*
	 * Complete a command that fuse_uring_command() has begun: it is zero but for what
	 * all dialects have in common.
	 */
	void (*arm_register)(struct fuse_uring_entry *entry, struct io_uring_sqe *sqe,
			     struct fuse_uring_cmd_req *command);
	void (*arm_commit)(struct fuse_uring_entry *entry, struct io_uring_sqe *sqe,
			   struct fuse_uring_cmd_req *command);

	/*
	 * A request has arrived in the entry's header slot: sets entry->payload and
	 * entry->payload_room to where its payload lies, and where the reply's goes. What
	 * the slot says is checked here against the region. Returns 0 or a negative errno.
	 */
	int (*locate)(struct fuse_uring_entry *entry);
};

/* A: one payload buffer per entry. Linux 6.14. */
extern const struct fuse_uring_dialect fuse_uring_per_entry;

/* B: buffer rings. Linux 7.2 with patches. */
extern const struct fuse_uring_dialect fuse_uring_bufring;
extern const struct fuse_uring_dialect fuse_uring_bufring_pinned_headers;
extern const struct fuse_uring_dialect fuse_uring_bufring_pinned;
extern const struct fuse_uring_dialect fuse_uring_bufring_zero_copy;

/* C: buffer pools. Linux 7.3. */
extern const struct fuse_uring_dialect fuse_uring_bufpool;
extern const struct fuse_uring_dialect fuse_uring_bufpool_registered;
extern const struct fuse_uring_dialect fuse_uring_bufpool_zero_copy;
extern const struct fuse_uring_dialect fuse_uring_bufpool_zero_copy_registered;

/* pool.c: what the dialects with pools share */

/* False with *why filled in if this process lacks what the kernel demands for zero-copy. */
bool fuse_uring_may_zero_copy(struct fuse_uring_reason *why);
/* Gives the ring a table of registered buffers, all of them empty. */
int fuse_uring_table_open(struct fuse_uring_queue *queue, unsigned slots,
			  const char **step);
/* Pins memory and puts it into a slot; an empty piece of memory empties the slot. */
int fuse_uring_table_set(struct fuse_uring_queue *queue, unsigned slot,
			 const struct iovec *memory);
/* Whether the kernel lends requests of this opcode a buffer, unless they are zero-copied. */
bool fuse_uring_has_buffer(uint32_t opcode);
/* Where a request's payload lies: in no place, in the pool, or in the entry's room. */
void fuse_uring_locate_nowhere(struct fuse_uring_entry *entry);
int fuse_uring_locate_buffer(struct fuse_uring_entry *entry, size_t offset);
void fuse_uring_locate_room(struct fuse_uring_entry *entry);
/* Whether that is memory which the queue gives back when it is idle. */
bool fuse_uring_is_spare(const struct fuse_uring_entry *entry);

#endif
