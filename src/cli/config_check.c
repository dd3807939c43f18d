/* How the values of a configuration fit together: what a single value cannot show. */
#include "cli/config.h"
#include "cli/store_default.h"

#include "http/url.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

/* "pools[0].queue.max" into path. */
static const char *in_pool(char path[CONFIG_PATH], size_t pool, const char *name)
{
	snprintf(path, CONFIG_PATH, "pools[%zu].%s", pool, name);
	return path;
}

/* ---- addresses ---- */

/* The IPv4 address, also of an IPv4 address mapped into IPv6. Host byte order. */
static bool ipv4_of(const struct io_addr *a, uint32_t *ret)
{
	if (a->sa.sa_family == AF_INET) {
		*ret = ntohl(a->in.sin_addr.s_addr);
		return true;
	}
	if (a->sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr))
		return false;
	uint32_t ip;
	memcpy(&ip, a->in6.sin6_addr.s6_addr + 12, sizeof ip);
	*ret = ntohl(ip);
	return true;
}

static bool is_loopback(const struct io_addr *a)
{
	uint32_t ip;
	if (a->sa.sa_family == AF_UNIX)
		return true;
	if (ipv4_of(a, &ip))
		return ip >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr);
}

static uint16_t port_of(const struct io_addr *a)
{
	if (a->sa.sa_family == AF_UNIX)
		return 1;
	return ntohs(a->sa.sa_family == AF_INET ? a->in.sin_port : a->in6.sin6_port);
}

/* Why no container can be there, or NULL. */
static const char *not_a_container(const struct io_addr *a)
{
	uint32_t ip;
	if (port_of(a) == 0)
		return "a container has a port of its own, not 0";
	if (ipv4_of(a, &ip) ? ip == 0
			    : a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr))
		return "a container has an address of its own, not that of every machine";
	if (!container_addr_is_allowed(a))
		return "link-local and metadata addresses are no containers";
	return NULL;
}

static void check_listeners(struct config *c)
{
	const struct settings *s = &c->settings;
	char path[CONFIG_PATH], a[IO_ADDR_TEXT], b[IO_ADDR_TEXT];
	if (s->n_listen == 0 && s->n_listen_fds == 0)
		config_error(c, "listen", "at least one address is needed");
	if (s->admin.len && !is_loopback(&s->admin))
		config_error(c, "admin",
			"%s is open to other machines: only loopback (127.0.0.1:9091) or unix:/path",
			io_addr_print(&s->admin, true, a));
	for (size_t i = 0; i < s->n_listen; i++) {
		snprintf(path, sizeof path, "listen[%zu]", i);
		io_addr_print(&s->listen[i], true, a);
		if (port_of(&s->listen[i]) == 0)
			continue;
		if (s->admin.len && !strcmp(a, io_addr_print(&s->admin, true, b)))
			config_error(c, path, "%s is the admin listener's address too", a);
		for (size_t k = 0; k < i; k++) {
			if (!strcmp(a, io_addr_print(&s->listen[k], true, b)))
				config_error(c, path, "%s stands here a second time", a);
		}
	}
}

static void check_store(struct config *c)
{
	const char *store = c->settings.store;
	if (strcmp(store, "memory") != 0 && strcmp(store, STORE_AUTO) != 0 &&
		(strncmp(store, "sqlite:", 7) != 0 || !store[7]))
		config_error(c, "store", "expected auto, memory or sqlite:PATH, found \"%.60s\"", store);
	for (size_t i = 0; i < c->settings.n_store_headers; i++) {
		const char *name = c->settings.store_headers[i];
		if (strcasecmp(name, "Authorization") != 0 && strcasecmp(name, "Cookie") != 0)
			config_error(c, "store_headers",
				"\"%.60s\": expected Authorization or Cookie, for all others are stored",
				name);
	}
}

/* With its record, a job's result and its key go too. */
static void check_ages(struct config *c)
{
	const struct settings *s = &c->settings;
	if (s->jobs_max_age_us > s->jobs_record_age_us)
		config_error(c, "jobs.max_age",
			"must not be above jobs.record_age: a result goes with its record");
	if (s->jobs_key_age_us > s->jobs_record_age_us)
		config_error(c, "jobs.key_age",
			"must not be above jobs.record_age: a key holds only while its record is kept");
}

