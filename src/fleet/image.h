/* image: container images of Berth as docker-archive tarballs, made without Docker.
 *
 * The worker's holds berth-worker, its loader and libraries, the model runtime and, if asked for, the model
 * at /model; the orchestrator's holds berth. Nothing else: no shell, no package manager. Each runs as user
 * 65532. The same files give the same bytes: entries are sorted, times are 0, owners are fixed.
 */
#pragma once
#include "base/check.h"

#include <stdbool.h>
#include <stdint.h>

enum image_what { IMAGE_WORKER, IMAGE_ORCHESTRATOR };

enum { IMAGE_ERROR = 4600, IMAGE_ID = 72, IMAGE_TAG = 80 };
enum { IMAGE_USER = 65532, IMAGE_WORKER_PORT = 5000, IMAGE_FRONT_PORT = 8080 };

/* Where the orchestrator keeps what shall outlive it: a volume belongs there. */
#define IMAGE_STATE_DIR "/var/lib/berth"

#define IMAGE_WORKER_PROGRAM "/usr/bin/berth-worker"

struct image_settings {
	enum image_what what;
	const char *program; /* path of berth-worker or berth */
	const char *runtime; /* worker: path of libonnxruntime.so */
	const char *model;   /* worker: a directory or an .onnx file; NULL: none, to be mounted at /model */
	bool cloud; /* orchestrator: libcurl and the machine's certificates too, for aws: and docker: sources
		     */
};

struct image {
	int fd;              /* owned; the tarball, a file without a name, read from its start with pread */
	uint64_t bytes;      /* of it */
	char id[IMAGE_ID];   /* "sha256:…" of the image's configuration, by which Docker knows it */
	char tag[IMAGE_TAG]; /* "berth-worker:0123456789ab", from the id; the tarball also says
				berth-worker:latest */
};

/* The tarball is written to $TMPDIR, else /var/tmp. False with one line in error. */
MUST_USE bool image_make(const struct image_settings *s, struct image *ret, char error[IMAGE_ERROR]);
void image_close(struct image *image);
