#include "cli/up.h"

#include "cli/locate.h"

#include <stdio.h>
#include <unistd.h>

static const char *plural(size_t n)
{
	return n == 1 ? "" : "s";
}

void up_print_start(const struct up *u)
{
	const struct fleet_settings *f = &u->server.config->fleet;
	uint32_t n = f->workers * f->containers;
	if (u->quiet)
		return;
	printf("berth: starting %u container%s on %u worker%s with %s", n, plural(n), f->workers,
		plural(f->workers), f->model);
	if (f->delay_ms)
		printf(", each run slowed by %u ms", f->delay_ms);
	printf("\n");
	fflush(stdout);
}

void up_print_progress(const struct up *u, size_t ready, bool last)
{
	bool live = isatty(STDOUT_FILENO);
	if (u->quiet || (!live && !last))
		return;
	printf("%s%zu/%zu containers ready%s", live ? "\r\033[K" : "", ready, fleet_size(u->fleet),
		last ? "\n" : "");
	fflush(stdout);
}

void up_clear_progress(const struct up *u)
{
	bool shown = u->phase == UP_STARTING || u->phase == UP_CHECKING;
	if (u->quiet || !shown || !isatty(STDOUT_FILENO))
		return;
	printf("\r\033[K");
	fflush(stdout);
}

void up_print_try(const char *base, const struct pool_settings *p)
{
	printf("\nTo try it:\n  curl -H 'Content-Type: text/plain' -d 'You have won a prize, click here' "
	       "%s%s\n",
		base, p->submit_forward);
	if (p->submit_path)
		printf("  curl -X POST %s%s\n", base, p->submit_path);
	printf("  curl %s/berth/queue\n", base);
	fflush(stdout);
}

void up_print_examples(const struct up *u)
{
	const struct config *c = u->server.config;
	const struct pool_settings *p = &c->settings.pools[c->fleet_pool];
	char text[SERVER_URL], base[2 * SERVER_URL];
	struct io_addr addr;
	if (u->quiet || !reactor_front_addr(u->server.reactor, 0, &addr))
		return;
	locate_reachable(&addr);
	if (addr.sa.sa_family == AF_UNIX)
		snprintf(base, sizeof base, "--unix-socket %s http://localhost", addr.un.sun_path);
	else
		snprintf(base, sizeof base, "%s", server_url(&addr, text));
	up_print_try(base, p);
}
