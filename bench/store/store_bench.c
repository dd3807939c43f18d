/* store_bench: the durable store beside SQLite alone and beside a bare fdatasync, on the same disk in one
 * run.
 *
 *   store-bench [DIRECTORY] [JOBS] [QUEUED]
 *
 * The two rates are measured in turns, for disks change their pace: what counts are the ratios. Then QUEUED
 * jobs are put into one database, and a fresh process opens it: its time, its memory, a listing of 50.
 */
#include "base/rand.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BODY_BYTES = 1024, OUTSTANDING = 256, ROUNDS = 5, ALONE = 300, LISTS = 200, PATH_BYTES = 4096 };

static char body[BODY_BYTES];
static struct rand random_ids;

static uint64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static double percentile(double *v, size_t n, double share)
{
	qsort(v, n, sizeof *v, by_value);
	return v[(size_t)((double)(n - 1) * share)];
}

static void must(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "store-bench: %s: %s\n", what, strerror(errno));
		exit(1);
	}
}

static const char *path_of(const char *dir, const char *name)
{
	static char path[PATH_BYTES];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	return path;
}

/* ---- the bare disk, and SQLite alone ---- */

static int bare_open(const char *dir)
{
	int fd = open(path_of(dir, "bare"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	must(fd >= 0, "open");
	for (int i = 0; i < ALONE; i++)
		must(pwrite(fd, body, BODY_BYTES, (off_t)i * BODY_BYTES) == BODY_BYTES, "write");
	must(fsync(fd) == 0, "fsync");
	return fd;
}

/* 1 KiB written in place, then synced: the least that any acknowledgement costs. In us. */
static double bare_fdatasync(int fd, int i)
{
	uint64_t start = now_us();
	must(pwrite(fd, body, BODY_BYTES, (off_t)i * BODY_BYTES) == BODY_BYTES, "write");
	must(fdatasync(fd) == 0, "fdatasync");
	return (double)(now_us() - start);
}

static void plain_exec(sqlite3 *db, const char *sql)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL)) {
		fprintf(stderr, "store-bench: %s\n", sqlite3_errmsg(db));
		exit(1);
	}
}

static sqlite3 *plain_open(const char *dir)
{
	sqlite3 *db;
	must(sqlite3_open(path_of(dir, "plain.db"), &db) == SQLITE_OK, "sqlite3_open");
	plain_exec(db,
		"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000;"
		"PRAGMA cache_size = -32768;"
		"CREATE TABLE job (seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, request BLOB)");
	return db;
}

/* Inserts a second, in batches of as many as the store has outstanding. */
static double plain_rate(sqlite3 *db, uint32_t jobs)
{
	sqlite3_stmt *insert;
	must(sqlite3_prepare_v2(db, "INSERT INTO job (id, request) VALUES (?1, ?2)", -1, &insert, NULL) == 0,
		"prepare");
	uint64_t start = now_us();
	for (uint32_t done = 0; done < jobs;) {
		plain_exec(db, "BEGIN");
		for (int i = 0; i < OUTSTANDING && done < jobs; i++, done++) {
			uint64_t id[2] = { rand_u64(&random_ids), rand_u64(&random_ids) };
			sqlite3_bind_blob(insert, 1, id, sizeof id, SQLITE_STATIC);
			sqlite3_bind_blob(insert, 2, body, BODY_BYTES, SQLITE_STATIC);
			must(sqlite3_step(insert) == SQLITE_DONE, "insert");
			sqlite3_reset(insert);
		}
		plain_exec(db, "COMMIT");
	}
	double seconds = (double)(now_us() - start) / 1e6;
	sqlite3_finalize(insert);
	return jobs / seconds;
}

/* ---- the store ---- */

struct load {
	struct io *io;
	struct store *store;
	uint32_t to_send, to_come;
	uint64_t number;
	uint64_t sent_us; /* of the latest */
	double *us;       /* NULL: not wanted; else, of each answer */
	uint32_t n_us;
};

static void send_one(struct load *l);

