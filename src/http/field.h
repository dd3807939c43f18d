/* field: the names of the fields that Berth itself looks at. */
#pragma once
#include "http/parse.h"

/* FIELD_OTHER when the name is none of them; it need not be a token then. */
enum http_field_id http_field_id(struct str name);

/* The name in lower case, "" for FIELD_OTHER. Static. */
const char *http_field_id_name(enum http_field_id id);
