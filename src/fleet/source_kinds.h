/* source_kinds: the kinds of sources that there are. */
#pragma once
#include "fleet/source.h"

/* dns:NAME:PORT. The addresses that a name has (A and AAAA), asked again when their time to live is over. */
extern const struct source_kind source_dns;

/* file:PATH. A container a line, watched. */
extern const struct source_kind source_file;

/* docker:fleet=NAME. The containers of a Docker Engine that carry a label, followed by its events. */
extern const struct source_kind source_docker;

/* aws:cluster=NAME,ports=FROM-TO. The workers of a fleet on EC2, by tag, asked every five seconds. */
extern const struct source_kind source_aws;
