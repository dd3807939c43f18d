#include "fleet/child.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { READ_BYTES = 4096 };

/* ---- start ---- */

/* Only async-signal-safe calls from here to exec: the parent may have threads. */
NORETURN static void run(pid_t parent, int output, const char *const argv[])
{
	sigset_t none;
	sigemptyset(&none);
	(void)setpgid(0, 0);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)signal(SIGXFSZ, SIG_DFL);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent) /* or it died before we asked */
		_exit(1);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
		dup2(output, STDERR_FILENO) < 0)
		_exit(1);
	execv(argv[0], (char *const *)(uintptr_t)argv);
	const char *why = strerrordesc_np(errno);
	(void)!write(STDERR_FILENO, "cannot run ", 11);
	(void)!write(STDERR_FILENO, argv[0], strlen(argv[0]));
	(void)!write(STDERR_FILENO, ": ", 2);
	(void)!write(STDERR_FILENO, why, strlen(why));
	(void)!write(STDERR_FILENO, "\n", 1);
	_exit(127);
}

static void on_output(struct io_watch *w);
static void on_end(struct io_watch *w);

/* Watches what the new process writes, and its end. */
static int look_after(struct child *c, int output)
{
	c->end = (struct io_watch){ .fd = pidfd_open(c->pid, 0), .on_ready = on_end };
	c->output = (struct io_watch){ .fd = output, .on_ready = on_output };
	if (c->end.fd < 0)
		return -errno;
	(void)fcntl(output, F_SETFL, O_NONBLOCK);
	int r = io_epoll_watch(c->io, &c->output);
	return r < 0 ? r : io_epoll_watch(c->io, &c->end);
}

int child_start(struct child *c, struct io *io, const struct child_ops *ops, const char *const argv[])
{
	CHECK(!child_is_running(c));
	int pipe_fds[2];
	if (pipe2(pipe_fds, O_CLOEXEC))
		return -errno;
	pid_t parent = getpid(), pid = fork();
	if (pid < 0) {
		int err = errno;
		close(pipe_fds[0]);
		close(pipe_fds[1]);
		return -err;
	}
	if (pid == 0)
		run(parent, pipe_fds[1], argv);
	close(pipe_fds[1]);
	*c = (struct child){ .ops = ops, .io = io, .pid = pid };
	int r = look_after(c, pipe_fds[0]);
	if (r < 0)
		child_finish(c);
	return r;
}

/* ---- life ---- */

static void take_byte(struct child *c, char byte)
{
	if (byte != '\n') {
		c->line_cut = c->line_cut || c->line_len == CHILD_LINE - 1;
		if (!c->line_cut)
			c->line[c->line_len++] = byte;
		return;
	}
	c->line[c->line_len] = '\0';
	c->line_len = 0;
	c->line_cut = false;
	c->ops->on_line(c, c->line);
}

static void close_output(struct child *c)
{
	if (c->output.fd < 0)
		return;
	io_epoll_unwatch(c->io, &c->output);
	close(c->output.fd);
	c->output.fd = -1;
}

/* False when there is nothing more for now. */
static bool read_output(struct child *c)
{
	char bytes[READ_BYTES];
	if (c->output.fd < 0)
		return false;
	ssize_t n = read(c->output.fd, bytes, sizeof bytes);
	for (ssize_t i = 0; i < n; i++)
		take_byte(c, bytes[i]);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		close_output(c);
	return n > 0;
}

static void on_output(struct io_watch *w)
{
	(void)read_output(CONTAINER_OF(w, struct child, output));
}

void child_signal(struct child *c, int signal)
{
	if (child_is_running(c))
		(void)pidfd_send_signal(c->end.fd, signal, NULL, 0);
}

/* ---- end ---- */

static void forget(struct child *c)
{
	close_output(c);
	if (c->end.fd >= 0) {
		io_epoll_unwatch(c->io, &c->end);
		close(c->end.fd);
		c->end.fd = -1;
	}
	c->pid = 0;
}

static void on_end(struct io_watch *w)
{
	struct child *c = CONTAINER_OF(w, struct child, end);
	siginfo_t info = { 0 };
	if (waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG) || info.si_pid == 0)
		return;
	while (read_output(c))
		; /* its last words */
	if (c->line_len)
		take_byte(c, '\n');
	forget(c);
	c->ops->on_exit(c, info.si_code, info.si_status);
}

void child_finish(struct child *c)
{
	if (!child_is_running(c))
		return;
	(void)kill(c->pid, SIGKILL);
	while (waitid(P_PID, (id_t)c->pid, NULL, WEXITED) && errno == EINTR)
		;
	forget(c);
}
