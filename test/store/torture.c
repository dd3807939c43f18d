/* store-torture: kills a writer, or takes its power away, again and again, and looks whether everything that
 * it was told is there.
 *
 *   store-torture kill|power RUNS [SEED]
 *
 * It knows only what the writer has acknowledged over a pipe. Then:
 *   - an acknowledged job is there once, with its request or its answer, byte for byte;
 *   - an acknowledged final state is the state, for good;
 *   - what is unfinished comes back in the order of the numbers, and nothing is there that nobody asked for;
 *   - the database and the files of bodies are whole (store_check).
 */
#include "torture.h"
#include "base/log.h"
#include "base/rand.h"

#include <errno.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { KNOWN_MAX = 1 << 20, PATH = 256, FRESH_EVERY = 10 };

struct known {
	uint64_t n;
	int final; /* enum store_state; -1: not known to be final */
};

struct torture {
	bool power;
	char dir[64], db[96], programs[PATH];
	struct rand rand;
	uint64_t run;
	struct known *known; /* owned; of this database, in the order of n */
	uint32_t n_known;
	uint64_t acks, finals; /* in all */
	/* while it looks */
	struct io *io;
	struct store *store;
	struct known *asked;
	uint64_t *seen; /* owned: each n that is listed */
	uint32_t n_seen;
	uint64_t last_number;
	char last_pool[16];
	uint64_t loaded;
	uint32_t wrong;
};

#define WRONG(t, ...)                                           \
	do {                                                    \
		fprintf(stderr, "store-torture: " __VA_ARGS__); \
		fputc('\n', stderr);                            \
		(t)->wrong++;                                   \
	} while (0)

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- what the writer says ---- */

/* The job's place in known[], which is in the order of n. */
static uint32_t place_of(const struct torture *t, uint64_t n)
{
	uint32_t low = 0, high = t->n_known;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (t->known[middle].n < n)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void take_ack(struct torture *t, const struct ack *a)
{
	struct known *k = &t->known[place_of(t, a->n)], *end = &t->known[t->n_known];
	t->acks++;
	if (k == end || k->n != a->n) {
		CHECK(t->n_known++ < KNOWN_MAX);
		memmove(k + 1, k, (size_t)(end - k) * sizeof *k);
		*k = (struct known){ a->n, -1 };
	}
	if (!store_is_final((enum store_state)a->state))
		return;
	if (k->final >= 0 && k->final != a->state)
		WRONG(t, "job %llu is told to be %d, and was %d", (unsigned long long)a->n, a->state,
			k->final);
	t->finals += k->final < 0;
	k->final = a->state;
}

/* Reads acknowledgements until the writer is dead; kills it at kill_ms. */
static void listen_to(struct torture *t, int fd, pid_t pid, uint64_t kill_ms)
{
	struct ack acks[256];
	size_t have = 0;
	bool killed = false;
	for (;;) {
		uint64_t now = now_ms();
		struct pollfd p = { .fd = fd, .events = POLLIN };
		if (now >= kill_ms && !killed) {
			kill(pid, SIGKILL);
			killed = true;
		}
		if (poll(&p, 1, killed ? -1 : (int)(kill_ms - now)) <= 0)
			continue;
		ssize_t n = read(fd, (char *)acks + have, sizeof acks - have);
		if (n <= 0)
			return;
		have += (size_t)n;
		for (size_t i = 0; i < have / sizeof *acks; i++)
			take_ack(t, &acks[i]);
		size_t rest = have % sizeof *acks;
		memmove(acks, (char *)acks + have - rest, rest);
		have = rest;
	}
}

static void exec_writer(const struct torture *t, uint64_t seed, uint64_t after)
{
	char program[PATH + 32], layer[PATH + 32], run[24], seed_text[24], after_text[24];
	snprintf(program, sizeof program, "%s/store-writer", t->programs);
	snprintf(layer, sizeof layer, "%s/libpowerloss.so", t->programs);
	snprintf(run, sizeof run, "%llu", (unsigned long long)t->run);
	snprintf(seed_text, sizeof seed_text, "%llu", (unsigned long long)seed);
	snprintf(after_text, sizeof after_text, "%llu", (unsigned long long)after);
	if (t->power) {
		setenv("LD_PRELOAD", layer, 1);
		setenv("POWERLOSS_DIR", t->dir, 1);
		setenv("POWERLOSS_AFTER", after_text, 1);
		setenv("POWERLOSS_SEED", seed_text, 1);
	}
	execl(program, program, t->db, run, seed_text, NULL);
	perror(program);
	_exit(127);
}

static void run_writer(struct torture *t)
{
	int fds[2], status;
	uint64_t seed = rand_u64(&t->rand) >> 1;
	static const uint64_t most[] = { 60, 600, 6000, 12000 };
	uint64_t after = 1 + rand_below(&t->rand, most[rand_below(&t->rand, ARRAY_LEN(most))]);
	CHECK(pipe(fds) == 0);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		dup2(fds[1], STDOUT_FILENO);
		close(fds[0]);
		close(fds[1]);
		exec_writer(t, seed, after);
	}
	close(fds[1]);
	uint64_t patience = t->power ? 20000 : 5 + rand_below(&t->rand, 700);
	listen_to(t, fds[0], pid, now_ms() + patience);
	close(fds[0]);
	CHECK(waitpid(pid, &status, 0) == pid);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		WRONG(t, "run %llu: the writer ended by itself, status %d", (unsigned long long)t->run,
			status);
}

