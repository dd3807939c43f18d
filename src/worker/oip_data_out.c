#include "worker/oip_data_out.h"

void oip_data_to_json(struct json *j, const struct tensor *t, size_t i)
{
	switch (t->spec->dtype) {
	case DTYPE_BOOL:
		json_bool(j, ((const uint8_t *)t->data)[i] != 0);
		return;
	case DTYPE_UINT8:
		json_u64(j, ((const uint8_t *)t->data)[i]);
		return;
	case DTYPE_UINT16:
		json_u64(j, ((const uint16_t *)t->data)[i]);
		return;
	case DTYPE_UINT32:
		json_u64(j, ((const uint32_t *)t->data)[i]);
		return;
	case DTYPE_UINT64:
		json_u64(j, ((const uint64_t *)t->data)[i]);
		return;
	case DTYPE_INT8:
		json_i64(j, ((const int8_t *)t->data)[i]);
		return;
	case DTYPE_INT16:
		json_i64(j, ((const int16_t *)t->data)[i]);
		return;
	case DTYPE_INT32:
		json_i64(j, ((const int32_t *)t->data)[i]);
		return;
	case DTYPE_INT64:
		json_i64(j, ((const int64_t *)t->data)[i]);
		return;
	case DTYPE_FP16:
		json_float(j, (float)dtype_of_fp16(((const uint16_t *)t->data)[i]));
		return;
	case DTYPE_BF16:
		json_float(j, (float)dtype_of_bf16(((const uint16_t *)t->data)[i]));
		return;
	case DTYPE_FP32:
		json_float(j, ((const float *)t->data)[i]);
		return;
	case DTYPE_FP64:
		json_double(j, ((const double *)t->data)[i]);
		return;
	case DTYPE_BYTES:
		json_string(j, ((const struct str *)t->data)[i]);
		return;
	case DTYPE_NONE:
	case DTYPE_COUNT:
		break;
	}
	CHECK(false);
}

size_t oip_data_binary_size(const struct tensor *t)
{
	if (t->spec->dtype != DTYPE_BYTES)
		return t->n * dtype_bytes(t->spec->dtype);
	size_t size = 0;
	for (size_t i = 0; i < t->n; i++)
		size += sizeof(uint32_t) + ((const struct str *)t->data)[i].len;
	return size;
}

void oip_data_to_binary(struct json *j, const struct tensor *t)
{
	if (t->spec->dtype != DTYPE_BYTES) {
		json_bytes(j, (struct str){ t->data, t->n * dtype_bytes(t->spec->dtype) });
		return;
	}
	for (size_t i = 0; i < t->n; i++) {
		struct str s = ((const struct str *)t->data)[i];
		uint32_t len = (uint32_t)s.len;
		json_bytes(j, (struct str){ (const char *)&len, sizeof len });
		json_bytes(j, s);
	}
}
