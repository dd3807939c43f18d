/* admin_change: containers that operators add, drain and remove while Berth runs.
 *
 *   PUT    /containers/{name}  {"draining": true}                          it finishes what it has and gets
 * nothing new; false takes it back PUT    /containers/{name}  {"address": "10.0.0.7:5000", "pool": "x"}
 * joins; pool may be left out when there is one DELETE /containers/{name} leaves: drained first, then removed
 */
#include "gateway/backend.h"
#include "gateway/change.h"
#include "gateway/client.h"
#include "gateway/exchange.h"
#include "gateway/intake.h"
#include "gateway/members.h"
#include "gateway/reactor.h"
#include "gateway/status_file.h"

#include <string.h>

static const struct str none = { NULL, 0 };

static void refuse(struct client *c, enum problem p, const char *detail)
{
	client_problem(c, p, detail, 0, none);
}

static struct backend *find_backend(struct reactor *r, const char *name)
{
	for (uint32_t i = 0; i < r->n_routes; i++) {
		const struct pool *p = &r->routes[i]->pool;
		for (uint32_t k = 0; k < p->n_containers; k++) {
			struct backend *b = backend_of(p->containers[k]);
			if (!strcmp(b->settings.name, name))
				return b;
		}
	}
	return NULL;
}

static struct route *find_route(struct reactor *r, const char *name)
{
	struct route *only = NULL;
	for (uint32_t i = 0; i < r->n_routes; i++) {
		if (r->routes[i]->gone)
			continue;
		if (name && !strcmp(r->routes[i]->settings->name, name))
			return r->routes[i];
		if (!name && only)
			return NULL;
		only = r->routes[i];
	}
	return name ? NULL : only;
}

static void reply_container(struct client *c, int status, const struct backend *b)
{
	struct json *j = &c->reactor->json;
	json_reset(j);
	json_open(j, '{');
	json_key(j, "name");
	json_string(j, str_of(b->settings.name));
	status_write_container(b->route, b->container, j);
	json_close(j, '}');
	json_bytes(j, STR("\n"));
	client_reply(c, status, "application/json", STR("Cache-Control: no-store\r\n"), json_str(j));
}

static void add_container(struct client *c, const char *name, const struct change *ch)
{
	struct container_settings cs = { 0 };
	struct route *route = find_route(c->reactor, ch->pool[0] ? ch->pool : NULL);
	if (!io_addr_parse(&cs.addr, ch->address)) {
		refuse(c, PROBLEM_BAD_REQUEST,
			"a new container needs {\"address\": \"10.0.0.7:5000\"} (or [::1]:5000, unix:/path)");
		return;
	}
	if (!container_addr_is_allowed(&cs.addr)) {
		refuse(c, PROBLEM_FORBIDDEN, "port 0, link-local and metadata addresses are no containers");
		return;
	}
	if (!route) {
		refuse(c, PROBLEM_BAD_REQUEST,
			"\"pool\" must name one of the pools (it may be left out when there is one)");
		return;
	}
	str_copy(cs.name, sizeof cs.name, str_of(name));
	str_copy(cs.worker, sizeof cs.worker, str_of(ch->worker));
	if (members_at(c->reactor, &cs.addr)) {
		refuse(c, PROBLEM_BAD_REQUEST,
			"a container is at this address already; see /status for its name");
		return;
	}
	struct backend *b = members_add(route, &cs);
	if (b)
		reply_container(c, 201, b);
	else
		refuse(c, PROBLEM_OVERLOADED, "out of memory");
}

static void put_container(struct client *c, const char *name, const struct change *ch)
{
	struct backend *b = find_backend(c->reactor, name);
	if (!b) {
		add_container(c, name, ch);
	} else if (!ch->has_draining) {
		refuse(c, PROBLEM_BAD_REQUEST,
			"a container that is there takes {\"draining\": true} or {\"draining\": false}");
	} else if (b->leaving) {
		refuse(c, PROBLEM_BAD_REQUEST,
			"the container is leaving for good; add it again when it has left");
	} else {
		backend_hold(b, ch->draining);
		reply_container(c, 200, b);
	}
}

static void delete_container(struct client *c, const char *name)
{
	struct backend *b = find_backend(c->reactor, name);
	if (!b) {
		refuse(c, PROBLEM_NOT_FOUND, "no container has this name");
		return;
	}
	if (members_dismiss(b))
		reply_container(c, 202, b);
	else
		refuse(c, PROBLEM_OVERLOADED, "out of memory");
}

void admin_change(struct client *c, const struct admin_request *req)
{
	const char *name = req->path + strlen("/containers/");
	struct change ch;
	char error[256];
	if (!str_is_name(str_of(name)))
		refuse(c, PROBLEM_NOT_FOUND,
			"a container's name has 1 to 63 letters, digits, '-', '_' and '.'");
	else if (req->method == HTTP_DELETE)
		delete_container(c, name);
	else if (change_parse(&ch, req->body, req->body_bytes, error, sizeof error))
		put_container(c, name, &ch);
	else
		refuse(c, PROBLEM_BAD_REQUEST, error);
}
