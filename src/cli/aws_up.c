/* berth up --on aws, and what the commands for AWS share. */
#include "cli/aws_cli.h"
#include "cli/interrupt.h"
#include "cli/up.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SENT_US = 3 * 1000 * 1000 };

/* A name that is longer than any of its kind is none, and is not to be cut. */
static bool check_names(const struct command *cmd, const struct aws_settings *s)
{
	const struct named {
		const char *flag, *name;
		size_t size;
	} all[] = { { "bucket", s->bucket, AWS_BUCKET_MAX + 1 }, { "ami", s->ami, AWS_ID },
		{ "instance-type", s->instance_type, AWS_ID } };
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		if (!all[i].name || strlen(all[i].name) < all[i].size)
			continue;
		cli_complain(cmd, "--%s: expected up to %zu characters, found \"%.80s\"", all[i].flag,
			all[i].size - 1, all[i].name);
		return false;
	}
	return true;
}

bool aws_cli_open(
	const struct command *cmd, const struct config *config, struct aws *aws, struct aws_deploy *d)
{
	const struct fleet_settings *f = &config->fleet;
	const char *bad = aws_bad_name(f->name);
	if (bad) {
		cli_complain(cmd, "--name: %s: found \"%s\"", bad, f->name);
		return false;
	}
	if (!check_names(cmd, &f->aws))
		return false;
	if (!aws_open(aws, f->aws.profile, f->aws.region)) {
		cli_complain(cmd, "%s", aws->why);
		return false;
	}
	aws_deploy_init(d, aws, f->name, f->aws.bucket);
	return true;
}

void aws_cli_close(struct aws *aws, struct aws_deploy *d)
{
	aws_deploy_finish(d);
	aws_close(aws);
}

/* ---- what is told ---- */

struct teller {
	bool quiet, live; /* live: what is waited for is a line that is written over */
	bool shown;       /* such a line is there */
	char last[AWS_WHY];
	uint64_t sent_us; /* when it was told last how much is uploaded */
};

static void clear_line(struct teller *t)
{
	if (t->shown)
		printf("\r\033[K");
	t->shown = false;
}

/* Elsewhere than on a terminal what is waited for is a line when it has changed. */
static void tell(void *user, enum aws_news news, const char *text)
{
	struct teller *t = user;
	if (t->quiet)
		return;
	clear_line(t);
	switch (news) {
	case AWS_NEWS_WAIT:
		if (t->live)
			printf("berth: %s", text);
		else if (strcmp(text, t->last) != 0)
			printf("berth: %s\n", text);
		t->shown = t->live;
		str_copy(t->last, sizeof t->last, str_of(text));
		break;
	case AWS_NEWS_DONE:
	case AWS_NEWS_NOTE:
		printf("berth: %s\n", text);
		break;
	}
	fflush(stdout);
}

static bool interrupted(void *user)
{
	return interrupt_came();
}

static void listen_again(void *user)
{
	interrupt_watch();
}

static void on_wait(void *user, const char *text)
{
	tell(user, AWS_NEWS_NOTE, text);
}

/* On a terminal all the time, elsewhere a line every few seconds. */
static void on_sent(void *user, uint64_t sent, uint64_t all)
{
	struct teller *t = user;
	struct timespec now;
	char text[128];
	clock_gettime(CLOCK_MONOTONIC, &now);
	uint64_t now_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	if (!t->sent_us)
		t->sent_us = now_us;
	if (!t->live && now_us - t->sent_us < SENT_US)
		return;
	t->sent_us = now_us;
	snprintf(text, sizeof text, "uploaded %.1f of %.1f MiB (%u %%)", (double)sent / (1 << 20),
		(double)all / (1 << 20), (unsigned)(100 * sent / all));
	tell(t, AWS_NEWS_WAIT, text);
}

/* For a command that changes what there is: Ctrl-C is watched, and t tells what is done. */
static bool open_watched(const struct command *cmd, const struct config *config, struct aws *aws,
	struct aws_deploy *d, struct teller *t)
{
	if (!aws_cli_open(cmd, config, aws, d))
		return false;
	d->tell = tell;
	d->user = t;
	aws->interrupted = interrupted;
	aws->on_wait = on_wait;
	aws->on_sent = on_sent;
	aws->user = t;
	interrupt_watch();
	return true;
}

/* ---- up ---- */