static void check_limits(struct config *c)
{
	const struct settings *s = &c->settings;
	if (s->body_memory_bytes > s->memory_limit_bytes)
		config_error(c, "limits.body_memory", "must not be above limits.memory");
	if (s->max_body_bytes > s->body_memory_bytes && s->max_body_bytes > s->spool_max_bytes)
		config_error(
			c, "limits.body", "a body so long fits neither limits.body_memory nor limits.spool");
}

/* ---- pools ---- */

static bool is_token(const char *name)
{
	return name[0] && name[strcspn(name, " \t\"(),/:;<=>?@[\\]{}")] == '\0';
}

static bool is_host_pattern(const char *host)
{
	struct str s = str_of(host);
	if (str_eq(s, STR("*")))
		return true;
	return url_is_authority(str_starts(s, STR("*.")) ? str_skip(s, 2) : s);
}

static void check_path(struct config *c, size_t pool, const char *name, const char *value)
{
	char path[CONFIG_PATH];
	if (!value)
		return;
	if (value[0] != '/')
		config_error(c, in_pool(path, pool, name), "\"%.60s\": a path begins with '/'", value);
	else if (value[strcspn(value, " \t?#")] || url_has_dot_segment(str_of(value)))
		config_error(c, in_pool(path, pool, name),
			"\"%.60s\": a path has no spaces, '?', '#' or dot segments here", value);
}

static void check_match(struct config *c, size_t pool)
{
	const struct pool_settings *p = &c->settings.pools[pool];
	char path[CONFIG_PATH];
	check_path(c, pool, "match.path_prefix", p->path_prefix);
	check_path(c, pool, "submit.path", p->submit_path);
	check_path(c, pool, "submit.forward", p->submit_forward);
	check_path(c, pool, "health.path", p->health.path);
	if (!strcmp(p->path_prefix, "/berth") || !strncmp(p->path_prefix, "/berth/", 7))
		config_error(c, in_pool(path, pool, "match.path_prefix"), "/berth/ is Berth's own");
	if (p->submit_path && (!strcmp(p->submit_path, "/berth") || !strncmp(p->submit_path, "/berth/", 7)))
		config_error(c, in_pool(path, pool, "submit.path"), "/berth/ is Berth's own");
	if (!is_host_pattern(p->host))
		config_error(c, in_pool(path, pool, "match.host"),
			"\"%.60s\": expected a host name, *.example.org or *", p->host);
}

static void check_times(struct config *c, size_t pool)
{
	const struct pool_settings *p = &c->settings.pools[pool];
	char path[CONFIG_PATH];
	if (p->health.backoff_min_us > p->health.backoff_max_us)
		config_error(
			c, in_pool(path, pool, "health.backoff_min"), "must not be above health.backoff_max");
	if (p->timeouts.connect_us > p->timeouts.total_us)
		config_error(c, in_pool(path, pool, "timeouts.connect"), "must not be above timeouts.total");
}

static void check_on_leave(struct config *c, size_t pool)
{
	const struct pool_settings *p = &c->settings.pools[pool];
	char path[CONFIG_PATH];
	check_path(c, pool, "idle_probe.path", p->idle_probe.path);
	if (p->on_leave == LEAVE_CLOSE && !p->idle_probe.path)
		config_error(c, in_pool(path, pool, "on_leave"),
			"close needs idle_probe.path: only a probe tells when the container is idle again");
	if (p->idle_probe.expect && !p->idle_probe.path)
		config_error(
			c, in_pool(path, pool, "idle_probe.expect"), "means nothing without idle_probe.path");
}

static void check_busy(struct config *c, size_t pool)
{
	const struct pool_settings *p = &c->settings.pools[pool];
	char path[CONFIG_PATH];
	if (p->busy_status && p->busy_status < 400)
		config_error(c, in_pool(path, pool, "busy_status"),
			"expected 400 to 599, or 0 for none, found %d", p->busy_status);
	if (p->busy_header && !p->busy_status)
		config_error(c, in_pool(path, pool, "busy_header"), "means nothing without busy_status");
	if (p->busy_header && !is_token(p->busy_header))
		config_error(c, in_pool(path, pool, "busy_header"), "\"%.60s\" is no name of a field",
			p->busy_header);
}

