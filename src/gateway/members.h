/* members: which containers a pool has: those that its settings name, those that operators have added, those
 * that its sources know.
 *
 * A container is one address. What is named and not there joins; what is there and not named any more leaves:
 * it gets nothing new, and goes once it is at rest. While a source of the pool has never been heard, nobody
 * leaves for not being named. An address is a container of one pool only, or it would get twice its slots:
 * settings go before sources, and between two sources who came first stays. One that joins where another has
 * yet to leave waits until it has left.
 */
#pragma once
#include "gateway/settings.h"

struct backend;
struct reactor;
struct route;

/* Every pool gets the containers that it shall have. After a change of settings or of what a source knows.
 * False without memory: what is missing joins with the next call. */
MUST_USE bool members_apply(struct reactor *r);

/* The container at this address that is not leaving, in any pool, or NULL. */
struct backend *members_at(const struct reactor *r, const struct io_addr *addr);

/* An operator adds a container at an address where none is. It stays whatever settings and sources say. NULL
 * without memory. */
MUST_USE struct backend *members_add(struct route *route, const struct container_settings *cs);

/* An operator takes it out: it leaves, and stays out while settings or sources name it, until a reload. False
 * without memory, and nothing has happened. */
MUST_USE bool members_dismiss(struct backend *b);

/* After a reload, whatever operators have dismissed is as it was. */
void members_forgive(struct route *route);

/* Those that wait for their address, where it is theirs now. */
void members_begin_waiting(struct reactor *r);
