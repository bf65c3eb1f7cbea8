// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts, which meet requests at any time of their life, and notifications.
 */
#include "protocol_rig.h"

#include <pthread.h>
#include <semaphore.h>
#include <time.h>

static void hold(fuse_req_t req, fuse_ino_t ino)
{
}

static const struct fuse_lowlevel_ops holding = { .readlink = hold };

static struct rig_req *start_request(void)
{
	return rig_send(FUSE_READLINK, NULL, 0, NULL, 0);
}

static void interrupt(uint64_t unique)
{
	struct fuse_interrupt_in in = { .unique = unique };
	struct fuse_in_header header = rig_header(FUSE_INTERRUPT, sizeof(in));
	struct rig_req *r;

	header.unique = unique | 1;
	r = rig_joined(header, &in, sizeof(in), NULL, 0);
	fuse_protocol_dispatch(&r->req);
	CHECK_INT(r->replies, 0);
	rig_free(r);
}

static void end_request(struct rig_req *r)
{
	CHECK_INT(fuse_reply_err(&r->req, 0), 0);
	CHECK_INT(r->replies, 1);
	rig_free(r);
}

static void count_call(fuse_req_t req, void *data)
{
	(*(int *)data)++;
	CHECK_INT(fuse_req_interrupted(req), 1);
}

static void test_interrupt(void)
{
	struct rig_req *r = start_request();
	struct rig_req *other = start_request();
	int calls = 0, others = 0;

	CASE("an interrupt calls the function once");
	fuse_req_interrupt_func(&r->req, count_call, &calls);
	fuse_req_interrupt_func(&other->req, count_call, &others);
	CHECK_INT(fuse_req_interrupted(&r->req), 0);
	interrupt(r->req.unique);
	CHECK_INT(fuse_req_interrupted(&r->req), 1);
	interrupt(r->req.unique);
	CHECK_INT(calls, 1);
	CHECK_INT(others, 0);
	CHECK_INT(fuse_req_interrupted(&other->req), 0);
	fuse_req_interrupt_func(&other->req, NULL, NULL);
	interrupt(other->req.unique);
	CHECK_INT(others, 0);
	CHECK_INT(fuse_req_interrupted(&other->req), 1);
	end_request(r);
	end_request(other);

	CASE("a function that is set after the interrupt is called at once");
	r = start_request();
	interrupt(r->req.unique);
	calls = 0;
	fuse_req_interrupt_func(&r->req, count_call, &calls);
	CHECK_INT(calls, 1);
	fuse_req_interrupt_func(&r->req, NULL, NULL);
	end_request(r);
}

static void test_early(void)
{
	const struct timespec lifetime = { 1, 100000000 };
	const uint64_t step = 2 * FUSE_INFLIGHT_SHARDS; /* the same shard again */
	struct rig_req *r;
	uint64_t first;

	CASE("an interrupt before its request");
	interrupt(rig_unique + 4); /* the interrupt itself takes one, too */
	r = start_request();
	CHECK_INT(fuse_req_interrupted(&r->req), 1);
	end_request(r);

	CASE("only so many are remembered, the oldest go first");
	first = rig_unique + 1000 * step;
	for (int i = 0; i <= FUSE_INFLIGHT_EARLY; i++) {
		const struct timespec pause = { 0, 5000000 };

		interrupt(first + (uint64_t)i * step);
		nanosleep(&pause, NULL);
	}
	for (int i = 0; i <= FUSE_INFLIGHT_EARLY; i++) {
		rig_unique = first + (uint64_t)i * step - 2;
		r = start_request();
		CHECK_INT(fuse_req_interrupted(&r->req), i > 0);
		end_request(r);
	}

	CASE("and only for a second");
	first = rig_unique + 1000;
	interrupt(first);
	nanosleep(&lifetime, NULL);
	rig_unique = first - 2;
	r = start_request();
	CHECK_INT(fuse_req_interrupted(&r->req), 0);
	end_request(r);
}

static void answer(fuse_req_t req, void *data)
{
	struct rig_req *r = (struct rig_req *)req;

	CHECK_INT(fuse_reply_err(req, EINTR), 0);
	CHECK_INT(r->replies, 1);
	CHECK_INT(r->finished, 0);
	CHECK_INT(fuse_reply_err(req, 0), -EINVAL);
}

