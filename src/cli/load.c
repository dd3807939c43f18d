/* berth load: sends requests and tells what became of them. */
#include "cli/load.h"
#include "cli/process.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct options {
	uint32_t requests, clients;
	const char *url, *name, *text;
	bool wait, sync, async;
};

#define OWN(kind, path, member)                                                   \
	SCOPE_OWN, KIND_##kind, path, .offset = offsetof(struct options, member), \
				      .bytes = sizeof(((struct options *)NULL)->member)

static const struct key options[] = {
	{ OWN(NUMBER, "requests", requests), .least = 1, .most = 10000000, .arg = "N",
		.doc = "requests in all" },
	{ OWN(NUMBER, "clients", clients), .least = 1, .most = 10000, .arg = "N",
		.doc = "clients that send them, each one at a time" },
	{ OWN(TEXT, "url", url), .arg = "URL",
		.doc = "where they go; without it /new_request (with --sync /run_model) of the fleet that "
		       "runs, or of 127.0.0.1:8080" },
	{ OWN(TEXT, "name", name), .arg = "NAME", .doc = "the fleet's name" },
	{ OWN(SWITCH, "wait", wait), .doc = "reads every job's result too" },
	{ OWN(SWITCH, "sync", sync), .doc = "sends them to /run_model, whose answer is the result" },
	{ OWN(SWITCH, "async", async),
		.doc = "sends them to /run_model with Prefer: respond-async, follows each job by its events "
		       "to its "
		       "result, and checks what it is told" },
	{ OWN(TEXT, "text", text), .arg = "TEXT",
		.doc = "the text to send; without it each container takes one of its samples" },
};

static const struct options defaults = { .requests = 100, .clients = 5, .name = "default" };

static int send_all(const struct command *cmd, const struct load_settings *settings)
{
	struct report report;
	int code = EXIT_SETUP;
	if (!report_init(&report, settings->requests, settings->clients, settings->wait)) {
		cli_complain(cmd, "out of memory");
	} else {
		process_raise_file_limit();
		int r = load_run(settings, &report);
		if (r < 0)
			cli_complain(cmd, "cannot begin: %s", strerror(-r));
		else
			report_print(&report);
		code = r < 0 ? EXIT_SETUP : report_is_good(&report) ? EXIT_DONE : EXIT_JOB;
		if (r == 0 && report.unanswered == report.requests)
			cli_complain(cmd, "nothing answers at %s: %s (berth up starts a fleet)",
				settings->url, report.reasons[0]);
	}
	report_finish(&report);
	return code;
}

static int load(const struct command *cmd, const struct options *own)
{
	char error[RUNTIME_ERROR], url[sizeof(struct target)];
	struct load_settings s = {
		.clients = own->clients,
		.requests = own->requests,
		.wait = own->wait || own->async,
		.async = own->async,
		.text = own->text,
	};
	const char *path = own->sync || own->async ? "/run_model" : "/new_request";
	if ((own->wait || own->async) && own->sync) {
		cli_complain(cmd, "--%s and --sync exclude each other: a synchronous answer is the result",
			own->wait ? "wait" : "async");
		return EXIT_SETUP;
	}
	struct located fleet = { own->name, own->name != defaults.name };
	bool ok = own->url ? locate_url(own->url, &s.target, error)
			   : locate_front(fleet, path, &s.target, error);
	if (!ok) {
		cli_complain(cmd, "%s", error);
		return EXIT_SETUP;
	}
	if (s.clients > s.requests)
		s.clients = s.requests;
	snprintf(url, sizeof url, "http://%s%s", s.target.host, s.target.path);
	s.url = url;
	return send_all(cmd, &s);
}

static int load_run_command(const struct command *cmd, int argc, char **argv)
{
	struct options own = defaults;
	struct arena arena;
	int operands, code;
	arena_init(&arena, 1024, 64 << 20);
	if (cli_parse(cmd, argc, argv, &own, NULL, &arena, 0, &operands, &code))
		code = load(cmd, &own);
	arena_finish(&arena);
	return code;
}

const struct command command_load = {
	.name = "load",
	.summary = "sends requests and tells what became of them",
	.synopsis = "[--requests N] [--clients N] [--wait | --sync | --async] [--url URL] [--text TEXT]",
	.description =
		"Sends requests with POST from several clients at once and prints a line for each "
		"answer and for each new reason why there is none, then a summary: answers by "
		"status, how many were started and how many queued, the largest position told, and "
		"how long it took.\n"
		"\n"
		"With --wait a client reads the results of its jobs, the oldest first, once all "
		"requests are sent. With --async it also reads each job's events before, and checks that "
		"the answer was a 202 with the job's address, that places in the queue only fall (but for "
		"a request that is tried again, which is said), that a state never goes back without that, "
		"and that there is one end, which the result agrees with.",
	.exit_status = "0 every request was answered with a 2xx and, with --wait, every result read, and, "
		       "with --async, all that was told is true; 1 not "
		       "so; 2 wrong usage.",
	.examples =
		"  berth load --wait\n  berth load --requests 1000 --clients 64 --sync --text 'Dear winner'",
	.own = options,
	.n_own = ARRAY_LEN(options),
	.defaults = &defaults,
	.run = load_run_command,
};
