#include "gateway/peers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS_MAX = 1 << 16 };

struct peer {
	struct list_node node;
	uint8_t key[16];
	uint32_t connections;
};

static bool is_v4(const uint8_t ip[16])
{
	return memcmp(ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) == 0;
}

static struct list *bucket_of(const struct peers *p, const uint8_t key[16])
{
	uint64_t h = p->seed, half[2];
	memcpy(half, key, 16);
	h = (h ^ half[0]) * 0x9e3779b97f4a7c15u;
	h = ((h ^ h >> 32) ^ half[1]) * 0x9e3779b97f4a7c15u;
	return &p->buckets[(h ^ h >> 32) & (p->n_buckets - 1)];
}

/* Twice as many buckets. */
static void rehash(struct peers *p)
{
	struct list *old = p->buckets;
	uint32_t old_n = p->n_buckets, n = old_n ? old_n * 2 : 64;
	struct list *fresh = n <= BUCKETS_MAX ? malloc(n * sizeof *fresh) : NULL;
	if (!fresh)
		return; /* longer chains have to do */
	for (uint32_t i = 0; i < n; i++)
		list_init(&fresh[i]);
	p->buckets = fresh;
	p->n_buckets = n;
	for (uint32_t i = 0; i < old_n; i++) {
		struct list_node *node;
		while ((node = list_pop_front(&old[i])))
			list_push_back(bucket_of(p, CONTAINER_OF(node, struct peer, node)->key), node);
	}
	free(old);
}

int peers_init(struct peers *p, uint64_t seed)
{
	*p = (struct peers){ .seed = seed };
	objpool_init(&p->entries, sizeof(struct peer), 0);
	rehash(p);
	return p->buckets ? 0 : -ENOMEM;
}

void peers_set_limits(struct peers *p, uint32_t max, uint32_t max_addresses)
{
	p->max = max;
	p->entries.max = max_addresses;
}

static struct peer *find(const struct peers *p, const uint8_t ip[16], uint8_t key[16])
{
	memset(key, 0, 16);
	memcpy(key, ip, is_v4(ip) ? 16 : 8);
	list_for_each (n, bucket_of(p, key)) {
		struct peer *peer = CONTAINER_OF(n, struct peer, node);
		if (!memcmp(peer->key, key, 16))
			return peer;
	}
	return NULL;
}

int peers_add(struct peers *p, const uint8_t ip[16])
{
	uint8_t key[16];
	struct peer *peer = find(p, ip, key);
	if (!peer) {
		peer = objpool_get(&p->entries);
		if (!peer)
			return -ENOMEM;
		if (p->entries.used > p->n_buckets)
			rehash(p);
		memcpy(peer->key, key, 16);
		list_push_back(bucket_of(p, key), &peer->node);
	}
	if (p->max && peer->connections >= p->max)
		return -EDQUOT;
	peer->connections++;
	return 0;
}

void peers_remove(struct peers *p, const uint8_t ip[16])
{
	uint8_t key[16];
	struct peer *peer = find(p, ip, key);
	CHECK(peer && peer->connections);
	if (--peer->connections)
		return;
	list_remove(bucket_of(p, key), &peer->node);
	objpool_put(&p->entries, peer);
}

void peers_finish(struct peers *p)
{
	objpool_finish(&p->entries);
	free(p->buckets);
	p->buckets = NULL;
}
