/* berth jobs: lists background requests, shows one, reads its result, cancels it. */
#include "cli/again.h"
#include "cli/agent.h"
#include "cli/jobs_print.h"
#include "cli/locate.h"
#include "cli/suggest.h"
#include "store/store.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SECOND = 1000 * 1000, TIMEOUT_US = 10 * SECOND, PATH_BYTES = 1024, WORDS = 2 };

struct options {
	const char *admin, *name, *config, *pool, *after, *watch;
	uint64_t wait_us;
	uint32_t limit;
	uint8_t state;
	bool json;
};

static const char *const states[] = { "all", "queued", "running", "done", "failed", "cancelled", "expired",
	NULL };

#define OWN(kind, path, member)                                                   \
	SCOPE_OWN, KIND_##kind, path, .offset = offsetof(struct options, member), \
				      .bytes = sizeof(((struct options *)NULL)->member)

static const struct key options[] = {
	{ OWN(CHOICE, "state", state), .choices = states, .arg = "STATE", .doc = "list: jobs in this state" },
	{ OWN(TEXT, "pool", pool), .arg = "POOL", .doc = "list: jobs of this pool" },
	{ OWN(NUMBER, "limit", limit), .least = 1, .most = STORE_LIST_MAX, .arg = "N",
		.doc = "list: at most so many" },
	{ OWN(TEXT, "after", after), .arg = "PLACE",
		.doc = "list: those that come after a list which ended with this place" },
	{ OWN(DURATION, "wait", wait_us), .most = UINT64_C(3600) * SECOND, .fallback = "1h", .arg = "TIME",
		.doc = "result: waits so long for the job's end; 1h where no time is given" },
	{ OWN(TEXT, "watch", watch), .fallback = "2s", .arg = "TIME",
		.doc = "list, show: prints it anew after so long, until Ctrl-C or the job's end; 2s where no "
		       "time is given" },
	{ OWN(SWITCH, "json", json), .doc = "list, show: prints JSON" },
	{ OWN(TEXT, "admin", admin), .arg = "ADDR", .doc = "the admin listener to ask" },
	{ OWN(TEXT, "name", name), .arg = "NAME", .doc = "the fleet's name" },
	{ OWN(TEXT, "config", config), .arg = "FILE",
		.doc = "the configuration that names the admin listener" },
};

static const struct options defaults = { .limit = 50, .name = "default" };

struct asking {
	const struct command *cmd;
	const struct options *own;
	struct io_addr admin;
	const char *id; /* NULL: of none */
};

/* ---- asking ---- */

/* What a problem document says. */
static void complain_of(const struct asking *a, const struct agent_reply *reply)
{
	json_t *root = json_loadb(reply->body, reply->len, 0, NULL);
	const char *detail = json_string_value(json_object_get(root, "detail"));
	const char *reasons = json_string_value(json_object_get(root, "reasons"));
	if (detail)
		cli_complain(
			a->cmd, "%s%s%s", detail, reasons && *reasons ? ": " : "", reasons ? reasons : "");
	else
		cli_complain(a->cmd, "the admin listener answers with status %d", reply->status);
	json_decref(root);
}

/* True with an answer whose status is one of 2xx; else false after a complaint. */
static bool ask(const struct asking *a, const char *method, const char *path, uint64_t timeout_us,
	struct agent_reply *reply)
{
	char address[IO_ADDR_TEXT];
	agent_ask(&a->admin, method, path, "Berth-Job-State", timeout_us, reply);
	if (reply->status == 0)
		cli_complain(a->cmd,
			"no answer from the admin listener at %s: %s; is Berth running? (--admin names "
			"another address)",
			io_addr_print(&a->admin, true, address), reply->why);
	else if (reply->status >= 300 && strcmp(reply->field, "done") != 0)
		complain_of(a, reply);
	else
		return true;
	free(reply->body);
	return false;
}

static const char *job_path(const struct asking *a, const char *suffix, char path[PATH_BYTES])
{
	snprintf(path, PATH_BYTES, "/berth/jobs/%s%s", a->id, suffix);
	return path;
}

static int complain_of_nonsense(const struct asking *a)
{
	cli_complain(a->cmd, "the admin listener answers with something that is no report of Berth's");
	return EXIT_JOB;
}

/* ---- list ---- */

