/* fingerprint: SHA-256 over what a request asks for, to tell whether an Idempotency-Key comes with the same
 * request again. */
#pragma once
#include "base/check.h"
#include "store/store.h"

struct exchange;

/* Over the request line and the body, which must be in memory. 0 or -ENOMEM. */
MUST_USE int fingerprint(struct exchange *ex, uint8_t ret_hash[STORE_HASH_BYTES]);
