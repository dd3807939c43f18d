#include "io/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct io_spool {
	void *owner; /* borrowed; NULL once closed */
	int fd;      /* the thread's; -1 until the first write */
	bool closed; /* the loop's */
};

enum spool_op { SPOOL_WRITE, SPOOL_READ, SPOOL_CLOSE, SPOOL_OFFLOAD };

struct spool_task {
	struct io_message message; /* back to the loop */
	struct spool_task *next;   /* owned; in the thread's queue */
	struct spooler *spooler;   /* borrowed */
	struct io_spool *spool;    /* owned by the SPOOL_CLOSE task, borrowed otherwise */
	enum spool_op op;
	uint64_t at;
	char *bytes; /* owned for SPOOL_WRITE; the caller's for SPOOL_READ until the spool is closed */
	size_t n;
	io_spool_fn *done;
	struct io_task *offloaded; /* borrowed; with SPOOL_OFFLOAD, whose spool is NULL */
	int err;
};

struct spooler {
	struct io *io; /* borrowed */
	void (*post)(struct io *io, struct io_message *m);
	pthread_t thread;
	bool running;
	pthread_mutex_t lock; /* guards the fields below */
	pthread_cond_t wake;
	struct spool_task *first, **last; /* owned */
	bool stopping;
	struct spool_task *finished; /* owned; the loop's: carried out, message not run yet, kept so that
					destroy finds them */
};

struct spooler *spooler_create(struct io *io, void (*post)(struct io *io, struct io_message *m))
{
	struct spooler *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->io = io;
	s->post = post;
	s->last = &s->first;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->wake, NULL);
	return s;
}

/* A full disk has several names. */
static int write_error(void)
{
	return errno == EDQUOT || errno == EFBIG ? -ENOSPC : -errno;
}

