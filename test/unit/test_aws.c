/* Parts of the AWS fleet that need no AWS: what answers mean, names, plans, networks. */
#include "cli/aws_cli.h"
#include "fleet/aws_deploy.h"
#include "fleet/aws_ecr.h"
#include "unit.h"

#include <stdlib.h>

/* ---- answers ---- */

static void test_xml(void **state)
{
	struct arena arena;
	arena_init(&arena, 1024, 1 << 20);
	const struct xml *root = xml_parse(STR("<?xml version='1.0'?><a xmlns='x'><list> "
					       "<item><id>1</id></item>\n<item><id>&lt;2&gt;</id></item>"
					       "<other/></list><s:b xmlns:s='y'>t</s:b></a>"),
		&arena);
	assert_non_null(root);
	assert_string_equal(root->name, "a");
	const struct xml *item = xml_at(root, "list/item");
	assert_string_equal(xml_text(item, "id"), "1");
	item = xml_next(item);
	assert_string_equal(xml_text(item, "id"), "<2>");
	assert_null(xml_next(item));
	assert_string_equal(xml_text(root, "b"), "t");
	assert_string_equal(xml_text(root, "list/nothing"), "");
	assert_null(xml_at(NULL, "list"));
	arena_finish(&arena);
}

static void test_xml_that_is_none(void **state)
{
	static const char *const bad[] = { "", "text", "<a>", "<a></b>", "<a/><b/>",
		"<!DOCTYPE a [<!ENTITY e 'eeee'>]><a>&e;</a>", "<a>\xff</a>" };
	char deep[8 * (XML_DEPTH_MAX + 2)] = "";
	struct arena arena;
	arena_init(&arena, 1024, 1 << 20);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_null(xml_parse(str_of(bad[i]), &arena));
	for (int i = 0; i <= XML_DEPTH_MAX; i++)
		strcat(deep, "<a>");
	for (int i = 0; i <= XML_DEPTH_MAX; i++)
		strcat(deep, "</a>");
	assert_null(xml_parse(str_of(deep), &arena));
	arena_finish(&arena);
}

static const struct judged {
	int status;
	const char *answer;
	enum aws_verdict verdict;
	const char *code;
} answers[] = {
	{ 200, "<RunInstancesResponse><requestId>1</requestId></RunInstancesResponse>", AWS_OK, "" },
	{ 200, "<DescribeTagsResponse/>", AWS_AGAIN, "NoAnswer" },
	{ 200, "<html><body>Welcome</body></html>", AWS_AGAIN, "NoAnswer" },
	{ 200, "", AWS_AGAIN, "NoAnswer" },
	{ 503, "<Response><Errors><Error><Code>RequestLimitExceeded</Code></Error></Errors></Response>",
		AWS_AGAIN, "RequestLimitExceeded" },
	{ 400, "<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>", AWS_AGAIN,
		"Throttling" },
	{ 409, "<ErrorResponse><Error><Code>ConcurrentModification</Code></Error></ErrorResponse>", AWS_AGAIN,
		"ConcurrentModification" },
	{ 409, "<ErrorResponse><Error><Code>EntityTemporarilyUnmodifiable</Code></Error></ErrorResponse>",
		AWS_AGAIN, "EntityTemporarilyUnmodifiable" },
	{ 500, "", AWS_AGAIN, "Status500" },
	{ 400, "<Response><Errors><Error><Code>InvalidGroup.NotFound</Code></Error></Errors></Response>",
		AWS_LATER, "InvalidGroup.NotFound" },
	{ 400,
		"<Response><Errors><Error><Code>InvalidParameterValue</Code><Message>Invalid IAM Instance "
		"Profile "
		"name</Message></Error></Errors></Response>",
		AWS_LATER, "InvalidParameterValue" },
	{ 400, "<Response><Errors><Error><Code>InvalidParameterValue</Code></Error></Errors></Response>",
		AWS_FAILED, "InvalidParameterValue" },
	{ 400, "<Response><Errors><Error><Code>Done.Already</Code></Error></Errors></Response>", AWS_OK,
		"Done.Already" },
	{ 403, "<Error><Code>AccessDenied</Code></Error>", AWS_FAILED, "AccessDenied" },
};

