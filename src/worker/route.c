#include "worker/route.h"

#include "http/url.h"

enum { NAME_MAX_BYTES = 1024 };

static bool segment_is(struct str segment, const char *name)
{
	char decoded[NAME_MAX_BYTES];
	size_t len;
	return url_decode(segment, decoded, sizeof decoded, &len) &&
		str_eq((struct str){ decoded, len }, str_of(name));
}

/* path: what follows /v2/models/ */
static enum route find_model(struct str path, const char *name, const char *version)
{
	struct str model = str_cut(&path, '/');
	bool known = segment_is(model, name);
	if (str_starts(path, STR("versions/"))) {
		path = str_skip(path, sizeof "versions/" - 1);
		known &= segment_is(str_cut(&path, '/'), version);
	}
	enum route r = path.len == 0         ? ROUTE_V2_MODEL
		: str_eq(path, STR("ready")) ? ROUTE_V2_MODEL_READY
		: str_eq(path, STR("infer")) ? ROUTE_V2_INFER
					     : ROUTE_V2_NONE;
	return r != ROUTE_V2_NONE && !known ? ROUTE_V2_NO_MODEL : r;
}

enum route route_find(struct str path, const char *name, const char *version)
{
	static const struct {
		struct str path;
		enum route route;
	} fixed[] = {
		{ { "/run_model", 10 }, ROUTE_RUN_MODEL },
		{ { "/health", 7 }, ROUTE_HEALTH },
		{ { "/berth/idle", 11 }, ROUTE_IDLE },
		{ { "/metrics", 8 }, ROUTE_METRICS },
		{ { "/v2", 3 }, ROUTE_V2_SERVER },
		{ { "/v2/", 4 }, ROUTE_V2_SERVER },
		{ { "/v2/health/live", 15 }, ROUTE_V2_LIVE },
		{ { "/v2/health/ready", 16 }, ROUTE_V2_READY },
	};
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
		if (str_eq(path, fixed[i].path))
			return fixed[i].route;
	}
	if (str_starts(path, STR("/v2/models/")))
		return find_model(str_skip(path, sizeof "/v2/models/" - 1), name, version);
	return str_starts(path, STR("/v2/")) ? ROUTE_V2_NONE : ROUTE_NONE;
}

bool route_is_v2(enum route r)
{
	return r >= ROUTE_V2_SERVER;
}

bool route_runs_model(enum route r)
{
	return r == ROUTE_RUN_MODEL || r == ROUTE_V2_INFER;
}

struct str route_allow(enum route r)
{
	switch (r) {
	case ROUTE_RUN_MODEL:
		return STR("GET, HEAD, POST");
	case ROUTE_V2_INFER:
		return STR("POST");
	case ROUTE_HEALTH:
	case ROUTE_IDLE:
	case ROUTE_METRICS:
	case ROUTE_V2_SERVER:
	case ROUTE_V2_LIVE:
	case ROUTE_V2_READY:
	case ROUTE_V2_MODEL:
	case ROUTE_V2_MODEL_READY:
		return STR("GET, HEAD");
	case ROUTE_NONE:
	case ROUTE_V2_NONE:
	case ROUTE_V2_NO_MODEL:
		break;
	}
	return (struct str){ NULL, 0 };
}

bool route_takes(enum route r, enum http_method method)
{
	switch (method) {
	case HTTP_POST:
		return route_runs_model(r);
	case HTTP_GET:
	case HTTP_HEAD:
		return r != ROUTE_V2_INFER;
	default:
		return false;
	}
}
