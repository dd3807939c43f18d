#include "cli/schema.h"

#include "cli/value.h"
#include "gateway/settings.h"

#include <stdio.h>

const char *schema_flag(const struct key *key, char flag[SCHEMA_FLAG])
{
	size_t i = 0;
	for (; i < SCHEMA_FLAG - 1 && key->path[i]; i++)
		flag[i] = key->path[i] == '.' || key->path[i] == '_' ? '-' : key->path[i];
	flag[i] = '\0';
	return flag;
}

bool schema_is_list(const struct key *key)
{
	switch (key->kind) {
	case KIND_ADDRS:
	case KIND_TEXTS:
	case KIND_NETWORKS:
	case KIND_CONTAINERS:
		return true;
	case KIND_TEXT:
	case KIND_TEXT_OFF:
	case KIND_NUMBER:
	case KIND_SIZE:
	case KIND_DURATION:
	case KIND_CHOICE:
	case KIND_ADDR_OFF:
	case KIND_SWITCH:
		return false;
	}
	return false;
}

/* ---- setting ---- */

struct setter {
	const struct key *key;
	char *at; /* where the value goes */
	struct arena *arena;
	char *complaint;
};

static bool refuse(const struct setter *s, const char *what)
{
	snprintf(s->complaint, SCHEMA_COMPLAINT, "%s", what);
	return false;
}

static bool refuse_value(const struct setter *s, const char *expected, struct str found)
{
	if (found.len == 0)
		snprintf(s->complaint, SCHEMA_COMPLAINT, "expected %s, found nothing", expected);
	else
		snprintf(s->complaint, SCHEMA_COMPLAINT, "expected %s, found \"%.*s\"", expected,
			found.len > 60 ? 60 : (int)found.len, found.ptr);
	return false;
}

static const char *print_number(const struct key *key, uint64_t v, char text[VALUE_TEXT])
{
	if (key->kind == KIND_DURATION)
		return value_duration_print(v, text);
	if (key->kind == KIND_SIZE)
		return value_bytes_print(v, text);
	snprintf(text, VALUE_TEXT, "%llu", (unsigned long long)v);
	return text;
}

static void store_number(const struct setter *s, uint64_t v)
{
	uint8_t v8 = (uint8_t)v;
	uint32_t v32 = (uint32_t)v;
	switch (s->key->bytes) {
	case sizeof v8:
		memcpy(s->at, &v8, sizeof v8);
		return;
	case sizeof v32:
		memcpy(s->at, &v32, sizeof v32);
		return;
	default:
		CHECK(s->key->bytes == sizeof v);
		memcpy(s->at, &v, sizeof v);
		return;
	}
}

static bool set_number(const struct setter *s, struct str text)
{
	uint64_t v;
	char range[2 * VALUE_TEXT + 16];
	const struct key *key = s->key;
	if (key->kind == KIND_DURATION && !value_duration(text, &v))
		return refuse_value(s, "a time with a unit (250ms, 10s, 5m, 1h)", text);
	if (key->kind == KIND_SIZE && !value_bytes(text, &v))
		return refuse_value(s, "a size (64KiB, 10MB, 512)", text);
	if (key->kind == KIND_NUMBER && !str_to_u64(text, &v))
		return refuse_value(s, "a number", text);
	if (v < key->least || v > key->most)
		return refuse_value(s, schema_range(key, range, sizeof range), text);
	store_number(s, v);
	return true;
}

static bool set_choice(const struct setter *s, struct str text)
{
	char expected[SCHEMA_COMPLAINT] = "";
	for (size_t i = 0; s->key->choices[i]; i++) {
		if (str_eq(text, str_of(s->key->choices[i]))) {
			store_number(s, i);
			return true;
		}
	}
	for (size_t i = 0, n = 0; s->key->choices[i] && n < sizeof expected; i++)
		n += (size_t)snprintf(
			expected + n, sizeof expected - n, "%s%s", i ? " or " : "", s->key->choices[i]);
	return refuse_value(s, expected, text);
}

/* A copy that ends in NUL; NULL after a complaint. */
static const char *copy_text(const struct setter *s, struct str text)
{
	if (text.len == 0 || memchr(text.ptr, 0, text.len)) {
		refuse_value(s, "a text", STR(""));
		return NULL;
	}
	struct str copy = arena_printf(s->arena, STR_FMT, STR_ARG(text));
	if (!copy.ptr)
		refuse(s, "out of memory");
	return copy.ptr;
}

