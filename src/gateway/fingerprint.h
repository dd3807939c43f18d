/* fingerprint: SHA-256 over what a request asks for, taken as it comes, to tell whether an Idempotency-Key
 * comes with the same request again. */
#pragma once
#include "base/check.h"
#include "base/str.h"
#include "store/store.h"

struct fingerprint;

/* Of the request line (a head's first) and the body that is added. NULL without memory. */
MUST_USE struct fingerprint *fingerprint_create(struct str head);
void fingerprint_add(struct fingerprint *f, struct str piece);

/* Of all that was added. */
void fingerprint_end(struct fingerprint *f, uint8_t ret_hash[STORE_HASH_BYTES]);
/* NULL is allowed. */
void fingerprint_destroy(struct fingerprint *f);
