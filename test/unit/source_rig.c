#include "source_rig.h"

#include "unit.h"

#include <stdio.h>

enum { TICK_US = 2000 };

static void on_list(void *user, const struct source_container *list, size_t n)
{
	struct rig *r = user;
	assert_true(n <= RIG_CONTAINERS);
	if (n)
		memcpy(r->list, list, n * sizeof *list);
	r->n = n;
	r->lists++;
}

static void on_unreachable(void *user, const char *why)
{
	struct rig *r = user;
	snprintf(r->why, sizeof r->why, "%s", why);
	r->failures++;
}

const struct source_events rig_events = { .on_list = on_list, .on_unreachable = on_unreachable };

static void on_tick(struct io_timer *t)
{
	struct rig *r = CONTAINER_OF(t, struct rig, tick);
	if (r->is_met(r))
		io_stop(r->io);
	else if (++r->ticks > RIG_PATIENCE_MS * 1000 / TICK_US)
		fail_msg("it does not come: %u lists, the last of %zu; %u failures, the last: %s", r->lists,
			r->n, r->failures, r->why);
	else
		io_timer_set(r->io, t, r->io->now_us + TICK_US);
}

void rig_init(struct rig *r)
{
	*r = (struct rig){ .io = io_epoll_create(), .tick.on_timer = on_tick };
	assert_non_null(r->io);
}

void rig_finish(struct rig *r)
{
	io_epoll_destroy(r->io);
}

void rig_await(struct rig *r, bool (*is_met)(struct rig *r))
{
	r->is_met = is_met;
	r->ticks = 0;
	io_timer_set(r->io, &r->tick, r->io->now_us + TICK_US);
	assert_int_equal(io_epoll_run(r->io), 0);
}

static bool has_ticked(struct rig *r)
{
	return r->ticks >= r->wanted;
}

void rig_await_ticks(struct rig *r, unsigned ticks)
{
	r->wanted = ticks;
	rig_await(r, has_ticked);
}

static bool has_lists(struct rig *r)
{
	return r->lists >= r->wanted;
}

void rig_await_list(struct rig *r, unsigned lists)
{
	r->wanted = lists;
	rig_await(r, has_lists);
}

static bool has_failed(struct rig *r)
{
	return strstr(r->why, r->wanted_why);
}

void rig_await_failure(struct rig *r, const char *why)
{
	r->wanted_why = why;
	r->why[0] = '\0';
	rig_await(r, has_failed);
}

static bool has_addrs(struct rig *r)
{
	char text[IO_ADDR_TEXT];
	size_t n = 0;
	while (r->wanted_addrs[n])
		n++;
	size_t found = 0;
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < r->n; k++)
			found += !strcmp(io_addr_print(&r->list[k].addr, true, text), r->wanted_addrs[i]);
	}
	return r->lists && found == n && r->n == n;
}

void rig_await_addrs(struct rig *r, const char *const *addrs)
{
	r->wanted_addrs = addrs;
	rig_await(r, has_addrs);
}