/* ---- what is there ---- */

static uint64_t n_of(const struct store_id *id)
{
	uint64_t n;
	memcpy(&n, id->bytes + 8, sizeof n);
	return n;
}

static void run_loop(struct torture *t)
{
	t->io->stopped = false;
	CHECK(io_epoll_run(t->io) == 0);
}

static void compare_body(struct torture *t, const struct store_reply *reply, bool answer)
{
	uint64_t n = t->asked->n, bytes = torture_body_bytes(n, answer);
	static char expected[STORE_READ_MAX];
	torture_fill(expected, n, answer);
	if (reply->body.len != bytes || memcmp(reply->body.ptr, expected, bytes) != 0 ||
		!str_eq(reply->head, STR("a head")))
		WRONG(t, "job %llu: its %s is not what it was", (unsigned long long)n,
			answer ? "answer" : "request");
}

static void on_read(void *owner, const struct store_reply *reply)
{
	struct torture *t = owner;
	const struct known *k = t->asked;
	unsigned long long n = (unsigned long long)k->n;
	io_stop(t->io);
	if (reply->err && reply->err != -ENODATA) {
		WRONG(t, "job %llu was acknowledged: %s", n, strerror(-reply->err));
		return;
	}
	const struct store_record *r = &reply->records[0];
	bool held = r->state <= STORE_DONE;
	if (k->final >= 0 && (int)r->state != k->final)
		WRONG(t, "job %llu was acknowledged as %d and is %d", n, k->final, (int)r->state);
	if (held != (reply->err == 0) || held != r->held)
		WRONG(t, "job %llu is %s, and its message is %s", n, store_state_name(r->state),
			reply->err ? "gone" : "there");
	if (r->number != k->n || !str_eq(r->pool, str_of(torture_pool(k->n))))
		WRONG(t, "job %llu has another place than it had", n);
	if (!reply->err)
		compare_body(t, reply, r->state == STORE_DONE);
}

static void look_at_known(struct torture *t)
{
	for (uint32_t i = 0; i < t->n_known; i++) {
		struct store_id id = torture_id(t->known[i].n);
		t->asked = &t->known[i];
		CHECK(store_read(t->store, &id, 0, STORE_READ_MAX, on_read, t) == 0);
		run_loop(t);
	}
}

static struct store_filter filter;

