#include "cli/output.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE = 1200 };

static int open_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	return fd < 0 ? -errno : fd;
}

int output_open(struct output *o, const char *path)
{
	*o = (struct output){ .fd = STDERR_FILENO };
	if (!strcmp(path, "stderr"))
		return 0;
	o->path = path;
	o->fd = open_file(path);
	return o->fd < 0 ? o->fd : 0;
}

void output_reopen(struct output *o)
{
	if (!o->path)
		return;
	int fd = open_file(o->path);
	if (fd < 0) {
		log_warning("cannot reopen %s: %s; the old file is written on", o->path, strerror(-fd));
		return;
	}
	close(o->fd);
	o->fd = fd;
}

void output_write(struct output *o, const char *container, const char *line)
{
	char text[LINE];
	int n = snprintf(text, sizeof text, "%s: %s", container, line);
	size_t len = n < (int)sizeof text ? (size_t)n : sizeof text - 1;
	for (size_t i = 0; i < len; i++) { /* no terminal escapes */
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			text[i] = '?';
	}
	text[len] = '\n';
	(void)!write(o->fd, text, len + 1);
}

void output_close(struct output *o)
{
	if (o->path && o->fd >= 0)
		close(o->fd);
}
