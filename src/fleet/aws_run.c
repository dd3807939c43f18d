/* The calls under way.
 *
 *          begin           answer               not worth another try
 *  WAITING ────▶ RUNNING ─────────▶ judged ─────────────────────▶ DONE
 *     ▲                               │ throttled, lost, passes by itself
 *     └───────────── pause ───────────┘
 */
#include "fleet/aws_flight.h"
#include "fleet/curl_load.h"

#include <curl/curl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define MS 1000ull
#define S  1000000ull

enum {
	STEP_MS = 50,     /* how soon an interruption is noticed */
	AGAIN_MS = 200,   /* the longest first pause; it doubles … */
	AGAIN_MAX_S = 20, /* … up to this */
	LATER_MS = 1000,  /* likewise for what passes by itself */
	LATER_MAX_S = 5,
	SENT_MS = 200,  /* between two words of how much is sent */
	PATIENCE_S = 3, /* for which something is tried again without a word */
};

static uint64_t clock_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * S + (uint64_t)now.tv_nsec / 1000;
}

bool aws_open(struct aws *a, const char *profile, const char *region)
{
	uint64_t seed;
	*a = (struct aws){ .attempts = AWS_ATTEMPTS };
	if (!curl_load(a->why))
		return false;
	if (!aws_credentials_find(&a->credentials, profile, region, a->why)) {
		aws_credentials_finish(&a->credentials);
		return false;
	}
	a->multi = curl_multi_init();
	if (!a->multi || getrandom(&seed, sizeof seed, 0) != sizeof seed) {
		snprintf(a->why, sizeof a->why, "out of memory");
		aws_close(a);
		return false;
	}
	rand_seed(&a->rand, seed);
	return true;
}

void aws_close(struct aws *a)
{
	curl_multi_cleanup(a->multi);
	a->multi = NULL;
	aws_credentials_finish(&a->credentials);
}

bool aws_is_interrupted(const struct aws *a)
{
	return a->interrupted && a->interrupted(a->user);
}

bool aws_pause(struct aws *a, uint64_t us)
{
	uint64_t end = clock_us() + us;
	while (!aws_is_interrupted(a)) {
		uint64_t now = clock_us();
		if (now >= end)
			return true;
		uint64_t left_ms = (end - now + MS - 1) / MS;
		(void)poll(NULL, 0, left_ms < STEP_MS ? (int)left_ms : STEP_MS);
	}
	return false;
}

/* ---- a call, over its attempts ---- */

static void end_call(struct flight *f, const char *code, const char *why)
{
	f->state = FLIGHT_DONE;
	f->call->ok = false;
	str_copy(f->call->code, sizeof f->call->code, str_of(code));
	str_copy(f->call->message, sizeof f->call->message, str_of(why));
}

static void begin(struct aws *a, struct flight *f)
{
	f->call->answer_bytes = 0;
	f->attempts++;
	const char *problem = flight_prepare(a, f);
	if (!problem && curl_multi_add_handle(a->multi, f->easy) != CURLM_OK)
		problem = "out of memory";
	if (problem) {
		char why[AWS_WHY];
		str_copy(why, sizeof why, str_of(problem));
		flight_drop(a, f);
		end_call(f, "NotSent", why);
		return;
	}
	f->state = FLIGHT_RUNNING;
}

/* Full jitter: anything from nothing to the pause that doubles. */
static uint64_t pause_us(struct aws *a, unsigned n, uint64_t first_us, uint64_t most_us)
{
	uint64_t us = first_us;
	while (n-- > 1 && us < most_us)
		us *= 2;
	return rand_below(&a->rand, us < most_us ? us : most_us) + 1;
}

/* An instance's credentials that have ended are asked for anew, once more in vain is enough. */
static bool renewed(struct aws *a, struct flight *f)
{
	if (!a->credentials.of_instance || f->attempts > 2 ||
		!aws_code_is(f->call->code, "ExpiredToken ExpiredTokenException RequestExpired"))
		return false;
	a->credentials.expires_s = 0;
	return true;
}

