/* Calls of the Docker Engine API, to an engine that answers when the case lets it. */
#include "fleet/docker.h"
#include "unit.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { SILENCE_S = 1, CONNECTIONS_MAX = 16 };

/* A thread for each connection, on which one request after the other is answered: /silence never, and /stop
 * when the one who asked for that has given up. */
struct fake {
	char directory[64], host[128];
	int listener;
	pthread_t thread, connections[CONNECTIONS_MAX];
	size_t n_connections;
	sem_t given_up, silence_came;
};

struct connection {
	struct fake *fake;
	int fd;
};

/* False at the end of the connection. */
static bool read_head(int fd, char *head, size_t size)
{
	size_t n = 0;
	for (head[0] = '\0'; !strstr(head, "\r\n\r\n"); head[n] = '\0') {
		ssize_t got = n + 1 < size ? read(fd, head + n, size - 1 - n) : 0;
		if (got <= 0)
			return false;
		n += (size_t)got;
	}
	return true;
}

static void *serve(void *user)
{
	struct connection *c = user;
	char head[4096];
	while (read_head(c->fd, head, sizeof head)) {
		const char *answer = "HTTP/1.1 204 No Content\r\n\r\n";
		if (strstr(head, "/version "))
			answer = "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{\"ApiVersion\":\"1.41\"}";
		if (strstr(head, "/silence ")) {
			sem_post(&c->fake->silence_came);
			(void)read_head(c->fd, head, sizeof head);
			sem_post(&c->fake->given_up);
			break;
		}
		if (strstr(head, "/stop "))
			sem_wait(&c->fake->given_up);
		if (send(c->fd, answer, strlen(answer), MSG_NOSIGNAL) < 0)
			break;
	}
	close(c->fd);
	free(c);
	return NULL;
}

static void *take_connections(void *user)
{
	struct fake *fake = user;
	for (;;) {
		struct connection *c = malloc(sizeof *c);
		assert_non_null(c);
		*c = (struct connection){ fake, accept(fake->listener, NULL, NULL) };
		if (c->fd < 0) {
			free(c);
			return NULL;
		}
		assert_true(fake->n_connections < CONNECTIONS_MAX);
		assert_int_equal(
			pthread_create(&fake->connections[fake->n_connections++], NULL, serve, c), 0);
	}
}

static int set_up(void **state)
{
	struct fake *fake = calloc(1, sizeof *fake);
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	assert_non_null(fake);
	snprintf(fake->directory, sizeof fake->directory, "/tmp/berth-engine-XXXXXX");
	assert_non_null(mkdtemp(fake->directory));
	snprintf(addr.sun_path, sizeof addr.sun_path, "%s/socket", fake->directory);
	snprintf(fake->host, sizeof fake->host, "unix://%s", addr.sun_path);
	fake->listener = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fake->listener, (struct sockaddr *)&addr, sizeof addr), 0);
	assert_int_equal(listen(fake->listener, 8), 0);
	sem_init(&fake->given_up, 0, 0);
	sem_init(&fake->silence_came, 0, 0);
	assert_int_equal(pthread_create(&fake->thread, NULL, take_connections, fake), 0);
	*state = fake;
	return 0;
}

static int tear_down(void **state)
{
	struct fake *fake = *state;
	char path[128];
	shutdown(fake->listener, SHUT_RDWR);
	pthread_join(fake->thread, NULL);
	for (size_t i = 0; i < fake->n_connections; i++)
		pthread_join(fake->connections[i], NULL);
	close(fake->listener);
	snprintf(path, sizeof path, "%s/socket", fake->directory);
	unlink(path);
	rmdir(fake->directory);
	free(fake);
	return 0;
}

/* ---- silences ---- */

static void *ask_for_silence(void *user)
{
	struct engine *e = user;
	struct engine_call call;
	engine_call_init(&call, "GET", "/silence");
	bool ok = engine_run(e, &call, 1);
	engine_call_finish(&call);
	return ok ? NULL : e;
}

static bool is_any(const struct docker_container *c)
{
	return true;
}

/* An orchestrator takes up to its drain_timeout, in which the engine is silent. */
static void test_a_stop_may_take_longer_than_other_calls_may_be_silent(void **state)
{
	struct fake *fake = *state;
	struct docker d = { 0 };
	struct engine other;
	char why[ENGINE_WHY];
	pthread_t asking;
	void *failed;
	assert_true(engine_open(&d.engine, fake->host, NULL, NULL, why));
	d.engine.silence_s = SILENCE_S;
	other = d.engine;
	struct docker_container *c = docker_append(&d);
	assert_non_null(c);
	snprintf(c->id, sizeof c->id, "one");
	assert_int_equal(pthread_create(&asking, NULL, ask_for_silence, &other), 0);
	bool ok = docker_remove(&d, is_any);
	pthread_join(asking, &failed);
	assert_true(ok);
	assert_non_null(failed);
	docker_close(&d);
}

static bool silence_came(void *user)
{
	int n = 0;
	(void)sem_getvalue(user, &n);
	return n > 0;
}

/* Else Ctrl-C would wait for it. */
static void test_what_is_endless_is_given_up_when_it_is_over(void **state)
{
	struct fake *fake = *state;
	struct engine e;
	struct engine_call call;
	char why[ENGINE_WHY];
	assert_true(engine_open(&e, fake->host, silence_came, &fake->silence_came, why));
	engine_call_init(&call, "POST", "/silence");
	call.endless = true;
	assert_false(engine_run(&e, &call, 1));
	assert_string_equal(call.why, "interrupted");
	engine_call_finish(&call);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_a_stop_may_take_longer_than_other_calls_may_be_silent, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_what_is_endless_is_given_up_when_it_is_over, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
