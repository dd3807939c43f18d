/* surroundings: what is beside this program: berth-worker, the model runtime, the models. */
#pragma once
#include "cli/cli.h"

#include <limits.h>

struct surroundings {
	char directory[PATH_MAX]; /* of this program */
	char self[PATH_MAX];      /* this program */
	char program[PATH_MAX];   /* berth-worker */
	char model[PATH_MAX];
};

/* Where this program and berth-worker are. False after a complaint, also when berth-worker is not there. */
MUST_USE bool surroundings_find(struct surroundings *s, const struct command *cmd);

/* A relative path that leads nowhere from here may lead somewhere from where the program was built or
 * installed. Returns the path, or the model as it is when it is nowhere. */
const char *surroundings_model(struct surroundings *s, const char *model);

/* Is it a directory with model.onnx in it, or a file? False after a complaint. */
MUST_USE bool surroundings_check_model(const struct command *cmd, const char *model);
