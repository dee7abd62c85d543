/* Parts of pulls on their way: asked within a window, answered in any order, asked again under the
 * same id after every WELCOME. Ids ascend per shard, so the open ones are a circular array indexed
 * by id; what is answered or cancelled leaves a hole that the front swallows later. A reply for an
 * id that is not open is a duplicate or too late: ignored.
 *
 * The window is per stamp (see rub_lane_t): a large prefetch that may not be served yet must not
 * keep back the pull of the current period, which has to be answered before the period can end. */
#include "common/base/alloc.h"
#include "common/base/mutant.h"
#include "worker/client/client_internal.h"

#include <string.h>

static rub_request_t *request_at(const rub_link_t *link, uint64_t id)
{
    return &link->requests[(link->request_head + (size_t)(id - link->request_base)) &
                           (link->request_capacity - 1)];
}

static rub_request_t *find_request(const rub_link_t *link, uint64_t id)
{
    if (id < link->request_base || id - link->request_base >= link->n_requests) {
        return NULL;
    }
    rub_request_t *request = request_at(link, id);
    return request->route ? request : NULL;
}

rub_part_t *rub_request_part(const rub_link_t *link, uint64_t id)
{
    const rub_request_t *request = find_request(link, id);
    return request ? &request->route->parts[request->part] : NULL;
}

static size_t reply_bytes(const rub_route_t *route, uint32_t part)
{
    return (size_t)route->parts[part].n * route->pull->width * sizeof(float);
}

/* What a request costs the shard that parks it: the answer, the keys, and its own head. */
static size_t cost_of(const rub_route_t *route, uint32_t part)
{
    return reply_bytes(route, part) + rub_packet_full_bytes(route->parts[part].packet) +
           RUB_REQUEST_BYTES;
}

static uint64_t least_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* A shard parks no more for a session than its window; what is for a later period gets half of
 * that, so that there is always room for a pull of this one. That one is waited for, and asked in
 * strides that caches hold; while a prefetch is under way its session computes and asks for
 * nothing, so that what does not fit is late. An empty lane may always ask: somebody must be first.
 */
static bool has_room(const rub_client_t *self, const rub_link_t *link, const rub_lane_t *lane,
                     size_t cost)
{
    if (lane->outstanding_bytes == 0) {
        return true;
    }
    const uint64_t bytes = link->outstanding_bytes + cost;
    return lane->stamp > self->clock
               ? bytes <= least_of(link->window / 2, RUB_PREFETCH_WINDOW_BYTES)
               : lane->outstanding_bytes + cost <= RUB_PULL_WINDOW_BYTES && bytes <= link->window;
}

static int reserve_request(rub_link_t *link)
{
    if (link->n_requests < link->request_capacity) {
        return 0;
    }
    const size_t capacity = link->request_capacity ? 2 * link->request_capacity : 64;
    rub_request_t *requests = rub_calloc(capacity, sizeof(*requests));
    if (!requests) {
        return RUB_ENOMEM;
    }
    for (size_t i = 0; i < link->n_requests; i++) {
        requests[i] = *request_at(link, link->request_base + i);
    }
    rub_free(link->requests);
    link->requests = requests;
    link->request_capacity = capacity;
    link->request_head = 0;
    return 0;
}

static rub_lane_t *find_lane(rub_link_t *link, uint64_t stamp)
{
    for (size_t i = 0; i < link->n_lanes; i++) {
        if (link->lanes[i].stamp == stamp) {
            return &link->lanes[i];
        }
    }
    return NULL;
}

static void drop_empty_lane(rub_link_t *link, rub_lane_t *lane)
{
    if (lane->outstanding_bytes == 0 && !lane->head) {
        *lane = link->lanes[--link->n_lanes];
    }
}

/* Asks for as many parts as the lane's window takes. Short memory only delays: the next reply tries
 * again. */
