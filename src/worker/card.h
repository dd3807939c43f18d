/* card: what a model directory says about its model beside the graph: model.json and the samples it names.
 *
 * model.json: {"name": "spam", "version": "1", "labels": ["ham", "spam"], "samples": "samples.json",
 * "description": …}; every key may be missing. The samples are a JSON array of texts.
 */
#pragma once
#include "base/str.h"
#include "worker/why.h"

#include <stdint.h>

struct json_t; /* jansson's */

struct card {
	struct json_t *root;    /* owned; NULL: no model.json */
	struct json_t *samples; /* owned; an array of strings, or NULL */
};

/* dir: the model's directory. A missing model.json is no error; a wrong one is. */
MUST_USE bool card_read(struct card *c, const char *dir, struct why *why);
void card_finish(struct card *c);

/* A text of model.json, or `otherwise`; good as long as the card is. */
const char *card_text(const struct card *c, const char *key, const char *otherwise);

/* The label of this class; ptr NULL when there is none. */
struct str card_label(const struct card *c, int64_t class);

uint32_t card_n_samples(const struct card *c);
struct str card_sample(const struct card *c, uint32_t i);
