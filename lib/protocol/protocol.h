/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The wire protocol, independent of how its bytes travel: requests are decoded and
 * handed to the filesystem, replies and notifications are encoded and handed to a
 * transport. What the protocol has to know of a session is in struct fuse_protocol.
 */
#ifndef FUSE_PROTOCOL_H
#define FUSE_PROTOCOL_H

#include <pthread.h>

#include "protocol/policy.h"
#include "transport/transport.h"

/* The table of requests in flight is cut in shards, so that queues do not meet there. */
#define FUSE_INFLIGHT_SHARDS 64
/* Interrupts that came before their request did, remembered per shard. */
#define FUSE_INFLIGHT_EARLY 4

struct fuse_inflight_shard {
	pthread_mutex_t lock;
	pthread_cond_t interrupt_done; /* an interrupt_func has returned */
	struct fuse_req *first;
	struct {
		uint64_t unique;
		int64_t expires; /* of fuse_clock() */
	} early[FUSE_INFLIGHT_EARLY];
	unsigned early_count; /* slots in use; 0 makes the look-up free */
	bool closed;	      /* requests are interrupted as they come */
} __attribute__((aligned(64)));

/* Bytes of a memory channel's path; a socket's address has no more. */
#define FUSE_CHANNEL_PATH_MAX 108

struct fuse_inflight {
	struct fuse_inflight_shard shard[FUSE_INFLIGHT_SHARDS];
};

/* What protocol/ leaves to the session, which knows about its life cycle. */
struct fuse_protocol_hooks {
	/*
	 * FUSE_INIT arrived. `in` is complete: what an old kernel did not send is zero.
	 * Of CUSE_INIT there are major, minor and flags.
	 * The hook replies to req, with fuse_protocol_reply_init() or fuse_reply_err().
	 */
	void (*init)(struct fuse_req *req, const struct fuse_init_in *in);
	/* FUSE_DESTROY arrived; the reply is sent after the hook returns. */
	void (*destroy)(struct fuse_protocol *protocol);
	/* The connection cannot go on (a send failed with an error that tells so). */
	void (*failed)(struct fuse_protocol *protocol, int error);
	/* A request is interrupted that has been answered, or has not come yet. May be NULL. */
	void (*interrupted)(struct fuse_protocol *protocol, uint64_t unique);
	/* Figures for live.c; NULL if there are none to be shown. */
	void (*get_stats)(struct fuse_protocol *protocol,
			  struct fuse_session_stats *stats);
	/*
	 * Where the memory channel is, for channel_xattr.c: the path's length, 0 if there is
	 * none. NULL: there never is.
	 */
	size_t (*channel_path)(struct fuse_protocol *protocol,
			       char path[FUSE_CHANNEL_PATH_MAX]);
};

struct fuse_retrieval; /* a notify_retrieve that awaits its data */

/* Where notifications leave; always /dev/fuse, whatever the requests travel on. */
struct fuse_notify_channel {
	void *transport;
	/* Returns 0 or a negative errno. */
	int (*send)(void *transport, int code, const struct iovec *iov, int count);
	/* Sends header followed by data; the data has fuse_buf_size(data) bytes. */
	int (*send_data)(void *transport, int code, const void *header,
			 size_t header_size, struct fuse_bufvec *data,
			 enum fuse_buf_copy_flags flags);
};

/* What write_buf() does with the buffers that it gets (client_data.c). */
enum fuse_write_habit {
	FUSE_WRITES_UNKNOWN,
	FUSE_WRITES_COPY, /* it has fuse_buf_copy() bring them to files */
	FUSE_WRITES_LOOK, /* it looks for bytes in them itself */
};

struct fuse_protocol {
	struct fuse_session *session; /* only to be handed to public functions */
	struct fuse_lowlevel_ops ops;
	void *userdata;
	const struct fuse_protocol_hooks *hooks;
	/* Whether the filesystem's operations may wait for others at the moment; NULL: never. */
	bool (*may_wait)(void *userdata, uint32_t opcode, fuse_ino_t ino);
	bool debug; /* log every request and reply */
	/* What the other side begins with: FUSE_INIT or CUSE_INIT. */
	uint32_t init_opcode;

	/* Who may use the mount when allow_root was asked for. */
	bool only_owner_and_root;
	uid_t owner;

