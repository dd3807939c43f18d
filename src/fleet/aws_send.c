/* One attempt at a call, as libcurl wants it. */
#include "fleet/aws_flight.h"
#include "fleet/curl_load.h"

#include <curl/curl.h>
#include <nettle/base16.h>
#include <nettle/base64.h>
#include <nettle/sha2.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	CONNECT_TIMEOUT_S = 5,
	SILENCE_S = 30,  /* for which nothing may come or go */
	EXPECT_MS = 200, /* how long a large body waits for a word that it is welcome */
};

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

/* The SHA-256 as S3 reads it there: base64 of its bytes. */
static bool add_checksum(struct flight *f)
{
	struct base16_decode_ctx hex;
	uint8_t hash[BASE16_DECODE_LENGTH(2 * SHA256_DIGEST_SIZE)];
	char text[BASE64_ENCODE_RAW_LENGTH(SHA256_DIGEST_SIZE) + 1];
	size_t n = sizeof hash;
	base16_decode_init(&hex);
	int ok = base16_decode_update(&hex, &n, hash, 2 * SHA256_DIGEST_SIZE, f->call->sha256);
	CHECK(ok && n == SHA256_DIGEST_SIZE);
	base64_encode_raw(text, n, hash);
	text[sizeof text - 1] = '\0';
	return add_header(f, "x-amz-checksum-sha256", text);
}

static bool add_headers(const struct aws *a, struct flight *f)
{
	const struct aws_call *c = f->call;
	bool ok = !c->type || add_header(f, "Content-Type", c->type);
	ok = ok && (!a->credentials.token[0] || add_header(f, "X-Amz-Security-Token", a->credentials.token));
	ok = ok && (c->service != AWS_S3 || add_header(f, "x-amz-content-sha256", c->sha256));
	ok = ok && (!c->checksum || add_checksum(f));
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

const char *flight_prepare(struct aws *a, struct flight *f)
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

void flight_drop(struct aws *a, struct flight *f)
{
	if (f->easy && f->state == FLIGHT_RUNNING)
		curl_multi_remove_handle(a->multi, f->easy);
	curl_easy_cleanup(f->easy);
	curl_slist_free_all(f->headers);
	f->easy = NULL;
	f->headers = NULL;
}
