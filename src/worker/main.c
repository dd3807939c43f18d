/* berth-worker: HTTP in front of an ONNX model. */
#include "base/log.h"
#include "worker/health.h"
#include "worker/worker.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { EXIT_FAILED = 1, EXIT_NOT_STARTED = 2 };

struct program {
	struct options options;
	struct runtime runtime;
	struct model model;
	struct io *io;
	struct io_watch signals;
	struct worker worker;
	bool serving; /* the worker is there */
};

/* ---- signals ---- */

static void on_signal(struct io_watch *w)
{
	struct program *p = CONTAINER_OF(w, struct program, signals);
	struct signalfd_siginfo info;
	if (read(w->fd, &info, sizeof info) == (ssize_t)sizeof info && !p->worker.stopping)
		worker_stop(&p->worker);
}

/* Before the first thread, so that none is interrupted. */
static int block_signals(sigset_t *ret_set)
{
	sigemptyset(ret_set);
	sigaddset(ret_set, SIGTERM);
	sigaddset(ret_set, SIGINT);
	signal(SIGPIPE, SIG_IGN);
	return sigprocmask(SIG_BLOCK, ret_set, NULL);
}

static bool watch_signals(struct program *p, const sigset_t *set, struct why *why)
{
	p->signals = (struct io_watch){ .on_ready = on_signal };
	p->signals.fd = signalfd(-1, set, SFD_NONBLOCK | SFD_CLOEXEC);
	int r = p->signals.fd < 0 ? -errno : io_epoll_watch(p->io, &p->signals);
	return r < 0 ? why_set(why, "cannot watch for signals: %s", strerror(-r)) : true;
}

/* ---- start ---- */

static void program_dir(char dir[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", dir, PATH_MAX - 1);
	dir[n > 0 ? n : 0] = '\0';
	char *slash = strrchr(dir, '/');
	if (slash)
		*slash = '\0';
}

static bool start(struct program *p, const sigset_t *signals, struct why *why)
{
	char dir[PATH_MAX];
	program_dir(dir);
	if (!runtime_open(&p->runtime, dir, why) ||
		!model_open(&p->model, &p->runtime, p->options.model, p->options.name, why))
		return false;
	p->io = io_epoll_create();
	if (!p->io)
		return why_set(why, "cannot create the event loop: %s", strerror(errno));
	if (!watch_signals(p, signals, why) || !worker_init(&p->worker, p->io, &p->options, &p->model, why))
		return false;
	p->serving = true;
	malloc_trim(0); /* what loading the model has left */
	return true;
}

static void say_what_is_served(struct program *p)
{
	const struct options *o = &p->options;
	const struct model *m = &p->model;
	fputs("berth-worker: listening on ", stdout);
	for (size_t i = 0; i < o->n_listen; i++) {
		struct io_addr addr;
		char where[IO_ADDR_TEXT];
		if (io_listen_addr(p->io, &p->worker.listeners[i].listener, &addr) < 0)
			addr = o->listen[i];
		printf("%s%s", i ? " and " : "", io_addr_print(&addr, true, where));
	}
	printf(", model %s (%s), slots %u\n", m->name, m->has_text ? "text" : "tensors", o->slots);
	if (!m->has_text) {
		char inputs[320];
		printf("berth-worker: /run_model cannot feed this model (it takes %s): use POST "
		       "/v2/models/%s/infer\n",
			tensor_specs_print(m->signature.inputs, m->signature.n_inputs, inputs, sizeof inputs),
			m->name);
	}
	if (o->delay_us) {
		printf("berth-worker: each run is delayed by %llu ms",
			(unsigned long long)(o->delay_us / 1000));
		if (o->delay_jitter)
			printf(", give or take %u %%", o->delay_jitter);
		putchar('\n');
	}
	fflush(stdout);
}

static void finish(struct program *p)
{
	if (p->serving)
		worker_finish(&p->worker);
	if (p->signals.fd > 0)
		close(p->signals.fd);
	io_epoll_destroy(p->io);
	if (p->model.rt)
		model_close(&p->model);
	runtime_close(&p->runtime);
}

int main(int argc, char **argv)
{
	static struct program p;
	struct why why;
	sigset_t signals;
	log_init("berth-worker", LOG_INFO, STDERR_FILENO);
	if (!options_read(&p.options, argc, argv, &why)) {
		log_error("%s", why.text);
		return EXIT_NOT_STARTED;
	}
	if (p.options.help || p.options.version) {
		fputs(p.options.help ? options_help : "berth-worker " BERTH_VERSION "\n", stdout);
		return 0;
	}
	if (p.options.health) {
		if (health_ask(&p.options.listen[0], &why))
			return 0;
		log_error("%s", why.text);
		return EXIT_FAILED;
	}
	if (block_signals(&signals)) {
		log_error("cannot block signals: %s", strerror(errno));
		return EXIT_NOT_STARTED;
	}
	if (!start(&p, &signals, &why)) {
		log_error("%s", why.text);
		finish(&p);
		return EXIT_NOT_STARTED;
	}
	say_what_is_served(&p);
	log_never_wait();
	int r = io_epoll_run(p.io);
	if (r < 0) { /* runs may be under way: it ends as it is */
		log_error("the event loop failed: %s", strerror(-r));
		return EXIT_FAILED;
	}
	finish(&p);
	return 0;
}
