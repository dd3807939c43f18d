/* fault: what the machine under the gateway runs out of: memory, descriptors, and connections that end before
 * they are accepted. Which faults a run has, and when they strike, is decided by a rand of its own, so that a
 * seed without them runs as if there were none.
 */
#pragma once
#include "base/rand.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fault {
	FAULT_MEMORY,      /* malloc gives the gateway nothing (starve.c) */
	FAULT_POOL,        /* nor does an objpool (starve.c) */
	FAULT_ABORTED,     /* a connection ends in the backlog (accept: ECONNABORTED) */
	FAULT_BACKLOG,     /* it has to wait there (accept: EMFILE, ENFILE) */
	FAULT_ACCEPT,      /* io_accept fails */
	FAULT_CONNECT,     /* io_connect fails (socket: EMFILE) */
	FAULT_SPOOL_OPEN,  /* there is no spool file to be had */
	FAULT_SPOOL_USE,   /* a write or a read cannot even be begun */
	FAULT_SPOOL_FILE,  /* its descriptor cannot be had */
	FAULT_SEAT_LOST,   /* a container's connection is forgotten on the way, idle or not: no end is seen */
	FAULT_CLIENT_LOST, /* likewise an idle client's */
	FAULT_SLOW_CHECK,  /* a container takes its time over a health check */
	FAULTS,
};

struct faults {
	struct rand rand;
	uint32_t ppm[FAULTS]; /* chances, in a million */
	uint64_t struck;      /* how often, in all */
};

/* What a seed has of them. */
void faults_draw(struct faults *f, uint64_t seed);

/* None any more. */
void faults_end(struct faults *f);

bool fault_strikes(struct faults *f, enum fault which);

/* The simulator's own memory, of which there is always enough: aborts without. */
void *sim_alloc(size_t bytes);
void *sim_realloc(void *p, size_t bytes);

/* True when the gateway is to be given none. which: FAULT_MEMORY or FAULT_POOL. */
bool memory_fails(enum fault which);

/* Whose faults those are from now on; NULL: nobody's. */
void memory_follows(struct faults *f);
