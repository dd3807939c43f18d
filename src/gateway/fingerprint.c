#include "gateway/fingerprint.h"

#include <nettle/sha2.h>
#include <stdlib.h>

_Static_assert(STORE_HASH_BYTES == SHA256_DIGEST_SIZE, "a fingerprint is a SHA-256");

struct fingerprint {
	struct sha256_ctx sha;
};

struct fingerprint *fingerprint_create(struct str head)
{
	struct str line = str_cut(&head, '\r');
	struct fingerprint *f = malloc(sizeof *f);
	if (!f)
		return NULL;
	sha256_init(&f->sha);
	fingerprint_add(f, line);
	fingerprint_add(f, STR("\n"));
	return f;
}

void fingerprint_add(struct fingerprint *f, struct str piece)
{
	sha256_update(&f->sha, piece.len, (const uint8_t *)piece.ptr);
}

void fingerprint_end(struct fingerprint *f, uint8_t ret_hash[STORE_HASH_BYTES])
{
	sha256_digest(&f->sha, STORE_HASH_BYTES, ret_hash);
}

void fingerprint_destroy(struct fingerprint *f)
{
	free(f);
}
