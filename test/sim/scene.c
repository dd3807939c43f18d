/* berth-scene: plays scenarios (*.scn): what clients and containers do, an event a line, and what must come
 * of it.
 *
 *   set NAME VALUE   a setting (containers, slots, queue.max, retry, …), for the first event or a reload
 *   after 5ms        time passes; else 2 ms an event
 *   client 1         connects | leaves | is closed | pauses | resumes | sends TEXT | gets TEXT | waits
 *   container 1      gets TEXT | sends TEXT | waits | closes | dies | vanishes | refuses | accepts
 *   container 1      is free | is down | is zombie
 *   gateway          drains | reloads | stops
 *   clock 1h         the calendar's clock is set forward
 *   disk             fails
 *
 * gets: this must have come, behind what earlier lines have asked for. waits: nothing more must have come.
 * In TEXT, \r, \n and \\ are as in C. A container's connection is its newest.
 */
#include "base/log.h"
#include "gateway/reactor.h"
#include "io_sim.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	CONTAINERS = 3,
	CLIENTS = 4,
	FRONT_PORT = 8080,
	CONTAINER_PORT = 5000,
	HEARD_MAX = 64 * 1024,
	LINE_MAX_BYTES = 1024,
	CONFIGURATIONS = 8,
	EVENT_US = 2000,
	SECOND = 1000000
};

/* One end of a connection: a client's, or a container's newest. */
struct party {
	struct scene *scene;  /* borrowed: the owner */
	struct wire_end *end; /* borrowed; NULL: no connection */
	char heard[HEARD_MAX + 1];
	size_t n_heard, n_checked; /* bytes that came, and those that a line has asked for */
	bool closed;               /* by the gateway */
	enum dial dial;            /* of a container */
};

struct configuration {
	struct settings settings;
	struct pool_settings pool;
};

struct scene {
	const char *file; /* borrowed */
	unsigned line;
	struct io_sim *sim;      /* owned */
	struct reactor *reactor; /* owned; NULL until the first event */
	struct rand rand;
	struct configuration next;                 /* what the lines have set */
	struct configuration each[CONFIGURATIONS]; /* those that the gateway was given */
	unsigned n_configurations;
	struct container_settings container_settings[CONTAINERS];
	struct io_addr listen;
	struct party clients[CLIENTS], containers[CONTAINERS];
};

