/* What a fleet on EC2 is made of: images, the model, the orchestrator's configuration. */
#include "cli/aws_cli.h"
#include "cli/config_write.h"
#include "cli/image_berth.h"
#include "cli/surroundings.h"
#include "fleet/digest.h"
#include "fleet/image_files.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	OBJECT_MAX_GIB = 5,         /* what S3 takes in one piece */
	CPU_PERIOD_US = 100 * 1000, /* Docker's own */
};

/* ---- who may come in ---- */

static bool make_networks(struct aws_making *m, const struct command *cmd, bool open_to_all)
{
	const struct aws_settings *s = &m->settings;
	m->networks = calloc(s->n_admin_cidrs + 1, sizeof *m->networks);
	m->texts = calloc(s->n_admin_cidrs + 1, sizeof *m->texts);
	if (!m->networks || !m->texts) {
		cli_complain(cmd, "out of memory");
		return false;
	}
	for (size_t i = 0; i < s->n_admin_cidrs; i++) {
		bool all = false;
		m->networks[i] = m->texts[i];
		if (!aws_network(s->admin_cidrs[i], m->texts[i], &all)) {
			cli_complain(cmd,
				"--admin-cidr: expected an address or a network, 203.0.113.7/32, found "
				"\"%s\"",
				s->admin_cidrs[i]);
			return false;
		}
		if (all && !open_to_all) {
			cli_complain(cmd,
				"--admin-cidr %s lets everybody in: name your own network, or say "
				"--open-to-all, too",
				s->admin_cidrs[i]);
			return false;
		}
	}
	m->settings.admin_cidrs = m->networks;
	return true;
}

/* ---- objects ---- */

/* The object is named after its contents, so that what is there already is what it is called. */
static bool add_object(struct aws_making *m, const struct command *cmd, enum aws_object_kind kind, int fd)
{
	struct aws_wanted *w = &m->wanted;
	struct aws_object *o = &w->objects[w->n_objects];
	char prefix[AWS_NAME], digest[DIGEST_TEXT];
	static const char *const names[] = { [AWS_OBJECT_WORKER] = "worker",
		[AWS_OBJECT_ORCHESTRATOR] = "orchestrator",
		[AWS_OBJECT_MODEL] = "model" };
	*o = (struct aws_object){ .kind = kind, .fd = fd };
	w->n_objects++; /* its descriptor is the making's from here on */
	if (!digest_file(fd, digest, &o->bytes)) {
		cli_complain(cmd, "cannot read the %s: %s", aws_object_name(kind), strerror(errno));
		return false;
	}
	if (o->bytes > (uint64_t)OBJECT_MAX_GIB << 30) {
		cli_complain(cmd,
			"the %s has %llu bytes, and S3 takes %d GiB in one piece: an image of your own "
			"(--image) may bring it along",
			aws_object_name(kind), (unsigned long long)o->bytes, OBJECT_MAX_GIB);
		return false;
	}
	memcpy(o->sha256, digest, sizeof digest);
	snprintf(o->key, sizeof o->key, "%s%s-%s.tar", aws_prefix(w->name, prefix), names[kind], digest);
	return true;
}

static bool add_image(struct aws_making *m, const struct command *cmd, enum image_what what)
{
	struct image image;
	bool worker = what == IMAGE_WORKER;
	if (!image_berth(cmd, what, NULL, !worker, &image))
		return false;
	str_copy(m->tags[what], IMAGE_TAG, str_of(image.tag));
	return add_object(m, cmd, worker ? AWS_OBJECT_WORKER : AWS_OBJECT_ORCHESTRATOR, image.fd);
}

/* The model as a tarball: a directory's files, or model.onnx. */
static bool add_model(struct aws_making *m, const struct command *cmd, const char *given)
{
	struct surroundings s;
	struct image_files files = { 0 };
	char error[IMAGE_ERROR];
	struct stat st;
	if (!surroundings_find(&s, cmd))
		return false;
	const char *model = surroundings_model(&s, given);
	if (!surroundings_check_model(cmd, model))
		return false;
	bool tree = stat(model, &st) == 0 && S_ISDIR(st.st_mode);
	int fd = memfd_create("model", MFD_CLOEXEC);
	bool ok = fd >= 0 &&
		(tree ? image_files_add_tree(&files, "/", model, error)
		      : image_files_add(&files, "/model.onnx", model, error)) &&
		image_files_write(&files, fd, error);
	image_files_finish(&files);
	if (!ok) {
		cli_complain(cmd, "model: %s", fd < 0 ? strerror(errno) : error);
		if (fd >= 0)
			close(fd);
		return false;
	}
	snprintf(m->arguments, sizeof m->arguments, "--listen :%d --model /model%s", IMAGE_WORKER_PORT,
		tree ? "" : "/model.onnx");
	return add_object(m, cmd, AWS_OBJECT_MODEL, fd);
}

/* A quota may be more than the machine has, which docker run's --cpus may not. */
static void set_options(struct aws_making *m, const struct fleet_settings *f)
{
	char quota[32] = "";
	unsigned long long memory = f->memory_bytes;
	if (f->cpu_percent)
		snprintf(quota, sizeof quota, " --cpu-quota %u", f->cpu_percent * (CPU_PERIOD_US / 100));
	snprintf(m->options, sizeof m->options, "--pids-limit %u --memory %llu --memory-swap %llu%s%s",
		f->pids, memory, memory, quota, f->writable_root ? "" : " --read-only");
}

