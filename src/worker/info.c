/* info: what the worker tells of itself. */
#include "worker/oip_write.h"
#include "worker/worker.h"

static void write_text(struct json *j, const char *key, const char *text)
{
	json_key(j, key);
	json_string(j, str_of(text));
}

static void write_number(struct json *j, const char *key, uint64_t n)
{
	json_key(j, key);
	json_u64(j, n);
}

static void write_health(struct json *j, const struct worker *w)
{
	json_open(j, '{');
	write_text(j, "status", w->stopping ? "stopping" : "ok");
	write_text(j, "model", w->model->name);
	write_text(j, "version", w->model->version);
	write_number(j, "slots", w->options->slots);
	write_number(j, "slots_taken", slots_taken(&w->slots));
	write_number(j, "in_flight", worker_in_flight(w));
	write_number(j, "in_flight_max", w->metrics.in_flight_max);
	json_close(j, '}');
}

static void write_true(struct json *j, const char *name, const char *key)
{
	json_open(j, '{');
	if (name)
		write_text(j, "name", name);
	json_key(j, key);
	json_bool(j, true);
	json_close(j, '}');
}

static void write_metrics(struct json *text, const struct worker *w)
{
	struct metrics_now now = {
		.slots = w->options->slots,
		.slots_taken = slots_taken(&w->slots),
		.in_flight = worker_in_flight(w),
		.connections = worker_connections(w),
	};
	metrics_write(text, &w->metrics, &now);
}

void info_answer(struct conn *c)
{
	const struct worker *w = c->worker;
	struct oip_model who = { w->model->name, w->model->version, &w->model->signature };
	struct json *out = &c->job.out;
	const char *type = "application/json";
	json_reset(out);
	switch (c->route) {
	case ROUTE_HEALTH:
		write_health(out, w);
		break;
	case ROUTE_IDLE:
		json_open(out, '{');
		write_number(out, "in_flight", worker_in_flight(w));
		json_close(out, '}');
		break;
	case ROUTE_METRICS:
		type = "text/plain; version=0.0.4";
		write_metrics(out, w);
		break;
	case ROUTE_V2_SERVER:
		oip_write_server(out);
		break;
	case ROUTE_V2_LIVE:
		write_true(out, NULL, "live");
		break;
	case ROUTE_V2_READY:
		write_true(out, NULL, "ready");
		break;
	case ROUTE_V2_MODEL:
		oip_write_metadata(out, &who);
		break;
	case ROUTE_V2_MODEL_READY:
		write_true(out, w->model->name, "ready");
		break;
	case ROUTE_NONE:
	case ROUTE_RUN_MODEL:
	case ROUTE_V2_INFER:
	case ROUTE_V2_NONE:
	case ROUTE_V2_NO_MODEL:
		CHECK(false); /* these are answered elsewhere */
	}
	answer_send(c, 200, type, 0);
}
