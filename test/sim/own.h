/* own: reads the JSON of Berth's own answers. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct own_answer {
	char type[64];     /* of a problem: "urn:berth:problem:…" */
	int64_t status;    /* of a problem; -1: none */
	char message[128]; /* of a submission */
	char id[40];
	char state[16], reason[16];
	int64_t position; /* -1: none */
	bool has_eta;     /* a number or null */
	char status_url[96], result_url[96];
};

/* False when it is no JSON object, or one of these members is not of its kind or there twice. Members that
 * are not there are empty. */
bool own_read(const char *text, size_t n, struct own_answer *ret);
