/* Codecs: how float32 values stand on the wire and in journals, one table row each. Numbers are
 * pinned for ever (rub_codec_kind_t): journals are replayed by later versions.
 *
 * A message holds *codec rows* one behind the other: rows of a hashed table, or runs of dense_row
 * elements of a dense one, counted from its start; the last run of a table may be shorter. What a
 * codec learns about values (a scale, which are the largest) it learns per row, so that a row's
 * bytes do not depend on how a push was cut into messages or spread over shards. Numbers in the
 * bytes are little-endian, of any alignment.
 *
 * Every codec is a pure function with the same bits on every host: only operations that IEEE 754
 * rounds correctly, sums in a fixed order, randomness counter-based. Not finite: a row with a NaN
 * or an infinity decodes to a row with at least one value that is not finite, so that the
 * receiver's own check refuses it; finite values decode to finite values, always.
 *
 *   f32    4 n bytes, the values
 *   f16    2 n bytes, IEEE binary16, to nearest even; beyond 65504: +-65504
 *   bf16   2 n bytes, the upper half of float32, to nearest even; beyond its greatest: that one
 *   int8   4 + n bytes: scale = max|x| / 127, then q in -127..127, decoded q * scale. Stochastic
 *          rounding: E[decoded] = x within 2^-24 max|x|, whatever x (QSGD, Alistarh et al., NIPS
 *          2017)
 *   2bit   8 + ceil(n / 4) bytes: low, high, then 2 bits each: sign, and whether |x| > 1.25 mean|x|
 *          (near the best threshold for normal values, Max 1960); low and high are the means of
 *          |x| of the two halves
 *   1bit   8 + ceil(n / 8) bytes: the mean of the values >= 0, that of those < 0, then a bit each
 *          (1-bit SGD, Seide et al., Interspeech 2014)
 *   topk   6 k bytes, k = ceil(n / 32): for the k greatest |x| the place u16, ascending, then the
 *          values; all others are 0 (Aji & Heafield, EMNLP 2017)
 *
 * 2bit, 1bit and topk lose too much to stand alone: their sender keeps, per value, what was not
 * sent and adds it next time (error feedback, Karimireddy et al., ICML 2019). */
#ifndef RUB_CODEC_H
#define RUB_CODEC_H

#include "include/rubato.h"

#define RUB_CODEC_ROW_LIMIT 65536u /* values in a codec row */

typedef struct rub_codec {
    uint32_t number; /* rub_codec_kind_t */
    const char *name;
    uint32_t dense_row; /* elements of a dense table that make one codec row; divides RUB_BLOCK */
    bool by_row;        /* a row is encoded as one; else values are independent of each other */
    bool feedback;      /* its sender keeps what was not sent */
    bool random;        /* draws */
    bool for_pulls;     /* loses little enough to bring weights */
    /* Bytes of a row of n values; n <= RUB_CODEC_ROW_LIMIT unless !by_row, then any n. */
    size_t (*row_bytes)(size_t n);
    /* One row. x: n values, 4-byte aligned; out: row_bytes(n). seed, stream: of random codecs, a
     * pair that no other row uses. */
    void (*encode)(const float *x, size_t n, uint64_t seed, uint64_t stream, uint8_t *out);
    /* in: row_bytes(n) bytes from anybody. RUB_ESHAPE: no encoder of ours writes them; x is
     * undefined then. */
    int (*decode)(const uint8_t *in, size_t n, float *x);
} rub_codec_t;

/* The codec of that number, also as it came from a peer or a file; NULL when there is none. */
const rub_codec_t *rub_codec_find(uint32_t number);
/* By name; NULL when there is none. Static. */
const rub_codec_t *rub_codec_named(const char *name);

/* Bytes of n values in rows of row values each, the last one perhaps shorter. row > 0. */
size_t rub_codec_bytes(const rub_codec_t *codec, size_t n, size_t row);
/* Decodes these; x: n values. RUB_ESHAPE as above. */
int rub_codec_decode(const rub_codec_t *codec, const uint8_t *in, size_t n, size_t row, float *x);

/* One row with error feedback: x holds the totals (what is to be sent and what was not before) and
 * then, for each value, total - sent in float32, sent being what the receiver decodes: one
 * rounding, so nothing but the last bit of what is kept is ever lost. sent: room for n values. */
void rub_codec_encode_rest(const rub_codec_t *codec, float *x, size_t n, uint8_t *out, float *sent);

/* The stream of a codec row's draws: which row of which push. Equal on any number of shards. */
uint64_t rub_codec_stream(uint64_t push_stream, uint64_t row);

#endif
