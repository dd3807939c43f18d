/* store_model: what a store ought to hold, as plainly as can be: an array that is searched from end to end.
 */
#pragma once
#include "store/store.h"

enum { MODEL_IDS = 120 };

struct model_job {
	bool there;
	struct store_record rec; /* without strings */
	uint64_t seq;
	char pool; /* 'a' to 'c' */
	int key;   /* 0: none */
	char container;
	char reasons[64]; /* one letter each */
	uint64_t head_bytes, body_bytes, fill;
};

struct model {
	const struct store_settings *settings; /* borrowed */
	struct model_job jobs[MODEL_IDS];
	uint64_t now_us, next_seq;
};

bool model_is_final(const struct model_job *j);
uint64_t model_count(const struct model *m);

/* The job that has been filled in enters, or not: 0, -EEXIST with the state of the one in the way, -EDQUOT.
 */
int model_enqueue(struct model *m, struct model_job *fresh, int *ret_state);

/* Removes one record or answer, as a purge would; false when there is none. */
bool model_purge_one(struct model *m);
void model_end(struct model *m, struct model_job *j, enum store_state state);
