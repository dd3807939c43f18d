/* sqlite_log: SQLite's way to files, with one write for what it appends to its log in many.
 *
 * SQLite hands each page of a commit to the system in two writes, a header's and the page's. This VFS gathers
 * those of the write-ahead log that follow each other and writes them before anything else is done with the
 * log. So nothing but the number of system calls differs: a commit is synced before it counts, and until then
 * nobody but the connection that wrote it may read it.
 */
#pragma once

/* The VFS's name for sqlite3_open_v2, or NULL, which is the system's own, when there is no memory. */
const char *sqlite_log_vfs(void);
