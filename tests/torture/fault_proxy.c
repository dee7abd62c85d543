/* A TCP relay that spoils what it carries, between a worker and a shard or the scheduler.
 *
 *   fault_proxy LISTEN_PORT TARGET_PORT [SEED]      both on 127.0.0.1; prints "ready"
 *
 * Faults come as lines on standard input, each answered by "ok ..." when it holds; they apply to
 * every connection, now and later, until "heal":
 *
 *   delay MS        each byte leaves MS later, in order
 *   throttle BPS    so many bytes a second in each direction of each connection
 *   cut N           each connection is reset once N more bytes have come from the client
 *   stall up|down   what comes from the client (up) or from the server (down) stays here: a one-way
 *                   cut without any reset; the other direction goes on
 *   half            new connections are accepted and never joined to the server; old ones are reset
 *   flip N          about one byte in N gets one flipped bit, in both directions (seeded)
 *   heal            all faults end; what was kept leaves
 *   stat            "ok connections=.. up=.. down=.. flips=.. cuts=.."
 *
 * One thread, one poll loop; a stalled or slow direction is not read beyond BUFFER, so TCP itself
 * pushes back, as a full network would. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PIPES = 128, BUFFER = 1 << 18, PIECES = 256, TICK_MS = 5, LINE = 128 };

typedef enum { UP = 0, DOWN = 1 } way_t; /* client to server, server to client */

/* Bytes on their way, and which of them may leave when (delay). */
typedef struct stream {
    unsigned char *bytes;
    size_t from, until; /* live bytes */
    struct {
        size_t until;
        uint64_t due_ms;
    } pieces[PIECES];
    size_t n_pieces;
    double credit; /* throttle: bytes that may leave */
    bool ended;    /* the source has closed */
} stream_t;

typedef struct pipe {
    int fds[2]; /* [UP]: the client's socket is the source of UP; [DOWN]: the server's */
    stream_t streams[2];
    uint64_t cut_left;
    bool cutting;
} pipe_t;

typedef struct proxy {
    int listener;
    struct sockaddr_in target;
    pipe_t pipes[PIPES];
    uint64_t delay_ms, throttle, cut, flip, seed;
    bool stall[2], half;
    uint64_t n_connections, n_flips, n_cuts, n_bytes[2];
    uint64_t now_ms, credited_ms;
    char line[LINE];
    size_t line_bytes;
} proxy_t;

static uint64_t now_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

