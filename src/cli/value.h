/* value: the texts that a setting is written as: durations, sizes, numbers, addresses.
 *
 * Never:  allocates. On a bad text *ret stays as it was.
 */
#pragma once
#include "base/check.h"
#include "base/str.h"
#include "io/io.h"

#include <stdbool.h>
#include <stdint.h>

enum { VALUE_TEXT = 48 };

/* "250ms", "1s", "10m", "1h", also "500us" and "1d"; whole numbers, a unit is required except for 0. In
 * microseconds. */
MUST_USE bool value_duration(struct str text, uint64_t *ret_us);

/* "64KiB", "1MiB", "2GiB" (powers of 1024), "10kB", "10MB", "1GB" (powers of 1000), "512" and "512B". In
 * bytes. */
MUST_USE bool value_bytes(struct str text, uint64_t *ret_bytes);

/* The inverses, with the largest unit that loses nothing. Return text. */
const char *value_duration_print(uint64_t us, char text[VALUE_TEXT]);
const char *value_bytes_print(uint64_t bytes, char text[VALUE_TEXT]);

/* An address that io_addr_parse takes. On failure returns what is wrong with it (static), else NULL. */
MUST_USE const char *value_addr(struct str text, struct io_addr *ret_addr);

/* True for an address or a network, "10.0.0.1", "10.0.0.0/8", "fd00::/8". */
bool value_is_network(struct str text);
