/* The orchestrator as a container: its ports, its volume, its files. */
#include "fleet/docker_parts.h"
#include "fleet/image.h"
#include "fleet/image_files.h"

#include "base/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ORCHESTRATOR_PIDS = 256 };

#define DOCKER_CONFIG IMAGE_STATE_DIR "/berth.yaml"

static bool set_ports(json_t *body, json_t *host, const struct docker_front *fronts, size_t n)
{
	json_t *exposed = json_object(), *bindings = json_object();
	for (size_t i = 0; i < n; i++) {
		char inside[32], outside[8];
		snprintf(inside, sizeof inside, "%zu/tcp", DOCKER_FRONT_PORT + i);
		snprintf(outside, sizeof outside, "%u", fronts[i].port);
		json_object_set_new(exposed, inside, json_object());
		json_object_set_new(bindings, inside,
			json_pack("[{s:s, s:s}]", "HostIp", fronts[i].ip, "HostPort", outside));
	}
	return json_object_set_new(body, "ExposedPorts", exposed) == 0 &&
		json_object_set_new(host, "PortBindings", bindings) == 0;
}

static json_t *orchestrator_body(struct docker *d, const struct docker_orchestrator *o, const char *ip)
{
	json_t *host = docker_confined(d, false);
	json_t *body = json_pack("{s:s, s:[s,s,s], s:[s], s:I, s:{s:s, s:s, s:s}, s:o}", "Image", o->image,
		"Cmd", "serve", "--config", DOCKER_CONFIG, "Env", "TMPDIR=" IMAGE_STATE_DIR, "StopTimeout",
		(json_int_t)o->stop_s, "Labels", DOCKER_LABEL_FLEET, d->settings->name, DOCKER_LABEL_ROLE,
		"orchestrator", DOCKER_LABEL_SPEC, o->spec, "HostConfig", host);
	if (!body)
		return NULL;
	json_object_set_new(host, "PidsLimit", json_integer(ORCHESTRATOR_PIDS));
	json_object_set_new(host, "Mounts",
		json_pack("[o, o*]", docker_mount(d->prefix, IMAGE_STATE_DIR, false),
			o->sockets ? docker_mount(o->sockets, DOCKER_SOCKET_DIR, true) : NULL));
	docker_set_address(body, d, ip);
	if (set_ports(body, host, o->fronts, o->n_fronts))
		return body;
	json_decref(body);
	return NULL;
}

bool docker_create_orchestrator(struct docker *d, const struct docker_orchestrator *o)
{
	char path[DOCKER_NAME + 96];
	struct docker_container made = { .fate = DOCKER_START, .orchestrator = true };
	if (!docker_address(d, DOCKER_FIRST_CONTAINER - 1, made.ip))
		return false;
	snprintf(made.name, sizeof made.name, "%s-orchestrator", d->prefix);
	str_copy(made.spec, sizeof made.spec, str_of(o->spec));
	snprintf(path, sizeof path, "/containers/create?name=%s", made.name);
	if (!docker_post(
		    d, "the orchestrator cannot be made", path, orchestrator_body(d, o, made.ip), made.id))
		return false;
	struct docker_container *c = docker_append(d);
	if (c)
		*c = made;
	return c;
}

bool docker_start_orchestrator(struct docker *d)
{
	struct docker_container *c = docker_orchestrator(d);
	char path[DOCKER_ID + 32];
	snprintf(path, sizeof path, "/containers/%s/start", c->id);
	if (!docker_post(d, "the orchestrator cannot be started", path, json_object(), NULL))
		return false;
	c->fate = DOCKER_KEEP;
	return true;
}

/* ---- one that makes place for another ---- */

static bool is_orchestrator(const struct docker_container *c)
{
	return c->orchestrator;
}

/* A call without a body for this container. */
static bool call_for(
	struct docker *d, const char *id, const char *method, const char *suffix, const char *what)
{
	struct engine_call call;
	engine_call_init(&call, method, "/containers/%s%s", id, suffix);
	call.endless = true; /* it may finish what it has first */
	bool ok = engine_run(&d->engine, &call, 1) || docker_fail(d, "%s: %s", what, call.why);
	engine_call_finish(&call);
	return ok;
}

static bool rename_to(struct docker *d, const char *id, const char *role)
{
	char suffix[DOCKER_NAME + 64];
	snprintf(suffix, sizeof suffix, "/rename?name=%s-%s", d->prefix, role);
	return call_for(d, id, "POST", suffix, "the orchestrator cannot be renamed");
}