static void test_what_answers_mean(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		struct aws_call c;
		aws_call_query(&c, AWS_EC2, "RunInstances");
		c.settled = "Other Done.Already";
		c.passing = "InvalidGroup.NotFound";
		c.status = answers[i].status;
		c.answer = strdup(answers[i].answer);
		c.answer_bytes = strlen(answers[i].answer);
		assert_int_equal(aws_judge(&c, NULL), answers[i].verdict);
		assert_string_equal(c.code, answers[i].code);
		assert_int_equal(c.ok, answers[i].verdict == AWS_OK);
		aws_call_finish(&c);
	}
}

static void test_a_lost_answer_is_unsure(void **state)
{
	struct aws_call c;
	aws_call_query(&c, AWS_EC2, "RunInstances");
	assert_int_equal(aws_judge(&c, "Timeout was reached"), AWS_AGAIN);
	assert_true(c.unsure && !c.ok);
	aws_call_finish(&c);
}

static void test_advice(void **state)
{
	static const char *const said[][2] = { { "RequestExpired", "clock is wrong" },
		{ "AuthFailure", "clock is wrong, or the region is not enabled" },
		{ "ExpiredToken", "(credentials of the test); the session has ended" },
		{ "InvalidKeyPair.NotFound", "--key" },
		{ "NoAnswer", "(tried 1 time); is the region right, and is https://ec2.eu-nowhere" } };
	unsetenv("AWS_ENDPOINT_URL");
	unsetenv("AWS_ENDPOINT_URL_EC2");
	struct aws a = { .credentials = { .region = "eu-nowhere-1", .origin = "the test" } };
	for (size_t i = 0; i < ARRAY_LEN(said); i++) {
		struct aws_call c = { .service = AWS_EC2, .what = "RunInstances", .attempts = 1 };
		char why[AWS_WHY];
		str_copy(c.code, sizeof c.code, str_of(said[i][0]));
		aws_explain(&a, &c, why);
		assert_non_null(strstr(why, said[i][1]));
		assert_null(strchr(why, '\n'));
	}
}

static void test_forms(void **state)
{
	struct aws_call c;
	aws_call_query(&c, AWS_IAM, "CreateRole");
	aws_call_add(&c, "Description", "a b/c~%s", "\xc3\xa4&=");
	assert_true(aws_call_seal(&c));
	assert_string_equal(c.body, "Action=CreateRole&Version=2010-05-08&Description=a+b%2Fc~%C3%A4%26%3D");
	aws_call_finish(&c);
}

/* ---- names and networks ---- */

