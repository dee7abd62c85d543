/* Files that lie behind an address: http://, https:// or s3://. They are fetched whole into a
 * folder, where every process of this host finds them, and are files like any other from then on.
 */
#ifndef RUB_HTTP_FETCH_H
#define RUB_HTTP_FETCH_H

#include "include/rubato.h"

/* Does the word begin with http://, https:// or s3://? */
bool rub_http_address(const char *words);

typedef struct rub_http_options {
    const char *folder;      /* made if it is missing; required */
    unsigned attempts;       /* each goes on where the one before broke off; 6, at least 1 */
    uint32_t first_pause_ms; /* behind the first attempt; doubles; 250 */
    uint32_t stall_s;        /* less than a byte a second for so long ends an attempt; 30 */
    /* s3 alone. NULL or "": the bucket is public, or region us-east-1, or Amazon's address. */
    const char *key_id, *secret, *session_token, *region, *endpoint;
    /* Hears, in sentences about the address: who fetches it already; that nothing comes (after
     * quiet_ms, 5000, and again each time as long), how far a long file is, that an attempt has
     * failed and another follows. From the caller's thread. NULL: nobody does. */
    void (*say)(void *context, const char *sentence);
    void *context;
    uint32_t quiet_ms;
    const volatile int
        *interrupted; /* ends it, within a second or two, when not 0; NULL: nothing */
    uint32_t wait_ms; /* for another process: until nothing of the file has come for so long; 300000
                       */
} rub_http_options_t;

/* The s3 ones are those of AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION
 * or AWS_DEFAULT_REGION, and AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, as all programs for S3 take
 * them; borrowed from the environment. */
void rub_http_options_defaults(rub_http_options_t *options);

/* Not 0 and not NULL: whoever waits gives up. */
static inline bool rub_http_interrupted(const rub_http_options_t *options)
{
    return options->interrupted != NULL && *options->interrupted != 0;
}

/* Makes sure that the file behind the address is in the folder; *path_p is the caller's (rub_free),
 * NULL on failure. Who comes while another process fetches it waits for that one, and fetches it
 * itself when that one has failed or died. What is there is not asked for again; remove it to have
 * it fetched anew. A file has its name once it is whole: as long as the server said, by
 * Content-Length or by how its chunks end. Redirections are followed to http and https, from https
 * to https alone, and not at all where requests are signed. RUB_EDATA names the address (without
 * user, password and query, which may be secrets), and status or cause: an answer other than 200
 * (4xx at once, 408, 429 and 5xx after the last attempt), a connection that fails, stalls or is cut
 * at each attempt, a server that does not say how long the file is, one that changed it in between;
 * another process fetches it and gets on no more (wait_ms). RUB_ENOSPC, RUB_ESTORE: the folder.
 * RUB_ECONFIG: libcurl is not installed, or the address is none. RUB_EINTR: interrupted.
 * RUB_ENOMEM. Blocks. */
int rub_http_fetch(const char *address, const rub_http_options_t *options, char **path_p,
                   rub_error_t *err);

/* Of items with commas between those that are addresses are fetched, an archive's array
 * (FILE.npz:NAME) with its archive: *words_p is the list with their paths, the caller's
 * (rub_free). */
int rub_http_fetch_all(const char *words, const rub_http_options_t *options, char **words_p,
                       rub_error_t *err);

#endif
