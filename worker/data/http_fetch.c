/* Fetching data files.
 *
 * Why: clusters keep data behind addresses, and readers want files: to seek in them, to read them
 * again in each epoch, and to share them among the workers of a host. Idea: fetch each once, whole,
 * under another name, and give it its own when the last byte is there. Connections break; so an
 * attempt goes on where the one before broke off, asking for the rest of the same version of the
 * file (If-Range: RFC 9110, 13.1.5), or begins anew when the server has another one by now.
 * Invariants: nothing has a file's name but the whole file; every attempt and every pause is
 * bounded; one process fetches, under a lock that dies with it (worker/data/fetch_lock.h).
 * Waiting is said, since a worker that fetches has not joined, and somebody wonders why. */
#include "worker/data/http_fetch.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/base/hash.h"
#include "common/base/timing.h"
#include "worker/data/fetch_lock.h"
#include "worker/data/http_address.h"
#include "worker/data/http_curl.h"
#include "worker/data/npy_array.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum {
    VERSION_BYTES = 256,
    CONNECT_MS = 15000,
    REDIRECTS = 5,
    NAME_BYTES = 100,
    CODE_BYTES = 64,
    LOOK_US = 50000
};

/* One file on its way. */
typedef struct fetch {
    const rub_http_options_t *options;
    const rub_http_curl_t *curl;
    rub_http_target_t target;
    char *part; /* the file while it comes */
    int fd;
    uint64_t got;                /* bytes of the part */
    char version[VERSION_BYTES]; /* ETag or Last-Modified of the part */
    /* of the present answer */
    long status;
    bool chunked;
    uint64_t first; /* byte of a 206; UINT64_MAX: it did not say */
    char heard[VERSION_BYTES];
    bool begun;            /* its body was looked at */
    char code[CODE_BYTES]; /* what S3 calls the failure, or "" */
    int write_errno;
    /* of what was said */
    uint64_t came_us;           /* the last byte, or the attempt's begin */
    uint64_t said_us, said_got; /* when last, or when the attempt began; how far the file was */
    uint64_t first_got;         /* and where the attempt began */
} fetch_t;

static const char *either(const char *a, const char *b)
{
    return a != NULL && a[0] != '\0' ? a : b;
}

void rub_http_options_defaults(rub_http_options_t *options)
{
    *options = (rub_http_options_t){
        .attempts = 6,
        .first_pause_ms = 250,
        .stall_s = 30,
        .quiet_ms = 5000,
        .wait_ms = 300000, /* longer than all attempts of who fetches may be silent */
        .key_id = getenv("AWS_ACCESS_KEY_ID"),
        .secret = getenv("AWS_SECRET_ACCESS_KEY"),
        .session_token = getenv("AWS_SESSION_TOKEN"),
        .region = either(getenv("AWS_REGION"), getenv("AWS_DEFAULT_REGION")),
        .endpoint = either(getenv("AWS_ENDPOINT_URL_S3"), getenv("AWS_ENDPOINT_URL")),
    };
}

/* ---- its name ---- */

/* The name in the folder: of all of the address (of a bucket: and where it is asked for), and its
 * last part, for people. */
static char *name_of(const rub_http_options_t *options, const char *address)
{
    const char *const endpoint = either(options->endpoint, NULL);
    uint64_t hash = rub_hash_bytes(address, strlen(address));
    if (endpoint != NULL && strncmp(address, "s3://", 5) == 0) {
        hash = rub_mix64(hash) ^ rub_hash_bytes(endpoint, strlen(endpoint));
    }
    char name[NAME_BYTES];
    const char *const slash = strrchr(address, '/');
    size_t n = 0;
    for (const char *at = slash + 1; *at != '\0' && *at != '?' && *at != '#' && n + 1 < NAME_BYTES;
         at++) {
        const bool plain = *at > ' ' && *at < 0x7f && *at != ',' && *at != ':' && *at != '*';
        name[n++] = plain ? *at : '_';
    }
    name[n] = '\0';
    return rub_sprintf("%s/%016" PRIx64 "-%s", options->folder, hash, name);
}

/* ---- one attempt ---- */

static bool header_is(const char *line, size_t bytes, const char *name, char out[VERSION_BYTES])
{
    const size_t n = strlen(name);
    if (bytes <= n || strncasecmp(line, name, n) != 0) {
        return false;
    }
    const char *at = line + n;
    const char *end = line + bytes;
    while (at < end && *at == ' ') {
        at++;
    }
    while (end > at && (uint8_t)end[-1] <= ' ') {
        end--;
    }
    const size_t kept = (size_t)(end - at) < VERSION_BYTES ? (size_t)(end - at) : 0;
    memcpy(out, at, kept);
    out[kept] = '\0';
    return true;
}

