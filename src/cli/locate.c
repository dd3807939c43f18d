#include "cli/locate.h"

#include "http/url.h"

#include <netdb.h>
#include <stdio.h>

#define DEFAULT_FRONT "127.0.0.1:8080"

static bool resolve(const struct url *url, struct io_addr *ret, char error[RUNTIME_ERROR])
{
	char host[sizeof((struct target *)NULL)->host], port[8]; /* it is shorter than its authority */
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
	str_copy(host, sizeof host, url->host);
	snprintf(port, sizeof port, "%u", url->port);
	int r = getaddrinfo(host, port, &hints, &found);
	if (r) {
		snprintf(error, RUNTIME_ERROR, "%s: %s", host, gai_strerror(r));
		return false;
	}
	*ret = (struct io_addr){ .len = found->ai_addrlen };
	memcpy(&ret->sa, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	return true;
}

bool locate_url(const char *text, struct target *ret, char error[RUNTIME_ERROR])
{
	struct url url;
	if (!url_parse(str_of(text), &url) || url.authority.len >= sizeof ret->host ||
		url.path.len >= sizeof ret->path) {
		snprintf(error, RUNTIME_ERROR,
			"\"%.200s\" is no address that requests can be sent to: http://HOST[:PORT][/PATH]",
			text);
		return false;
	}
	str_copy(ret->host, sizeof ret->host, url.authority);
	str_copy(ret->path, sizeof ret->path, url.path);
	return resolve(&url, &ret->addr, error);
}

void locate_reachable(struct io_addr *a)
{
	if (a->sa.sa_family == AF_INET && a->in.sin_addr.s_addr == htonl(INADDR_ANY))
		a->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr))
		a->in6.sin6_addr = in6addr_loopback;
}

static bool admin_of_config(const char *file, struct io_addr *ret, char error[RUNTIME_ERROR])
{
	struct config *c = config_create();
	bool ok = c && config_read(c, file);
	if (ok && c->settings.admin.len)
		*ret = c->settings.admin;
	else if (ok)
		snprintf(error, RUNTIME_ERROR, "the configuration has no admin listener");
	else
		snprintf(error, RUNTIME_ERROR, "%s", c ? c->errors[0] : "out of memory");
	ok = ok && c->settings.admin.len;
	config_destroy(c);
	return ok;
}

/* As runtime_find. */
static int find_fleet(struct located fleet, struct runtime_info *ret, char error[RUNTIME_ERROR])
{
	int found = runtime_find(fleet.name, ret, error);
	if (found || !fleet.asked)
		return found;
	snprintf(error, RUNTIME_ERROR, "no fleet is running under the name \"%.63s\"", fleet.name);
	return -1;
}

bool locate_admin(const char *admin, struct located fleet, const char *config, struct io_addr *ret,
	char error[RUNTIME_ERROR])
{
	struct runtime_info info;
	if (admin) {
		if (io_addr_parse(ret, admin))
			return true;
		snprintf(error, RUNTIME_ERROR,
			"--admin: expected an address such as 127.0.0.1:9091, found \"%.60s\"", admin);
		return false;
	}
	int found = config ? 0 : find_fleet(fleet, &info, error);
	if (found < 0)
		return false;
	if (found && !info.admin[0]) {
		snprintf(error, RUNTIME_ERROR, "the fleet \"%s\" (pid %d) is still starting", fleet.name,
			(int)info.pid);
		return false;
	}
	return found ? io_addr_parse(ret, info.admin) : admin_of_config(config, ret, error);
}

bool locate_front(struct located fleet, const char *path, struct target *ret, char error[RUNTIME_ERROR])
{
	struct runtime_info info;
	int found = find_fleet(fleet, &info, error);
	if (found < 0)
		return false;
	const char *front = found && info.front[0] ? info.front : DEFAULT_FRONT;
	bool ok = io_addr_parse(&ret->addr, front);
	CHECK(ok || found);
	if (!ok) {
		snprintf(
			error, RUNTIME_ERROR, "the runtime file says \"%.100s\", which is no address", front);
		return false;
	}
	locate_reachable(&ret->addr);
	if (ret->addr.sa.sa_family == AF_UNIX)
		str_copy(ret->host, sizeof ret->host, STR("localhost"));
	else
		io_addr_print(&ret->addr, true, ret->host);
	str_copy(ret->path, sizeof ret->path, str_of(path));
	return true;
}