static void on_enqueued(void *owner, const struct store_reply *reply)
{
	struct load *l = owner;
	errno = -reply->err;
	must(reply->err == 0, "enqueue");
	if (l->us)
		l->us[l->n_us++] = (double)(now_us() - l->sent_us);
	if (--l->to_come == 0)
		io_stop(l->io);
	else if (l->to_send)
		send_one(l);
}

static void send_one(struct load *l)
{
	struct iovec slice = { body, BODY_BYTES };
	struct store_job job = {
		.pool = STR("default"),
		.number = ++l->number,
		.epoch = store_epoch(l->store),
		.created_us = 1700000000000000 + l->number,
		.request = { .slices = &slice, .n_slices = 1 },
	};
	uint64_t id[2] = { rand_u64(&random_ids), rand_u64(&random_ids) };
	memcpy(job.id.bytes, id, sizeof id);
	l->to_send--;
	l->sent_us = now_us();
	must(store_enqueue(l->store, &job, on_enqueued, l) == 0, "store_enqueue");
}

/* Seconds until `jobs` are acknowledged, with so many outstanding. */
static double enqueue(struct load *l, uint32_t jobs, uint32_t outstanding)
{
	l->to_send = l->to_come = jobs;
	uint64_t start = now_us();
	for (uint32_t i = 0; i < outstanding && l->to_send; i++)
		send_one(l);
	l->io->stopped = false;
	must(io_epoll_run(l->io) == 0, "io_epoll_run");
	return (double)(now_us() - start) / 1e6;
}

static void open_store(struct load *l, const char *dir, const char *name)
{
	char where[PATH_BYTES], why[STORE_WHY_BYTES];
	struct store_settings settings;
	snprintf(where, sizeof where, "sqlite:%s/%s", dir, name);
	store_settings_default(&settings, where);
	settings.max_records = 100 * 1000 * 1000;
	l->io = io_epoll_create();
	must(l->io != NULL, "io_epoll_create");
	l->store = store_open(where, &settings, l->io, io_epoll_post, why);
	if (!l->store) {
		fprintf(stderr, "store-bench: %s\n", why);
		exit(1);
	}
}

static void close_store(struct load *l)
{
	store_close(l->store);
	io_epoll_destroy(l->io);
}

static void compare_rates(const char *dir, uint32_t jobs)
{
	static double ratios[ROUNDS];
	struct load l = { 0 };
	open_store(&l, dir, "store.db");
	sqlite3 *plain = plain_open(dir);
	printf("durable enqueues of 1 KiB a second, %d outstanding or in a batch, %u each round\n",
		OUTSTANDING, jobs / ROUNDS);
	for (int i = 0; i < ROUNDS; i++) {
		double of_plain = plain_rate(plain, jobs / ROUNDS);
		double of_store = jobs / ROUNDS / enqueue(&l, jobs / ROUNDS, OUTSTANDING);
		ratios[i] = of_store / of_plain;
		printf("  SQLite alone %6.0f   store %6.0f   ratio %.2f\n", of_plain, of_store, ratios[i]);
	}
	printf("median ratio %.2f (at least 0.5 is asked for)\n", percentile(ratios, ROUNDS, 0.5));
	sqlite3_close(plain);
	close_store(&l);
}

static void compare_one_alone(const char *dir)
{
	static double bare_us[ALONE], alone_us[ALONE];
	struct load l = { .us = alone_us, .number = 1u << 30 };
	open_store(&l, dir, "store.db");
	int fd = bare_open(dir);
	for (int i = 0; i < ALONE; i++) {
		bare_us[i] = bare_fdatasync(fd, i);
		enqueue(&l, 1, 1);
	}
	close(fd);
	double bare = percentile(bare_us, ALONE, 0.5), alone = percentile(alone_us, ALONE, 0.5);
	printf("one alone, in turns: bare fdatasync p50 %.0f us, store p50 %.0f us, ratio %.2f (at most "
	       "1.5)\n",
		bare, alone, alone / bare);
	close_store(&l);
}

/* ---- the start ---- */

/* What a caller keeps of each queued job. */
struct kept {
	struct store_id id;
	uint64_t number, deadline_us, created_us;
	uint32_t flags, attempts;
};

