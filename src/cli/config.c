#include "cli/config.h"
#include "cli/store_default.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { ARENA_BLOCK = 16 << 10, ARENA_MAX = 32 << 20, FLAG_VALUES_MAX = 10000 };

static void set_default_addr(struct io_addr *addr, const char *text)
{
	bool ok = io_addr_parse(addr, text);
	CHECK(ok);
}

struct config *config_create(void)
{
	struct config *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	arena_init(&c->arena, ARENA_BLOCK, ARENA_MAX);
	settings_default(&c->settings);
	c->settings.store = STORE_AUTO;
	fleet_settings_default(&c->fleet);
	set_default_addr(c->default_listen, "127.0.0.1:8080");
	set_default_addr(&c->settings.admin, "127.0.0.1:9091");
	c->settings.listen = c->default_listen;
	c->settings.n_listen = 1;
	return c;
}

void config_destroy(struct config *c)
{
	if (!c)
		return;
	config_source_destroy(c->source);
	arena_finish(&c->arena);
	free(c);
}

/* ---- errors ---- */

void config_error_line(struct config *c, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	if (c->n_errors < CONFIG_ERRORS_MAX) {
		char *line = c->errors[c->n_errors];
		vsnprintf(line, CONFIG_LINE, fmt, ap);
		for (; *line; line++) { /* it quotes what stands in the file, and is one line all the same */
			if ((unsigned char)*line < ' ' || *line == 0x7f)
				*line = '?';
		}
	}
	va_end(ap);
	c->n_errors++;
}

/* "queue.max" of "pools[0].queue.max", "containers" of "pools[0].containers[2]", "model" of "fleet.model". */
static struct str within_scope(const char *path, enum scope *ret_scope)
{
	struct str rest = str_of(path);
	*ret_scope = SCOPE_TOP;
	if (str_starts(rest, STR("pools[")))
		*ret_scope = SCOPE_POOL;
	if (str_starts(rest, STR("fleet.")))
		*ret_scope = SCOPE_FLEET;
	if (*ret_scope != SCOPE_TOP)
		(void)str_cut(&rest, '.');
	return str_cut(&rest, '[');
}

void config_error(struct config *c, const char *path, const char *fmt, ...)
{
	char what[CONFIG_LINE / 2], flag[SCHEMA_FLAG];
	enum scope scope;
	struct str name = within_scope(path, &scope);
	const struct key *key = schema_key(scope, name);
	const char *section = scope == SCOPE_FLEET ? "fleet." : "";
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	if (key && config_has_flag(c, key)) {
		config_error_line(c, "--%s: %s", schema_flag(key, flag), what);
	} else if (c->source) {
		struct config_place p = config_source_place(c->source, path);
		config_error_line(c, "%s:%zu:%zu: %s" STR_FMT ": %s", config_source_name(c->source), p.line,
			p.column, section, STR_ARG(name), what);
	} else {
		config_error_line(c, "%s" STR_FMT ": %s", section, STR_ARG(name), what);
	}
}

/* ---- flags ---- */

void config_flag(struct config *c, const struct key *key, const char *value)
{
	if (c->n_flags == CONFIG_FLAGS_MAX) {
		config_error_line(c, "more than %d flags: write them into berth.yaml", CONFIG_FLAGS_MAX);
		return;
	}
	c->flags[c->n_flags++] = (struct config_flag){ key, str_of(value) };
}

bool config_has_flag(const struct config *c, const struct key *key)
{
	for (size_t i = 0; i < c->n_flags; i++) {
		if (c->flags[i].key == key)
			return true;
	}
	return false;
}

/* The one pool that flags speak of; it is made where there is none. */
static struct pool_settings *only_pool(struct config *c)
{
	struct settings *s = &c->settings;
	if (s->n_pools == 0) {
		s->pools = arena_alloc(&c->arena, sizeof *s->pools);
		if (!s->pools)
			return NULL;
		pool_settings_default(s->pools);
		s->n_pools = 1;
	}
	return s->n_pools == 1 ? s->pools : NULL;
}

static void *flag_target(struct config *c, const struct key *key)
{
	switch (key->scope) {
	case SCOPE_TOP:
		return &c->settings;
	case SCOPE_POOL:
		return only_pool(c);
	case SCOPE_FLEET:
		return &c->fleet;
	case SCOPE_OWN:
		break; /* never comes here */
	}
	return NULL;
}

/* "ports=5000-5001": of the source before it, no container. */
static bool is_option(struct str s)
{
	size_t n = 0;
	while (n < s.len && s.ptr[n] >= 'a' && s.ptr[n] <= 'z')
		n++;
	return n && n < s.len && s.ptr[n] == '=';
}

/* The values of a flag, in all places where it was given; a list's are cut at commas. */
static size_t flag_values(const struct config *c, const struct key *key, struct str *values)
{
	size_t n = 0;
	for (size_t i = 0; i < c->n_flags; i++) {
		if (c->flags[i].key != key)
			continue;
		struct str rest = c->flags[i].value;
		if (!schema_is_list(key)) {
			values[0] = rest; /* the last one counts */
			n = 1;
			continue;
		}
		size_t first = n;
		while (rest.ptr && n < FLAG_VALUES_MAX) {
			struct str value = str_trim(str_cut(&rest, ','));
			if (key->kind == KIND_CONTAINERS && n > first && is_option(value))
				values[n - 1].len = (size_t)(value.ptr + value.len - values[n - 1].ptr);
			else
				values[n++] = value;
		}
	}
	return n;
}