static void wait_again(struct aws *a, struct flight *f, uint64_t us)
{
	uint64_t now = clock_us();
	f->state = FLIGHT_WAITING;
	f->begin_us = now + us;
	if (!f->again_since_us)
		f->again_since_us = now;
	if (aws_is_interrupted(a))
		f->state = FLIGHT_DONE;
}

/* A host that nobody knows is one of a wrong region, unless it has answered before. */
static unsigned most_attempts(const struct aws *a, const struct flight *f, CURLcode result)
{
	bool unknown = result == CURLE_COULDNT_RESOLVE_HOST && !a->answered[f->call->service];
	return unknown && a->attempts > AWS_RESOLVES ? AWS_RESOLVES : a->attempts;
}

static void end_attempt(struct aws *a, struct flight *f, CURLcode result)
{
	long status = 0;
	bool sent = result == CURLE_OK;
	curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
	f->call->status = (int)status;
	f->call->attempts = f->attempts;
	a->answered[f->call->service] |= sent;
	flight_drop(a, f);
	f->state = FLIGHT_DONE;
	switch (aws_judge(f->call, sent ? NULL : curl_easy_strerror(result))) {
	case AWS_OK:
		break;
	case AWS_AGAIN:
		if (f->attempts < most_attempts(a, f, result))
			wait_again(a, f, pause_us(a, f->attempts, AGAIN_MS * MS, AGAIN_MAX_S * S));
		break;
	case AWS_LATER:
		if (!f->passing_since_us)
			f->passing_since_us = clock_us();
		f->attempts = 0;
		if (clock_us() - f->passing_since_us < AWS_PASSING_S * S)
			wait_again(a, f, pause_us(a, ++f->laters, LATER_MS * MS, LATER_MAX_S * S));
		break;
	case AWS_FAILED:
		if (renewed(a, f))
			wait_again(a, f, 0);
		break;
	}
}

/* ---- all calls ---- */

struct sky {
	struct flight *flights; /* owned */
	size_t n, running, done;
	uint64_t next_us; /* when the next one that waits begins */
	bool told;        /* that something does not answer */
	bool told_again;  /* what is tried again */
	uint64_t sent_us; /* when it was told how much is sent */
};

static void survey(struct sky *s)
{
	s->running = s->done = 0;
	s->next_us = UINT64_MAX;
	for (size_t i = 0; i < s->n; i++) {
		const struct flight *f = &s->flights[i];
		s->running += f->state == FLIGHT_RUNNING;
		s->done += f->state == FLIGHT_DONE;
		if (f->state == FLIGHT_WAITING && f->begin_us < s->next_us)
			s->next_us = f->begin_us;
	}
}

static void begin_due(struct aws *a, struct sky *s)
{
	uint64_t now = clock_us();
	bool interrupted = aws_is_interrupted(a);
	for (size_t i = 0; i < s->n; i++) {
		struct flight *f = &s->flights[i];
		if (f->state != FLIGHT_WAITING)
			continue;
		if (interrupted && f->attempts)
			f->state = FLIGHT_DONE; /* its last answer stands */
		else if (interrupted)
			end_call(f, "NotSent", "interrupted");
		else if (f->begin_us <= now && s->running < AWS_PARALLEL) {
			begin(a, f);
			s->running += f->state == FLIGHT_RUNNING;
		}
	}
}

static void take_answers(struct aws *a)
{
	CURLMsg *m;
	int left;
	while ((m = curl_multi_info_read(a->multi, &left))) {
		struct flight *f;
		CURLcode result = m->data.result;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&f);
		end_attempt(a, f, result);
	}
}

static void tell_silence(struct aws *a, struct sky *s)
{
	char url[AWS_URL], text[AWS_WHY];
	for (size_t i = 0; i < s->n && a->on_wait && !s->told; i++) {
		const struct flight *f = &s->flights[i];
		if (f->state != FLIGHT_WAITING || strcmp(f->call->code, "NoAnswer") != 0)
			continue;
		s->told = true;
		if (!aws_endpoint(f->call->service, a->credentials.region, url, text))
			return;
		snprintf(text, sizeof text, "%.200s does not answer (%.200s): trying again", url,
			f->call->message);
		a->on_wait(a->user, text);
	}
}

