/* Images: is one there, and if not, how it gets there. */
#include "fleet/docker.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

bool docker_find_image(struct docker *d, const char *name, char ret_id[DOCKER_ID])
{
	struct engine_call call;
	engine_call_init(&call, "GET", "/images/%s/json", name);
	bool ok = engine_run(&d->engine, &call, 1);
	json_t *root = ok && call.answer ? json_loads(call.answer, 0, NULL) : NULL;
	const char *id = json_string_value(json_object_get(root, "Id"));
	bool absent = call.status == 404;
	if (!ok && !absent)
		snprintf(d->error, sizeof d->error, "%s", call.why);
	snprintf(ret_id, DOCKER_ID, "%s", id ? id : "");
	json_decref(root);
	engine_call_finish(&call);
	return ok || absent;
}

static void ignore_line(struct engine_call *call, const char *line)
{
}

bool docker_load_image(struct docker *d, const char *name, int file, uint64_t bytes)
{
	struct engine_call call;
	engine_call_init(&call, "POST", "/images/load?quiet=1");
	call.type = "application/x-tar";
	call.file = file;
	call.file_bytes = bytes;
	call.on_line = ignore_line;
	bool ok = engine_run(&d->engine, &call, 1);
	if (!ok)
		snprintf(d->error, sizeof d->error, "the image %s cannot be loaded: %s", name, call.why);
	engine_call_finish(&call);
	return ok;
}

/* ---- pulling ---- */

struct pull {
	struct docker *d;
	const char *name;
	size_t done, all; /* layers */
	docker_layers_fn *on_layers;
};

static void on_pull_line(struct engine_call *call, const char *line)
{
	struct pull *p = call->user;
	json_t *root = json_loads(line, 0, NULL);
	const char *status = json_string_value(json_object_get(root, "status"));
	bool known = status && json_object_get(root, "id");
	if (known && (!strcmp(status, "Pulling fs layer") || !strcmp(status, "Already exists")))
		p->all++;
	if (known && (!strcmp(status, "Pull complete") || !strcmp(status, "Already exists")))
		p->done++;
	if (p->all)
		p->on_layers(p->d, p->name, p->done, p->all);
	json_decref(root);
}

/* Without a tag the engine would pull all that there are. */
static bool has_tag(const char *name)
{
	const char *slash = strrchr(name, '/');
	return strpbrk(slash ? slash : name, ":@");
}

bool docker_pull_image(struct docker *d, const char *name, docker_layers_fn *on_layers)
{
	struct engine_call call;
	struct pull pull = { .d = d, .name = name, .on_layers = on_layers };
	engine_call_init(
		&call, "POST", "/images/create?fromImage=%s%s", name, has_tag(name) ? "" : "&tag=latest");
	call.on_line = on_pull_line;
	call.user = &pull;
	bool ok = engine_run(&d->engine, &call, 1);
	if (!ok)
		snprintf(d->error, sizeof d->error,
			"the image %s is not on the Docker Engine and cannot be pulled: %s; docker pull or "
			"docker "
			"load brings it there",
			name, call.why);
	engine_call_finish(&call);
	return ok;
}
