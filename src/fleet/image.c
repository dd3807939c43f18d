#include "fleet/image.h"

#include "base/str.h"
#include "fleet/digest.h"
#include "fleet/image_elf.h"
#include "fleet/image_files.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIBRARIES    "/usr/lib/berth" /* where berth-worker looks for the model runtime, too */
#define CERTIFICATES "/etc/ssl/certs/ca-certificates.crt"
#define EPOCH        "1970-01-01T00:00:00Z"

enum { TAG_DIGITS = 12 };

static const char *const names[] = { [IMAGE_WORKER] = "berth-worker", [IMAGE_ORCHESTRATOR] = "berth" };

/* An image in the making. */
struct maker {
	const struct image_settings *settings;
	struct elf_needs needs;
	struct image_files files;
	char model[PATH_MAX]; /* where it is in the image */
	int layer;
	char layer_digest[DIGEST_TEXT];
	char *config; /* owned; JSON */
	char config_digest[DIGEST_TEXT];
	char *error;
};

static bool fail_errno(const struct maker *m, const char *what)
{
	snprintf(m->error, IMAGE_ERROR, "%s: %s", what, strerror(errno));
	return false;
}

static bool fail_memory(const struct maker *m)
{
	snprintf(m->error, IMAGE_ERROR, "out of memory");
	return false;
}

/* ---- what is in it ---- */

static bool add_libraries(struct maker *m)
{
	char path[PATH_MAX];
	if (!image_files_add(&m->files, m->needs.loader, m->needs.loader, m->error))
		return false;
	for (size_t i = 0; i < m->needs.n; i++) {
		snprintf(path, sizeof path, LIBRARIES "/%s", m->needs.libraries[i].name);
		if (!image_files_add(&m->files, path, m->needs.libraries[i].path, m->error))
			return false;
	}
	return true;
}

static bool add_model(struct maker *m)
{
	const char *model = m->settings->model;
	struct stat st;
	str_copy(m->model, sizeof m->model, STR("/model"));
	if (!model)
		return image_files_add_directory(&m->files, m->model, false, m->error);
	if (stat(model, &st))
		return fail_errno(m, model);
	if (S_ISDIR(st.st_mode))
		return image_files_add_tree(&m->files, m->model, model, m->error);
	const char *slash = strrchr(model, '/');
	snprintf(m->model, sizeof m->model, "/model/%s", slash ? slash + 1 : model);
	return image_files_add(&m->files, m->model, model, m->error);
}

static bool gather_worker(struct maker *m)
{
	return elf_add_library(&m->needs, "libonnxruntime.so", m->settings->runtime, m->error) &&
		add_model(m);
}

static bool gather_orchestrator(struct maker *m)
{
	if (m->settings->cloud &&
		(!elf_add_library(&m->needs, "libcurl.so.4", NULL, m->error) ||
			!image_files_add(&m->files, CERTIFICATES, CERTIFICATES, m->error)))
		return false;
	return image_files_add_directory(&m->files, IMAGE_STATE_DIR, true, m->error);
}

static bool gather(struct maker *m)
{
	char path[PATH_MAX];
	snprintf(path, sizeof path, "/usr/bin/%s", names[m->settings->what]);
	if (!elf_find(&m->needs, m->settings->program, m->error) ||
		!image_files_add(&m->files, path, m->settings->program, m->error))
		return false;
	bool ok = m->settings->what == IMAGE_WORKER ? gather_worker(m) : gather_orchestrator(m);
	return ok && add_libraries(m);
}

/* ---- files without a name ---- */

static int make_file(const struct maker *m)
{
	const char *directory = getenv("TMPDIR");
	if (!directory || !*directory)
		directory = "/var/tmp";
	int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		fail_errno(m, directory);
	return fd;
}

static bool make_layer(struct maker *m)
{
	uint64_t bytes;
	m->layer = make_file(m);
	if (m->layer < 0 || !image_files_write(&m->files, m->layer, m->error))
		return false;
	return digest_file(m->layer, m->layer_digest, &bytes) || fail_errno(m, "the image's layer");
}

/* ---- how it runs ---- */

/* The health check's first run is one interval after the start. */
static json_t *health_check(json_t *command)
{
	return json_pack("{s:o, s:I, s:I, s:i}", "Test", command, "Interval", (json_int_t)30000000000,
		"Timeout", (json_int_t)5000000000, "Retries", 3);
}

static json_t *how_worker_runs(const struct maker *m)
{
	return json_pack("{s:[s,s,s], s:[s,s], s:{s:{}}, s:o, s:s}", "Entrypoint", IMAGE_WORKER_PROGRAM,
		"--model", m->model, "Cmd", "--listen", ":5000", "ExposedPorts", "5000/tcp", "Healthcheck",
		health_check(json_pack(
			"[s,s,s,s,s]", "CMD", IMAGE_WORKER_PROGRAM, "--health", "--listen", ":5000")),
		"WorkingDir", "/");
}

