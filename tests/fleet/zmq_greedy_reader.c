/* A reader that asks for more than it reads, which librubato never does: says HELLO, asks for a
 * range of a dense table so many times over without taking an answer, and stops itself (SIGSTOP).
 * Woken, it reads what is there, says HELLO again like an honest session, and asks once.
 *
 *   zmq_greedy_reader ADDRESS TABLE ELEMENTS PULLS
 *
 * Its own I/O thread takes one message and no more (RCVHWM), so that nothing is read on its behalf
 * before it stops. Says "welcomed", "asked", and in the end how many answers it read. Exit: 0; 1 no
 * answer came in time. */
#include "common/base/bytes.h"
#include "common/base/timing.h"
#include "common/wire/control.h"
#include "common/wire/header.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { HELLO_AGAIN_MS = 1000, PATIENCE_MS = 60000, ASKING_MS = 1500 };

typedef struct reader {
    void *socket;
    uint16_t table;
    uint64_t elements;
    uint64_t n_read;
} reader_t;

static void send_frame(const reader_t *self, const rub_header_t *header, const void *rest,
                       size_t rest_bytes)
{
    uint8_t frame[RUB_HEADER_BYTES + 16];
    rub_header_write(header, frame);
    memcpy(frame + RUB_HEADER_BYTES, rest, rest_bytes);
    (void)zmq_send(self->socket, frame, RUB_HEADER_BYTES + rest_bytes, ZMQ_DONTWAIT);
}

static void say_hello(const reader_t *self)
{
    const uint8_t nonce[16] = {7};
    const rub_header_t header = {.type = RUB_MSG_HELLO,
                                 .seq = rub_rank_epoch(UINT32_MAX, 0),
                                 .lsn = RUB_READER,
                                 .value_bytes = sizeof(nonce)};
    send_frame(self, &header, nonce, sizeof(nonce));
}

static void ask(const reader_t *self, uint64_t id)
{
    uint8_t range[16];
    rub_put_u64(range, 0);
    rub_put_u64(range + 8, self->elements);
    const rub_header_t header = {.type = RUB_MSG_PULL,
                                 .table = self->table,
                                 .flags = RUB_FLAG_RANGE,
                                 .seq = id,
                                 .n_keys = 1};
    send_frame(self, &header, range, sizeof(range));
}

/* The header of the next message, its other parts thrown away. False: none within HELLO_AGAIN_MS.
 */
static bool take(reader_t *self, rub_header_t *header)
{
    memset(header, 0, sizeof(*header));
    bool first = true, more = true;
    while (more) {
        zmq_msg_t part;
        (void)zmq_msg_init(&part);
        if (zmq_msg_recv(&part, self->socket, 0) < 0) {
            (void)zmq_msg_close(&part);
            return false;
        }
        const uint8_t *bytes = zmq_msg_data(&part);
        if (first && zmq_msg_size(&part) >= RUB_HEADER_BYTES) {
            header->type = bytes[1];
            header->seq = rub_get_u64(bytes + 8);
        }
        first = false;
        more = zmq_msg_more(&part) != 0;
        (void)zmq_msg_close(&part);
    }
    self->n_read += header->type == RUB_MSG_ROWS ? 1 : 0;
    return true;
}

/* Reads until a message of that type, and id if not 0, says HELLO after silences. */
static bool wait_for(reader_t *self, uint8_t type, uint64_t id)
{
    const uint64_t begun_ms = rub_now_ms();
    while (rub_now_ms() - begun_ms < PATIENCE_MS) {
        rub_header_t header;
        if (!take(self, &header)) {
            say_hello(self);
        } else if (header.type == type && (id == 0 || header.seq == id)) {
            return true;
        } else if (header.type == RUB_MSG_REHELLO) {
            say_hello(self);
        } else if (header.type == RUB_MSG_WELCOME && id != 0) {
            ask(self, id);
        }
    }
    fprintf(stderr, "no %s came\n", rub_message_name(type));
    return false;
}

static void say(const char *word)
{
    printf("%s\n", word);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: %s ADDRESS TABLE ELEMENTS PULLS\n", argv[0]);
        return 64;
    }
    void *context = zmq_ctx_new();
    reader_t self = {.socket = zmq_socket(context, ZMQ_DEALER),
                     .table = (uint16_t)strtoul(argv[2], NULL, 10),
                     .elements = strtoull(argv[3], NULL, 10)};
    const uint64_t pulls = strtoull(argv[4], NULL, 10);
    const int one = 1, none = 0, wait_ms = HELLO_AGAIN_MS;
    (void)zmq_setsockopt(self.socket, ZMQ_RCVHWM, &one, sizeof(one));
    (void)zmq_setsockopt(self.socket, ZMQ_SNDHWM, &none, sizeof(none));
    (void)zmq_setsockopt(self.socket, ZMQ_LINGER, &none, sizeof(none));
    (void)zmq_setsockopt(self.socket, ZMQ_RCVTIMEO, &wait_ms, sizeof(wait_ms));
    bool fine = zmq_connect(self.socket, argv[1]) == 0;
    say_hello(&self);
    fine = fine && wait_for(&self, RUB_MSG_WELCOME, 0);
    if (fine) {
        say("welcomed");
        for (uint64_t id = 1; id <= pulls; id++) {
            ask(&self, id);
        }
        rub_sleep_ms(ASKING_MS); /* the I/O thread writes meanwhile */
        say("asked");
        (void)raise(SIGSTOP);
        fine = wait_for(&self, RUB_MSG_ROWS, pulls + 1);
        printf("read %" PRIu64 " answers\n", self.n_read);
    }
    zmq_close(self.socket);
    zmq_ctx_term(context);
    return fine ? 0 : 1;
}
