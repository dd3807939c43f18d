/* json_in: a limit on the JSON that is read. */
#pragma once

/* A tree of numbers takes some twenty times the bytes of its text. Texts can be sent plain, tensors in
 * binary. */
enum { JSON_IN_MAX_BYTES = 16 * 1024 * 1024 };
