#include "gateway/metrics.h"

#include "gateway/access_log.h"
#include "gateway/backend.h"
#include "gateway/reactor.h"

#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const uint64_t bounds_us[HISTOGRAM_BUCKETS - 1] = {
	500,
	1000,
	2500,
	5000,
	10000,
	25000,
	50000,
	100000,
	250000,
	500000,
	1000000,
	2500000,
	5000000,
	10000000,
	30000000,
	60000000,
	150000000,
};

void histogram_add(struct histogram *h, uint64_t us)
{
	int i = 0;
	while (i < HISTOGRAM_BUCKETS - 1 && us > bounds_us[i])
		i++;
	h->count[i]++;
	h->sum_us += us;
}

static void line(struct json *j, const char *fmt, ...) PRINTF(2, 3);
static void line(struct json *j, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof text - 1, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	size_t len = (size_t)n < sizeof text - 1 ? (size_t)n : sizeof text - 2;
	text[len++] = '\n';
	json_bytes(j, (struct str){ text, len });
}

static void head(struct json *j, const char *name, const char *type, const char *help)
{
	line(j, "# HELP %s %s", name, help);
	line(j, "# TYPE %s %s", name, type);
}

static void histograms(struct reactor *r, struct json *j, const char *name, const char *help, size_t offset)
{
	head(j, name, "histogram", help);
	for (uint32_t i = 0; i < r->n_routes; i++) {
		const char *pool = r->routes[i]->settings->name;
		const struct histogram *h = (const void *)((const char *)&r->routes[i]->metrics + offset);
		uint64_t sum = 0;
		for (int b = 0; b < HISTOGRAM_BUCKETS - 1; b++) {
			sum += h->count[b];
			line(j, "%s_bucket{pool=\"%s\",le=\"%g\"} %llu", name, pool,
				(double)bounds_us[b] / 1e6, (unsigned long long)sum);
		}
		sum += h->count[HISTOGRAM_BUCKETS - 1];
		line(j, "%s_bucket{pool=\"%s\",le=\"+Inf\"} %llu", name, pool, (unsigned long long)sum);
		line(j, "%s_sum{pool=\"%s\"} %.6f", name, pool, (double)h->sum_us / 1e6);
		line(j, "%s_count{pool=\"%s\"} %llu", name, pool, (unsigned long long)sum);
	}
}

static void requests(struct reactor *r, struct json *j)
{
	static const char *const names[OUTCOME_PROBLEM] = { "answered", "left" };
	head(j, "berth_requests_total", "counter",
		"Requests that have ended, by outcome: answered, left, or the problem that Berth answered "
		"with.");
	for (uint32_t i = 0; i < r->n_routes; i++) {
		const struct route_metrics *m = &r->routes[i]->metrics;
		const char *pool = r->routes[i]->settings->name;
		for (int o = 0; o < OUTCOME_PROBLEM; o++)
			line(j, "berth_requests_total{pool=\"%s\",outcome=\"%s\"} %llu", pool, names[o],
				(unsigned long long)m->outcomes[o]);
		for (int p = 0; p < PROBLEM_COUNT; p++) {
			if (m->problems[p])
				line(j, "berth_requests_total{pool=\"%s\",outcome=\"%s\"} %llu", pool,
					problem_name((enum problem)p), (unsigned long long)m->problems[p]);
		}
	}
	head(j, "berth_requests_without_pool_total", "counter",
		"Requests that were refused before a pool was known, by problem.");
	for (int p = 0; p < PROBLEM_COUNT; p++) {
		if (r->metrics.problems[p])
			line(j, "berth_requests_without_pool_total{outcome=\"%s\"} %llu",
				problem_name((enum problem)p), (unsigned long long)r->metrics.problems[p]);
	}
	head(j, "berth_retries_total", "counter",
		"Requests that were given to another container after one failed them.");
	for (uint32_t i = 0; i < r->n_routes; i++)
		line(j, "berth_retries_total{pool=\"%s\"} %llu", r->routes[i]->settings->name,
			(unsigned long long)r->routes[i]->metrics.retries);
}

static void queues(struct reactor *r, struct json *j)
{
	head(j, "berth_queue_length", "gauge", "Requests that wait for a slot.");
	for (uint32_t i = 0; i < r->n_routes; i++)
		line(j, "berth_queue_length{pool=\"%s\"} %u", r->routes[i]->settings->name,
			order_len(&r->routes[i]->pool.queue));
	head(j, "berth_queue_bytes", "gauge", "Memory that waiting requests take.");
	for (uint32_t i = 0; i < r->n_routes; i++)
		line(j, "berth_queue_bytes{pool=\"%s\"} %llu", r->routes[i]->settings->name,
			(unsigned long long)r->routes[i]->pool.queue_bytes);
}