static bool set_text(const struct setter *s, struct str text)
{
	const char *copy = NULL;
	bool off = s->key->kind == KIND_TEXT_OFF && str_eq(text, STR("off"));
	if (!off && !(copy = copy_text(s, text)))
		return false;
	memcpy(s->at, &copy, sizeof copy);
	return true;
}

static bool set_addr(const struct setter *s, struct str text)
{
	struct io_addr addr = { 0 };
	const char *wrong = NULL;
	if (s->key->kind != KIND_ADDR_OFF || !str_eq(text, STR("off")))
		wrong = value_addr(text, &addr);
	if (wrong) {
		snprintf(s->complaint, SCHEMA_COMPLAINT, "\"%.*s\": %s", text.len > 60 ? 60 : (int)text.len,
			text.ptr, wrong);
		return false;
	}
	memcpy(s->at, &addr, sizeof addr);
	return true;
}

static bool set_network(const struct setter *s, struct str text)
{
	if (!value_is_network(text))
		return refuse_value(s, "an address or a network (10.0.0.0/8)", text);
	return set_text(s, text);
}

/* ---- containers: addresses, and sources that know addresses ---- */

static bool set_source(const struct setter *s, struct str text, const char **ret)
{
	char error[SOURCE_ERROR];
	if (!source_check(text, error)) {
		snprintf(s->complaint, SCHEMA_COMPLAINT, "\"%.*s\": %.120s",
			text.len > 60 ? 60 : (int)text.len, text.ptr, error);
		return false;
	}
	*ret = copy_text(s, text);
	return *ret;
}

static bool set_container(const struct setter *s, struct str text, struct container_settings *ret)
{
	char dns[SOURCE_TEXT], error[SOURCE_ERROR];
	struct setter inner = *s;
	inner.at = (char *)&ret->addr;
	if (set_addr(&inner, text))
		return true;
	snprintf(dns, sizeof dns, "dns:" STR_FMT, STR_ARG(text));
	if (text.len < sizeof dns - sizeof "dns:" && source_check(str_of(dns), error))
		snprintf(s->complaint, SCHEMA_COMPLAINT,
			"\"%.60s\": for the addresses of a host name write %.80s", dns + sizeof "dns:" - 1,
			dns);
	return false;
}

/* Both lists at once. */
static bool set_containers(
	const struct setter *s, struct pool_settings *p, const struct str *texts, size_t n, size_t *ret_bad)
{
	struct container_settings *containers = arena_alloc(s->arena, n ? n * sizeof *containers : 1);
	const char **sources = arena_alloc(s->arena, n ? n * sizeof *sources : 1);
	size_t n_containers = 0, n_sources = 0;
	if (!containers || !sources)
		return refuse(s, "the list is too long");
	for (size_t i = 0; i < n; i++) {
		bool is_source = source_is_text(texts[i]);
		*ret_bad = i;
		containers[n_containers] = (struct container_settings){ .place = (uint32_t)i };
		if (is_source ? !set_source(s, texts[i], &sources[n_sources])
			      : !set_container(s, texts[i], &containers[n_containers]))
			return false;
		n_sources += is_source;
		n_containers += !is_source;
	}
	p->containers = containers;
	p->n_containers = n_containers;
	p->sources = sources;
	p->n_sources = n_sources;
	return true;
}

static bool set_one(const struct setter *s, struct str text)
{
	switch (s->key->kind) {
	case KIND_TEXT:
	case KIND_TEXT_OFF:
	case KIND_TEXTS:
		return set_text(s, text);
	case KIND_NUMBER:
	case KIND_SIZE:
	case KIND_DURATION:
		return set_number(s, text);
	case KIND_CHOICE:
		return set_choice(s, text);
	case KIND_ADDR_OFF:
	case KIND_ADDRS:
		return set_addr(s, text);
	case KIND_NETWORKS:
		return set_network(s, text);
	case KIND_SWITCH:
		store_number(s, true);
		return true;
	case KIND_CONTAINERS: /* never comes here */
		break;
	}
	return false;
}

static size_t element_bytes(const struct key *key)
{
	return key->kind == KIND_ADDRS ? sizeof(struct io_addr) : sizeof(const char *);
}

