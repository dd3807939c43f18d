#include "fleet/aws_front.h"

#include "fleet/curl_load.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_MS = 2000, SHOWN_MAX = 16 };

const char *aws_generation_name(const char *spec, uint32_t generation, char name[AWS_GENERATION])
{
	snprintf(name, AWS_GENERATION, "%.16s-%u", spec, generation);
	return name;
}

const char *aws_worker_name(uint32_t index, char name[AWS_GENERATION])
{
	snprintf(name, AWS_GENERATION, "worker%u", index);
	return name;
}

const char *aws_front_host(const char *ip, char host[AWS_IP + 2])
{
	snprintf(host, AWS_IP + 2, strchr(ip, ':') ? "[%s]" : "%s", ip);
	return host;
}

static uint32_t member(const json_t *object, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(object, key));
	return n > 0 && n <= INT32_MAX ? (uint32_t)n : 0;
}

static size_t read_groups(json_t *object, struct aws_generation *groups, size_t max)
{
	const char *name;
	json_t *value;
	size_t n = 0;
	json_object_foreach(object, name, value)
	{
		if (n == max)
			break;
		struct aws_generation *g = &groups[n++];
		str_copy(g->name, sizeof g->name, str_of(name));
		g->containers = member(value, "containers");
		g->up = member(value, "up");
	}
	return n;
}

static bool read_answer(const struct curl_text *a, struct aws_ready *ret)
{
	json_t *root = json_loadb(a->text, a->len, 0, NULL);
	json_t *workers = json_object_get(root, "workers");
	bool ok = json_is_integer(json_object_get(root, "containers"));
	ret->containers = member(root, "containers");
	ret->up = member(root, "up");
	ret->draining = member(root, "draining");
	ret->n_generations =
		read_groups(json_object_get(root, "generations"), ret->generations, AWS_GENERATIONS_MAX);
	ret->tells_workers = json_is_object(workers);
	ret->n_workers = read_groups(workers, ret->workers, AWS_WORKERS_MAX);
	json_decref(root);
	return ok;
}

void aws_front_ask(const char *host, struct aws_ready *ret)
{
	struct curl_text *a = calloc(1, sizeof *a);
	CURL *easy = curl_easy_init();
	char url[128];
	*ret = (struct aws_ready){ 0 };
	snprintf(url, sizeof url, "http://%s/berth/readyz", host);
	snprintf(ret->why, sizeof ret->why, "out of memory");
	if (a && easy) {
		curl_easy_setopt(easy, CURLOPT_URL, url);
		curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
		curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
		curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)TIMEOUT_MS);
		curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, curl_text_add);
		curl_easy_setopt(easy, CURLOPT_WRITEDATA, a);
		CURLcode r = curl_easy_perform(easy);
		ret->answered = r == CURLE_OK && read_answer(a, ret);
		snprintf(ret->why, sizeof ret->why, "%s",
			r == CURLE_OK ? "what answers is no front of Berth" : curl_easy_strerror(r));
	}
	curl_easy_cleanup(easy);
	free(a);
}

/* n when there is none of this name. */
static size_t find(const struct aws_generation *all, size_t n, const char *name)
{
	size_t i = 0;
	while (i < n && strcmp(all[i].name, name) != 0)
		i++;
	return i;
}

const struct aws_generation *aws_worker_counts(const struct aws_ready *r, const struct aws_instance *i)
{
	char name[AWS_GENERATION];
	if (!r->answered || i->role != AWS_WORKER || !aws_is_live(i))
		return NULL;
	size_t at = find(r->workers, r->n_workers, aws_worker_name(i->index, name));
	return at < r->n_workers ? &r->workers[at] : NULL;
}

void aws_expect(struct aws_expected *e, const struct aws_instance *i, uint32_t containers)
{
	char name[AWS_GENERATION];
	aws_generation_name(i->spec, i->generation, name);
	size_t at = find(e->generations, e->n_generations, name);
	e->containers += containers;
	if (at == AWS_GENERATIONS_MAX)
		return; /* it counts among all */
	if (at == e->n_generations)
		str_copy(e->generations[e->n_generations++].name, AWS_GENERATION, str_of(name));
	e->generations[at].containers += containers;
}

/* The front shows some generations only, and all containers. */
bool aws_is_complete(const struct aws_ready *r, const struct aws_expected *e)
{
	bool all_shown = r->n_generations < SHOWN_MAX;
	if (!r->answered || r->containers != e->containers || r->up != e->containers || r->draining)
		return false;
	for (size_t i = 0; i < e->n_generations; i++) {
		size_t at = find(r->generations, r->n_generations, e->generations[i].name);
		bool shown = at < r->n_generations;
		if (shown ? r->generations[at].containers != e->generations[i].containers : all_shown)
			return false;
	}
	return true;
}

uint32_t aws_count_up(const struct aws_ready *r, const struct aws_expected *e)
{
	uint32_t up = 0;
	for (size_t i = 0; i < e->n_generations; i++) {
		size_t at = find(r->generations, r->n_generations, e->generations[i].name);
		uint32_t most = e->generations[i].containers;
		if (at < r->n_generations)
			up += r->generations[at].up < most ? r->generations[at].up : most;
	}
	return up;
}