static size_t on_header(char *line, size_t one, size_t bytes, void *context)
{
    fetch_t *const self = context;
    char value[VERSION_BYTES];
    if (bytes > 5 && strncmp(line, "HTTP/", 5) == 0) { /* of the answer behind a redirection, too */
        self->chunked = false;
        self->heard[0] = '\0';
        self->first = UINT64_MAX;
    } else if (header_is(line, bytes, "content-range: bytes ", value)) {
        self->first = strtoull(value, NULL, 10);
    } else if (header_is(line, bytes, "transfer-encoding:", value)) {
        self->chunked = strcasestr(value, "chunked") != NULL;
    } else if (header_is(line, bytes, "etag:", value) && strncmp(value, "W/", 2) != 0) {
        memcpy(self->heard, value, sizeof(value)); /* weak ones do not promise the same bytes */
    } else if (self->heard[0] == '\0') {
        (void)header_is(line, bytes, "last-modified:", self->heard);
    }
    return one * bytes;
}

/* Does a rest say that it is of another file? A server may not know If-Range. */
static bool other_version(const fetch_t *self)
{
    const bool same_kind = (self->heard[0] == '"') == (self->version[0] == '"');
    return self->heard[0] != '\0' && same_kind && strcmp(self->heard, self->version) != 0;
}

/* The first bytes of a body: are they the rest of the part, a file, or a sentence about a failure?
 */
static bool begin_body(fetch_t *self, CURL *handle)
{
    self->begun = true;
    self->curl->get(handle, CURLINFO_RESPONSE_CODE, &self->status);
    if (self->status == 206 && self->got > 0 && self->first == self->got && !other_version(self)) {
        return true;
    }
    if (self->status != 200) {
        self->version[0] = '\0'; /* from the beginning, should there be another attempt */
        return false;
    }
    self->got = self->first_got = 0; /* the server does not go on, or has another version */
    memcpy(self->version, self->heard, sizeof(self->version));
    if (ftruncate(self->fd, 0) != 0) {
        self->write_errno = errno;
    }
    return self->write_errno == 0;
}

/* S3 says in XML what is wrong: <Code>NoSuchKey</Code>. */
static void read_code(fetch_t *self, const char *data, size_t bytes)
{
    static const char tag[] = "<Code>";
    const char *const at = memmem(data, bytes, tag, strlen(tag));
    if (self->code[0] == '\0' && at != NULL) {
        const char *const from = at + strlen(tag);
        size_t n = 0;
        while (from + n < data + bytes && n + 1 < CODE_BYTES &&
               (((from[n] | 32) >= 'a' && (from[n] | 32) <= 'z') ||
                (from[n] >= '0' && from[n] <= '9'))) {
            self->code[n] = from[n];
            n++;
        }
        self->code[n] = '\0';
    }
}

typedef struct body {
    fetch_t *fetch;
    CURL *handle;
} body_t;

static size_t on_body(char *data, size_t one, size_t bytes, void *context)
{
    const body_t *const body = context;
    fetch_t *const self = body->fetch;
    if (!self->begun && !begin_body(self, body->handle)) {
        read_code(self, data, one * bytes);
        return 0; /* curl ends the transfer */
    }
    rub_error_t err = {0};
    const int rc = rub_fs_pwrite(self->fd, data, one * bytes, self->got, &err);
    if (rc != 0) {
        self->write_errno = rc == RUB_ENOSPC ? ENOSPC : EIO;
        return 0;
    }
    self->got += one * bytes;
    self->came_us = rub_now_us();
    return one * bytes;
}

/* ---- what is said on the way ---- */

