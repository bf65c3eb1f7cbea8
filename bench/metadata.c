// SPDX-License-Identifier: GPL-2.0-only
/*
 * metadata: what a mount costs those who do not move data.
 *
 *     metadata prepare DIRECTORY PROCESSES FILES    make the files, below the mounts
 *     metadata run DIRECTORY PROCESSES FILES        measure, through a mount
 *
 * FILES are divided among the processes, each of which has a directory of its own. Prints one
 * JSON object: operations a second of all processes together, by kind of operation.
 *
 * A mount is to be measured once only: "stat" shall ask for names that its kernel has
 * never heard of, as the first walk through a tree does. The other phases find those names
 * known, and are gone through several times. "unlink" removes what "create" has made.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_PROCESSES 64
#define MAX_FILES     1000000

#define PASSES	      4

struct work {
	const char *directory;
	unsigned processes;
	unsigned files; /* of each process */
};

/* Between the processes. */
struct shared {
	pthread_barrier_t barrier;
	double seconds[8]; /* by phase, written by the first process */
};

static bool complain(const char *what, const char *name)
{
	fprintf(stderr, "metadata: %s %s: %s\n", what, name, strerror(errno));
	return false;
}

/* ---- The operations, in the process's own directory; each on one file ---- */

struct name {
	char text[32];
};

static struct name known(unsigned number)
{
	struct name name;

	snprintf(name.text, sizeof(name.text), "known.%u", number);
	return name;
}

static struct name fresh(unsigned number)
{
	struct name name;

	snprintf(name.text, sizeof(name.text), "new.%u", number);
	return name;
}

static bool make(const char *name)
{
	int fd = open(name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);

	return fd >= 0 && close(fd) == 0;
}

static bool do_stat(unsigned number)
{
	struct name name = known(number);
	struct stat attr;

	return stat(name.text, &attr) == 0 || complain("stat", name.text);
}

static bool do_open(unsigned number)
{
	struct name name = known(number);
	int fd = open(name.text, O_RDONLY | O_CLOEXEC);

	return (fd >= 0 && close(fd) == 0) || complain("open", name.text);
}

static bool do_create(unsigned number)
{
	struct name name = fresh(number);

	return make(name.text) || complain("create", name.text);
}

static bool do_unlink(unsigned number)
{
	struct name name = fresh(number);

	return unlink(name.text) == 0 || complain("unlink", name.text);
}

static bool list(unsigned files)
{
	DIR *dir = opendir(".");
	unsigned found = 0;

	if (!dir)
		return complain("opendir", ".");
	for (errno = 0; readdir(dir);)
		found++;
	if (errno)
		complain("readdir", ".");
	else if (found != files + 2)
		fprintf(stderr, "metadata: %u names instead of %u\n", found, files + 2);
	closedir(dir);
	return found == files + 2;
}

/* One phase is one kind of operation; those without a function are listings. */
static const struct phase {
	const char *name;
	bool (*operation)(unsigned number);
	bool once;
} phases[] = {
	{ "stat", do_stat, true },	{ "open", do_open, false },
	{ "readdir", NULL, false },	{ "create", do_create, false },
	{ "unlink", do_unlink, false },
};

#define PHASES (sizeof(phases) / sizeof(phases[0]))

static bool run_phase(const struct phase *phase, unsigned files)
{
	if (!phase->operation)
		return list(files);
	for (unsigned i = 0; i < files; i++)
		if (!phase->operation(i))
			return false;
	return true;
}

/* ---- The processes ---- */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool enter(const struct work *work, unsigned process)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%u", work->directory, process);
	return chdir(path) == 0 || complain("chdir", path);
}

/* All processes begin together, and the last one to end is what counts. */
static bool measure_phase(const struct work *work, size_t phase, struct shared *shared,
			  bool keeps_time)
{
	double start;

	pthread_barrier_wait(&shared->barrier);
	start = now();
	if (!run_phase(&phases[phase], work->files))
		return false;
	pthread_barrier_wait(&shared->barrier);
	if (keeps_time)
		shared->seconds[phase] += now() - start;
	return true;
}

