#include "cli/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool report_init(struct report *r, uint32_t requests, uint32_t clients, bool waits)
{
	*r = (struct report){ .requests = requests, .clients = clients, .waits = waits };
	r->answers.us = calloc(requests, sizeof *r->answers.us);
	r->ends.us = calloc(requests, sizeof *r->ends.us);
	return r->answers.us && r->ends.us;
}

void report_finish(struct report *r)
{
	free(r->answers.us);
	free(r->ends.us);
}

void report_answer(struct report *r, int status, uint64_t us)
{
	r->statuses[status]++;
	r->answers.us[r->answers.n++] = us;
}

/* True: it is a new one. */
static bool note_reason(struct report *r, const char *why)
{
	for (uint32_t i = 0; i < r->n_reasons; i++) {
		if (!strcmp(r->reasons[i], why))
			return false;
	}
	if (r->n_reasons == REPORT_REASONS_MAX)
		return false;
	str_copy(r->reasons[r->n_reasons++], REPORT_REASON, str_of(why));
	return true;
}

bool report_no_answer(struct report *r, const char *why)
{
	r->unanswered++;
	return note_reason(r, why);
}

void report_untrue(struct report *r, const char *why)
{
	r->untrue++;
	(void)note_reason(r, why);
}

void report_accepted(struct report *r, bool queued, uint64_t position)
{
	r->jobs++;
	r->started += !queued;
	r->queued += queued;
	if (position > r->longest_queue)
		r->longest_queue = position;
}

void report_result(struct report *r, bool ok, uint64_t us)
{
	if (!ok) {
		r->lost++;
		return;
	}
	r->results++;
	r->ends.us[r->ends.n++] = us;
}

bool report_is_good(const struct report *r)
{
	uint32_t good = 0;
	for (int status = 200; status < 300; status++)
		good += r->statuses[status];
	return good == r->requests && r->untrue == 0 && (!r->waits || r->results == r->requests);
}

/* ---- printing ---- */

static int compare_times(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

/* The smallest time that at least `percent` of all do not exceed. t is sorted and not empty. */
static double percentile_ms(const struct times *t, unsigned percent)
{
	uint64_t rank = ((uint64_t)t->n * percent + 99) / 100;
	return (double)t->us[rank ? rank - 1 : 0] / 1000;
}

static void print_times(const char *what, struct times *t)
{
	if (t->n == 0)
		return;
	qsort(t->us, t->n, sizeof *t->us, compare_times);
	printf("  %-22s p50 %.1f ms, p90 %.1f ms, p99 %.1f ms\n", what, percentile_ms(t, 50),
		percentile_ms(t, 90), percentile_ms(t, 99));
}

void report_print(struct report *r)
{
	double seconds = (double)r->took_us / 1e6;
	printf("\n%u requests from %u client%s in %.2f s, %.0f a second\n", r->requests, r->clients,
		r->clients == 1 ? "" : "s", seconds, seconds > 0 ? r->requests / seconds : 0);
	for (int status = 0; status < 600; status++) {
		if (r->statuses[status])
			printf("  status %-15d %u\n", status, r->statuses[status]);
	}
	if (r->unanswered)
		printf("  %-22s %u\n", "no answer", r->unanswered);
	if (r->untrue)
		printf("  %-22s %u\n", "told, and not true", r->untrue);
	for (uint32_t i = 0; i < r->n_reasons; i++)
		printf("    %s\n", r->reasons[i]);
	if (r->jobs) {
		printf("  %-22s %u received and being processed, %u will be processed soon\n", "told at once",
			r->started, r->queued);
		printf("  %-22s %llu\n", "longest queue", (unsigned long long)r->longest_queue);
	}
	if (r->waits)
		printf("  %-22s %u of %u read%s\n", "results", r->results, r->jobs,
			r->lost ? ", others lost or failed" : "");
	print_times("until the answer", &r->answers);
	print_times("until the result", &r->ends);
}
