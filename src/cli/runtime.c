#include "cli/runtime.h"

#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 4096, NAME_BYTES = 96 };

static int fail(char error[RUNTIME_ERROR], const char *what, const char *path, int err)
{
	snprintf(error, RUNTIME_ERROR, "%s %s: %s", what, path, strerror(err));
	return -1;
}

/* ---- the directory ---- */

const char *runtime_dir(char path[RUNTIME_PATH])
{
	const char *base = getenv("XDG_RUNTIME_DIR");
	char user_dir[64];
	snprintf(user_dir, sizeof user_dir, "/run/user/%u", (unsigned)getuid());
	if (!base || base[0] != '/' || strlen(base) >= RUNTIME_PATH - sizeof "/berth")
		base = access(user_dir, W_OK) == 0 ? user_dir : NULL;
	if (base)
		snprintf(path, RUNTIME_PATH, "%s/berth", base);
	else
		snprintf(path, RUNTIME_PATH, "/tmp/berth-%u", (unsigned)getuid());
	return path;
}

/* A descriptor of the directory, which is made if it is not there; -1 with one line in error. */
static int open_dir(char error[RUNTIME_ERROR])
{
	char path[RUNTIME_PATH];
	struct stat st;
	runtime_dir(path);
	if (mkdir(path, 0700) && errno != EEXIST)
		return fail(error, "cannot make the directory", path, errno);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return fail(error, "cannot open the directory", path, errno);
	if (fstat(fd, &st) == 0 && st.st_uid == getuid() && (st.st_mode & 077) == 0)
		return fd;
	close(fd);
	snprintf(error, RUNTIME_ERROR, "%s must be yours alone: remove it, or chmod 700 it", path);
	return -1;
}

/* ---- the process ---- */

/* When it started, in the kernel's ticks; false when there is no such process, or only its exit code waits to
 * be read. */
static bool start_time_of(pid_t pid, uint64_t *ret)
{
	char path[64], text[1024];
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, text, sizeof text - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	const char *after_name = strrchr(text, ')'); /* the name may hold anything */
	if (!after_name)
		return false;
	struct str rest = str_trim(str_of(after_name + 1));
	struct str state = str_cut(&rest, ' '), field = { NULL, 0 };
	if (str_eq(state, STR("Z")) || str_eq(state, STR("X")))
		return false;
	for (int i = 4; i <= 22; i++)
		field = str_cut(&rest, ' ');
	return str_to_u64(field, ret);
}

/* A pidfd of the process that info speaks of; -ESRCH when it is gone. */
static int open_process(const struct runtime_info *info)
{
	uint64_t start_time;
	int fd = pidfd_open(info->pid, 0);
	if (fd < 0)
		return -errno;
	if (start_time_of(info->pid, &start_time) && start_time == info->start_time)
		return fd;
	close(fd);
	return -ESRCH;
}

/* ---- the file ---- */

static void file_name(const char *name, char file[NAME_BYTES])
{
	snprintf(file, NAME_BYTES, "%s.json", name);
}

static void copy_member(const json_t *root, const char *key, char *text, size_t size)
{
	const char *value = json_string_value(json_object_get(root, key));
	str_copy(text, size, str_of(value ? value : ""));
}

