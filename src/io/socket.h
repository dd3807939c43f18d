/* socket: descriptors that connect and listen, with the options that every stream has. Never blocks. */
#pragma once
#include "io/io.h"

/* A descriptor that is connected, or being connected; -errno. */
MUST_USE int socket_connect(const struct io_addr *addr);

/* From now on the connection breaks when the peer takes nothing of what was sent for so long. Of no effect on
 * unix sockets. */
void socket_set_patience(int fd, uint32_t ms);

/* A descriptor that listens; -errno. A unix socket's path that nobody listens on any more is replaced. */
MUST_USE int socket_listen(const struct io_addr *addr);