static void pump_lane(rub_client_t *self, rub_link_t *link, rub_lane_t *lane)
{
    while (lane->head) {
        rub_route_t *route = lane->head;
        const size_t cost = cost_of(route, route->next_part);
        if (!has_room(self, link, lane, cost) || reserve_request(link)) {
            return;
        }
        const uint64_t id = link->request_base + link->n_requests++;
        *request_at(link, id) = (rub_request_t){.route = route, .part = route->next_part};
        lane->outstanding_bytes += cost;
        link->outstanding_bytes += cost;
        rub_packet_t *packet = route->parts[route->next_part].packet;
        rub_header_t header = *rub_packet_header(packet);
        header.seq = id;
        rub_packet_set_header(packet, &header);
        const bool first = link->open_requests++ == 0 && link->ring.n == 0;
        if (first) {
            link->asked_ms = self->now_ms;
        }
        if (link->state == RUB_LINK_UP || link->state == RUB_LINK_POSTPONED) {
            rub_link_send(self, link, rub_packet_ref(packet));
        }
        if (++route->next_part == route->n_parts) {
            lane->head = route->next;
            lane->tail = lane->head ? lane->tail : NULL;
        }
    }
}

/* Earlier stamps first: they are needed first. Lanes are few, one per clock that is pulled for. */
static void pump_lanes(rub_client_t *self, rub_link_t *link)
{
    for (size_t i = link->n_lanes; i-- > 0;) {
        drop_empty_lane(link, &link->lanes[i]);
    }
    for (size_t round = 0; round < link->n_lanes; round++) {
        for (size_t i = round + 1; i < link->n_lanes; i++) {
            if (link->lanes[i].stamp < link->lanes[round].stamp) {
                const rub_lane_t earlier = link->lanes[i];
                link->lanes[i] = link->lanes[round];
                link->lanes[round] = earlier;
            }
        }
        pump_lane(self, link, &link->lanes[round]);
    }
}

int rub_request_enqueue(rub_client_t *self, rub_route_t *route)
{
    rub_link_t *link = &self->links[route->shard];
    rub_lane_t *lane = find_lane(link, route->pull->stamp);
    if (!lane) {
        if (rub_grow(&link->lanes, &link->lane_capacity, link->n_lanes + 1, sizeof(*link->lanes))) {
            return RUB_ENOMEM;
        }
        lane = &link->lanes[link->n_lanes++];
        *lane = (rub_lane_t){.stamp = route->pull->stamp};
    }
    if (reserve_request(link)) { /* so that at least one part is asked */
        drop_empty_lane(link, lane);
        return RUB_ENOMEM;
    }
    if (lane->tail) {
        lane->tail->next = route;
    } else {
        lane->head = route;
    }
    lane->tail = route;
    pump_lane(self, link, lane);
    return 0;
}

void rub_request_again(rub_client_t *self, rub_link_t *link)
{
    for (size_t i = 0; i < link->n_requests; i++) {
        rub_request_t *request = request_at(link, link->request_base + i);
        if (request->route && !RUB_MUTANT(PULLS_FORGOTTEN)) {
            request->held = false;
            rub_link_send(self, link, rub_packet_ref(request->route->parts[request->part].packet));
        }
    }
    link->held_requests = 0;
}

void rub_request_tick(rub_client_t *self, rub_link_t *link)
{
    if (link->held_requests == 0 || link->state != RUB_LINK_UP) {
        return;
    }
    link->held_requests = 0;
    for (size_t i = 0; i < link->n_requests; i++) {
        rub_request_t *request = request_at(link, link->request_base + i);
        if (request->route && request->held) {
            request->held = false;
            rub_link_send(self, link, rub_packet_ref(request->route->parts[request->part].packet));
        }
    }
}

/* Behind it nobody writes rows of that part: its message may still be on its way, twice even. */
static void revoke(const rub_part_t *part)
{
    if (part->grant) {
        (void)rub_grant_revoke(part->grant);
    }
}

static void close_request(rub_link_t *link, rub_request_t *request)
{
    rub_lane_t *lane = find_lane(link, request->route->pull->stamp);
    RUB_ASSERT(lane);
    revoke(&request->route->parts[request->part]);
    const size_t cost = cost_of(request->route, request->part);
    lane->outstanding_bytes -= cost;
    link->outstanding_bytes -= cost;
    link->held_requests -= request->held;
    *request = (rub_request_t){0};
    link->open_requests--;
    while (link->n_requests > 0 && !request_at(link, link->request_base)->route) {
        link->request_head = (link->request_head + 1) & (link->request_capacity - 1);
        link->request_base++;
        link->n_requests--;
    }
}