static void check_container_addrs(struct config *c, size_t pool)
{
	const struct pool_settings *p = &c->settings.pools[pool];
	char path[CONFIG_PATH], name[40], text[IO_ADDR_TEXT];
	for (size_t i = 0; i < p->n_containers; i++) {
		const struct io_addr *a = &p->containers[i].addr;
		const char *why = not_a_container(a);
		snprintf(name, sizeof name, "containers[%u]", p->containers[i].place);
		if (why)
			config_error(
				c, in_pool(path, pool, name), "%s: %s", io_addr_print(a, true, text), why);
	}
}

static void check_pool(struct config *c, size_t pool)
{
	const struct pool_settings *p = &c->settings.pools[pool];
	char path[CONFIG_PATH];
	if (!str_is_name(str_of(p->name)))
		config_error(c, in_pool(path, pool, "name"),
			"\"%.60s\": a name has 1 to 63 letters, digits, '-', '_' and '.'", p->name);
	for (size_t i = 0; i < pool; i++) {
		const struct pool_settings *other = &c->settings.pools[i];
		if (!strcmp(p->name, other->name))
			config_error(
				c, in_pool(path, pool, "name"), "two pools are called \"%.60s\"", p->name);
		if (!strcasecmp(p->host, other->host) && !strcmp(p->path_prefix, other->path_prefix))
			config_error(c, in_pool(path, pool, "match"),
				"the pool \"%.60s\" matches the same requests", other->name);
	}
	check_match(c, pool);
	check_times(c, pool);
	check_on_leave(c, pool);
	check_busy(c, pool);
	check_container_addrs(c, pool);
}

/* ---- containers ---- */

struct address_use {
	char text[IO_ADDR_TEXT];
	size_t pool;
	uint32_t place; /* in the pool's list */
};

static int compare_uses(const void *a, const void *b)
{
	const struct address_use *x = a, *y = b;
	int order = strcmp(x->text, y->text);
	if (order)
		return order;
	if (x->pool != y->pool)
		return x->pool < y->pool ? -1 : 1;
	return x->place < y->place ? -1 : x->place > y->place;
}

/* A container that is named twice would get twice its slots. */
static void check_containers_apart(struct config *c)
{
	const struct settings *s = &c->settings;
	char path[CONFIG_PATH], name[40];
	size_t n = 0, at = 0;
	for (size_t i = 0; i < s->n_pools; i++)
		n += s->pools[i].n_containers;
	struct address_use *uses = calloc(n ? n : 1, sizeof *uses);
	if (!uses) {
		config_error_line(c, "out of memory");
		return;
	}
	for (size_t i = 0; i < s->n_pools; i++) {
		for (size_t k = 0; k < s->pools[i].n_containers; k++, at++) {
			io_addr_print(&s->pools[i].containers[k].addr, true, uses[at].text);
			uses[at].pool = i;
			uses[at].place = s->pools[i].containers[k].place;
		}
	}
	qsort(uses, n, sizeof *uses, compare_uses);
	for (size_t i = 1; i < n; i++) {
		if (strcmp(uses[i].text, uses[i - 1].text) != 0)
			continue;
		snprintf(name, sizeof name, "containers[%u]", uses[i].place);
		config_error(c, in_pool(path, uses[i].pool, name), "%s is a container already", uses[i].text);
	}
	free(uses);
}

/* The same text before this one, in this pool or one above it. */
static bool is_source_before(const struct settings *s, size_t pool, size_t source)
{
	const char *text = s->pools[pool].sources[source];
	for (size_t i = 0; i <= pool; i++) {
		size_t n = i < pool ? s->pools[i].n_sources : source;
		for (size_t k = 0; k < n; k++) {
			if (!strcmp(s->pools[i].sources[k], text))
				return true;
		}
	}
	return false;
}

/* Likewise of a source. */
static void check_sources_apart(struct config *c)
{
	const struct settings *s = &c->settings;
	char path[CONFIG_PATH];
	for (size_t i = 0; i < s->n_pools; i++) {
		for (size_t k = 0; k < s->pools[i].n_sources; k++) {
			if (is_source_before(s, i, k))
				config_error(c, in_pool(path, i, "containers"),
					"%.100s stands here a second time: each container would get twice "
					"its slots",
					s->pools[i].sources[k]);
		}
	}
}

