#include "fleet/curl_load.h"

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The functions that are used: the result, the name, the parameters, the arguments. Variadic ones are below.
 */
#define EACH_FUNCTION(X)                                                                               \
	X(CURLcode, curl_global_init, (long flags), (flags))                                           \
	X(CURL *, curl_easy_init, (void), ())                                                          \
	X(CURLcode, curl_easy_perform, (CURL * curl), (curl))                                          \
	X(void, curl_easy_cleanup, (CURL * curl), (curl))                                              \
	X(void, curl_easy_reset, (CURL * curl), (curl))                                                \
	X(const char *, curl_easy_strerror, (CURLcode code), (code))                                   \
	X(char *, curl_easy_escape, (CURL * curl, const char *text, int length), (curl, text, length)) \
	X(void, curl_free, (void *p), (p))                                                             \
	X(struct curl_slist *, curl_slist_append, (struct curl_slist * list, const char *text),        \
		(list, text))                                                                          \
	X(void, curl_slist_free_all, (struct curl_slist * list), (list))                               \
	X(CURLM *, curl_multi_init, (void), ())                                                        \
	X(CURLMcode, curl_multi_add_handle, (CURLM * multi, CURL * curl), (multi, curl))               \
	X(CURLMcode, curl_multi_remove_handle, (CURLM * multi, CURL * curl), (multi, curl))            \
	X(CURLMcode, curl_multi_perform, (CURLM * multi, int *running), (multi, running))              \
	X(CURLMcode, curl_multi_poll,                                                                  \
		(CURLM * multi, struct curl_waitfd fds[], unsigned int n, int timeout_ms, int *ret_n), \
		(multi, fds, n, timeout_ms, ret_n))                                                    \
	X(CURLMcode, curl_multi_wakeup, (CURLM * multi), (multi))                                      \
	X(CURLMsg *, curl_multi_info_read, (CURLM * multi, int *left), (multi, left))                  \
	X(CURLMcode, curl_multi_cleanup, (CURLM * multi), (multi))                                     \
	X(const char *, curl_multi_strerror, (CURLMcode code), (code))

static struct {
#define FIELD(type, name, parameters, arguments) type(*name) parameters;
	EACH_FUNCTION(FIELD)
#undef FIELD
	CURLcode (*curl_easy_setopt)(CURL *curl, CURLoption option, ...);
	CURLcode (*curl_easy_getinfo)(CURL *curl, CURLINFO info, ...);
} library;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char failure[CURL_LOAD_WHY]; /* "": it is loaded */

static bool find(void *handle, const char *name, void *ret)
{
	void *symbol = dlsym(handle, name);
	*(void **)ret = symbol;
	return symbol;
}

static void load(void)
{
	bool ok = true;
	void *handle = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
	if (!handle) {
		snprintf(failure, sizeof failure, "%s: install it (Debian: libcurl4)", dlerror());
		return;
	}
#define FIND(type, name, parameters, arguments) ok = ok && find(handle, #name, &library.name);
	EACH_FUNCTION(FIND)
#undef FIND
	ok = ok && find(handle, "curl_easy_setopt", &library.curl_easy_setopt) &&
		find(handle, "curl_easy_getinfo", &library.curl_easy_getinfo);
	if (!ok)
		snprintf(failure, sizeof failure, "libcurl.so.4 is too old: %s", dlerror());
	else if (library.curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		snprintf(failure, sizeof failure, "libcurl.so.4 could not be set up");
}

bool curl_load(char why[CURL_LOAD_WHY])
{
	(void)pthread_once(&once, load);
	if (failure[0])
		snprintf(why, CURL_LOAD_WHY, "%s", failure);
	return !failure[0];
}

#define PASS_ON(type, name, parameters, arguments) \
	type(name) parameters                      \
	{                                          \
		return library.name arguments;     \
	}
EACH_FUNCTION(PASS_ON)
#undef PASS_ON

/* The third argument is a long, a curl_off_t or a pointer: one word each on the machines that Berth runs on.
 */
_Static_assert(sizeof(long) == sizeof(void *) && sizeof(curl_off_t) == sizeof(void *), "one word each");

CURLcode(curl_easy_setopt)(CURL *curl, CURLoption option, ...)
{
	va_list ap;
	va_start(ap, option);
	void *value = va_arg(ap, void *);
	va_end(ap);
	return library.curl_easy_setopt(curl, option, value);
}

CURLcode(curl_easy_getinfo)(CURL *curl, CURLINFO info, ...)
{
	va_list ap;
	va_start(ap, info);
	void *value = va_arg(ap, void *);
	va_end(ap);
	return library.curl_easy_getinfo(curl, info, value);
}

size_t curl_text_add(char *data, size_t size, size_t n, void *text)
{
	struct curl_text *t = text;
	size_t len = size * n;
	if (len >= sizeof t->text - t->len)
		return 0;
	memcpy(t->text + t->len, data, len);
	t->len += len;
	t->text[t->len] = '\0';
	return len;
}