static uint64_t next_random(proxy_t *self)
{
    self->seed += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    uint64_t z = self->seed;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* ---- connections ---- */

static void close_pipe(pipe_t *pipe, bool reset)
{
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    for (int i = 0; i < 2; i++) {
        if (pipe->fds[i] >= 0) {
            if (reset) {
                (void)setsockopt(pipe->fds[i], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
            }
            close(pipe->fds[i]);
        }
        free(pipe->streams[i].bytes);
    }
    *pipe = (pipe_t){.fds = {-1, -1}};
}

static void settle(int fd)
{
    const int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static void begin(proxy_t *self)
{
    const int client = accept(self->listener, NULL, NULL);
    pipe_t *pipe = NULL;
    for (int i = 0; i < PIPES && !pipe; i++) {
        pipe = self->pipes[i].fds[UP] < 0 ? &self->pipes[i] : NULL;
    }
    if (client < 0 || !pipe) {
        if (client >= 0) {
            close(client);
        }
        return;
    }
    self->n_connections++;
    *pipe = (pipe_t){.fds = {client, -1}, .cutting = self->cut > 0, .cut_left = self->cut};
    pipe->streams[UP].bytes = malloc(BUFFER);
    pipe->streams[DOWN].bytes = malloc(BUFFER);
    settle(client);
    if (self->half) {
        return;
    }
    pipe->fds[DOWN] = socket(AF_INET, SOCK_STREAM, 0);
    if (pipe->fds[DOWN] < 0 ||
        connect(pipe->fds[DOWN], (struct sockaddr *)&self->target, sizeof(self->target)) != 0) {
        close_pipe(pipe, true); /* nobody listens there now: as the client would see it */
        return;
    }
    settle(pipe->fds[DOWN]);
}

/* ---- bytes ---- */

static void spoil(proxy_t *self, unsigned char *bytes, size_t n)
{
    for (size_t i = 0; self->flip > 0 && i < n; i++) {
        if (next_random(self) % self->flip == 0) {
            bytes[i] ^= (unsigned char)(1u << (next_random(self) % 8));
            self->n_flips++;
        }
    }
}

/* False: the connection is over. */
static bool take(proxy_t *self, pipe_t *pipe, way_t way)
{
    stream_t *stream = &pipe->streams[way];
    if (stream->from > 0) {
        memmove(stream->bytes, stream->bytes + stream->from, stream->until - stream->from);
        for (size_t i = 0; i < stream->n_pieces; i++) {
            stream->pieces[i].until -= stream->from;
        }
        stream->until -= stream->from;
        stream->from = 0;
    }
    if (stream->until == BUFFER || stream->n_pieces == PIECES) {
        return true;
    }
    const ssize_t n = read(pipe->fds[way], stream->bytes + stream->until, BUFFER - stream->until);
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR;
    }
    if (n == 0) {
        stream->ended = true;
        return true;
    }
    spoil(self, stream->bytes + stream->until, (size_t)n);
    stream->until += (size_t)n;
    stream->pieces[stream->n_pieces].until = stream->until;
    stream->pieces[stream->n_pieces++].due_ms = self->now_ms + self->delay_ms;
    self->n_bytes[way] += (uint64_t)n;
    if (way == UP && pipe->cutting) {
        if ((uint64_t)n >= pipe->cut_left) {
            self->n_cuts++;
            /* What came before the cut still arrives: the server sees half of a message. */
            const size_t rest = stream->until - ((size_t)n - (size_t)pipe->cut_left);
            (void)!write(pipe->fds[DOWN], stream->bytes + stream->from, rest - stream->from);
            return false;
        }
        pipe->cut_left -= (uint64_t)n;
    }
    return true;
}

static size_t may_leave(const proxy_t *self, const stream_t *stream, way_t way)
{
    size_t until = stream->from;
    for (size_t i = 0; i < stream->n_pieces; i++) {
        if (stream->pieces[i].due_ms > self->now_ms) {
            break;
        }
        until = stream->pieces[i].until;
    }
    size_t n = self->stall[way] ? 0 : until - stream->from;
    if (self->throttle > 0 && (double)n > stream->credit) {
        n = (size_t)stream->credit;
    }
    return n;
}

static bool give(proxy_t *self, pipe_t *pipe, way_t way)
{
    stream_t *stream = &pipe->streams[way];
    const size_t n = may_leave(self, stream, way);
    if (n > 0) {
        const ssize_t sent = write(pipe->fds[1 - way], stream->bytes + stream->from, n);
        if (sent < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        stream->from += (size_t)sent;
        stream->credit -= (double)sent;
        size_t gone = 0;
        while (gone < stream->n_pieces && stream->pieces[gone].until <= stream->from) {
            gone++;
        }
        stream->n_pieces -= gone;
        memmove(stream->pieces, stream->pieces + gone,
                stream->n_pieces * sizeof(stream->pieces[0]));
    }
    return !stream->ended || stream->until > stream->from;
}

/* ---- commands ---- */

static void reset_all(proxy_t *self)
{
    for (int i = 0; i < PIPES; i++) {
        if (self->pipes[i].fds[UP] >= 0) {
            close_pipe(&self->pipes[i], true);
        }
    }
}

static void heal(proxy_t *self)
{
    self->delay_ms = self->throttle = self->cut = self->flip = 0;
    self->stall[UP] = self->stall[DOWN] = false;
    for (int i = 0; i < PIPES; i++) {
        pipe_t *pipe = &self->pipes[i];
        pipe->cutting = false;
        if (self->half && pipe->fds[UP] >= 0 && pipe->fds[DOWN] < 0) {
            close_pipe(pipe, true);
        }
    }
    self->half = false;
}

static void obey(proxy_t *self, const char *line)
{
    char verb[16] = "", word[32] = "";
    if (sscanf(line, "%15s %31s", verb, word) < 1) {
        return;
    }
    const uint64_t n = strtoull(word, NULL, 10);
    if (strcmp(verb, "delay") == 0) {
        self->delay_ms = n;
    } else if (strcmp(verb, "throttle") == 0) {
        self->throttle = n;
    } else if (strcmp(verb, "cut") == 0) {
        self->cut = n;
        for (int i = 0; i < PIPES; i++) {
            self->pipes[i].cutting = n > 0;
            self->pipes[i].cut_left = n;
        }
    } else if (strcmp(verb, "stall") == 0) {
        self->stall[strcmp(word, "down") == 0 ? DOWN : UP] = true;
    } else if (strcmp(verb, "half") == 0) {
        reset_all(self);
        self->half = true;
    } else if (strcmp(verb, "flip") == 0) {
        self->flip = n;
    } else if (strcmp(verb, "heal") == 0) {
        heal(self);
    } else if (strcmp(verb, "stat") != 0) {
        printf("what is '%s'?\n", verb);
        fflush(stdout);
        return;
    }
    printf("ok connections=%" PRIu64 " up=%" PRIu64 " down=%" PRIu64 " flips=%" PRIu64
           " cuts=%" PRIu64 "\n",
           self->n_connections, self->n_bytes[UP], self->n_bytes[DOWN], self->n_flips,
           self->n_cuts);
    fflush(stdout);
}

/* False: standard input has ended, and so do we. */
static bool read_commands(proxy_t *self)
{
    const ssize_t n =
        read(STDIN_FILENO, self->line + self->line_bytes, LINE - 1 - self->line_bytes);
    if (n <= 0) {
        return n < 0 && errno == EINTR;
    }
    self->line_bytes += (size_t)n;
    for (;;) {
        char *newline = memchr(self->line, '\n', self->line_bytes);
        if (!newline) {
            self->line_bytes = self->line_bytes == LINE - 1 ? 0 : self->line_bytes;
            return true;
        }
        *newline = '\0';
        obey(self, self->line);
        self->line_bytes -= (size_t)(newline + 1 - self->line);
        memmove(self->line, newline + 1, self->line_bytes);
    }
}

/* ---- the loop ---- */

static void credit(proxy_t *self)
{
    const double more = (double)self->throttle * (double)(self->now_ms - self->credited_ms) / 1000;
    self->credited_ms = self->now_ms;
    for (int i = 0; i < PIPES; i++) {
        for (int way = 0; way < 2; way++) {
            stream_t *stream = &self->pipes[i].streams[way];
            stream->credit += more;
            stream->credit = stream->credit > BUFFER ? BUFFER : stream->credit;
        }
    }
}

static void carry(proxy_t *self, pipe_t *pipe, const struct pollfd *polled)
{
    bool lives = pipe->streams[UP].bytes && pipe->streams[DOWN].bytes;
    for (int way = 0; way < 2 && lives; way++) {
        /* A source behind the server's end: half-open pipes have none. */
        if (polled[way].fd >= 0 && (polled[way].revents & (POLLIN | POLLHUP | POLLERR)) &&
            pipe->fds[DOWN] >= 0) {
            lives = take(self, pipe, (way_t)way);
        }
    }
    for (int way = 0; way < 2 && lives && pipe->fds[DOWN] >= 0; way++) {
        lives = give(self, pipe, (way_t)way);
    }
    if (!lives) {
        close_pipe(pipe, true);
    }
}

static bool turn(proxy_t *self)
{
    struct pollfd polled[2 + 2 * PIPES];
    polled[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    polled[1] = (struct pollfd){.fd = self->listener, .events = POLLIN};
    bool waiting = false;
    for (int i = 0; i < PIPES; i++) {
        const pipe_t *pipe = &self->pipes[i];
        for (int way = 0; way < 2; way++) {
            const stream_t *stream = &pipe->streams[way];
            const bool room = stream->until - stream->from < BUFFER && stream->n_pieces < PIECES;
            const bool live = pipe->fds[DOWN] >= 0 && pipe->fds[way] >= 0 && room && !stream->ended;
            waiting = waiting || stream->until > stream->from;
            polled[2 + 2 * i + way] =
                (struct pollfd){.fd = live ? pipe->fds[way] : -1, .events = POLLIN};
        }
    }
    if (poll(polled, 2 + 2 * PIPES, waiting ? TICK_MS : 1000) < 0 && errno != EINTR) {
        return false;
    }
    self->now_ms = now_ms();
    credit(self);
    if ((polled[0].revents & (POLLIN | POLLHUP)) && !read_commands(self)) {
        return false;
    }
    for (int i = 0; i < PIPES; i++) {
        if (self->pipes[i].fds[UP] >= 0) {
            carry(self, &self->pipes[i], &polled[2 + 2 * i]);
        }
    }
    if (polled[1].revents & POLLIN) {
        begin(self);
    }
    return true;
}

int main(int argc, char **argv)
{
    static proxy_t self;
    if (argc < 3) {
        fprintf(stderr, "usage: fault_proxy LISTEN_PORT TARGET_PORT [SEED]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    self.seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
    struct sockaddr_in here = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10)),
                               .sin_addr = {htonl(INADDR_LOOPBACK)}};
    self.target = here;
    self.target.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
    for (int i = 0; i < PIPES; i++) {
        self.pipes[i].fds[UP] = self.pipes[i].fds[DOWN] = -1;
    }
    const int on = 1;
    self.listener = socket(AF_INET, SOCK_STREAM, 0);
    (void)setsockopt(self.listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (self.listener < 0 || bind(self.listener, (struct sockaddr *)&here, sizeof(here)) != 0 ||
        listen(self.listener, 64) != 0) {
        perror("fault_proxy");
        return 1;
    }
    self.credited_ms = now_ms();
    printf("ready\n");
    fflush(stdout);
    while (turn(&self)) {
    }
    return 0;
}
