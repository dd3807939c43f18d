#include "cli/surroundings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool find_self(struct surroundings *s)
{
	ssize_t n = readlink("/proc/self/exe", s->self, sizeof s->self - 1);
	if (n <= 0)
		return false;
	s->self[n] = '\0';
	str_copy(s->directory, sizeof s->directory, str_of(s->self));
	*strrchr(s->directory, '/') = '\0';
	return true;
}

static bool join(char path[PATH_MAX], const char *directory, const char *rest)
{
	return snprintf(path, PATH_MAX, "%s/%s", directory, rest) < PATH_MAX;
}

bool surroundings_find(struct surroundings *s, const struct command *cmd)
{
	if (!find_self(s) || !join(s->program, s->directory, "berth-worker")) {
		cli_complain(cmd, "cannot tell where this program is: /proc is needed");
		return false;
	}
	if (access(s->program, X_OK) == 0)
		return true;
	cli_complain(cmd, "%s: %s: berth-worker has to be beside berth (make builds both)", s->program,
		strerror(errno));
	return false;
}

const char *surroundings_model(struct surroundings *s, const char *model)
{
	static const char *const places[] = { "..", "../share/berth" };
	char place[PATH_MAX];
	if (model[0] == '/' || access(model, F_OK) == 0)
		return model;
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		if (join(place, s->directory, places[i]) && join(s->model, place, model) &&
			access(s->model, F_OK) == 0)
			return s->model;
	}
	return model;
}

bool surroundings_check_model(const struct command *cmd, const char *model)
{
	char path[PATH_MAX];
	struct stat st;
	if (stat(model, &st) == 0) {
		if (!S_ISDIR(st.st_mode) || (join(path, model, "model.onnx") && access(path, R_OK) == 0))
			return true;
		cli_complain(cmd,
			"--model: %s has no model.onnx that can be read: a directory with one, or an "
			".onnx file",
			model);
		return false;
	}
	cli_complain(cmd, "--model: %s: %s", model, strerror(errno));
	return false;
}
