/* A container: takes a request, works on it for a while, and answers as token and delivery decide. */
#include "crash_world.h"
#include "talk.h"

#include <stdio.h>
#include <stdlib.h>

struct conn {
	struct list_node node;             /* on container->conns */
	struct crash_container *container; /* borrowed: the owner */
	struct wire_end *end;              /* borrowed */
	struct reader reader;
	struct outgoing out;
	struct event serve;
	struct told_job *job; /* borrowed; whose request is read or worked on */
	uint32_t delivery;
	uint64_t got_bytes;
};

static const struct wire_ops conn_ops;

static void conn_end(struct conn *c)
{
	struct crash_world *w = c->container->world;
	event_stop(&w->sim->schedule, &c->serve);
	outgoing_finish(&c->out);
	reader_finish(&c->reader);
	wire_close(c->end, false);
	c->container->running -= c->job != NULL;
	list_remove(&c->container->conns, &c->node);
	free(c);
}

void crash_container_begin(struct crash_container *c, struct crash_world *w)
{
	*c = (struct crash_container){ .world = w };
	list_init(&c->conns);
}

void crash_container_end(struct crash_container *c)
{
	struct list_node *n;
	while ((n = list_first(&c->conns)))
		conn_end(CONTAINER_OF(n, struct conn, node));
}

/* ---- answering ---- */

static void sent(struct conn *c, int err)
{
	VERIFY(c->container->world, err == 0, "a container's connection breaks");
}

static void on_serve(struct event *e)
{
	struct conn *c = CONTAINER_OF(e, struct conn, serve);
	struct crash_world *w = c->container->world;
	uint32_t token = (uint32_t)(c->job - w->told.jobs);
	uint32_t bytes = crash_answer_bytes(w, token, c->delivery);
	char head[128];
	int n = snprintf(head, sizeof head,
		"HTTP/1.1 200 OK\r\nX-Delivery: %u-%u\r\nContent-Length: %u\r\n\r\n", token, c->delivery,
		bytes);
	char *body = malloc(bytes + 1);
	CHECK(body);
	told_fill(body, token, c->delivery, bytes);
	TRACE(w, "a container answers job %u, delivery %u, %u bytes", token, c->delivery, bytes);
	c->job->answers |= UINT64_C(1) << c->delivery;
	c->job = NULL;
	c->container->running--;
	int err = outgoing_put(&c->out, head, (size_t)n);
	sent(c, err ? err : outgoing_put(&c->out, body, bytes));
	free(body);
}

static void on_pace(struct event *e)
{
	struct conn *c = CONTAINER_OF(e, struct conn, out.pace);
	sent(c, outgoing_go(&c->out));
}

static void on_room(struct wire_end *e)
{
	struct conn *c = e->owner;
	sent(c, outgoing_go(&c->out));
}

/* ---- reading ---- */

static void head_read(struct conn *c)
{
	struct crash_container *container = c->container;
	struct crash_world *w = container->world;
	VERIFY(w, !c->job, "a container gets a request while it works on another");
	c->job = crash_job_of(w, c->reader.head->query);
	VERIFY(w, c->job, "a container gets " STR_FMT, STR_ARG(c->reader.head->start_line));
	VERIFY(w, ++container->running <= w->pool.slots, "a container has %u requests", container->running);
	c->got_bytes = 0;
}

static void request_read(struct conn *c)
{
	struct crash_world *w = c->container->world;
	uint32_t token = (uint32_t)(c->job - w->told.jobs);
	VERIFY(w, c->got_bytes == c->job->body_bytes, "job %u comes with %llu bytes of %u", token,
		(unsigned long long)c->got_bytes, c->job->body_bytes);
	c->delivery = told_delivered(w, c->job);
	TRACE(w, "a container gets job %u, delivery %u", token, c->delivery);
	event_set(&w->sim->schedule, &c->serve,
		w->sim->schedule.now_us + rand_below(&w->rand, w->plan.service_max_us + 1));
}

static void on_bytes(struct wire_end *e, const char *bytes, size_t n)
{
	struct conn *c = e->owner;
	struct crash_world *w = c->container->world;
	struct str in = { bytes, n }, payload;
	enum reading got;
	while ((got = reader_next(&c->reader, &in, &payload)) != READ_MORE) {
		VERIFY(w, got != READ_BAD, "a container gets what is no request");
		if (got == READ_HEAD) {
			head_read(c);
		} else if (got == READ_PAYLOAD) {
			uint32_t token = (uint32_t)(c->job - w->told.jobs);
			VERIFY(w, told_fits(token, 0, c->got_bytes, payload),
				"job %u comes with another body than it had", token);
			c->got_bytes += payload.len;
		} else {
			request_read(c);
		}
	}
}

/* The gateway closes a connection that it does not need, or gives a request up. */
static void on_eof(struct wire_end *e)
{
	conn_end(e->owner);
}

static void on_broken(struct wire_end *e, int err)
{
	CHECK(err < 0);
	conn_end(e->owner);
}

static const struct wire_ops conn_ops = {
	.on_bytes = on_bytes,
	.on_eof = on_eof,
	.on_broken = on_broken,
	.on_room = on_room,
};

void crash_container_answer(struct crash_container *c, struct wire_end *far)
{
	struct crash_world *w = c->world;
	struct conn *conn = calloc(1, sizeof *conn);
	CHECK(conn);
	conn->container = c;
	conn->end = far;
	conn->serve.fire = on_serve;
	reader_init(&conn->reader, &w->container_head, false);
	outgoing_init(&conn->out, far, &w->sim->schedule, &w->rand);
	conn->out.pace.fire = on_pace;
	wire_attach(far, &conn_ops, conn);
	list_push_back(&c->conns, &conn->node);
}