static void test_names(void **state)
{
	assert_null(aws_bad_name("blue-2"));
	assert_null(aws_bad_name("123456789012345678901234567890"));
	static const char *const bad[] = { "", "-a", "a-", "Blue", "a_b", "a.b",
		"1234567890123456789012345678901" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_non_null(aws_bad_name(bad[i]));
	char name[AWS_NAME];
	aws_iam_name("123456789012345678901234567890", "ap-southeast-2", AWS_ORCHESTRATOR, name);
	assert_true(strlen(name) <= 64); /* what IAM takes */
	aws_bucket_name("123456789012345678901234567890", "ap-southeast-2", "123456789012", name);
	assert_true(strlen(name) <= 63); /* what S3 takes */
}

static void test_private_registries(void **state)
{
	static const char *const others[] = { "example.org/own", "own:7", "",
		"12345678901.dkr.ecr.eu-west-1.amazonaws.com/own",
		"a23456789012.dkr.ecr.eu-west-1.amazonaws.com/own",
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com",
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com/:7",
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com.example.org/own",
		"123456789012.dkr.ecr.a-region-of-more-characters-than-any-has.amazonaws.com/own",
		"123456789012.dkr.ecr.$(id).amazonaws.com/own", "123456789012.dkr.ecr..amazonaws.com/own",
		"123456789012.dkr.ecr.eu-west-1.amazonaws.com/\",\"Action\":\"*" };
	struct aws_ecr e;
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_false(aws_ecr_parse(others[i], &e));
	assert_true(aws_ecr_parse("123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/model:7", &e));
	assert_str(e.registry, "123456789012.dkr.ecr.eu-west-1.amazonaws.com");
	assert_str(e.account, "123456789012");
	assert_str(e.region, "eu-west-1");
	assert_str(e.repository, "team/model");
	assert_true(aws_ecr_parse("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/m@sha256:00ff", &e));
	assert_str(e.region, "cn-north-1");
	assert_str(e.repository, "m");
}

static void test_networks(void **state)
{
	static const struct {
		const char *text, *network;
	} good[] = { { "10.1.2.3", "10.1.2.3/32" }, { "10.1.2.3/8", "10.0.0.0/8" },
		{ "10.255.2.3/9", "10.128.0.0/9" }, { "0.0.0.0/0", "0.0.0.0/0" },
		{ "2001:DB8::1", "2001:db8::1/128" }, { "2001:db8::1/33", "2001:db8::/33" },
		{ "::/0", "::/0" } };
	static const char *const bad[] = { "", "10.0.0", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/x", "::/129",
		"a" };
	char text[AWS_IP];
	bool all;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_true(aws_network(good[i].text, text, &all));
		assert_string_equal(text, good[i].network);
		assert_int_equal(all, strstr(good[i].text, "/0") != NULL);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(aws_network(bad[i], text, &all));
}

/* ---- what the front says ---- */

static void test_completeness(void **state)
{
	struct aws_instance old = { .spec = "aa", .generation = 1 }, new = { .spec = "aa", .generation = 2 };
	struct aws_expected e = { 0 };
	aws_expect(&e, &old, 2);
	aws_expect(&e, &new, 2);
	struct aws_ready r = { .answered = true,
		.containers = 4,
		.up = 4,
		.n_generations = 2,
		.generations = { { "aa-1", 2, 2 }, { "aa-2", 2, 2 } } };
	assert_true(aws_is_complete(&r, &e));
	struct aws_ready stale = r; /* one that has ended is still believed to be there */
	stale.n_generations = 1;
	stale.generations[0] = (struct aws_generation){ "aa-1", 4, 4 };
	assert_false(aws_is_complete(&stale, &e));
	assert_int_equal(aws_count_up(&stale, &e), 2);
	r.draining = 1;
	assert_false(aws_is_complete(&r, &e));
	r.draining = 0;
	r.up = 3;
	assert_false(aws_is_complete(&r, &e));
}

/* ---- plans ---- */

struct rig {
	struct aws_settings settings;
	struct aws_wanted wanted;
	struct aws_recipe recipe;
	struct aws_found found;
	struct aws_instance instances[8];
	struct aws_plan plan;
};

static void rig_init(struct rig *g)
{
	static char policy[] = "{}";
	static const char *cidrs[] = { "10.0.0.0/8" };
	*g = (struct rig){ .settings = {
				   .instance_type = "t3.small", .admin_cidrs = cidrs, .n_admin_cidrs = 1 } };
	g->wanted = (struct aws_wanted){
		.name = "blue", .settings = &g->settings, .workers = 2, .containers = 2, .base_port = 5000
	};
	g->recipe = (struct aws_recipe){ .spec = { "worker", "front" }, .policy = { policy, policy } };
	aws_found_init(&g->found);
	g->found.instances = g->instances;
	aws_plan_init(&g->plan);
}

static void rig_add(struct rig *g, enum aws_role role, uint32_t index, const char *spec, enum aws_state state)
{
	struct aws_instance *i = &g->instances[g->found.n_instances++];
	*i = (struct aws_instance){ .role = role, .index = index, .generation = 1, .state = state };
	str_copy(i->spec, sizeof i->spec, str_of(spec));
	snprintf(i->id, sizeof i->id, "i-%zu", g->found.n_instances);
}

static size_t count(const struct rig *g, enum aws_step_kind kind)
{
	size_t n = 0;
	for (size_t i = 0; i < g->plan.n; i++)
		n += g->plan.steps[i].kind == kind;
	return n;
}

static void test_plan_of_a_new_fleet(void **state)
{
	struct rig g;
	rig_init(&g);
	aws_plan_up(&g.plan, &g.found, &g.wanted, &g.recipe);
	assert_int_equal(g.plan.n, 2 + 4 * 2 + 2 + 2 + 3); /* bucket; roles; groups; rules; instances */
	assert_int_equal(count(&g, AWS_START_WORKER), 2);
	assert_int_equal(count(&g, AWS_START_ORCHESTRATOR), 1);
	assert_int_equal(count(&g, AWS_MAKE_RULE), 2);
	aws_plan_finish(&g.plan);
	aws_found_finish(&g.found);
}

static void test_plan_heals_and_replaces(void **state)
{
	struct rig g;
	rig_init(&g);
	rig_add(&g, AWS_ORCHESTRATOR, 0, "front", AWS_RUNNING);
	rig_add(&g, AWS_WORKER, 1, "worker", AWS_TERMINATED);
	rig_add(&g, AWS_WORKER, 2, "other", AWS_RUNNING);
	rig_add(&g, AWS_WORKER, 3, "worker", AWS_STOPPED);
	aws_plan_up(&g.plan, &g.found, &g.wanted, &g.recipe);
	assert_int_equal(count(&g, AWS_START_ORCHESTRATOR), 0);
	assert_int_equal(count(&g, AWS_START_WORKER), 2);
	assert_int_equal(count(&g, AWS_DRAIN), 1);     /* the stopped one runs nothing */
	assert_int_equal(count(&g, AWS_TERMINATE), 2); /* the terminated one is gone */
	for (size_t i = 0; i < g.plan.n; i++) {
		const struct aws_step *s = &g.plan.steps[i];
		if (s->kind == AWS_START_WORKER) {
			assert_int_equal(s->instance.generation, 2);
			assert_true(s->instance.index == 1 || s->instance.index == 3); /* 2 still lives */
		}
	}
	aws_plan_finish(&g.plan);
	aws_found_finish(&g.found);
}

static void test_plan_replaces_what_is_broken(void **state)
{
	struct rig g;
	rig_init(&g);
	rig_add(&g, AWS_ORCHESTRATOR, 0, "front", AWS_RUNNING);
	rig_add(&g, AWS_WORKER, 1, "worker", AWS_RUNNING);
	rig_add(&g, AWS_WORKER, 2, "worker", AWS_RUNNING);
	g.instances[1].broken = true;
	aws_plan_up(&g.plan, &g.found, &g.wanted, &g.recipe);
	assert_int_equal(count(&g, AWS_START_WORKER), 1);
	assert_int_equal(count(&g, AWS_DRAIN), 1);
	assert_int_equal(count(&g, AWS_TERMINATE), 1);
	for (size_t i = 0; i < g.plan.n; i++) {
		const struct aws_step *s = &g.plan.steps[i];
		if (s->kind == AWS_START_WORKER)
			assert_int_equal(s->instance.index, 3); /* 1 still lives */
		if (s->kind == AWS_TERMINATE || s->kind == AWS_DRAIN)
			assert_int_equal(s->instance.index, 1);
	}
	aws_plan_finish(&g.plan);
	aws_found_finish(&g.found);
}

static void test_plan_ends_the_surplus(void **state)
{
	struct rig g;
	rig_init(&g);
	rig_add(&g, AWS_ORCHESTRATOR, 0, "front", AWS_RUNNING);
	for (uint32_t i = 4; i > 0; i--)
		rig_add(&g, AWS_WORKER, i, "worker", AWS_RUNNING);
	aws_plan_up(&g.plan, &g.found, &g.wanted, &g.recipe);
	assert_int_equal(count(&g, AWS_START_WORKER), 0);
	for (size_t i = 0; i < g.plan.n; i++) {
		const struct aws_step *s = &g.plan.steps[i];
		if (s->kind == AWS_TERMINATE || s->kind == AWS_DRAIN)
			assert_true(s->instance.index > 2);
	}
	assert_int_equal(count(&g, AWS_TERMINATE), 2);
	aws_plan_finish(&g.plan);
	aws_found_finish(&g.found);
}

static void test_plan_of_undoing_spares_what_was_there(void **state)
{
	struct rig g, before;
	rig_init(&g);
	rig_init(&before);
	rig_add(&before, AWS_WORKER, 1, "worker", AWS_RUNNING);
	rig_add(&g, AWS_WORKER, 1, "worker", AWS_RUNNING);
	g.instances[0].draining = true;
	rig_add(&g, AWS_WORKER, 2, "worker", AWS_PENDING);
	g.found.iam[AWS_WORKER] = before.found.iam[AWS_WORKER] =
		(struct aws_iam){ .role = true, .policy = "{}" };
	g.found.iam[AWS_ORCHESTRATOR] = (struct aws_iam){ .role = true, .policy = "" };
	aws_plan_down(&g.plan, &g.found, &before.found);
	assert_int_equal(g.plan.n, 3);
	assert_int_equal(count(&g, AWS_UNDRAIN), 1);
	assert_int_equal(count(&g, AWS_TERMINATE), 1);
	assert_int_equal(count(&g, AWS_REMOVE_ROLE), 1);
	aws_plan_finish(&g.plan);
	aws_found_finish(&g.found);
	aws_found_finish(&before.found);
}

static void test_plan_of_undoing_restores_policies(void **state)
{
	struct rig g, before;
	rig_init(&g);
	rig_init(&before);
	g.found.iam[AWS_WORKER] = g.found.iam[AWS_ORCHESTRATOR] =
		(struct aws_iam){ .role = true, .policy = "{}" };
	before.found.iam[AWS_WORKER] = (struct aws_iam){ .role = true, .policy = "{\"old\":1}" };
	before.found.iam[AWS_ORCHESTRATOR] = (struct aws_iam){ .role = true, .policy = "" };
	aws_plan_down(&g.plan, &g.found, &before.found);
	assert_int_equal(g.plan.n, 2);
	assert_int_equal(g.plan.steps[0].kind, AWS_RESTORE_POLICY);
	assert_int_equal(g.plan.steps[0].role, AWS_WORKER);
	assert_string_equal(g.plan.steps[0].policy, "{\"old\":1}");
	assert_int_equal(g.plan.steps[1].kind, AWS_REMOVE_POLICY);
	assert_int_equal(g.plan.steps[1].role, AWS_ORCHESTRATOR);
	aws_plan_finish(&g.plan);
	aws_found_finish(&g.found);
	aws_found_finish(&before.found);
}

static void test_plan_of_undoing_ends_what_is_not_seen(void **state)
{
	struct rig g;
	rig_init(&g);
	aws_plan_up(&g.plan, &g.found, &g.wanted, &g.recipe);
	size_t made = g.plan.n, unseen = 0;
	for (size_t i = 0; i < made; i++) {
		struct aws_step *s = &g.plan.steps[i];
		g.found.iam[s->role].policy = "";
		s->made = s->done = s->role == AWS_WORKER;
		if (s->kind == AWS_START_WORKER)
			snprintf(s->instance.id, sizeof s->instance.id, "i-%u", s->instance.index);
		unseen += !aws_step_is_seen(s, &g.found);
	}
	/* bucket; role, policy, profile, role within; group; rule; instances */
	assert_int_equal(unseen, 1 + 4 + 1 + 1 + 2);
	rig_add(&g, AWS_WORKER, 1, "worker", AWS_PENDING);
	struct aws_plan undo;
	aws_plan_init(&undo);
	aws_plan_end_unseen(&undo, &g.found, &g.plan);
	assert_int_equal(undo.n, 1);
	assert_int_equal(undo.steps[0].kind, AWS_TERMINATE);
	assert_string_equal(undo.steps[0].instance.id, "i-2");
	aws_plan_finish(&undo);
	aws_plan_finish(&g.plan);
	aws_found_finish(&g.found);
}

/* ---- steps ---- */

static struct aws_site rig_site(struct rig *g)
{
	static char script[] = "#!/bin/sh";
	g->recipe.user_data[AWS_WORKER] = g->recipe.user_data[AWS_ORCHESTRATOR] = script;
	g->wanted.config = "";
	g->wanted.image = g->wanted.options = g->wanted.arguments = g->wanted.orchestrator = "";
	return (struct aws_site){ .cluster = "blue",
		.region = "eu-nowhere-1",
		.wanted = &g->wanted,
		.recipe = &g->recipe,
		.found = &g->found,
		.seed = "" };
}

static void test_no_such_group(void **state)
{
	static const char *const codes[] = { "InvalidGroup.NotFound", "InvalidGroupId.NotFound",
		"InvalidSecurityGroupID.NotFound" };
	static const struct {
		enum aws_step_kind kind;
		bool passes;
	} steps[] = { { AWS_MAKE_RULE, true }, { AWS_START_WORKER, true }, { AWS_REVOKE_RULE, false },
		{ AWS_REMOVE_GROUP, false } };
	struct rig g;
	rig_init(&g);
	struct aws_site site = rig_site(&g);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		struct aws_step s = { .kind = steps[i].kind };
		struct aws_call c;
		assert_true(aws_step_call(&site, &s, &c));
		for (size_t k = 0; k < ARRAY_LEN(codes); k++)
			assert_true(aws_code_is(codes[k], steps[i].passes ? c.passing : c.settled));
		aws_call_finish(&c);
	}
	aws_found_finish(&g.found);
}

