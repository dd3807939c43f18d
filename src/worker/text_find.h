/* text_find: the text in the body of a request to /run_model. */
#pragma once
#include "base/str.h"
#include "worker/why.h"

struct json_t; /* jansson's */

/* What the Content-Type says about the body. */
enum body_type { BODY_UNSAID, BODY_JSON, BODY_PLAIN };

/* The body is JSON {"text": …}, or a plain text; unsaid, it is JSON when it starts with '{'. ptr of *ret_text
 * is NULL when no text is given: the body is empty or white space, or JSON without a text. The text is
 * borrowed from body, or from *ret_root, which goes to text_found_free (NULL when there is none). False with
 * *why for a body that is wrong (400): nothing is to be freed then. */
MUST_USE bool text_find(struct str body, enum body_type type, struct str *ret_text, struct json_t **ret_root,
	struct why *why);
void text_found_free(struct json_t *root);
