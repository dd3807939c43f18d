#include "gateway/peers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS_MAX = 1 << 14 };

struct peer {
	struct list_node node;
	uint8_t key[16];
	uint32_t connections;
};

static bool is_v4(const uint8_t ip[16])
{
	return memcmp(ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) == 0;
}

int peers_init(struct peers *p, uint32_t max, uint32_t max_addresses, uint64_t seed)
{
	*p = (struct peers){ .max = max, .seed = seed };
	objpool_init(&p->entries, sizeof(struct peer), max_addresses);
	p->n_buckets = 64;
	while (p->n_buckets < max_addresses / 8 && p->n_buckets < BUCKETS_MAX)
		p->n_buckets *= 2;
	p->buckets = malloc(p->n_buckets * sizeof *p->buckets);
	if (!p->buckets)
		return -ENOMEM;
	for (uint32_t i = 0; i < p->n_buckets; i++)
		list_init(&p->buckets[i]);
	return 0;
}

static struct peer *find(struct peers *p, const uint8_t ip[16], struct list **ret_bucket, uint8_t key[16])
{
	uint64_t h = p->seed, half[2];
	memset(key, 0, 16);
	memcpy(key, ip, is_v4(ip) ? 16 : 8);
	memcpy(half, key, 16);
	h = (h ^ half[0]) * 0x9e3779b97f4a7c15u;
	h = ((h ^ h >> 32) ^ half[1]) * 0x9e3779b97f4a7c15u;
	*ret_bucket = &p->buckets[(h ^ h >> 32) & (p->n_buckets - 1)];
	list_for_each (n, *ret_bucket) {
		struct peer *peer = CONTAINER_OF(n, struct peer, node);
		if (!memcmp(peer->key, key, 16))
			return peer;
	}
	return NULL;
}

bool peers_add(struct peers *p, const uint8_t ip[16])
{
	struct list *bucket;
	uint8_t key[16];
	struct peer *peer = find(p, ip, &bucket, key);
	if (!peer) {
		peer = objpool_get(&p->entries);
		if (!peer)
			return false;
		memcpy(peer->key, key, 16);
		list_push_back(bucket, &peer->node);
	}
	if (p->max && peer->connections >= p->max)
		return false;
	peer->connections++;
	return true;
}

void peers_remove(struct peers *p, const uint8_t ip[16])
{
	struct list *bucket;
	uint8_t key[16];
	struct peer *peer = find(p, ip, &bucket, key);
	CHECK(peer && peer->connections);
	if (--peer->connections)
		return;
	list_remove(bucket, &peer->node);
	objpool_put(&p->entries, peer);
}

void peers_finish(struct peers *p)
{
	objpool_finish(&p->entries);
	free(p->buckets);
	p->buckets = NULL;
}