static void on_list(void *owner, const struct store_reply *reply)
{
	struct torture *t = owner;
	io_stop(t->io);
	filter.limit = reply->more ? filter.limit : 0;
	filter.at = reply->next;
	if (reply->err)
		WRONG(t, "the list: %s", strerror(-reply->err));
	for (uint32_t i = 0; i < reply->n_records && t->n_seen < KNOWN_MAX; i++) {
		uint64_t n = n_of(&reply->records[i].id);
		struct store_id id = torture_id(n);
		if (memcmp(&id, &reply->records[i].id, sizeof id) != 0 || n / RUN_NUMBERS > t->run)
			WRONG(t, "job %llu: nobody asked for it", (unsigned long long)n);
		t->seen[t->n_seen++] = n;
	}
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

/* Each acknowledged job is listed, and each that is listed, once. */
static void look_at_list(struct torture *t)
{
	uint32_t at = 0;
	t->n_seen = 0;
	filter = (struct store_filter){ .state = -1, .limit = STORE_LIST_MAX };
	while (filter.limit) {
		CHECK(store_list(t->store, &filter, on_list, t) == 0);
		run_loop(t);
	}
	qsort(t->seen, t->n_seen, sizeof *t->seen, by_number);
	for (uint32_t i = 1; i < t->n_seen; i++) {
		if (t->seen[i] == t->seen[i - 1])
			WRONG(t, "job %llu is there twice", (unsigned long long)t->seen[i]);
	}
	for (uint32_t i = 0; i < t->n_known; i++) {
		while (at < t->n_seen && t->seen[at] < t->known[i].n)
			at++;
		if (at == t->n_seen || t->seen[at] != t->known[i].n)
			WRONG(t, "job %llu is not listed", (unsigned long long)t->known[i].n);
	}
}

static int on_unfinished(void *owner, const struct store_record *r)
{
	struct torture *t = owner;
	char pool[sizeof t->last_pool];
	str_copy(pool, sizeof pool, r->pool);
	if (!strcmp(pool, t->last_pool) && r->number <= t->last_number)
		WRONG(t, "job %llu comes back after %llu", (unsigned long long)r->number,
			(unsigned long long)t->last_number);
	memcpy(t->last_pool, pool, sizeof pool);
	t->last_number = r->number;
	const struct known *k = &t->known[place_of(t, r->number)];
	if (k < &t->known[t->n_known] && k->n == r->number) {
		t->loaded++;
		if (k->final >= 0)
			WRONG(t, "job %llu comes back, and was acknowledged as over",
				(unsigned long long)k->n);
	}
	return 0;
}

static void print_line(void *owner, struct str line)
{
	fprintf(stderr, "  " STR_FMT "\n", STR_ARG(line));
}

static void no_line(void *owner, struct str line)
{
}

static void look(struct torture *t)
{
	char where[PATH + 32], why[STORE_WHY_BYTES] = "";
	snprintf(where, sizeof where, "sqlite:%s", t->db);
	t->store = store_open(where, NULL, t->io, io_epoll_post, why);
	if (!t->store) {
		WRONG(t, "%s", why);
		return;
	}
	look_at_known(t);
	look_at_list(t);
	t->last_pool[0] = '\0';
	CHECK(store_load(t->store, STR(""), on_unfinished, t) == 0);
	store_close(t->store);
	if (store_check(where, no_line, NULL, why)) {
		WRONG(t, "run %llu: the check:", (unsigned long long)t->run);
		(void)!store_check(where, print_line, NULL, why);
	}
}

/* ---- all runs ---- */

static void start_fresh(struct torture *t)
{
	char command[PATH + 32];
	t->n_known = 0;
	snprintf(command, sizeof command, "rm -rf '%s' && mkdir '%s'", t->dir, t->dir);
	CHECK(system(command) == 0);
}

int main(int argc, char **argv)
{
	static struct torture t;
	if (argc < 3 || (strcmp(argv[1], "kill") != 0 && strcmp(argv[1], "power") != 0)) {
		fprintf(stderr, "usage: store-torture kill|power RUNS [SEED]\n");
		return 2;
	}
	uint64_t runs = strtoull(argv[2], NULL, 10), seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
	char program[PATH];
	str_copy(program, sizeof program, str_of(argv[0]));
	log_init("store-torture", LOG_WARNING, STDERR_FILENO);
	t.power = !strcmp(argv[1], "power");
	snprintf(t.programs, sizeof t.programs, "%s", dirname(program));
	snprintf(t.dir, sizeof t.dir, "/var/tmp/berth-torture-XXXXXX");
	CHECK(mkdtemp(t.dir));
	snprintf(t.db, sizeof t.db, "%s/berth.db", t.dir);
	rand_seed(&t.rand, seed);
	t.known = malloc(KNOWN_MAX * sizeof *t.known);
	t.seen = malloc(KNOWN_MAX * sizeof *t.seen);
	t.io = io_epoll_create();
	CHECK(t.known && t.seen && t.io);
	uint64_t looks = 0;
	for (t.run = 0; t.run < runs && !t.wrong; t.run++) {
		if (t.run % FRESH_EVERY == 0)
			start_fresh(&t);
		run_writer(&t);
		if (t.run + 1 < runs && (t.run + 1) % FRESH_EVERY && rand_below(&t.rand, 3) == 0)
			continue; /* the next writer meets it as it was left */
		look(&t);
		looks++;
	}
	printf("%s: %llu runs from seed %llu, looked at %llu times: %llu acknowledgements, %llu jobs over, %u"
	       " things wrong\n",
		argv[1], (unsigned long long)t.run, (unsigned long long)seed, (unsigned long long)looks,
		(unsigned long long)t.acks, (unsigned long long)t.finals, t.wrong);
	if (t.wrong)
		printf("the database is left in %s\n", t.dir);
	else
		start_fresh(&t), rmdir(t.dir);
	io_epoll_destroy(t.io);
	free(t.known);
	free(t.seen);
	return t.wrong || !t.acks;
}
