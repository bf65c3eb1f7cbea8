// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * FUSE_INIT: what the kernel can do, what the filesystem wants, and the answer.
 *
 * Everything that is negotiated as a bit is a row of one table. The sizes follow: a
 * request, its reply and a ring's payload buffer have to be as large as the kernel takes
 * them to be after our answer, so they are computed in one place, from max_write.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuse_config.h"
#include "session/session.h"

#define OLDEST_MINOR 26

/* Data pages of a request where the kernel does not offer FUSE_MAX_PAGES. */
#define FIXED_PAGES 32

/* Data pages of a request unless the filesystem asks for more; also the kernel's limit
   unless the administrator has raised it. */
#define USUAL_PAGES 256

/* fuse_init_out.max_pages has 16 bits. */
#define MOST_PAGES	UINT16_MAX

#define MAX_PAGES_LIMIT "/proc/sys/fs/fuse/max_pages_limit"

/* The kernel never takes less than this for max_write. */
#define LEAST_MAX_WRITE 4096

enum suggest {
	NOT, /* the filesystem has to ask for it */
	ALWAYS,
	WITH_OPS,  /* if the filesystem has the operations */
	WITH_RINGS /* if the mount options ask for io_uring */
};

struct feature {
	uint64_t kernel;     /* its bit in FUSE_INIT; 0: it has none */
	uint64_t capability; /* FUSE_CAP_ */
	enum suggest suggest;
	bool unanswered; /* the kernel does not look for its bit in our answer */
	unsigned minor;	 /* kernels from this on have it even without the bit; 0: none */
	bool (*has_ops)(const struct fuse_lowlevel_ops *ops);
};

static bool has_posix_locks(const struct fuse_lowlevel_ops *ops)
{
	return ops->getlk && ops->setlk;
}

static bool has_flock(const struct fuse_lowlevel_ops *ops)
{
	return ops->flock;
}

static bool has_write_buf(const struct fuse_lowlevel_ops *ops)
{
	return ops->write_buf;
}

static bool has_readdirplus(const struct fuse_lowlevel_ops *ops)
{
	return ops->readdirplus;
}

static bool has_both_readdirs(const struct fuse_lowlevel_ops *ops)
{
	return ops->readdirplus && ops->readdir;
}

/* clang-format off */
#define BIT(kernel_, capability_) .kernel = FUSE_##kernel_, .capability = FUSE_CAP_##capability_
#define IF_OPS(function) .suggest = WITH_OPS, .has_ops = function

static const struct feature features[] = {
	{ BIT(ASYNC_READ, ASYNC_READ), .suggest = ALWAYS },
	{ BIT(POSIX_LOCKS, POSIX_LOCKS), IF_OPS(has_posix_locks) },
	{ BIT(ATOMIC_O_TRUNC, ATOMIC_O_TRUNC), .suggest = ALWAYS },
	{ BIT(EXPORT_SUPPORT, EXPORT_SUPPORT) },
	{ BIT(DONT_MASK, DONT_MASK) },
	{ .capability = FUSE_CAP_SPLICE_WRITE },
	{ .capability = FUSE_CAP_SPLICE_MOVE },
	{ .capability = FUSE_CAP_SPLICE_READ, IF_OPS(has_write_buf) },
	{ BIT(FLOCK_LOCKS, FLOCK_LOCKS), IF_OPS(has_flock) },
	{ BIT(HAS_IOCTL_DIR, IOCTL_DIR),
	  .suggest = ALWAYS, .unanswered = true, .minor = 18 },
	{ BIT(AUTO_INVAL_DATA, AUTO_INVAL_DATA), .suggest = ALWAYS },
	{ BIT(DO_READDIRPLUS, READDIRPLUS), IF_OPS(has_readdirplus) },
	{ BIT(READDIRPLUS_AUTO, READDIRPLUS_AUTO), IF_OPS(has_both_readdirs) },
	{ BIT(ASYNC_DIO, ASYNC_DIO), .suggest = ALWAYS },
	{ BIT(WRITEBACK_CACHE, WRITEBACK_CACHE) },
	{ BIT(NO_OPEN_SUPPORT, NO_OPEN_SUPPORT), .unanswered = true },
	{ BIT(PARALLEL_DIROPS, PARALLEL_DIROPS), .suggest = ALWAYS },
	{ BIT(HANDLE_KILLPRIV, HANDLE_KILLPRIV), .suggest = ALWAYS },
	{ BIT(POSIX_ACL, POSIX_ACL) },
	{ BIT(CACHE_SYMLINKS, CACHE_SYMLINKS) },
	{ BIT(NO_OPENDIR_SUPPORT, NO_OPENDIR_SUPPORT), .unanswered = true },
	{ BIT(EXPLICIT_INVAL_DATA, EXPLICIT_INVAL_DATA) },
	{ BIT(HANDLE_KILLPRIV_V2, HANDLE_KILLPRIV_V2) },
	{ BIT(SETXATTR_EXT, SETXATTR_EXT) },
	{ BIT(HAS_EXPIRE_ONLY, EXPIRE_ONLY), .unanswered = true, .minor = 38 },
	{ BIT(DIRECT_IO_ALLOW_MMAP, DIRECT_IO_ALLOW_MMAP) },
	{ BIT(PASSTHROUGH, PASSTHROUGH) },
	{ BIT(NO_EXPORT_SUPPORT, NO_EXPORT_SUPPORT) },
	/* The rings answer, with the bits of their dialect. */
	{ BIT(OVER_IO_URING, OVER_IO_URING), .suggest = WITH_RINGS, .unanswered = true },
};
/* clang-format on */

