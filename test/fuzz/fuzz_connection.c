/* A client's connection to the gateway, and what its containers do meanwhile, over the simulator.
 *
 * The first byte chooses the settings, the second the network's pieces. The rest is a script of steps: a byte
 * whose low three bits say what happens, and for some a byte of length with so many bytes. Afterwards all
 * hang up, time passes, and nothing may be left.
 */
#include "fuzz.h"

#include "base/log.h"
#include "gateway/reactor.h"
#include "sim/io_sim.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <unistd.h>

enum {
	CONTAINERS = 2,
	SEATS = 8,
	FRONT_PORT = 8080,
	CONTAINER_PORT = 5000,
	STEPS_MAX = 200,
	LONGEST_WAIT = 23, /* 2^23 us */
	SECOND = 1000000
};

enum step {
	CLIENT_SENDS,
	TIME_PASSES,
	CONTAINER_SENDS,
	CONTAINER_CLOSES,
	CLIENT_ENDS,
	CLIENT_READS,
	DIALS,
	CONTAINER_ANSWERS
};

struct scene {
	struct io_sim *sim;      /* owned */
	struct reactor *reactor; /* owned */
	struct rand rand;
	struct settings settings;
	struct pool_settings pool;
	struct container_settings containers[CONTAINERS];
	struct io_addr listen;
	enum dial dial;
	struct wire_end *client;       /* borrowed; NULL: it has gone */
	struct wire_end *seats[SEATS]; /* borrowed; the containers' connections, NULL where there is none */
	bool client_stands;
};

/* ---- what the script has for settings ---- */

static struct io_addr local_addr(uint16_t port)
{
	struct io_addr a = { .len = sizeof a.in };
	a.in.sin_family = AF_INET;
	a.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a.in.sin_port = htons(port);
	return a;
}

static void choose_pool(struct scene *w, uint8_t bits)
{
	struct pool_settings *p = &w->pool;
	pool_settings_default(p);
	p->name = "first";
	p->path_prefix = "/";
	p->submit_path = "/new_request";
	p->submit_forward = "/run_model";
	p->containers = w->containers;
	p->n_containers = CONTAINERS;
	for (uint16_t i = 0; i < CONTAINERS; i++) {
		snprintf(w->containers[i].name, sizeof w->containers[i].name, "container%d", i + 1);
		w->containers[i].addr = local_addr((uint16_t)(CONTAINER_PORT + i));
	}
	p->queue_max = bits & 1 ? 1 : 100;
	p->retry = bits & 2 ? RETRY_ALWAYS : RETRY_SAFE;
	p->health.path = bits & 4 ? "/health" : NULL;
	if (bits & 8) {
		p->on_leave = LEAVE_CLOSE;
		p->idle_probe = (struct idle_probe_settings){ "/idle", "idle" };
	}
	p->busy_status = bits & 16 ? 503 : 0;
	p->busy_header = bits & 16 ? "Berth-Busy" : NULL;
	p->job_attempts = 1;
	p->job_ttl_us = 30 * SECOND;
	p->zombie_timeout_us = 5 * SECOND;
	p->queue_max_wait_us = 5 * SECOND;
	p->timeouts = (struct timeout_settings){
		.connect_us = SECOND,
		.first_byte_us = 4 * SECOND,
		.idle_us = 4 * SECOND,
		.total_us = 10 * SECOND,
		.tunnel_us = 10 * SECOND,
	};
}

static void choose_settings(struct scene *w, uint8_t bits)
{
	struct settings *s = &w->settings;
	settings_default(s);
	w->listen = local_addr(FRONT_PORT);
	s->listen = &w->listen;
	s->n_listen = 1;
	s->pools = &w->pool;
	s->n_pools = 1;
	s->half_close_waits = bits & 32;
	s->body_memory_bytes = bits & 64 ? 64 : 4096;
	s->memory_limit_bytes = bits & 128 ? 1 << 16 : 1 << 24;
	s->max_body_bytes = 1 << 16;
	s->max_connections = 16;
	s->client_head_us = s->client_body_us = s->client_idle_us = s->client_send_us = 5 * SECOND;
	s->jobs_max = 16;
	s->jobs_max_records = 16;
	s->jobs_max_age_us = s->jobs_record_age_us = s->jobs_key_age_us = 20 * SECOND;
	choose_pool(w, bits);
}

/* ---- both ends of the network ---- */

static void on_open(struct wire_end *e)
{
	((struct scene *)e->owner)->client_stands = true;
}

static void on_bytes(struct wire_end *e, const char *bytes, size_t n)
{
	CHECK(n && bytes && e->open);
}

static void hang_up(struct wire_end *e, bool reset)
{
	struct scene *w = e->owner;
	for (int i = 0; i < SEATS; i++) {
		if (w->seats[i] == e)
			w->seats[i] = NULL;
	}
	if (w->client == e)
		w->client = NULL;
	wire_close(e, reset);
}

static void on_eof(struct wire_end *e)
{
	hang_up(e, false);
}

static void on_broken(struct wire_end *e, int err)
{
	CHECK(err < 0);
	hang_up(e, false);
}

static void on_room(struct wire_end *e)
{
	CHECK(e->open);
}

static const struct wire_ops client_ops = { on_open, on_bytes, on_eof, on_broken, on_room };
static const struct wire_ops seat_ops = { NULL, on_bytes, on_eof, on_broken, on_room };

static enum dial on_dial(void *owner, uint16_t port)
{
	CHECK(port >= CONTAINER_PORT && port < CONTAINER_PORT + CONTAINERS);
	return ((struct scene *)owner)->dial;
}

