/* When health checks come: many containers, watched for a while in simulated time. */
#include "base/log.h"
#include "gateway/reactor.h"
#include "io_sim.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	CONTAINERS = 64,
	FIRST_PORT = 5000,
	INTERVAL_US = 1000 * 1000,
	JITTER_US = INTERVAL_US / 10, /* either way, as the documentation has it */
	SLACK_US = 3000,              /* the wheel's tick, and the network */
	ROUNDS = 100,
	TOGETHER_US = 10 * 1000,
};

static const char probe[] = "GET /health ", answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

static struct {
	struct io_sim *sim;
	uint64_t at_us[CONTAINERS][2 * ROUNDS];
	uint32_t n[CONTAINERS];
} watched;

/* ---- containers ---- */

static void on_bytes(struct wire_end *e, const char *bytes, size_t n)
{
	uint32_t *index = e->owner, i = (uint32_t)(index - watched.n);
	CHECK(n > sizeof probe && !memcmp(bytes, probe, sizeof probe - 1) && *index < 2 * ROUNDS);
	watched.at_us[i][(*index)++] = watched.sim->io.now_us;
	ssize_t sent = wire_send(e, &(struct iovec){ (char *)(uintptr_t)answer, sizeof answer - 1 }, 1);
	CHECK(sent == sizeof answer - 1);
}

static void on_eof(struct wire_end *e)
{
	wire_close(e, false);
}

static void on_broken(struct wire_end *e, int err)
{
	CHECK(err < 0);
	wire_close(e, false);
}

static void on_room(struct wire_end *e)
{
	CHECK(e->open);
}

static const struct wire_ops container_ops = {
	.on_bytes = on_bytes, .on_eof = on_eof, .on_broken = on_broken, .on_room = on_room
};

static enum dial on_dial(void *owner, uint16_t port)
{
	CHECK(!owner && port >= FIRST_PORT && port < FIRST_PORT + CONTAINERS);
	return DIAL_TRY;
}

static bool on_answer(void *owner, uint16_t port, struct wire_end *far)
{
	CHECK(!owner);
	wire_attach(far, &container_ops, &watched.n[port - FIRST_PORT]);
	return true;
}

static void on_turn(void *owner)
{
	CHECK(!owner);
}

static const struct io_sim_world world = { .dial = on_dial, .answer = on_answer, .on_turn = on_turn };

static void watch(void)
{
	static struct container_settings containers[CONTAINERS];
	struct rand r;
	struct settings s;
	struct pool_settings pool;
	char error[256];
	rand_seed(&r, 7);
	settings_default(&s);
	pool_settings_default(&pool);
	pool.name = "model";
	pool.path_prefix = "/";
	pool.health.path = "/health";
	pool.health.interval_us = INTERVAL_US;
	pool.containers = containers;
	pool.n_containers = CONTAINERS;
	s.pools = &pool;
	s.n_pools = 1;
	for (uint16_t i = 0; i < CONTAINERS; i++) {
		struct io_addr *a = &containers[i].addr;
		snprintf(containers[i].name, sizeof containers[i].name, "container%d", i);
		a->len = sizeof a->in;
		a->in = (struct sockaddr_in){ .sin_family = AF_INET,
			.sin_port = htons((uint16_t)(FIRST_PORT + i)),
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	}
	watched.sim = io_sim_create(&world, NULL, &r, 1);
	watched.sim->container_traits = (struct wire_traits){
		.latency_min_us = 1, .latency_max_us = 2, .room_bytes = 1 << 16, .piece_max = 1 << 16
	};
	struct reactor *reactor = reactor_create(&watched.sim->io, &s, error, sizeof error);
	CHECK(reactor);
	uint64_t end_us = watched.sim->io.now_us + (uint64_t)ROUNDS * INTERVAL_US;
	while (io_sim_turn(watched.sim, end_us))
		;
	reactor_destroy(reactor);
	io_sim_destroy(watched.sim);
}

/* ---- what came ---- */

/* Each interval is within its bounds, they differ, and they use the bounds' width. */
static void test_probes_are_jittered(void)
{
	for (uint32_t i = 0; i < CONTAINERS; i++) {
		uint64_t least = UINT64_MAX, most = 0;
		CHECK(watched.n[i] > ROUNDS / 2);
		for (uint32_t k = 1; k < watched.n[i]; k++) {
			uint64_t us = watched.at_us[i][k] - watched.at_us[i][k - 1];
			least = us < least ? us : least;
			most = us > most ? us : most;
		}
		CHECK(least >= INTERVAL_US - JITTER_US && most <= INTERVAL_US + JITTER_US + SLACK_US);
		CHECK(least < INTERVAL_US - JITTER_US / 2 && most > INTERVAL_US + JITTER_US / 2);
	}
}

/* All began at once; at the end only a few are probed together. */
static void test_containers_are_not_probed_in_step(void)
{
	uint32_t most = 0;
	for (uint32_t i = 0; i < CONTAINERS; i++) {
		uint64_t last_us = watched.at_us[i][watched.n[i] - 1];
		uint32_t together = 0;
		for (uint32_t k = 0; k < CONTAINERS; k++) {
			for (uint32_t m = 0; m < watched.n[k]; m++) {
				uint64_t us = watched.at_us[k][m];
				together += us + TOGETHER_US > last_us && us < last_us + TOGETHER_US;
			}
		}
		most = together > most ? together : most;
	}
	CHECK(watched.at_us[0][0] <= watched.at_us[CONTAINERS - 1][0] + TOGETHER_US);
	CHECK(most < CONTAINERS / 4);
}

int main(void)
{
	log_init("berth", LOG_ERROR, STDERR_FILENO);
	watch();
	test_probes_are_jittered();
	test_containers_are_not_probed_in_step();
	return 0;
}
