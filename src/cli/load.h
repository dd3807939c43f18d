/* load: many requests from several clients, and what became of them.
 *
 * Each client has one connection and sends one request at a time. With `wait` it also reads the result of
 * every job that it was given, the oldest first; at most LOAD_JOBS_MAX jobs of all clients are open, so that
 * no result grows too old before it is read. With `async` it asks for jobs by Prefer: respond-async, follows
 * each by its events to its end, reads the result, and checks what it was told on the way.
 */
#pragma once
#include "base/list.h"
#include "cli/agent.h"
#include "cli/locate.h"
#include "cli/report.h"

enum { LOAD_JOBS_MAX = 5000 };

struct load_settings {
	uint32_t requests, clients;
	bool wait;
	bool async; /* with wait */
	struct target target;
	const char *url;  /* as it is printed */
	const char *text; /* the body; NULL: none */
};

/* Sends everything and prints a line for each answer. 0 or -errno when it could not even begin; report is
 * filled. */
MUST_USE int load_run(const struct load_settings *settings, struct report *report);