static void send_cancel(rub_client_t *self, rub_link_t *link, uint64_t id)
{
    const rub_header_t header = {.type = RUB_MSG_CANCEL, .seq = id};
    rub_packet_t *packet = link->state == RUB_LINK_UP ? rub_packet_new(&header, 0, 0) : NULL;
    if (packet) { /* only a courtesy: an answer to a closed id is ignored */
        rub_link_send(self, link, packet);
    }
}

void rub_request_forget(rub_client_t *self, rub_route_t *route)
{
    rub_link_t *link = &self->links[route->shard];
    rub_lane_t *lane = find_lane(link, route->pull->stamp);
    if (!lane) {
        return; /* never enqueued, or all of it is answered */
    }
    rub_route_t *before = NULL;
    for (rub_route_t *it = lane->head; it && it != route; it = it->next) {
        before = it;
    }
    if (before ? before->next == route : lane->head == route) {
        *(before ? &before->next : &lane->head) = route->next;
        lane->tail = lane->tail == route ? before : lane->tail;
    }
    const uint64_t end = link->request_base + link->n_requests;
    for (uint64_t id = link->request_base; id < end; id++) {
        rub_request_t *request = find_request(link, id); /* closing moves the base */
        if (request && request->route == route) {
            close_request(link, request);
            send_cancel(self, link, id);
        }
    }
    pump_lanes(self, link);
}

static void fail_pull(rub_client_t *self, rub_pull_t *pull, int code, const char *fact,
                      uint32_t shard)
{
    const rub_client_table_t *table = rub_client_find_table(self, pull->table);
    rub_error_t line;
    rub_fail(&line, code, "pull of '%s': shard %u: %s", table ? table->schema->name : "?", shard,
             fact);
    rub_pull_drop(self, pull);
    rub_operation_end(self, &pull->op, code, line.message);
}

/* As they stand on the wire. */
static size_t rows_bytes_of(const rub_pull_t *pull, const rub_part_t *part)
{
    return pull->codec->row_bytes((size_t)part->n * pull->width);
}

/* The rows are the reply's tail, and as many bytes as the codec says: no codec for pulls refuses
 * any bytes. RUB_ENOMEM. */
static int scatter_rows(rub_client_t *self, const rub_pull_t *pull, const rub_part_t *part,
                        const rub_frame_t *frame)
{
    const size_t row_bytes = (size_t)pull->width * sizeof(float);
    const size_t n_values = (size_t)part->n * pull->width;
    const uint8_t *rows = frame->values + (frame->values_bytes - rows_bytes_of(pull, part));
    uint8_t *values = (uint8_t *)pull->values;
    const bool in_place = !pull->positions;
    if (in_place) {
        pull->codec->decode(rows, n_values, pull->values + part->at * pull->width);
    } else if (pull->codec->number != RUB_CODEC_F32) {
        rub_arena_reset(&self->scratch);
        float *decoded = rub_arena_alloc(&self->scratch, n_values * sizeof(*decoded));
        if (!decoded) {
            return RUB_ENOMEM;
        }
        pull->codec->decode(rows, n_values, decoded);
        rows = (const uint8_t *)decoded;
    }
    for (uint32_t i = 0; !in_place && i < part->n; i++) {
        memcpy(values + pull->positions[part->at + i] * row_bytes, rows + i * row_bytes, row_bytes);
    }
    return 0;
}

/* Exists bits lead, perhaps padded. is_there: the rows are where they belong. RUB_ENOMEM. */
static int scatter(rub_client_t *self, const rub_pull_t *pull, const rub_part_t *part,
                   const rub_frame_t *frame, bool is_there)
{
    const int rc = is_there ? 0 : scatter_rows(self, pull, part, frame);
    if (rc || !pull->exists || pull->range) {
        return rc;
    }
    for (uint32_t i = 0; i < part->n; i++) {
        const size_t at = part->at + i;
        pull->exists[pull->positions ? pull->positions[at] : at] =
            (uint8_t)(frame->values[i / 8] >> (i % 8) & 1);
    }
    return 0;
}

