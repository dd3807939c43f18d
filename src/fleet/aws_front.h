/* aws_front: what the front of a cluster says of its containers (GET /berth/readyz). */
#pragma once
#include "fleet/aws_cluster.h"

enum { AWS_GENERATION = 32, AWS_GENERATIONS_MAX = 64, AWS_WORKERS_MAX = 256 };

/* How the containers of an instance are marked by the orchestrator's `aws:` source. */
const char *aws_generation_name(const char *spec, uint32_t generation, char name[AWS_GENERATION]);

/* How many containers of a generation, or of a worker, there are. */
struct aws_generation {
	char name[AWS_GENERATION];
	uint32_t containers, up;
};

/* How a worker is marked likewise. */
const char *aws_worker_name(uint32_t index, char name[AWS_GENERATION]);

struct aws_ready {
	bool answered;
	char why[AWS_WHY]; /* one phrase when it has not */
	uint32_t containers, up, draining;
	struct aws_generation generations[AWS_GENERATIONS_MAX];
	size_t n_generations;
	bool tells_workers; /* an older front does not */
	struct aws_generation workers[AWS_WORKERS_MAX];
	size_t n_workers;
};

/* Asks http://HOST/berth/readyz; within two seconds it has answered or not. */
void aws_front_ask(const char *host, struct aws_ready *ret);

/* Writes an address as it stands in a URL: an IPv6 one in brackets. */
const char *aws_front_host(const char *ip, char host[AWS_IP + 2]);

/* What the front says of a worker's containers; NULL when it does not answer, or has none of it. */
const struct aws_generation *aws_worker_counts(const struct aws_ready *r, const struct aws_instance *i);

/* What the containers shall be: counts by generation. */
struct aws_expected {
	uint32_t containers;
	struct aws_generation generations[AWS_GENERATIONS_MAX];
	size_t n_generations;
};

/* Adds an instance's containers. */
void aws_expect(struct aws_expected *e, const struct aws_instance *i, uint32_t containers);

/* All that is expected is there and up, and nothing else. */
bool aws_is_complete(const struct aws_ready *r, const struct aws_expected *e);

/* So many of those that are expected are up. */
uint32_t aws_count_up(const struct aws_ready *r, const struct aws_expected *e);
