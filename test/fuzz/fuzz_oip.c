/* The bodies of requests to the worker. The first byte says which: 't', 'j', 'p' a text whose type is unsaid,
 * JSON or plain; 'a' and what follows it an inference whose input is of the first data type and so on. Of an
 * inference, binary tensor data begin after the first NUL. */
#include "fuzz.h"
#include "worker/oip_data_in.h"
#include "worker/oip_data_out.h"
#include "worker/oip_read.h"
#include "worker/text_find.h"
#include "worker/utf8.h"

#include <stdlib.h>
#include <string.h>

static char name_x[] = "x", name_y[] = "y", name_s[] = "s";

static void check_why(const struct why *why)
{
	CHECK(why->text[0] && memchr(why->text, '\0', sizeof why->text));
}

static void fuzz_text(struct str body, enum body_type type)
{
	struct why why = { "" };
	struct json_t *root;
	struct str text;
	if (!text_find(body, type, &text, &root, &why)) {
		check_why(&why);
		return;
	}
	CHECK(!text.ptr || utf8_check(text) == text.len);
	text_found_free(root);
}

static void check_same(const struct tensor *a, const struct tensor *b)
{
	CHECK(a->n == b->n);
	if (a->spec->dtype != DTYPE_BYTES) {
		CHECK(a->n == 0 || memcmp(a->data, b->data, a->n * dtype_bytes(a->spec->dtype)) == 0);
		return;
	}
	for (size_t i = 0; i < a->n; i++)
		CHECK(str_eq(((const struct str *)a->data)[i], ((const struct str *)b->data)[i]));
}

/* What was taken fits the model, can be written as JSON, and comes back from its own bytes. */
static void check_tensor(const struct tensor *t)
{
	struct tensor again = *t;
	struct json j;
	struct why why;
	size_t n,
		alignment =
			t->spec->dtype == DTYPE_BYTES ? _Alignof(struct str) : dtype_bytes(t->spec->dtype);
	CHECK(tensor_spec_takes(t->spec, t->rank, t->dims));
	CHECK(tensor_count(t->rank, t->dims, SIZE_MAX, &n) && n == t->n);
	CHECK((uintptr_t)t->data % alignment == 0);
	json_init(&j);
	for (size_t i = 0; i < t->n; i++)
		oip_data_to_json(&j, t, i);
	json_reset(&j);
	oip_data_to_binary(&j, t);
	struct str bytes = json_str(&j);
	CHECK(bytes.len == oip_data_binary_size(t));
	again.owned = NULL;
	again.data = NULL;
	CHECK(oip_data_of_binary(&again, bytes.ptr ? bytes : STR(""), &why));
	check_same(t, &again);
	free(again.owned);
	json_finish(&j);
}

static void fuzz_inference(struct str body, enum dtype dtype)
{
	static struct oip_request request;
	struct tensor_spec inputs[] = { { .name = name_x, .dtype = dtype, .rank = 2, .dims = { -1, 2 } } };
	struct tensor_spec outputs[] = {
		{ .name = name_y, .dtype = DTYPE_FP32, .rank = 1, .dims = { 3 } },
		{ .name = name_s, .dtype = DTYPE_NONE },
	};
	const struct signature signature = { inputs, outputs, 1, 2 };
	const char *nul = memchr(body.ptr, '\0', body.len);
	struct str json = { body.ptr, nul ? (size_t)(nul - body.ptr) : body.len };
	struct why why = { "" };
	if (!oip_read(&request, &signature, json, str_skip(body, json.len + (nul != NULL)), &why)) {
		check_why(&why);
		return;
	}
	CHECK(request.n_inputs == 1 && request.n_wants <= 1);
	check_tensor(&request.inputs[0]);
	oip_request_finish(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	struct str body = { (const char *)data + 1, size - 1 };
	switch (data[0]) {
	case 't':
		fuzz_text(body, BODY_UNSAID);
		break;
	case 'j':
		fuzz_text(body, BODY_JSON);
		break;
	case 'p':
		fuzz_text(body, BODY_PLAIN);
		break;
	default:
		fuzz_inference(body, DTYPE_BOOL + (unsigned)(data[0] - 'a') % (DTYPE_COUNT - DTYPE_BOOL));
	}
	return 0;
}