static void copy_token(const struct aws_site *site, char token[65])
{
	struct aws_step s = { .kind = AWS_START_ORCHESTRATOR, .role = AWS_ORCHESTRATOR };
	struct aws_call c;
	assert_true(aws_step_call(site, &s, &c));
	assert_true(aws_call_seal(&c));
	snprintf(token, 65, "%s", strstr(c.body, "ClientToken=") + strlen("ClientToken="));
	aws_call_finish(&c);
}

static void test_another_script_has_another_token(void **state)
{
	struct rig g;
	char first[65], same[65], other[65];
	rig_init(&g);
	struct aws_site site = rig_site(&g);
	site.seed = "1 aa-1 10.0.0.1\n";
	copy_token(&site, first);
	copy_token(&site, same);
	site.seed = "1 aa-1 10.0.0.2\n";
	copy_token(&site, other);
	assert_string_equal(first, same);
	assert_string_not_equal(first, other);
	aws_found_finish(&g.found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_xml),
		cmocka_unit_test(test_xml_that_is_none),
		cmocka_unit_test(test_what_answers_mean),
		cmocka_unit_test(test_a_lost_answer_is_unsure),
		cmocka_unit_test(test_advice),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_private_registries),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_completeness),
		cmocka_unit_test(test_plan_of_a_new_fleet),
		cmocka_unit_test(test_plan_heals_and_replaces),
		cmocka_unit_test(test_plan_replaces_what_is_broken),
		cmocka_unit_test(test_plan_ends_the_surplus),
		cmocka_unit_test(test_plan_of_undoing_spares_what_was_there),
		cmocka_unit_test(test_plan_of_undoing_restores_policies),
		cmocka_unit_test(test_plan_of_undoing_ends_what_is_not_seen),
		cmocka_unit_test(test_no_such_group),
		cmocka_unit_test(test_another_script_has_another_token),
	};
	return cmocka_run_group_tests_name("aws", tests, NULL, NULL);
}
