/* model: an ONNX model as a session of ONNX Runtime, with what its directory says about it.
 *
 * Runs may go on in several threads at once. Each has a run of its own (struct model_run), which holds what
 * is reused.
 */
#pragma once
#include "worker/card.h"
#include "worker/runtime.h"
#include "worker/tensor.h"

struct model {
	const struct runtime *rt;   /* borrowed */
	struct OrtSession *session; /* owned */
	struct signature signature; /* owned */
	struct card card;           /* owned */
	char *file_name;            /* owned; the file's or directory's name, without ".onnx" */
	const char *name, *version; /* borrowed from the card, file_name or the caller */
	/* What /run_model feeds and reads; has_text is false when it cannot. */
	bool has_text;
	int probabilities, label; /* outputs, or -1 */
};

/* path: a directory with model.onnx, or a file. name: overrides the model's own name; borrowed; may be NULL.
 */
MUST_USE bool model_open(
	struct model *m, const struct runtime *rt, const char *path, const char *name, struct why *why);
void model_close(struct model *m);

struct model_run {
	const struct model *model;     /* borrowed */
	struct OrtRunOptions *options; /* owned */
	struct OrtValue *text; /* owned: the one string that /run_model feeds; NULL while there is none */
};

MUST_USE bool model_run_init(struct model_run *run, const struct model *m, struct why *why);
void model_run_finish(struct model_run *run);

/* Puts a text into run->text. False with *why when there is no memory. */
MUST_USE bool model_run_set_text(struct model_run *run, struct str text, struct why *why);

/* Gives back the memory that a long text took, which a string never does by itself. */
void model_run_drop_text(struct model_run *run);

/* From any thread: the run under way ends soon, with an error. It holds for later runs too, until
 * model_run_renew. */
void model_run_cancel(struct model_run *run);
void model_run_renew(struct model_run *run);