#define FEATURES (sizeof(features) / sizeof(features[0]))

static uint64_t capabilities(const struct fuse_session *se, const struct fuse_init_in *in,
			     uint64_t offered)
{
	uint64_t capable = 0;

	for (size_t i = 0; i < FEATURES; i++) {
		const struct feature *feature = &features[i];

		if ((offered & feature->kernel) ||
		    (feature->minor && in->minor >= feature->minor))
			capable |= feature->capability;
	}
	/* Splicing is not negotiated: it depends on the descriptor alone. */
	if (!se->has_io || se->io.splice_send)
		capable |= FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE;
	if (!se->has_io || se->io.splice_receive)
		capable |= FUSE_CAP_SPLICE_READ;
	/* It concerns nobody but the library, and only where data can stay with their clients. */
	if (se->options.zero_copy &&
	    (offered & (FUSE_HAS_IO_URING_BUFPOOL | FUSE_HAS_IO_URING_BUFRING)))
		capable |= FUSE_CAP_ZERO_COPY_WRITE;
	return capable;
}

static bool is_suggested(const struct fuse_session *se, const struct feature *feature)
{
	switch (feature->suggest) {
	case ALWAYS:
		return true;
	case WITH_OPS:
		return feature->has_ops(&se->protocol.ops);
	case WITH_RINGS:
		return fuse_rings_wanted(se);
	case NOT:
		break;
	}
	return false;
}

static uint64_t suggestions(const struct fuse_session *se, uint64_t capable)
{
	uint64_t want = 0;

	for (size_t i = 0; i < FEATURES; i++) {
		if (is_suggested(se, &features[i]))
			want |= features[i].capability;
	}
	return want & capable;
}

static uint64_t answers(uint64_t offered, uint64_t want)
{
	uint64_t flags = FUSE_BIG_WRITES;

	for (size_t i = 0; i < FEATURES; i++) {
		if (!features[i].unanswered && (want & features[i].capability))
			flags |= features[i].kernel;
	}
	return flags & (offered | FUSE_BIG_WRITES);
}