static void apply_flag(struct config *c, const struct key *key, struct str *values)
{
	char flag[SCHEMA_FLAG], complaint[SCHEMA_COMPLAINT];
	size_t bad;
	void *base = flag_target(c, key);
	schema_flag(key, flag);
	if (!base)
		config_error_line(c, "--%s: %s has %zu pools: say there which one is meant", flag,
			config_source_name(c->source), c->settings.n_pools);
	else if (!schema_set(key, base, values, flag_values(c, key, values), &c->arena, complaint, &bad))
		config_error_line(c, "--%s: %s", flag, complaint);
}

static bool is_first(const struct config *c, size_t flag)
{
	for (size_t i = 0; i < flag; i++) {
		if (c->flags[i].key == c->flags[flag].key)
			return false;
	}
	return true;
}

static void apply_flags(struct config *c)
{
	struct str *values = calloc(FLAG_VALUES_MAX, sizeof *values);
	if (!values) {
		config_error_line(c, "out of memory");
		return;
	}
	for (size_t i = 0; i < c->n_flags; i++) {
		if (is_first(c, i))
			apply_flag(c, c->flags[i].key, values);
	}
	free(values);
}

/* ---- what is left to fill in ---- */

/* The fleet's pool is the first that names no containers. Its containers tell when they are ready and when
 * they are busy. */
static void choose_fleet_pool(struct config *c)
{
	struct settings *s = &c->settings;
	c->fleet_pool = 0;
	while (c->fleet_pool < s->n_pools && pool_names_containers(&s->pools[c->fleet_pool]))
		c->fleet_pool++;
	if (c->fleet_pool == s->n_pools)
		return;
	struct pool_settings *p = &s->pools[c->fleet_pool];
	if (!p->health.path)
		p->health.path = "/v2/health/ready";
	if (!p->busy_status) {
		p->busy_status = 503;
		p->busy_header = "Berth-Busy";
	}
	if (p->on_leave == LEAVE_CLOSE && !p->idle_probe.path) {
		p->idle_probe.path = "/berth/idle";
		p->idle_probe.expect = "\"in_flight\":0}";
	}
	c->fleet.slots = p->slots;
}

static void name_containers(struct config *c)
{
	struct settings *s = &c->settings;
	uint32_t number = c->fleet_pool < s->n_pools ? c->fleet.workers * c->fleet.containers : 0;
	for (size_t i = 0; i < s->n_pools; i++) {
		for (size_t k = 0; k < s->pools[i].n_containers; k++) {
			struct container_settings *container = &s->pools[i].containers[k];
			snprintf(container->name, sizeof container->name, "container%u", ++number);
		}
	}
}

static bool choose_store(struct config *c, enum config_use use)
{
	struct settings *s = &c->settings;
	if (strcmp(s->store, STORE_AUTO) != 0)
		return true;
	c->store_is_default = use == CONFIG_UP && c->fleet.on == FLEET_LOCAL;
	s->store = c->store_is_default ? store_default(c->fleet.name, &c->arena) : "memory";
	return s->store;
}

bool config_finish(struct config *c, enum config_use use, const int *listen_fds, size_t n_listen_fds)
{
	struct settings *s = &c->settings;
	size_t errors_before = c->n_errors;
	apply_flags(c);
	if (c->n_errors > errors_before)
		return false;
	if (use == CONFIG_FIND) {
		config_check(c, use);
		return c->n_errors == errors_before;
	}
	if (s->n_pools == 0 && !only_pool(c)) {
		config_error_line(c, "out of memory");
		return false;
	}
	if (n_listen_fds && s->listen == c->default_listen)
		s->n_listen = 0;
	s->listen_fds = listen_fds;
	s->n_listen_fds = n_listen_fds;
	c->has_fleet = c->has_fleet || use == CONFIG_UP;
	c->fleet_pool = s->n_pools;
	if (c->has_fleet && use != CONFIG_SERVE)
		choose_fleet_pool(c);
	name_containers(c);
	config_check(c, use);
	if (!choose_store(c, use))
		config_error_line(c, "out of memory");
	return c->n_errors == errors_before;
}

bool config_take_fleet(struct config *c, const struct fleet *fleet)
{
	struct pool_settings *p = &c->settings.pools[c->fleet_pool];
	size_t n = fleet_size(fleet);
	p->containers = arena_alloc(&c->arena, n * sizeof *p->containers);
	if (!p->containers)
		return false;
	for (size_t i = 0; i < n; i++) {
		const struct fleet_container *from = fleet_container(fleet, i);
		struct container_settings *to = &p->containers[i];
		*to = (struct container_settings){ .addr = from->addr, .near = from->near };
		str_copy(to->name, sizeof to->name, str_of(from->name));
		str_copy(to->worker, sizeof to->worker, str_of(from->worker));
	}
	p->n_containers = n;
	return true;
}
