#include "fleet/image_elf.h"

#include "base/str.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static bool fail(char error[ELF_ERROR], const char *fmt, ...) PRINTF(2, 3);
static bool fail(char error[ELF_ERROR], const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(error, ELF_ERROR, fmt, ap);
	va_end(ap);
	return false;
}

/* ---- a file ---- */

struct elf {
	const char *path; /* borrowed */
	const unsigned char *bytes;
	size_t len;
	const Elf64_Ehdr *head;
	const Elf64_Dyn *dynamic; /* NULL: a program without libraries */
	size_t n_dynamic;
	const char *strings; /* ends within the file */
};

/* The file's bytes [from, from + n), or NULL when it is too short. */
static const void *slice(const struct elf *f, uint64_t from, uint64_t n)
{
	return from <= f->len && n <= f->len - from ? f->bytes + from : NULL;
}

static const Elf64_Phdr *segment(const struct elf *f, size_t i)
{
	return slice(f, f->head->e_phoff + i * f->head->e_phentsize, sizeof(Elf64_Phdr));
}

static const Elf64_Phdr *find_segment(const struct elf *f, uint32_t type)
{
	for (size_t i = 0; i < f->head->e_phnum; i++) {
		const Elf64_Phdr *p = segment(f, i);
		if (p && p->p_type == type)
			return p;
	}
	return NULL;
}

/* The place in the file of what is at this address when it runs. */
static bool offset_of(const struct elf *f, uint64_t address, uint64_t *ret)
{
	for (size_t i = 0; i < f->head->e_phnum; i++) {
		const Elf64_Phdr *p = segment(f, i);
		if (!p || p->p_type != PT_LOAD || address < p->p_vaddr || address - p->p_vaddr >= p->p_filesz)
			continue;
		*ret = p->p_offset + (address - p->p_vaddr);
		return true;
	}
	return false;
}

/* A text of the file that ends in it; NULL otherwise. */
static const char *text_at(const struct elf *f, uint64_t offset)
{
	const char *text = slice(f, offset, 1);
	return text && memchr(text, 0, f->len - offset) ? text : NULL;
}

static bool read_dynamic(struct elf *f)
{
	const Elf64_Phdr *p = find_segment(f, PT_DYNAMIC);
	if (!p)
		return true;
	f->dynamic = slice(f, p->p_offset, p->p_filesz);
	if (!f->dynamic)
		return false;
	while (f->n_dynamic < p->p_filesz / sizeof *f->dynamic && f->dynamic[f->n_dynamic].d_tag != DT_NULL)
		f->n_dynamic++;
	for (size_t i = 0; i < f->n_dynamic; i++) {
		uint64_t at;
		if (f->dynamic[i].d_tag == DT_STRTAB && offset_of(f, f->dynamic[i].d_un.d_ptr, &at))
			f->strings = slice(f, at, 1);
	}
	return f->strings;
}

/* A text of the dynamic section. */
static const char *dynamic_text(const struct elf *f, const Elf64_Dyn *entry)
{
	return text_at(f, (uint64_t)((const unsigned char *)f->strings - f->bytes) + entry->d_un.d_val);
}

static bool parse(struct elf *f)
{
	f->head = slice(f, 0, sizeof *f->head);
	return f->head && !memcmp(f->head->e_ident, ELFMAG, SELFMAG) &&
		f->head->e_ident[EI_CLASS] == ELFCLASS64 && f->head->e_ident[EI_DATA] == ELFDATA2LSB &&
		f->head->e_phoff % sizeof(uint64_t) == 0 && f->head->e_phentsize % sizeof(uint64_t) == 0 &&
		read_dynamic(f);
}

static void elf_close(struct elf *f)
{
	if (f->bytes)
		munmap((void *)(uintptr_t)f->bytes, f->len);
}

static bool elf_open(struct elf *f, const char *path, char error[ELF_ERROR])
{
	struct stat st;
	*f = (struct elf){ .path = path };
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		fail(error, "%s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return false;
	}
	void *bytes = st.st_size ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
	close(fd);
	if (bytes != MAP_FAILED) {
		f->bytes = bytes;
		f->len = (size_t)st.st_size;
	}
	if (f->bytes && parse(f))
		return true;
	elf_close(f);
	return fail(error, "%s: is no 64-bit ELF file", path);
}

/* ---- where a library is ---- */

/* The file that this machine's loader takes for a name. */
static char *ask_loader(const char *name)
{
	struct link_map *map = NULL;
	char *path = NULL;
	void *library = dlopen(name, RTLD_LAZY | RTLD_LOCAL);
	if (library && dlinfo(library, RTLD_DI_LINKMAP, &map) == 0 && map)
		path = realpath(map->l_name, NULL);
	if (library)
		dlclose(library);
	return path;
}

