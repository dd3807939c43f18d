#include "fleet/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { READ_BYTES = 256 << 10 };

static bool finish(EVP_MD_CTX *md, bool ok, char ret[DIGEST_TEXT])
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	ok = ok && EVP_DigestFinal_ex(md, hash, NULL);
	for (size_t i = 0; ok && i < (DIGEST_TEXT - 1) / 2; i++)
		snprintf(ret + 2 * i, 3, "%02x", hash[i]);
	EVP_MD_CTX_free(md);
	return ok;
}

static bool start(EVP_MD_CTX **ret)
{
	*ret = EVP_MD_CTX_new();
	return *ret && EVP_DigestInit_ex(*ret, EVP_sha256(), NULL);
}

bool digest_bytes(struct str bytes, char ret[DIGEST_TEXT])
{
	EVP_MD_CTX *md;
	bool ok = start(&md) && EVP_DigestUpdate(md, bytes.ptr, bytes.len);
	return finish(md, ok, ret);
}

bool digest_file(int fd, char ret[DIGEST_TEXT], uint64_t *ret_bytes)
{
	EVP_MD_CTX *md;
	char *buf = malloc(READ_BYTES);
	bool ok = start(&md) && buf;
	uint64_t at = 0;
	ssize_t n = 0;
	errno = ok ? 0 : ENOMEM;
	while (ok && (n = pread(fd, buf, READ_BYTES, (off_t)at)) > 0) {
		ok = EVP_DigestUpdate(md, buf, (size_t)n);
		at += (uint64_t)n;
	}
	free(buf);
	if (!finish(md, ok && n == 0, ret))
		return false;
	*ret_bytes = at;
	return true;
}
