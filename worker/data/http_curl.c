/* Finding libcurl's functions. It is never unloaded: the libraries behind it do not expect that. */
#include "worker/data/http_curl.h"

#include "common/base/error.h"

#include <dlfcn.h>

static bool find(void *library, const char *name, void *function_p)
{
    *(void **)function_p = dlsym(library, name);
    return *(void **)function_p != NULL;
}

int rub_http_curl_load(rub_http_curl_t *self, rub_error_t *err)
{
    static const char *const names[] = {"libcurl.so.4", "libcurl-gnutls.so.4"};
    *self = (rub_http_curl_t){0};
    for (size_t i = 0; self->library == NULL && i < sizeof names / sizeof *names; i++) {
        self->library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    }
    if (self->library == NULL) {
        return rub_fail(err, RUB_ECONFIG,
                        "data behind an address is read by libcurl.so.4, which is not installed "
                        "(Debian: libcurl4)");
    }
    const bool whole = find(self->library, "curl_easy_init", &self->init) &&
                       find(self->library, "curl_easy_setopt", &self->set) &&
                       find(self->library, "curl_easy_getinfo", &self->get) &&
                       find(self->library, "curl_easy_perform", &self->perform) &&
                       find(self->library, "curl_easy_cleanup", &self->cleanup) &&
                       find(self->library, "curl_easy_strerror", &self->text) &&
                       find(self->library, "curl_slist_append", &self->append) &&
                       find(self->library, "curl_slist_free_all", &self->free_list);
    return whole ? 0 : rub_fail(err, RUB_ECONFIG, "libcurl lacks a function: %s", dlerror());
}
