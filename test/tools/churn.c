// SPDX-License-Identifier: GPL-2.0-only
/*
 * Clients that read, write and stat in a directory until the file system goes away.
 *
 * Each client works on its own file, DIR/churn.N, and knows what every block of it must
 * hold. An I/O error ends a client; so does the end of the run. "ready" is printed once all
 * files are there. The tester then makes something happen (kill, abort, unmount) and sends
 * SIGUSR1, from which moment on every client has a limited time to end. SIGTERM or -s ends
 * the run without an event: then no client may have met an error.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	EXIT_LATE = 1,	/* a client did not end in time, or met an error without reason */
	EXIT_WRONG = 2, /* a client read something that it had not written */
	EXIT_USAGE = 3, /* bad arguments, or the files could not be made */
	MAX_CLIENTS = 1024,
	BLOCK = 16384,
	BLOCKS = 32,
	LOOK_EVERY_MS = 5,
};

/* How long clients may take to start. */
#define START_NS UINT64_C(20000000000)

enum state {
	STARTING,
	RUNNING,
	STOPPED, /* at the end of the run */
	FAILED,	 /* an operation returned an error */
	WRONG,	 /* the data were not what the client had written */
};

/* Shared with the client processes; state is written last. */
struct client {
	_Atomic int state;
	int error;	       /* errno of FAILED */
	const char *operation; /* the one that ended it */
	uint64_t end;
	uint64_t operations;
	uint64_t longest; /* of all operations, ns */
};

struct run {
	_Atomic bool stop;
	_Atomic bool no_file; /* a client could not make its file */
	struct client clients[MAX_CLIENTS];
};

struct options {
	const char *directory;
	unsigned int clients;
	unsigned int limit_ms;
	unsigned int seconds; /* 0: until a signal */
	bool threads;
	bool direct;
};

static struct options options = { .clients = 8, .limit_ms = 2000 };
static struct run *run;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

/* ---- A client ---- */

struct work {
	struct client *client;
	unsigned int number;
	char path[4096];
	uint8_t *buffer;
	uint64_t random;
	uint32_t generation[BLOCKS]; /* how often the block was written */
	enum state outcome;
};

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static uint64_t first_word(const struct work *w, unsigned int block)
{
	return (uint64_t)w->number << 48 ^ (uint64_t)block << 32 ^ w->generation[block];
}

static void fill(struct work *w, unsigned int block)
{
	uint64_t state = first_word(w, block);

	for (size_t i = 0; i < BLOCK; i += sizeof(uint64_t)) {
		uint64_t word = next_random(&state);

		memcpy(w->buffer + i, &word, sizeof(word));
	}
}

static bool is_right(const struct work *w, unsigned int block)
{
	uint64_t state = first_word(w, block);

	for (size_t i = 0; i < BLOCK; i += sizeof(uint64_t)) {
		uint64_t word = next_random(&state);

		if (memcmp(w->buffer + i, &word, sizeof(word)) != 0)
			return false;
	}
	return true;
}

/* Why the client must end; work() tells the parent. */
static bool end(struct work *w, enum state state, const char *operation, int error)
{
	w->outcome = state;
	w->client->operation = operation;
	w->client->error = error;
	return false;
}

/* Counts an operation that began at start; an error ends the client. */
static bool passed(struct work *w, const char *operation, uint64_t start, bool ok)
{
	int error = errno;
	uint64_t took = now_ns() - start;

	w->client->operations++;
	if (took > w->client->longest)
		w->client->longest = took;
	return ok || end(w, FAILED, operation, error);
}

static bool write_block(struct work *w, int fd, unsigned int block)
{
	w->generation[block]++;
	fill(w, block);
	for (size_t done = 0; done < BLOCK;) {
		uint64_t start = now_ns();
		ssize_t n = pwrite(fd, w->buffer + done, BLOCK - done,
				   (off_t)block * BLOCK + (off_t)done);

		if (!passed(w, "write", start, n >= 0))
			return false;
		done += (size_t)n;
	}
	return true;
}

static bool read_block(struct work *w, int fd, unsigned int block)
{
	memset(w->buffer, 0, BLOCK);
	for (size_t done = 0; done < BLOCK;) {
		uint64_t start = now_ns();
		ssize_t n = pread(fd, w->buffer + done, BLOCK - done,
				  (off_t)block * BLOCK + (off_t)done);

		if (!passed(w, "read", start, n >= 0))
			return false;
		if (n == 0)
			return end(w, WRONG, "read (early end of file)", 0);
		done += (size_t)n;
	}
	return is_right(w, block) || end(w, WRONG, "read", 0);
}

static bool check_size(struct work *w)
{
	uint64_t start = now_ns();
	struct stat st;

	if (!passed(w, "stat", start, stat(w->path, &st) == 0))
		return false;
	return st.st_size == (off_t)BLOCKS * BLOCK || end(w, WRONG, "stat (size)", 0);
}

