/* Fetching files from a server that does what servers do: breaks off, changes its mind, lies about
 * lengths. What has a name in the folder is whole, always. The server is a thread that gives
 * scripted answers, one for each connection, and keeps what it was asked. */
#include "worker/data/http_fetch.h"

#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/fs.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { ANSWERS = 8, REQUEST_BYTES = 4096 };

typedef struct server {
    int listener;
    pthread_t thread;
    char address[64], folder[64];
    const char *answers[ANSWERS]; /* up to NULL */
    char requests[ANSWERS][REQUEST_BYTES];
    unsigned n;
    rub_http_options_t options;
    char said[ANSWERS][512];
    atomic_uint n_said;
    volatile int interrupted; /* by hear_and_interrupt */
    char *path;
    rub_error_t err;
} server_t;

static void hear(void *context, const char *sentence)
{
    server_t *const self = context;
    const unsigned n = atomic_load(&self->n_said);
    if (n < ANSWERS) {
        (void)snprintf(self->said[n], sizeof self->said[n], "%s", sentence);
        atomic_store(&self->n_said, n + 1);
    }
}

static void hear_and_interrupt(void *context, const char *sentence)
{
    server_t *const self = context;
    self->interrupted = 1;
    hear(self, sentence);
}

static void read_request(int peer, char *request)
{
    size_t n = 0;
    while (n + 1 < REQUEST_BYTES && strstr(request, "\r\n\r\n") == NULL) {
        const ssize_t got = read(peer, request + n, REQUEST_BYTES - 1 - n);
        if (got <= 0) {
            break;
        }
        n += (size_t)got;
    }
}

static void *serve(void *context)
{
    server_t *const self = context;
    while (self->answers[self->n] != NULL) {
        const int peer = accept(self->listener, NULL, NULL);
        if (peer < 0) {
            break;
        }
        const char *answer = self->answers[self->n];
        read_request(peer, self->requests[self->n]);
        self->n++;
        for (unsigned ms = 0; answer[0] == '~' && ms < 20000 && atomic_load(&self->n_said) == 0;
             ms += 10) {
            usleep(10000); /* until who waits has said so */
        }
        answer += answer[0] == '~';
        (void)send(peer, answer, strlen(answer), MSG_NOSIGNAL);
        shutdown(peer, SHUT_WR);
        close(peer);
    }
    return NULL;
}

static void server_init(server_t *self)
{
    *self = (server_t){.folder = "/tmp/rubato-http-XXXXXX"};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof at;
    assert_non_null(mkdtemp(self->folder));
    self->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(self->listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(self->listener, 8), 0);
    assert_int_equal(getsockname(self->listener, (struct sockaddr *)&at, &bytes), 0);
    (void)snprintf(self->address, sizeof self->address, "http://127.0.0.1:%u", ntohs(at.sin_port));
    self->options = (rub_http_options_t){
        .folder = self->folder, .attempts = 3, .first_pause_ms = 1, .stall_s = 30};
}

static int server_fetch(server_t *self, const char *words)
{
    char address[256];
    (void)snprintf(address, sizeof address, "%s%s", words[0] == '/' ? self->address : "", words);
    assert_int_equal(pthread_create(&self->thread, NULL, serve, self), 0);
    const int rc = rub_http_fetch(address, &self->options, &self->path, &self->err);
    shutdown(self->listener, SHUT_RDWR); /* ends accept */
    pthread_join(self->thread, NULL);
    return rc;
}

static unsigned files_in(const char *folder)
{
    DIR *const all = opendir(folder);
    assert_non_null(all);
    unsigned n = 0;
    for (const struct dirent *entry = readdir(all); entry != NULL; entry = readdir(all)) {
        n += entry->d_name[0] != '.';
    }
    closedir(all);
    return n;
}

static void server_fini(server_t *self)
{
    close(self->listener);
    free(self->path);
    assert_int_equal(rub_fs_remove_tree(self->folder, NULL), 0);
}