static void test_answer_in_function(void)
{
	struct rig_req *r = start_request();

	CASE("the function answers the request");
	fuse_req_interrupt_func(&r->req, answer, NULL);
	interrupt(r->req.unique);
	CHECK_INT(r->error, -EINTR);
	rig_free(r);

	r = start_request();
	interrupt(r->req.unique);
	fuse_req_interrupt_func(&r->req, answer, NULL);
	CHECK_INT(r->error, -EINTR);
	rig_free(r);
}

static void set_another(fuse_req_t req, void *data)
{
	fuse_req_interrupt_func(req, NULL, NULL);
	fuse_req_interrupt_func(req, count_call, data);
}

static void test_function_sets_function(void)
{
	struct rig_req *r = start_request();
	int calls = 0;

	CASE("the function sets another one");
	fuse_req_interrupt_func(&r->req, set_another, &calls);
	interrupt(r->req.unique);
	CHECK_INT(calls, 1);
	end_request(r);
}

/* A function that stays until it is told to go. */
struct visit {
	sem_t came, go;
	_Atomic bool left;
};

static void stay(fuse_req_t req, void *data)
{
	struct visit *visit = data;

	sem_post(&visit->came);
	sem_wait(&visit->go);
	atomic_store(&visit->left, true);
}

static void *interrupt_thread(void *data)
{
	struct rig_req *r = data;
	struct fuse_interrupt_in in = { .unique = r->req.unique };

	fuse_inflight_interrupt(&rig.protocol.inflight, in.unique);
	return NULL;
}

static void start_visit(struct visit *visit, struct rig_req *r, pthread_t *thread)
{
	sem_init(&visit->came, 0, 0);
	sem_init(&visit->go, 0, 0);
	atomic_store(&visit->left, false);
	fuse_req_interrupt_func(&r->req, stay, visit);
	CHECK_INT(pthread_create(thread, NULL, interrupt_thread, r), 0);
	sem_wait(&visit->came);
}

static void end_visit(struct visit *visit, pthread_t thread)
{
	pthread_join(thread, NULL);
	sem_destroy(&visit->came);
	sem_destroy(&visit->go);
}

static void test_answer_meanwhile(void)
{
	struct rig_req *r = start_request();
	struct visit visit;
	pthread_t thread;

	CASE("another thread answers while the function runs");
	start_visit(&visit, r, &thread);
	CHECK_INT(fuse_reply_buf(&r->req, "abc", 3), 0);
	CHECK_INT(r->replies, 1);
	CHECK_INT(r->finished, 0);
	sem_post(&visit.go);
	end_visit(&visit, thread);
	CHECK_INT(r->finished, 1);
	rig_free(r);
}

struct removal {
	struct visit *visit;
	struct rig_req *r;
	_Atomic bool returned;
};

static void *remove_function(void *data)
{
	struct removal *removal = data;

	fuse_req_interrupt_func(&removal->r->req, NULL, NULL);
	CHECK(atomic_load(&removal->visit->left));
	atomic_store(&removal->returned, true);
	return NULL;
}

static void test_removal_waits(void)
{
	const struct timespec pause = { 0, 50000000 };
	struct rig_req *r = start_request();
	struct visit visit;
	struct removal removal = { .visit = &visit, .r = r };
	pthread_t interrupter, remover;

	CASE("removing the function waits until nobody is in it");
	start_visit(&visit, r, &interrupter);
	CHECK_INT(pthread_create(&remover, NULL, remove_function, &removal), 0);
	nanosleep(&pause, NULL);
	CHECK(!atomic_load(&removal.returned));
	sem_post(&visit.go);
	pthread_join(remover, NULL);
	CHECK(atomic_load(&removal.returned));
	end_visit(&visit, interrupter);
	end_request(r);
}

static void answer_interrupted(fuse_req_t req, void *data)
{
	(*(int *)data)++;
	CHECK_INT(fuse_reply_err(req, EINTR), 0);
}

