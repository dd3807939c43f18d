#include "fleet/engine.h"

#include "base/str.h"
#include "fleet/curl_load.h"

#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	LOOK_MS = 100,
	CONNECT_MS = 10 * 1000,
	SILENCE_S = 5 * 60,
	LINE_MAX_BYTES = 1 << 20,
	/* The newest version that what is asked for here was tried with, and the oldest that has all of it.
	 */
	VERSION_NEWEST = 44,
	VERSION_OLDEST = 41,
};

/* A call that runs. */
struct transfer {
	struct engine_call *call; /* borrowed */
	CURL *curl;               /* owned */
	struct curl_slist *head;  /* owned */
	uint64_t sent;            /* of the file */
	size_t cap;               /* of the answer, or of the line that has begun */
};

/* ---- calls ---- */

void engine_call_init(struct engine_call *c, const char *method, const char *path, ...)
{
	va_list ap;
	*c = (struct engine_call){ .method = method, .file = -1 };
	va_start(ap, path);
	int n = vsnprintf(c->path, sizeof c->path, path, ap);
	va_end(ap);
	CHECK(n >= 0 && n < (int)sizeof c->path);
}

void engine_call_finish(struct engine_call *c)
{
	free(c->answer);
	c->answer = NULL;
	c->answer_bytes = 0;
}

static void fail(struct engine_call *c, const char *fmt, ...) PRINTF(2, 3);
static void fail(struct engine_call *c, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(c->why, sizeof c->why, fmt, ap);
	va_end(ap);
	for (char *p = c->why; *p; p++) {
		if ((unsigned char)*p < ' ')
			*p = ' '; /* it stays one line */
	}
}

/* ---- what comes ---- */

static bool append(struct transfer *t, const char *bytes, size_t n)
{
	struct engine_call *c = t->call;
	size_t limit = c->on_line ? LINE_MAX_BYTES : ENGINE_ANSWER_MAX;
	if (n > limit - c->answer_bytes)
		return false;
	if (t->cap < c->answer_bytes + n + 1) {
		size_t cap = 2 * (c->answer_bytes + n + 1);
		char *answer = realloc(c->answer, cap);
		if (!answer)
			return false;
		c->answer = answer;
		t->cap = cap;
	}
	memcpy(c->answer + c->answer_bytes, bytes, n);
	c->answer_bytes += n;
	c->answer[c->answer_bytes] = '\0';
	return true;
}

/* An error in the midst of a stream: {"errorDetail":{"message":"…"},"error":"…"}. */
static void take_line(struct engine_call *c)
{
	json_t *root = json_loads(c->answer, 0, NULL);
	const char *error = json_string_value(json_object_get(root, "error"));
	if (error)
		fail(c, "%s", error);
	else
		c->on_line(c, c->answer);
	json_decref(root);
	c->answer_bytes = 0;
}

static size_t on_data(char *bytes, size_t size, size_t n, void *user)
{
	struct transfer *t = user;
	struct str rest = { bytes, n };
	long status = 0;
	(void)curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
	if (!t->call->on_line || status != 200)
		return append(t, bytes, n) ? n : 0;
	while (rest.len) {
		const char *end = memchr(rest.ptr, '\n', rest.len);
		size_t piece = end ? (size_t)(end - rest.ptr) : rest.len;
		if (!append(t, rest.ptr, piece))
			return 0;
		if (end && t->call->answer_bytes)
			take_line(t->call);
		rest = str_skip(rest, piece + (end != NULL));
	}
	return n;
}

static size_t on_upload(char *to, size_t size, size_t room, void *user)
{
	struct transfer *t = user;
	ssize_t n = pread(t->call->file, to, room, (off_t)t->sent);
	if (n < 0)
		return CURL_READFUNC_ABORT;
	t->sent += (uint64_t)n;
	return (size_t)n;
}

/* ---- setting one up ---- */

static void set_body(struct transfer *t)
{
	struct engine_call *c = t->call;
	char type[100];
	if (!c->type)
		return;
	snprintf(type, sizeof type, "Content-Type: %s", c->type);
	t->head = curl_slist_append(NULL, type);
	t->head = curl_slist_append(t->head, "Expect:");
	curl_easy_setopt(t->curl, CURLOPT_HTTPHEADER, t->head);
	if (c->file_bytes) {
		curl_easy_setopt(t->curl, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(t->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)c->file_bytes);
		curl_easy_setopt(t->curl, CURLOPT_READFUNCTION, on_upload);
		curl_easy_setopt(t->curl, CURLOPT_READDATA, t);
	} else {
		curl_easy_setopt(t->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->body_bytes);
		curl_easy_setopt(t->curl, CURLOPT_POSTFIELDS, c->body ? c->body : "");
	}
}

