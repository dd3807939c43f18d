#include "cli/load.h"
#include "cli/load_check.h"

#include "http/url.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	TIMEOUT_US = 15 * 60 * 1000 * 1000,
	POLL_MIN_US = 10 * 1000, /* between two questions for a result; doubles … */
	POLL_MAX_US = 200 * 1000,
	SHOWN_BYTES = 2000, /* of an answer */
	JOB_PATH = 220,
};

/* What a client's request asks for. */
enum asked { ASKED_NOTHING, ASKED_JOB, ASKED_EVENTS, ASKED_RESULT };

struct load;

struct job {
	struct list_node node; /* in its client's jobs */
	uint64_t sent_us;
	bool followed;  /* its events have been read */
	char path[200]; /* JOB_PATH holds it with what stands behind it */
};

struct load_client {
	struct load *load; /* borrowed */
	struct agent http;
	enum asked asked;
	uint64_t sent_us, pause_us;
	struct io_timer pause;
	struct list jobs; /* struct job, owned; the oldest first */
};

struct load {
	const struct load_settings *settings; /* borrowed */
	struct report *report;                /* borrowed */
	struct io *io;                        /* owned */
	struct load_client *clients;          /* owned */
	uint32_t sent, active, open_jobs;
};

/* ---- printing ---- */

/* What somebody else has sent, without line ends and control characters. */
static void print_answer(const char *what, const char *url, int status, struct str body)
{
	body = str_trim(body);
	while (body.len && body.ptr[body.len - 1] == '\n')
		body.len--;
	printf("%s from %s: %d, ", what, url, status);
	size_t shown = body.len < SHOWN_BYTES ? body.len : SHOWN_BYTES;
	for (size_t i = 0; i < shown; i++) {
		char byte = body.ptr[i];
		putchar((unsigned char)byte < 0x20 || byte == 0x7f ? ' ' : byte);
	}
	printf("%s\n", shown < body.len ? "…" : "");
}

/* ---- asking ---- */

static struct job *oldest(struct load_client *c)
{
	struct list_node *first = list_first(&c->jobs);
	CHECK(first);
	return CONTAINER_OF(first, struct job, node);
}

static void next(struct load_client *c);

static void ask(struct load_client *c, enum asked asked)
{
	const struct load_settings *s = c->load->settings;
	c->asked = asked;
	c->http.fields = asked == ASKED_JOB && s->async ? "Prefer: respond-async\r\n" : NULL;
	if (asked != ASKED_JOB) {
		struct job *job = oldest(c);
		char path[JOB_PATH];
		snprintf(path, sizeof path, "%s/%s", job->path, asked == ASKED_EVENTS ? "events" : "result");
		agent_request(&c->http, "GET", path, NULL, STR(""), TIMEOUT_US);
		return;
	}
	c->load->sent++;
	c->sent_us = c->load->io->now_us;
	agent_request(&c->http, "POST", s->target.path, s->text ? "text/plain; charset=utf-8" : NULL,
		str_of(s->text), TIMEOUT_US);
}

static void next(struct load_client *c)
{
	struct load *l = c->load;
	if (l->sent < l->settings->requests && l->open_jobs < LOAD_JOBS_MAX) {
		ask(c, ASKED_JOB);
	} else if (!list_empty(&c->jobs)) {
		bool followed = !l->settings->async || oldest(c)->followed;
		ask(c, followed ? ASKED_RESULT : ASKED_EVENTS);
	} else if (l->sent < l->settings->requests) { /* the others have all jobs that may be open */
		io_timer_set(l->io, &c->pause, l->io->now_us + POLL_MIN_US);
	} else {
		c->asked = ASKED_NOTHING;
		if (--l->active == 0)
			io_stop(l->io);
	}
}

static void on_pause_over(struct io_timer *t)
{
	next(CONTAINER_OF(t, struct load_client, pause));
}

/* ---- answers ---- */

/* The path of a URL or path. */
static bool job_path(const char *status_url, char *path, size_t size)
{
	struct url url = { .path = str_of(status_url) };
	if (status_url[0] != '/' && !url_parse(str_of(status_url), &url))
		return false;
	return snprintf(path, size, STR_FMT, STR_ARG(url.path)) < (int)size;
}

static void add_job(struct load_client *c, const char *status_url)
{
	struct job *job = calloc(1, sizeof *job);
	if (!job || !job_path(status_url, job->path, sizeof job->path)) {
		free(job);
		report_result(c->load->report, false, 0);
		return;
	}
	job->sent_us = c->sent_us;
	list_push_back(&c->jobs, &job->node);
	c->load->open_jobs++;
}

static void drop_job(struct load_client *c, struct job *job)
{
	list_remove(&c->jobs, &job->node);
	c->load->open_jobs--;
	free(job);
}

static void check(struct load_client *c, const char *untrue)
{
	if (untrue)
		report_untrue(c->load->report, untrue);
}