/* How many pages of data the kernel lets a request have. */
static size_t page_limit(uint64_t offered)
{
	unsigned long limit = USUAL_PAGES;
	char text[32];
	ssize_t size;
	int fd;

	if (!(offered & FUSE_MAX_PAGES))
		return FIXED_PAGES;
	fd = open(MAX_PAGES_LIMIT, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		size = read(fd, text, sizeof(text) - 1);
		if (size > 0) {
			text[size] = '\0';
			limit = strtoul(text, NULL, 10);
		}
		close(fd);
	}
	if (limit == 0)
		return USUAL_PAGES;
	return limit < MOST_PAGES ? limit : MOST_PAGES;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* What the filesystem finds in *conn when it is asked. */
static void suggest(struct fuse_session *se, const struct fuse_init_in *in,
		    uint64_t offered, size_t limit)
{
	struct fuse_conn_info *conn = &se->protocol.conn;

	memset(conn, 0, sizeof(*conn));
	conn->proto_major = in->major;
	conn->proto_minor = in->minor;
	conn->max_write = (uint32_t)smaller(limit, USUAL_PAGES) * (uint32_t)getpagesize();
	conn->max_read = fuse_mount_options_max_read(se->mount_options);
	conn->max_readahead = in->max_readahead;
	conn->time_gran = 1;
	conn->capable_ext = capabilities(se, in, offered);
	conn->capable = (uint32_t)conn->capable_ext;
	fuse_feature_suggest(conn, suggestions(se, conn->capable_ext));
}

static void settle_background(struct fuse_conn_info *conn)
{
	conn->max_background = (uint32_t)smaller(conn->max_background, UINT16_MAX);
	conn->congestion_threshold =
		(uint32_t)smaller(conn->congestion_threshold, UINT16_MAX);
	if (!conn->max_background)
		return; /* the kernel's own choice, which the threshold may well be below */
	if (!conn->congestion_threshold)
		conn->congestion_threshold = conn->max_background * 3 / 4;
	if (conn->congestion_threshold > conn->max_background)
		conn->congestion_threshold = conn->max_background;
}

/* What the filesystem made of it. Returns 0, or a negative errno after a message. */
static int check(struct fuse_session *se, const struct fuse_init_in *in, size_t limit)
{
	struct fuse_conn_info *conn = &se->protocol.conn;
	unsigned mounted = fuse_mount_options_max_read(se->mount_options);
	uint64_t impossible;

	fuse_convert_to_conn_want_ext(conn);
	impossible = conn->want_ext & ~conn->capable_ext;
	if (impossible) {
		fuse_log(FUSE_LOG_ERR,
			 "fuse: the filesystem wants what the kernel does not have: "
			 "capabilities 0x%llx\n",
			 (unsigned long long)impossible);
		return -EPROTO;
	}
	if (conn->max_read && conn->max_read != mounted) {
		fuse_log(FUSE_LOG_ERR,
			 "fuse: the filesystem wants max_read %u, but the mount option "
			 "max_read is %u\n",
			 conn->max_read, mounted);
		return -EPROTO;
	}
	conn->max_read = mounted;
	conn->max_write = (uint32_t)larger(
		smaller(conn->max_write, limit * (size_t)getpagesize()), LEAST_MAX_WRITE);
	conn->max_readahead = (uint32_t)smaller(conn->max_readahead, in->max_readahead);
	settle_background(conn);
	return 0;
}

/*
 * A ring's payload buffers have room for so many pages, and all that a request carries must
 * fit: names and extended attributes too, of which the kernel thinks only when it is too late. The
 * number of pages that it takes without FUSE_MAX_PAGES is enough for them.
 */
static size_t pages_of(const struct fuse_session *se, size_t limit)
{
	const struct fuse_conn_info *conn = &se->protocol.conn;
	const size_t page = (size_t)getpagesize();
	size_t pages = (conn->max_write + page - 1) / page;

	if (fuse_rings_wanted(se) || (conn->want_ext & FUSE_CAP_OVER_IO_URING))
		pages = smaller(larger(pages, FIXED_PAGES), limit);
	return pages;
}

static void fill_answer(const struct fuse_session *se, uint64_t offered, size_t limit,
			struct fuse_init_out *out)
{
	const struct fuse_conn_info *conn = &se->protocol.conn;
	uint64_t flags = answers(offered, conn->want_ext);

	out->max_readahead = conn->max_readahead;
	out->max_background = (uint16_t)conn->max_background;
	out->congestion_threshold = (uint16_t)conn->congestion_threshold;
	out->max_write = conn->max_write;
	out->time_gran = conn->time_gran;
	if (offered & FUSE_MAX_PAGES) {
		flags |= FUSE_MAX_PAGES;
		out->max_pages = (uint16_t)pages_of(se, limit);
	}
	/* On the wire 0 means that there is no passthrough. */
	if (flags & FUSE_PASSTHROUGH)
		out->max_stack_depth = conn->max_backing_stack_depth + 1;
	if ((offered & FUSE_REQUEST_TIMEOUT) && conn->request_timeout) {
		flags |= FUSE_REQUEST_TIMEOUT;
		out->request_timeout = conn->request_timeout;
	}
	out->flags = (uint32_t)flags;
	out->flags2 = (uint32_t)(flags >> 32);
}

static void add_flags(struct fuse_init_out *out, uint64_t flags, uint64_t offered)
{
	out->flags |= (uint32_t)flags;
	out->flags2 |= (uint32_t)(flags >> 32);
	if (offered & FUSE_INIT_EXT)
		out->flags |= FUSE_INIT_EXT;
	else
		out->flags2 = 0;
}

/* The kernel checks a reader's buffer and a ring's payload buffer against these. */
static void set_sizes(struct fuse_session *se, const struct fuse_init_out *out)
{
	const struct fuse_conn_info *conn = &se->protocol.conn;
	size_t pages = out->max_pages ? out->max_pages : FIXED_PAGES;
	size_t payload = larger(conn->max_write, pages * (size_t)getpagesize());
	size_t bufsize = conn->max_write + FUSE_DEV_HEADER_ROOM;

	se->protocol.payload_max = larger(payload, FUSE_MIN_READ_BUFFER);
	se->protocol.retrieve_max = se->protocol.payload_max;
	/* A pipe is of use only to who takes one. */
	fuse_dev_configure(se->dev, larger(bufsize, FUSE_MIN_READ_BUFFER),
			   (conn->want_ext & FUSE_CAP_SPLICE_READ) &&
				   se->protocol.ops.write_buf,
			   conn->want_ext & FUSE_CAP_SPLICE_WRITE,
			   conn->want_ext & FUSE_CAP_SPLICE_MOVE);
}

static void log_answer(const struct fuse_session *se, uint64_t offered,
		       const struct fuse_init_out *out)
{
	const struct fuse_conn_info *conn = &se->protocol.conn;

	if (!se->protocol.debug)
		return;
	fuse_log(FUSE_LOG_DEBUG,
		 "fuse: INIT: kernel %u.%u flags 0x%llx; answer %u.%u flags 0x%llx "
		 "max_write %u max_pages %u max_readahead %u max_background %u "
		 "congestion_threshold %u time_gran %u\n",
		 conn->proto_major, conn->proto_minor, (unsigned long long)offered,
		 out->major, out->minor,
		 (unsigned long long)out->flags | (unsigned long long)out->flags2 << 32,
		 out->max_write, out->max_pages, out->max_readahead, out->max_background,
		 out->congestion_threshold, out->time_gran);
}

static void refuse(struct fuse_session *se, struct fuse_req *req, int error)
{
	fuse_reply_err(req, -error);
	fuse_session_fail(se, error);
}

/* Major versions that the kernel and we do not share: it comes back with ours, or goes. */
static bool settle_version(struct fuse_session *se, struct fuse_req *req,
			   const struct fuse_init_in *in)
{
	const struct fuse_init_out ours = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
	};

	se->protocol.conn.proto_minor = in->minor;
	if (in->major > FUSE_KERNEL_VERSION) {
		se->protocol.conn.proto_minor = FUSE_KERNEL_MINOR_VERSION;
		fuse_protocol_reply_init(req, &ours);
		return false;
	}
	if (in->major < FUSE_KERNEL_VERSION || in->minor < OLDEST_MINOR) {
		fuse_log(
			FUSE_LOG_ERR,
			"fuse: the kernel speaks protocol %u.%u; the oldest supported is "
			"%u.%u\n",
			in->major, in->minor, FUSE_KERNEL_VERSION, OLDEST_MINOR);
		refuse(se, req, -EPROTO);
		return false;
	}
	return true;
}

