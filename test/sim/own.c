#include "own.h"

#include "base/check.h"
#include "base/str.h"

#include <stdint.h>
#include <string.h>

/* JSON (RFC 8259) as it goes by: only the members of the outermost object are kept. */
struct scan {
	const char *at, *end;
};

enum { DEPTH_MAX = 8 };

static void skip_blanks(struct scan *s)
{
	while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t'))
		s->at++;
}

static bool take(struct scan *s, char c)
{
	skip_blanks(s);
	if (s->at == s->end || *s->at != c)
		return false;
	s->at++;
	return true;
}

static bool take_word(struct scan *s, struct str word)
{
	if ((size_t)(s->end - s->at) < word.len || memcmp(s->at, word.ptr, word.len) != 0)
		return false;
	s->at += word.len;
	return true;
}

/* The text between the quotes, its escapes as they stand. */
static bool take_string(struct scan *s, struct str *ret)
{
	if (!take(s, '"'))
		return false;
	static const bool stops[256] = { [0 ... ' ' - 1] = true, ['"'] = true, ['\\'] = true };
	const char *from = s->at, *at = from, *end = s->end;
	for (;; at++) {
		while (at < end && !stops[(unsigned char)*at])
			at++;
		if (at == end || *at == '"')
			break;
		if ((unsigned char)*at < ' ' || ++at == end || !strchr("\"\\/bfnrtu", *at))
			return false;
	}
	s->at = at;
	*ret = (struct str){ from, (size_t)(s->at - from) };
	return take(s, '"');
}

static bool skip_digits(struct scan *s)
{
	const char *from = s->at;
	while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
		s->at++;
	return s->at > from;
}

static bool skip_number(struct scan *s)
{
	(void)take(s, '-');
	if (!take_word(s, STR("0")) && !skip_digits(s))
		return false;
	if (take_word(s, STR(".")) && !skip_digits(s))
		return false;
	if (take_word(s, STR("e")) || take_word(s, STR("E"))) {
		if (!take_word(s, STR("-")))
			(void)take_word(s, STR("+"));
		return skip_digits(s);
	}
	return true;
}

static bool skip_value(struct scan *s, int depth);

/* After the opening bracket. */
static bool skip_members(struct scan *s, int depth, bool named, char closing)
{
	struct str name;
	if (take(s, closing))
		return true;
	do {
		if ((named && (!take_string(s, &name) || !take(s, ':'))) || !skip_value(s, depth + 1))
			return false;
	} while (take(s, ','));
	return take(s, closing);
}

static bool skip_value(struct scan *s, int depth)
{
	struct str text;
	skip_blanks(s);
	if (s->at == s->end || depth == DEPTH_MAX)
		return false;
	switch (*s->at) {
	case '"':
		return take_string(s, &text);
	case '{':
		return take(s, '{') && skip_members(s, depth, true, '}');
	case '[':
		return take(s, '[') && skip_members(s, depth, false, ']');
	case 't':
		return take_word(s, STR("true"));
	case 'f':
		return take_word(s, STR("false"));
	case 'n':
		return take_word(s, STR("null"));
	default:
		return skip_number(s);
	}
}

/* ---- members ---- */

static bool copy_text(struct str value, char *ret, size_t size)
{
	if (value.len < 2 || value.ptr[0] != '"' || value.len - 2 >= size || *ret ||
		memchr(value.ptr, '\\', value.len))
		return false;
	memcpy(ret, value.ptr + 1, value.len - 2);
	ret[value.len - 2] = 0;
	return true;
}

static bool copy_number(struct str value, int64_t *ret)
{
	uint64_t v;
	if (*ret != -1 || !str_to_u64(value, &v) || v > INT64_MAX)
		return false;
	*ret = (int64_t)v;
	return true;
}

/* Members that are of no interest are passed over; those that are stand there once. */
static bool keep_member(struct own_answer *a, struct str name, struct str value)
{
	const struct {
		struct str name;
		char *into;
		size_t size;
	} texts[] = {
		{ STR("type"), a->type, sizeof a->type },
		{ STR("message"), a->message, sizeof a->message },
		{ STR("id"), a->id, sizeof a->id },
		{ STR("state"), a->state, sizeof a->state },
		{ STR("reason"), a->reason, sizeof a->reason },
		{ STR("status_url"), a->status_url, sizeof a->status_url },
		{ STR("result_url"), a->result_url, sizeof a->result_url },
	};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (str_eq(name, texts[i].name))
			return copy_text(value, texts[i].into, texts[i].size);
	}
	if (str_eq(name, STR("status")))
		return copy_number(value, &a->status);
	if (str_eq(name, STR("position")))
		return copy_number(value, &a->position);
	if (str_eq(name, STR("eta_ms"))) {
		uint64_t ms;
		a->has_eta = str_eq(value, STR("null")) || str_to_u64(value, &ms);
	}
	return true;
}

static bool read_members(struct scan *s, struct own_answer *a)
{
	struct str name;
	do {
		if (!take_string(s, &name) || !take(s, ':'))
			return false;
		skip_blanks(s);
		const char *from = s->at;
		if (!skip_value(s, 1) || !keep_member(a, name, (struct str){ from, (size_t)(s->at - from) }))
			return false;
	} while (take(s, ','));
	return take(s, '}');
}

bool own_read(const char *text, size_t n, struct own_answer *ret)
{
	struct scan s = { text, text + n };
	*ret = (struct own_answer){ .status = -1, .position = -1 };
	if (!take(&s, '{') || (!take(&s, '}') && !read_members(&s, ret)))
		return false;
	skip_blanks(&s);
	return s.at == s.end;
}