struct keeper {
	struct kept *jobs;
	size_t n, cap;
};

static int keep(void *owner, const struct store_record *r)
{
	struct keeper *k = owner;
	if (k->n == k->cap) {
		k->cap = k->cap ? 2 * k->cap : 1024;
		k->jobs = realloc(k->jobs, k->cap * sizeof *k->jobs);
		must(k->jobs != NULL, "realloc");
	}
	must(k->n == 0 || k->jobs[k->n - 1].number < r->number, "the order");
	k->jobs[k->n++] =
		(struct kept){ r->id, r->number, r->deadline_us, r->created_us, r->flags, r->attempts };
	return 0;
}

static void on_listed(void *owner, const struct store_reply *reply)
{
	struct load *l = owner;
	must(reply->err == 0 && reply->n_records == 50, "list");
	l->us[l->n_us++] = (double)(now_us() - l->sent_us);
	io_stop(l->io);
}

static double list_p50(struct load *l, int state, const char *pool)
{
	static double us[LISTS];
	l->us = us;
	l->n_us = 0;
	struct store_filter filter = { .state = state, .pool = str_of(pool), .limit = 50 };
	for (int i = 0; i < LISTS; i++) {
		l->sent_us = now_us();
		must(store_list(l->store, &filter, on_listed, l) == 0, "store_list");
		l->io->stopped = false;
		must(io_epoll_run(l->io) == 0, "io_epoll_run");
	}
	return percentile(us, LISTS, 0.5);
}

/* In a process of its own, so that its memory is the start's. */
static void start(const char *dir)
{
	struct load l = { 0 };
	struct keeper k = { 0 };
	struct rusage usage;
	uint64_t before = now_us();
	open_store(&l, dir, "queued.db");
	uint64_t opened = now_us();
	must(store_load(l.store, STR(""), keep, &k) == 0, "store_load");
	uint64_t loaded = now_us();
	getrusage(RUSAGE_SELF, &usage);
	printf("start with %zu queued: open %.2f s, load %.2f s, together %.2f s (at most 5), %ld MiB at the "
	       "most"
	       " (at most 300)\n",
		k.n, (double)(opened - before) / 1e6, (double)(loaded - opened) / 1e6,
		(double)(loaded - before) / 1e6, usage.ru_maxrss / 1024);
	printf("list 50 of %zu: all p50 %.0f us, by state %.0f us, by pool %.0f us (at most 1000)\n", k.n,
		list_p50(&l, -1, ""), list_p50(&l, STORE_QUEUED, ""), list_p50(&l, -1, "default"));
	free(k.jobs);
	close_store(&l);
}

static void fill_and_start(const char *dir, uint32_t queued)
{
	struct load l = { 0 };
	open_store(&l, dir, "queued.db");
	double seconds = enqueue(&l, queued, 4096);
	printf("%u queued in %.1f s\n", queued, seconds);
	fflush(stdout);
	close_store(&l);
	pid_t child = fork();
	must(child >= 0, "fork");
	if (child == 0) {
		start(dir);
		exit(0);
	}
	int status;
	must(waitpid(child, &status, 0) == child && status == 0, "the start");
}

int main(int argc, char **argv)
{
	char made[] = "/var/tmp/berth-store-bench-XXXXXX", command[PATH_BYTES];
	const char *dir = argc > 1 ? argv[1] : mkdtemp(made);
	uint32_t jobs = argc > 2 ? (uint32_t)atoi(argv[2]) : 200000;
	uint32_t queued = argc > 3 ? (uint32_t)atoi(argv[3]) : 1000000;
	must(dir != NULL && jobs >= ROUNDS, "a directory and some jobs");
	rand_seed(&random_ids, (uint64_t)getpid());
	setvbuf(stdout, NULL, _IOLBF, 0);
	compare_rates(dir, jobs);
	compare_one_alone(dir);
	if (queued)
		fill_and_start(dir, queued);
	if (dir == made) {
		snprintf(command, sizeof command, "rm -rf %s", dir);
		return system(command) ? 1 : 0;
	}
	return 0;
}
