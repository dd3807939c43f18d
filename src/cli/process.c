#include "cli/process.h"

#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { LISTEN_FDS_START = 3 };

static void server_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGUSR1);
	sigaddset(set, SIGHUP);
}

void signals_block(void)
{
	sigset_t set;
	server_signals(&set);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN); /* whoever read our output may be gone */
	(void)signal(SIGXFSZ, SIG_IGN); /* a file at its limit is a full disk, and no end */
}

static void on_signalfd(struct io_watch *w)
{
	struct signals *s = CONTAINER_OF(w, struct signals, watch);
	struct signalfd_siginfo info;
	if (read(w->fd, &info, sizeof info) == sizeof info)
		s->on_signal(s, (int)info.ssi_signo);
}

int signals_watch(struct signals *s, struct io *io, void (*on_signal)(struct signals *s, int signal))
{
	sigset_t set;
	server_signals(&set);
	*s = (struct signals){ .io = io, .on_signal = on_signal };
	s->watch.on_ready = on_signalfd;
	s->watch.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (s->watch.fd < 0)
		return -errno;
	int r = io_epoll_watch(io, &s->watch);
	if (r < 0)
		close(s->watch.fd);
	return r;
}

void signals_unwatch(struct signals *s)
{
	io_epoll_unwatch(s->io, &s->watch);
	close(s->watch.fd);
}

static bool env_number(const char *name, uint64_t *ret)
{
	return str_to_u64(str_of(getenv(name)), ret);
}

static bool is_listening(int fd)
{
	int listening = 0;
	socklen_t len = sizeof listening;
	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == 0 && listening;
}

int process_listen_fds(int fds[LISTEN_FDS_MAX], char *error, size_t error_size)
{
	uint64_t pid, n;
	if (!env_number("LISTEN_PID", &pid) || pid != (uint64_t)getpid() || !env_number("LISTEN_FDS", &n))
		return 0;
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	if (n > LISTEN_FDS_MAX) {
		snprintf(error, error_size, "LISTEN_FDS: at most %d sockets can be handed over",
			LISTEN_FDS_MAX);
		return -1;
	}
	for (int i = 0; i < (int)n; i++) {
		int fd = LISTEN_FDS_START + i;
		if (!is_listening(fd)) {
			snprintf(
				error, error_size, "LISTEN_FDS: descriptor %d is no socket that listens", fd);
			return -1;
		}
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
		(void)fcntl(fd, F_SETFL, O_NONBLOCK);
		fds[i] = fd;
	}
	return (int)n;
}

void process_raise_file_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}