static void assert_fetched(server_t *self, const char *content, unsigned n_requests)
{
    if (server_fetch(self, "/rows.svm") != 0) {
        fail_msg("%s", self->err.message);
    }
    char *data = NULL;
    size_t bytes = 0;
    assert_int_equal(rub_fs_read(self->path, 1000, &data, &bytes, NULL), 0);
    assert_string_equal(data, content);
    free(data);
    assert_int_equal(self->n, n_requests);
    assert_non_null(strstr(self->path, "-rows.svm"));
    assert_int_equal(files_in(self->folder), 1);
}

static void assert_refused(server_t *self, const char *words, unsigned n_requests)
{
    const int rc = server_fetch(self, "/rows.svm");
    if (rc != RUB_EDATA || strstr(self->err.message, words) == NULL ||
        strstr(self->err.message, self->address) == NULL) {
        fail_msg("%s '%s', expected '%s'", rub_error_name(rc), self->err.message, words);
    }
    assert_int_equal(rub_error_exit_code(rc), 4);
    assert_null(self->path);
    assert_int_equal(self->n, n_requests);
    assert_int_equal(files_in(self->folder), 0); /* and no part of it */
    server_fini(self);
}

static void a_whole_file_is_fetched_once(void **state)
{
    RUB_UNUSED(state);
    server_t s;
    server_init(&s);
    s.answers[0] = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n1 1:1\n";
    assert_fetched(&s, "1 1:1\n", 1);
    free(s.path);
    assert_int_equal(server_fetch(&s, "/rows.svm"), 0); /* nobody listens any more */
    server_fini(&s);
}

static void chunks_end_a_file_as_a_length_does(void **state)
{
    RUB_UNUSED(state);
    server_t s;
    server_init(&s);
    s.answers[0] =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    assert_fetched(&s, "abcde", 1);
    server_fini(&s);
    server_init(&s);
    s.answers[0] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    assert_fetched(&s, "", 1);
    server_fini(&s);
}

static void a_cut_connection_goes_on_where_it_broke_off(void **state)
{
    RUB_UNUSED(state);
    server_t s;
    server_init(&s);
    s.answers[0] = "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: 10\r\n\r\nabcd";
    s.answers[1] = "HTTP/1.1 206 Partial Content\r\nETag: \"v1\"\r\nContent-Range: bytes 4-9/10\r\n"
                   "Content-Length: 6\r\n\r\nefg";
    s.answers[2] = "HTTP/1.1 206 Partial Content\r\nETag: \"v1\"\r\nContent-Range: bytes 7-9/10\r\n"
                   "Content-Length: 3\r\n\r\nhij";
    assert_fetched(&s, "abcdefghij", 3);
    assert_null(strstr(s.requests[0], "Range:"));
    assert_non_null(strstr(s.requests[1], "Range: bytes=4-\r\n"));
    assert_non_null(strstr(s.requests[1], "If-Range: \"v1\"\r\n"));
    assert_non_null(strstr(s.requests[2], "Range: bytes=7-\r\n"));
    server_fini(&s);
}

static void another_version_or_none_begins_anew(void **state)
{
    RUB_UNUSED(state);
    server_t s;
    server_init(&s);
    s.answers[0] = "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: 10\r\n\r\nabcd";
    s.answers[1] = "HTTP/1.1 200 OK\r\nETag: \"v2\"\r\nContent-Length: 3\r\n\r\nnew";
    assert_fetched(&s, "new", 2);
    server_fini(&s);
    server_init(&s);
    s.answers[0] = "HTTP/1.1 200 OK\r\nETag: W/\"weak\"\r\nContent-Length: 10\r\n\r\nabcd";
    s.answers[1] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole";
    assert_fetched(&s, "whole", 2);
    assert_null(strstr(s.requests[1], "Range:"));
    server_fini(&s);
    server_init(&s); /* a rest that begins elsewhere */
    s.answers[0] = "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: 10\r\n\r\nabcd";
    s.answers[1] = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-9/10\r\n"
                   "Content-Length: 5\r\n\r\nfghij";
    s.answers[2] = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabcdefghij";
    assert_fetched(&s, "abcdefghij", 3);
    server_fini(&s);
}

