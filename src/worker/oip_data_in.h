/* oip_data_in: the elements of a tensor as they are sent, in JSON or as bytes, into the machine's form.
 *
 * In the machine's form numbers are in the machine's order (little-endian, as the protocol sends them), a
 * BOOL is a byte, 0 or 1, and strings are struct str. t->spec, rank and dims are set before; t->n, data and
 * owned are set here, and what is owned stays the caller's to free when this fails.
 */
#pragma once
#include "worker/tensor.h"
#include "worker/why.h"

struct json_t; /* jansson's */

/* From flat or nested arrays; strings are borrowed from `data`. */
MUST_USE bool oip_data_of_json(struct tensor *t, const struct json_t *data, struct why *why);

/* From bytes; they are borrowed where aligned for their type. For BYTES each element is a length (4 bytes)
 * and its bytes. */
MUST_USE bool oip_data_of_binary(struct tensor *t, struct str bytes, struct why *why);