bool schema_set(const struct key *key, void *base, const struct str *texts, size_t n, struct arena *arena,
	char complaint[SCHEMA_COMPLAINT], size_t *ret_bad)
{
	struct setter s = {
		.key = key, .at = (char *)base + key->offset, .arena = arena, .complaint = complaint
	};
	*ret_bad = 0;
	if (key->kind == KIND_CONTAINERS)
		return set_containers(&s, base, texts, n, ret_bad);
	if (!schema_is_list(key))
		return set_one(&s, texts[0]);
	size_t step = element_bytes(key);
	char *elements = arena_alloc(arena, n ? n * step : 1);
	if (!elements)
		return refuse(&s, "the list is too long");
	for (size_t i = 0; i < n; i++) {
		s.at = elements + i * step;
		if (!set_one(&s, texts[i])) {
			*ret_bad = i;
			return false;
		}
	}
	memcpy((char *)base + key->offset, &elements, sizeof elements);
	memcpy((char *)base + key->count_offset, &n, sizeof n);
	return true;
}

/* ---- printing ---- */

static uint64_t load_number(const struct key *key, const char *at)
{
	uint8_t v8;
	uint32_t v32;
	uint64_t v;
	switch (key->bytes) {
	case sizeof v8:
		memcpy(&v8, at, sizeof v8);
		return v8;
	case sizeof v32:
		memcpy(&v32, at, sizeof v32);
		return v32;
	default:
		memcpy(&v, at, sizeof v);
		return v;
	}
}

static const char *print_addrs(const struct io_addr *addrs, size_t n, char *text, size_t size)
{
	char one[IO_ADDR_TEXT];
	text[0] = '\0';
	for (size_t i = 0, at = 0; i < n && at < size; i++)
		at += (size_t)snprintf(
			text + at, size - at, "%s%s", i ? ", " : "", io_addr_print(&addrs[i], true, one));
	return text;
}

const char *schema_print(const struct key *key, const void *base, char *text, size_t size)
{
	const char *at = (const char *)base + key->offset;
	char number[VALUE_TEXT], addr[IO_ADDR_TEXT];
	const char *value = NULL;
	const struct io_addr *addrs;
	size_t n;
	text[0] = '\0';
	switch (key->kind) {
	case KIND_TEXT:
	case KIND_TEXT_OFF:
		memcpy(&value, at, sizeof value);
		if (!value)
			value = key->kind == KIND_TEXT_OFF ? "off" : "";
		break;
	case KIND_NUMBER:
	case KIND_SIZE:
	case KIND_DURATION:
		value = print_number(key, load_number(key, at), number);
		break;
	case KIND_CHOICE:
		value = key->choices[load_number(key, at)];
		break;
	case KIND_ADDR_OFF:
		addrs = (const struct io_addr *)(const void *)at;
		value = addrs->len ? io_addr_print(addrs, true, addr) : "off";
		break;
	case KIND_ADDRS:
		memcpy(&addrs, at, sizeof addrs);
		memcpy(&n, (const char *)base + key->count_offset, sizeof n);
		return print_addrs(addrs, n, text, size);
	case KIND_TEXTS:
	case KIND_NETWORKS:
	case KIND_CONTAINERS:
	case KIND_SWITCH:
		return text; /* no default that would need a word */
	}
	snprintf(text, size, "%s", value);
	return text;
}

const char *schema_range(const struct key *key, char *text, size_t size)
{
	char least[VALUE_TEXT], most[VALUE_TEXT];
	text[0] = '\0';
	if (key->kind == KIND_NUMBER || key->kind == KIND_SIZE || key->kind == KIND_DURATION)
		snprintf(text, size, "%s to %s", print_number(key, key->least, least),
			print_number(key, key->most, most));
	return text;
}

bool schema_means_something(const struct key *key, enum fleet_place on, char complaint[SCHEMA_COMPLAINT])
{
	static const char *const names[] = { "local", "docker", "aws" };
	size_t n = (size_t)snprintf(complaint, SCHEMA_COMPLAINT, "only with");
	if (!key->only || key->only & 1u << on)
		return true;
	for (size_t i = 0, before = 0; i < ARRAY_LEN(names); i++) {
		if (key->only & 1u << i)
			n += (size_t)snprintf(complaint + n, SCHEMA_COMPLAINT - n, "%s --on %s",
				before++ ? " or" : "", names[i]);
	}
	return false;
}

const char *schema_name(const struct key *key, char name[SCHEMA_FLAG])
{
	const char *section = key->scope == SCOPE_POOL ? "pools[]."
		: key->scope == SCOPE_FLEET            ? "fleet."
						       : "";
	snprintf(name, SCHEMA_FLAG, "%s%s", section, key->path);
	return name;
}
