/* Analogies look at every row for every question, which is a product of two matrices: questions in
 * blocks against rows in blocks, of each result only the greatest is kept. */
#include "worker/model/word_score.h"

#include "common/base/alloc.h"
#include "common/base/error.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { QUESTIONS = 64, ROWS = 1024 }; /* of a block: scores stay in the cache */

void rub_rows_normalize(float *rows, size_t n, size_t width)
{
    for (size_t i = 0; i < n; i++, rows += width) {
        double sum = 0;
        for (size_t k = 0; k < width; k++) {
            sum += (double)rows[k] * (double)rows[k];
        }
        const float scale = sum > 0 ? (float)(1 / sqrt(sum)) : 0.0f;
        for (size_t k = 0; k < width; k++) {
            rows[k] *= scale;
        }
    }
}

/* ---- ranks ---- */

typedef struct ranked {
    double value, rank;
    size_t place;
} ranked_t;

static int by_value(const void *a, const void *b)
{
    const double x = ((const ranked_t *)a)->value, y = ((const ranked_t *)b)->value;
    return (x > y) - (x < y);
}

/* Ranks of x, from 1; equal ones have the mean of theirs. items: n, scratch. */
static void rank(const double *x, size_t n, ranked_t *items, double *ranks)
{
    for (size_t i = 0; i < n; i++) {
        items[i] = (ranked_t){.value = x[i], .place = i};
    }
    qsort(items, n, sizeof *items, by_value);
    for (size_t first = 0; first < n;) {
        size_t behind = first + 1;
        while (behind < n && items[behind].value == items[first].value) {
            behind++;
        }
        const double mean = (double)(first + behind + 1) / 2;
        for (; first < behind; first++) {
            ranks[items[first].place] = mean;
        }
    }
}

static double pearson(const double *x, const double *y, size_t n)
{
    const double mean = (double)(n + 1) / 2; /* of any ranks */
    double xy = 0, xx = 0, yy = 0;
    for (size_t i = 0; i < n; i++) {
        xy += (x[i] - mean) * (y[i] - mean);
        xx += (x[i] - mean) * (x[i] - mean);
        yy += (y[i] - mean) * (y[i] - mean);
    }
    return xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : 0;
}

int rub_spearman(const double *x, const double *y, size_t n, double *rho_p, rub_error_t *err)
{
    int rc = 0;
    ranked_t *items = rub_calloc(n, sizeof *items);
    double *ranks = rub_calloc(n, 2 * sizeof *ranks);
    if (items == NULL || ranks == NULL) {
        rc = rub_fail(err, RUB_ENOMEM, "no memory for the ranks of %zu numbers", n);
    } else {
        rank(x, n, items, ranks);
        rank(y, n, items, ranks + n);
        *rho_p = pearson(ranks, ranks + n, n);
    }
    rub_free(items);
    rub_free(ranks);
    return rc;
}

/* ---- analogies ---- */

typedef struct block {
    float *wanted; /* QUESTIONS x width: b - a + c */
    float *scores; /* QUESTIONS x ROWS */
    float best[QUESTIONS];
} block_t;

static void keep_best(block_t *block, const uint32_t *question, size_t q, size_t first, size_t n,
                      uint32_t *answer)
{
    const float *scores = block->scores + q * ROWS;
    for (size_t i = 0; i < n; i++) {
        const uint32_t row = (uint32_t)(first + i);
        if (scores[i] > block->best[q] && row != question[0] && row != question[1] &&
            row != question[2]) {
            block->best[q] = scores[i];
            *answer = row;
        }
    }
}

static void answer_block(block_t *block, const float *rows, size_t n_rows, size_t width,
                         const uint32_t *questions, size_t stride, size_t n, uint32_t *answers)
{
    for (size_t q = 0; q < n; q++) {
        const uint32_t *question = questions + q * stride;
        const float *a = rows + question[0] * width, *b = rows + question[1] * width;
        const float *c = rows + question[2] * width;
        for (size_t k = 0; k < width; k++) {
            block->wanted[q * width + k] = b[k] - a[k] + c[k];
        }
        block->best[q] = -INFINITY;
        answers[q] = 0;
    }
    for (size_t first = 0; first < n_rows; first += ROWS) {
        const size_t count = n_rows - first < ROWS ? n_rows - first : ROWS;
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, (int)count, (int)width, 1.0f,
                    block->wanted, (int)width, rows + first * width, (int)width, 0.0f,
                    block->scores, ROWS);
        for (size_t q = 0; q < n; q++) {
            keep_best(block, questions + q * stride, q, first, count, &answers[q]);
        }
    }
}

int rub_analogies_answer(const float *rows, size_t n_rows, size_t width, const uint32_t *questions,
                         size_t stride, size_t n, uint32_t *answers, rub_error_t *err)
{
    block_t block = {.wanted = rub_alloc_aligned(64, QUESTIONS * width * sizeof(float)),
                     .scores = rub_alloc_aligned(64, QUESTIONS * ROWS * sizeof(float))};
    const bool whole = block.wanted != NULL && block.scores != NULL;
    for (size_t first = 0; whole && first < n; first += QUESTIONS) {
        const size_t count = n - first < QUESTIONS ? n - first : QUESTIONS;
        answer_block(&block, rows, n_rows, width, questions + first * stride, stride, count,
                     answers + first);
    }
    rub_free(block.wanted);
    rub_free(block.scores);
    return whole ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for analogies of %zu numbers", width);
}
