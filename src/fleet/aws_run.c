/* The calls under way.
 *
 *          begin           answer               not worth another try
 *  WAITING ────▶ RUNNING ─────────▶ judged ─────────────────────▶ DONE
 *     ▲                               │ throttled, lost, passes by itself
 *     └───────────── pause ───────────┘
 */
#include "fleet/aws.h"

#include "fleet/curl_load.h"

#include <curl/curl.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define MS 1000ull
#define S  1000000ull

enum state { WAITING, RUNNING, DONE };

enum {
	CONNECT_TIMEOUT_S = 5,
	SILENCE_S = 30,   /* for which nothing may come or go */
	EXPECT_MS = 200,  /* how long a large body waits for a word that it is welcome */
	STEP_MS = 50,     /* how soon an interruption is noticed */
	AGAIN_MS = 200,   /* the longest first pause; it doubles … */
	AGAIN_MAX_S = 20, /* … up to this */
	LATER_MS = 1000,  /* likewise for what passes by itself */
	LATER_MAX_S = 5,
};

struct flight {
	struct aws_call *call; /* borrowed */
	enum state state;
	CURL *easy;                 /* owned while RUNNING */
	struct curl_slist *headers; /* owned while RUNNING */
	uint64_t begin_us;          /* not before */
	uint64_t passing_since_us;  /* 0: not yet */
	unsigned attempts, laters;
	off_t sent; /* of the file */
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

/* ---- one request ---- */

static size_t on_data(char *data, size_t size, size_t n, void *user)
{
	struct aws_call *c = user;
	size_t len = size * n;
	if (len > AWS_ANSWER_MAX - c->answer_bytes)
		return 0;
	char *bigger = realloc(c->answer, c->answer_bytes + len + 1);
	if (!bigger)
		return 0;
	c->answer = bigger;
	memcpy(c->answer + c->answer_bytes, data, len);
	c->answer_bytes += len;
	c->answer[c->answer_bytes] = '\0';
	return len;
}

static size_t on_send(char *to, size_t size, size_t n, void *user)
{
	struct flight *f = user;
	ssize_t got = pread(f->call->file, to, size * n, f->sent);
	if (got < 0)
		return CURL_READFUNC_ABORT;
	f->sent += got;
	return (size_t)got;
}

static bool add_header(struct flight *f, const char *name, const char *value)
{
	char line[AWS_TOKEN + 64];
	snprintf(line, sizeof line, "%s: %s", name, value);
	struct curl_slist *longer = curl_slist_append(f->headers, line);
	explicit_bzero(line, sizeof line);
	if (!longer)
		return false;
	f->headers = longer;
	return true;
}

static bool add_headers(const struct aws *a, struct flight *f)
{
	const struct aws_call *c = f->call;
	bool ok = !c->type || add_header(f, "Content-Type", c->type);
	ok = ok && (!a->credentials.token[0] || add_header(f, "X-Amz-Security-Token", a->credentials.token));
	ok = ok && (c->service != AWS_S3 || add_header(f, "x-amz-content-sha256", c->sha256));
	ok = ok && (!c->tagging || add_header(f, "x-amz-tagging", c->tagging));
	if (c->service == AWS_SSM) {
		char target[64];
		snprintf(target, sizeof target, "AmazonSSM.%s", c->what);
		ok = ok && add_header(f, "X-Amz-Target", target);
	}
	return ok;
}

static void set_body(struct flight *f)
{
	const struct aws_call *c = f->call;
	if (c->file >= 0) {
		f->sent = 0;
		curl_easy_setopt(f->easy, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(f->easy, CURLOPT_READFUNCTION, on_send);
		curl_easy_setopt(f->easy, CURLOPT_READDATA, f);
		curl_easy_setopt(f->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)c->file_bytes);
	} else if (c->type) { /* S3 wants to be told the length of nothing, too */
		curl_easy_setopt(f->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->body_bytes);
		curl_easy_setopt(f->easy, CURLOPT_POSTFIELDS, c->body);
		curl_easy_setopt(f->easy, CURLOPT_CUSTOMREQUEST, c->method);
	} else if (!strcmp(c->method, "HEAD")) {
		curl_easy_setopt(f->easy, CURLOPT_NOBODY, 1L);
	} else {
		curl_easy_setopt(f->easy, CURLOPT_CUSTOMREQUEST, c->method);
	}
}

/* NULL, or why it cannot be sent. */
static const char *prepare(struct aws *a, struct flight *f)
{
	const struct aws_call *c = f->call;
	const char *region = aws_signing_region(c->service, a->credentials.region);
	char url[AWS_URL + 1536], sign[96];
	if (!aws_endpoint(c->service, a->credentials.region, url, a->why) ||
		!aws_credentials_refresh(&a->credentials, a->why))
		return a->why;
	size_t n = strlen(url);
	if (snprintf(url + n, sizeof url - n, "%s", c->path) >= (int)(sizeof url - n))
		return "the URL would be too long";
	f->easy = curl_easy_init();
	if (!f->easy || !add_headers(a, f))
		return "out of memory";
	snprintf(sign, sizeof sign, "aws:amz:%s:%s", region, aws_service_name(c->service));
	curl_easy_setopt(f->easy, CURLOPT_URL, url);
	curl_easy_setopt(f->easy, CURLOPT_AWS_SIGV4, sign);
	curl_easy_setopt(f->easy, CURLOPT_USERNAME, a->credentials.access_key);
	curl_easy_setopt(f->easy, CURLOPT_PASSWORD, a->credentials.secret);
	curl_easy_setopt(f->easy, CURLOPT_HTTPHEADER, f->headers);
	curl_easy_setopt(f->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(f->easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(f->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(f->easy, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
	curl_easy_setopt(f->easy, CURLOPT_EXPECT_100_TIMEOUT_MS, (long)EXPECT_MS);
	curl_easy_setopt(f->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(f->easy, CURLOPT_LOW_SPEED_TIME, (long)SILENCE_S);
	curl_easy_setopt(f->easy, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(f->easy, CURLOPT_WRITEDATA, f->call);
	curl_easy_setopt(f->easy, CURLOPT_PRIVATE, f);
	set_body(f);
	return NULL;
}

static void drop_request(struct aws *a, struct flight *f)
{
	if (f->easy && f->state == RUNNING)
		curl_multi_remove_handle(a->multi, f->easy);
	curl_easy_cleanup(f->easy);
	curl_slist_free_all(f->headers);
	f->easy = NULL;
	f->headers = NULL;
}

/* ---- a call, over its attempts ---- */

static void end_unsent(struct flight *f, const char *why)
{
	f->state = DONE;
	f->call->ok = false;
	str_copy(f->call->code, sizeof f->call->code, STR("NotSent"));
	str_copy(f->call->message, sizeof f->call->message, str_of(why));
}

static void begin(struct aws *a, struct flight *f)
{
	f->call->answer_bytes = 0;
	f->attempts++;
	const char *problem = prepare(a, f);
	if (!problem && curl_multi_add_handle(a->multi, f->easy) != CURLM_OK)
		problem = "out of memory";
	if (problem) {
		char why[AWS_WHY];
		str_copy(why, sizeof why, str_of(problem));
		drop_request(a, f);
		end_unsent(f, why);
		return;
	}
	f->state = RUNNING;
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
	f->state = WAITING;
	f->begin_us = clock_us() + us;
	if (aws_is_interrupted(a))
		f->state = DONE;
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
	drop_request(a, f);
	f->state = DONE;
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
};

static void survey(struct sky *s)
{
	s->running = s->done = 0;
	s->next_us = UINT64_MAX;
	for (size_t i = 0; i < s->n; i++) {
		const struct flight *f = &s->flights[i];
		s->running += f->state == RUNNING;
		s->done += f->state == DONE;
		if (f->state == WAITING && f->begin_us < s->next_us)
			s->next_us = f->begin_us;
	}
}

static void begin_due(struct aws *a, struct sky *s)
{
	uint64_t now = clock_us();
	bool interrupted = aws_is_interrupted(a);
	for (size_t i = 0; i < s->n; i++) {
		struct flight *f = &s->flights[i];
		if (f->state != WAITING)
			continue;
		if (interrupted && f->attempts)
			f->state = DONE; /* its last answer stands */
		else if (interrupted)
			end_unsent(f, "interrupted");
		else if (f->begin_us <= now && s->running < AWS_PARALLEL) {
			begin(a, f);
			s->running += f->state == RUNNING;
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
	for (size_t i = 0; i < s->n && a->on_silence && !s->told; i++) {
		const struct flight *f = &s->flights[i];
		if (f->state != WAITING || strcmp(f->call->code, "NoAnswer") != 0)
			continue;
		s->told = true;
		if (!aws_endpoint(f->call->service, a->credentials.region, url, text))
			return;
		snprintf(text, sizeof text, "%.200s does not answer (%.200s): trying again", url,
			f->call->message);
		a->on_silence(a->user, text);
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
		survey(s);
		if (s->done == s->n || (a->impatient && aws_is_interrupted(a)))
			return;
		(void)curl_multi_perform(a->multi, &active);
		take_answers(a);
		tell_silence(a, s);
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
		drop_request(a, &s.flights[i]);
		if (!calls[i]->ok && !failed)
			failed = calls[i];
	}
	free(s.flights);
	if (failed)
		aws_explain(a, failed, a->why);
	return failed ? -1 : 0;
}