static void test_close(void)
{
	enum {
		COUNT = 200
	};
	struct fuse_inflight *table = &rig.protocol.inflight;
	struct rig_req *all[COUNT], *late;
	int counted = 0, answered = 0;

	CASE("closing interrupts what is in flight, and what comes later");
	for (int i = 0; i < COUNT; i++) {
		all[i] = start_request();
		if (i % 3 == 0)
			fuse_req_interrupt_func(&all[i]->req, count_call, &counted);
		else if (i % 3 == 1)
			fuse_req_interrupt_func(&all[i]->req, answer_interrupted,
						&answered);
	}
	interrupt(all[0]->req.unique);
	interrupt(all[1]->req.unique);
	fuse_inflight_close(table);
	fuse_inflight_close(table);
	CHECK_INT(counted, (COUNT + 2) / 3);
	CHECK_INT(answered, (COUNT + 1) / 3);
	for (int i = 0; i < COUNT; i++) {
		if (i % 3 == 1) {
			/* a signal of the caller's ended but one of them */
			CHECK_INT(all[i]->error, i == 1 ? -EINTR : -ENOTCONN);
			rig_free(all[i]);
		} else {
			CHECK_INT(fuse_req_interrupted(&all[i]->req), 1);
			end_request(all[i]);
		}
	}
	late = start_request();
	CHECK_INT(fuse_req_interrupted(&late->req), 1);
	counted = 0;
	fuse_req_interrupt_func(&late->req, count_call, &counted);
	CHECK_INT(counted, 1);
	end_request(late);

	fuse_inflight_open(table);
	late = start_request();
	CHECK_INT(fuse_req_interrupted(&late->req), 0);
	end_request(late);
}

static void test_no_interrupt(void)
{
	struct fuse_interrupt_in in = { .unique = 1000000 };
	struct rig_req *r;

	CASE("a filesystem that wants no interrupts");
	rig.protocol.conn.no_interrupt = 1;
	r = rig_send(FUSE_INTERRUPT, &in, sizeof(in), NULL, 0);
	CHECK_INT(r->replies, 1);
	CHECK_INT(r->error, -ENOSYS);
	rig_free(r);
	r = rig_send(FUSE_INTERRUPT, &in, sizeof(in) - 1, NULL, 0);
	CHECK_INT(r->replies, 0);
	rig_free(r);
	rig.protocol.conn.no_interrupt = 0;
}

/* ---- All at once ---- */

#define STRESS_THREADS 4
#define STRESS_ROUNDS  5000
#define STRESS_BEHIND  64 /* requests that an interrupt may come too late for */
#define STRESS_SECONDS 20 /* at most, for the first interrupt to come */

static _Atomic uint64_t stress_unique;
static _Atomic bool stress_over;

static void stress_func(fuse_req_t req, void *data)
{
	atomic_fetch_add((_Atomic int *)data, 1);
	if (req->unique % 3 == 0)
		fuse_reply_err(req, EINTR);
}

/*
 * One request that is used again and again, as on a ring. If the function may have
 * answered it, it may be gone: it is answered without being touched otherwise.
 */
static void *stress_requests(void *data)
{
	struct rig_req *r = rig_new();
	_Atomic int *calls = data;
	time_t until = time(NULL) + STRESS_SECONDS;

	r->req.transport = &rig_ring;
	r->message = malloc(sizeof(struct fuse_in_header));
	CHECK(r->message);
	r->req.view.header = (const void *)r->message;
	r->req.view.arg = r->message;
	/* Where threads run one at a time, all may be over before the first interrupt comes. */
	for (int i = 0; i < STRESS_ROUNDS || (!atomic_load(calls) && time(NULL) < until);
	     i++) {
		uint64_t unique = atomic_fetch_add(&stress_unique, 2);
		struct fuse_in_header header = { .len = sizeof(header),
						 .opcode = FUSE_READLINK,
						 .unique = unique };
		int answered;

		memcpy(r->message, &header, sizeof(header));
		atomic_store(&r->finished, 0);
		fuse_protocol_dispatch(&r->req);
		fuse_req_interrupt_func(&r->req, stress_func, calls);
		if (i % 2 && unique % 3)
			fuse_req_interrupt_func(&r->req, NULL, NULL);
		answered = fuse_reply_err(&r->req, 0);
		CHECK(!answered || unique % 3 == 0);
		while (!atomic_load(&r->finished))
			sched_yield();
		if (i % 16 == 0)
			sched_yield();
	}
	rig_free(r);
	return NULL;
}

static void *stress_interrupts(void *data)
{
	uint64_t last = 0;

	while (!atomic_load(&stress_over)) {
		uint64_t unique = atomic_load(&stress_unique);

		/* There, who did them all would never catch up. */
		if (unique > last + 2 * STRESS_BEHIND)
			last = unique - 2 * STRESS_BEHIND;
		for (; last < unique; last += 2)
			fuse_inflight_interrupt(&rig.protocol.inflight, last);
		/* a little ahead of the requests, too */
		for (uint64_t ahead = 0; ahead < 16; ahead += 2)
			fuse_inflight_interrupt(&rig.protocol.inflight, unique + ahead);
	}
	return NULL;
}