static void a_rest_of_another_version_begins_anew(void **state)
{
    RUB_UNUSED(state);
    server_t s;
    server_init(&s); /* a server that does not know If-Range */
    s.answers[0] = "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: 10\r\n\r\nabcd";
    s.answers[1] = "HTTP/1.1 206 Partial Content\r\nETag: \"v2\"\r\nContent-Range: bytes 4-9/10\r\n"
                   "Content-Length: 6\r\n\r\nEFGHIJ";
    s.answers[2] = "HTTP/1.1 200 OK\r\nETag: \"v2\"\r\nContent-Length: 10\r\n\r\nABCDEFGHIJ";
    assert_fetched(&s, "ABCDEFGHIJ", 3);
    server_fini(&s);
    server_init(&s); /* all but the last chunk has come, so there is no rest */
    s.answers[0] = "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nTransfer-Encoding: chunked\r\n\r\n"
                   "3\r\nabc\r\n";
    s.answers[1] = "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n";
    s.answers[2] = "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: 3\r\n\r\nabc";
    assert_fetched(&s, "abc", 3);
    assert_non_null(strstr(s.requests[1], "Range: bytes=3-\r\n"));
    assert_null(strstr(s.requests[2], "Range:"));
    server_fini(&s);
}

static void what_may_be_a_secret_is_sent_and_not_said(void **state)
{
    RUB_UNUSED(state);
    server_t s;
    char address[128];
    server_init(&s);
    (void)snprintf(address, sizeof address, "http://who:hidden@%.40s/rows.svm?signature=secret",
                   s.address + 7);
    s.answers[0] = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
    assert_int_equal(server_fetch(&s, address), RUB_EDATA);
    assert_non_null(strstr(s.requests[0], "GET /rows.svm?signature=secret HTTP"));
    assert_non_null(strstr(s.requests[0], "Authorization: Basic d2hvOmhpZGRlbg=="));
    assert_non_null(strstr(s.err.message, "/rows.svm?...'"));
    assert_non_null(strstr(s.err.message, s.address));
    assert_null(strstr(s.err.message, "who"));
    assert_null(strstr(s.err.message, "hidden"));
    assert_null(strstr(s.err.message, "secret"));
    server_fini(&s);
}

static void redirections_lead_to_no_file_and_no_signature_elsewhere(void **state)
{
    RUB_UNUSED(state);
    server_t s;
    server_init(&s);
    s.answers[0] = "HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n";
    s.answers[1] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    assert_fetched(&s, "ok", 2);
    server_fini(&s);
    server_init(&s);
    s.answers[0] = "HTTP/1.1 302 Found\r\nLocation: file:///etc/hostname\r\n"
                   "Content-Length: 0\r\n\r\n";
    assert_refused(&s, "the server answers with status 302", 1);
    server_init(&s);
    s.options.endpoint = s.address;
    s.options.key_id = "WHO";
    s.options.secret = "hidden";
    s.options.session_token = "token";
    s.answers[0] = "HTTP/1.1 307 Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n";
    assert_int_equal(server_fetch(&s, "s3://bucket/key"), RUB_EDATA);
    assert_non_null(strstr(s.err.message, "the server answers with status 307"));
    assert_int_equal(s.n, 1);
    server_fini(&s);
}

static void a_bucket_of_another_endpoint_is_another_file(void **state)
{
    RUB_UNUSED(state);
    server_t s;
    server_init(&s);
    s.options.endpoint = s.address;
    s.answers[0] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    assert_int_equal(server_fetch(&s, "s3://bucket/key"), 0);
    free(s.path);
    s.options.endpoint = "http://127.0.0.1:1"; /* nobody is there, and nothing is found here */
    s.options.attempts = 1;
    assert_int_equal(server_fetch(&s, "s3://bucket/key"), RUB_EDATA);
    server_fini(&s);
}

