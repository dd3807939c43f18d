/* route: what a request's method and path ask for. */
#pragma once
#include "base/str.h"
#include "http/parse.h"

#include <stdbool.h>

enum route {
	ROUTE_NONE,
	ROUTE_RUN_MODEL, /* /run_model */
	ROUTE_HEALTH,    /* /health */
	ROUTE_IDLE,      /* /berth/idle */
	ROUTE_METRICS,   /* /metrics */
	ROUTE_V2_SERVER, /* /v2 */
	ROUTE_V2_LIVE,   /* /v2/health/live */
	ROUTE_V2_READY,  /* /v2/health/ready */
	ROUTE_V2_MODEL,  /* /v2/models/M[/versions/V] */
	ROUTE_V2_MODEL_READY,
	ROUTE_V2_INFER,
	ROUTE_V2_NONE,     /* anything else under /v2 */
	ROUTE_V2_NO_MODEL, /* another model or version */
};

/* name, version: of the model that is served. */
enum route route_find(struct str path, const char *name, const char *version);

/* The error form of the Open Inference Protocol holds under /v2. */
bool route_is_v2(enum route r);

/* Requests that take a slot. */
bool route_runs_model(enum route r);

/* The methods that the route takes, as Allow says them; ptr NULL for routes that are none. */
struct str route_allow(enum route r);
bool route_takes(enum route r, enum http_method method);