static void test_stress(void)
{
	pthread_t requests[STRESS_THREADS], interrupts[2];
	_Atomic int calls = 0;

	CASE("requests and interrupts from many threads");
	atomic_store(&stress_unique, 2);
	for (int i = 0; i < 2; i++)
		CHECK_INT(pthread_create(&interrupts[i], NULL, stress_interrupts, NULL),
			  0);
	for (int i = 0; i < STRESS_THREADS; i++)
		CHECK_INT(pthread_create(&requests[i], NULL, stress_requests, &calls), 0);
	for (int i = 0; i < STRESS_THREADS; i++)
		pthread_join(requests[i], NULL);
	atomic_store(&stress_over, true);
	for (int i = 0; i < 2; i++)
		pthread_join(interrupts[i], NULL);
	CHECK(calls > 0);
}

/* ---- Notifications ---- */

static struct {
	int code;
	char bytes[256];
	size_t size;
	int result;
} sent;

static int notify_send(void *transport, int code, const struct iovec *iov, int count)
{
	CHECK(transport == &sent);
	sent.code = code;
	sent.size = 0;
	for (int i = 0; i < count; i++) {
		CHECK(iov[i].iov_len <= sizeof(sent.bytes) - sent.size);
		memcpy(sent.bytes + sent.size, iov[i].iov_base, iov[i].iov_len);
		sent.size += iov[i].iov_len;
	}
	return sent.result;
}

static int notify_send_data(void *transport, int code, const void *header,
			    size_t header_size, struct fuse_bufvec *data,
			    enum fuse_buf_copy_flags flags)
{
	struct fuse_bufvec to = FUSE_BUFVEC_INIT(sizeof(sent.bytes) - header_size);
	ssize_t size;

	CHECK(transport == &sent);
	sent.code = code;
	memcpy(sent.bytes, header, header_size);
	to.buf[0].mem = sent.bytes + header_size;
	size = fuse_buf_copy(&to, data, flags);
	CHECK(size >= 0);
	sent.size = header_size + (size_t)size;
	return sent.result;
}

static void expect_sent(int code, const void *head, size_t head_size, const void *tail,
			size_t tail_size)
{
	CHECK_INT(sent.code, code);
	CHECK_INT(sent.size, head_size + tail_size);
	CHECK(!memcmp(sent.bytes, head, head_size));
	CHECK(!memcmp(sent.bytes + head_size, tail, tail_size));
	sent.code = 0;
}

static void test_notifications(void)
{
	const struct fuse_notify_inval_inode_out inode = { 5, -6, 7 };
	const struct fuse_notify_inval_entry_out entry = { 5, 4, 0 };
	const struct fuse_notify_inval_entry_out expire = { 5, 4, FUSE_EXPIRE_ONLY };
	const struct fuse_notify_delete_out removed = { 5, 6, 4, 0 };
	const struct fuse_notify_store_out store = { 5, 1ull << 40, 3, 0 };
	struct fuse_bufvec data = FUSE_BUFVEC_INIT(3);

	CASE("notifications, byte for byte");
	CHECK_INT(fuse_lowlevel_notify_inval_inode(&rig, 5, -6, 7), 0);
	expect_sent(FUSE_NOTIFY_INVAL_INODE, &inode, sizeof(inode), "", 0);
	CHECK_INT(fuse_lowlevel_notify_inval_entry(&rig, 5, "namely", 4), 0);
	expect_sent(FUSE_NOTIFY_INVAL_ENTRY, &entry, sizeof(entry), "name", 5);
	CHECK_INT(fuse_lowlevel_notify_delete(&rig, 5, 6, "name", 4), 0);
	expect_sent(FUSE_NOTIFY_DELETE, &removed, sizeof(removed), "name", 5);
	CHECK_INT(fuse_lowlevel_notify_increment_epoch(&rig), 0);
	expect_sent(FUSE_NOTIFY_INC_EPOCH, "", 0, "", 0);
	data.buf[0].mem = (char *)"abc";
	CHECK_INT(fuse_lowlevel_notify_store(&rig, 5, 1ll << 40, &data, 0), 0);
	expect_sent(FUSE_NOTIFY_STORE, &store, sizeof(store), "abc", 3);

	CHECK_INT(fuse_lowlevel_notify_expire_entry(&rig, 5, "name", 4), -ENOSYS);
	rig.protocol.conn.capable_ext = FUSE_CAP_EXPIRE_ONLY;
	CHECK_INT(fuse_lowlevel_notify_expire_entry(&rig, 5, "name", 4), 0);
	expect_sent(FUSE_NOTIFY_INVAL_ENTRY, &expire, sizeof(expire), "name", 5);

	sent.result = -ENOENT;
	CHECK_INT(fuse_lowlevel_notify_inval_inode(&rig, 5, 0, 0), -ENOENT);
	sent.result = 0;
}

