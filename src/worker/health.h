/* health: berth-worker --health: asks the worker that runs at the same address whether it is ready. */
#pragma once
#include "io/io.h"
#include "worker/why.h"

/* Waits at most 4 s. False with why when it is not ready. */
MUST_USE bool health_ask(const struct io_addr *addr, struct why *why);