static void say(const fetch_t *self, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(const fetch_t *self, const char *format, ...)
{
    va_list list;
    char sentence[sizeof(((rub_error_t *)NULL)->message)];
    if (self->options->say != NULL) {
        va_start(list, format);
        (void)vsnprintf(sentence, sizeof(sentence), format, list);
        va_end(list);
        self->options->say(self->options->context, sentence);
    }
}

/* Curl calls it at least once a second, whether anything comes or not. */
static int on_progress(void *context, curl_off_t total, curl_off_t now, curl_off_t up_total,
                       curl_off_t up)
{
    fetch_t *const self = context;
    const uint64_t now_us = rub_now_us();
    (void)now;
    (void)up_total;
    (void)up;
    if (now_us - self->said_us >= self->options->quiet_ms * UINT64_C(1000)) {
        const double s = (double)(now_us - self->came_us) / 1e6;
        if (self->got == self->said_got) {
            say(self,
                "'%s': nothing has come for %.0f s (%u s end an attempt), after %" PRIu64 " bytes",
                self->target.shown, s, self->options->stall_s, self->got);
        } else if (total > 0) {
            say(self, "'%s': %.1f MB of %.1f are here", self->target.shown, (double)self->got / 1e6,
                (double)(self->first_got + (uint64_t)total) / 1e6);
        } else { /* the server does not say how long it is */
            say(self, "'%s': %.1f MB are here", self->target.shown, (double)self->got / 1e6);
        }
        self->said_us = now_us;
        self->said_got = self->got;
    }
    return rub_http_interrupted(self->options) ? 1 : 0; /* 1 ends the attempt */
}

static struct curl_slist *make_headers(const fetch_t *self)
{
    struct curl_slist *list = NULL;
    char line[VERSION_BYTES + 32];
    if (self->got > 0) { /* not curl's own way, which takes a whole file for a failure */
        (void)snprintf(line, sizeof(line), "Range: bytes=%" PRIu64 "-", self->got);
        list = self->curl->append(list, line);
        (void)snprintf(line, sizeof(line), "If-Range: %s", self->version);
        list = self->curl->append(list, line);
    }
    if (self->target.signing != NULL) {
        list = self->curl->append(list, "x-amz-content-sha256: UNSIGNED-PAYLOAD");
    }
    if (self->target.signing != NULL && either(self->options->session_token, NULL) != NULL) {
        char *const token = rub_sprintf("x-amz-security-token: %s", self->options->session_token);
        list = token ? self->curl->append(list, token) : list;
        rub_free(token);
    }
    return list;
}

static void set_up(const fetch_t *self, CURL *handle, body_t *body, struct curl_slist *headers)
{
    const rub_http_curl_t *const curl = self->curl;
    const bool secure = strncmp(self->target.url, "https://", 8) == 0;
    curl->set(handle, CURLOPT_URL, self->target.url);
    curl->set(handle, CURLOPT_NOSIGNAL, 1L);
    curl->set(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    curl->set(handle, CURLOPT_REDIR_PROTOCOLS_STR, secure ? "https" : "http,https");
    /* A signature is for one host, and the session token would go with it to the next. */
    curl->set(handle, CURLOPT_FOLLOWLOCATION, self->target.signing == NULL ? 1L : 0L);
    curl->set(handle, CURLOPT_MAXREDIRS, (long)REDIRECTS);
    curl->set(handle, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl->set(handle, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl->set(handle, CURLOPT_LOW_SPEED_TIME, (long)self->options->stall_s);
    curl->set(handle, CURLOPT_USERAGENT, "rubato");
    curl->set(handle, CURLOPT_HEADERFUNCTION, on_header);
    curl->set(handle, CURLOPT_HEADERDATA, body->fetch);
    curl->set(handle, CURLOPT_WRITEFUNCTION, on_body);
    curl->set(handle, CURLOPT_WRITEDATA, body);
    curl->set(handle, CURLOPT_HTTPHEADER, headers);
    curl->set(handle, CURLOPT_NOPROGRESS, 0L);
    curl->set(handle, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl->set(handle, CURLOPT_XFERINFODATA, body->fetch);
    /* One that cannot sign (before 7.75) would send the secret itself. */
    if (self->target.signing != NULL &&
        curl->set(handle, CURLOPT_AWS_SIGV4, self->target.signing) == CURLE_OK) {
        curl->set(handle, CURLOPT_USERPWD, self->target.user);
    }
}

typedef enum { DONE, AGAIN, NEVER } outcome_t;

static outcome_t judge_status(fetch_t *self, rub_error_t *err)
{
    const long status = self->status;
    const bool no_rest = status == 416 && self->got > 0;
    if (no_rest) {
        self->version[0] = '\0'; /* from the beginning */
    }
    (void)rub_fail(
        err, RUB_EDATA, "'%s': the server answers with status %ld%s%s%s%s", self->target.shown,
        status, self->code[0] ? " (" : "", self->code, self->code[0] ? ")" : "",
        self->target.is_s3 && self->target.signing == NULL && (status == 401 || status == 403)
            ? "; it was asked without a key, as AWS_ACCESS_KEY_ID and "
              "AWS_SECRET_ACCESS_KEY are not set"
            : "");
    return no_rest || status == 408 || status == 429 || status >= 500 ? AGAIN : NEVER;
}

static int say_interrupted(const fetch_t *self, rub_error_t *err)
{
    return rub_fail(err, RUB_EINTR, "'%s': interrupted after %" PRIu64 " bytes", self->target.shown,
                    self->got);
}

static outcome_t judge(fetch_t *self, CURL *handle, CURLcode code, rub_error_t *err)
{
    const rub_http_curl_t *const curl = self->curl;
    long version = 0;
    curl_off_t length = -1;
    curl->get(handle, CURLINFO_RESPONSE_CODE, &self->status);
    curl->get(handle, CURLINFO_HTTP_VERSION, &version);
    curl->get(handle, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (self->write_errno != 0) {
        (void)rub_fail_errno(err, self->write_errno == ENOSPC ? RUB_ENOSPC : RUB_ESTORE,
                             self->write_errno, "'%s' cannot be written", self->part);
        return NEVER;
    }
    if (code == CURLE_ABORTED_BY_CALLBACK) {
        (void)say_interrupted(self, err);
        return NEVER;
    }
    if (self->status != 0 && self->status != 200 && self->status != 206) {
        return judge_status(self, err);
    }
    if (code == CURLE_OK && !self->begun && !begin_body(self, handle)) { /* an empty file */
        return judge_status(self, err);
    }
    if (code != CURLE_OK) {
        (void)rub_fail(err, RUB_EDATA, "'%s': %s, after %" PRIu64 " bytes", self->target.shown,
                       curl->text(code), self->got);
        const bool hopeless = code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT ||
                              code == CURLE_TOO_MANY_REDIRECTS;
        return hopeless ? NEVER : AGAIN;
    }
    if (length < 0 && !self->chunked && version < CURL_HTTP_VERSION_2_0) {
        (void)rub_fail(err, RUB_EDATA,
                       "'%s': the server does not say how long the file is, so nobody can tell "
                       "whether it is whole",
                       self->target.shown);
        return NEVER;
    }
    return DONE;
}

static outcome_t attempt(fetch_t *self, rub_error_t *err)
{
    CURL *const handle = self->curl->init();
    if (self->version[0] == '\0') {
        self->got = 0; /* without a version nobody knows whether it goes on with the same */
    }
    struct curl_slist *const headers = make_headers(self);
    if (handle == NULL) {
        (void)rub_fail(err, RUB_ENOMEM, "'%s': no memory", self->target.shown);
        return NEVER;
    }
    body_t body = {self, handle};
    self->begun = self->chunked = false;
    self->status = 0;
    self->heard[0] = '\0';
    self->code[0] = '\0';
    self->said_us = self->came_us = rub_now_us();
    self->said_got = self->first_got = self->got;
    set_up(self, handle, &body, headers);
    const CURLcode code = self->curl->perform(handle);
    const outcome_t outcome = judge(self, handle, code, err);
    self->curl->cleanup(handle);
    self->curl->free_list(headers);
    return outcome;
}

/* ---- a file ---- */

static void pause_for(const fetch_t *self, uint64_t ms)
{
    const uint64_t begun_us = rub_now_us();
    while (!rub_http_interrupted(self->options) && rub_now_us() - begun_us < ms * 1000) {
        rub_sleep_us(ms * 1000 < LOOK_US ? ms * 1000 : LOOK_US);
    }
}

static int fetch_part(fetch_t *self, rub_error_t *err)
{
    uint64_t pause_ms = self->options->first_pause_ms;
    for (unsigned i = 1;; i++) {
        const outcome_t outcome = attempt(self, err);
        if (outcome == DONE) {
            return 0;
        }
        const int code = err != NULL ? err->code : RUB_EDATA;
        if (outcome == NEVER) {
            return code;
        }
        if (i >= self->options->attempts) {
            return rub_wrap(err, code, "%u attempts", i);
        }
        say(self, "%s; attempt %u of %u follows in %.2f s", err != NULL ? err->message : "", i + 1,
            self->options->attempts, (double)pause_ms / 1000);
        pause_for(self, pause_ms);
        if (rub_http_interrupted(self->options)) {
            return say_interrupted(self, err);
        }
        pause_ms *= 2;
    }
}

/* Behind its bytes, or a power loss could leave the name alone. */
static int give_name(const fetch_t *self, const char *path, rub_error_t *err)
{
    return fsync(self->fd) == 0 && rename(self->part, path) == 0
               ? 0
               : rub_fail_errno(err, errno == ENOSPC ? RUB_ENOSPC : RUB_ESTORE, errno,
                                "'%s' cannot be written", path);
}

static int fetch_to(fetch_t *self, const char *path, rub_error_t *err)
{
    self->fd = open(self->part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (self->fd < 0) {
        return rub_fail_errno(err, RUB_ESTORE, errno, "'%s' cannot be made", self->part);
    }
    rub_error_t mine = {0};
    int rc = fetch_part(self, &mine);
    if (rc != 0 && err != NULL) {
        *err = mine;
    }
    rc = rc ? rc : give_name(self, path, err);
    (void)close(self->fd);
    if (rc != 0) {
        (void)unlink(self->part);
    }
    return rc;
}

int rub_http_fetch(const char *address, const rub_http_options_t *options, char **path_p,
                   rub_error_t *err)
{
    rub_http_curl_t curl;
    fetch_t fetch = {.options = options, .curl = &curl, .fd = -1};
    int lock_fd = -1;
    *path_p = NULL;
    if (!rub_http_address(address)) {
        return rub_fail(err, RUB_ECONFIG, "'%s' is no address: expected http, https or s3",
                        address);
    }
    char *path = name_of(options, address);
    char *const lock_path = path ? rub_sprintf("%s.lock", path) : NULL;
    fetch.part = path ? rub_sprintf("%s.part", path) : NULL;
    int rc = fetch.part && lock_path ? rub_fs_mkdirs(options->folder, err)
                                     : rub_fail(err, RUB_ENOMEM, "no memory for an address");
    rc = rc == 0 || rc == RUB_ENOMEM ? rc : rub_wrap(err, RUB_ESTORE, "data_cache");
    if (rc == 0 && !rub_fs_exists(path)) { /* nothing has that name but the whole file */
        rc = rub_fetch_lock_take(lock_path, fetch.part, options, &lock_fd, err);
    }
    if (rc == 0 && !rub_fs_exists(path)) {
        rc = rub_http_curl_load(&curl, err);
        rc = rc ? rc : rub_http_target_init(&fetch.target, address, options, err);
        rc = rc ? rc : fetch_to(&fetch, path, err);
    }
    rub_fetch_lock_release(lock_path, lock_fd);
    if (rc == 0) {
        *path_p = path;
        path = NULL;
    }
    rub_free(path);
    rub_free(lock_path);
    rub_free(fetch.part);
    rub_http_target_fini(&fetch.target);
    return rc;
}

static int append(char **list_p, char *item, rub_error_t *err)
{
    char *const longer =
        *list_p != NULL && item != NULL ? rub_sprintf("%s,%s", *list_p, item) : NULL;
    if (*list_p == NULL) {
        *list_p = item;
        return item != NULL ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for names of data files");
    }
    rub_free(item);
    rub_free(*list_p);
    *list_p = longer;
    return longer != NULL ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for names of data files");
}

/* An archive's array (FILE.npz:NAME) is fetched with its archive, and is of that. Takes item. */
static int fetch_item(char **item_p, const rub_http_options_t *options, rub_error_t *err)
{
    char *path = NULL, *whole = NULL;
    size_t file_bytes = 0;
    char *const item = *item_p;
    (void)rub_npy_path(item, &file_bytes);
    char *const address = rub_sprintf("%.*s", (int)file_bytes, item);
    int rc = address ? rub_http_fetch(address, options, &path, err)
                     : rub_fail(err, RUB_ENOMEM, "no memory for names of data files");
    if (rc == 0) {
        whole = rub_sprintf("%s%s", path, item + file_bytes);
        rc = whole ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for names of data files");
    }
    rub_free(path);
    rub_free(address);
    rub_free(item);
    *item_p = whole;
    return rc;
}

int rub_http_fetch_all(const char *words, const rub_http_options_t *options, char **words_p,
                       rub_error_t *err)
{
    *words_p = NULL;
    int rc = 0;
    while (rc == 0) {
        const size_t n = strcspn(words, ",");
        char *item = rub_sprintf("%.*s", (int)n, words);
        if (item != NULL && rub_http_address(item)) {
            rc = fetch_item(&item, options, err);
        }
        rc = rc ? rc : append(words_p, item, err);
        if (words[n] == '\0') {
            break;
        }
        words += n + 1;
    }
    if (rc != 0) {
        rub_free(*words_p);
        *words_p = NULL;
    }
    return rc;
}