static json_t *how_orchestrator_runs(void)
{
	return json_pack("{s:[s], s:[s,s,s], s:{s:{}}, s:o, s:s}", "Entrypoint", "/usr/bin/berth", "Cmd",
		"serve", "--listen", ":8080", "ExposedPorts", "8080/tcp", "Healthcheck",
		health_check(json_pack("[s,s,s]", "CMD", "/usr/bin/berth", "health")), "WorkingDir",
		IMAGE_STATE_DIR);
}

/* The annotations of the OCI image specification, as labels. */
static json_t *labels(const struct maker *m)
{
	static const char *const descriptions[] = {
		[IMAGE_WORKER] = "HTTP in front of an ONNX model, one slot a request",
		[IMAGE_ORCHESTRATOR] = "an exact, honest queue in front of the containers that run a model",
	};
	return json_pack("{s:s, s:s, s:s, s:s}", "org.opencontainers.image.title", names[m->settings->what],
		"org.opencontainers.image.description", descriptions[m->settings->what],
		"org.opencontainers.image.version", BERTH_VERSION, "org.opencontainers.image.licenses",
		"Apache-2.0");
}

static bool make_config(struct maker *m)
{
	char user[32], diff[80];
	json_t *run = m->settings->what == IMAGE_WORKER ? how_worker_runs(m) : how_orchestrator_runs();
	snprintf(user, sizeof user, "%d:%d", IMAGE_USER, IMAGE_USER);
	snprintf(diff, sizeof diff, "sha256:%s", m->layer_digest);
	if (!run || json_object_set_new(run, "User", json_string(user)) ||
		json_object_set_new(run, "Labels", labels(m)) ||
		json_object_set_new(
			run, "Env", json_pack("[s,s]", "PATH=/usr/bin", "LD_LIBRARY_PATH=" LIBRARIES))) {
		json_decref(run);
		return fail_memory(m);
	}
	json_t *config = json_pack("{s:s, s:s, s:s, s:o, s:{s:s, s:[s]}, s:[{s:s, s:s}]}", "architecture",
		m->needs.architecture, "os", "linux", "created", EPOCH, "config", run, "rootfs", "type",
		"layers", "diff_ids", diff, "history", "created", EPOCH, "created_by", "berth image");
	m->config = config ? json_dumps(config, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
	json_decref(config);
	if (!m->config)
		return fail_memory(m);
	digest_bytes(str_of(m->config), m->config_digest);
	return true;
}

/* ---- the tarball ---- */

static char *manifest(const struct maker *m, const char *config, const char *layer, const char *tag)
{
	char latest[IMAGE_TAG];
	snprintf(latest, sizeof latest, "%s:latest", names[m->settings->what]);
	json_t *root = json_pack(
		"[{s:s, s:[s,s], s:[s]}]", "Config", config, "RepoTags", tag, latest, "Layers", layer);
	char *text = root ? json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
	json_decref(root);
	return text;
}

static bool write_members(struct maker *m, struct archive *a, const char *tag)
{
	char config[DIGEST_TEXT + 8], layer[DIGEST_TEXT + 16];
	snprintf(config, sizeof config, "%s.json", m->config_digest);
	snprintf(layer, sizeof layer, "%s.tar", m->layer_digest);
	char *text = manifest(m, config, layer, tag);
	bool ok = text ? tar_add(a, "manifest.json", text, strlen(text), 0, m->error) : fail_memory(m);
	free(text);
	return ok && tar_add(a, config, m->config, strlen(m->config), 0, m->error) &&
		tar_add_file(a, layer, m->layer, 0644, m->error);
}

static bool make_tarball(struct maker *m, struct image *image)
{
	struct stat st;
	snprintf(image->id, sizeof image->id, "sha256:%s", m->config_digest);
	snprintf(image->tag, sizeof image->tag, "%s:%.*s", names[m->settings->what], TAG_DIGITS,
		m->config_digest);
	image->fd = make_file(m);
	struct archive *a = image->fd < 0 ? NULL : tar_open(image->fd, m->error);
	bool ok = a && write_members(m, a, image->tag);
	if (!tar_close(a, ok, m->error))
		return false;
	if (fstat(image->fd, &st))
		return fail_errno(m, "the image");
	image->bytes = (uint64_t)st.st_size;
	return true;
}

bool image_make(const struct image_settings *s, struct image *ret, char error[IMAGE_ERROR])
{
	struct maker *m = calloc(1, sizeof *m);
	struct image image = { .fd = -1 };
	if (!m) {
		snprintf(error, IMAGE_ERROR, "out of memory");
		return false;
	}
	m->settings = s;
	m->error = error;
	m->layer = -1;
	bool ok = gather(m) && make_layer(m) && make_config(m) && make_tarball(m, &image);
	elf_finish(&m->needs);
	image_files_finish(&m->files);
	if (m->layer >= 0)
		close(m->layer);
	free(m->config);
	free(m);
	if (ok)
		*ret = image;
	else
		image_close(&image);
	return ok;
}

void image_close(struct image *image)
{
	if (image->fd >= 0)
		close(image->fd);
	image->fd = -1;
}
