/* fake_client: a client's connection as the seed makes it: what it asks, how it sends it and reads the
 * answer, and when it leaves. Each answer is held against the ledger.
 */
#pragma once

struct world;

/* One more connects. */
void client_begin(struct world *w);

/* Closes all. */
void clients_end(struct world *w);