	/*
	 * Set by the init hook before its reply is sent and constant from then on, so
	 * that no lock is needed to read them.
	 */
	struct fuse_conn_info conn;
	size_t payload_max; /* bytes: the largest payload of a request or a reply */
	/*
	 * Bytes that a notify_retrieve may ask for. On rings less than payload_max: the
	 * data come behind their header in one payload buffer, and kernels up to 7.3 at
	 * least do not check whether it is large enough but crash when it is not.
	 */
	size_t retrieve_max;
	_Atomic bool zero_copy;	 /* the transport can, so that opens ask for it */
	_Atomic int write_habit; /* enum fuse_write_habit */
	struct fuse_policy policy;
	_Atomic bool got_init;
	_Atomic bool got_destroy;
	/*
	 * There is a memory channel, or has been: the kernel, which after one ENOSYS asks for no
	 * attribute any more, must not get one.
	 */
	_Atomic bool keeps_xattrs;

	struct fuse_notify_channel notify;
	struct fuse_inflight inflight;

	pthread_mutex_t retrieval_lock;
	struct fuse_retrieval *retrievals;
	uint64_t retrieval_next;
};

/* Zeroed by the caller before; returns 0 or a negative errno. */
int fuse_protocol_init(struct fuse_protocol *protocol);
void fuse_protocol_destroy(struct fuse_protocol *protocol);

/* The handler functions that a transport is given. */
void fuse_protocol_dispatch(struct fuse_req *req);
bool fuse_protocol_may_wait(const struct fuse_req *req);
enum fuse_load_time fuse_protocol_load_time(const struct fuse_req *req);

/* The name of an opcode for logs: "LOOKUP"; "???" if it is not known. */
const char *fuse_opcode_name(uint32_t opcode);

/* Sends FUSE_INIT's reply, cut to what the kernel's minor version knows. */
int fuse_protocol_reply_init(struct fuse_req *req, const struct fuse_init_out *out);

/*
 * The session's protocol state. Defined in session/, since only it knows what a
 * struct fuse_session is; public functions of protocol/ that are given a session begin
 * with it.
 */
struct fuse_protocol *fuse_session_protocol(struct fuse_session *se);

/* inflight.c: which requests have been dispatched and not been answered */

/* Returns true if an interrupt for the request has already been seen. */
bool fuse_inflight_add(struct fuse_inflight *table, struct fuse_req *req);
/*
 * Takes an answered request out and finishes it, or leaves that to the thread that is
 * calling its interrupt function.
 */
void fuse_inflight_finish(struct fuse_inflight *table, struct fuse_req *req);
/*
 * Takes a request out that is about to be answered. True if nobody is in its interrupt function:
 * then fuse_inflight_finish() will finish it before it returns.
 */
bool fuse_inflight_leave(struct fuse_inflight *table, struct fuse_req *req);
/* FUSE_INTERRUPT for the request `unique`. Returns false if it is not in flight. */
bool fuse_inflight_interrupt(struct fuse_inflight *table, uint64_t unique);
/*
 * Interrupts every request in flight, and each that is added from now on until the table is
 * opened again: nobody will wait for them.
 */
void fuse_inflight_close(struct fuse_inflight *table);
void fuse_inflight_open(struct fuse_inflight *table);
/*
 * Sets the function to be called when the request is interrupted, and calls it if it has
 * been already. A former function that another thread is in has returned before this does.
 */
void fuse_inflight_set_func(struct fuse_inflight *table, struct fuse_req *req,
			    fuse_interrupt_func_t func, void *data);
bool fuse_inflight_interrupted(struct fuse_inflight *table, const struct fuse_req *req);
/* True if it was, but not by its caller. */
bool fuse_inflight_abandoned(struct fuse_inflight *table, const struct fuse_req *req);
int fuse_inflight_init(struct fuse_inflight *table);
void fuse_inflight_destroy(struct fuse_inflight *table);

/* attr.c: between the wire's and the C library's notion of attributes */
void fuse_attr_from_stat(struct fuse_attr *attr, const struct stat *stat);
void fuse_attr_to_stat(struct stat *stat, const struct fuse_setattr_in *in);
void fuse_statx_from_libc(struct fuse_statx *out, const struct statx *statx);
void fuse_entry_from_param(struct fuse_entry_out *out,
			   const struct fuse_entry_param *param);
/* Seconds as the wire has them. Never fails: what does not fit becomes the nearest value. */
void fuse_timeout_split(double timeout, uint64_t *sec, uint32_t *nsec);

/* notify.c: data that the kernel sends for a notify_retrieve. Takes the request over. */
void fuse_protocol_retrieved(struct fuse_req *req,
			     const struct fuse_notify_retrieve_in *in,
			     struct fuse_bufvec *data);
/* notify.c: retrievals whose data never came */
void fuse_protocol_forget_retrievals(struct fuse_protocol *protocol);
/* notify.c: a new handle for the filesystem, which it owns; NULL if out of memory. */
struct fuse_pollhandle *fuse_pollhandle_new(struct fuse_protocol *protocol, uint64_t kh);

#endif
