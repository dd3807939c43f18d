/* options: the command line of berth-worker. */
#pragma once
#include "io/io.h"
#include "worker/why.h"

enum { SLOTS_MAX = 256 };

struct options {
	const char *model; /* borrowed from argv */
	const char *name;  /* likewise; NULL: the model's own */
	struct io_addr listen;
	uint32_t slots;
	uint64_t delay_us;
	uint32_t delay_jitter; /* per cent */
	uint64_t max_body;     /* bytes */
	bool help, version;    /* asked for: nothing else counts */
	bool health;           /* asked for: only listen counts */
};

MUST_USE bool options_read(struct options *o, int argc, char **argv, struct why *why);

extern const char options_help[];
