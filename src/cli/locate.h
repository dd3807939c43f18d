/* locate: where the running orchestrator is, for the commands that speak to it. */
#pragma once
#include "base/check.h"
#include "cli/cli.h"
#include "cli/runtime.h"

/* Resolves "http://host[:port][/path]"; names by the system's resolver. Strings are slices of url. False with
 * one line in error. */
struct target {
	struct io_addr addr;
	char host[300];  /* the Host field's value */
	char path[1000]; /* with query */
};
MUST_USE bool locate_url(const char *url, struct target *ret, char error[RUNTIME_ERROR]);

/* Which fleet is meant. asked: it and no other, for --name says so. */
struct located {
	const char *name;
	bool asked;
};

/* The admin listener: `admin` where it is given; else that of the fleet that runs under this name; else what
 * the configuration says. False with one line in error. */
MUST_USE bool locate_admin(const char *admin, struct located fleet, const char *config, struct io_addr *ret,
	char error[RUNTIME_ERROR]);

/* The front's URL with this path: of the fleet that runs under this name, else the default address. False
 * with one line in error. */
MUST_USE bool locate_front(
	struct located fleet, const char *path, struct target *ret, char error[RUNTIME_ERROR]);

/* Makes the address of a listener one that reaches it: where it listens on every address, loopback. */
void locate_reachable(struct io_addr *addr);
