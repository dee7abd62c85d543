/* Places of items.
 *
 * A place is counted, not sorted out: of a user few items are wanted, and one pass over all scores
 * for each is a loop without branches. What the user knows is counted apart and taken off. Bias of
 * the user and the mean are the same for all items and are left out. */
#include "worker/model/item_ranking.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

typedef struct count {
    size_t above, equal;
} count_t;

static count_t count_all(const float *scores, size_t n, float score)
{
    uint32_t above = 0, equal = 0;
    for (size_t i = 0; i < n; i++) {
        above += scores[i] > score;
        equal += scores[i] == score;
    }
    return (count_t){above, equal};
}

/* The candidates' count: of all but what is known. */
static count_t count_candidates(const float *scores, size_t n_items, const uint32_t *known,
                                size_t n_known, float score)
{
    count_t count = count_all(scores, n_items, score);
    for (size_t i = 0; i < n_known; i++) {
        if (i == 0 || known[i] != known[i - 1]) {
            count.above -= scores[known[i]] > score;
            count.equal -= scores[known[i]] == score;
        }
    }
    return count;
}

static size_t count_different(const uint32_t *items, size_t n)
{
    size_t different = 0;
    for (size_t i = 0; i < n; i++) {
        different += i == 0 || items[i] != items[i - 1];
    }
    return different;
}

/* The next wanted item that counts, at or behind place *at_p of the list; false: there is none.
 * *known_p: where in the known items the search stands. */
static bool next_wanted(const uint32_t *wanted, size_t n_wanted, const uint32_t *known,
                        size_t n_known, size_t *at_p, size_t *known_p)
{
    for (; *at_p < n_wanted; (*at_p)++) {
        const uint32_t item = wanted[*at_p];
        while (*known_p < n_known && known[*known_p] < item) {
            (*known_p)++;
        }
        const bool twice = *at_p > 0 && wanted[*at_p - 1] == item;
        if (!twice && (*known_p == n_known || known[*known_p] != item)) {
            return true;
        }
    }
    return false;
}

static double discount(double place)
{
    return 1 / log2(place + 1);
}

void rub_item_ranking_add(const float *scores, size_t n_items, const uint32_t *known,
                          size_t n_known, const uint32_t *wanted, size_t n_wanted, size_t k,
                          rub_item_ranks_t *sums)
{
    const size_t candidates = n_items - count_different(known, n_known);
    double hits = 0, gain = 0, places = 0, best = 0;
    size_t n = 0;
    for (size_t at = 0, in_known = 0; next_wanted(wanted, n_wanted, known, n_known, &at, &in_known);
         at++) {
        const float score = scores[wanted[at]];
        const count_t count = count_candidates(scores, n_items, known, n_known, score);
        const double place =
            isnan(score) ? (double)candidates : (double)count.above + ((double)count.equal + 1) / 2;
        const bool hit = place <= (double)k;
        hits += hit;
        gain += hit ? discount(place) : 0;
        places += place;
        n++;
        best += n <= k ? discount((double)n) : 0;
    }
    if (n == 0 || n == candidates) {
        return;
    }
    const double others = (double)(candidates - n), m = (double)n;
    sums->users += 1;
    sums->precision += hits / (double)k;
    sums->recall += hits / m;
    sums->ndcg += gain / best;
    sums->auc += 1 - (places - m * (m + 1) / 2) / (m * others);
}

size_t rub_item_ranking_best(const float *scores, size_t n_items, const uint32_t *known,
                             size_t n_known, size_t k, uint32_t *best)
{
    size_t n = 0, in_known = 0;
    for (uint32_t i = 0; i < n_items; i++) {
        while (in_known < n_known && known[in_known] < i) {
            in_known++;
        }
        if (in_known < n_known && known[in_known] == i) {
            continue;
        }
        size_t at = n < k ? n++ : k;
        for (; at > 0 && scores[best[at - 1]] < scores[i]; at--) {
            if (at < k) {
                best[at] = best[at - 1];
            }
        }
        if (at < k) {
            best[at] = i;
        }
    }
    return n;
}

void rub_item_ranking_scores(const float *users, size_t n_users, const float *items,
                             const float *item_bias, size_t n_items, size_t width, float *scores)
{
    for (size_t u = 0; u < n_users; u++) {
        memcpy(scores + u * n_items, item_bias, n_items * sizeof *scores);
    }
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n_users, (int)n_items, (int)width,
                1.0f, users, (int)width, items, (int)width, 1.0f, scores, (int)n_items);
}