static void s3_says_what_is_wrong_and_so_do_we(void **state)
{
    RUB_UNUSED(state);
    server_t s;
    char slash[80];
    server_init(&s);
    (void)snprintf(slash, sizeof slash, "%s/", s.address);
    s.options.endpoint = slash; /* as people write it */
    s.answers[0] = "HTTP/1.1 403 Forbidden\r\nContent-Length: 46\r\n\r\n"
                   "<Error><Code>SignatureDoesNotMatch</Code>\r\n...";
    assert_int_equal(server_fetch(&s, "s3://bucket/key"), RUB_EDATA);
    assert_non_null(strstr(s.requests[0], "GET /bucket/key HTTP"));
    assert_non_null(strstr(s.err.message, "answers with status 403 (SignatureDoesNotMatch); it was "
                                          "asked without a key, as AWS_ACCESS_KEY_ID"));
    server_fini(&s);
}

static void who_waits_says_so(void **state)
{
    RUB_UNUSED(state);
    server_t s;
    server_init(&s);
    s.options.say = hear;
    s.options.context = &s;
    s.options.quiet_ms = 10;
    s.answers[0] = "~HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    assert_fetched(&s, "ok", 1);
    assert_non_null(strstr(s.said[0], "/rows.svm': nothing has come for "));
    server_fini(&s);
    server_init(&s);
    s.options.say = hear;
    s.options.context = &s;
    s.options.quiet_ms = 60000;
    s.answers[0] = "HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n";
    s.answers[1] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    assert_fetched(&s, "ok", 2);
    assert_int_equal(atomic_load(&s.n_said), 1);
    assert_non_null(strstr(s.said[0], "answers with status 503; attempt 2 of 3 follows in 0.00 s"));
    server_fini(&s);
}

/* Another process, as the kernel sees it: it has opened the lock's file by itself. */
typedef struct other {
    server_t *server;
    char lock[160], part[160], path[160];
    int fd;
    void (*act)(struct other *self); /* when somebody hears that he is waited for */
} other_t;

static void other_takes(other_t *self, const char *name)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    self->fd = open(self->lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    assert_true(self->fd >= 0);
    assert_int_equal(fcntl(self->fd, F_OFD_SETLK, &whole), 0);
    assert_int_equal(write(self->fd, name, strlen(name)), strlen(name));
}

static void hear_of_other(void *context, const char *sentence)
{
    other_t *const self = context;
    hear(self->server, sentence);
    self->act(self);
}

/* Somebody fetches /rows.svm; where it will be is known from having fetched it once. */
static void other_init(other_t *self, server_t *server, void (*act)(other_t *self))
{
    server_init(server);
    server->answers[0] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno";
    assert_int_equal(server_fetch(server, "/rows.svm"), 0);
    *self = (other_t){.server = server, .fd = -1, .act = act};
    (void)snprintf(self->path, sizeof self->path, "%s", server->path);
    (void)snprintf(self->lock, sizeof self->lock, "%s.lock", server->path);
    (void)snprintf(self->part, sizeof self->part, "%s.part", server->path);
    assert_false(rub_fs_exists(self->lock));
    free(server->path);
    server->path = NULL;
    assert_int_equal(unlink(self->path), 0);
    server->options.say = hear_of_other;
    server->options.context = self;
    server->options.quiet_ms = 0; /* at each look */
    server->options.wait_ms = 80;
    other_takes(self, "host-a:77");
}

static void write_more(other_t *self, const char *path)
{
    FILE *const file = fopen(path, "a");
    assert_non_null(file);
    fputc('x', file);
    assert_int_equal(fclose(file), 0);
    RUB_UNUSED(self);
}