static bool transfer_start(struct transfer *t, struct engine *e, struct engine_call *c, CURLM *multi)
{
	char url[ENGINE_WHERE + ENGINE_PATH];
	*t = (struct transfer){ .call = c, .curl = curl_easy_init() };
	c->status = 0;
	c->why[0] = '\0';
	engine_call_finish(c);
	if (!t->curl)
		return false;
	snprintf(url, sizeof url, "%s%s", e->base, c->path);
	curl_easy_setopt(t->curl, CURLOPT_URL, url);
	curl_easy_setopt(t->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(t->curl, CURLOPT_PROXY, "");
	curl_easy_setopt(t->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	if (e->socket[0])
		curl_easy_setopt(t->curl, CURLOPT_UNIX_SOCKET_PATH, e->socket);
	if (!c->endless) {
		curl_easy_setopt(t->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
		curl_easy_setopt(t->curl, CURLOPT_LOW_SPEED_TIME, e->silence_s);
	}
	curl_easy_setopt(t->curl, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(t->curl, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(t->curl, CURLOPT_PRIVATE, t);
	set_body(t);
	curl_easy_setopt(t->curl, CURLOPT_CUSTOMREQUEST, c->method);
	return curl_multi_add_handle(multi, t->curl) == CURLM_OK;
}

static void transfer_finish(struct transfer *t, CURLM *multi)
{
	if (t->curl) {
		(void)curl_multi_remove_handle(multi, t->curl);
		curl_easy_cleanup(t->curl);
	}
	curl_slist_free_all(t->head);
	*t = (struct transfer){ 0 };
}

/* ---- the end of one ---- */

static void explain_no_connection(const struct engine *e, struct engine_call *c, int err)
{
	if (err == EACCES || err == EPERM)
		fail(c, "%s: %s: the Docker Engine's socket is open to root and the group docker", e->where,
			strerror(err));
	else
		fail(c, "no Docker Engine at %s: %s; is it running? DOCKER_HOST names another", e->where,
			err ? strerror(err) : "no connection");
}

static void explain(const struct engine *e, struct transfer *t, CURLcode result)
{
	struct engine_call *c = t->call;
	long err = 0;
	if (result == CURLE_COULDNT_CONNECT || result == CURLE_COULDNT_RESOLVE_HOST) {
		(void)curl_easy_getinfo(t->curl, CURLINFO_OS_ERRNO, &err);
		explain_no_connection(e, c, (int)err);
	} else if (!c->why[0]) {
		fail(c, "the Docker Engine at %s: %s %s: %s", e->where, c->method, c->path,
			result == CURLE_WRITE_ERROR ? "the answer is too long" : curl_easy_strerror(result));
	}
}

/* The engine's own words: {"message": "…"}. */
static void explain_status(struct engine_call *c)
{
	json_t *root = c->answer ? json_loads(c->answer, 0, NULL) : NULL;
	const char *message = json_string_value(json_object_get(root, "message"));
	if (message)
		fail(c, "%s", message);
	else
		fail(c, "the Docker Engine answers %s %s with status %d", c->method, c->path, c->status);
	json_decref(root);
}

static void transfer_end(struct engine *e, struct transfer *t, CURLcode result)
{
	struct engine_call *c = t->call;
	long status = 0;
	(void)curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
	c->status = result == CURLE_OK ? (int)status : 0;
	if (result != CURLE_OK)
		explain(e, t, result);
	else if (status < 200 || (status > 299 && status != 304))
		explain_status(c);
	else if (c->on_line && c->answer_bytes)
		take_line(c); /* the last line had no end */
	if (c->on_done)
		c->on_done(c);
}

/* ---- running ---- */

struct run {
	struct engine *engine;
	CURLM *multi;
	struct transfer transfers[ENGINE_AT_ONCE];
	size_t running;
};

static void start_next(struct run *r, struct engine_call *c)
{
	for (size_t i = 0; i < ENGINE_AT_ONCE; i++) {
		struct transfer *t = &r->transfers[i];
		if (t->call)
			continue;
		if (transfer_start(t, r->engine, c, r->multi)) {
			r->running++;
		} else {
			fail(c, "out of memory");
			transfer_finish(t, r->multi);
		}
		return;
	}
}

static void take_ended(struct run *r)
{
	CURLMsg *message;
	int left;
	while ((message = curl_multi_info_read(r->multi, &left))) {
		struct transfer *t = NULL;
		CURLcode result = message->data.result;
		(void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &t);
		transfer_end(r->engine, t, result);
		transfer_finish(t, r->multi);
		r->running--;
	}
}

/* Streams, and what may last. Other calls come to their end soon, and what the engine has begun, it does in
 * any case: better that it is known. */
static void give_up(struct run *r)
{
	for (size_t i = 0; i < ENGINE_AT_ONCE; i++) {
		struct transfer *t = &r->transfers[i];
		if (!t->call || !(t->call->on_line || t->call->endless))
			continue;
		fail(t->call, "interrupted");
		t->call->status = 0;
		transfer_finish(t, r->multi);
		r->running--;
	}
}

bool engine_run(struct engine *e, struct engine_call *calls, size_t n)
{
	struct run r = { .engine = e, .multi = curl_multi_init() };
	size_t next = 0;
	int running;
	bool ok = r.multi;
	while (ok && (r.running || next < n)) {
		bool over = e->is_over && e->is_over(e->user);
		if (over)
			give_up(&r);
		while (next < n && !over && r.running < ENGINE_AT_ONCE)
			start_next(&r, &calls[next++]);
		for (; over && next < n; next++)
			fail(&calls[next], "interrupted");
		(void)curl_multi_perform(r.multi, &running);
		take_ended(&r);
		if (r.running)
			(void)curl_multi_poll(r.multi, NULL, 0, LOOK_MS, NULL);
	}
	for (size_t i = 0; i < n; i++) {
		if (!r.multi)
			fail(&calls[i], "out of memory");
		ok = ok && !calls[i].why[0];
	}
	if (r.multi)
		(void)curl_multi_cleanup(r.multi);
	return ok;
}

/* ---- which engine ---- */

static bool parse_host(struct engine *e, const char *host, char why[ENGINE_WHY])
{
	struct str rest = str_of(host);
	if (str_starts(rest, STR("unix://"))) {
		rest = str_skip(rest, sizeof "unix://" - 1);
		snprintf(e->base, sizeof e->base, "http://localhost");
		str_copy(e->socket, sizeof e->socket, rest);
	} else if (str_starts(rest, STR("tcp://"))) {
		rest = str_skip(rest, sizeof "tcp://" - 1);
		while (rest.len && rest.ptr[rest.len - 1] == '/')
			rest.len--;
		snprintf(e->base, sizeof e->base, "http://" STR_FMT, STR_ARG(rest));
	} else {
		rest.len = 0;
	}
	str_copy(e->where, sizeof e->where, rest);
	if (rest.len && rest.len < sizeof e->where - sizeof "http:///v1.99")
		return true;
	snprintf(why, ENGINE_WHY, "DOCKER_HOST: expected unix:///PATH or tcp://HOST:PORT, found \"%.200s\"",
		host);
	return false;
}

/* The version that both speak: 1.41 is Docker 20.10. */
static bool choose_version(struct engine *e, const char *answer, char why[ENGINE_WHY])
{
	json_t *root = answer ? json_loads(answer, 0, NULL) : NULL;
	const char *text = json_string_value(json_object_get(root, "ApiVersion"));
	unsigned major = 0, minor = 0;
	bool known = text && sscanf(text, "%u.%u", &major, &minor) == 2;
	bool ok = known && major == 1 && minor >= VERSION_OLDEST;
	size_t n = strlen(e->base);
	if (ok)
		snprintf(e->base + n, sizeof e->base - n, "/v1.%u",
			minor < VERSION_NEWEST ? minor : VERSION_NEWEST);
	else if (known)
		snprintf(why, ENGINE_WHY,
			"the Docker Engine at %s speaks version %s of its API, and 1.%d is needed (Docker "
			"20.10)",
			e->where, text, VERSION_OLDEST);
	else
		snprintf(why, ENGINE_WHY, "what answers at %s is no Docker Engine", e->where);
	json_decref(root);
	return ok;
}

bool engine_open(
	struct engine *e, const char *host, bool (*is_over)(void *user), void *user, char why[ENGINE_WHY])
{
	char load_why[CURL_LOAD_WHY];
	struct engine_call version;
	if (!host || !*host)
		host = getenv("DOCKER_HOST");
	if (!host || !*host)
		host = "unix:///var/run/docker.sock";
	*e = (struct engine){ .silence_s = SILENCE_S, .is_over = is_over, .user = user };
	if (!parse_host(e, host, why))
		return false;
	if (!curl_load(load_why)) {
		snprintf(why, ENGINE_WHY, "%s", load_why);
		return false;
	}
	engine_call_init(&version, "GET", "/version");
	bool ok = engine_run(e, &version, 1);
	if (ok)
		ok = choose_version(e, version.answer, why);
	else
		snprintf(why, ENGINE_WHY, "%s", version.why);
	engine_call_finish(&version);
	return ok;
}
