#include "fault.h"

#include "base/check.h"

#include <stdlib.h>

static struct faults *of_memory; /* borrowed */
static volatile bool own;        /* the simulator allocates for itself: seen from within realloc */

static uint32_t some(struct rand *r, uint32_t most_ppm)
{
	return rand_below(r, 2) ? 0 : 1 + (uint32_t)rand_below(r, most_ppm);
}

void faults_draw(struct faults *f, uint64_t seed)
{
	*f = (struct faults){ 0 };
	rand_seed(&f->rand, seed ^ UINT64_C(0xfa017fa017fa017f));
	if (rand_below(&f->rand, 3))
		return;
	f->ppm[FAULT_MEMORY] = some(&f->rand, rand_below(&f->rand, 4) ? 2000 : 50000);
	f->ppm[FAULT_POOL] = some(&f->rand, 20000);
	f->ppm[FAULT_ABORTED] = some(&f->rand, 100000);
	f->ppm[FAULT_BACKLOG] = some(&f->rand, 100000);
	f->ppm[FAULT_ACCEPT] = some(&f->rand, 100000);
	f->ppm[FAULT_CONNECT] = some(&f->rand, 100000);
	f->ppm[FAULT_SPOOL_OPEN] = some(&f->rand, 200000);
	f->ppm[FAULT_SPOOL_USE] = some(&f->rand, 200000);
	f->ppm[FAULT_SPOOL_FILE] = some(&f->rand, 200000);
	f->ppm[FAULT_SEAT_LOST] = some(&f->rand, 20000);
	f->ppm[FAULT_CLIENT_LOST] = some(&f->rand, 50000);
	f->ppm[FAULT_SLOW_CHECK] = some(&f->rand, 200000);
}

void faults_end(struct faults *f)
{
	for (int i = 0; i < FAULTS; i++)
		f->ppm[i] = 0;
}

bool fault_strikes(struct faults *f, enum fault which)
{
	if (!f->ppm[which] || !rand_chance(&f->rand, f->ppm[which]))
		return false;
	f->struck++;
	return true;
}

void *sim_realloc(void *p, size_t bytes)
{
	own = true;
	p = realloc(p, bytes);
	own = false;
	CHECK(p);
	return p;
}

void *sim_alloc(size_t bytes)
{
	return sim_realloc(NULL, bytes);
}

bool memory_fails(enum fault which)
{
	return !own && of_memory && fault_strikes(of_memory, which);
}

void memory_follows(struct faults *f)
{
	of_memory = f;
}
