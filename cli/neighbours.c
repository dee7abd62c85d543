/* `rubato neighbours VECTORS WORD...`: the words whose vectors point most nearly the same way, by
 * cosine, as fastText's nn and gensim's most_similar say them. One pass over all vectors for each
 * word; ties go to the word that stands first. */
#include "cli/commands.h"
#include "common/base/alloc.h"
#include "common/base/error.h"
#include "worker/data/vectors_file.h"
#include "worker/data/word_vectors.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct neighbour {
    uint32_t word;
    double cosine;
} neighbour_t;

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)a[i] * (double)b[i];
    }
    return sum;
}

/* Fills `nearest`, best first; returns how many there are. A vector of zeros is near to nobody. */
static size_t find_nearest(const rub_word_vectors_t *vectors, uint32_t word, size_t most,
                           neighbour_t *nearest)
{
    const size_t width = vectors->width;
    const float *wanted = vectors->values + word * width;
    const double length = sqrt(dot(wanted, wanted, width));
    size_t n = 0;
    for (uint32_t i = 0; i < vectors->n_words; i++) {
        const float *row = vectors->values + i * width;
        const double product = length * sqrt(dot(row, row, width));
        if (i == word || product == 0) {
            continue;
        }
        const neighbour_t found = {i, dot(wanted, row, width) / product};
        size_t at = n < most ? n++ : most;
        for (; at > 0 && nearest[at - 1].cosine < found.cosine; at--) {
            if (at < most) {
                nearest[at] = nearest[at - 1];
            }
        }
        if (at < most) {
            nearest[at] = found;
        }
    }
    return n;
}

static void print(const rub_word_vectors_t *vectors, const char *word, const neighbour_t *nearest,
                  size_t n, bool json)
{
    json_t *row = json ? json_pack("{s:s, s:[]}", "word", word, "neighbours") : NULL;
    if (!json) {
        printf("%s\n", word);
    }
    for (size_t i = 0; i < n; i++) {
        const char *other = rub_vocabulary_word(vectors->words, nearest[i].word);
        if (json) {
            json_array_append_new(
                json_object_get(row, "neighbours"),
                json_pack("{s:s, s:f}", "word", other, "cosine", nearest[i].cosine));
        } else {
            printf("  %-24s %.4f\n", other, nearest[i].cosine);
        }
    }
    if (json) {
        json_dumpf(row, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
        printf("\n");
        json_decref(row);
    }
}

static int answer(const rub_config_t *config, const rub_word_vectors_t *vectors,
                  neighbour_t *nearest, rub_error_t *err)
{
    for (uint32_t i = 1; i < config->n_words; i++) {
        const char *word = config->words[i];
        const uint32_t number = rub_vocabulary_find(vectors->words, word, strlen(word));
        if (number == RUB_NO_WORD) {
            return rub_fail(err, RUB_EINVAL, "'%s' is none of the %zu words of %s", word,
                            vectors->n_words, config->words[0]);
        }
        const size_t n = find_nearest(vectors, number, (size_t)config->nearest, nearest);
        print(vectors, word, nearest, n, config->json);
    }
    return 0;
}

int rub_neighbours_main(rub_config_t *config)
{
    rub_error_t err = {0};
    rub_word_vectors_t *vectors = NULL;
    neighbour_t *nearest = rub_calloc((size_t)config->nearest, sizeof(*nearest));
    int rc = nearest ? 0 : rub_fail(&err, RUB_ENOMEM, "no memory for neighbours");
    if (rc == 0 && config->n_words < 2) {
        rc = rub_fail(&err, RUB_EINVAL, "a file of vectors and at least one word are expected");
    }
    rc = rc ? rc
            : rub_word_vectors_open(config->words[0], rub_vectors_file_is_binary(config->words[0]),
                                    &vectors, &err);
    rc = rc ? rc : answer(config, vectors, nearest, &err);
    rub_word_vectors_close(&vectors);
    rub_free(nearest);
    if (rc) {
        fprintf(stderr, "rubato neighbours: %s\n", err.message);
    }
    return rub_error_exit_code(rc);
}