NORETURN static void fail(const struct scene *s, const char *fmt, ...) PRINTF(2, 3);
static void fail(const struct scene *s, const char *fmt, ...)
{
	va_list ap;
	fprintf(stderr, "%s:%u: ", s->file, s->line);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

/* ---- the network ---- */

static void on_open(struct wire_end *e)
{
	CHECK(e->open);
}

static void on_bytes(struct wire_end *e, const char *bytes, size_t n)
{
	struct party *p = e->owner;
	if (p->n_heard + n > HEARD_MAX)
		fail(p->scene, "more than %d bytes came", HEARD_MAX);
	memcpy(p->heard + p->n_heard, bytes, n);
	p->n_heard += n;
	p->heard[p->n_heard] = 0;
}

static void on_eof(struct wire_end *e)
{
	struct party *p = e->owner;
	p->closed = true;
	if (p->end == e)
		p->end = NULL;
	wire_close(e, false);
}

static void on_broken(struct wire_end *e, int err)
{
	CHECK(err < 0);
	on_eof(e);
}

static void on_room(struct wire_end *e)
{
	CHECK(e->open);
}

static const struct wire_ops party_ops = { on_open, on_bytes, on_eof, on_broken, on_room };

static struct party *container_at(struct scene *s, uint16_t port)
{
	CHECK(port >= CONTAINER_PORT && port < CONTAINER_PORT + CONTAINERS);
	return &s->containers[port - CONTAINER_PORT];
}

static enum dial on_dial(void *owner, uint16_t port)
{
	return container_at(owner, port)->dial;
}

static bool on_answer(void *owner, uint16_t port, struct wire_end *far)
{
	struct party *p = container_at(owner, port);
	if (p->dial != DIAL_TRY)
		return false;
	p->end = far;
	p->closed = false;
	wire_attach(far, &party_ops, p);
	return true;
}

static void on_turn(void *owner)
{
	const struct scene *s = owner;
	for (uint32_t i = 0; s->reactor && i < s->reactor->n_routes; i++)
		pool_check(&s->reactor->routes[i]->pool);
}

static const struct io_sim_world world = { .dial = on_dial, .answer = on_answer, .on_turn = on_turn };

static struct io_addr local_addr(uint16_t port)
{
	struct io_addr a = { .len = sizeof a.in };
	a.in.sin_family = AF_INET;
	a.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a.in.sin_port = htons(port);
	return a;
}

static void scene_init(struct scene *s, const char *file)
{
	*s = (struct scene){ .file = file };
	rand_seed(&s->rand, 1);
	struct settings *all = &s->next.settings;
	struct pool_settings *pool = &s->next.pool;
	settings_default(all);
	pool_settings_default(pool);
	s->listen = local_addr(FRONT_PORT);
	all->listen = &s->listen;
	all->n_listen = 1;
	all->n_pools = 1;
	pool->name = "model";
	pool->path_prefix = "/";
	pool->submit_path = "/new_request";
	pool->submit_forward = "/run_model";
	pool->containers = s->container_settings;
	pool->n_containers = 1;
	for (uint16_t i = 0; i < CONTAINERS; i++) {
		struct container_settings *cs = &s->container_settings[i];
		snprintf(cs->name, sizeof cs->name, "container%d", i + 1);
		cs->addr = local_addr((uint16_t)(CONTAINER_PORT + i));
		s->containers[i].scene = s;
	}
	for (int i = 0; i < CLIENTS; i++)
		s->clients[i].scene = s;
	s->sim = io_sim_create(&world, s, &s->rand, 1);
	s->sim->client_traits = s->sim->container_traits = (struct wire_traits){
		.latency_min_us = 1, .latency_max_us = 2, .room_bytes = 1 << 16, .piece_max = 1 << 16
	};
}

static void pass(struct scene *s, uint64_t us)
{
	uint64_t until_us = s->sim->io.now_us + us;
	while (io_sim_turn(s->sim, until_us)) /* what a gateway that has stopped has sent still comes */
		;
}

/* A copy, for what is set after it is for the next one. */
static const struct settings *configuration(struct scene *s)
{
	if (s->n_configurations == CONFIGURATIONS)
		fail(s, "more than %d configurations", CONFIGURATIONS);
	struct configuration *c = &s->each[s->n_configurations++];
	*c = s->next;
	c->settings.pools = &c->pool;
	return &c->settings;
}

static void start(struct scene *s)
{
	char error[256];
	if (s->reactor)
		return;
	s->reactor = reactor_create(&s->sim->io, configuration(s), error, sizeof error);
	if (!s->reactor)
		fail(s, "%s", error);
	pass(s, EVENT_US);
}

static void scene_finish(struct scene *s)
{
	start(s);
	for (int i = 0; i < CLIENTS; i++) {
		if (s->clients[i].end)
			wire_close(s->clients[i].end, false);
	}
	reactor_destroy(s->reactor); /* checks that nothing is left */
	for (int i = 0; i < CONTAINERS; i++) {
		if (s->containers[i].end)
			wire_close(s->containers[i].end, false);
	}
	io_sim_destroy(s->sim);
}

/* ---- words ---- */

/* "\r", "\n" and "\\" as in C. In place. */
static size_t unescape(struct scene *s, char *text)
{
	char *to = text;
	for (const char *from = text; *from; from++) {
		if (*from != '\\') {
			*to++ = *from;
			continue;
		}
		from++;
		if (*from != 'r' && *from != 'n' && *from != '\\')
			fail(s, "an escape that is none of \\r, \\n, \\\\");
		*to++ = *from == 'r' ? '\r' : *from == 'n' ? '\n' : '\\';
	}
	*to = 0;
	return (size_t)(to - text);
}

static uint64_t duration_us(struct scene *s, const char *text)
{
	static const struct {
		const char *unit;
		uint64_t us;
	} units[] = { { "us", 1 }, { "ms", 1000 }, { "s", SECOND }, { "h", UINT64_C(3600) * SECOND } };
	char *end;
	uint64_t n = strtoull(text, &end, 10);
	for (size_t i = 0; end > text && i < ARRAY_LEN(units); i++) {
		if (!strcmp(end, units[i].unit))
			return n * units[i].us;
	}
	fail(s, "%s is no duration", text);
}

static void set_setting(struct scene *s, const char *name, const char *value)
{
	struct pool_settings *p = &s->next.pool;
	const struct {
		const char *name;
		uint64_t *us;
	} times[] = {
		{ "queue.max_wait", &p->queue_max_wait_us },
		{ "zombie_timeout", &p->zombie_timeout_us },
		{ "health.backoff_min", &p->health.backoff_min_us },
		{ "health.backoff_max", &p->health.backoff_max_us },
		{ "health.interval", &p->health.interval_us },
		{ "timeouts.first_byte", &p->timeouts.first_byte_us },
		{ "timeouts.idle", &p->timeouts.idle_us },
		{ "timeouts.connect", &p->timeouts.connect_us },
		{ "drain_timeout", &s->next.settings.drain_timeout_us },
	};
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		if (!strcmp(name, times[i].name)) {
			*times[i].us = duration_us(s, value);
			return;
		}
	}
	if (!strcmp(name, "containers"))
		p->n_containers = strtoul(value, NULL, 10);
	else if (!strcmp(name, "pools")) /* 0 or 1 */
		s->next.settings.n_pools = strtoul(value, NULL, 10);
	else if (!strcmp(name, "slots"))
		p->slots = (uint32_t)strtoul(value, NULL, 10);
	else if (!strcmp(name, "queue.max"))
		p->queue_max = (uint32_t)strtoul(value, NULL, 10);
	else if (!strcmp(name, "client_room"))
		s->sim->client_traits.room_bytes = (uint32_t)strtoul(value, NULL, 10);
	else if (!strcmp(name, "retry"))
		p->retry = !strcmp(value, "always") ? RETRY_ALWAYS
			: !strcmp(value, "never")   ? RETRY_NEVER
						    : RETRY_SAFE;
	else if (!strcmp(name, "health.path"))
		p->health.path = strcmp(value, "off") != 0 ? "/health" : NULL;
	else if (!strcmp(name, "idle_probe"))
		p->idle_probe = (struct idle_probe_settings){ strcmp(value, "off") != 0 ? "/other" : NULL };
	else if (!strcmp(name, "on_leave") && !strcmp(value, "close")) {
		p->on_leave = LEAVE_CLOSE;
		p->idle_probe = (struct idle_probe_settings){ "/idle", "idle" };
	} else if (!strcmp(name, "idle_probe.expect"))
		p->idle_probe = (struct idle_probe_settings){ "/idle", "idle" };
	else if (!strcmp(name, "limits.body_memory"))
		s->next.settings.body_memory_bytes = (uint32_t)strtoul(value, NULL, 10);
	else
		fail(s, "no setting is called %s", name);
}