/* One directory of a DT_RUNPATH, in which $ORIGIN is the one that the file is in. */
static char *look_in(const struct elf *f, struct str directory, const char *name)
{
	static const char *const origins[] = { "$ORIGIN", "${ORIGIN}" };
	char path[PATH_MAX];
	const char *slash = strrchr(f->path, '/');
	struct str origin = { "", 0 };
	for (size_t i = 0; i < ARRAY_LEN(origins); i++) {
		if (!slash || !str_starts(directory, str_of(origins[i])))
			continue;
		origin = (struct str){ f->path, (size_t)(slash - f->path) };
		directory = str_skip(directory, strlen(origins[i]));
	}
	int n = snprintf(path, sizeof path, STR_FMT STR_FMT "/%s", STR_ARG(origin), STR_ARG(directory), name);
	return n < (int)sizeof path ? realpath(path, NULL) : NULL;
}

static char *locate(const struct elf *f, const char *name)
{
	for (size_t i = 0; i < f->n_dynamic; i++) {
		const Elf64_Dyn *d = &f->dynamic[i];
		if (d->d_tag != DT_RUNPATH && d->d_tag != DT_RPATH)
			continue;
		struct str rest = str_of(dynamic_text(f, d));
		while (rest.ptr) {
			char *path = look_in(f, str_cut(&rest, ':'), name);
			if (path)
				return path;
		}
	}
	return ask_loader(name);
}

/* ---- all that are needed ---- */

static bool has(const struct elf_needs *e, const char *name)
{
	const char *loader = strrchr(e->loader, '/');
	for (size_t i = 0; i < e->n; i++) {
		if (!strcmp(e->libraries[i].name, name))
			return true;
	}
	return loader && !strcmp(loader + 1, name);
}

/* Takes path over. */
static bool add(struct elf_needs *e, const char *name, char *path, char error[ELF_ERROR])
{
	struct elf_library *library = &e->libraries[e->n];
	bool fits = e->n < ELF_LIBRARIES_MAX && strlen(name) < ELF_NAME;
	if (!fits) {
		free(path);
		return fail(error, "%s: more than %d libraries, or a name of more than %d bytes", name,
			ELF_LIBRARIES_MAX, ELF_NAME - 1);
	}
	str_copy(library->name, ELF_NAME, str_of(name));
	library->path = path;
	e->n++;
	return true;
}

static bool add_needed_by(struct elf_needs *e, const struct elf *f, char error[ELF_ERROR])
{
	for (size_t i = 0; i < f->n_dynamic; i++) {
		const char *name = f->dynamic[i].d_tag == DT_NEEDED ? dynamic_text(f, &f->dynamic[i]) : NULL;
		if (!name || has(e, name))
			continue;
		char *path = locate(f, name);
		if (!path)
			return fail(error, "%s needs %s, which is not on this machine", f->path, name);
		if (!add(e, name, path, error))
			return false;
	}
	return true;
}

/* From the library at this index on, each brings in what it needs, to the end of the list. */
static bool add_rest(struct elf_needs *e, size_t from, char error[ELF_ERROR])
{
	for (size_t i = from; i < e->n; i++) {
		struct elf f;
		if (!elf_open(&f, e->libraries[i].path, error))
			return false;
		bool ok = add_needed_by(e, &f, error);
		elf_close(&f);
		if (!ok)
			return false;
	}
	return true;
}

static bool read_program(struct elf_needs *e, const struct elf *f, char error[ELF_ERROR])
{
	const Elf64_Phdr *p = find_segment(f, PT_INTERP);
	const char *loader = p ? text_at(f, p->p_offset) : NULL;
	if (!loader || strlen(loader) >= sizeof e->loader)
		return fail(error, "%s: names no loader", f->path);
	str_copy(e->loader, sizeof e->loader, str_of(loader));
	switch (f->head->e_machine) {
	case EM_X86_64:
		e->architecture = "amd64";
		return true;
	case EM_AARCH64:
		e->architecture = "arm64";
		return true;
	default:
		return fail(error, "%s: images are made for x86-64 and AArch64 only", f->path);
	}
}

bool elf_find(struct elf_needs *ret, const char *program, char error[ELF_ERROR])
{
	struct elf f;
	*ret = (struct elf_needs){ 0 };
	if (!elf_open(&f, program, error))
		return false;
	bool ok = read_program(ret, &f, error) && add_needed_by(ret, &f, error);
	elf_close(&f);
	return ok && add_rest(ret, 0, error);
}

bool elf_add_library(struct elf_needs *e, const char *name, const char *path, char error[ELF_ERROR])
{
	size_t from = e->n;
	if (has(e, name))
		return true;
	char *found = path ? realpath(path, NULL) : ask_loader(name);
	if (!found)
		return fail(error, "%s: is not on this machine", path ? path : name);
	return add(e, name, found, error) && add_rest(e, from, error);
}

void elf_finish(struct elf_needs *e)
{
	for (size_t i = 0; i < e->n; i++)
		free(e->libraries[i].path);
	e->n = 0;
}
