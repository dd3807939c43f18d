#include "cli/sources.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct live_source {
	struct reactor *reactor; /* borrowed */
	struct source *source;   /* owned */
	char *pool;              /* owned: its name */
};

static void on_list(void *user, const struct source_container *list, size_t n)
{
	const struct live_source *l = user;
	reactor_discover(l->reactor, l->pool, l->source->text, list, n);
}

static void on_unreachable(void *user, const char *why)
{
	const struct live_source *l = user;
	reactor_lose_sight(l->reactor, l->pool, l->source->text, why);
}

static const struct source_events events = { .on_list = on_list, .on_unreachable = on_unreachable };

static void destroy(struct live_source *l)
{
	if (!l)
		return;
	source_destroy(l->source);
	free(l->pool);
	free(l);
}

static struct live_source *create(
	const struct sources *s, const struct settings *settings, const char *pool, const char *text)
{
	struct live_source *l = calloc(1, sizeof *l);
	if (!l)
		return NULL;
	l->reactor = s->reactor;
	l->pool = strdup(pool);
	l->source = l->pool ? source_create(s->io, text, &settings->sources, &events, l) : NULL;
	if (l->source)
		return l;
	int err = errno;
	destroy(l);
	errno = err;
	return NULL;
}

/* Takes the one out of the list that works for this pool by this text. */
static struct live_source *take(struct sources *s, const char *pool, const char *text)
{
	for (size_t i = 0; i < s->n; i++) {
		struct live_source *l = s->list[i];
		if (!l || strcmp(l->pool, pool) != 0 || strcmp(l->source->text, text) != 0)
			continue;
		s->list[i] = NULL;
		return l;
	}
	return NULL;
}

static bool is_told_the_same(const struct source_settings *a, const struct source_settings *b)
{
	return io_addr_compare(&a->dns_server, &b->dns_server) == 0 &&
		a->dns_ttl_min_us == b->dns_ttl_min_us && a->dns_ttl_max_us == b->dns_ttl_max_us &&
		a->dns_timeout_us == b->dns_timeout_us && a->dns_grace_us == b->dns_grace_us &&
		a->containers_max == b->containers_max;
}

/* The one that is there, or a new one. */
static struct live_source *follow(
	struct sources *s, const struct settings *settings, const char *pool, const char *text)
{
	struct live_source *l = take(s, pool, text);
	if (l && is_told_the_same(&l->source->settings, &settings->sources))
		return l;
	destroy(l);
	return create(s, settings, pool, text);
}

static size_t count(const struct settings *settings)
{
	size_t n = 0;
	for (size_t i = 0; i < settings->n_pools; i++)
		n += settings->pools[i].n_sources;
	return n;
}

bool sources_follow(struct sources *s, const struct settings *settings, char *error, size_t error_size)
{
	size_t all = count(settings), n = 0;
	struct live_source **list = calloc(all ? all : 1, sizeof(struct live_source *));
	if (!list) {
		snprintf(error, error_size, "out of memory");
		return false;
	}
	for (size_t i = 0; i < settings->n_pools; i++) {
		const struct pool_settings *ps = &settings->pools[i];
		for (size_t k = 0; k < ps->n_sources; k++) {
			struct live_source *l = follow(s, settings, ps->name, ps->sources[k]);
			if (l)
				list[n++] = l;
			else
				snprintf(error, error_size, "containers: cannot follow %s: %s",
					ps->sources[k], strerror(errno));
		}
	}
	sources_finish(s);
	s->list = list;
	s->n = n;
	return n == all;
}

void sources_finish(struct sources *s)
{
	for (size_t i = 0; i < s->n; i++)
		destroy(s->list[i]);
	free(s->list);
	s->list = NULL;
	s->n = 0;
}