static void say(struct scene *s, struct party *p, char *text)
{
	size_t n = unescape(s, text);
	if (!p->end)
		fail(s, "there is no connection");
	ssize_t sent = wire_send(p->end, &(struct iovec){ text, n }, 1);
	if (sent != (ssize_t)n)
		fail(s, "%zd of %zu bytes could be sent", sent, n);
	pass(s, EVENT_US);
}

static void hear(struct scene *s, struct party *p, char *text)
{
	size_t n = unescape(s, text);
	char *at = memmem(p->heard + p->n_checked, p->n_heard - p->n_checked, text, n);
	if (!at)
		fail(s, "this has not come, but: %s",
			p->n_heard > p->n_checked ? p->heard + p->n_checked : "nothing");
	p->n_checked = (size_t)(at - p->heard) + n;
}

static void must_be(struct scene *s, bool so, const char *what)
{
	if (!so)
		fail(s, "%s is not so", what);
}

/* ---- events ---- */

static void client_event(struct scene *s, struct party *p, const char *verb, char *rest)
{
	if (!strcmp(verb, "connects")) {
		p->end = io_sim_connect(s->sim, FRONT_PORT, &party_ops, p);
		p->n_heard = p->n_checked = 0;
		p->closed = false;
		pass(s, EVENT_US);
	} else if (!strcmp(verb, "sends")) {
		say(s, p, rest);
	} else if (!strcmp(verb, "gets")) {
		hear(s, p, rest);
	} else if (!strcmp(verb, "waits")) {
		must_be(s, p->n_heard == p->n_checked && !p->closed, "that nothing more has come");
	} else if (!strcmp(verb, "pauses") || !strcmp(verb, "resumes")) {
		if (!p->end)
			fail(s, "there is no connection");
		wire_pause(p->end, verb[0] == 'p');
		pass(s, EVENT_US);
	} else if (!strcmp(verb, "leaves")) {
		wire_close(p->end, true);
		p->end = NULL;
		pass(s, EVENT_US);
	} else if (!strcmp(verb, "is") && !strcmp(rest, "closed")) {
		must_be(s, p->closed, "that the connection is closed");
	} else {
		fail(s, "a client does not know %s", verb);
	}
}

static void drop(struct party *p, bool reset)
{
	if (p->end)
		wire_close(p->end, reset);
	p->end = NULL;
}

