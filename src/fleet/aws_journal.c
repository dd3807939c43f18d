#include "fleet/aws_journal.h"

#include "base/json.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 2048, JOURNAL_MAX = 1 << 20 };

static bool fail(const struct aws_journal *j, const char *what, char why[AWS_WHY])
{
	snprintf(why, AWS_WHY, "the journal %.300s: cannot %s: %s (XDG_STATE_HOME names another directory)",
		j->path, what, strerror(errno));
	return false;
}

/* Makes the directories of the path, one after the other. */
static bool make_directories(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		int r = mkdir(path, 0700);
		int err = errno;
		*slash = '/';
		if (r && err != EEXIST) {
			errno = err;
			return false;
		}
	}
	return true;
}

static bool find_path(struct aws_journal *j, const char *cluster, const char *region)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	int n;
	if (state && *state == '/')
		n = snprintf(j->path, sizeof j->path, "%s/berth/aws-%s-%s.journal", state, region, cluster);
	else
		n = snprintf(j->path, sizeof j->path, "%s/.local/state/berth/aws-%s-%s.journal",
			home && *home == '/' ? home : "/tmp", region, cluster);
	return n < (int)sizeof j->path;
}

/* The text of the last line, when that is not the end of a run. */
static void read_cut_off(struct aws_journal *j)
{
	char text[LINE_MAX_BYTES + 1];
	struct stat st;
	if (fstat(j->fd, &st) || st.st_size == 0)
		return;
	off_t from = st.st_size > LINE_MAX_BYTES ? st.st_size - LINE_MAX_BYTES : 0;
	ssize_t n = pread(j->fd, text, LINE_MAX_BYTES, from);
	while (n > 0 && text[n - 1] == '\n')
		n--;
	if (n <= 0)
		return;
	text[n] = '\0';
	const char *line = strrchr(text, '\n');
	line = line ? line + 1 : text;
	const char *what = strstr(line, "\"text\":\"");
	if (strstr(line, "\"event\":\"end\"") || !what)
		return;
	what += strlen("\"text\":\"");
	str_copy(j->cut_off, sizeof j->cut_off, (struct str){ what, strcspn(what, "\"") });
}

bool aws_journal_open(
	struct aws_journal *j, const char *cluster, const char *region, const char *what, char why[AWS_WHY])
{
	unsigned char random[8];
	struct stat st;
	*j = (struct aws_journal){ .fd = -1 };
	if (!find_path(j, cluster, region)) {
		errno = ENAMETOOLONG;
		return fail(j, "name it", why);
	}
	if (!make_directories(j->path))
		return fail(j, "make its directory", why);
	j->fd = open(j->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (j->fd < 0)
		return fail(j, "open it", why);
	if (flock(j->fd, LOCK_EX | LOCK_NB)) {
		snprintf(why, AWS_WHY,
			"another berth up or down of this fleet is under way on this machine (%.300s)",
			j->path);
		aws_journal_close(j, NULL, false);
		return false;
	}
	if (getrandom(random, sizeof random, 0) != sizeof random)
		return fail(j, "name the run", why);
	for (size_t i = 0; i < sizeof random; i++)
		snprintf(j->run + 2 * i, 3, "%02x", random[i]);
	read_cut_off(j);
	if (fstat(j->fd, &st) == 0 && st.st_size > JOURNAL_MAX && ftruncate(j->fd, 0))
		return fail(j, "shorten it", why);
	return aws_journal_write(j, "begin", what, why);
}

bool aws_journal_write(struct aws_journal *j, const char *event, const char *text, char why[AWS_WHY])
{
	struct json line;
	char time_text[32];
	time_t now = time(NULL);
	struct tm tm;
	strftime(time_text, sizeof time_text, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	json_init(&line);
	json_open(&line, '{');
	const char *const members[][2] = { { "time", time_text }, { "run", j->run }, { "event", event },
		{ "text", text } };
	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		json_key(&line, members[i][0]);
		json_string(&line, str_of(members[i][1]));
	}
	json_close(&line, '}');
	json_bytes(&line, STR("\n"));
	struct str s = json_str(&line);
	errno = ENOMEM;
	bool ok = !json_failed(&line) && write(j->fd, s.ptr, s.len) == (ssize_t)s.len;
	json_finish(&line);
	return ok || fail(j, "write it", why);
}

bool aws_journal_sync(struct aws_journal *j, char why[AWS_WHY])
{
	return fdatasync(j->fd) == 0 || fail(j, "write it", why);
}

void aws_journal_close(struct aws_journal *j, const char *outcome, bool remove)
{
	char why[AWS_WHY];
	if (j->fd < 0)
		return;
	if (outcome && !remove)
		(void)!aws_journal_write(j, "end", outcome, why);
	if (remove)
		(void)unlink(j->path);
	close(j->fd);
	j->fd = -1;
}