static void get_stuck(other_t *self)
{
    if (atomic_load(&self->server->n_said) == 1) {
        write_more(self, self->part);
    }
}

/* For longer than wait_ms, but never for so long without a byte. */
static void get_on_and_end(other_t *self)
{
    write_more(self, self->part);
    if (atomic_load(&self->server->n_said) == 5) {
        assert_int_equal(rename(self->part, self->path), 0);
        unlink(self->lock);
        close(self->fd);
    }
}

static void die(other_t *self)
{
    close(self->fd);
}

static void fail_before_a_third_one(other_t *self)
{
    write_more(self, self->part);
    if (atomic_load(&self->server->n_said) == 1) {
        unlink(self->lock);
        close(self->fd);
        other_takes(self, "host-b:78");
    } else {
        self->act = die;
    }
}

static void who_waits_for_another_process_names_it_and_gives_up_when_nothing_comes(void **state)
{
    RUB_UNUSED(state);
    server_t s;
    other_t other;
    other_init(&other, &s, get_stuck);
    assert_int_equal(server_fetch(&s, "/rows.svm"), RUB_EDATA);
    assert_non_null(strstr(s.err.message, ".lock' is held by host-a:77, which fetches the file, "
                                          "but nothing of it has come for "));
    assert_non_null(strstr(s.err.message, " s, after 1 bytes"));
    assert_non_null(strstr(s.said[0], "is held by host-a:77, which fetches the file and is waited "
                                      "for: 0.0 MB are here"));
    close(other.fd);
    server_fini(&s);
    other_init(&other, &s, get_on_and_end);
    assert_int_equal(server_fetch(&s, "/rows.svm"), 0);
    assert_int_equal(s.n, 1); /* it was not asked for again */
    assert_int_equal(files_in(s.folder), 1);
    server_fini(&s);
}

static void interrupt(other_t *self)
{
    self->server->interrupted = 1;
}

static void whoever_is_interrupted_gives_up_wherever_he_waits(void **state)
{
    RUB_UNUSED(state);
    server_t s;
    other_t other;
    server_init(&s); /* for the first byte */
    s.options.say = hear_and_interrupt;
    s.options.context = &s;
    s.options.interrupted = &s.interrupted;
    s.options.quiet_ms = 10;
    s.answers[0] = "~HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    assert_int_equal(server_fetch(&s, "/rows.svm"), RUB_EINTR);
    assert_non_null(strstr(s.err.message, "/rows.svm': interrupted after 0 bytes"));
    assert_int_equal(files_in(s.folder), 0);
    server_fini(&s);
    server_init(&s); /* for the next attempt */
    s.options.say = hear_and_interrupt;
    s.options.context = &s;
    s.options.interrupted = &s.interrupted;
    s.options.quiet_ms = 60000;
    s.options.first_pause_ms = 3600000;
    s.answers[0] = "HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n";
    assert_int_equal(server_fetch(&s, "/rows.svm"), RUB_EINTR);
    assert_int_equal(files_in(s.folder), 0);
    server_fini(&s);
    other_init(&other, &s, interrupt); /* for another process */
    s.options.interrupted = &s.interrupted;
    s.options.wait_ms = 3600000;
    assert_int_equal(server_fetch(&s, "/rows.svm"), RUB_EINTR);
    assert_non_null(strstr(s.err.message, "is held by host-a:77: interrupted while waiting"));
    assert_true(rub_fs_exists(other.lock)); /* the other's */
    close(other.fd);
    server_fini(&s);
}

/* Whoever comes to the lock of a process that died has it at once, and whoever comes to a lock that
 * was removed meanwhile has nothing: there may be another one. */
