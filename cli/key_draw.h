/* Which rows a measurement touches: lists of keys drawn before the time is taken. Pure. */
#ifndef RUB_KEY_DRAW_H
#define RUB_KEY_DRAW_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
    RUB_DRAW_ORDERED = 0, /* 0, 1, 2, ... round and round */
    RUB_DRAW_UNIFORM = 1,
    RUB_DRAW_ZIPF = 2 /* exponent RUB_ZIPF_EXPONENT; which keys are frequent is scattered */
} rub_key_draw_kind_t;

#define RUB_ZIPF_EXPONENT 0.99 /* YCSB's (Cooper et al., SoCC 2010) */

/* Draws from 1..n with P(k) proportional to k^-exponent. */
typedef struct rub_zipf {
    uint64_t n;
    double exponent, area_first, area_all, shift;
} rub_zipf_t;

/* n >= 1, exponent > 0 and not 1. */
void rub_zipf_init(rub_zipf_t *self, uint64_t n, double exponent);
/* seed, stream: whose draws; *counter_p moves on by as many as were used. Returns 1..n. */
uint64_t rub_zipf_draw(const rub_zipf_t *self, uint64_t seed, uint64_t stream, uint64_t *counter_p);

/* Fills keys with n draws below n_rows >= 1; the same for the same seed and stream. */
void rub_key_draw(rub_key_draw_kind_t kind, uint64_t n_rows, uint64_t seed, uint64_t stream,
                  uint64_t *keys, size_t n);

#endif
