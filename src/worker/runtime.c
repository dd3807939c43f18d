#include "worker/runtime.h"

#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__aarch64__)
#define NPM_PACKAGE "sherpa-onnx-linux-arm64"
#else
#define NPM_PACKAGE "sherpa-onnx-linux-x64"
#endif

#define WHAT_TO_DO \
	"run `npm ci --ignore-scripts` in Berth's directory, or set BERTH_ORT=/path/to/libonnxruntime.so"

static bool is_file(char path[PATH_MAX], const char *dir, const char *below)
{
	int n = snprintf(path, PATH_MAX, "%s%s", dir, below);
	return n > 0 && n < PATH_MAX && access(path, R_OK) == 0;
}

/* The library among the installed npm packages, from program_dir upward. */
static bool find_in_node_modules(const char *program_dir, char path[PATH_MAX])
{
	char dir[PATH_MAX];
	snprintf(dir, sizeof dir, "%s", program_dir);
	for (;;) {
		if (is_file(path, dir, "/node_modules/" NPM_PACKAGE "/lib/libonnxruntime.so") ||
			is_file(path, dir, "/node_modules/" NPM_PACKAGE "/libonnxruntime.so"))
			return true;
		char *slash = strrchr(dir, '/');
		if (!slash)
			return false;
		*slash = '\0';
	}
}

static void *load(const char *path, struct why *why)
{
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		why_set(why, "cannot load the model runtime: %s; " WHAT_TO_DO, dlerror());
	return library;
}

static void *load_by_name(struct why *why)
{
	static const char *const names[] = { "libonnxruntime.so", "libonnxruntime.so.1",
		"libonnxruntime.so.1.21" };
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		void *library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
		if (library)
			return library;
	}
	why_set(why, "the model runtime libonnxruntime.so is not installed: " WHAT_TO_DO);
	return NULL;
}

static void *find_and_load(const char *program_dir, struct why *why)
{
	char path[PATH_MAX];
	const char *asked = getenv("BERTH_ORT");
	if (asked && *asked)
		return load(asked, why);
	if (find_in_node_modules(program_dir, path) || is_file(path, "/usr/lib/berth", "/libonnxruntime.so"))
		return load(path, why);
	return load_by_name(why);
}

bool runtime_find_file(const char *program_dir, char ret[RUNTIME_PATH], struct why *why)
{
	struct link_map *map = NULL;
	void *library = find_and_load(program_dir, why);
	if (!library)
		return false;
	bool ok = dlinfo(library, RTLD_DI_LINKMAP, &map) == 0 && map && realpath(map->l_name, ret);
	/* It stays loaded: what its constructors have allocated would be out of reach. */
	return ok ? true : why_set(why, "cannot tell where the model runtime was loaded from");
}

/* Picks the functions in use out of the library's table. */
static void bind_functions(struct ort *ort, const struct OrtApi *api)
{
	const void *const *table = (const void *const *)(const void *)api;
#define ORT_BIND(place, result, name, parameters) memcpy(&ort->name, &table[place], sizeof ort->name);
	ORT_FUNCTIONS(ORT_BIND)
#undef ORT_BIND
}

static bool bind_library(struct runtime *rt, struct why *why)
{
	const struct OrtApiBase *(*get_base)(void) = NULL;
	void *symbol = dlsym(rt->library, "OrtGetApiBase");
	if (!symbol)
		return why_set(
			why, "the model runtime has no OrtGetApiBase, so it is no ONNX Runtime: " WHAT_TO_DO);
	memcpy(&get_base, &symbol, sizeof symbol);
	const struct OrtApiBase *base = get_base();
	rt->version = base->GetVersionString();
	const struct OrtApi *api = base->GetApi(ORT_VERSION_WANTED);
	if (!api)
		return why_set(why,
			"the model runtime is ONNX Runtime %s, and 1.%d or later is needed: " WHAT_TO_DO,
			rt->version, ORT_VERSION_WANTED);
	bind_functions(&rt->ort, api);
	return true;
}

bool runtime_open(struct runtime *rt, const char *program_dir, struct why *why)
{
	*rt = (struct runtime){ 0 };
	/* Official builds from 1.29 on otherwise start a thread that writes files and names a collector. */
	setenv("ORT_DISABLE_TELEMETRY", "1", 1);
	rt->library = find_and_load(program_dir, why);
	if (!rt->library || !bind_library(rt, why))
		return false;
	const struct ort *ort = &rt->ort;
	struct why reason;
	if (runtime_check(rt, ort->CreateEnv(ORT_LOG_FATAL, "berth-worker", &rt->env), &reason) ||
		runtime_check(rt,
			ort->CreateCpuMemoryInfo(ORT_ALLOCATOR_DEVICE, ORT_MEMORY_DEFAULT, &rt->memory),
			&reason) ||
		runtime_check(rt, ort->GetAllocatorWithDefaultOptions(&rt->allocator), &reason)) {
		why_set(why, "ONNX Runtime %s does not start: %s", rt->version, reason.text);
		runtime_close(rt);
		return false;
	}
	return true;
}

void runtime_close(struct runtime *rt)
{
	if (rt->memory)
		rt->ort.ReleaseMemoryInfo(rt->memory);
	if (rt->env)
		rt->ort.ReleaseEnv(rt->env);
	*rt = (struct runtime){ 0 };
}

int runtime_check(const struct runtime *rt, struct OrtStatus *status, struct why *why)
{
	if (!status)
		return 0;
	int code = rt->ort.GetErrorCode(status);
	why_set(why, "%s", rt->ort.GetErrorMessage(status));
	rt->ort.ReleaseStatus(status);
	return code ? code : 1;
}
