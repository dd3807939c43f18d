/* fuzz: what a target is: one function that takes any bytes and aborts when a property does not hold.
 *
 * libFuzzer calls it with what it makes up (option `fuzz`); replay.c calls it with the files of a corpus. The
 * bytes lie in memory of exactly their size, so that AddressSanitizer sees a read past them.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