static void a_lock_dies_with_its_process_and_counts_only_under_its_name(void **state)
{
    RUB_UNUSED(state);
    server_t s;
    other_t other;
    other_init(&other, &s, die);
    shutdown(s.listener, SHUT_RDWR);
    assert_int_equal(server_fetch(&s, "/rows.svm"), RUB_EDATA);
    assert_non_null(strstr(s.err.message, "3 attempts")); /* its own, in vain */
    assert_int_equal(files_in(s.folder), 0);
    server_fini(&s);
    other_init(&other, &s, fail_before_a_third_one);
    shutdown(s.listener, SHUT_RDWR);
    assert_int_equal(server_fetch(&s, "/rows.svm"), RUB_EDATA);
    assert_non_null(strstr(s.said[1], "is held by host-b:78"));
    assert_non_null(strstr(s.err.message, "3 attempts"));
    assert_int_equal(files_in(s.folder), 0);
    server_fini(&s);
}

static void what_a_server_refuses_is_said_with_its_status(void **state)
{
    RUB_UNUSED(state);
    server_t s;
    server_init(&s);
    s.answers[0] = "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nsorry";
    assert_refused(&s, "the server answers with status 404", 1);
    server_init(&s);
    s.answers[0] = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
    assert_refused(&s, "status 403", 1);
    server_init(&s);
    s.answers[0] = s.answers[1] = s.answers[2] =
        "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nwait";
    assert_refused(&s, "3 attempts: '", 3);
    server_init(&s);
    s.answers[0] = "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nwait";
    s.answers[1] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    assert_fetched(&s, "ok", 2);
    server_fini(&s);
}

static void a_file_that_never_is_whole_is_refused(void **state)
{
    RUB_UNUSED(state);
    server_t s;
    server_init(&s); /* a length that is too great, each time */
    s.answers[0] = s.answers[1] = s.answers[2] =
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n1 1:1\n";
    assert_refused(&s, "after 6 bytes", 3);
    server_init(&s); /* chunks without the last one */
    s.answers[0] = s.answers[1] = s.answers[2] =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    assert_refused(&s, "3 attempts", 3);
    server_init(&s); /* no length at all */
    s.answers[0] = "HTTP/1.1 200 OK\r\n\r\n1 1:1\n";
    assert_refused(&s, "does not say how long the file is", 1);
    server_init(&s); /* not HTTP */
    s.answers[0] = "1 1:1\n1 1:1\n1 1:1\n";
    assert_refused(&s, "after 0 bytes", 1);
    server_init(&s); /* nobody there */
    shutdown(s.listener, SHUT_RDWR);
    assert_refused(&s, "3 attempts", 0);
}

static void addresses_that_are_none_are_refused(void **state)
{
    RUB_UNUSED(state);
    static const char *const bad[] = {"ftp://host/x", "s3://bucket", "s3:///key", "s3://bucket/",
                                      "/a/file"};
    rub_http_options_t options = {.folder = "/tmp", .attempts = 1};
    for (size_t i = 0; i < RUB_COUNT_OF(bad); i++) {
        char *path = NULL;
        rub_error_t err = {0};
        assert_int_equal(rub_http_fetch(bad[i], &options, &path, &err), RUB_ECONFIG);
        assert_non_null(strstr(err.message, bad[i]));
        assert_null(path);
    }
    assert_true(rub_http_address("https://x/y") && rub_http_address("s3://b/k"));
    assert_false(rub_http_address("data/http://x"));
}

static void a_folder_that_cannot_be_is_storage(void **state)
{
    RUB_UNUSED(state);
    server_t s;
    server_init(&s);
    s.options.folder = "/dev/null/cache";
    assert_int_equal(server_fetch(&s, "/rows.svm"), RUB_ESTORE);
    assert_int_equal(rub_error_exit_code(RUB_ESTORE), 74);
    assert_non_null(strstr(s.err.message, "data_cache: cannot make folder '/dev/null"));
    server_fini(&s);
}