static void container_event(struct scene *s, struct party *p, const char *verb, char *rest)
{
	const struct container *c = s->reactor->routes[0]->pool.containers[p - s->containers];
	if (!strcmp(verb, "gets")) {
		hear(s, p, rest);
	} else if (!strcmp(verb, "sends")) {
		say(s, p, rest);
	} else if (!strcmp(verb, "waits")) {
		must_be(s, p->n_heard == p->n_checked, "that nothing more has come");
	} else if (!strcmp(verb, "closes")) {
		drop(p, false);
		pass(s, EVENT_US);
	} else if (!strcmp(verb, "dies")) {
		p->dial = DIAL_REFUSED;
		drop(p, true);
		pass(s, EVENT_US);
	} else if (!strcmp(verb, "vanishes")) { /* from the network: the container works on */
		wire_vanish(p->end, KEEPALIVE_US);
		p->end = NULL;
	} else if (!strcmp(verb, "refuses")) {
		p->dial = DIAL_REFUSED;
	} else if (!strcmp(verb, "accepts")) {
		p->dial = DIAL_TRY;
	} else if (!strcmp(verb, "rests")) {
		must_be(s, c->state == CONTAINER_RESTING, "that the container rests");
	} else if (!strcmp(verb, "is")) {
		bool up = c->state == CONTAINER_UP && c->slots[SLOT_FREE].len;
		must_be(s,
			!strcmp(rest, "free") ? up
				: !strcmp(rest, "down")
				? c->state == CONTAINER_DOWN
				: !strcmp(rest, "zombie") && c->slots[SLOT_ZOMBIE].len,
			rest);
	} else {
		fail(s, "a container does not know %s", verb);
	}
}

static void gateway_event(struct scene *s, const char *verb)
{
	char error[256];
	if (!strcmp(verb, "drains"))
		reactor_drain(s->reactor);
	else if (!strcmp(verb, "reloads")) {
		if (!reactor_reload(s->reactor, configuration(s), error, sizeof error))
			fail(s, "%s", error);
	} else if (!strcmp(verb, "stops"))
		must_be(s, s->sim->io.stopped, "that the gateway has stopped");
	else
		fail(s, "the gateway does not know %s", verb);
	pass(s, EVENT_US);
}

static char none[] = "";

static char *word(char **rest)
{
	char *w = strsep(rest, " ");
	return w ? w : none;
}

static struct party *party_of(struct scene *s, struct party *all, size_t n, const char *number)
{
	unsigned long i = strtoul(number, NULL, 10);
	if (i < 1 || i > n)
		fail(s, "there is no number %s", number);
	return &all[i - 1];
}

static void play_line(struct scene *s, char *line)
{
	char *rest = line, *subject = word(&rest);
	if (!strcmp(subject, "set")) {
		char *name = word(&rest);
		set_setting(s, name, rest ? rest : none);
		return;
	}
	if (!strcmp(subject, "descriptors") && rest) { /* of the gateway's, for connections */
		s->sim->faults.ppm[FAULT_CONNECT] = !strcmp(rest, "lack") ? SECOND : 0;
		return;
	}
	start(s);
	if (!strcmp(subject, "after")) {
		pass(s, duration_us(s, rest ? rest : none));
	} else if (!strcmp(subject, "gateway")) {
		gateway_event(s, rest ? rest : none);
	} else if (!strcmp(subject, "clock")) {
		io_sim_set_clock(s->sim, (int64_t)duration_us(s, rest ? rest : none));
	} else if (!strcmp(subject, "disk") && rest && !strcmp(rest, "fails")) {
		s->sim->disk.fail_ppm = SECOND;
	} else if (!strcmp(subject, "client") || !strcmp(subject, "container")) {
		bool client = subject[1] == 'l';
		char *number = word(&rest), *verb = word(&rest);
		if (client)
			client_event(s, party_of(s, s->clients, CLIENTS, number), verb, rest ? rest : none);
		else
			container_event(
				s, party_of(s, s->containers, CONTAINERS, number), verb, rest ? rest : none);
	} else {
		fail(s, "%s begins no event", subject);
	}
}

static void play(const char *file)
{
	static struct scene s;
	char line[LINE_MAX_BYTES];
	FILE *f = fopen(file, "re");
	if (!f) {
		fprintf(stderr, "berth-scene: cannot read %s: %s\n", file, strerror(errno));
		exit(1);
	}
	scene_init(&s, file);
	while (fgets(line, sizeof line, f)) {
		s.line++;
		line[strcspn(line, "\n")] = 0;
		if (line[0] && line[0] != '#')
			play_line(&s, line);
	}
	fclose(f);
	scene_finish(&s);
	printf("%s: %u lines\n", file, s.line);
}

int main(int argc, char **argv)
{
	log_init("berth", LOG_ERROR, STDERR_FILENO);
	for (int i = 1; i < argc; i++)
		play(argv[i]);
	return argc < 2;
}
