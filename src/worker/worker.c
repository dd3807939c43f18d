#include "worker/worker.h"

#include "base/log.h"

#include <errno.h>
#include <malloc.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* ---- counts ---- */

uint32_t worker_in_flight(const struct worker *w)
{
	uint32_t n = 0;
	for (enum conn_state s = CONN_BODY; s <= CONN_LEFT; s++)
		n += w->conns[s].len;
	return n;
}

uint32_t worker_connections(const struct worker *w)
{
	uint32_t n = 0;
	for (enum conn_state s = CONN_HEAD; s < CONN_CLOSED; s++)
		n += w->conns[s].len;
	return n - w->conns[CONN_LEFT].len;
}

/* ---- connections ---- */

/* As many as the limit of open files leaves room for, which is raised as far as it may be. */
static uint32_t connections_max(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit))
		return CONNECTIONS_MAX;
	rlim_t want = CONNECTIONS_MAX + OTHER_FILES;
	if (limit.rlim_cur < want) {
		limit.rlim_cur = limit.rlim_max < want ? limit.rlim_max : want;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (limit.rlim_cur >= want)
		return CONNECTIONS_MAX;
	return limit.rlim_cur > OTHER_FILES ? (uint32_t)(limit.rlim_cur - OTHER_FILES) : 1;
}

/* Makes room by closing the connection that has waited longest for its next request. */
static bool close_an_idle_one(struct worker *w)
{
	list_for_each (node, &w->conns[CONN_HEAD]) {
		struct conn *c = CONTAINER_OF(node, struct conn, node);
		if (c->in.len == 0) {
			conn_close(c);
			return true;
		}
	}
	return false;
}

static void on_connection(struct io_listener *l, const struct io_addr *peer)
{
	struct worker *w = CONTAINER_OF(l, struct worker_listener, listener)->worker;
	if (worker_connections(w) >= w->connections_max && !close_an_idle_one(w))
		return;
	struct conn *c = conn_create(w);
	if (!c || io_accept(w->io, l, &c->stream, &conn_ops) < 0) {
		log_warning("a connection is refused: out of memory or descriptors");
		if (c)
			conn_close(c);
	}
}

static const struct io_listener_ops listener_ops = { .on_connection = on_connection };

/* ---- turns ---- */

/* Or the largest request would decide what is resident from then on. Not at once: the next may be as large.
 */
static void on_trim(struct io_timer *t)
{
	malloc_trim(0);
}

static bool all_is_answered(const struct worker *w)
{
	return worker_in_flight(w) == 0 && w->conns[CONN_SENDING].len == 0;
}

static void on_turn_end(struct io *io)
{
	struct worker *w = io->user;
	exchange_answer_done(w);
	exchange_run_ready(w);
	conn_free_closed(w);
	(void)log_flush();
	if (w->stopping && all_is_answered(w))
		io_stop(io);
}

/* ---- start and stop ---- */

static bool start_listening(struct worker *w, struct why *why)
{
	const struct options *o = w->options;
	for (size_t i = 0; i < o->n_listen; i++) {
		char text[IO_ADDR_TEXT];
		int r = io_listen(w->io, &w->listeners[i].listener, &o->listen[i], &listener_ops);
		if (r < 0)
			return why_set(why, "cannot listen on %s: %s%s",
				io_addr_print(&o->listen[i], true, text), strerror(-r),
				r == -EADDRINUSE ? "; take another port, or 0 for any" : "");
		/* As with a port, whoever gets there may connect: its directory decides. */
		if (o->listen[i].sa.sa_family == AF_UNIX && chmod(o->listen[i].un.sun_path, 0666))
			return why_set(why, "cannot open %s to others: %s",
				io_addr_print(&o->listen[i], true, text), strerror(errno));
	}
	return true;
}

static void stop_listening(struct worker *w)
{
	for (size_t i = 0; i < LISTEN_MAX; i++)
		io_unlisten(w->io, &w->listeners[i].listener);
}

bool worker_init(struct worker *w, struct io *io, const struct options *options, const struct model *model,
	struct why *why)
{
	uint64_t seed;
	*w = (struct worker){ .io = io, .options = options, .model = model, .mean_us = UINT64_MAX };
	w->connections_max = connections_max();
	for (size_t i = 0; i < LISTEN_MAX; i++)
		w->listeners[i] = (struct worker_listener){ .listener.fd = -1, .worker = w };
	w->trim.on_timer = on_trim;
	for (int s = 0; s < CONN_STATES; s++)
		list_init(&w->conns[s]);
	io_random(io, &seed, sizeof seed);
	rand_seed(&w->rand, seed);
	io->user = w;
	io->on_turn_end = on_turn_end;
	if (!slots_init(&w->slots, options->slots, model, io, exchange_on_run, why))
		return false;
	if (!start_listening(w, why)) {
		worker_finish(w);
		return false;
	}
	return true;
}

void worker_stop(struct worker *w)
{
	static const enum conn_state unanswered[] = { CONN_HEAD, CONN_BODY, CONN_DRAINING, CONN_LINGERING };
	w->stopping = true;
	stop_listening(w);
	for (size_t i = 0; i < ARRAY_LEN(unanswered); i++) {
		list_for_each_safe (node, &w->conns[unanswered[i]])
			exchange_left(CONTAINER_OF(node, struct conn, node));
	}
	list_for_each (node, &w->conns[CONN_SENDING])
		CONTAINER_OF(node, struct conn, node)->keep_alive = false;
	for (enum conn_state s = CONN_DELAY; s <= CONN_DONE; s++) {
		list_for_each (node, &w->conns[s])
			CONTAINER_OF(node, struct conn, node)->keep_alive = false;
	}
}

void worker_finish(struct worker *w)
{
	stop_listening(w);
	for (enum conn_state s = CONN_HEAD; s < CONN_CLOSED; s++) {
		list_for_each_safe (node, &w->conns[s])
			exchange_left(CONTAINER_OF(node, struct conn, node));
	}
	io_timer_stop(w->io, &w->trim);
	conn_free_closed(w);
	slots_finish(&w->slots);
}
