#include "gateway/fingerprint.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>

struct fingerprint {
	EVP_MD_CTX *md; /* owned */
	bool ok;
};

struct fingerprint *fingerprint_create(struct str head)
{
	struct str line = str_cut(&head, '\r');
	struct fingerprint *f = calloc(1, sizeof *f);
	if (!f)
		return NULL;
	f->md = EVP_MD_CTX_new();
	f->ok = f->md && EVP_DigestInit_ex(f->md, EVP_sha256(), NULL);
	fingerprint_add(f, line);
	fingerprint_add(f, STR("\n"));
	return f;
}

void fingerprint_add(struct fingerprint *f, struct str piece)
{
	f->ok = f->ok && EVP_DigestUpdate(f->md, piece.ptr, piece.len);
}

int fingerprint_end(struct fingerprint *f, uint8_t ret_hash[STORE_HASH_BYTES])
{
	return f->ok && EVP_DigestFinal_ex(f->md, ret_hash, NULL) ? 0 : -ENOMEM;
}

void fingerprint_destroy(struct fingerprint *f)
{
	if (!f)
		return;
	EVP_MD_CTX_free(f->md);
	free(f);
}