static void tell_wait(struct aws *a, struct sky *s)
{
	char what[AWS_WHY], text[AWS_WHY];
	for (size_t i = 0; i < s->n && a->on_wait && !s->told_again; i++) {
		const struct flight *f = &s->flights[i];
		const char *about = f->call->about;
		if (f->state != FLIGHT_WAITING || !f->again_since_us || !strcmp(f->call->code, "NoAnswer") ||
			clock_us() - f->again_since_us < PATIENCE_S * S)
			continue;
		s->told_again = true;
		aws_describe(f->call, what);
		snprintf(text, sizeof text, "trying again%s%.180s: %.300s", about ? " to " : "",
			about ? about : "", what);
		a->on_wait(a->user, text);
	}
}

static void tell_sent(struct aws *a, struct sky *s)
{
	uint64_t sent = 0, all = 0, now = clock_us();
	if (!a->on_sent || now - s->sent_us < SENT_MS * MS)
		return;
	s->sent_us = now;
	for (size_t i = 0; i < s->n; i++) {
		const struct flight *f = &s->flights[i];
		if (f->call->file < 0)
			continue;
		sent += (uint64_t)f->sent;
		all += f->call->file_bytes;
	}
	if (all)
		a->on_sent(a->user, sent, all);
}

/* A file may take as long as it likes, and what has come of it is seen: it is looked for, or taken away. A
 * call that makes a machine, which nobody would know of, runs to its end. */
static void give_up_files(struct aws *a, struct sky *s)
{
	for (size_t i = 0; i < s->n; i++) {
		struct flight *f = &s->flights[i];
		if (f->state != FLIGHT_RUNNING || f->call->file < 0)
			continue;
		flight_drop(a, f);
		end_call(f, "Interrupted", "the upload was given up");
		f->call->unsure = true;
	}
}

static int poll_ms(const struct sky *s)
{
	uint64_t now = clock_us();
	uint64_t ms = s->next_us <= now ? 0 : (s->next_us - now) / MS + 1;
	return ms < STEP_MS && s->running < AWS_PARALLEL ? (int)ms : STEP_MS;
}

static void fly(struct aws *a, struct sky *s)
{
	for (;;) {
		int active;
		survey(s);
		begin_due(a, s);
		if (aws_is_interrupted(a))
			give_up_files(a, s);
		survey(s);
		if (s->done == s->n || (a->impatient && aws_is_interrupted(a)))
			return;
		(void)curl_multi_perform(a->multi, &active);
		take_answers(a);
		tell_silence(a, s);
		tell_wait(a, s);
		tell_sent(a, s);
		survey(s);
		if (s->done < s->n && (s->running || s->next_us != UINT64_MAX))
			(void)curl_multi_poll(a->multi, NULL, 0, poll_ms(s), NULL);
	}
}

int aws_run(struct aws *a, struct aws_call *const *calls, size_t n)
{
	struct sky s = { .n = n, .flights = calloc(n ? n : 1, sizeof(struct flight)) };
	const struct aws_call *failed = NULL;
	bool sealed = s.flights != NULL;
	for (size_t i = 0; i < n && sealed; i++) {
		s.flights[i].call = calls[i];
		sealed = aws_call_seal(calls[i]);
	}
	if (!sealed) {
		free(s.flights);
		snprintf(a->why, sizeof a->why, "out of memory");
		return -1;
	}
	fly(a, &s);
	for (size_t i = 0; i < n; i++) {
		flight_drop(a, &s.flights[i]);
		if (!calls[i]->ok && !failed)
			failed = calls[i];
	}
	free(s.flights);
	if (failed)
		aws_explain(a, failed, a->why);
	return failed ? -1 : 0;
}
