// SPDX-License-Identifier: GPL-2.0-only
/*
 * Samples, taken by children. One that gets no answer is killed; where not even that goes, because
 * the server has taken the request and holds it, the child is left to end with the server.
 */
#include "fusestat.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* So many that cannot end, and no more are started. */
#define CHILDREN_MAX 16

static pid_t children[CHILDREN_MAX]; /* 0: none */

_Static_assert(sizeof(struct answer) <= 4096, "a pipe takes it at once");

/* It may outlive us, and nobody shall wait for it because it still has our output open. */
static void be_the_child(const char *path, int to)
{
	struct answer answer;
	sigset_t none;

	for (int fd = 0; fd < to; fd++)
		close(fd);

	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	signal(SIGTSTP, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	ask(path, &answer);
	_exit(write(to, &answer, sizeof(answer)) == sizeof(answer) ? 0 : 1);
}

/*
 * Never waits: one that has answered may still have to wait for the server, which is told when a
 * file is closed. What is left is reaped in a later round, or by init.
 */
static void reap(void)
{
	for (unsigned i = 0; i < CHILDREN_MAX; i++) {
		if (children[i] && waitpid(children[i], NULL, WNOHANG) != 0)
			children[i] = 0;
	}
}

static pid_t *room_for_child(void)
{
	for (unsigned i = 0; i < CHILDREN_MAX; i++) {
		if (!children[i])
			return &children[i];
	}
	return NULL;
}

/* Returns a descriptor to read the answer from, or -1 with errno set. */
static int start_child(const char *path, pid_t *child)
{
	int pipes[2];

	if (pipe2(pipes, O_CLOEXEC) != 0)
		return -1;
	*child = fork();
	if (*child == 0) {
		close(pipes[0]);
		be_the_child(path, pipes[1]);
	}
	close(pipes[1]);
	if (*child > 0)
		return pipes[0];
	close(pipes[0]);
	*child = 0;
	return -1;
}

static void explain(const char *path, const struct answer *answer)
{
	switch (answer->result) {
	case ASK_ANSWERED:
		break;
	case ASK_NO_PATH:
	case ASK_FAILED:
		say("%s: %s", path, strerror(answer->error));
		break;
	case ASK_NOT_FUSE:
		say("%s: not a FUSE file system, but %s", path, answer->type);
		break;
	case ASK_NOT_A_ROOT:
		say("%s: a part of a FUSE file system (%s), not its mount point", path,
		    answer->type);
		break;
	case ASK_REFUSED:
		say("%s: only its owner and root may ask (%s)", path,
		    strerror(answer->error));
		break;
	case ASK_FOREIGN:
		say("%s: %s does not use this library, or a version of it that cannot tell",
		    path, answer->type);
		break;
	}
}

static void take_over(const struct answer *answer, struct sample *sample)
{
	const struct fuse_live_stats *live = &answer->live;
	struct fuse_session_stats *stats = &sample->stats;
	const size_t known = sizeof(stats->total) / sizeof(uint64_t);
	size_t count = live->counters < known ? live->counters : known;

	memset(stats, 0, sizeof(*stats));
	snprintf(sample->type, sizeof(sample->type), "%s", answer->type);
	memcpy(stats->transport, live->transport, sizeof(stats->transport) - 1);
	memcpy(stats->dialect, live->dialect, sizeof(stats->dialect) - 1);
	memcpy(stats->pool, live->pool, sizeof(stats->pool) - 1);
	stats->zero_copy = live->zero_copy;
	stats->queues = live->queues;
	memcpy(&stats->total, live->counter, count * sizeof(uint64_t));
	sample->pid = live->pid;
	sample->time_ns = live->time_ns;
}

static enum wait_result await(int fd)
{
	int64_t until = fuse_clock() + ANSWER_S * INT64_C(1000000000);
	enum wait_result result;

	do {
		result = wait_until(fd, until);
	} while (result == WAIT_REDRAW);
	return result;
}

enum take_result sample_take(const char *path, struct sample *sample)
{
	enum take_result result = TAKE_FAILED;
	enum wait_result waited;
	struct answer answer;
	pid_t *child;
	int fd;

	reap();
	child = room_for_child();
	if (!child) {
		say("%s: the file system does not let go of who has asked it", path);
		return TAKE_FAILED;
	}
	fd = start_child(path, child);
	if (fd < 0) {
		say("cannot start a process: %s", strerror(errno));
		return TAKE_FAILED;
	}
	sample->path = path;
	waited = await(fd);
	if (waited == WAIT_END) {
		result = TAKE_ENDED;
	} else if (waited == WAIT_OVER) {
		say("%s: the file system has not answered for %d seconds", path,
		    ANSWER_S);
	} else if (read(fd, &answer, sizeof(answer)) != sizeof(answer)) {
		say("%s: no answer", path);
	} else if (answer.result != ASK_ANSWERED) {
		explain(path, &answer);
	} else {
		take_over(&answer, sample);
		result = TAKE_DONE;
	}
	close(fd);
	kill(*child, SIGKILL);
	reap();
	return result;
}

uint64_t sample_bytes(const struct sample *sample)
{
	return sample->stats.total.bytes_read + sample->stats.total.bytes_written;
}

bool sample_follows(const struct sample *before, const struct sample *now)
{
	return before->pid == now->pid && before->time_ns < now->time_ns &&
	       before->stats.total.requests <= now->stats.total.requests;
}
