#include "cli/jobs_print.h"

#include "base/str.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { TEXT = 64 };

/* Seconds since the epoch in the local time zone; "-": not yet. */
static const char *time_text(const json_t *value, char text[TEXT])
{
	struct tm tm;
	time_t t = (time_t)json_number_value(value);
	if (!json_is_number(value) || !localtime_r(&t, &tm) ||
		!strftime(text, TEXT, "%Y-%m-%d %H:%M:%S", &tm))
		snprintf(text, TEXT, "-");
	return text;
}

/* How long it ran, or runs by now. */
static const char *run_text(const json_t *job, char text[TEXT])
{
	const json_t *started = json_object_get(job, "started"), *finished = json_object_get(job, "finished");
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	double end = json_is_number(finished) ? json_number_value(finished)
					      : (double)now.tv_sec + (double)now.tv_nsec / 1e9;
	if (json_is_number(started))
		snprintf(text, TEXT, "%.1f s", end - json_number_value(started));
	else
		snprintf(text, TEXT, "-");
	return text;
}

static const char *member(const json_t *job, const char *key)
{
	const char *text = json_string_value(json_object_get(job, key));
	return text ? text : "-";
}

static void print_row(const json_t *job)
{
	char created[TEXT], run[TEXT];
	printf("%-32s  %-9s  %-12s  %-19s  %8s  %8lld  %s\n", member(job, "id"), member(job, "state"),
		member(job, "pool"), time_text(json_object_get(job, "created"), created), run_text(job, run),
		(long long)json_integer_value(json_object_get(job, "attempts")), member(job, "container"));
}

void jobs_print_list(const json_t *list)
{
	const json_t *jobs = json_object_get(list, "jobs");
	const char *next = json_string_value(json_object_get(list, "next"));
	printf("%-32s  %-9s  %-12s  %-19s  %8s  %8s  %s\n", "ID", "STATE", "POOL", "CREATED", "RAN",
		"ATTEMPTS", "CONTAINER");
	for (size_t i = 0; i < json_array_size(jobs); i++)
		print_row(json_array_get(jobs, i));
	if (next)
		printf("more: --after %s\n", next);
}

static bool is_time(const char *key)
{
	return !strcmp(key, "created") || !strcmp(key, "started") || !strcmp(key, "finished");
}

static void print_value(const char *key, const json_t *value)
{
	char text[TEXT];
	if (is_time(key))
		printf("%s\n", time_text(value, text));
	else if (json_is_number(value))
		printf("%.0f\n", json_number_value(value));
	else if (json_is_boolean(value))
		printf("%s\n", json_is_true(value) ? "yes" : "no");
	else
		printf("%s\n", json_is_string(value) ? json_string_value(value) : "-");
}

void jobs_print_one(const json_t *job)
{
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)job, key, value)
	{
		struct str lines = str_of(json_string_value(value) ? json_string_value(value) : "");
		printf("%-13s ", key);
		if (strcmp(key, "reasons") != 0) {
			print_value(key, value);
			continue;
		}
		for (bool first = true; lines.ptr && lines.len; first = false) {
			struct str line = str_cut(&lines, '\n');
			printf("%*s" STR_FMT "\n", first ? 0 : 14, "", STR_ARG(line));
		}
	}
}
