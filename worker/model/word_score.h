/* How vectors of words do in tests: similarity by cosine, held against men's judgement by Spearman,
 * and analogies by 3CosAdd (Mikolov, Yih & Zweig, NAACL 2013). Pure. */
#ifndef RUB_WORD_SCORE_H
#define RUB_WORD_SCORE_H

#include "include/rubato.h"

/* Makes each of the n rows one of length 1; a row of zeros stays. */
void rub_rows_normalize(float *rows, size_t n, size_t width);

/* Spearman's rank correlation of n > 1 numbers with n others: Pearson's of the ranks, where equal
 * numbers share their mean rank. 0 when all of one side are equal. *rho_p; RUB_ENOMEM. */
int rub_spearman(const double *x, const double *y, size_t n, double *rho_p, rub_error_t *err);

/* a is to b as c is to what? rows: n_rows unit vectors. For each question {a, b, c} (numbers of
 * rows, stride numbers apart) the row nearest to b - a + c by cosine, but none of the three, into
 * answers. Many questions share a matrix product. RUB_ENOMEM. */
int rub_analogies_answer(const float *rows, size_t n_rows, size_t width, const uint32_t *questions,
                         size_t stride, size_t n, uint32_t *answers, rub_error_t *err);

#endif
