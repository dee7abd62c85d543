/* An address of http, https or s3, as it is asked for. */
#ifndef RUB_HTTP_ADDRESS_H
#define RUB_HTTP_ADDRESS_H

#include "worker/data/http_fetch.h"

typedef struct rub_http_target {
    char *shown;   /* for sentences: without what may be a secret */
    char *url;     /* that is asked for */
    char *signing; /* what curl shall sign with; NULL: nothing */
    char *user;    /* and as whom */
    bool is_s3;
} rub_http_target_t;

/* RUB_ECONFIG: of s3, there is no bucket or no key in it; RUB_ENOMEM. To be ended on failure, too.
 */
int rub_http_target_init(rub_http_target_t *self, const char *address,
                         const rub_http_options_t *options, rub_error_t *err);
void rub_http_target_fini(rub_http_target_t *self);

#endif
