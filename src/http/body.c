/* The chunked reader (RFC 9112 §7.1):
 *
 *   SIZE ─hex─▶ SIZE_MORE ─────┬─CR─▶ SIZE_LF ─┬─size > 0─▶ DATA ─▶ DATA_CR ─▶ DATA_LF ─▶ SIZE
 *                └─▶ SIZE_BLANK ─;─▶ EXTENSION ┘            └─size 0─▶ TRAILER
 *   TRAILER ─token─▶ TRAILER_NAME ─:─▶ TRAILER_VALUE ─CR─▶ TRAILER_LF ─▶ TRAILER
 *      └─CR─▶ END_LF ─▶ END
 */
#include "http/body.h"

#include "http/chars.h"

enum { SIZE_LINE_BYTES_MAX = 256, TRAILERS_BYTES_MAX = 4096 };

enum state {
	SIZE,
	SIZE_MORE,
	SIZE_BLANK,
	EXTENSION,
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	TRAILER,
	TRAILER_NAME,
	TRAILER_VALUE,
	TRAILER_LF,
	END_LF,
	END,
	BROKEN,
};

void http_body_init(struct http_body *b, const struct http_head *head)
{
	*b = (struct http_body){
		.framing = head->framing,
		.state = SIZE,
		.left = head->framing == FRAMING_LENGTH ? head->content_length : 0,
	};
}

bool http_body_is_done(const struct http_body *b)
{
	switch (b->framing) {
	case FRAMING_NONE:
		return true;
	case FRAMING_LENGTH:
		return b->left == 0;
	case FRAMING_CHUNKED:
		return b->state == END;
	case FRAMING_CLOSE:
		return false;
	}
	return false;
}

/* The state after CR, ';', a digit or another byte of the size's line. */
static enum state size_step(struct http_body *b, char c)
{
	int digit = char_hex(c);
	if (b->state != EXTENSION && b->state != SIZE_BLANK && digit >= 0) {
		if (b->left > INT64_MAX / 16)
			return BROKEN;
		b->left = b->left * 16 + (unsigned)digit;
		return SIZE_MORE;
	}
	if (b->state == SIZE)
		return BROKEN;
	if (b->state == EXTENSION)
		return c == '\r' ? SIZE_LF : char_is(c, STOP_VALUE) ? BROKEN : EXTENSION;
	if (c == ';')
		return EXTENSION;
	if (c == ' ' || c == '\t') /* allowed before an extension only */
		return SIZE_BLANK;
	return c == '\r' && b->state == SIZE_MORE ? SIZE_LF : BROKEN;
}

static enum state trailer_step(enum state state, char c)
{
	if (state == TRAILER && c == '\r')
		return END_LF;
	if (state == TRAILER_NAME && c == ':')
		return TRAILER_VALUE;
	if (state == TRAILER_VALUE)
		return c == '\r' ? TRAILER_LF : char_is(c, STOP_VALUE) ? BROKEN : TRAILER_VALUE;
	return char_is(c, CHAR_TOKEN) ? TRAILER_NAME : BROKEN;
}

static enum state count_line(struct http_body *b, enum state next, uint16_t max)
{
	return ++b->line_bytes > max ? BROKEN : next;
}

/* The state after one byte of framing; DATA is not fed here. */
static enum state step(struct http_body *b, char c)
{
	enum state state = b->state;
	switch (state) {
	case SIZE:
	case SIZE_MORE:
	case SIZE_BLANK:
	case EXTENSION:
		return count_line(b, size_step(b, c), SIZE_LINE_BYTES_MAX);
	case SIZE_LF:
		b->line_bytes = 0;
		return c != '\n' ? BROKEN : b->left ? DATA : TRAILER;
	case DATA_CR:
		return c == '\r' ? DATA_LF : BROKEN;
	case DATA_LF:
		return c == '\n' ? SIZE : BROKEN;
	case TRAILER:
	case TRAILER_NAME:
	case TRAILER_VALUE:
		return count_line(b, trailer_step(state, c), TRAILERS_BYTES_MAX);
	case TRAILER_LF:
		return c == '\n' ? TRAILER : BROKEN;
	case END_LF:
		return c == '\n' ? END : BROKEN;
	case DATA:
	case END:
	case BROKEN:
		break;
	}
	return BROKEN;
}

/* Takes what there is of the bytes that are left. */
static struct str take_left(struct http_body *b, const char *in, size_t len)
{
	size_t n = len < b->left ? len : (size_t)b->left;
	b->left -= n;
	return (struct str){ in, n };
}

static enum parse_status feed_chunked(
	struct http_body *b, const char *in, size_t len, size_t *ret_used, struct str *ret_payload)
{
	size_t i = 0;
	while (i < len && b->state != END && b->state != BROKEN) {
		if (b->state != DATA) {
			b->state = (uint8_t)step(b, in[i++]);
			continue;
		}
		if (ret_payload->len) /* one slice a call */
			break;
		*ret_payload = take_left(b, in + i, len - i);
		i += ret_payload->len;
		if (b->left == 0)
			b->state = DATA_CR;
	}
	*ret_used = i;
	return b->state == END ? PARSE_OK : b->state == BROKEN ? PARSE_BAD : PARSE_MORE;
}

enum parse_status http_body_feed(
	struct http_body *b, const char *in, size_t len, size_t *ret_used, struct str *ret_payload)
{
	*ret_used = 0;
	*ret_payload = (struct str){ in, 0 };
	switch (b->framing) {
	case FRAMING_NONE:
		return PARSE_OK;
	case FRAMING_LENGTH:
		*ret_payload = take_left(b, in, len);
		*ret_used = ret_payload->len;
		return b->left ? PARSE_MORE : PARSE_OK;
	case FRAMING_CHUNKED:
		return feed_chunked(b, in, len, ret_used, ret_payload);
	case FRAMING_CLOSE:
		*ret_payload = (struct str){ in, len };
		*ret_used = len;
		return PARSE_MORE;
	}
	return PARSE_BAD;
}
