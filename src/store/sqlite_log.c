#include "store/sqlite_log.h"

#include <sqlite3.h>
#include <string.h>

enum { GATHERED_MAX = 128 * 1024 };

/* The system's own file stands behind it, at real_of(). */
struct log_file {
	sqlite3_file base;
	unsigned char *bytes; /* owned, GATHERED_MAX of them */
	int len;
	sqlite3_int64 at; /* where in the file they belong */
};

static sqlite3_vfs *system_vfs;

static struct log_file *log_of(sqlite3_file *f)
{
	return (struct log_file *)f;
}

static sqlite3_file *real_of(sqlite3_file *f)
{
	return (sqlite3_file *)(log_of(f) + 1);
}

static int flush(sqlite3_file *f)
{
	struct log_file *l = log_of(f);
	int len = l->len;
	l->len = 0; /* what cannot be written is lost with its transaction */
	return len ? real_of(f)->pMethods->xWrite(real_of(f), l->bytes, len, l->at) : SQLITE_OK;
}

static int log_close(sqlite3_file *f)
{
	int flushed = flush(f), closed = real_of(f)->pMethods->xClose(real_of(f));
	sqlite3_free(log_of(f)->bytes);
	return flushed ? flushed : closed;
}

static int log_read(sqlite3_file *f, void *to, int len, sqlite3_int64 at)
{
	int r = flush(f);
	return r ? r : real_of(f)->pMethods->xRead(real_of(f), to, len, at);
}

static int log_write(sqlite3_file *f, const void *bytes, int len, sqlite3_int64 at)
{
	struct log_file *l = log_of(f);
	if (l->len && (at != l->at + l->len || len > GATHERED_MAX - l->len)) {
		int r = flush(f);
		if (r)
			return r;
	}
	if (len > GATHERED_MAX)
		return real_of(f)->pMethods->xWrite(real_of(f), bytes, len, at);
	if (!l->len)
		l->at = at;
	memcpy(l->bytes + l->len, bytes, (size_t)len);
	l->len += len;
	return SQLITE_OK;
}

static int log_truncate(sqlite3_file *f, sqlite3_int64 len)
{
	int r = flush(f);
	return r ? r : real_of(f)->pMethods->xTruncate(real_of(f), len);
}

static int log_sync(sqlite3_file *f, int flags)
{
	int r = flush(f);
	return r ? r : real_of(f)->pMethods->xSync(real_of(f), flags);
}

static int log_size(sqlite3_file *f, sqlite3_int64 *ret_len)
{
	int r = flush(f);
	return r ? r : real_of(f)->pMethods->xFileSize(real_of(f), ret_len);
}

static int log_lock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xLock(real_of(f), level);
}

static int log_unlock(sqlite3_file *f, int level)
{
	return real_of(f)->pMethods->xUnlock(real_of(f), level);
}

static int log_is_reserved(sqlite3_file *f, int *ret_reserved)
{
	return real_of(f)->pMethods->xCheckReservedLock(real_of(f), ret_reserved);
}

static int log_control(sqlite3_file *f, int what, void *arg)
{
	return real_of(f)->pMethods->xFileControl(real_of(f), what, arg);
}

static int log_sector_bytes(sqlite3_file *f)
{
	return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int log_traits(sqlite3_file *f)
{
	return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

/* Version 1: shared memory and maps are the database file's business. */
static const sqlite3_io_methods log_methods = {
	.iVersion = 1,
	.xClose = log_close,
	.xRead = log_read,
	.xWrite = log_write,
	.xTruncate = log_truncate,
	.xSync = log_sync,
	.xFileSize = log_size,
	.xLock = log_lock,
	.xUnlock = log_unlock,
	.xCheckReservedLock = log_is_reserved,
	.xFileControl = log_control,
	.xSectorSize = log_sector_bytes,
	.xDeviceCharacteristics = log_traits,
};

static int open_log(const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
	struct log_file *l = log_of(f);
	*l = (struct log_file){ .bytes = sqlite3_malloc(GATHERED_MAX) };
	if (!l->bytes)
		return SQLITE_NOMEM;
	int r = system_vfs->xOpen(system_vfs, name, real_of(f), flags, ret_flags);
	if (r)
		sqlite3_free(l->bytes);
	else
		l->base.pMethods = &log_methods;
	return r;
}

static int open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
	return flags & SQLITE_OPEN_WAL ? open_log(name, f, flags, ret_flags)
				       : system_vfs->xOpen(system_vfs, name, f, flags, ret_flags);
}

const char *sqlite_log_vfs(void)
{
	static sqlite3_vfs vfs;
	if (system_vfs)
		return vfs.zName;
	sqlite3_vfs *found = sqlite3_vfs_find(NULL);
	if (!found)
		return NULL;
	vfs = *found;
	vfs.zName = "berth";
	vfs.szOsFile = (int)sizeof(struct log_file) + found->szOsFile;
	vfs.xOpen = open_file;
	if (sqlite3_vfs_register(&vfs, 0))
		return NULL;
	system_vfs = found;
	return vfs.zName;
}
