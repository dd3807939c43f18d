/* up: a fleet and the orchestrator before it, in one process and one loop.
 *
 *   STARTING ──all listen──▶ CHECKING ──all ready──▶ RUNNING ──signal──▶ ENDING ──drained──▶ STOPPING ──none
 * left──▶ OVER └───────────────────────┴── signal, or a container that cannot start ──▲
 */
#pragma once
#include "cli/agent.h"
#include "cli/output.h"
#include "cli/server.h"
#include "fleet/fleet.h"

enum phase { UP_STARTING, UP_CHECKING, UP_RUNNING, UP_ENDING, UP_STOPPING, UP_OVER };

struct up {
	struct server server;
	struct fleet *fleet; /* owned */
	enum phase phase;
	int exit_code;
	bool quiet;
	struct output output;
	struct agent self; /* asks the own admin listener whether all are ready */
	struct io_timer ask_again;
};

/* A signal of the server's, which is the one in struct up. */
void up_on_signal(struct signals *s, int signal);

/* Runs until all is over; returns the exit code. u->server is prepared, u->output open. */
MUST_USE int up_run(struct up *u);

/* ---- up_print.c: what is told on standard output ---- */

void up_print_start(const struct up *u);

/* On a terminal a line that is written over until the last; elsewhere only the last. */
void up_print_progress(const struct up *u, size_t ready, bool last);

/* Takes the live line away, for another line comes. */
void up_clear_progress(const struct up *u);

/* Three lines to paste: an answer, a job, the queue. base: the front's URL, as curl takes it. */
void up_print_try(const char *base, const struct pool_settings *p);

/* Those of this fleet. */
void up_print_examples(const struct up *u);
