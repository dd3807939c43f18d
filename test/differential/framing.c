/* framing: where messages begin and end as src/http reads them, for the test that holds this against another
 * parser.
 *
 * Standard input: inputs, each four bytes of its length (little endian) and so many bytes: what a client
 * sends over one connection. Standard output: a line each, for every request "head body next keep; ": bytes
 * of its head, of its payload, where the next request begins, whether the connection goes on; then how it
 * ended: "end" (nothing is left, or it must not go on), "more" (another byte is waited for), or "bad STATUS
 * TEXT". CONNECT is refused, as the gateway does.
 */
#include "base/check.h"
#include "http/body.h"
#include "http/parse.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>

enum { HEAD_MAX = 16 * 1024, INPUT_MAX = 1024 * 1024 };

static struct http_head head;

/* PARSE_OK: *ret_used bytes of `in` were the body. */
static enum parse_status read_body(struct str in, size_t *ret_used, uint64_t *ret_payload)
{
	struct http_body body;
	enum parse_status s = PARSE_MORE;
	size_t at = 0;
	*ret_payload = 0;
	http_body_init(&body, &head);
	do {
		size_t used;
		struct str payload;
		s = http_body_feed(&body, in.ptr + at, in.len - at, &used, &payload);
		at += used;
		*ret_payload += payload.len;
	} while (s == PARSE_MORE && at < in.len);
	*ret_used = at;
	return s;
}

/* The request at the beginning of `in`, printed, or why there is none; the number of its bytes, 0 at the end.
 */
static size_t print_request(struct str in, size_t at)
{
	size_t used = 0;
	uint64_t payload = 0;
	enum parse_status s = http_parse_request(in.ptr, in.len, HEAD_MAX, &head);
	if (s == PARSE_BAD) {
		printf("bad %d %s\n", parse_error_status(head.error), parse_error_text(head.error));
		return 0;
	}
	if (s == PARSE_OK && head.method == HTTP_CONNECT) {
		puts("bad 501 CONNECT is not supported");
		return 0;
	}
	if (s == PARSE_OK)
		s = read_body(str_skip(in, head.bytes), &used, &payload);
	if (s != PARSE_OK) {
		puts(s == PARSE_MORE ? "more" : "bad 400 the body's framing is broken");
		return 0;
	}
	used += head.bytes;
	printf("%zu %llu %zu %d; ", head.bytes, (unsigned long long)payload, at + used, head.keep_alive);
	return used;
}

static void print_framing(struct str in)
{
	for (size_t at = 0; at < in.len;) {
		size_t used = print_request(str_skip(in, at), at);
		if (!used)
			return;
		at += used;
		if (!head.keep_alive || head.upgrade)
			break;
	}
	puts("end");
}

int main(void)
{
	static char bytes[INPUT_MAX];
	uint32_t len;
	while (fread(&len, sizeof len, 1, stdin) == 1) {
		len = le32toh(len);
		CHECK(len <= INPUT_MAX && fread(bytes, 1, len, stdin) == len);
		char *copy = malloc(len ? len : 1); /* of its own size, so that a read past it is seen */
		CHECK(copy);
		memcpy(copy, bytes, len);
		print_framing((struct str){ copy, len });
		free(copy);
	}
	return 0;
}
