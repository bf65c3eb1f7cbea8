// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Zero-copy saves a copy where the data come from a descriptor or go to one. Where they do not,
 * it costs an operation more than a buffer out of a pool. Which it will be, the kernel asks when a
 * file is opened, and a filesystem that does not know of zero-copy does not say.
 *
 * So each answer is a vote: for its file, and for all files that are opened for the same. A file
 * that has votes enough decides for itself. What is declined casts no votes, so that now and
 * then an open asks all the same, the less often the more of them were in vain.
 */
#include <fcntl.h>

#include "protocol/protocol.h"

/* Votes are counted up to these. */
#define FILE_SCORE_MAX 16
#define MODE_SCORE_MAX 64

/* A file with so many votes, on balance, decides for itself; a mode needs more to decline. */
#define FILE_SCORE_ENOUGH  4
#define MODE_SCORE_AGAINST (-16)

#define PATIENCE_MIN	   32
#define PATIENCE_MAX	   4096

/* Answers on which a kernel that does not ask is judged. */
#define JURY 1000

static unsigned mode_of(int flags)
{
	unsigned access = (unsigned)flags & O_ACCMODE;

	return (access < 3 ? access : 2) + (flags & O_DIRECT ? 3 : 0);
}

static _Atomic uint32_t *slot_of(struct fuse_policy *policy, uint64_t nodeid,
				 uint32_t *tag)
{
	uint64_t hash = nodeid * UINT64_C(0x9e3779b97f4a7c15);

	*tag = (uint32_t)(hash >> 40);
	return &policy->files[hash % FUSE_POLICY_FILES];
}

/* The score is kept with an offset, in the lowest byte. */
static int score_in(uint32_t slot, uint32_t tag)
{
	return slot >> 8 == tag && slot ? (int)(slot & 0xff) - 128 : 0;
}

static int bounded(int score, int max)
{
	return score > max ? max : score < -max ? -max : score;
}

static void vote_for_file(struct fuse_policy *policy, uint64_t nodeid, int vote)
{
	uint32_t tag;
	_Atomic uint32_t *slot = slot_of(policy, nodeid, &tag);
	int score = score_in(atomic_load_explicit(slot, memory_order_relaxed), tag);

	score = bounded(score + vote, FILE_SCORE_MAX) + 128;
	atomic_store_explicit(slot, tag << 8 | (uint32_t)score, memory_order_relaxed);
}

static void vote_for_mode(struct fuse_policy *policy, int flags, int vote)
{
	_Atomic int *score = &policy->modes[mode_of(flags)].score;
	int before = atomic_load_explicit(score, memory_order_relaxed);

	atomic_store_explicit(score, bounded(before + vote, MODE_SCORE_MAX),
			      memory_order_relaxed);
}

/* Nobody can decline; but whoever mounts can leave the option out. */
static void judge(struct fuse_policy *policy, bool moved)
{
	unsigned copied = atomic_load_explicit(&policy->copied, memory_order_relaxed);
	unsigned all =
		copied + atomic_load_explicit(&policy->moved, memory_order_relaxed);

	if (all > JURY)
		return;
	if (all == JURY) {
		if (copied > JURY / 10 * 9 && !atomic_exchange(&policy->told, true))
			fuse_log(
				FUSE_LOG_INFO,
				"fuse: %u of %u reads and writes were copied in spite of "
				"io_uring_zero_copy: without it they take less time\n",
				copied, all);
	}
	atomic_fetch_add_explicit(moved ? &policy->moved : &policy->copied, 1,
				  memory_order_relaxed);
}

void fuse_policy_learn(struct fuse_req *req, bool moved)
{
	struct fuse_policy *policy = &req->protocol->policy;
	int vote = moved ? 1 : -1;

	if (!atomic_load_explicit(&req->protocol->zero_copy, memory_order_relaxed))
		return;
	if (atomic_load_explicit(&policy->for_all, memory_order_relaxed)) {
		judge(policy, moved);
		return;
	}
	vote_for_file(policy, req->nodeid, vote);
	vote_for_mode(policy, req->open_flags, vote);
}

/* After a try that was in vain the next one takes longer to come. */
static bool is_time_to_try(struct fuse_policy *policy, int flags)
{
	_Atomic unsigned *declined = &policy->modes[mode_of(flags)].declined;
	_Atomic unsigned *patience = &policy->modes[mode_of(flags)].patience;
	unsigned limit = atomic_load_explicit(patience, memory_order_relaxed);

	if (!limit)
		limit = PATIENCE_MIN;
	if (atomic_fetch_add_explicit(declined, 1, memory_order_relaxed) + 1 < limit)
		return false;
	atomic_store_explicit(declined, 0, memory_order_relaxed);
	atomic_store_explicit(patience, limit < PATIENCE_MAX ? limit * 2 : PATIENCE_MAX,
			      memory_order_relaxed);
	return true;
}

bool fuse_policy_asks(struct fuse_protocol *protocol, uint64_t nodeid, int flags)
{
	struct fuse_policy *policy = &protocol->policy;
	uint32_t tag;
	_Atomic uint32_t *slot = slot_of(policy, nodeid, &tag);
	int score = score_in(atomic_load_explicit(slot, memory_order_relaxed), tag);
	int for_mode = atomic_load_explicit(&policy->modes[mode_of(flags)].score,
					    memory_order_relaxed);

	if (score >= FILE_SCORE_ENOUGH ||
	    (score > -FILE_SCORE_ENOUGH && for_mode > MODE_SCORE_AGAINST))
		return true;
	if (is_time_to_try(policy, flags))
		return true;
	if (!atomic_exchange_explicit(&policy->told, true, memory_order_relaxed))
		fuse_log(
			FUSE_LOG_INFO,
			"fuse: data come from memory: files like these are opened without "
			"zero-copy\n");
	return false;
}
