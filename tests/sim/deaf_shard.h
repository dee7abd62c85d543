/* Effects of a shard that nobody listens to: its journal takes everything, what it sends is
 * dropped, and nothing is staged. For who looks at a core's state alone; a function that matters is
 * replaced. What it says must be messages and sentences all the same. */
#ifndef RUB_DEAF_SHARD_H
#define RUB_DEAF_SHARD_H

#include "common/base/check.h"
#include "ps/shard.h"

static inline int rub_deaf_journal(void *context, uint64_t lsn, rub_record_type_t type,
                                   const rub_span_t *parts, size_t n_parts)
{
    (void)context, (void)lsn, (void)type, (void)parts, (void)n_parts;
    return 0;
}

static inline size_t rub_deaf_room(void *context)
{
    (void)context;
    return SIZE_MAX;
}

static inline void rub_deaf_send(void *context, rub_peer_t peer, rub_packet_t *packet)
{
    (void)context, (void)peer;
    rub_packet_unref(&packet);
}

static inline void rub_deaf_control(void *context, const rub_control_t *message)
{
    rub_buf_t out;
    (void)context;
    rub_buf_init(&out);
    RUB_ASSERT(rub_control_encode(message, &out, NULL) == 0);
    rub_buf_fini(&out);
}

static inline void rub_deaf_sync(void *context, uint64_t lsn)
{
    (void)context, (void)lsn;
}

static inline void rub_deaf_notice(void *context, const char *sentence)
{
    (void)context;
    RUB_ASSERT(sentence[0] != '\0');
}

static inline rub_shard_effects_t rub_deaf_shard(void *context)
{
    return (rub_shard_effects_t){.context = context,
                                 .journal = rub_deaf_journal,
                                 .journal_room = rub_deaf_room,
                                 .send = rub_deaf_send,
                                 .control = rub_deaf_control,
                                 .sync = rub_deaf_sync,
                                 .notice = rub_deaf_notice};
}

#endif
