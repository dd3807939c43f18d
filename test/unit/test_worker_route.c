#include "unit.h"
#include "worker/route.h"

static void test_paths(void **state)
{
	static const struct {
		const char *path;
		enum route route;
	} cases[] = {
		{ "/run_model", ROUTE_RUN_MODEL },
		{ "/run_model/", ROUTE_NONE },
		{ "/run_models", ROUTE_NONE },
		{ "/health", ROUTE_HEALTH },
		{ "/berth/idle", ROUTE_IDLE },
		{ "/berth/jobs", ROUTE_NONE },
		{ "/metrics", ROUTE_METRICS },
		{ "/", ROUTE_NONE },
		{ "*", ROUTE_NONE },
		{ "/v2", ROUTE_V2_SERVER },
		{ "/v2/", ROUTE_V2_SERVER },
		{ "/v22", ROUTE_NONE },
		{ "/v2/health/live", ROUTE_V2_LIVE },
		{ "/v2/health/ready", ROUTE_V2_READY },
		{ "/v2/health", ROUTE_V2_NONE },
		{ "/v2/models", ROUTE_V2_NONE },
		{ "/v2/models/a b", ROUTE_V2_MODEL },
		{ "/v2/models/a%20b", ROUTE_V2_MODEL },
		{ "/v2/models/a%20b/", ROUTE_V2_MODEL },
		{ "/v2/models/a%20b/ready", ROUTE_V2_MODEL_READY },
		{ "/v2/models/a%20b/infer", ROUTE_V2_INFER },
		{ "/v2/models/a%20b/infer/", ROUTE_V2_NONE },
		{ "/v2/models/a%20b/versions/3", ROUTE_V2_MODEL },
		{ "/v2/models/a%20b/versions/3/ready", ROUTE_V2_MODEL_READY },
		{ "/v2/models/a%20b/versions/3/infer", ROUTE_V2_INFER },
		{ "/v2/models/a%20b/versions/4/infer", ROUTE_V2_NO_MODEL },
		{ "/v2/models/a%20b/versions/", ROUTE_V2_NO_MODEL },
		{ "/v2/models/a%20b/versions", ROUTE_V2_NONE },
		{ "/v2/models/a%20b/stats", ROUTE_V2_NONE },
		{ "/v2/models/a%2/infer", ROUTE_V2_NO_MODEL },
		{ "/v2/models/b/infer", ROUTE_V2_NO_MODEL },
		{ "/v2/models/b", ROUTE_V2_NO_MODEL },
		{ "/v2/models/", ROUTE_V2_NO_MODEL },
		{ "/v2/models//infer", ROUTE_V2_NO_MODEL },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		enum route found = route_find(str_of(cases[i].path), "a b", "3");
		if (found != cases[i].route)
			fail_msg("%s is %d, not %d", cases[i].path, found, cases[i].route);
	}
}

static void test_methods(void **state)
{
	assert_true(route_takes(ROUTE_RUN_MODEL, HTTP_POST));
	assert_true(route_takes(ROUTE_RUN_MODEL, HTTP_GET));
	assert_true(route_takes(ROUTE_V2_INFER, HTTP_POST));
	assert_false(route_takes(ROUTE_V2_INFER, HTTP_GET));
	assert_false(route_takes(ROUTE_HEALTH, HTTP_POST));
	for (enum route r = ROUTE_NONE; r <= ROUTE_V2_NO_MODEL; r++) {
		bool refused_path = r == ROUTE_NONE || r == ROUTE_V2_NONE || r == ROUTE_V2_NO_MODEL;
		assert_false(route_takes(r, HTTP_DELETE));
		assert_int_equal(route_allow(r).ptr == NULL, refused_path);
		if (route_allow(r).ptr && route_takes(r, HTTP_GET))
			assert_true(route_takes(r, HTTP_HEAD));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_methods),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
