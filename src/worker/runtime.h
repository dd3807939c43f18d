/* runtime: the ONNX Runtime library: finds it, loads it, and holds what all sessions share.
 *
 * Where it is looked for, in this order; the first that is there is the one:
 *   $BERTH_ORT
 *   node_modules/sherpa-onnx-linux-{x64,arm64}/[lib/]libonnxruntime.so, from the program's directory upward
 *   /usr/lib/berth/libonnxruntime.so
 *   libonnxruntime.so, libonnxruntime.so.1, libonnxruntime.so.1.21 (Debian 13), wherever the loader finds it
 */
#pragma once
#include "worker/ort_api.h"
#include "worker/why.h"

#include <stdbool.h>

struct runtime {
	struct ort ort;
	void *library;                  /* owned; stays loaded */
	struct OrtEnv *env;             /* owned */
	struct OrtMemoryInfo *memory;   /* owned: the machine's own memory */
	struct OrtAllocator *allocator; /* borrowed from the library */
	const char *version;            /* borrowed from the library: "1.28.2" */
};

enum { RUNTIME_PATH = 4096 };

/* The file that runtime_open takes, without symbolic links. False with why. */
MUST_USE bool runtime_find_file(const char *program_dir, char ret[RUNTIME_PATH], struct why *why);

/* program_dir: where the running program lies; looked at, and its parents. */
MUST_USE bool runtime_open(struct runtime *rt, const char *program_dir, struct why *why);
void runtime_close(struct runtime *rt);

/* Releases status. Returns 0 when it is NULL, else the error's code (an OrtErrorCode, > 0), with its message
 * in *why. */
MUST_USE int runtime_check(const struct runtime *rt, struct OrtStatus *status, struct why *why);
