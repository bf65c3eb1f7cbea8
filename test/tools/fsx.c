// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random operations on one file, each checked against a model in memory.
 *
 * Every operation changes the file and the model alike; every read, and the file's size
 * after every operation, must agree with the model. A run repeats exactly with the same
 * seed and options.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	EXIT_DIFFERENT = 1, /* the file and the model disagree, or an operation failed */
	EXIT_USAGE = 3,	    /* bad arguments, or the file could not be set up */
	DIRECT_ALIGN = 4096,
	MAX_LENGTH = 256 * 1024, /* of the file */
	MAX_OP = 64 * 1024,	 /* bytes of one operation */
	LOG_LINES = 20,
	LOG_WIDTH = 100,
};

enum outcome {
	DONE,
	UNSUPPORTED,
	NOT_NOW, /* no place in the file for it: choose another one */
};

struct fsx {
	const char *path;
	uint64_t seed;
	uint64_t random;
	unsigned long operations;
	bool direct;
	bool mixed; /* O_DIRECT and not by turns */
	bool append;
	bool no_mmap;

	/* Several descriptors, as in life; only data moves by O_DIRECT and O_APPEND. */
	int fd;
	int read_fd;
	int write_fd;
	int direct_read_fd; /* these two are the same again, unless mixed */
	int direct_write_fd;
	size_t page;

	uint8_t *model;
	size_t size;
	uint8_t *buffer; /* MAX_OP bytes, aligned for O_DIRECT */

	unsigned long number; /* of the current operation, from 1 */
	char log[LOG_LINES][LOG_WIDTH];
};

/* ---- Reporting ---- */

__attribute__((format(printf, 2, 3))) static void note(struct fsx *t, const char *format,
						       ...)
{
	char *line = t->log[t->number % LOG_LINES];
	va_list args;

	va_start(args, format);
	vsnprintf(line, LOG_WIDTH, format, args);
	va_end(args);
}

__attribute__((format(printf, 2, 3), noreturn)) static void fail(struct fsx *t,
								 const char *format, ...)
{
	unsigned long first = t->number < LOG_LINES ? 1 : t->number - LOG_LINES + 1;
	va_list args;

	fflush(stdout);
	fprintf(stderr, "fsx: %s: operation %lu, seed %" PRIu64 ": ", t->path, t->number,
		t->seed);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\nthe last operations:\n");
	for (unsigned long i = first; i <= t->number; i++)
		fprintf(stderr, "%8lu %s\n", i, t->log[i % LOG_LINES]);
	exit(EXIT_DIFFERENT);
}

/* got is what the file has from offset on; the model, or zeros past its end, must agree. */
static void compare(struct fsx *t, const char *how, const uint8_t *got, size_t offset,
		    size_t length)
{
	size_t first, last;

	for (first = 0; first < length; first++) {
		if (got[first] != t->model[offset + first])
			break;
	}
	if (first == length)
		return;
	for (last = length - 1; got[last] == t->model[offset + last]; last--)
		;
	fail(t,
	     "%s at offset %#zx: expected 0x%02x, got 0x%02x (differs up to %#zx, size %#zx)",
	     how, offset + first, t->model[offset + first], got[first], offset + last,
	     t->size);
}

/* ---- Randomness: splitmix64, so that a seed means the same everywhere ---- */

