#include "fleet/digest.h"

#include <errno.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { READ_BYTES = 256 << 10 };

static void print_hash(struct sha256_ctx *sha, char ret[DIGEST_TEXT])
{
	uint8_t hash[SHA256_DIGEST_SIZE];
	sha256_digest(sha, sizeof hash, hash);
	for (size_t i = 0; i < sizeof hash; i++)
		snprintf(ret + 2 * i, 3, "%02x", hash[i]);
}

void digest_bytes(struct str bytes, char ret[DIGEST_TEXT])
{
	struct sha256_ctx sha;
	sha256_init(&sha);
	sha256_update(&sha, bytes.len, (const uint8_t *)bytes.ptr);
	print_hash(&sha, ret);
}

bool digest_file(int fd, char ret[DIGEST_TEXT], uint64_t *ret_bytes)
{
	struct sha256_ctx sha;
	uint8_t *buf = malloc(READ_BYTES);
	uint64_t at = 0;
	ssize_t n;
	if (!buf)
		return false;
	sha256_init(&sha);
	while ((n = pread(fd, buf, READ_BYTES, (off_t)at)) > 0) {
		sha256_update(&sha, (size_t)n, buf);
		at += (uint64_t)n;
	}
	free(buf);
	if (n < 0)
		return false;
	print_hash(&sha, ret);
	*ret_bytes = at;
	return true;
}