static bool on_answer(void *owner, uint16_t port, struct wire_end *far)
{
	struct scene *w = owner;
	CHECK(port >= CONTAINER_PORT);
	for (int i = 0; i < SEATS && w->dial != DIAL_REFUSED; i++) {
		if (w->seats[i])
			continue;
		w->seats[i] = far;
		wire_attach(far, &seat_ops, w);
		return true;
	}
	return false;
}

static void on_turn(void *owner)
{
	const struct scene *w = owner;
	for (uint32_t i = 0; w->reactor && i < w->reactor->n_routes; i++)
		pool_check(&w->reactor->routes[i]->pool);
}

static const struct io_sim_world world = { .dial = on_dial, .answer = on_answer, .on_turn = on_turn };

static void begin(struct scene *w, uint8_t bits, uint8_t pieces)
{
	char error[256];
	rand_seed(&w->rand, 1);
	choose_settings(w, bits);
	w->sim = io_sim_create(&world, w, &w->rand, 1);
	w->sim->client_traits = w->sim->container_traits = (struct wire_traits){
		.latency_min_us = 10,
		.latency_max_us = 20,
		.room_bytes = pieces & 1 ? 512 : 1 << 16,
		.piece_max = pieces & 2 ? 7 : 1 << 16,
		.tear_ppm = pieces & 4 ? 300000 : 0,
		.short_send_ppm = pieces & 8 ? 300000 : 0,
		.reset_drops_ppm = pieces & 16 ? 500000 : 0,
	};
	w->sim->disk.delay_min_us = 1;
	w->sim->disk.delay_max_us = 100;
	w->sim->disk.fail_ppm = pieces & 32 ? 300000 : 0;
	w->reactor = reactor_create(&w->sim->io, &w->settings, error, sizeof error);
	CHECK(w->reactor);
	w->client = io_sim_connect(w->sim, FRONT_PORT, &client_ops, w);
}

/* ---- the script ---- */

static void pass(struct scene *w, uint64_t us)
{
	uint64_t until_us = w->sim->io.now_us + us;
	while (!w->sim->io.stopped && io_sim_turn(w->sim, until_us))
		;
}

static void send_bytes(struct wire_end *e, struct str bytes)
{
	if (bytes.len && !e->wants_room &&
		wire_send(e, &(struct iovec){ (char *)(uintptr_t)bytes.ptr, bytes.len }, 1) < 0)
		hang_up(e, false);
}

/* A byte of length, and so many bytes, if there are as many. */
static struct str take_bytes(struct str *script)
{
	size_t n = script->len ? (unsigned char)script->ptr[0] : 0;
	struct str rest = str_skip(*script, 1);
	if (n > rest.len)
		n = rest.len;
	*script = str_skip(rest, n);
	return (struct str){ rest.ptr, n };
}

static void end_client(struct scene *w, unsigned how)
{
	if (!w->client || !w->client_stands)
		return;
	if (how == 0)
		wire_shutdown(w->client);
	else if (how == 3)
		wire_vanish(w->client, KEEPALIVE_US);
	else
		wire_close(w->client, how == 2);
	if (how)
		w->client = NULL;
}

/* arg: the five bits above the step's. */
static void take_step(struct scene *w, enum step step, unsigned arg, struct str *script)
{
	static const struct str answer = { "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nidle", 42 };
	struct wire_end *seat = w->seats[arg % SEATS];
	struct str bytes;
	switch (step) {
	case CLIENT_SENDS:
		bytes = take_bytes(script);
		if (w->client && w->client_stands)
			send_bytes(w->client, bytes);
		break;
	case TIME_PASSES:
		pass(w, UINT64_C(1) << (arg < LONGEST_WAIT ? arg : LONGEST_WAIT));
		break;
	case CONTAINER_SENDS:
		bytes = take_bytes(script);
		if (seat)
			send_bytes(seat, bytes);
		break;
	case CONTAINER_CLOSES:
		if (seat)
			hang_up(seat, arg & 8);
		break;
	case CLIENT_ENDS:
		end_client(w, arg & 3);
		break;
	case CLIENT_READS:
		if (w->client && w->client_stands)
			wire_pause(w->client, arg & 1);
		break;
	case DIALS:
		w->dial = (enum dial)(arg & 3);
		break;
	case CONTAINER_ANSWERS:
		if (seat)
			send_bytes(seat, answer);
		break;
	}
}

static void check_nothing_left(const struct scene *w)
{
	const struct reactor *r = w->reactor;
	CHECK(r->clients.len == 0 && r->client_pool.used == 0);
	CHECK(r->exchange_pool.used == 0 && r->jobs.count == 0);
	CHECK(r->budget.memory_used == 0 && r->budget.spool_used == 0);
}

static void end(struct scene *w)
{
	if (w->client)
		wire_close(w->client, false);
	w->client = NULL;
	for (int i = 0; i < SEATS; i++) {
		if (w->seats[i])
			hang_up(w->seats[i], false);
	}
	w->dial = DIAL_REFUSED;
	pass(w, UINT64_C(120) * SECOND);
	check_nothing_left(w);
	reactor_destroy(w->reactor);
	w->reactor = NULL;
	io_sim_destroy(w->sim);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct scene w = { .dial = DIAL_TRY };
	struct str script = { (const char *)data, size };
	if (size < 3)
		return 0;
	log_init("fuzz", LOG_ERROR, STDERR_FILENO);
	begin(&w, data[0], data[1]);
	script = str_skip(script, 2);
	pass(&w, 100);
	for (int i = 0; script.len && i < STEPS_MAX; i++) {
		unsigned c = (unsigned char)script.ptr[0];
		script = str_skip(script, 1);
		take_step(&w, (enum step)(c & 7), c >> 3, &script);
		pass(&w, 1000);
	}
	end(&w);
	return 0;
}
