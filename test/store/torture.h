/* torture: what the writer and its checker agree on: how job n looks, and what an acknowledgement says. */
#pragma once
#include "store/store.h"

#include <stdint.h>

/* On the pipe, from the writer: a change was acknowledged. */
struct ack {
	uint64_t n;
	int32_t err;   /* 0 or -EALREADY */
	int32_t state; /* of the job, then */
};

enum { POOLS = 3, RUN_NUMBERS = 1000000 }; /* run k gives its jobs the numbers from k × RUN_NUMBERS + 1 on */

struct store_id torture_id(uint64_t n);
const char *torture_pool(uint64_t n);

/* Bytes of job n's request, or of its answer. */
uint64_t torture_body_bytes(uint64_t n, bool answer);
void torture_fill(char *into, uint64_t n, bool answer);