static bool make_containers(struct aws_making *m, const struct command *cmd, const struct config *c)
{
	const struct fleet_settings *f = &c->fleet;
	size_t n;
	set_options(m, f);
	if (f->image) {
		m->wanted.image = f->image;
		m->wanted.container_port = f->base_port;
		return true;
	}
	m->wanted.image = m->tags[IMAGE_WORKER];
	if (!add_image(m, cmd, IMAGE_WORKER) || !add_model(m, cmd, f->model))
		return false;
	m->wanted.container_port = IMAGE_WORKER_PORT;
	n = strlen(m->arguments);
	snprintf(m->arguments + n, sizeof m->arguments - n, " --slots %u --delay-ms %u",
		c->settings.pools[c->fleet_pool].slots, f->delay_ms);
	return true;
}

/* ---- the orchestrator's configuration ---- */

/* What is as by default is not said: the script has to be short. */
static void leave_out_defaults(json_t *settings, const json_t *defaults)
{
	const char *key;
	json_t *value;
	void *next;
	json_object_foreach_safe(settings, next, key, value)
	{
		const json_t *other = json_object_get(defaults, key);
		if (json_is_object(value))
			leave_out_defaults(value, other);
		if (json_equal(value, other) || (json_is_object(value) && !json_object_size(value)))
			(void)json_object_del(settings, key);
	}
}

static json_t *as_json(const struct settings *s)
{
	char *text = config_write(s);
	json_t *root = text ? json_loads(text, 0, NULL) : NULL;
	free(text);
	return root;
}

static char *write_short(const struct settings *s)
{
	struct settings defaults;
	struct pool_settings pool;
	settings_default(&defaults);
	pool_settings_default(&pool);
	defaults.pools = &pool;
	defaults.n_pools = 1;
	json_t *root = as_json(s), *other = as_json(&defaults), *one;
	const json_t *default_pool = json_array_get(json_object_get(other, "pools"), 0);
	size_t i;
	json_array_foreach(json_object_get(root, "pools"), i, one)
	{
		leave_out_defaults(one, default_pool);
	}
	(void)json_object_del(other, "pools");
	leave_out_defaults(root, other);
	char *text = root && other ? json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
	json_decref(root);
	json_decref(other);
	return text;
}

/* The configuration is that of `berth serve`, but for what the machine decides: where it listens, where its
 * files are, and that the containers are those of the fleet. */
static bool make_config(struct aws_making *m, const struct config *c, const char *region)
{
	struct settings s = c->settings;
	struct io_addr listen[1], admin;
	char source[SOURCE_TEXT];
	const char *sources[] = { source };
	struct pool_settings *pools = malloc(s.n_pools * sizeof *pools);
	if (!pools)
		return false;
	memcpy(pools, s.pools, s.n_pools * sizeof *pools);
	snprintf(source, sizeof source, "aws:cluster=%s,region=%s,ports=%u-%u,seed=/etc/berth/workers",
		m->wanted.name, region, m->wanted.base_port, m->wanted.base_port + m->wanted.containers - 1);
	bool ok = io_addr_parse(&listen[0], ":80") && io_addr_parse(&admin, "127.0.0.1:9091");
	CHECK(ok);
	pools[c->fleet_pool].sources = sources;
	pools[c->fleet_pool].n_sources = 1;
	s.pools = pools;
	s.listen = listen;
	s.n_listen = 1;
	s.admin = admin;
	s.status_file = IMAGE_STATE_DIR "/status.json";
	if (s.access_log && strcmp(s.access_log, "stderr") != 0)
		s.access_log = IMAGE_STATE_DIR "/access.log";
	if (str_starts(str_of(s.store), STR("sqlite:")))
		s.store = "sqlite:" IMAGE_STATE_DIR "/berth.db";
	m->config = write_short(&s);
	free(pools);
	return m->config;
}

/* ---- all of it ---- */

bool aws_making_make(struct aws_making *m, const struct command *cmd, const struct config *config,
	const char *region, bool open_to_all)
{
	const struct fleet_settings *f = &config->fleet;
	*m = (struct aws_making){ .settings = f->aws };
	m->wanted = (struct aws_wanted){
		.name = f->name,
		.settings = &m->settings,
		.workers = f->workers,
		.containers = f->containers,
		.base_port = f->base_port,
		.ready_us = f->ready_timeout_us,
		.options = m->options,
		.arguments = m->arguments,
		.orchestrator = m->tags[IMAGE_ORCHESTRATOR],
	};
	if (!f->base_port) {
		cli_complain(cmd,
			"base_port: 0 lets each machine choose, and on AWS the orchestrator has to know");
		return false;
	}
	if (!make_networks(m, cmd, open_to_all) || !make_containers(m, cmd, config) ||
		!add_image(m, cmd, IMAGE_ORCHESTRATOR))
		return false;
	if (!make_config(m, config, region)) {
		cli_complain(cmd, "out of memory");
		return false;
	}
	m->wanted.config = m->config;
	return true;
}

void aws_making_finish(struct aws_making *m)
{
	for (size_t i = 0; i < m->wanted.n_objects; i++)
		close(m->wanted.objects[i].fd);
	free(m->networks);
	free(m->texts);
	free(m->config);
	*m = (struct aws_making){ 0 };
}
