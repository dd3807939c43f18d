#include "gateway/fingerprint.h"

#include "gateway/exchange.h"

#include <errno.h>
#include <openssl/evp.h>

enum { SLICES = 16 };

static bool add_body(EVP_MD_CTX *md, struct exchange *ex)
{
	struct iovec iov[SLICES];
	bool ok = EVP_DigestUpdate(md, ex->request + ex->head_bytes, ex->request_bytes - ex->head_bytes);
	for (uint64_t at = 0; ok && ex->body && at < ex->body->size;) {
		int n = buffer_peek(ex->body, at, iov, SLICES);
		ok = n > 0;
		for (int i = 0; ok && i < n; i++) {
			ok = EVP_DigestUpdate(md, iov[i].iov_base, iov[i].iov_len);
			at += iov[i].iov_len;
		}
	}
	return ok;
}

int fingerprint(struct exchange *ex, uint8_t ret_hash[STORE_HASH_BYTES])
{
	struct str head = { ex->request, ex->head_bytes }, line = str_cut(&head, '\r');
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) &&
		EVP_DigestUpdate(md, line.ptr, line.len) && EVP_DigestUpdate(md, "\n", 1) &&
		add_body(md, ex) && EVP_DigestFinal_ex(md, ret_hash, NULL);
	EVP_MD_CTX_free(md);
	return ok ? 0 : -ENOMEM;
}