/*
 * One round. It opens by path and without O_CREAT, so that an unmounted file system, lazily
 * or not, is noticed and nothing is written to what lies beneath. The fsync is for a file
 * system that keeps written data back.
 */
static bool work_once(struct work *w)
{
	uint64_t start = now_ns();
	int fd = open(w->path, O_RDWR | O_CLOEXEC | (options.direct ? O_DIRECT : 0));
	uint64_t pick = next_random(&w->random);
	bool ok;

	if (!passed(w, "open", start, fd >= 0))
		return false;
	ok = write_block(w, fd, pick % BLOCKS) &&
	     read_block(w, fd, (pick >> 8) % BLOCKS) &&
	     read_block(w, fd, (pick >> 16) % BLOCKS) && check_size(w);
	if (ok && (pick >> 24) % 8 == 0) {
		start = now_ns();
		ok = passed(w, "fsync", start, fsync(fd) == 0);
	}
	start = now_ns();
	if (close(fd) < 0 && ok)
		ok = passed(w, "close", start, false);
	return ok;
}

static bool make_file(struct work *w)
{
	uint64_t start = now_ns();
	int fd = open(w->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	bool ok = passed(w, "create", start, fd >= 0);

	for (unsigned int block = 0; ok && block < BLOCKS; block++)
		ok = write_block(w, fd, block);
	if (fd >= 0)
		close(fd);
	return ok;
}

static void work(unsigned int number)
{
	struct work *w = calloc(1, sizeof(*w));
	void *buffer = NULL;

	if (!w || posix_memalign(&buffer, 4096, BLOCK)) {
		fprintf(stderr, "churn: out of memory\n");
		_exit(EXIT_USAGE);
	}
	w->client = &run->clients[number];
	w->number = number;
	w->buffer = buffer;
	w->random = number;
	snprintf(w->path, sizeof(w->path), "%s/churn.%u", options.directory, number);
	w->outcome = STOPPED;
	if (make_file(w)) {
		atomic_store(&w->client->state, RUNNING);
		while (!atomic_load(&run->stop) && work_once(w))
			;
	} else {
		atomic_store(&run->no_file, true);
	}
	w->client->end = now_ns();
	atomic_store(&w->client->state, w->outcome);
	free(buffer);
	free(w);
}

/* ---- The parent ---- */

static pid_t pids[MAX_CLIENTS];
static pthread_t threads[MAX_CLIENTS];

static void *client_thread(void *argument)
{
	work((unsigned int)(uintptr_t)argument);
	return NULL;
}

static void start_client(unsigned int number)
{
	pid_t parent = getpid();

	if (options.threads) {
		int error = pthread_create(&threads[number], NULL, client_thread,
					   (void *)(uintptr_t)number);
		if (error) {
			fprintf(stderr, "churn: pthread_create: %s\n", strerror(error));
			_exit(EXIT_USAGE);
		}
		return;
	}
	pids[number] = fork();
	if (pids[number] < 0) {
		perror("churn: fork");
		exit(EXIT_USAGE); /* which ends the children already there */
	}
	if (pids[number] == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent)
			work(number);
		_exit(0);
	}
}

static bool has_ended(unsigned int number)
{
	return atomic_load(&run->clients[number].state) >= STOPPED;
}

static unsigned int count_ended(void)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < options.clients; i++)
		count += has_ended(i);
	return count;
}

static bool all_started(void)
{
	for (unsigned int i = 0; i < options.clients; i++) {
		if (atomic_load(&run->clients[i].state) == STARTING)
			return false;
	}
	return true;
}

/*
 * Returns when all clients have ended or their time is over, and gives the moment of SIGUSR1,
 * or 0 if it did not come. If all end before it, it may still be on its way.
 */
static uint64_t watch(const sigset_t *signals, uint64_t start)
{
	const struct timespec tick = { .tv_nsec = LOOK_EVERY_MS * 1000000 };
	uint64_t limit = options.limit_ms * UINT64_C(1000000);
	uint64_t seconds = options.seconds * UINT64_C(1000000000);
	/* The time counts from when all have started, which may take long on a busy machine. */
	uint64_t stop_at = seconds ? start + seconds + START_NS : UINT64_MAX;
	uint64_t since = 0; /* when the limit began to count */
	uint64_t event = 0;
	bool told_ready = false;

	for (;;) {
		int number = sigtimedwait(signals, NULL, &tick);
		uint64_t now = now_ns();
		bool all_ended = count_ended() == options.clients;

		if (number == SIGUSR1 && !event)
			event = since = now;
		if (number == SIGTERM || number == SIGINT || atomic_load(&run->no_file))
			stop_at = stop_at < now ? stop_at : now;
		if (now >= stop_at)
			atomic_store(&run->stop, true);
		if (!since && (all_ended || now >= stop_at))
			since = now;
		if (all_ended && (event || now >= stop_at))
			return event;
		if (since && now - since >= limit)
			return event;
		if (!told_ready && all_started() && !atomic_load(&run->no_file)) {
			told_ready = true;
			if (seconds && now + seconds < stop_at)
				stop_at = now + seconds;
			printf("ready\n");
			fflush(stdout);
		}
	}
}