static void print_up(
	const struct server *s, const struct aws_deploy *d, const struct deployment_options *o, bool changed)
{
	const struct config *c = s->config;
	char url[sizeof d->front + 8];
	snprintf(url, sizeof url, "http://%s", d->front);
	printf("berth: the fleet \"%s\" (%u workers with %u containers each, %s) is %s at %s\n", d->cluster,
		c->fleet.workers, c->fleet.containers, d->site.region,
		o->no_wait        ? "starting"
			: changed ? "up"
				  : "up, and all is as it shall be,",
		url);
	if (d->front_is_private)
		printf("berth: that is a private address: the subnet gives no public ones\n");
	if (!o->quiet)
		up_print_try(url, &c->settings.pools[c->fleet_pool]);
}

static int end_up(const struct server *s, const struct aws_deploy *d, const struct deployment_options *o,
	enum aws_outcome outcome)
{
	switch (outcome) {
	case AWS_DONE:
	case AWS_NOTHING_TO_DO:
		if (!o->dry_run)
			print_up(s, d, o, outcome == AWS_DONE);
		else if (outcome == AWS_NOTHING_TO_DO)
			printf("berth: all is as it shall be: nothing would be changed\n");
		return EXIT_DONE;
	case AWS_REFUSED:
		cli_complain(s->cmd, "%s", d->why);
		return EXIT_SETUP;
	case AWS_UNDONE:
		cli_complain(s->cmd, "%s; what this run made is removed again", d->why);
		return EXIT_JOB;
	case AWS_LEFT:
		cli_complain(s->cmd, "%s", d->why);
		return EXIT_JOB;
	}
	return EXIT_JOB;
}

static int up_with(struct server *s, struct aws_deploy *d, const struct deployment_options *o)
{
	struct aws_making making;
	int code = EXIT_SETUP;
	if (aws_making_make(&making, s->cmd, s->config, d->site.region, o->open_to_all)) {
		enum aws_outcome outcome = aws_up(d, &making.wanted);
		clear_line(d->user);
		code = end_up(s, d, o, outcome);
	}
	aws_making_finish(&making);
	return code;
}

int aws_cli_up(struct server *server, const struct deployment_options *options)
{
	struct aws aws;
	struct aws_deploy d;
	struct teller t = { .quiet = options->quiet, .live = isatty(STDOUT_FILENO) };
	if (!open_watched(server->cmd, server->config, &aws, &d, &t))
		return EXIT_SETUP;
	d.dry_run = options->dry_run;
	d.keep = options->keep;
	d.no_wait = options->no_wait;
	d.listen_again = listen_again;
	int code = up_with(server, &d, options);
	aws_cli_close(&aws, &d);
	return code;
}

/* ---- down ---- */

/* On a terminal; elsewhere nobody is there to be asked. */
static bool is_agreed(const struct aws_deploy *d, const struct aws_plan *plan)
{
	char text[AWS_STEP_TEXT], answer[16];
	if (!isatty(STDIN_FILENO))
		return true;
	for (size_t i = 0; i < plan->n; i++)
		printf("  %s %s\n", aws_step_verb(&plan->steps[i]),
			aws_step_text(&plan->steps[i], &d->found, text));
	printf("Remove all of this (the fleet \"%s\" in %s)? [y/N] ", d->cluster, d->site.region);
	fflush(stdout);
	if (fgets(answer, sizeof answer, stdin))
		return answer[0] == 'y' || answer[0] == 'Y';
	printf("\n"); /* Ctrl-C, or Ctrl-D: the cursor stands behind the question */
	fflush(stdout);
	return false;
}

static int down_with(const struct command *cmd, struct aws_deploy *d, const struct deployment_options *o)
{
	struct aws_plan plan;
	int code = EXIT_JOB;
	if (aws_plan_of_down(d, &plan)) {
		cli_complain(cmd, "%s", d->why);
		code = EXIT_SETUP;
	} else if (plan.n == 0) {
		printf("berth: nothing is left of the fleet \"%s\" in %s\n", d->cluster, d->site.region);
		code = EXIT_DONE;
	} else if (!o->yes && !is_agreed(d, &plan)) {
		cli_complain(cmd, "nothing was removed (--yes does not ask)");
	} else if (aws_down(d) == AWS_DONE) {
		clear_line(d->user);
		printf("berth: the fleet \"%s\" in %s is down\n", d->cluster, d->site.region);
		code = EXIT_DONE;
	} else {
		clear_line(d->user);
		cli_complain(cmd, "%s; berth down --on aws goes on where it stopped", d->why);
	}
	aws_plan_finish(&plan);
	return code;
}

int aws_cli_down(const struct command *cmd, struct config *config, const struct deployment_options *options)
{
	struct aws aws;
	struct aws_deploy d;
	struct teller t = { .live = isatty(STDOUT_FILENO) };
	if (!open_watched(cmd, config, &aws, &d, &t))
		return EXIT_SETUP;
	int code = down_with(cmd, &d, options);
	aws_cli_close(&aws, &d);
	return code;
}
