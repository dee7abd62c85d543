/* libcurl, loaded when the first address is read. Linked in, it and the thirty libraries behind it
 * would cost each process of a fleet 9 ms and 6 MB at its start, for what few runs need. */
#ifndef RUB_HTTP_CURL_H
#define RUB_HTTP_CURL_H

#include "include/rubato.h"

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#undef curl_easy_setopt
#undef curl_easy_getinfo

typedef struct rub_http_curl {
    void *library;
    __typeof__(curl_easy_init) *init;
    __typeof__(curl_easy_setopt) *set;
    __typeof__(curl_easy_getinfo) *get;
    __typeof__(curl_easy_perform) *perform;
    __typeof__(curl_easy_cleanup) *cleanup;
    __typeof__(curl_easy_strerror) *text;
    __typeof__(curl_slist_append) *append;
    __typeof__(curl_slist_free_all) *free_list;
} rub_http_curl_t;

/* RUB_ECONFIG: libcurl.so.4 is not there. It stays loaded. */
int rub_http_curl_load(rub_http_curl_t *self, rub_error_t *err);

#endif