static bool is_expected(int error)
{
	static const int expected[] = { ENOTCONN, ECONNABORTED, ECONNRESET, ESHUTDOWN,
					EIO,	  ESTALE,	ENOENT,	    ENODEV,
					ENXIO,	  EINTR,	ETIMEDOUT,  ECANCELED };

	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		if (error == expected[i])
			return true;
	}
	return false;
}

static int worse(int a, int b)
{
	/* Wrong data is the worst that can be said. */
	return a == EXIT_WRONG || b == EXIT_WRONG ? EXIT_WRONG : a > b ? a : b;
}

static int report_client(unsigned int number, uint64_t start, uint64_t event,
			 uint64_t *slowest)
{
	const struct client *c = &run->clients[number];
	int state = atomic_load(&c->state);
	uint64_t delay = event && c->end > event ? c->end - event : 0;
	uint64_t limit = options.limit_ms * UINT64_C(1000000);
	int verdict = 0;

	printf("client %u: ", number);
	if (state < STOPPED) {
		printf("did not end\n");
		return EXIT_LATE;
	}
	switch (state) {
	case STOPPED:
		printf("stopped");
		break;
	case FAILED:
		printf("%s (%s) in %s", strerrorname_np(c->error), strerror(c->error),
		       c->operation);
		/* The event happens a little before its signal, but only a little. */
		if (!event || c->end + limit < event || !is_expected(c->error))
			verdict = EXIT_LATE;
		break;
	case WRONG:
		printf("wrong data in %s", c->operation);
		verdict = EXIT_WRONG;
		break;
	}
	printf(" after %.0f ms", ms(c->end - start));
	if (event)
		printf(", %.1f ms after the event", ms(delay));
	printf(", %" PRIu64 " operations, the longest %.1f ms\n", c->operations,
	       ms(c->longest));
	if (delay > *slowest)
		*slowest = delay;
	return verdict;
}

static int report(uint64_t start, uint64_t event)
{
	uint64_t slowest = 0;
	unsigned int ended = count_ended();
	int verdict = 0;

	for (unsigned int i = 0; i < options.clients; i++)
		verdict = worse(verdict, report_client(i, start, event, &slowest));
	if (event)
		printf("%u of %u clients ended, the slowest %.1f ms after the event (limit %u ms)\n",
		       ended, options.clients, ms(slowest), options.limit_ms);
	else
		printf("%u of %u clients ended, without an event\n", ended,
		       options.clients);
	fflush(stdout);
	return verdict;
}

/* A client that hangs in the kernel cannot be waited for. */
static void reap(void)
{
	for (unsigned int i = 0; i < options.clients; i++) {
		if (options.threads && has_ended(i))
			pthread_join(threads[i], NULL);
		if (options.threads)
			continue;
		if (!has_ended(i))
			kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, has_ended(i) ? 0 : WNOHANG);
	}
}

static void usage(void)
{
	fprintf(stderr,
		"usage: churn [-k CLIENTS] [-t] [-d] [-s SECONDS] [-l LIMIT_MS] DIR\n"
		"  -t  clients are threads    -d  O_DIRECT\n"
		"SIGUSR1: the event happened now    SIGTERM: end of the run\n"
		"Exit: 0 all ended well, 1 late or of the wrong error, 2 wrong data, 3 usage\n");
	exit(EXIT_USAGE);
}

static unsigned int parse_number(const char *text, unsigned int least, unsigned int most)
{
	char *rest;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &rest, 10);
	if (errno || *rest || *text < '0' || *text > '9' || value < least || value > most)
		usage();
	return (unsigned int)value;
}

static void parse_arguments(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "k:tds:l:")) != -1) {
		switch (option) {
		case 'k':
			options.clients = parse_number(optarg, 1, MAX_CLIENTS);
			break;
		case 't':
			options.threads = true;
			break;
		case 'd':
			options.direct = true;
			break;
		case 's':
			options.seconds = parse_number(optarg, 1, 86400);
			break;
		case 'l':
			options.limit_ms = parse_number(optarg, 1, 3600000);
			break;
		default:
			usage();
		}
	}
	if (optind != argc - 1)
		usage();
	options.directory = argv[optind];
}

int main(int argc, char **argv)
{
	sigset_t signals;
	uint64_t start, event;
	int verdict;

	parse_arguments(argc, argv);
	run = mmap(NULL, sizeof(*run), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		   -1, 0);
	if (run == MAP_FAILED) {
		perror("churn: mmap");
		return EXIT_USAGE;
	}
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);

	start = now_ns();
	for (unsigned int i = 0; i < options.clients; i++)
		start_client(i);
	event = watch(&signals, start);
	verdict = report(start, event);
	if (atomic_load(&run->no_file))
		verdict = EXIT_USAGE;
	reap();
	/* Not exit(): a thread that hangs in the kernel would still be using our memory. */
	_exit(verdict);
}