/* Returns false in one process: the others stay at a barrier until they are killed. */
static bool measure(const struct work *work, unsigned process, struct shared *shared)
{
	if (!enter(work, process))
		return false;
	for (unsigned pass = 0; pass < PASSES; pass++)
		for (size_t i = 0; i < PHASES; i++)
			if ((pass == 0 || !phases[i].once) &&
			    !measure_phase(work, i, shared, process == 0))
				return false;
	return true;
}

static bool start(const struct work *work, struct shared *shared, pid_t *children,
		  unsigned *started)
{
	for (*started = 0; *started < work->processes; ++*started) {
		pid_t child = fork();

		if (child < 0)
			return complain("fork", "");
		if (child == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			_exit(measure(work, *started, shared) ? 0 : 1);
		}
		children[*started] = child;
	}
	return true;
}

static void end(pid_t *children, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (children[i] > 0)
			kill(children[i], SIGKILL);
	while (wait(NULL) > 0)
		;
}

static bool await(pid_t *children, unsigned count)
{
	for (unsigned ended = 0; ended < count; ended++) {
		int status;
		pid_t child = wait(&status);

		for (unsigned i = 0; i < count; i++)
			if (children[i] == child)
				children[i] = 0;
		if (child < 0 || status != 0)
			return false;
	}
	return true;
}

static void print(const struct work *work, const struct shared *shared)
{
	for (size_t i = 0; i < PHASES; i++) {
		double operations = (double)work->files * work->processes;

		if (!phases[i].once)
			operations *= PASSES;
		printf("%s\"%s\": %.1f", i ? ", " : "{", phases[i].name,
		       operations / shared->seconds[i]);
	}
	printf("}\n");
}

static bool run(const struct work *work)
{
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t children[MAX_PROCESSES];
	pthread_barrierattr_t attributes;
	unsigned started;
	bool good;

	if (shared == MAP_FAILED)
		return complain("mmap", "");
	pthread_barrierattr_init(&attributes);
	pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&shared->barrier, &attributes, work->processes);
	good = start(work, shared, children, &started) && await(children, started);
	end(children, started);
	if (good)
		print(work, shared);
	return good;
}

static bool prepare(const struct work *work)
{
	char path[PATH_MAX];

	if (mkdir(work->directory, 0755) < 0)
		return complain("mkdir", work->directory);
	for (unsigned i = 0; i < work->processes; i++) {
		snprintf(path, sizeof(path), "%s/%u", work->directory, i);
		if (mkdir(path, 0755) < 0)
			return complain("mkdir", path);
		for (unsigned file = 0; file < work->files; file++) {
			snprintf(path, sizeof(path), "%s/%u/%s", work->directory, i,
				 known(file).text);
			if (!make(path))
				return complain("create", path);
		}
	}
	return true;
}

static bool parse(const char *text, unsigned max, unsigned *number)
{
	unsigned long value;
	char *end_of_number;

	errno = 0;
	value = strtoul(text, &end_of_number, 10);
	if (*text < '0' || *text > '9' || *end_of_number || errno || value < 1 ||
	    value > max) {
		fprintf(stderr, "metadata: '%s' is not a number from 1 to %u\n", text,
			max);
		return false;
	}
	*number = (unsigned)value;
	return true;
}

int main(int argc, char **argv)
{
	struct work work;

	if (argc != 5 || (strcmp(argv[1], "prepare") && strcmp(argv[1], "run"))) {
		fprintf(stderr,
			"usage: metadata prepare|run DIRECTORY PROCESSES FILES\n");
		return 2;
	}
	work.directory = argv[2];
	if (!parse(argv[3], MAX_PROCESSES, &work.processes) ||
	    !parse(argv[4], MAX_FILES, &work.files))
		return 2;
	if (work.files % work.processes) {
		fprintf(stderr,
			"metadata: %u files cannot be divided among %u processes\n",
			work.files, work.processes);
		return 2;
	}
	work.files /= work.processes;
	return (*argv[1] == 'p' ? prepare(&work) : run(&work)) ? 0 : 1;
}
