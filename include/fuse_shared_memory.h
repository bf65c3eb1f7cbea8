/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef FUSE_SHARED_MEMORY_H_
#define FUSE_SHARED_MEMORY_H_

/** @file
 * Memory that a client of a filesystem shares with its server, so that what it reads and writes
 * there is copied by nobody, and still can be looked at by the server.
 *
 * The client keeps its data in a memfd, maps it with MAP_SHARED, and gives it to the server: by a
 * way of their own, or by the channel at the end of this file. When it then reads or writes a file of
 * the mount with O_DIRECT (or one that was opened with FOPEN_DIRECT_IO) from such a mapping, the request
 * says where in the memfd the data are. That takes a kernel with FUSE_HAS_IO_URING_SHARED_MEMORY
 * (kernel-patches/linux-7.3) and a mount over io_uring; everywhere else the same calls work, and the
 * data are copied.
 *
 * The client may change the memory at any time, while a request is being handled, too. A server that
 * does not trust its clients reads each byte once, or copies what it has to rely on.
 */

#include "fuse_lowlevel.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Servers ---- */

/**
 * Makes memory known to a session. May be called by any thread and at any time, before the
 * filesystem is mounted, too, until fuse_session_destroy().
 *
 * The memory is mapped as a whole, and a duplicate of the descriptor is kept, until it is removed
 * and the last request that uses it has been answered. It may be added several times; each time gives
 * another id, and each has to be removed.
 *
 * The descriptor by which a memfd was added first decides what it is used for.
 *
 * Memory that this process may not write (the descriptor is read-only, or sealed with F_SEAL_WRITE
 * or F_SEAL_FUTURE_WRITE) serves its clients' writes only.
 *
 * @param fd a memfd, of shmem or of hugetlbfs, that has the seals F_SEAL_SHRINK and F_SEAL_GROW: one
 *           that became shorter would bring down this process with SIGBUS. The same can happen
 *           if its owner punches a hole and there is no page left to fill it: with hugetlbfs
 *           if there are no huge pages, and with shmem if vm.overcommit_memory is 2 and all
 *           memory has been promised. Take such memory from clients only that are trusted. Not
 *           owned: the caller may close it.
 * @param id filled in with what the session calls it, never 0, and not used again
 * @return 0, or a negative errno: EINVAL (no session, no id, an empty memfd), EBADF (no open descriptor,
 *         or one that cannot be read), EOPNOTSUPP (not a memfd), EPERM (not sealed), EMFILE and ENFILE
 *         (too many descriptors), ENOMEM. What the kernel does not take, the 65536th say, is copied
 * @since FUSE_URING_1
 */
int fuse_session_add_shared_memory(struct fuse_session *se, int fd, uint64_t *id);

/**
 * Removes memory. Requests that have been sent already keep it; the call does not wait for them.
 * Any thread may call it, one that handles such a request, too.
 *
 * @param id as fuse_session_add_shared_memory() gave it
 * @return 0, or a negative errno: EINVAL (no session), ENOENT (no such memory)
 * @since FUSE_URING_1
 */
int fuse_session_remove_shared_memory(struct fuse_session *se, uint64_t id);

/**
 * Where a read's or a write's data are. fuse_req_get_payload() gives the same place as a pointer:
 * a write's handler finds the data there and must not change them; a read's handler may put them there, and
 * fuse_reply_buf() from that place copies nothing.
 *
 * Call it before the request is answered, by the thread that holds it.
 *
 * @param id filled in with the memory's id; if that was added several times, with one of them. May be NULL
 * @param off filled in with the place of the first byte in the memory, in bytes. May be NULL
 * @return 0, or -ENOENT: the data are not in shared memory
 * @since FUSE_URING_1
 */
int fuse_req_get_shared_memory(fuse_req_t req, uint64_t *id, off_t *off);

/* ---- Servers: a channel by which clients give their memory ---- */

/** The extended attribute of a mount's root that says where its channel is. */
#define FUSE_MEMORY_CHANNEL_XATTR "system.fuse_memory_channel"

/** fuse_memory_channel_config.flags: takes memory of hugetlbfs; see there what it risks. */
#define FUSE_MEMORY_CHANNEL_HUGETLB (1 << 0)

/** What a channel's clients may do. All zero is a good choice. */
struct fuse_memory_channel_config {
	/** Pieces of memory that one client may give; 0: 16. */
	unsigned max_regions;