static int open_unlinked(void)
{
	const char *dir = getenv("TMPDIR");
	if (!dir || !*dir)
		dir = "/tmp";
	int fd = open(dir, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
		return fd < 0 ? write_error() : fd;
	char path[4096];
	if ((size_t)snprintf(path, sizeof path, "%s/berth-spool-XXXXXX", dir) >= sizeof path)
		return -ENAMETOOLONG;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return write_error();
	unlink(path);
	return fd;
}

static int write_all(int fd, const char *p, size_t n, uint64_t at)
{
	while (n) {
		ssize_t k = pwrite(fd, p, n, (off_t)at);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return k < 0 ? write_error() : -ENOSPC;
		p += k;
		n -= (size_t)k;
		at += (uint64_t)k;
	}
	return 0;
}

static int read_all(int fd, char *p, size_t n, uint64_t at)
{
	while (n) {
		ssize_t k = pread(fd, p, n, (off_t)at);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return k < 0 ? -errno : -EIO;
		p += k;
		n -= (size_t)k;
		at += (uint64_t)k;
	}
	return 0;
}

static int carry_out(struct spool_task *t)
{
	struct io_spool *sp = t->spool;
	switch (t->op) {
	case SPOOL_WRITE:
		if (sp->fd < 0) {
			int fd = open_unlinked();
			if (fd < 0)
				return fd;
			sp->fd = fd;
		}
		return write_all(sp->fd, t->bytes, t->n, t->at);
	case SPOOL_READ:
		return sp->fd < 0 ? -EBADF : read_all(sp->fd, t->bytes, t->n, t->at);
	case SPOOL_CLOSE:
		if (sp->fd >= 0)
			close(sp->fd);
		sp->fd = -1;
		return 0;
	case SPOOL_OFFLOAD:
		t->offloaded->work(t->offloaded);
		return 0;
	}
	return -EINVAL;
}

static void *spooler_main(void *arg)
{
	struct spooler *s = arg;
	pthread_mutex_lock(&s->lock);
	for (;;) {
		while (!s->first && !s->stopping)
			pthread_cond_wait(&s->wake, &s->lock);
		struct spool_task *t = s->first;
		if (!t)
			break;
		s->first = t->next;
		if (!s->first)
			s->last = &s->first;
		pthread_mutex_unlock(&s->lock);
		t->err = carry_out(t);
		pthread_mutex_lock(&s->lock);
		t->next = s->finished;
		s->finished = t;
		if (!s->stopping)
			s->post(s->io, &t->message);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void task_free(struct spool_task *t)
{
	if (t->op == SPOOL_CLOSE)
		free(t->spool);
	free(t);
}

static void forget_finished(struct spooler *s, struct spool_task *t)
{
	pthread_mutex_lock(&s->lock);
	for (struct spool_task **at = &s->finished; *at; at = &(*at)->next) {
		if (*at == t) {
			*at = t->next;
			break;
		}
	}
	pthread_mutex_unlock(&s->lock);
}

static void on_finished(struct io_message *m)
{
	struct spool_task *t = CONTAINER_OF(m, struct spool_task, message);
	struct io_spool *sp = t->spool;
	forget_finished(t->spooler, t);
	if (t->op == SPOOL_OFFLOAD) {
		struct io_task *task = t->offloaded;
		free(t);
		task->done(task);
		return;
	}
	if (t->op == SPOOL_WRITE || sp->closed)
		free(t->bytes);
	if (t->done && !sp->closed)
		t->done(sp->owner, t->err, t->n);
	task_free(t);
}

static int submit(struct spooler *s, struct io_spool *sp, struct spool_task task)
{
	struct spool_task *t = malloc(sizeof *t);
	if (!t)
		return -ENOMEM;
	*t = task;
	t->message.on_message = on_finished;
	t->spooler = s;
	t->spool = sp;
	pthread_mutex_lock(&s->lock);
	*s->last = t;
	s->last = &t->next;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static bool start_thread(struct spooler *s)
{
	if (!s->running && pthread_create(&s->thread, NULL, spooler_main, s) == 0)
		s->running = true;
	return s->running;
}

struct io_spool *spooler_open(struct spooler *s, void *owner)
{
	if (!start_thread(s))
		return NULL;
	struct io_spool *sp = malloc(sizeof *sp);
	if (sp)
		*sp = (struct io_spool){ .owner = owner, .fd = -1 };
	return sp;
}

int spooler_write(
	struct spooler *s, struct io_spool *sp, uint64_t at, char *bytes, size_t n, io_spool_fn *done)
{
	return submit(s, sp,
		(struct spool_task){ .op = SPOOL_WRITE, .at = at, .bytes = bytes, .n = n, .done = done });
}

int spooler_read(struct spooler *s, struct io_spool *sp, uint64_t at, char *into, size_t n, io_spool_fn *done)
{
	return submit(s, sp,
		(struct spool_task){ .op = SPOOL_READ, .at = at, .bytes = into, .n = n, .done = done });
}

void spooler_close(struct spooler *s, struct io_spool *sp)
{
	if (!sp)
		return;
	sp->closed = true;
	sp->owner = NULL;
	CHECK(submit(s, sp, (struct spool_task){ .op = SPOOL_CLOSE }) == 0);
}

int spooler_file(const struct io_spool *sp)
{
	return sp->fd; /* the thread has set it before the first write's completion was posted */
}

int spooler_offload(struct spooler *s, struct io_task *task)
{
	if (!start_thread(s))
		return -EAGAIN;
	return submit(s, NULL, (struct spool_task){ .op = SPOOL_OFFLOAD, .offloaded = task });
}

void spooler_destroy(struct spooler *s)
{
	if (!s)
		return;
	if (s->running) {
		pthread_mutex_lock(&s->lock);
		s->stopping = true;
		pthread_cond_signal(&s->wake);
		pthread_mutex_unlock(&s->lock);
		pthread_join(s->thread, NULL);
	}
	struct spool_task *closing = NULL; /* last: they free the spools that the others name */
	for (struct spool_task *t = s->finished, *next; t; t = next) {
		next = t->next;
		if (t->op == SPOOL_CLOSE) {
			t->next = closing;
			closing = t;
			continue;
		}
		if (t->op == SPOOL_WRITE || (t->op == SPOOL_READ && t->spool->closed))
			free(t->bytes);
		task_free(t);
	}
	while (closing) {
		struct spool_task *t = closing;
		closing = t->next;
		task_free(t);
	}
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
