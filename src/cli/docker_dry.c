/* berth up --on docker --dry-run: what would be done is told. */
#include "cli/docker_up.h"

#include <stdarg.h>
#include <stdio.h>

void docker_up_would(struct docker_up *u, const char *fmt, ...)
{
	va_list ap;
	docker_up_clear(u);
	printf("berth: would ");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	u->n_would++;
}

/* NULL: nothing. */
static const char *verb_of(enum docker_fate fate)
{
	switch (fate) {
	case DOCKER_CREATE:
		return "make";
	case DOCKER_START:
		return "start";
	case DOCKER_REPLACE:
		return "replace";
	case DOCKER_SURPLUS:
		return "remove";
	case DOCKER_KEEP:
	case DOCKER_GONE:
		break;
	}
	return NULL;
}

static void tell_parts(struct docker_up *u)
{
	const struct docker *d = &u->docker;
	char sockets[DOCKER_NAME];
	bool inside = u->fleet->orchestrator == FLEET_IN_CONTAINER;
	if (!d->network_id[0])
		docker_up_would(u, "make the network %s", d->prefix);
	if (inside && !d->has_volume)
		docker_up_would(u, "make the volume %s", d->prefix);
	if (inside && u->recipe.sockets && !d->has_sockets)
		docker_up_would(u, "make the volume %s", docker_sockets_name(d, sockets));
}

static void tell_containers(struct docker_up *u)
{
	const struct docker *d = &u->docker;
	for (size_t i = 0; i < d->n; i++) {
		const struct docker_container *c = &d->list[i];
		const char *verb = c->orchestrator ? NULL : verb_of(c->fate);
		if (verb)
			docker_up_would(u, "%s %s-container%u", verb, d->prefix, c->number);
	}
}

static bool tell_orchestrator(struct docker_up *u)
{
	struct docker *d = &u->docker;
	enum docker_fate fate;
	if (u->fleet->orchestrator == FLEET_ON_HOST) {
		if (docker_orchestrator(d))
			docker_up_would(u, "remove %s-orchestrator", d->prefix);
		if (!u->runs_here)
			docker_up_would(u, "run the queue in this process, in the foreground");
		return true;
	}
	if (!docker_up_orchestrator_fate(u, &fate))
		return false;
	if (verb_of(fate))
		docker_up_would(u, "%s %s-orchestrator", verb_of(fate), d->prefix);
	return true;
}

bool docker_up_tell_plan(struct docker_up *u)
{
	tell_parts(u);
	tell_containers(u);
	if (!tell_orchestrator(u))
		return false;
	if (!u->n_would)
		printf("berth: all is as it shall be: nothing would be changed\n");
	return true;
}