/* "&name=" and the value, escaped (RFC 3986 §2.1). */
static void add_param(char *path, const char *name, const char *value)
{
	size_t n = strlen(path);
	if (!value)
		return;
	n += (size_t)snprintf(path + n, PATH_BYTES - n, "&%s=", name);
	for (; *value && n + 4 < PATH_BYTES; value++) {
		bool plain = isalnum((unsigned char)*value) || strchr("-._~", *value);
		n += (size_t)snprintf(
			path + n, PATH_BYTES - n, plain ? "%c" : "%%%02X", (unsigned char)*value);
	}
}

static int list(void *owner, bool *ret_last)
{
	const struct asking *a = owner;
	struct agent_reply reply;
	char path[PATH_BYTES];
	(void)ret_last;
	snprintf(path, sizeof path, "/berth/jobs?limit=%u", a->own->limit);
	add_param(path, "state", a->own->state ? states[a->own->state] : NULL);
	add_param(path, "pool", a->own->pool);
	add_param(path, "after", a->own->after);
	if (!ask(a, "GET", path, TIMEOUT_US, &reply))
		return EXIT_JOB;
	json_t *root = json_loadb(reply.body, reply.len, 0, NULL);
	bool ok = json_is_array(json_object_get(root, "jobs"));
	if (ok && a->own->json)
		fwrite(reply.body, 1, reply.len, stdout);
	else if (ok)
		jobs_print_list(root);
	json_decref(root);
	free(reply.body);
	return ok ? EXIT_DONE : complain_of_nonsense(a);
}

/* ---- one job ---- */

static bool is_over(const char *state)
{
	return strcmp(state, "queued") != 0 && strcmp(state, "running") != 0;
}

static int show(void *owner, bool *ret_last)
{
	const struct asking *a = owner;
	struct agent_reply reply;
	char path[PATH_BYTES];
	if (!ask(a, "GET", job_path(a, "", path), TIMEOUT_US, &reply))
		return EXIT_JOB;
	json_t *root = json_loadb(reply.body, reply.len, 0, NULL);
	const char *state = json_string_value(json_object_get(root, "state"));
	if (state && a->own->json)
		printf("%.*s%s", (int)reply.len, reply.body,
			reply.len && reply.body[reply.len - 1] == '\n' ? "" : "\n");
	else if (state)
		jobs_print_one(root);
	bool ok = state;
	*ret_last |= state && is_over(state);
	json_decref(root);
	free(reply.body);
	return ok ? EXIT_DONE : complain_of_nonsense(a);
}

static int result(const struct asking *a)
{
	struct agent_reply reply;
	char path[PATH_BYTES], suffix[48] = "/result";
	uint64_t wait_s = (a->own->wait_us + SECOND - 1) / SECOND;
	if (wait_s)
		snprintf(suffix, sizeof suffix, "/result?wait=%llu", (unsigned long long)wait_s);
	if (!ask(a, "GET", job_path(a, suffix, path), wait_s * SECOND + TIMEOUT_US, &reply))
		return EXIT_JOB;
	int status = reply.status;
	size_t written = fwrite(reply.body, 1, reply.len, stdout);
	bool ok = written == reply.len && fflush(stdout) == 0;
	free(reply.body);
	if (!ok)
		cli_complain(a->cmd, "standard output takes no more");
	else if (status >= 300)
		cli_complain(a->cmd, "the container's answer has status %d", status);
	return ok && status < 300 ? EXIT_DONE : EXIT_JOB;
}

/* Cancels it, or removes what is kept of it when it is over: which of the two, its record tells. */
static int cancel(const struct asking *a)
{
	struct agent_reply reply;
	char path[PATH_BYTES];
	if (!ask(a, "DELETE", job_path(a, "", path), TIMEOUT_US, &reply))
		return EXIT_JOB;
	bool ran = reply.status == 202;
	free(reply.body);
	if (ran) {
		printf("%s: cancelled; its result will be thrown away\n", a->id);
		return EXIT_DONE;
	}
	agent_ask(&a->admin, "GET", path, NULL, TIMEOUT_US, &reply);
	printf("%s: %s\n", a->id, reply.status == 200 ? "cancelled" : "was over, and is forgotten");
	free(reply.body);
	return EXIT_DONE;
}

/* ---- the command ---- */

enum verb { VERB_LIST, VERB_SHOW, VERB_RESULT, VERB_CANCEL, VERBS };

static const char *const verbs[VERBS] = { "list", "show", "result", "cancel" };

