#include "fleet/source.h"

#include "fleet/source_kinds.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct source_kind *const kinds[] = { &source_dns, &source_file, &source_docker, &source_aws };

/* The kind that text begins with, and what stands behind its colon; NULL: none. */
static const struct source_kind *kind_of(struct str text, struct str *ret_rest)
{
	struct str rest = text;
	struct str name = str_cut(&rest, ':');
	for (size_t i = 0; rest.ptr && i < ARRAY_LEN(kinds); i++) {
		if (str_eq(name, str_of(kinds[i]->name))) {
			*ret_rest = rest;
			return kinds[i];
		}
	}
	return NULL;
}

bool source_is_text(struct str text)
{
	struct str rest;
	return kind_of(text, &rest) != NULL;
}

/* It stands in logs and as a metric's label as it is. */
static bool is_printable(struct str text)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];
		if ((unsigned char)c < ' ' || c == 0x7f || c == '"' || c == '\\')
			return false;
	}
	return true;
}

bool source_check(struct str text, char error[SOURCE_ERROR])
{
	struct str rest;
	char copy[SOURCE_TEXT];
	const struct source_kind *kind = kind_of(text, &rest);
	if (!kind)
		snprintf(error, SOURCE_ERROR, "no kind of source");
	else if (text.len >= SOURCE_TEXT)
		snprintf(error, SOURCE_ERROR, "a source has up to %d bytes", SOURCE_TEXT - 1);
	else if (!is_printable(text))
		snprintf(error, SOURCE_ERROR, "a source has no quotes, backslashes or control characters");
	else
		return kind->check(str_copy(copy, sizeof copy, rest), error);
	return false;
}

struct source *source_create(struct io *io, const char *text, const struct source_settings *settings,
	const struct source_events *events, void *user)
{
	struct str rest;
	struct source base = { .io = io, .settings = *settings, .events = events, .user = user };
	base.kind = kind_of(str_of(text), &rest);
	CHECK(base.kind);
	base.text = strdup(text);
	if (!base.text)
		return NULL;
	base.rest = base.text + (rest.ptr - text);
	struct source *s = base.kind->create(&base);
	if (!s) {
		int err = errno;
		free(base.text);
		errno = err;
	}
	return s; /* cppcheck-suppress returnDanglingLifetime ; it holds a copy of base */
}

void source_destroy(struct source *s)
{
	if (!s)
		return;
	char *text = s->text;
	s->kind->destroy(s);
	free(text);
}

static size_t option_length(struct str text)
{
	size_t n = 0;
	while (n < text.len && text.ptr[n] != ',' && text.ptr[n] != ' ')
		n++;
	return n;
}

bool source_option(struct str *rest, struct str *ret_key, struct str *ret_value)
{
	size_t n = 0;
	while (rest->len && (n = option_length(*rest)) == 0)
		*rest = str_skip(*rest, 1);
	if (!rest->len)
		return false;
	*ret_value = (struct str){ rest->ptr, n };
	*ret_key = str_cut(ret_value, '=');
	*rest = str_skip(*rest, n);
	return true;
}
