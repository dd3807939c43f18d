#include "worker/metrics.h"

#include <stdarg.h>
#include <stdio.h>

static const uint64_t bucket_us[RUN_BUCKETS] = { 50, 100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000,
	100000, 250000, 500000, 1000000, 5000000, 30000000 };

static const char *const outcome_names[OUTCOME_COUNT] = { "ok", "refused", "busy", "failed", "left" };

void metrics_add_run(struct metrics *m, uint64_t us)
{
	m->runs++;
	m->runs_us += us;
	for (int i = 0; i < RUN_BUCKETS; i++) {
		if (us <= bucket_us[i]) {
			m->runs_under[i]++;
			return;
		}
	}
}

PRINTF(2, 3) static void put(struct json *text, const char *fmt, ...)
{
	char line[256];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	CHECK(n >= 0 && (size_t)n < sizeof line);
	json_bytes(text, (struct str){ line, (size_t)n });
}

static void put_gauge(struct json *text, const char *name, const char *help, uint64_t value)
{
	put(text, "# HELP berth_worker_%s %s\n# TYPE berth_worker_%s gauge\nberth_worker_%s %llu\n", name,
		help, name, name, (unsigned long long)value);
}

void metrics_write(struct json *text, const struct metrics *m, const struct metrics_now *now)
{
	uint64_t under = 0;
	put(text,
		"# HELP berth_worker_requests_total Requests to the model by how they ended.\n"
		"# TYPE berth_worker_requests_total counter\n");
	for (int i = 0; i < OUTCOME_COUNT; i++)
		put(text, "berth_worker_requests_total{outcome=\"%s\"} %llu\n", outcome_names[i],
			(unsigned long long)m->outcomes[i]);
	put_gauge(text, "slots", "Requests that may be in flight at once.", now->slots);
	put_gauge(text, "slots_taken", "Slots that are taken.", now->slots_taken);
	put_gauge(text, "in_flight",
		"Requests to the model whose head has come and whose answer has not gone.", now->in_flight);
	put_gauge(text, "in_flight_max",
		"Most requests to the model seen in flight at once, refused ones included.",
		m->in_flight_max);
	put_gauge(text, "connections", "Open connections.", now->connections);
	put(text,
		"# HELP berth_worker_run_seconds Time that the model took.\n"
		"# TYPE berth_worker_run_seconds histogram\n");
	for (int i = 0; i < RUN_BUCKETS; i++) {
		under += m->runs_under[i];
		put(text, "berth_worker_run_seconds_bucket{le=\"%g\"} %llu\n", (double)bucket_us[i] / 1e6,
			(unsigned long long)under);
	}
	put(text,
		"berth_worker_run_seconds_bucket{le=\"+Inf\"} %llu\n"
		"berth_worker_run_seconds_sum %g\nberth_worker_run_seconds_count %llu\n",
		(unsigned long long)m->runs, (double)m->runs_us / 1e6, (unsigned long long)m->runs);
}