/* Reads what the answer says of the queue. What is no answer of Berth's is left alone. */
static void take_message(struct load_client *c, const struct agent_answer *answer)
{
	static const char soon[] = "Request received and will be processed soon";
	json_t *root = json_loadb(answer->body.ptr, answer->body.len, 0, NULL);
	const char *message = json_string_value(json_object_get(root, "message"));
	const char *state = json_string_value(json_object_get(root, "state"));
	const char *status_url = json_string_value(json_object_get(root, "status_url"));
	json_int_t position = json_integer_value(json_object_get(root, "position"));
	if (c->load->settings->async && answer->status < 300)
		check(c, acceptance_is_true(answer->status, answer->head, root));
	if ((message || state) && status_url) {
		bool queued = message ? !strncmp(message, soon, sizeof soon - 1) : !strcmp(state, "queued");
		report_accepted(c->load->report, queued, position > 0 ? (uint64_t)position : 0);
		if (c->load->settings->wait)
			add_job(c, status_url);
	}
	json_decref(root);
}

static void on_job_answer(struct load_client *c, const struct agent_answer *answer)
{
	struct load *l = c->load;
	if (!answer->status) {
		if (report_no_answer(l->report, answer->why))
			printf("Response from %s: none: %s\n", l->settings->url, answer->why);
	} else {
		print_answer("Response", l->settings->url, answer->status, answer->body);
		report_answer(l->report, answer->status, l->io->now_us - c->sent_us);
		take_message(c, answer);
	}
	next(c);
}

/* 409 without the job's own mark: it is not over yet (a container's 409 comes with the mark). */
static bool is_not_over(const struct agent_answer *answer)
{
	return answer->status == 409 && !http_field_named(answer->head, STR("Berth-Job-State"));
}

/* The stream ends with the job. */
static void on_events_answer(struct load_client *c, const struct agent_answer *answer)
{
	struct job *job = oldest(c);
	job->followed = true;
	if (answer->status == 200)
		check(c, events_are_true(answer->body));
	else
		check(c, answer->status ? "the events of a job cannot be read" : answer->why);
	next(c);
}

static void on_result_answer(struct load_client *c, const struct agent_answer *answer)
{
	struct load *l = c->load;
	struct job *job = oldest(c);
	if (is_not_over(answer)) {
		if (job->followed)
			check(c, "a job was told to be over, and is not");
		c->pause_us = c->pause_us * 2 < POLL_MAX_US ? c->pause_us * 2 : POLL_MAX_US;
		io_timer_set(l->io, &c->pause, l->io->now_us + c->pause_us);
		return;
	}
	char path[JOB_PATH];
	snprintf(path, sizeof path, "%s/result", job->path);
	if (answer->status)
		print_answer("Result", path, answer->status, answer->body);
	else
		printf("Result from %s: none: %s\n", path, answer->why);
	report_result(l->report, answer->status >= 200 && answer->status < 300, l->io->now_us - job->sent_us);
	drop_job(c, job);
	c->pause_us = POLL_MIN_US / 2;
	next(c);
}

static void on_answer(struct agent *http, const struct agent_answer *answer)
{
	struct load_client *c = CONTAINER_OF(http, struct load_client, http);
	if (c->asked == ASKED_JOB)
		on_job_answer(c, answer);
	else if (c->asked == ASKED_EVENTS)
		on_events_answer(c, answer);
	else
		on_result_answer(c, answer);
}

/* ---- the run ---- */

static void finish(struct load *l)
{
	for (uint32_t i = 0; l->clients && i < l->settings->clients; i++) {
		struct load_client *c = &l->clients[i];
		list_for_each_safe (node, &c->jobs)
			drop_job(c, CONTAINER_OF(node, struct job, node));
		io_timer_stop(l->io, &c->pause);
		agent_finish(&c->http);
	}
	free(l->clients);
	io_epoll_destroy(l->io);
}

int load_run(const struct load_settings *settings, struct report *report)
{
	struct load l = { .settings = settings, .report = report, .active = settings->clients };
	l.io = io_epoll_create();
	if (!l.io)
		return -errno;
	l.clients = calloc(settings->clients, sizeof *l.clients);
	if (!l.clients) {
		io_epoll_destroy(l.io);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < settings->clients; i++) {
		struct load_client *c = &l.clients[i];
		c->load = &l;
		c->pause_us = POLL_MIN_US / 2;
		c->pause.on_timer = on_pause_over;
		list_init(&c->jobs);
		agent_init(&c->http, l.io, &settings->target.addr, settings->target.host, on_answer);
	}
	uint64_t started_us = l.io->now_us;
	for (uint32_t i = 0; i < settings->clients; i++)
		next(&l.clients[i]);
	int r = l.active ? io_epoll_run(l.io) : 0;
	report->took_us = l.io->now_us - started_us;
	finish(&l);
	return r;
}
