/* admin: the listener for operators. Reached over loopback or a unix socket; guarded against pages in a
 * browser on the same machine. */
#include "gateway/backend.h"
#include "gateway/client.h"
#include "gateway/exchange.h"
#include "gateway/intake.h"
#include "gateway/reactor.h"
#include "gateway/status_file.h"
#include "gateway/watch.h"
#include "http/url.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static const struct str no_store = { "Cache-Control: no-store\r\n", 25 };

static bool is_address(struct str host)
{
	char text[INET6_ADDRSTRLEN + 2];
	uint8_t ip[16];
	if (host.len >= 2 && host.ptr[0] == '[')
		host = (struct str){ host.ptr + 1, host.len - 2 };
	if (host.len >= sizeof text)
		return false;
	str_copy(text, sizeof text, host);
	return inet_pton(AF_INET, text, ip) == 1 || inet_pton(AF_INET6, text, ip) == 1;
}

/* A page whose name was re-bound to this address would send its own name here (DNS rebinding). */
static bool host_is_welcome(const struct reactor *r, struct str host)
{
	if (is_address(host) || str_eq_nocase(host, STR("localhost")))
		return true;
	for (size_t i = 0; i < r->settings->n_admin_hosts; i++) {
		if (str_eq_nocase(host, str_of(r->settings->admin_hosts[i])))
			return true;
	}
	return false;
}

static void key_u64(struct json *j, const char *key, uint64_t v)
{
	json_key(j, key);
	json_u64(j, v);
}

