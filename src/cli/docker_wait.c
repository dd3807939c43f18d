/* Until when a fleet on Docker is waited for: its front says (GET /berth/readyz) how many containers it has of each
 * generation, and how many of them are up. */
#include "cli/agent.h"
#include "cli/docker_up.h"
#include "cli/interrupt.h"
#include "cli/value.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ASK_US = 2 * 1000 * 1000, PAUSE_MS = 50, LOOK_EACH = 20, WORDS = 300 };

const char *docker_up_generation(const char *spec, char ret[DOCKER_GENERATION])
{
	return str_copy(ret, DOCKER_GENERATION, str_of(spec));
}

static void pause_ms(long ms)
{
	struct timespec t = { .tv_nsec = ms * 1000000 };
	(void)nanosleep(&t, NULL);
}

static uint64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

struct counts {
	size_t containers, up;
};

/* What the front says of a generation. */
static struct counts counted(const json_t *report, const char *generation)
{
	const json_t *g = json_object_get(json_object_get(report, "generations"), generation);
	return (struct counts){ (size_t)json_integer_value(json_object_get(g, "containers")),
		(size_t)json_integer_value(json_object_get(g, "up")) };
}

/* Has it, of each generation that this run has seen, those that are listed and no others? What is to be
 * replaced may be so because it does not come up. */
static bool is_as_listed(const struct docker *d, const json_t *report, bool all_up, size_t *ret_up)
{
	char generation[DOCKER_GENERATION], other[DOCKER_GENERATION];
	bool ok = true;
	*ret_up = 0;
	for (size_t i = 0; i < d->n; i++) {
		size_t listed = 0, before = 0;
		if (d->list[i].orchestrator)
			continue;
		docker_up_generation(d->list[i].spec, generation);
		for (size_t k = 0; k < d->n; k++) {
			bool same = !d->list[k].orchestrator &&
				!strcmp(generation, docker_up_generation(d->list[k].spec, other));
			listed += same && d->list[k].listed;
			before += same && k < i;
		}
		if (before)
			continue;
		struct counts c = counted(report, generation);
		bool stays = !strcmp(d->list[i].spec, d->spec);
		ok = ok && c.containers == listed && (!all_up || !stays || c.up == listed);
		*ret_up += c.up;
	}
	return ok;
}

static size_t count_listed(const struct docker *d)
{
	size_t n = 0;
	for (size_t i = 0; i < d->n; i++)
		n += d->list[i].listed;
	return n;
}

/* Is one that does not run any more waited for? */
static bool is_waited_for(const struct docker *d, const struct docker_container *ended)
{
	for (size_t i = 0; i < d->n; i++) {
		const struct docker_container *c = &d->list[i];
		if (c->orchestrator == ended->orchestrator && c->number == ended->number)
			return c->orchestrator || (c->listed && c->fate == DOCKER_KEEP);
	}
	return false;
}

/* A container that does not run any more, with what it said last. False when all run. */
static bool has_ended(struct docker_up *u, char line[DOCKER_LINE])
{
	struct docker probe = { .engine = u->docker.engine, .settings = u->fleet };
	char words[WORDS];
	str_copy(probe.prefix, sizeof probe.prefix, str_of(u->docker.prefix));
	const struct docker_container *ended = NULL;
	if (docker_look(&probe)) {
		for (size_t i = 0; i < probe.n && !ended; i++) {
			const char *state = probe.list[i].state;
			bool runs = strcmp(state, "restarting") && strcmp(state, "exited") &&
				strcmp(state, "dead");
			if (!runs && is_waited_for(&u->docker, &probe.list[i]))
				ended = &probe.list[i];
		}
	}
	if (ended) {
		docker_last_words(&probe, ended, words, sizeof words);
		snprintf(line, DOCKER_LINE, "%s does not stay up (%s): %s", ended->name, ended->status,
			words[0] ? words : "it has said nothing");
	}
	docker_close(&probe);
	return ended;
}

/* One look. True when it is as it shall be. */
static bool ask(struct docker_up *u, bool all_up, size_t *ret_up, char why[AGENT_WHY])
{
	char *body;
	size_t len;
	int status = agent_get(&u->front, "/berth/readyz", ASK_US, &body, &len, why);
	if (!status)
		return false;
	json_t *report = json_loadb(body, len, 0, NULL);
	bool ok = is_as_listed(&u->docker, report, all_up, ret_up);
	if (!json_object_get(report, "generations"))
		str_copy(why, AGENT_WHY, STR("what answers there is not this orchestrator"));
	else
		why[0] = '\0';
	json_decref(report);
	free(body);
	return ok;
}

bool docker_up_wait(struct docker_up *u, bool all_up)
{
	const struct fleet_settings *f = u->fleet;
	uint64_t end_us = now_us() + f->ready_timeout_us;
	size_t all = count_listed(&u->docker), up = 0;
	char line[DOCKER_LINE], why[AGENT_WHY] = "", where[IO_ADDR_TEXT], limit[VALUE_TEXT];
	for (size_t looks = 1; !ask(u, all_up, &up, why); looks++) {
		if (interrupt_came())
			return docker_up_fail(u, "interrupted");
		if (looks % LOOK_EACH == 0 && all_up && has_ended(u, line))
			return docker_up_fail(u, "%s", line);
		if (now_us() > end_us)
			return docker_up_fail(u,
				"%zu of %zu containers are ready within fleet.ready_timeout (%s)%s%s%s%s", up,
				all, value_duration_print(f->ready_timeout_us, limit), why[0] ? "; " : "",
				why[0] ? io_addr_print(&u->front, true, where) : "", why[0] ? ": " : "", why);
		docker_up_tell(u,
			all_up ? "%zu/%zu containers ready" : "what leaves is finished: %zu of %zu stay", up,
			all);
		pause_ms(PAUSE_MS);
	}
	return true;
}