static void test_old_protocols(void)
{
	struct fuse_bufvec data = FUSE_BUFVEC_INIT(0);

	CASE("what is too new for the protocol, or has no session");
	sent.code = 0;
	rig.protocol.conn.proto_minor = 43;
	CHECK_INT(fuse_lowlevel_notify_increment_epoch(&rig), -ENOSYS);
	rig.protocol.conn.proto_minor = 17;
	CHECK_INT(fuse_lowlevel_notify_delete(&rig, 5, 6, "name", 4), -ENOSYS);
	rig.protocol.conn.proto_minor = 14;
	CHECK_INT(fuse_lowlevel_notify_store(&rig, 5, 0, &data, 0), -ENOSYS);
	CHECK_INT(fuse_lowlevel_notify_retrieve(&rig, 5, 1, 0, NULL), -ENOSYS);
	rig.protocol.conn.proto_minor = 11;
	CHECK_INT(fuse_lowlevel_notify_inval_inode(&rig, 5, 0, 0), -ENOSYS);
	CHECK_INT(fuse_lowlevel_notify_inval_entry(&rig, 5, "name", 4), -ENOSYS);
	CHECK_INT(fuse_lowlevel_notify_expire_entry(&rig, 5, "name", 4), -ENOSYS);
	rig.protocol.conn.proto_minor = 46;
	rig.protocol.got_init = false;
	CHECK_INT(fuse_lowlevel_notify_inval_inode(&rig, 5, 0, 0), -ENOSYS);
	rig.protocol.got_init = true;

	CHECK_INT(fuse_lowlevel_notify_inval_inode(NULL, 5, 0, 0), -EINVAL);
	CHECK_INT(fuse_lowlevel_notify_inval_entry(NULL, 5, "name", 4), -EINVAL);
	CHECK_INT(fuse_lowlevel_notify_expire_entry(NULL, 5, "name", 4), -EINVAL);
	CHECK_INT(fuse_lowlevel_notify_delete(NULL, 5, 6, "name", 4), -EINVAL);
	CHECK_INT(fuse_lowlevel_notify_store(NULL, 5, 0, &data, 0), -EINVAL);
	CHECK_INT(fuse_lowlevel_notify_retrieve(NULL, 5, 1, 0, NULL), -EINVAL);
	CHECK_INT(fuse_lowlevel_notify_increment_epoch(NULL), -EINVAL);
	CHECK_INT(fuse_lowlevel_notify_poll(NULL), 0);
	CHECK_INT(sent.code, 0);
}

static struct fuse_pollhandle *polled;

static void op_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
		    struct fuse_pollhandle *ph)
{
	polled = ph;
	fuse_reply_poll(req, 0);
}

static void test_poll(void)
{
	const struct fuse_poll_in in = { .kh = 99, .flags = FUSE_POLL_SCHEDULE_NOTIFY };
	const struct fuse_notify_poll_wakeup_out out = { .kh = 99 };

	CASE("poll handles");
	rig.protocol.ops.poll = op_poll;
	rig_free(rig_send(FUSE_POLL, &in, sizeof(in), NULL, 0));
	CHECK(polled);
	for (int i = 0; i < 2; i++) {
		CHECK_INT(fuse_lowlevel_notify_poll(polled), 0);
		expect_sent(FUSE_NOTIFY_POLL, &out, sizeof(out), "", 0);
	}
	fuse_pollhandle_destroy(polled);
	fuse_pollhandle_destroy(NULL);
}

static char retrieved[64];

static void op_retrieve_reply(fuse_req_t req, void *cookie, fuse_ino_t ino, off_t offset,
			      struct fuse_bufvec *data)
{
	struct fuse_bufvec to = FUSE_BUFVEC_INIT(16);
	char buf[16];

	to.buf[0].mem = buf;
	snprintf(retrieved, sizeof(retrieved), "%s %d at %d '%.*s'", (char *)cookie,
		 (int)ino, (int)offset, (int)fuse_buf_copy(&to, data, 0), buf);
	fuse_reply_none(req);
}