static void check_dns(struct config *c)
{
	const struct source_settings *s = &c->settings.sources;
	if (s->dns_server.len && port_of(&s->dns_server) == 0)
		config_error(c, "dns.server", "a DNS server has a port, 53 as a rule, not 0");
	if (s->dns_server.len && s->dns_server.sa.sa_family == AF_UNIX)
		config_error(c, "dns.server", "a DNS server has an address like 10.0.0.2:53");
	if (s->dns_ttl_min_us > s->dns_ttl_max_us)
		config_error(c, "dns.ttl_min", "must not be above dns.ttl_max");
}

static void check_every_pool_has_containers(struct config *c, enum config_use use)
{
	const struct settings *s = &c->settings;
	char path[CONFIG_PATH];
	for (size_t i = 0; i < s->n_pools; i++) {
		if (pool_names_containers(&s->pools[i]) || i == c->fleet_pool)
			continue;
		config_error(c, in_pool(path, i, "containers"),
			"the pool \"%.60s\" has none: name their addresses%s", s->pools[i].name,
			use == CONFIG_SERVE ? ", or start a fleet with berth up" : "");
	}
	if (use == CONFIG_UP && c->fleet_pool == s->n_pools)
		config_error(c, "fleet",
			"every pool names containers of its own, none is left for the fleet: use berth "
			"serve");
}

/* As docker pull takes it: a name of up to 255 bytes, a tag of up to 128, a digest. */
static bool is_image_name(const char *name)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_./:@";
	size_t n = strspn(name, allowed);
	return *name != '-' && n && n < 512 && !name[n];
}

/* In a file such keys may stand: it may be for fleets in several places. */
static void check_flags_mean_something(struct config *c)
{
	char flag[SCHEMA_FLAG], complaint[SCHEMA_COMPLAINT];
	for (size_t i = 0; i < c->n_flags; i++) {
		if (!schema_means_something(c->flags[i].key, c->fleet.on, complaint))
			config_error_line(c, "--%s: %s", schema_flag(c->flags[i].key, flag), complaint);
	}
}

/* An image of one's own is run as it is. */
static void check_image(struct config *c)
{
	static const char *const others[] = { "model", "delay_ms" };
	const char *image = c->fleet.image;
	char flag[SCHEMA_FLAG];
	if (image && !is_image_name(image))
		config_error(c, "fleet.image", "\"%.60s\" is no name of an image", image);
	for (size_t i = 0; image && i < ARRAY_LEN(others); i++) {
		const struct key *key = schema_key(SCOPE_FLEET, str_of(others[i]));
		if (config_has_flag(c, key))
			config_error_line(c, "--%s: only for Berth's own containers, not for the image %.60s",
				schema_flag(key, flag), image);
	}
}

static void check_fleet(struct config *c)
{
	const struct fleet_settings *f = &c->fleet;
	if (!str_is_name(str_of(f->name)))
		config_error(c, "fleet.name",
			"\"%.60s\": a name has 1 to 63 letters, digits, '-', '_' and '.'", f->name);
	if (f->workers * f->containers > FLEET_CONTAINERS_MAX)
		config_error(c, "fleet.containers",
			"%u workers with %u containers each are more than %d in all", f->workers,
			f->containers, FLEET_CONTAINERS_MAX);
	if (f->base_port && f->base_port + f->containers > 65536)
		config_error(c, "fleet.base_port", "%u containers do not fit above port %u", f->containers,
			f->base_port);
	check_image(c);
}

void config_check(struct config *c, enum config_use use)
{
	if (use == CONFIG_FIND || use == CONFIG_UP)
		check_flags_mean_something(c);
	if (use == CONFIG_FIND) {
		check_fleet(c);
		return;
	}
	check_listeners(c);
	check_limits(c);
	check_store(c);
	check_ages(c);
	for (size_t i = 0; i < c->settings.n_pools; i++)
		check_pool(c, i);
	check_containers_apart(c);
	check_sources_apart(c);
	check_dns(c);
	check_every_pool_has_containers(c, use);
	if (c->has_fleet)
		check_fleet(c);
	if (use == CONFIG_UP && !c->settings.admin.len)
		config_error(c, "admin", "a fleet needs the admin listener: berth status asks it");
}