static void describe_sources(struct json *j, const struct route *route)
{
	json_key(j, "sources");
	json_open(j, '[');
	for (size_t i = 0; i < route->n_discoveries; i++) {
		const struct discovery *d = &route->discoveries[i];
		json_open(j, '{');
		json_key(j, "source");
		json_string(j, str_of(d->source));
		json_key(j, "state");
		json_string(j, str_of(discovery_state_name(d->state)));
		key_u64(j, "containers", d->n);
		if (d->state == DISCOVERY_UNREACHABLE) {
			json_key(j, "why");
			json_string(j, str_of(d->why));
		}
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void describe_pool(struct json *j, struct route *route)
{
	static const char *const names[SLOT_STATES] = { "down", "connecting", "free", "busy", "zombie" };
	struct pool *p = &route->pool;
	uint32_t sums[SLOT_STATES] = { 0 };
	uint64_t eta_us = pool_eta_us(p, order_len(&p->queue) + 1);
	for (uint32_t i = 0; i < p->n_containers; i++) {
		for (int s = 0; s < SLOT_STATES; s++)
			sums[s] += p->containers[i]->slots[s].len;
	}
	json_open(j, '{');
	json_key(j, "name");
	json_string(j, str_of(route->settings->name));
	json_key(j, "queue");
	json_open(j, '{');
	key_u64(j, "length", order_len(&p->queue));
	key_u64(j, "max", p->limits.queue_max);
	key_u64(j, "bytes", p->queue_bytes);
	json_key(j, "eta_ms");
	if (pool_forecast(p, 0) == ADMIT_DISPATCH)
		json_u64(j, 0);
	else if (eta_us == UINT64_MAX)
		json_null(j);
	else
		json_u64(j, eta_us / 1000);
	json_close(j, '}');
	json_key(j, "slots");
	json_open(j, '{');
	for (int s = 0; s < SLOT_STATES; s++)
		key_u64(j, names[s], sums[s]);
	json_close(j, '}');
	json_key(j, "requests");
	json_open(j, '{');
	key_u64(j, "done", route->metrics.outcomes[OUTCOME_ANSWERED]);
	key_u64(j, "left", route->metrics.outcomes[OUTCOME_LEFT]);
	key_u64(j, "problems", route->metrics.outcomes[OUTCOME_PROBLEM]);
	key_u64(j, "retries", route->metrics.retries);
	json_close(j, '}');
	json_key(j, "containers");
	json_open(j, '[');
	for (uint32_t i = 0; i < p->n_containers; i++) {
		json_open(j, '{');
		json_key(j, "name");
		json_string(j, str_of(backend_of(p->containers[i])->settings.name));
		status_write_container(route, p->containers[i], j);
		json_close(j, '}');
	}
	json_close(j, ']');
	describe_sources(j, route);
	json_close(j, '}');
}

static void reply_status(struct client *c)
{
	struct reactor *r = c->reactor;
	struct json *j = &r->json;
	json_reset(j);
	json_open(j, '{');
	json_key(j, "version");
	json_string(j, STR(BERTH_VERSION));
	json_key(j, "uptime_s");
	json_double(j, (double)((r->io->now_us - r->started_us) / 1000) / 1000);
	json_key(j, "draining");
	json_bool(j, r->draining);
	key_u64(j, "connections", r->clients.len);
	key_u64(j, "jobs", r->jobs.count);
	key_u64(j, "memory_bytes", r->budget.memory_used);
	json_key(j, "pools");
	json_open(j, '[');
	for (uint32_t i = 0; i < r->n_routes; i++) {
		if (!route_is_over(r->routes[i]))
			describe_pool(j, r->routes[i]);
	}
	json_close(j, ']');
	json_close(j, '}');
	json_bytes(j, STR("\n"));
	client_reply(c, 200, "application/json", no_store, json_str(j));
}

static void reply_metrics(struct client *c)
{
	struct json *j = &c->reactor->json;
	json_reset(j);
	metrics_write(c->reactor, j);
	client_reply(c, 200, "text/plain; version=0.0.4; charset=utf-8", no_store, json_str(j));
}

/* A change comes with application/json, which a page of another origin cannot send without being asked
 * (CORS). */
static bool is_json(const struct http_head *head)
{
	const struct http_field *f = http_field(head, FIELD_CONTENT_TYPE);
	struct str type = f ? f->value : (struct str){ NULL, 0 };
	return str_eq_nocase(str_trim(str_cut(&type, ';')), STR("application/json"));
}

static void begin_change(struct client *c, const struct http_head *head)
{
	const struct str none = { NULL, 0 };
	if (head->method != HTTP_DELETE && !is_json(head)) {
		client_problem(c, PROBLEM_MEDIA_TYPE, "changes need Content-Type: application/json", 0, none);
		return;
	}
	struct admin_request *req = head->path.len < ADMIN_PATH_MAX ? calloc(1, sizeof *req) : NULL;
	if (!req) {
		client_problem(c, PROBLEM_NOT_FOUND, "no container has such a name", 0, none);
		return;
	}
	req->method = head->method;
	str_copy(req->path, sizeof req->path, head->path);
	client_expect_change(c, head, req);
}

static int state_named(struct str name)
{
	for (int s = 0; s < STORE_STATES; s++) {
		if (str_eq(name, str_of(store_state_name((enum store_state)s))))
			return s;
	}
	return -1;
}

/* ?state=&pool=&limit=&after= */
static bool read_filter(struct store_filter *f, struct str query, char *pool, size_t pool_size)
{
	struct str state = url_param(query, STR("state")), limit = url_param(query, STR("limit"));
	struct str after = url_param(query, STR("after")), name = url_param(query, STR("pool"));
	uint64_t n = 50;
	size_t len = 0;
	f->state = state.ptr ? state_named(state) : -1;
	if (state.ptr && f->state < 0)
		return false;
	if ((limit.ptr && !str_to_u64(limit, &n)) || n < 1 || n > STORE_LIST_MAX)
		return false;
	if (name.ptr && !url_decode(name, pool, pool_size, &len))
		return false;
	if (after.ptr) {
		struct str created = str_cut(&after, '-');
		if (!str_to_u64(created, &f->at.created_us) || !str_to_u64(after, &f->at.seq))
			return false;
	}
	f->limit = (uint32_t)n;
	f->pool = (struct str){ pool, len };
	return true;
}

static void list_jobs(struct client *c, struct str query)
{
	const struct str none = { NULL, 0 };
	char pool[STORE_POOL_MAX];
	struct store_filter filter = { 0 };
	if (!read_filter(&filter, query, pool, sizeof pool)) {
		client_problem(c, PROBLEM_BAD_REQUEST,
			"state is queued, running, done, failed, cancelled or expired; limit 1 to 1000; "
			"after what the last list called next",
			0, none);
		return;
	}
	struct watch *w = watch_create(c, WATCH_LIST, NULL);
	if (w)
		watch_list(w, &filter);
}

static void read_resource(struct client *c, const struct http_head *head)
{
	const struct str none = { NULL, 0 };
	if (str_eq(head->path, STR("/healthz")))
		client_reply(c, 200, "text/plain", no_store, STR("ok\n"));
	else if (str_eq(head->path, STR("/readyz")))
		api_readyz(c);
	else if (str_eq(head->path, STR("/status")))
		reply_status(c);
	else if (str_eq(head->path, STR("/metrics")))
		reply_metrics(c);
	else if (str_eq(head->path, STR("/jobs")) || str_eq(head->path, STR("/berth/jobs")))
		list_jobs(c, head->query);
	else if (str_starts(head->path, STR("/berth/jobs/")))
		api_handle(c, head);
	else
		client_problem(c, PROBLEM_NOT_FOUND,
			"the admin listener has /healthz, /readyz, /status, /metrics, /jobs and "
			"/containers/{name}",
			0, none);
}

void admin_handle(struct client *c, const struct http_head *head)
{
	const struct str none = { NULL, 0 };
	bool changes = (head->method == HTTP_PUT || head->method == HTTP_DELETE) &&
		str_starts(head->path, STR("/containers/"));
	if (!c->unix_peer && !host_is_welcome(c->reactor, url_host(head->host)))
		client_problem(c, PROBLEM_MISDIRECTED,
			"Host must be an address, localhost or one of admin_hosts", 0, none);
	else if (http_field(head, FIELD_ORIGIN))
		client_problem(c, PROBLEM_FORBIDDEN,
			"requests from pages in a browser (with Origin) are refused here", 0, none);
	else if (changes)
		begin_change(c, head);
	else if (head->method == HTTP_DELETE && str_starts(head->path, STR("/berth/jobs/")))
		api_handle(c, head);
	else if (head->method != HTTP_GET && head->method != HTTP_HEAD)
		client_problem(c, PROBLEM_METHOD_NOT_ALLOWED,
			"GET reads the admin listener's resources; PUT and DELETE change /containers/{name}",
			0, STR("Allow: GET, HEAD\r\n"));
	else
		read_resource(c, head);
}
