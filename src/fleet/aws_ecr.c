#include "fleet/aws_ecr.h"

#include "fleet/aws_credentials.h"

enum { ACCOUNT_DIGITS = 12 };

/* Cuts what stands before `text` off; false when it is not there. */
static bool cut_before(struct str *rest, struct str text, struct str *ret)
{
	const char *at = memmem(rest->ptr, rest->len, text.ptr, text.len);
	if (!at)
		return false;
	*ret = (struct str){ rest->ptr, (size_t)(at - rest->ptr) };
	*rest = str_skip(*rest, ret->len + text.len);
	return true;
}

static bool is_made_of(struct str s, const char *allowed)
{
	for (size_t i = 0; i < s.len; i++) {
		if (!strchr(allowed, s.ptr[i]))
			return false;
	}
	return s.len > 0;
}

bool aws_ecr_parse(const char *image, struct aws_ecr *ret)
{
	struct aws_ecr e;
	struct str path = str_of(image), rest;
	e.registry = str_cut(&path, '/');
	rest = e.registry;
	if (!cut_before(&rest, STR(".dkr.ecr."), &e.account) ||
		!cut_before(&rest, STR(".amazonaws.com"), &e.region))
		return false;
	e.repository = str_cut(&path, '@');
	e.repository = str_cut(&e.repository, ':');
	bool ok = (!rest.len || str_eq(rest, STR(".cn"))) && e.account.len == ACCOUNT_DIGITS &&
		is_made_of(e.account, "0123456789") &&
		is_made_of(e.region, "abcdefghijklmnopqrstuvwxyz0123456789-") && e.region.len < AWS_REGION &&
		is_made_of(e.repository, "abcdefghijklmnopqrstuvwxyz0123456789-_./");
	if (ok)
		*ret = e;
	return ok;
}