void rub_request_rows(rub_client_t *self, rub_link_t *link, const rub_frame_t *frame)
{
    rub_request_t *request = find_request(link, frame->header.seq);
    if (!request) {
        return;
    }
    rub_route_t *route = request->route;
    rub_pull_t *pull = route->pull;
    const rub_part_t *part = &route->parts[request->part];
    const size_t bits_bytes = pull->range ? 0 : ((size_t)part->n + 7) / 8;
    const bool is_there = (frame->header.flags & RUB_FLAG_GRANT) != 0;
    const size_t want = (is_there ? 0 : rows_bytes_of(pull, part)) + bits_bytes;
    if (is_there && !(part->grant && rub_grant_is_done(part->grant))) {
        fail_pull(self, pull, RUB_EPROTO, "it says that rows stand where it has put none",
                  link->shard);
        return;
    }
    if (frame->values_bytes < want || frame->values_bytes > want + 64) {
        fail_pull(self, pull, RUB_EPROTO, "its reply has the wrong length", link->shard);
        return;
    }
    if (rub_codec_of_flags(frame->header.flags) != pull->codec->number) {
        fail_pull(self, pull, RUB_EPROTO, "its reply is in another codec", link->shard);
        return;
    }
    if (!is_there) {
        revoke(part);
    }
    if (scatter(self, pull, part, frame, is_there)) {
        fail_pull(self, pull, RUB_ENOMEM, "memory is short", link->shard);
        return;
    }
    rub_cache_keep(self, pull, part, frame);
    link->seen_lsn = frame->header.lsn > link->seen_lsn ? frame->header.lsn : link->seen_lsn;
    const uint64_t stamp = frame->header.clock, minimum = frame->header.mark;
    if (self->effects.answered) {
        const rub_answer_t answer = {.shard = link->shard,
                                     .stamp = pull->stamp,
                                     .minimum = minimum,
                                     .lsn = frame->header.lsn,
                                     .own_seq = rub_packet_header(part->packet)->mark};
        self->effects.answered(self->effects.context, &answer);
    }
    if (stamp > minimum && stamp - minimum > pull->gap) {
        pull->gap = stamp - minimum;
    }
    close_request(link, request);
    pump_lanes(self, link);
    if (--pull->left_parts == 0) {
        rub_client_count_gap(self, pull->gap);
        rub_operation_end(self, &pull->op, 0, NULL);
    }
}

void rub_request_refused(rub_client_t *self, rub_link_t *link, const rub_frame_t *frame)
{
    rub_request_t *request = find_request(link, frame->header.seq);
    if (!request) {
        return;
    }
    int32_t code = frame->values_bytes >= 4 ? (int32_t)rub_get_u32(frame->values) : RUB_EREFUSED;
    code = code < 0 ? code : RUB_EREFUSED;
    if (code == RUB_ELIMIT) {
        /* Too much is parked there: not an answer, but "later". */
        link->held_requests += !request->held;
        request->held = true;
        return;
    }
    rub_error_t line;
    rub_fail(&line, code, "refused with %s", rub_error_name(code));
    fail_pull(self, request->route->pull, code, line.message, link->shard);
}

void rub_request_waiting(rub_client_t *self, rub_link_t *link, const rub_frame_t *frame)
{
    RUB_UNUSED(self);
    const rub_request_t *request = find_request(link, frame->header.seq);
    if (!request) {
        return;
    }
    rub_pull_t *pull = request->route->pull;
    const size_t n = frame->values_bytes / 4;
    pull->waiting_shard = link->shard;
    pull->waiting_minimum = frame->header.mark;
    pull->n_waiting =
        (uint32_t)(n < RUB_COUNT_OF(pull->waiting_ranks) ? n : RUB_COUNT_OF(pull->waiting_ranks));
    for (uint32_t i = 0; i < pull->n_waiting; i++) {
        pull->waiting_ranks[i] = rub_get_u32(frame->values + 4 * (size_t)i);
    }
}