static bool keep_files(struct docker *d, struct docker_aside *aside)
{
	struct engine_call call;
	engine_call_init(&call, "GET", "/containers/%s/archive?path=" DOCKER_CONFIG, aside->id);
	bool ok = engine_run(&d->engine, &call, 1) ||
		docker_fail(d, "the orchestrator's configuration cannot be read: %s", call.why);
	aside->files = call.answer;
	aside->files_bytes = call.answer_bytes;
	call.answer = NULL;
	engine_call_finish(&call);
	return ok;
}

static bool put_files(struct docker *d, const struct docker_aside *aside)
{
	struct engine_call call;
	engine_call_init(&call, "PUT", "/containers/%s/archive?path=" IMAGE_STATE_DIR, aside->id);
	call.type = "application/x-tar";
	call.body = aside->files;
	call.body_bytes = aside->files_bytes;
	bool ok = engine_run(&d->engine, &call, 1) ||
		docker_fail(d, "its configuration cannot be written: %s", call.why);
	engine_call_finish(&call);
	return ok;
}

bool docker_step_aside(struct docker *d, struct docker_aside *ret)
{
	struct docker_container *c = docker_orchestrator(d);
	*ret = (struct docker_aside){ .ran = c && !strcmp(c->state, "running") };
	if (!ret->ran)
		return !c || docker_remove(d, is_orchestrator);
	str_copy(ret->id, sizeof ret->id, str_of(c->id));
	if (!keep_files(d, ret) || !rename_to(d, c->id, "orchestrator-before") ||
		!call_for(d, c->id, "POST", "/stop", "the orchestrator cannot be stopped"))
		return false;
	c->fate = DOCKER_GONE; /* for all that comes */
	return true;
}

bool docker_bring_back(struct docker *d, struct docker_aside *aside)
{
	struct docker_container *made = docker_orchestrator(d);
	if (made && strcmp(made->id, aside->id) != 0 && !docker_remove(d, is_orchestrator))
		return false;
	return put_files(d, aside) && rename_to(d, aside->id, "orchestrator") &&
		call_for(d, aside->id, "POST", "/start", "it cannot be started");
}

bool docker_forget_aside(struct docker *d, const struct docker_aside *aside)
{
	return !aside->id[0] ||
		call_for(d, aside->id, "DELETE", "?force=true&v=true",
			"the orchestrator before cannot be removed");
}

/* ---- its files ---- */

/* A tarball with one file. */
static bool make_tarball(int fd, const char *name, const char *text, char error[IMAGE_ERROR])
{
	struct archive *a = tar_open(fd, error);
	bool ok = a && tar_add(a, name, text, strlen(text), IMAGE_USER, error);
	return tar_close(a, ok, error);
}

bool docker_put_file(struct docker *d, const char *name, const char *text)
{
	char error[IMAGE_ERROR];
	struct engine_call call;
	int fd = memfd_create("berth", MFD_CLOEXEC);
	if (fd < 0)
		return docker_fail(d, "%s: %s", name, strerror(errno));
	bool ok = make_tarball(fd, name, text, error);
	off_t bytes = lseek(fd, 0, SEEK_END);
	if (!ok) {
		docker_fail(d, "%.300s", error);
	} else {
		engine_call_init(&call, "PUT", "/containers/%s/archive?path=" IMAGE_STATE_DIR,
			docker_orchestrator(d)->id);
		call.type = "application/x-tar";
		call.file = fd;
		call.file_bytes = (uint64_t)bytes;
		ok = engine_run(&d->engine, &call, 1);
		if (!ok)
			docker_fail(d, "%s cannot be written for the orchestrator: %s", name, call.why);
		engine_call_finish(&call);
	}
	close(fd);
	return ok;
}

/* Frames of a stream without a terminal: eight bytes, of which the last four are the length of what follows.
 */
void docker_last_words(struct docker *d, const struct docker_container *c, char *text, size_t size)
{
	struct engine_call call;
	size_t at = 0, n = 0;
	engine_call_init(&call, "GET", "/containers/%s/logs?stdout=true&stderr=true&tail=3", c->id);
	(void)engine_run(&d->engine, &call, 1);
	while (call.status == 200 && at + 8 < call.answer_bytes && n + 1 < size) {
		uint32_t frame;
		memcpy(&frame, call.answer + at + 4, sizeof frame);
		size_t left = call.answer_bytes - at - 8, length = ntohl(frame);
		length = length < left ? length : left;
		size_t fits = length < size - 1 - n ? length : size - 1 - n;
		memcpy(text + n, call.answer + at + 8, fits);
		n += fits;
		at += 8 + length;
	}
	while (n && (unsigned char)text[n - 1] <= ' ')
		n--;
	text[n] = '\0';
	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)text[i] < ' ')
			text[i] = ' ';
	}
	engine_call_finish(&call);
}