static void s3_is_asked_for_with_a_signature(void **state)
{
    RUB_UNUSED(state);
    server_t s;
    server_init(&s);
    s.options.endpoint = s.address;
    s.options.region = "north-1";
    s.options.key_id = "WHO";
    s.options.secret = "hidden";
    s.options.session_token = "token";
    s.answers[0] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    if (server_fetch(&s, "s3://bucket/days/day 1+2.svm") != 0) {
        fail_msg("%s", s.err.message);
    }
    const char *const request = s.requests[0];
    assert_memory_equal(request, "GET /bucket/days/day%201%2B2.svm HTTP/1.1\r\n", 43);
    assert_non_null(strstr(request, "Authorization: AWS4-HMAC-SHA256 Credential=WHO/"));
    assert_non_null(strstr(request, "/north-1/s3/aws4_request"));
    assert_non_null(strstr(request, "x-amz-content-sha256: UNSIGNED-PAYLOAD\r\n"));
    assert_non_null(strstr(request, "x-amz-security-token: token\r\n"));
    assert_null(strstr(request, "hidden"));
    server_fini(&s);
}

static void a_list_keeps_what_is_no_address(void **state)
{
    RUB_UNUSED(state);
    char *words = NULL;
    rub_error_t err = {0};
    rub_http_options_t options = {.folder = "/nowhere", .attempts = 1};
    assert_int_equal(rub_http_fetch_all("a,b*.svm,c", &options, &words, &err), 0);
    assert_string_equal(words, "a,b*.svm,c");
    free(words);
    assert_int_not_equal(rub_http_fetch_all("a,s3://b", &options, &words, &err), 0);
    assert_null(words);
}

static void an_array_is_fetched_with_its_archive(void **state)
{
    RUB_UNUSED(state);
    server_t s;
    char address[128];
    server_init(&s);
    s.answers[0] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    (void)snprintf(address, sizeof address, "%s/data.npz:x", s.address);
    assert_int_equal(pthread_create(&s.thread, NULL, serve, &s), 0);
    const int rc = rub_http_fetch_all(address, &s.options, &s.path, &s.err);
    shutdown(s.listener, SHUT_RDWR);
    pthread_join(s.thread, NULL);
    assert_int_equal(rc, 0);
    assert_non_null(strstr(s.requests[0], "GET /data.npz HTTP"));
    assert_string_equal(strstr(s.path, "-data."), "-data.npz:x");
    server_fini(&s);
}

int main(void)
{
    unsetenv("http_proxy");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_file_is_fetched_once),
        cmocka_unit_test(chunks_end_a_file_as_a_length_does),
        cmocka_unit_test(a_cut_connection_goes_on_where_it_broke_off),
        cmocka_unit_test(another_version_or_none_begins_anew),
        cmocka_unit_test(a_rest_of_another_version_begins_anew),
        cmocka_unit_test(what_may_be_a_secret_is_sent_and_not_said),
        cmocka_unit_test(redirections_lead_to_no_file_and_no_signature_elsewhere),
        cmocka_unit_test(a_bucket_of_another_endpoint_is_another_file),
        cmocka_unit_test(what_a_server_refuses_is_said_with_its_status),
        cmocka_unit_test(a_file_that_never_is_whole_is_refused),
        cmocka_unit_test(addresses_that_are_none_are_refused),
        cmocka_unit_test(a_folder_that_cannot_be_is_storage),
        cmocka_unit_test(s3_is_asked_for_with_a_signature),
        cmocka_unit_test(s3_says_what_is_wrong_and_so_do_we),
        cmocka_unit_test(who_waits_says_so),
        cmocka_unit_test(who_waits_for_another_process_names_it_and_gives_up_when_nothing_comes),
        cmocka_unit_test(whoever_is_interrupted_gives_up_wherever_he_waits),
        cmocka_unit_test(a_lock_dies_with_its_process_and_counts_only_under_its_name),
        cmocka_unit_test(a_list_keeps_what_is_no_address),
        cmocka_unit_test(an_array_is_fetched_with_its_archive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
