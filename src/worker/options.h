/* options: the command line of berth-worker. */
#pragma once
#include "io/io.h"
#include "worker/why.h"

enum { SLOTS_MAX = 256, LISTEN_MAX = 4 };

struct options {
	const char *model; /* borrowed from argv */
	const char *name;  /* likewise; NULL: the model's own */
	struct io_addr listen[LISTEN_MAX];
	size_t n_listen; /* at least 1 */
	uint32_t slots;
	uint64_t delay_us;
	uint32_t delay_jitter; /* per cent */
	uint64_t max_body;     /* bytes */
	bool help, version;    /* asked for: nothing else counts */
	bool health;           /* asked for: only the first of listen counts */
};

MUST_USE bool options_read(struct options *o, int argc, char **argv, struct why *why);

extern const char options_help[];
