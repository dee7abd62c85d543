/* Addresses of data files: what of one may be said, and what is asked for.
 *
 * S3: path-style addresses at an endpoint, virtual-hosted ones at Amazon's, signed by libcurl (AWS
 * Signature Version 4) where there is a key. Invariant: what is shown has neither user, password
 * nor query, which may be secrets. */
#include "worker/data/http_address.h"

#include "common/base/alloc.h"
#include "common/base/error.h"

#include <stdint.h>
#include <string.h>

bool rub_http_address(const char *words)
{
    return strncmp(words, "http://", 7) == 0 || strncmp(words, "https://", 8) == 0 ||
           strncmp(words, "s3://", 5) == 0;
}

static const char *either(const char *a, const char *b)
{
    return a != NULL && a[0] != '\0' ? a : b;
}

/* Without a name and password, and without a query: addresses that are signed have their keys
 * there. NULL when memory is short. */
static char *show(const char *address)
{
    const char *const scheme = strstr(address, "://");
    const char *const host = scheme != NULL ? scheme + 3 : address;
    const size_t n = strcspn(host, "/?#");
    const char *const at = memrchr(host, '@', n);
    const char *const from = at != NULL ? at + 1 : host;
    const size_t bytes = strcspn(from, "?#");
    return rub_sprintf("%.*s%.*s%s", (int)(host - address), address, (int)bytes, from,
                       from[bytes] != '\0' ? "?..." : "");
}

static char *escape_key(const char *key)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~/";
    static const char digits[] = "0123456789ABCDEF";
    char *const out = rub_alloc(3 * strlen(key) + 1);
    char *at = out;
    for (; out != NULL && *key != '\0'; key++) {
        if (strchr(plain, *key) != NULL) {
            *at++ = *key;
        } else {
            *at++ = '%';
            *at++ = digits[(uint8_t)*key >> 4];
            *at++ = digits[(uint8_t)*key & 15];
        }
    }
    if (out != NULL) {
        *at = '\0';
    }
    return out;
}

static int make_url(rub_http_target_t *self, const char *address, const rub_http_options_t *options,
                    rub_error_t *err)
{
    if (!self->is_s3) {
        self->url = rub_strdup(address);
        return self->url ? 0 : rub_fail(err, RUB_ENOMEM, "'%s': no memory", self->shown);
    }
    const char *const bucket = address + 5;
    const char *const slash = strchr(bucket, '/');
    if (slash == NULL || slash == bucket || slash[1] == '\0') {
        return rub_fail(err, RUB_ECONFIG, "'%s': expected s3://bucket/key", self->shown);
    }
    const char *const region = either(options->region, "us-east-1");
    const char *const endpoint = either(options->endpoint, NULL);
    const int n = (int)(slash - bucket);
    char *const key = escape_key(slash + 1);
    if (key != NULL && endpoint != NULL) {
        int bytes = (int)strlen(endpoint);
        bytes -= endpoint[bytes - 1] == '/'; /* or the key would have an empty part, as signed */
        self->url = rub_sprintf("%.*s/%.*s/%s", bytes, endpoint, n, bucket, key);
    } else if (key != NULL) {
        self->url = rub_sprintf("https://%.*s.s3.%s.amazonaws.com/%s", n, bucket, region, key);
    }
    rub_free(key);
    const bool keys = either(options->key_id, NULL) && either(options->secret, NULL);
    if (keys) {
        self->signing = rub_sprintf("aws:amz:%s:s3", region);
        self->user = rub_sprintf("%s:%s", options->key_id, options->secret);
    }
    return self->url && (!keys || (self->signing && self->user))
               ? 0
               : rub_fail(err, RUB_ENOMEM, "'%s': no memory", self->shown);
}

int rub_http_target_init(rub_http_target_t *self, const char *address,
                         const rub_http_options_t *options, rub_error_t *err)
{
    *self = (rub_http_target_t){.is_s3 = strncmp(address, "s3://", 5) == 0};
    self->shown = show(address);
    return self->shown ? make_url(self, address, options, err)
                       : rub_fail(err, RUB_ENOMEM, "no memory for an address");
}

void rub_http_target_fini(rub_http_target_t *self)
{
    rub_free(self->shown);
    rub_free(self->url);
    rub_free(self->signing);
    rub_free(self->user);
    *self = (rub_http_target_t){0};
}