static void send_retrieved(uint64_t unique, uint32_t size)
{
	const struct fuse_notify_retrieve_in in = { .offset = 10, .size = size };
	struct fuse_in_header header = rig_header(FUSE_NOTIFY_REPLY, sizeof(in) + 3);
	struct rig_req *r;

	header.unique = unique;
	r = rig_joined(header, &in, sizeof(in), "abc", 3);
	fuse_protocol_dispatch(&r->req);
	CHECK_INT(r->replies, 0);
	rig_free(r);
}

/* A ring's payload begins with the argument, if the kernel is of those that exist. */
static void send_retrieved_on_ring(uint64_t unique, bool in_payload)
{
	struct {
		struct fuse_notify_retrieve_in in;
		char data[3];
	} __attribute__((packed)) whole = { { .offset = 10, .size = 3 }, "abc" };
	struct fuse_in_header header = rig_header(FUSE_NOTIFY_REPLY, sizeof(whole));
	struct rig_req *r;

	header.unique = unique;
	if (in_payload)
		r = rig_split(header, NULL, 0, &whole, sizeof(whole));
	else
		r = rig_split(header, &whole.in, sizeof(whole.in), "abc", 3);
	fuse_protocol_dispatch(&r->req);
	CHECK_INT(r->replies, 0);
	rig_free(r);
}

static void test_retrieve_on_ring(void)
{
	static char cookie[] = "biscuit";
	uint64_t unique;

	CASE("retrieved data on a ring");
	rig.protocol.ops.retrieve_reply = op_retrieve_reply;
	for (int in_payload = 0; in_payload < 2; in_payload++) {
		CHECK_INT(fuse_lowlevel_notify_retrieve(&rig, 5, 3, 10, cookie), 0);
		memcpy(&unique, sent.bytes, sizeof(unique));
		retrieved[0] = '\0';
		send_retrieved_on_ring(unique, in_payload);
		CHECK_TEXT(retrieved, "biscuit 5 at 10 'abc'");
	}
}

static void test_retrieve(void)
{
	struct fuse_notify_retrieve_out out = { .nodeid = 5, .offset = 10, .size = 3 };
	static char cookie[] = "cookie";
	uint64_t unique;

	CASE("retrieved data");
	rig.protocol.ops.retrieve_reply = op_retrieve_reply;
	CHECK_INT(fuse_lowlevel_notify_retrieve(&rig, 5, 3, 10, cookie), 0);
	memcpy(&unique, sent.bytes, sizeof(unique));
	out.notify_unique = unique;
	expect_sent(FUSE_NOTIFY_RETRIEVE, &out, sizeof(out), "", 0);
	send_retrieved(unique + 1, 3); /* of which nobody knows */
	send_retrieved(unique, 4);     /* which it has not */
	CHECK_TEXT(retrieved, "");
	send_retrieved(unique, 3);
	CHECK_TEXT(retrieved, "cookie 5 at 10 'abc'");
	retrieved[0] = '\0';
	send_retrieved(unique, 3);
	CHECK_TEXT(retrieved, "");

	sent.result = -EINVAL;
	CHECK_INT(fuse_lowlevel_notify_retrieve(&rig, 5, 3, 10, cookie), -EINVAL);
	CHECK(!rig.protocol.retrievals);
	sent.result = 0;

	/* one that is never answered is freed with the session */
	CHECK_INT(fuse_lowlevel_notify_retrieve(&rig, 5, 3, 10, cookie), 0);
	rig.protocol.ops.retrieve_reply = NULL;
	CHECK_INT(fuse_lowlevel_notify_retrieve(&rig, 5, 3, 10, cookie), 0);
	memcpy(&unique, sent.bytes, sizeof(unique));
	send_retrieved(unique, 3);
}

int main(void)
{
	rig_start(&holding);
	test_interrupt();
	test_early();
	test_answer_in_function();
	test_function_sets_function();
	test_answer_meanwhile();
	test_removal_waits();
	test_close();
	test_no_interrupt();
	test_stress();

	rig.protocol.notify.transport = &sent;
	rig.protocol.notify.send = notify_send;
	rig.protocol.notify.send_data = notify_send_data;
	test_notifications();
	test_old_protocols();
	test_poll();
	test_retrieve();
	test_retrieve_on_ring();
	rig_stop();
	return 0;
}