static int run_verb(enum verb verb, struct asking *a)
{
	switch (verb) {
	case VERB_LIST:
		return again(a->cmd, a->own->watch, list, a);
	case VERB_SHOW:
		return again(a->cmd, a->own->watch, show, a);
	case VERB_RESULT:
		return result(a);
	case VERB_CANCEL:
		return cancel(a);
	case VERBS:
		break;
	}
	return EXIT_SETUP;
}

/* VERBS after a complaint. */
static enum verb verb_named(const struct command *cmd, const char *word)
{
	for (int v = 0; word && v < VERBS; v++) {
		if (!strcmp(word, verbs[v]))
			return (enum verb)v;
	}
	if (!word)
		return VERB_LIST;
	const char *near = suggest(str_of(word), verbs, VERBS);
	if (near)
		cli_complain(cmd, "'%s' is nothing that is done with jobs: did you mean '%s'?", word, near);
	else if (isdigit((unsigned char)word[0]))
		cli_complain(cmd, "unexpected argument '%s': a time stands behind '=', as in --watch=%s",
			word, word);
	else
		cli_complain(
			cmd, "'%s' is nothing that is done with jobs: list, show, result or cancel", word);
	return VERBS;
}

static bool check_id(const struct asking *a, enum verb verb)
{
	struct store_id id;
	if (verb == VERB_LIST && !a->id)
		return true;
	if (verb == VERB_LIST)
		cli_complain(a->cmd, "unexpected argument '%s' (berth jobs --help)", a->id);
	else if (!a->id)
		cli_complain(a->cmd, "%s needs a job's id (berth jobs lists them)", verbs[verb]);
	else if (!store_id_parse(str_of(a->id), &id))
		cli_complain(a->cmd, "'%s' is no job's id: 32 hexadecimal digits", a->id);
	else
		return true;
	return false;
}

static int jobs(const struct command *cmd, const struct options *own, const char *const words[WORDS])
{
	struct asking a = { .cmd = cmd, .own = own, .id = words[1] };
	char error[RUNTIME_ERROR];
	enum verb verb = verb_named(cmd, words[0]);
	if (verb == VERBS || !check_id(&a, verb))
		return EXIT_SETUP;
	if (own->watch && verb != VERB_LIST && verb != VERB_SHOW) {
		cli_complain(cmd, "--watch goes with list and show");
		return EXIT_SETUP;
	}
	struct located fleet = { own->name, own->name != defaults.name };
	if (locate_admin(own->admin, fleet, own->config, &a.admin, error))
		return run_verb(verb, &a);
	cli_complain(cmd, "%s", error);
	return EXIT_SETUP;
}

/* Words may stand before the options and behind them. */
static int jobs_run(const struct command *cmd, int argc, char **argv)
{
	struct options own = defaults;
	struct arena arena;
	const char *words[WORDS] = { NULL };
	int n = 0, operands, code;
	while (n < WORDS && argc > 1 && argv[1][0] != '-') {
		words[n++] = argv[1];
		argv++;
		argc--;
	}
	arena_init(&arena, 1024, 1 << 20);
	if (cli_parse(cmd, argc, argv, &own, NULL, &arena, WORDS - n, &operands, &code)) {
		while (operands < argc)
			words[n++] = argv[operands++];
		code = jobs(cmd, &own, words);
	}
	arena_finish(&arena);
	return code;
}

const struct command command_jobs = {
	.name = "jobs",
	.summary = "lists background requests, shows one, reads its result, cancels it",
	.synopsis = "[list] [OPTION]... | show ID | result ID | cancel ID",
	.description =
		"Asks the admin listener of the Berth that runs; where that is, berth status --help says.\n"
		"\n"
		"  list         the newest first: id, state, pool, when it came, how long it ran, attempts\n"
		"  show ID      all that is known of one, its place in the queue and the expected wait too\n"
		"  result ID    its answer as the container gave it, on standard output\n"
		"  cancel ID    cancels it; what is over already is forgotten, its result too\n"
		"\n"
		"A list that is longer than --limit ends with the place at which --after goes on.",
	.exit_status = "0 done; 1 no answer, no such job, or no result; 2 wrong usage.",
	.examples = "  berth jobs --state queued --watch\n"
		    "  berth jobs result 0123456789abcdef0123456789abcdef --wait\n"
		    "  berth jobs cancel 0123456789abcdef0123456789abcdef",
	.own = options,
	.n_own = ARRAY_LEN(options),
	.defaults = &defaults,
	.run = jobs_run,
};
