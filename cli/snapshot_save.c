/* An observer that asks until the answer is final. The same nonce is the same snapshot, so asking
 * again is harmless; a new one is drawn only when the last was given up because a rank was just
 * coming or going (busy), which passes. Whoever interrupts this command leaves the snapshot to go
 * on: it is the job's. */
#include "cli/snapshot_save.h"

#include "cli/run_folder.h"
#include "cli/status_link.h"
#include "common/base/error.h"
#include "common/base/rng.h"
#include "common/base/timing.h"
#include "common/proc/signals.h"

#include <czmq.h>
#include <inttypes.h>
#include <jansson.h>

enum {
    ASK_AGAIN_MS = 200,
    SILENCE_LIMIT_MS = 10000, /* without any answer */
    BUSY_LIMIT_MS = 60000,    /* with answers that say: not now */
    BUSY_AGAIN_MS = 1000
};

typedef struct saving {
    char address[128];
    bool json;
    rub_status_link_t *link;
    uint8_t nonce[16];
    uint64_t begun_ms, heard_ms, again_ms;
    uint64_t asked_number; /* of the snapshot that was begun for us; 0: none yet */
    char last[256];        /* what was said last about progress, or why not now */
} saving_t;

static int draw_nonce(saving_t *self, rub_error_t *err)
{
    return rub_random_nonce(self->nonce) < 0
               ? rub_fail(err, RUB_EIO, "no random number for the request")
               : 0;
}

static void ask(saving_t *self)
{
    rub_control_t message = {.type = RUB_MSG_SNAPSHOT_ASK,
                             .snapshot_ask = {.nonce_bytes = sizeof self->nonce}};
    memcpy(message.snapshot_ask.nonce, self->nonce, sizeof self->nonce);
    rub_status_link_say(self->link, &message);
}

static void print_people(const rub_snapshot_t *snapshot)
{
    printf("snapshot %" PRIu64 " in %s\n%u shards, %" PRIu64 " rows, %.1f MB, %.2f s, clocks "
           "%" PRIu64 " to %" PRIu64 "\n",
           snapshot->number, snapshot->path, snapshot->n_shards, snapshot->rows,
           (double)snapshot->total_bytes / 1e6, (double)snapshot->elapsed_ms / 1e3,
           snapshot->least_cut, snapshot->greatest_cut);
}

static void print_machine(const rub_snapshot_t *snapshot)
{
    json_t *root = json_pack(
        "{s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "number", (json_int_t)snapshot->number, "path",
        snapshot->path, "bytes", (json_int_t)snapshot->total_bytes, "rows",
        (json_int_t)snapshot->rows, "ms", (json_int_t)snapshot->elapsed_ms, "shards",
        (json_int_t)snapshot->n_shards, "least_cut", (json_int_t)snapshot->least_cut,
        "greatest_cut", (json_int_t)snapshot->greatest_cut);
    json_dumpf(root, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(root);
}

/* Not now: to be tried again for a while. */
static int busy(saving_t *self, const char *why, rub_error_t *err)
{
    snprintf(self->last, sizeof self->last, "%s", why);
    self->again_ms = rub_now_ms() + BUSY_AGAIN_MS;
    return self->again_ms - self->begun_ms > BUSY_LIMIT_MS
               ? rub_fail(err, RUB_EBUSY, "%s, for %d s now", why, BUSY_LIMIT_MS / 1000)
               : draw_nonce(self, err);
}

/* 0: go on asking; 1: done; negative: it has failed. */
static int on_snapshot(saving_t *self, const rub_snapshot_t *snapshot, rub_error_t *err)
{
    self->asked_number = snapshot->number;
    if (snapshot->state == RUB_SNAPSHOT_WHOLE) {
        (self->json ? print_machine : print_people)(snapshot);
        return 1;
    }
    if (snapshot->state == RUB_SNAPSHOT_GIVEN_UP) {
        const int code =
            snapshot->code > 0 && snapshot->code < 64 ? -(int)snapshot->code : RUB_EINTERNAL;
        return code == RUB_EBUSY ? busy(self, snapshot->sentence, err)
                                 : rub_fail(err, code, "snapshot %" PRIu64 " was given up: %s",
                                            snapshot->number, snapshot->sentence);
    }
    if (snapshot->elapsed_ms > 2000 && strcmp(self->last, snapshot->sentence) != 0) {
        snprintf(self->last, sizeof self->last, "%s", snapshot->sentence);
        fprintf(stderr, "snapshot %" PRIu64 ": %s\n", snapshot->number, self->last);
    }
    return 0;
}

static int on_message(saving_t *self, const rub_control_t *message, rub_error_t *err)
{
    if (message->type == RUB_MSG_SNAPSHOT) {
        return on_snapshot(self, &message->snapshot, err);
    }
    if (message->type == RUB_MSG_REFUSED && message->refused.request == RUB_MSG_SNAPSHOT_ASK) {
        return message->refused.final ? rub_fail(err, -(int)(message->refused.code & 63u), "%s",
                                                 message->refused.sentence)
                                      : busy(self, message->refused.sentence, err);
    }
    return 0;
}

static int wait_for_it(saving_t *self, rub_error_t *err)
{
    zmq_pollitem_t item = {.socket = zsock_resolve(rub_status_link_socket(self->link)),
                           .events = ZMQ_POLLIN};
    self->begun_ms = self->heard_ms = rub_now_ms();
    for (;;) {
        const uint64_t now_ms = rub_now_ms();
        if (*rub_signals_count() > 0) {
            return rub_fail(err, RUB_EINTR, "interrupted; %s",
                            self->asked_number ? "the snapshot goes on without this"
                                               : "the scheduler had not answered yet");
        }
        if (now_ms - self->heard_ms > SILENCE_LIMIT_MS) {
            return rub_fail(err, RUB_EPEER, "no scheduler answers at %s for %d s%s%s",
                            self->address, SILENCE_LIMIT_MS / 1000,
                            self->last[0] ? "; it said last: " : "", self->last);
        }
        if (now_ms >= self->again_ms) {
            ask(self);
        } else {
            self->heard_ms = now_ms;
        }
        zmq_poll(&item, 1, ASK_AGAIN_MS);
        const rub_control_t *message = NULL;
        int rc = rub_status_link_take(self->link, &message, err);
        while (rc == 0) {
            self->heard_ms = rub_now_ms();
            rc = on_message(self, message, err);
            if (rc != 0) {
                return rc > 0 ? 0 : rc;
            }
            rc = rub_status_link_take(self->link, &message, err);
        }
        if (rc < 0) {
            return rc;
        }
        if (rub_now_ms() - now_ms < ASK_AGAIN_MS / 2) {
            rub_sleep_ms(ASK_AGAIN_MS / 2);
        }
    }
}

int rub_snapshot_save(const rub_config_t *config, rub_error_t *err)
{
    saving_t self = {.json = config->json};
    int rc = 0;
    if (config->n_words > 1) {
        rc = rub_run_folder_address(config->words[1], self.address, sizeof self.address, err);
    } else {
        snprintf(self.address, sizeof self.address, "%s", config->scheduler);
    }
    rc = rc ? rc : draw_nonce(&self, err);
    rc = rc ? rc : rub_status_link_open(self.address, &self.link, err);
    rc = rc ? rc : wait_for_it(&self, err);
    rub_status_link_close(&self.link);
    return rc;
}
