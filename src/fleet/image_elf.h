/* image_elf: which files a program needs to run: its loader and its libraries, and theirs.
 *
 * The names stand in the ELF files (DT_NEEDED); where a name leads is asked of this machine's loader, for
 * only it knows its cache and its directories. No program is run.
 */
#pragma once
#include "base/check.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

enum { ELF_LIBRARIES_MAX = 256, ELF_NAME = 128, ELF_ERROR = PATH_MAX + 256 };

struct elf_library {
	char name[ELF_NAME]; /* "libc.so.6" */
	char *path;          /* owned; where it is on this machine, without symbolic links */
};

struct elf_needs {
	char loader[PATH_MAX];    /* "/lib64/ld-linux-x86-64.so.2" */
	const char *architecture; /* static, as OCI images call it: "amd64", "arm64" */
	struct elf_library libraries[ELF_LIBRARIES_MAX];
	size_t n;
};

/* What the program at this path needs; may be followed by elf_add_library for what it loads on its own. False
 * with one line in error. The caller finishes *ret in any case. */
MUST_USE bool elf_find(struct elf_needs *ret, const char *program, char error[ELF_ERROR]);

/* A library that the program loads by itself, under this name, and all that it needs. path: where it is, or
 * NULL: the loader knows. */
MUST_USE bool elf_add_library(struct elf_needs *e, const char *name, const char *path, char error[ELF_ERROR]);

void elf_finish(struct elf_needs *e);