static void slots(struct reactor *r, struct json *j)
{
	static const char *const names[SLOT_STATES] = { "down", "connecting", "free", "busy", "zombie" };
	head(j, "berth_slots", "gauge", "Slots by state.");
	for (uint32_t i = 0; i < r->n_routes; i++) {
		const struct pool *p = &r->routes[i]->pool;
		uint32_t sum[SLOT_STATES] = { 0 };
		for (uint32_t c = 0; c < p->n_containers; c++) {
			for (int s = 0; s < SLOT_STATES; s++)
				sum[s] += p->containers[c]->slots[s].len;
		}
		for (int s = 0; s < SLOT_STATES; s++)
			line(j, "berth_slots{pool=\"%s\",state=\"%s\"} %u", r->routes[i]->settings->name,
				names[s], sum[s]);
	}
}

static void containers(struct reactor *r, struct json *j, const char *name, const char *type,
	const char *help, uint64_t (*value)(const struct container *c))
{
	head(j, name, type, help);
	for (uint32_t i = 0; i < r->n_routes; i++) {
		const struct route *route = r->routes[i];
		for (uint32_t c = 0; c < route->pool.n_containers; c++)
			line(j, "%s{pool=\"%s\",container=\"%s\"} %llu", name, route->settings->name,
				backend_of(route->pool.containers[c])->settings.name,
				(unsigned long long)value(route->pool.containers[c]));
	}
}

static uint64_t container_is_up(const struct container *c)
{
	return c->state == CONTAINER_UP;
}

static uint64_t container_flying(const struct container *c)
{
	return container_in_flight(c);
}

static uint64_t container_requests(const struct container *c)
{
	return c->requests;
}

static uint64_t container_failures(const struct container *c)
{
	return c->failures;
}

static void sources(struct reactor *r, struct json *j)
{
	head(j, "berth_source_reachable", "gauge",
		"1 while the source of containers has told what there is and can be reached.");
	for (uint32_t i = 0; i < r->n_routes; i++) {
		const struct route *route = r->routes[i];
		for (size_t k = 0; k < route->n_discoveries; k++)
			line(j, "berth_source_reachable{pool=\"%s\",source=\"%s\"} %d", route->settings->name,
				route->discoveries[k].source, route->discoveries[k].state == DISCOVERY_HEARD);
	}
	head(j, "berth_source_containers", "gauge", "Containers that the source knows.");
	for (uint32_t i = 0; i < r->n_routes; i++) {
		const struct route *route = r->routes[i];
		for (size_t k = 0; k < route->n_discoveries; k++)
			line(j, "berth_source_containers{pool=\"%s\",source=\"%s\"} %zu",
				route->settings->name, route->discoveries[k].source, route->discoveries[k].n);
	}
}

static void single(struct json *j, const char *name, const char *type, const char *help, uint64_t v)
{
	head(j, name, type, help);
	line(j, "%s %llu", name, (unsigned long long)v);
}

void metrics_write(struct reactor *r, struct json *j)
{
	requests(r, j);
	queues(r, j);
	slots(r, j);
	histograms(r, j, "berth_wait_seconds", "Time from admission to a slot.",
		offsetof(struct route_metrics, wait));
	histograms(r, j, "berth_service_seconds",
		"Time from the dispatch to the last byte of the container's answer.",
		offsetof(struct route_metrics, service));
	containers(r, j, "berth_container_up", "gauge", "1 while the container answers.", container_is_up);
	containers(r, j, "berth_container_in_flight", "gauge", "Requests that are with the container.",
		container_flying);
	containers(r, j, "berth_container_requests_total", "counter",
		"Requests that were given to the container.", container_requests);
	containers(r, j, "berth_container_failures_total", "counter", "Failures of the container.",
		container_failures);
	sources(r, j);
	single(j, "berth_connections", "gauge", "Client connections that are open.", r->clients.len);
	single(j, "berth_connections_total", "counter", "Client connections that were accepted.",
		r->metrics.connections);
	single(j, "berth_connections_refused_total", "counter", "Connections past max_connections.",
		r->metrics.refused_connections);
	single(j, "berth_bad_requests_total", "counter", "Requests that broke the protocol.",
		r->metrics.bad_requests);
	single(j, "berth_memory_bytes", "gauge", "Bytes of requests and answers in memory.",
		r->budget.memory_used);
	single(j, "berth_spool_bytes", "gauge", "Bytes of requests and answers in spool files.",
		r->budget.spool_used);
	single(j, "berth_limit_refusals_total", "counter",
		"Times that limits.memory or limits.spool was met.", r->budget.refused);
	single(j, "berth_jobs", "gauge", "Jobs that are not over.", r->jobs.count);
	single(j, "berth_job_bytes", "gauge", "Bytes of jobs' answers on their way to the store.",
		r->jobs.answer_bytes);
	head(j, "berth_spin_seconds_total", "counter",
		"Time for which the loop has polled instead of sleeping.");
	line(j, "berth_spin_seconds_total %.6f", (double)r->io->polled.us / 1e6);
	single(j, "berth_log_lines_dropped_total", "counter", "Log lines that could not be written.",
		log_dropped() + (r->access_log ? r->access_log->outlet.lost : 0));
}