static uint64_t next_random(struct fsx *t)
{
	uint64_t z = t->random += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static size_t below(struct fsx *t, size_t limit)
{
	return limit ? next_random(t) % limit : 0;
}

static void fill_buffer(struct fsx *t, size_t length)
{
	for (size_t i = 0; i < length; i += sizeof(uint64_t)) {
		uint64_t word = next_random(t);

		memcpy(t->buffer + i, &word, sizeof(word));
	}
}

struct range {
	size_t offset;
	size_t length; /* at least 1 */
};

/* Somewhere below limit; whole blocks when the descriptor wants that. */
static struct range random_range(struct fsx *t, size_t limit, bool aligned)
{
	size_t unit = aligned ? DIRECT_ALIGN : 1;
	size_t units = limit / unit;
	size_t most = MAX_OP / unit;
	struct range r;

	r.offset = below(t, units);
	if (most > units - r.offset)
		most = units - r.offset;
	/* Mostly short ones: they find more than long ones that rewrite everything. */
	if (below(t, 2) && most > 8)
		most = most / 8;
	r.length = 1 + below(t, most);
	r.offset *= unit;
	r.length *= unit;
	return r;
}

/* ---- The model ---- */

/* Bytes past the model's size are always 0, so growing needs no work. */
static void model_resize(struct fsx *t, size_t size)
{
	if (size < t->size)
		memset(t->model + size, 0, t->size - size);
	t->size = size;
}

static void model_grow(struct fsx *t, size_t size)
{
	if (size > t->size)
		t->size = size;
}

static void check_size(struct fsx *t)
{
	struct stat st;

	if (fstat(t->fd, &st) < 0)
		fail(t, "fstat: %s", strerror(errno));
	if ((uint64_t)st.st_size != t->size)
		fail(t, "size: expected %#zx, got %#jx", t->size, (intmax_t)st.st_size);
}

/* ---- Operations ---- */

static bool is_unsupported(int error)
{
	return error == EOPNOTSUPP || error == ENOSYS;
}

static int open_one(struct fsx *t, int flags)
{
	int fd = open(t->path, flags | O_CLOEXEC);

	if (fd < 0)
		fail(t, "open with flags %#x: %s", (unsigned int)flags, strerror(errno));
	return fd;
}

static void open_file(struct fsx *t)
{
	int direct = t->direct ? O_DIRECT : 0;
	int append = t->append ? O_APPEND : 0;

	t->fd = open_one(t, O_RDWR);
	t->read_fd = open_one(t, O_RDONLY | direct);
	t->write_fd = open_one(t, O_WRONLY | direct | append);
	t->direct_read_fd = t->mixed ? open_one(t, O_RDONLY | O_DIRECT) : t->read_fd;
	t->direct_write_fd = t->mixed ? open_one(t, O_WRONLY | O_DIRECT) : t->write_fd;
}

static void close_file(struct fsx *t)
{
	if (close(t->fd) < 0 || close(t->read_fd) < 0 || close(t->write_fd) < 0)
		fail(t, "close: %s", strerror(errno));
	if (t->mixed && (close(t->direct_read_fd) < 0 || close(t->direct_write_fd) < 0))
		fail(t, "close: %s", strerror(errno));
}

static bool choose_direct(struct fsx *t)
{
	return t->mixed ? below(t, 2) : t->direct;
}

static enum outcome op_read(struct fsx *t)
{
	bool direct = choose_direct(t);
	struct range r = random_range(t, MAX_LENGTH, direct);
	int fd = direct ? t->direct_read_fd : t->read_fd;
	size_t expected = 0;
	ssize_t got;

	if (r.offset < t->size)
		expected = t->size - r.offset < r.length ? t->size - r.offset : r.length;
	note(t, "read       %#7zx + %#zx%s", r.offset, r.length,
	     direct ? " (direct)" : "");
	got = pread(fd, t->buffer, r.length, (off_t)r.offset);
	if (got < 0)
		fail(t, "read: %s", strerror(errno));
	if ((size_t)got != expected)
		fail(t, "read at offset %#zx: expected %zu bytes, got %zd", r.offset,
		     expected, got);
	compare(t, "read", t->buffer, r.offset, expected);
	return DONE;
}

/* An O_APPEND write lands at the end, which O_DIRECT wants aligned: cut to make it so. */
static struct range make_room_to_append(struct fsx *t)
{
	struct range r = random_range(t, MAX_OP, t->direct);
	size_t end = t->direct ? t->size / DIRECT_ALIGN * DIRECT_ALIGN : t->size;

	if (end > MAX_LENGTH - r.length)
		end = 0;
	if (end != t->size) {
		if (ftruncate(t->fd, (off_t)end) < 0)
			fail(t, "truncate to %#zx: %s", end, strerror(errno));
		model_resize(t, end);
	}
	r.offset = end;
	return r;
}

static enum outcome op_write(struct fsx *t)
{
	bool direct = choose_direct(t);
	int fd = direct ? t->direct_write_fd : t->write_fd;
	struct range r;
	ssize_t written;

	if (t->append)
		r = make_room_to_append(t);
	else
		r = random_range(t, MAX_LENGTH, direct);
	fill_buffer(t, r.length);
	note(t, "write      %#7zx + %#zx%s%s", r.offset, r.length,
	     direct ? " (direct)" : "", t->append ? " (append)" : "");
	written = pwrite(fd, t->buffer, r.length, (off_t)r.offset);
	if (written < 0)
		fail(t, "write: %s", strerror(errno));
	if ((size_t)written != r.length)
		fail(t, "write at offset %#zx: expected %zu bytes, wrote %zd", r.offset,
		     r.length, written);
	memcpy(t->model + r.offset, t->buffer, r.length);
	model_grow(t, r.offset + r.length);
	return DONE;
}

static sigjmp_buf fault;
static volatile sig_atomic_t fault_is_expected;

static void on_fault(int signal_number)
{
	if (fault_is_expected)
		siglongjmp(fault, 1);
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

/* memcpy through a mapping, which answers an I/O error with SIGBUS. */
static bool copy_mapped(uint8_t *to, const uint8_t *from, size_t length)
{
	if (sigsetjmp(fault, 1)) {
		fault_is_expected = 0;
		return false;
	}
	fault_is_expected = 1;
	memcpy(to, from, length);
	fault_is_expected = 0;
	return true;
}

struct mapping {
	uint8_t *address; /* NULL: this file cannot be mapped so */
	size_t start;	  /* page-aligned offset in the file */
	size_t length;
};

static struct mapping map(struct fsx *t, struct range r, int protection)
{
	struct mapping m = { .start = r.offset / t->page * t->page };
	void *address;

	m.length = r.offset + r.length - m.start;
	address = mmap(NULL, m.length, protection, MAP_SHARED, t->fd, (off_t)m.start);
	if (address != MAP_FAILED)
		m.address = address;
	else if (errno != ENODEV && !is_unsupported(errno))
		fail(t, "mmap: %s", strerror(errno));
	return m;
}

static void unmap(struct fsx *t, struct mapping m)
{
	if (munmap(m.address, m.length) < 0)
		fail(t, "munmap: %s", strerror(errno));
}

/* Reads to the end of the last page as well: past the end of the file it must be 0. */
static enum outcome op_mmap_read(struct fsx *t)
{
	struct range r;
	struct mapping m;
	size_t end;
	bool copied;

	if (!t->size)
		return NOT_NOW;
	r = random_range(t, t->size, false);
	end = r.offset + r.length;
	if (end == t->size)
		end = (end + t->page - 1) / t->page * t->page;
	if (end - r.offset > MAX_OP)
		end = r.offset + MAX_OP;
	r.length = end - r.offset;
	note(t, "mmap read  %#7zx + %#zx", r.offset, r.length);
	m = map(t, r, PROT_READ);
	if (!m.address)
		return UNSUPPORTED;
	copied = copy_mapped(t->buffer, m.address + (r.offset - m.start), r.length);
	unmap(t, m);
	if (!copied)
		fail(t, "SIGBUS in a mapped read");
	compare(t, "mmap read", t->buffer, r.offset, r.length);
	return DONE;
}

static enum outcome op_mmap_write(struct fsx *t)
{
	struct range r = random_range(t, MAX_LENGTH, false);
	struct mapping m;
	size_t end = r.offset + r.length;
	bool copied;

	note(t, "mmap write %#7zx + %#zx", r.offset, r.length);
	if (end > t->size) {
		if (ftruncate(t->fd, (off_t)end) < 0)
			fail(t, "truncate to %#zx: %s", end, strerror(errno));
		model_grow(t, end);
	}
	m = map(t, r, PROT_READ | PROT_WRITE);
	if (!m.address)
		return UNSUPPORTED;
	fill_buffer(t, r.length);
	copied = copy_mapped(m.address + (r.offset - m.start), t->buffer, r.length);
	if (copied && msync(m.address, m.length, MS_SYNC) < 0)
		fail(t, "msync: %s", strerror(errno));
	unmap(t, m);
	if (!copied)
		fail(t, "SIGBUS in a mapped write");
	memcpy(t->model + r.offset, t->buffer, r.length);
	return DONE;
}

static enum outcome resize(struct fsx *t, const char *name, size_t size)
{
	note(t, "%-10s %#7zx -> %#zx", name, t->size, size);
	if (ftruncate(t->fd, (off_t)size) < 0)
		fail(t, "truncate to %#zx: %s", size, strerror(errno));
	model_resize(t, size);
	return DONE;
}

static enum outcome op_truncate(struct fsx *t)
{
	return resize(t, "truncate", below(t, t->size + 1));
}

static enum outcome op_extend(struct fsx *t)
{
	return resize(t, "extend", t->size + below(t, MAX_LENGTH - t->size + 1));
}

static bool allocate(struct fsx *t, const char *name, int mode, struct range r)
{
	note(t, "%-10s %#7zx + %#zx, mode %#x", name, r.offset, r.length,
	     (unsigned int)mode);
	if (fallocate(t->fd, mode, (off_t)r.offset, (off_t)r.length) == 0)
		return true;
	if (!is_unsupported(errno))
		fail(t, "%s: %s", name, strerror(errno));
	return false;
}

static enum outcome op_fallocate(struct fsx *t)
{
	struct range r = random_range(t, MAX_LENGTH, false);
	int mode = below(t, 2) ? FALLOC_FL_KEEP_SIZE : 0;

	if (!allocate(t, "fallocate", mode, r))
		return UNSUPPORTED;
	if (!(mode & FALLOC_FL_KEEP_SIZE))
		model_grow(t, r.offset + r.length);
	return DONE;
}

static enum outcome op_punch_hole(struct fsx *t)
{
	struct range r = random_range(t, MAX_LENGTH, false);

	if (!allocate(t, "punch", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, r))
		return UNSUPPORTED;
	memset(t->model + r.offset, 0, r.length);
	return DONE;
}

static enum outcome op_zero_range(struct fsx *t)
{
	struct range r = random_range(t, MAX_LENGTH, false);
	int mode = FALLOC_FL_ZERO_RANGE | (below(t, 2) ? FALLOC_FL_KEEP_SIZE : 0);

	if (!allocate(t, "zero", mode, r))
		return UNSUPPORTED;
	memset(t->model + r.offset, 0, r.length);
	if (!(mode & FALLOC_FL_KEEP_SIZE))
		model_grow(t, r.offset + r.length);
	return DONE;
}

/* Two ranges of the file that do not overlap, as copy_file_range demands. */
static enum outcome op_copy_range(struct fsx *t)
{
	struct range from, to;
	size_t distance, done = 0;

	if (!t->size)
		return NOT_NOW;
	from = random_range(t, t->size, false);
	to.offset = below(t, MAX_LENGTH);
	if (from.length > MAX_LENGTH - to.offset)
		from.length = MAX_LENGTH - to.offset;
	distance = to.offset > from.offset ? to.offset - from.offset
					   : from.offset - to.offset;
	if (from.length > distance)
		from.length = distance;
	if (!from.length)
		return NOT_NOW;
	note(t, "copy       %#7zx + %#zx -> %#zx", from.offset, from.length, to.offset);
	while (done < from.length) {
		off_t in = (off_t)(from.offset + done), out = (off_t)(to.offset + done);
		ssize_t n =
			copy_file_range(t->fd, &in, t->fd, &out, from.length - done, 0);

		if (n < 0 && done == 0 && (is_unsupported(errno) || errno == EXDEV))
			return UNSUPPORTED;
		if (n < 0)
			fail(t, "copy_file_range: %s", strerror(errno));
		if (n == 0 || (size_t)n > from.length - done)
			fail(t, "copy_file_range after %zu bytes: returned %zd", done, n);
		memcpy(t->model + to.offset + done, t->model + from.offset + done,
		       (size_t)n);
		done += (size_t)n;
		model_grow(t, to.offset + done);
	}
	return DONE;
}

static enum outcome op_fsync(struct fsx *t)
{
	bool data_only = below(t, 2);

	note(t, data_only ? "fdatasync" : "fsync");
	if ((data_only ? fdatasync(t->fd) : fsync(t->fd)) < 0)
		fail(t, "fsync: %s", strerror(errno));
	return DONE;
}

/* Lets go of clean pages, so that the reads that follow ask the file system again. */
static enum outcome op_drop_cache(struct fsx *t)
{
	note(t, "drop cache");
	if (fdatasync(t->fd) < 0)
		fail(t, "fdatasync: %s", strerror(errno));
	posix_fadvise(t->fd, 0, 0, POSIX_FADV_DONTNEED);
	return DONE;
}

static enum outcome op_reopen(struct fsx *t)
{
	note(t, "reopen");
	close_file(t);
	open_file(t);
	return DONE;
}

/* The whole file, through a new descriptor. */
static enum outcome op_check(struct fsx *t)
{
	int fd = open_one(t, O_RDONLY);

	note(t, "check");
	for (size_t offset = 0; offset < t->size; offset += MAX_OP) {
		size_t length = t->size - offset < MAX_OP ? t->size - offset : MAX_OP;
		ssize_t got = pread(fd, t->buffer, length, (off_t)offset);

		if (got < 0)
			fail(t, "read: %s", strerror(errno));
		if ((size_t)got != length)
			fail(t, "read at offset %#zx: expected %zu bytes, got %zd",
			     offset, length, got);
		compare(t, "check", t->buffer, offset, length);
	}
	if (close(fd) < 0)
		fail(t, "close: %s", strerror(errno));
	return DONE;
}

static struct operation {
	const char *name;
	unsigned int weight;
	enum outcome (*run)(struct fsx *t);
	unsigned long done;
	unsigned long unsupported;
} operations[] = {
	{ "read", 24, op_read, 0, 0 },
	{ "write", 24, op_write, 0, 0 },
	{ "mmap_read", 10, op_mmap_read, 0, 0 },
	{ "mmap_write", 10, op_mmap_write, 0, 0 },
	{ "truncate", 4, op_truncate, 0, 0 },
	{ "extend", 5, op_extend, 0, 0 },
	{ "fallocate", 4, op_fallocate, 0, 0 },
	{ "punch_hole", 5, op_punch_hole, 0, 0 },
	{ "zero_range", 3, op_zero_range, 0, 0 },
	{ "copy_range", 6, op_copy_range, 0, 0 },
	{ "fsync", 1, op_fsync, 0, 0 },
	{ "drop_cache", 2, op_drop_cache, 0, 0 },
	{ "reopen", 2, op_reopen, 0, 0 },
	{ "check", 10, op_check, 0, 0 },
};

enum {
	OPERATIONS = sizeof(operations) / sizeof(operations[0])
};

static struct operation *choose(struct fsx *t)
{
	unsigned int total = 0;
	size_t pick;

	for (int i = 0; i < OPERATIONS; i++)
		total += operations[i].weight;
	pick = below(t, total);
	for (int i = 0; i < OPERATIONS; i++) {
		if (pick < operations[i].weight)
			return &operations[i];
		pick -= operations[i].weight;
	}
	abort();
}

/* ---- The run ---- */

static void run(struct fsx *t)
{
	for (t->number = 1; t->number <= t->operations; t->number++) {
		struct operation *op;
		enum outcome outcome;

		do {
			op = choose(t);
			outcome = op->run(t);
		} while (outcome == NOT_NOW);
		if (outcome == DONE)
			op->done++;
		else
			op->unsupported++;
		check_size(t);
	}
	op_check(t);
}

static void usage(void)
{
	fprintf(stderr,
		"usage: fsx [-n OPERATIONS] [-s SEED] [-d | -x] [-a] [-m] FILE\n"
		"  -d  O_DIRECT    -x  half of the reads and writes with O_DIRECT\n"
		"  -a  write with O_APPEND, not with -x    -m  no mmap\n"
		"FILE is created, or emptied. Exit: 0 no difference, 1 a difference,"
		" 3 usage\n");
	exit(EXIT_USAGE);
}

static uint64_t parse_number(const char *text)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || *end || *text < '0' || *text > '9')
		usage();
	return value;
}

