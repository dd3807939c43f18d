/* berth-crash: runs seeds of the simulated crashes, sums up, and shows how to see a failure again.
 *
 * Seeds run in a child process, so that a failed CHECK, a crash or a hang of one is told with its seed.
 */
#include "base/log.h"
#include "crash_world.h"

#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SEED_TIMEOUT_S = 60, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct options {
	uint64_t first, seeds;
	bool one, verbose;
};

static void usage(FILE *to)
{
	fputs("usage: berth-crash [--first SEED] [--seeds N]   runs N seeds\n"
	      "       berth-crash --seed SEED [-v]             runs one, -v shows what happens\n",
		to);
}

static void run_seed(uint64_t seed, bool verbose, struct crash_tally *tally)
{
	sqlite3_randomness(0, NULL); /* what SQLite draws begins anew, too */
	crash_world_run(seed, verbose, tally);
}

static void print_sum(const struct crash_tally *t, double took_s)
{
	printf("%llu seeds in %.0f s, %llu lives: %llu ended by a loss of power, %llu by a kill, %llu in "
	       "order, "
	       "%llu of them before they had started; ",
		(unsigned long long)t->seeds, took_s, (unsigned long long)t->lives,
		(unsigned long long)t->power_losses, (unsigned long long)t->kills,
		(unsigned long long)t->ends, (unsigned long long)t->starts_cut);
	printf("%llu changes of the disk; jobs %llu, acknowledged %llu, refused %llu, deliveries %llu, "
	       "results "
	       "read %llu",
		(unsigned long long)t->changes, (unsigned long long)t->handed_in,
		(unsigned long long)t->acknowledged, (unsigned long long)t->refused,
		(unsigned long long)t->deliveries, (unsigned long long)t->results);
	for (enum store_state s = STORE_DONE; s < STORE_STATES; s++) {
		if (t->finals[s])
			printf(", %s %llu", store_state_name(s), (unsigned long long)t->finals[s]);
	}
	putchar('\n');
}

static double clock_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int run_many(const struct options *o)
{
	int status;
	double begin_s = clock_s();
	struct crash_tally *tally =
		mmap(NULL, sizeof *tally, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(tally != MAP_FAILED);
	fflush(NULL);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		for (uint64_t i = 0; i < o->seeds; i++) {
			alarm(SEED_TIMEOUT_S);
			run_seed(o->first + i, false, tally);
		}
		exit(0); /* runs the leak check */
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	if (status) {
		printf("FAILED: seed %llu, after %llu seeds and %llu jobs%s%s\n",
			(unsigned long long)tally->seed, (unsigned long long)tally->seeds,
			(unsigned long long)tally->handed_in, WIFSIGNALED(status) ? ": " : "",
			WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "");
		printf("again: berth-crash --seed %llu -v\n", (unsigned long long)tally->seed);
	}
	print_sum(tally, clock_s() - begin_s);
	return status ? EXIT_FAILED : 0;
}

static bool parse_options(int argc, char **argv, struct options *o)
{
	static const struct option names[] = {
		{ "first", required_argument, NULL, 'f' },
		{ "seeds", required_argument, NULL, 'n' },
		{ "seed", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	bool ok = true;
	int c;
	while (ok && (c = getopt_long(argc, argv, "vh", names, NULL)) != -1) {
		switch (c) {
		case 'f':
			ok = str_to_u64(str_of(optarg), &o->first);
			break;
		case 'n':
			ok = str_to_u64(str_of(optarg), &o->seeds);
			break;
		case 's':
			o->one = true;
			ok = str_to_u64(str_of(optarg), &o->first);
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
	return ok && optind == argc;
}

int main(int argc, char **argv)
{
	struct options o = { .first = 1, .seeds = 100 };
	static struct crash_tally tally;
	if (!parse_options(argc, argv, &o)) {
		usage(stderr);
		return EXIT_USAGE;
	}
	/* memory goes from seed to seed, not to the system and back */
	mallopt(M_MMAP_THRESHOLD, 32 << 20);
	mallopt(M_TRIM_THRESHOLD, 512 << 20);
	log_init("berth", o.verbose ? LOG_INFO : LOG_ERROR, STDOUT_FILENO);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!o.one)
		return run_many(&o);
	run_seed(o.first, o.verbose, &tally);
	print_sum(&tally, 0);
	return 0;
}
