/* berth-sim: runs seeds of the simulation, sums up, and shows how to see a failure again.
 *
 * Seeds run in a child process, so that a failed CHECK, a crash or a hang of one is told with its seed; the
 * failing seed is then run with fewer and fewer exchanges, for the shortest run that still fails.
 */
#include "base/log.h"
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SEED_TIMEOUT_S = 60, SHRINK_TIMEOUT_S = 10, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct options {
	uint64_t first, seeds, seconds; /* 0: not said */
	uint32_t exchanges;             /* 0: as the seed has it */
	bool one, verbose;
	const char *list;
};

static void usage(FILE *to)
{
	fputs("usage: berth-sim [--first SEED] [--seeds N] [--seconds T]   runs N seeds, or as many as T "
	      "seconds take\n"
	      "                                                             (with both: at least N, at least "
	      "T)\n"
	      "       berth-sim --seed SEED [-v] [--exchanges N]            runs one, -v shows what happens\n"
	      "       berth-sim --list FILE                                 runs the seeds that a file "
	      "names\n",
		to);
}

/* Of the processor. who: RUSAGE_SELF, or RUSAGE_CHILDREN for those that have ended. */
static double cpu_s(int who)
{
	struct rusage u;
	getrusage(who, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
		(double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double clock_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- seeds ---- */

static void run_some(const struct options *o, struct tally *tally)
{
	double end_s = clock_s() + (double)o->seconds;
	uint64_t at_least = o->seeds || o->seconds ? o->seeds : 100;
	for (uint64_t i = 0; i < at_least || (o->seconds && clock_s() < end_s); i++) {
		alarm(SEED_TIMEOUT_S);
		world_run(o->first + i, 0, false, tally);
	}
}

/* A line: a seed, what it once found. Empty lines and those that begin with # say nothing. */
static void run_list(const struct options *o, struct tally *tally)
{
	char line[1024];
	FILE *f = fopen(o->list, "r");
	if (!f) {
		fprintf(stderr, "berth-sim: cannot read %s: %s\n", o->list, strerror(errno));
		exit(EXIT_USAGE);
	}
	while (fgets(line, sizeof line, f)) {
		char *end;
		unsigned long long seed = strtoull(line, &end, 10);
		if (line[0] == '#' || end == line)
			continue;
		alarm(SEED_TIMEOUT_S);
		world_run(seed, 0, false, tally);
	}
	fclose(f);
}

/* Runs it in a child. True when it failed. */
static bool fails(uint64_t seed, uint32_t exchanges, bool quiet, struct tally *tally)
{
	int status;
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		int null = quiet ? open("/dev/null", O_WRONLY | O_CLOEXEC) : -1;
		if (null >= 0) {
			dup2(null, STDOUT_FILENO);
			dup2(null, STDERR_FILENO);
		}
		alarm(SHRINK_TIMEOUT_S);
		world_run(seed, exchanges, false, tally);
		_exit(0);
	}
	return pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0;
}

/* The fewest exchanges with which the seed fails, found by halving: what fails late may also fail early. 0: it takes
 * the whole run, for clients that have asked for the last time change how the world goes on. */
static uint32_t shrink(uint64_t seed, uint32_t exchanges, struct tally *tally)
{
	uint32_t low = 0, high = exchanges + 1, shortest = 0;
	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;
		if (fails(seed, middle, true, tally))
			high = shortest = middle;
		else
			low = middle;
	}
	return shortest;
}

static void report_failure(const struct tally *tally, int status)
{
	uint64_t seed = tally->seed;
	struct tally *scratch =
		mmap(NULL, sizeof *scratch, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (WIFSIGNALED(status))
		fprintf(stderr, "seed %llu: %s\n", (unsigned long long)seed,
			WTERMSIG(status) == SIGALRM ? "does not come to its end"
						    : strsignal(WTERMSIG(status)));
	if (scratch == MAP_FAILED)
		return;
	bool again = fails(seed, 0, true, scratch);
	uint32_t shortest = again ? shrink(seed, (uint32_t)scratch->exchanges, scratch) : 0;
	printf("FAILED: seed %llu, after %llu seeds and %llu exchanges%s\n", (unsigned long long)seed,
		(unsigned long long)tally->seeds, (unsigned long long)tally->exchanges,
		again ? "" : "; it does not fail when it is run alone");
	printf("again: berth-sim --seed %llu --exchanges %u -v\n", (unsigned long long)seed, shortest);
}

/* ---- the sum ---- */

static void print_sum(const struct tally *t, double took_s)
{
	printf("%llu seeds, %llu exchanges, %.0f simulated s, %.0f exchanges a second of cpu",
		(unsigned long long)t->seeds, (unsigned long long)t->exchanges, (double)t->simulated_us / 1e6,
		(double)t->exchanges / took_s);
	printf("; answered %llu, left %llu, cut %llu", (unsigned long long)t->fates[FATE_ANSWERED],
		(unsigned long long)t->fates[FATE_LEFT], (unsigned long long)t->fates[FATE_CUT]);
	for (int p = 0; p < PROBLEM_COUNT; p++) {
		if (t->problems[p])
			printf(", %s %llu", problem_name((enum problem)p),
				(unsigned long long)t->problems[p]);
	}
	printf("; jobs %llu, deliveries %llu, retries %llu, deaths %llu, faults %llu, turns "
	       "%llu\n",
		(unsigned long long)t->jobs, (unsigned long long)t->deliveries,
		(unsigned long long)t->retries, (unsigned long long)t->deaths, (unsigned long long)t->faults,
		(unsigned long long)t->turns);
}

static int run_many(const struct options *o)
{
	int status;
	struct tally *tally =
		mmap(NULL, sizeof *tally, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (tally == MAP_FAILED) {
		perror("berth-sim: mmap");
		return EXIT_USAGE;
	}
	pid_t pid = fork();
	if (pid == 0) {
		if (o->list)
			run_list(o, tally);
		else
			run_some(o, tally);
		exit(0); /* runs the leak check */
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0) {
		perror("berth-sim: fork");
		return EXIT_USAGE;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_USAGE)
		return EXIT_USAGE;
	double took_s = cpu_s(RUSAGE_CHILDREN);
	if (status != 0)
		report_failure(tally, status);
	print_sum(tally, took_s);
	return status ? EXIT_FAILED : 0;
}

static int run_one(const struct options *o)
{
	static struct tally tally;
	world_run(o->first, o->exchanges, o->verbose, &tally);
	print_sum(&tally, cpu_s(RUSAGE_SELF));
	return 0;
}

/* ---- options ---- */

static bool to_u64(const char *text, uint64_t *ret)
{
	return str_to_u64(str_of(text), ret);
}

static bool parse_options(int argc, char **argv, struct options *o)
{
	static const struct option names[] = {
		{ "first", required_argument, NULL, 'f' },
		{ "seeds", required_argument, NULL, 'n' },
		{ "seconds", required_argument, NULL, 't' },
		{ "seed", required_argument, NULL, 's' },
		{ "exchanges", required_argument, NULL, 'e' },
		{ "list", required_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	uint64_t exchanges = 0;
	bool ok = true;
	int c;
	while (ok && (c = getopt_long(argc, argv, "vh", names, NULL)) != -1) {
		switch (c) {
		case 'f':
			ok = to_u64(optarg, &o->first);
			break;
		case 'n':
			ok = to_u64(optarg, &o->seeds);
			break;
		case 't':
			ok = to_u64(optarg, &o->seconds);
			break;
		case 's':
			o->one = true;
			ok = to_u64(optarg, &o->first);
			break;
		case 'e':
			ok = to_u64(optarg, &exchanges) && exchanges <= UINT32_MAX;
			break;
		case 'l':
			o->list = optarg;
			break;
		case 'v':
			o->verbose = true;
			break;
		case 'h':
			usage(stdout);
			exit(0);
		default:
			ok = false;
		}
	}
	o->exchanges = (uint32_t)exchanges;
	return ok && optind == argc;
}

int main(int argc, char **argv)
{
	struct options o = { .first = 1 };
	if (!parse_options(argc, argv, &o)) {
		usage(stderr);
		return EXIT_USAGE;
	}
	/* memory goes from seed to seed, not to the system and back */
	mallopt(M_MMAP_THRESHOLD, 32 << 20);
	mallopt(M_TRIM_THRESHOLD, 512 << 20);
	log_init("berth", o.verbose ? LOG_INFO : LOG_ERROR, STDOUT_FILENO);
	setvbuf(stdout, NULL, _IOLBF, 0);
	return o.one ? run_one(&o) : run_many(&o);
}