static void parse_arguments(struct fsx *t, int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "n:s:dxam")) != -1) {
		switch (option) {
		case 'n':
			t->operations = parse_number(optarg);
			break;
		case 's':
			t->seed = parse_number(optarg);
			break;
		case 'd':
			t->direct = true;
			break;
		case 'x':
			t->mixed = true;
			break;
		case 'a':
			t->append = true;
			break;
		case 'm':
			t->no_mmap = true;
			break;
		default:
			usage();
		}
	}
	if (optind != argc - 1 || (t->mixed && (t->direct || t->append)))
		usage();
	t->path = argv[optind];
}

static void set_up(struct fsx *t)
{
	struct sigaction action = { .sa_handler = on_fault };
	void *buffer;
	int fd;

	t->random = t->seed;
	t->page = (size_t)sysconf(_SC_PAGESIZE);
	/* A mapped read looks at most one page past the largest file. */
	t->model = calloc(1, MAX_LENGTH + t->page);
	if (!t->model || posix_memalign(&buffer, DIRECT_ALIGN, MAX_OP)) {
		fprintf(stderr, "fsx: out of memory\n");
		exit(EXIT_USAGE);
	}
	t->buffer = buffer;
	sigaction(SIGBUS, &action, NULL);
	for (int i = 0; t->no_mmap && i < OPERATIONS; i++) {
		if (operations[i].run == op_mmap_read ||
		    operations[i].run == op_mmap_write)
			operations[i].weight = 0;
	}
	fd = open(t->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || close(fd) < 0) {
		fprintf(stderr, "fsx: %s: %s\n", t->path, strerror(errno));
		exit(EXIT_USAGE);
	}
	open_file(t);
}

int main(int argc, char **argv)
{
	static struct fsx t = { .operations = 10000, .seed = 1 };

	parse_arguments(&t, argc, argv);
	set_up(&t);
	run(&t);
	close_file(&t);

	printf("%-14s %10s %12s\n", "operation", "done", "unsupported");
	for (int i = 0; i < OPERATIONS; i++)
		printf("%-14s %10lu %12lu\n", operations[i].name, operations[i].done,
		       operations[i].unsupported);
	printf("%lu operations, seed %" PRIu64 ": 0 differences\n", t.operations, t.seed);
	free(t.model);
	free(t.buffer);
	return 0;
}