	/**
	 * Clients at the same time; 0: 64. A user other than this process's own and root gets half of
	 * them at the most.
	 */
	unsigned max_clients;

	/** Size of one piece, in bytes; 0: 1 GiB. */
	uint64_t max_bytes;

	/** FUSE_MEMORY_CHANNEL_* */
	unsigned flags;

	/**
	 * Says whether a client may use the channel: 0, or a negative errno, which it is told. NULL:
	 * those may with this process's own user, root, and everybody if the mount has
	 * allow_other. Called by the channel's thread, so that others wait for it.
	 */
	int (*allow)(void *userdata, pid_t pid, uid_t uid, gid_t gid);

	/** Given to allow(). */
	void *userdata;
};

/**
 * Opens a session's channel: a Unix socket in a folder of its own, whose path
 * FUSE_MEMORY_CHANNEL_XATTR of the root tells. Requests for that attribute do not reach the filesystem
 * from now on. A thread of the library's, which begins when the session's loop does, takes what
 * clients give, and gives it back when they take it back, close the channel or die.
 *
 * Call it before the loop, or in init(): for a kernel that has once been told by ENOSYS that there are
 * no extended attributes never asks for one again. From this call on the library does not say so any
 * more, but ENODATA. A filesystem without attributes pays for that: on buffered writes the kernel asks
 * for security.capability each time, unless there is FUSE_CAP_HANDLE_KILLPRIV_V2.
 *
 * @param config NULL: as if all of it were zero. Not used after the call
 * @return 0, or a negative errno: EINVAL, EEXIST (there is one), ENOMEM, or what stood in the
 *         way of the socket
 * @since FUSE_URING_1
 */
int fuse_session_open_memory_channel(struct fuse_session *se,
				     const struct fuse_memory_channel_config *config);

/**
 * Closes the channel and removes what clients have given by it, if there is one.
 * fuse_session_destroy() does the same. Not to be called by a handler or by allow().
 * @since FUSE_URING_1
 */
void fuse_session_close_memory_channel(struct fuse_session *se);

/* ---- Clients; none of these needs a session, and any thread may call them ---- */

/** fuse_memory_create(): out of huge pages of the default size. */
#define FUSE_MEMORY_HUGETLB (1 << 0)

/**
 * Makes memory that a server will take: a memfd of a size that nobody can change any more.
 *
 * @param size in bytes; not 0, and with FUSE_MEMORY_HUGETLB a multiple of the huge page's
 * @param flags FUSE_MEMORY_*
 * @return a descriptor, which is closed by exec and belongs to the caller, or a negative errno:
 *         EINVAL, ENOMEM, EMFILE, ENFILE
 * @since FUSE_URING_1
 */
int fuse_memory_create(size_t size, unsigned flags);

/**
 * Connects to the channel of the filesystem that `path` is in.
 *
 * @param path a file or folder of the mount; it need not be its root
 * @return a socket for the two functions below, which belongs to the caller; closing it gives back all
 *         memory. Or a negative errno: EOPNOTSUPP (the filesystem has no channel), EXDEV
 *         (its root, which has to be asked, is mounted nowhere that this process could see),
 *         EACCES (it will not have this client), EUSERS (it has too many), EPROTO (it speaks
 *         otherwise), what looking at path or connecting failed with
 * @since FUSE_URING_1
 */
int fuse_memory_channel_connect(const char *path);

/**
 * Gives memory to the server. One call at a time for each channel.
 *
 * @param memory a memfd, as fuse_memory_create() makes them. The server has a descriptor of
 *               its own when the call returns
 * @param id filled in with what the channel calls it
 * @return 0, or a negative errno: as of fuse_session_add_shared_memory(), EMFILE and E2BIG (limits of
 *         the channel), EOPNOTSUPP (for memory of hugetlbfs, too, where that is not taken, and
 *         for any other if vm.overcommit_memory is 2), EPIPE (the server has gone), EPROTO (it is none)
 * @since FUSE_URING_1
 */
int fuse_memory_channel_give(int channel, int memory, uint64_t *id);

/**
 * Takes memory back. Requests under way keep it. One call at a time for each channel.
 *
 * @return 0, or a negative errno: ENOENT (no such memory), EPIPE, EPROTO
 * @since FUSE_URING_1
 */
int fuse_memory_channel_take_back(int channel, uint64_t id);

#ifdef __cplusplus
}
#endif

#endif /* FUSE_SHARED_MEMORY_H_ */
