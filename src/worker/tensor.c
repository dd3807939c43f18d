#include "worker/tensor.h"

#include <stdio.h>
#include <stdlib.h>

static void specs_free(struct tensor_spec *specs, uint32_t n)
{
	for (uint32_t i = 0; specs && i < n; i++)
		free(specs[i].name);
	free(specs);
}

void signature_finish(struct signature *s)
{
	specs_free(s->inputs, s->n_inputs);
	specs_free(s->outputs, s->n_outputs);
	*s = (struct signature){ 0 };
}

const char *tensor_spec_print(const struct tensor_spec *spec, char *text, size_t size)
{
	int n = snprintf(text, size, "%s [", dtype_name(spec->dtype));
	for (uint32_t i = 0; i < spec->rank && n >= 0 && (size_t)n < size; i++)
		n += snprintf(text + n, size - (size_t)n, "%s%lld", i ? "," : "", (long long)spec->dims[i]);
	if (n >= 0 && (size_t)n < size)
		snprintf(text + n, size - (size_t)n, "]");
	return text;
}

const char *tensor_specs_print(const struct tensor_spec *specs, uint32_t n, char *text, size_t size)
{
	size_t len = 0;
	text[0] = '\0';
	for (uint32_t i = 0; i < n && len < size; i++) {
		char one[128];
		int more = snprintf(text + len, size - len, "%s%s %s", i ? ", " : "", specs[i].name,
			tensor_spec_print(&specs[i], one, sizeof one));
		len += more > 0 ? (size_t)more : 0;
	}
	return text;
}

int tensor_spec_find(const struct tensor_spec *specs, uint32_t n, struct str name)
{
	for (uint32_t i = 0; i < n; i++) {
		if (str_eq(name, str_of(specs[i].name)))
			return (int)i;
	}
	return -1;
}

bool tensor_spec_takes(const struct tensor_spec *spec, uint32_t rank, const int64_t *dims)
{
	if (spec->rank == 0)
		return true;
	if (rank != spec->rank)
		return false;
	for (uint32_t i = 0; i < rank; i++) {
		if (spec->dims[i] >= 0 && spec->dims[i] != dims[i])
			return false;
	}
	return true;
}

bool tensor_count(uint32_t rank, const int64_t *dims, size_t max, size_t *ret)
{
	size_t n = 1;
	bool empty = false;
	for (uint32_t i = 0; i < rank; i++) {
		if (dims[i] < 0)
			return false;
		empty |= dims[i] == 0;
	}
	for (uint32_t i = 0; i < rank && !empty; i++) {
		if (__builtin_mul_overflow(n, (size_t)dims[i], &n) || n > max)
			return false;
	}
	*ret = empty ? 0 : n;
	return true;
}