/*
 * Makes the rings if they are wanted, and returns their flags. -1 if they are insisted on
 * and cannot be had.
 */
static int prepare_rings(struct fuse_session *se, uint64_t offered, uint64_t *flags)
{
	struct fuse_conn_info *conn = &se->protocol.conn;

	*flags = 0;
	if (fuse_get_feature_flag(conn, FUSE_CAP_OVER_IO_URING) &&
	    !(conn->want_ext & FUSE_CAP_OVER_IO_URING)) {
		if (fuse_rings_wanted(se))
			fuse_rings_step_down(se, "the filesystem does not want it");
	} else if (fuse_rings_wanted(se) || (conn->want_ext & FUSE_CAP_OVER_IO_URING)) {
		*flags = fuse_rings_new(se, offered);
	}
	if (*flags)
		return 0;
	fuse_unset_feature_flag(conn, FUSE_CAP_OVER_IO_URING);
	return se->options.io_uring_strict ? -1 : 0;
}

void fuse_session_negotiate(struct fuse_req *req, const struct fuse_init_in *in)
{
	struct fuse_session *se = req->protocol->session;
	struct fuse_protocol *protocol = &se->protocol;
	struct fuse_init_out out = { .major = FUSE_KERNEL_VERSION };
	uint64_t offered = in->flags;
	uint64_t ring_flags;
	size_t limit;
	int error;

	if (!settle_version(se, req, in))
		return;
	if (offered & FUSE_INIT_EXT)
		offered |= (uint64_t)in->flags2 << 32;
	limit = page_limit(offered);
	suggest(se, in, offered, limit);
	if (protocol->ops.init)
		protocol->ops.init(protocol->userdata, &protocol->conn);
	error = check(se, in, limit);
	if (error) {
		refuse(se, req, error);
		return;
	}

	out.minor = (uint32_t)smaller(in->minor, FUSE_KERNEL_MINOR_VERSION);
	fill_answer(se, offered, limit, &out);
	set_sizes(se, &out);
	if (prepare_rings(se, offered, &ring_flags) != 0) {
		refuse(se, req, -EPROTO);
		return;
	}
	add_flags(&out, ring_flags, offered);
	if (ring_flags)
		protocol->retrieve_max -= sizeof(struct fuse_notify_retrieve_in);
	log_answer(se, offered, &out);

	fuse_memory_channel_start(se);
	atomic_store(&protocol->got_init, true);
	error = fuse_protocol_reply_init(req, &out);
	if (error == -ENOENT)
		fuse_session_exit(se); /* unmounted meanwhile */
	else if (error)
		fuse_session_fail(se, error);
	else if (ring_flags)
		fuse_rings_start(se);
	fuse_stats_changed(se);
}