/* 1; 0 when there is none, or none that makes sense. */
static int read_file(int dir, const char *name, struct runtime_info *ret)
{
	char file[NAME_BYTES], text[FILE_BYTES_MAX];
	file_name(name, file);
	int fd = openat(dir, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return 0;
	ssize_t n = read(fd, text, sizeof text);
	close(fd);
	json_t *root = n > 0 ? json_loadb(text, (size_t)n, 0, NULL) : NULL;
	if (!root)
		return 0;
	*ret = (struct runtime_info){
		.pid = (pid_t)json_integer_value(json_object_get(root, "pid")),
		.start_time = (uint64_t)json_integer_value(json_object_get(root, "start_time")),
		.containers = (uint64_t)json_integer_value(json_object_get(root, "containers")),
		.on_docker = json_is_true(json_object_get(root, "on_docker")),
	};
	copy_member(root, "front", ret->front, sizeof ret->front);
	copy_member(root, "admin", ret->admin, sizeof ret->admin);
	json_decref(root);
	return ret->pid > 0;
}

/* In one step, so that a reader sees the old file or the new one. */
static int write_file(int dir, const char *name, const struct runtime_info *info, char error[RUNTIME_ERROR])
{
	char file[NAME_BYTES], temporary[NAME_BYTES + 16];
	file_name(name, file);
	snprintf(temporary, sizeof temporary, ".%s.%d", file, (int)getpid());
	json_t *root = json_pack("{s:s, s:I, s:I, s:I, s:b, s:s, s:s}", "name", name, "pid",
		(json_int_t)info->pid, "start_time", (json_int_t)info->start_time, "containers",
		(json_int_t)info->containers, "on_docker", info->on_docker, "front", info->front, "admin",
		info->admin);
	int fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	bool ok = root && fd >= 0 && json_dumpfd(root, fd, JSON_INDENT(2)) == 0 &&
		renameat(dir, temporary, dir, file) == 0;
	int err = errno;
	if (fd >= 0)
		close(fd);
	if (!ok)
		(void)unlinkat(dir, temporary, 0);
	json_decref(root);
	return ok ? 0 : fail(error, "cannot write the runtime file", file, err);
}

/* ---- the calls ---- */

/* As runtime_find. */
static int find_in(int dir, const char *name, struct runtime_info *ret)
{
	struct runtime_info info;
	if (!read_file(dir, name, &info))
		return 0;
	int fd = open_process(&info);
	if (fd < 0)
		return 0;
	close(fd);
	*ret = info;
	return 1;
}

int runtime_find(const char *name, struct runtime_info *ret, char error[RUNTIME_ERROR])
{
	int dir = open_dir(error);
	if (dir < 0)
		return -1;
	int found = find_in(dir, name, ret);
	close(dir);
	return found;
}

int runtime_claim(const char *name, const struct runtime_info *about, char error[RUNTIME_ERROR])
{
	struct runtime_info other, self = *about;
	int dir = open_dir(error), r = -1;
	if (dir < 0)
		return -1;
	self.pid = getpid();
	if (flock(dir, LOCK_EX)) /* against a second claim at the same time */
		(void)fail(error, "cannot lock the directory of", name, errno);
	else if (!start_time_of(self.pid, &self.start_time))
		(void)fail(error, "cannot read", "/proc/self/stat", ENOENT);
	else if (find_in(dir, name, &other))
		snprintf(error, RUNTIME_ERROR,
			"a fleet called \"%s\" runs already (pid %d): berth down ends it, --name gives this "
			"one another name",
			name, (int)other.pid);
	else
		r = write_file(dir, name, &self, error);
	close(dir);
	return r;
}

int runtime_publish(const char *name, const struct runtime_info *info, char error[RUNTIME_ERROR])
{
	struct runtime_info self = *info;
	int dir = open_dir(error), r = -1;
	if (dir < 0)
		return -1;
	self.pid = getpid();
	if (start_time_of(self.pid, &self.start_time))
		r = write_file(dir, name, &self, error);
	close(dir);
	return r;
}

static const char *lock_name(const char *name, char file[NAME_BYTES])
{
	snprintf(file, NAME_BYTES, "%s.lock", name);
	return file;
}

/* As open; one that its holder has removed before it was locked here is no lock. */
static int open_lock(int dir, const char *file)
{
	for (;;) {
		struct stat st;
		int fd = openat(dir, file, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0)
			return -1;
		if (flock(fd, LOCK_EX | LOCK_NB)) {
			close(fd);
			errno = EWOULDBLOCK;
			return -1;
		}
		if (fstat(fd, &st) == 0 && st.st_nlink)
			return fd;
		close(fd);
	}
}

int runtime_lock(const char *name, char error[RUNTIME_ERROR])
{
	char file[NAME_BYTES];
	int dir = open_dir(error);
	if (dir < 0)
		return -1;
	int fd = open_lock(dir, lock_name(name, file));
	int err = errno;
	close(dir);
	if (fd < 0 && err == EWOULDBLOCK)
		snprintf(error, RUNTIME_ERROR,
			"another berth up or down of the fleet \"%s\" is under way on this machine: it is to "
			"end first",
			name);
	else if (fd < 0)
		(void)fail(error, "cannot open the lock", file, err);
	return fd;
}

void runtime_unlock(const char *name, int lock)
{
	char file[NAME_BYTES], error[RUNTIME_ERROR];
	if (lock < 0)
		return;
	int dir = open_dir(error);
	if (dir >= 0) {
		(void)unlinkat(dir, lock_name(name, file), 0);
		close(dir);
	}
	close(lock);
}

void runtime_release(const char *name)
{
	char file[NAME_BYTES], error[RUNTIME_ERROR];
	int dir = open_dir(error);
	if (dir < 0)
		return;
	file_name(name, file);
	(void)unlinkat(dir, file, 0);
	close(dir);
}

int runtime_end(const struct runtime_info *info)
{
	int fd = open_process(info);
	if (fd < 0)
		return fd == -ESRCH ? 0 : fd;
	int r = pidfd_send_signal(fd, SIGTERM, NULL, 0) ? -errno : 0;
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	while (r == 0 && poll(&wait, 1, -1) < 0)
		r = errno == EINTR ? 0 : -errno;
	close(fd);
	return r == -ESRCH ? 0 : r;
}
