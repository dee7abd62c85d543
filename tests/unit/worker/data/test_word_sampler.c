/* Sampling follows its formulas, and draws do not depend on who takes which stretch. */
#include "tests/unit/worker/data/idx_files.h"
#include "worker/data/alias_table.h"
#include "worker/data/word_sampler.h"

#include "common/base/rng.h"

#include <math.h>

enum { SENTENCES = 400, SENTENCE_WORDS = 50, FREQUENT = 3 };

/* Every second word is "the", every 50th is a rare one; sentences of 50 words. */
static rub_corpus_t *open_corpus(idx_files_t *files)
{
    char *text = malloc(SENTENCES * SENTENCE_WORDS * 8);
    size_t used = 0;
    for (unsigned i = 0; i < SENTENCES * SENTENCE_WORDS; i++) {
        const char *word = i % 2 == 0 ? "the" : i % SENTENCE_WORDS == 1 ? "rare" : "word";
        used += (size_t)sprintf(text + used, "%s%c", word,
                                i % SENTENCE_WORDS == SENTENCE_WORDS - 1 ? '\n' : ' ');
    }
    idx_files_init(files);
    write_bytes(files->features, false, text, used);
    free(text);
    rub_corpus_t *corpus = NULL;
    rub_error_t err = {0};
    assert_int_equal(rub_corpus_open(files->features, 1, &corpus, &err), 0);
    assert_int_equal(rub_vocabulary_size(corpus->vocabulary), FREQUENT);
    return corpus;
}

static rub_word_sampler_t *new_sampler(const rub_corpus_t *corpus, uint32_t window, double sample,
                                       uint64_t seed)
{
    rub_word_sampler_t *sampler = NULL;
    rub_error_t err = {0};
    if (rub_word_sampler_new(corpus->vocabulary, window, sample, seed, &sampler, &err) != 0) {
        fail_msg("%s", err.message);
    }
    return sampler;
}

static void windows_and_samples_outside_their_bounds_are_refused(void **state)
{
    (void)state;
    idx_files_t files;
    rub_error_t err = {0};
    rub_corpus_t *corpus = open_corpus(&files);
    rub_word_sampler_t *sampler = (rub_word_sampler_t *)&err;
    assert_int_equal(rub_word_sampler_new(corpus->vocabulary, 0, 0, 1, &sampler, &err), RUB_EINVAL);
    assert_null(sampler);
    assert_int_equal(rub_word_sampler_new(corpus->vocabulary, 256, 0, 1, &sampler, &err),
                     RUB_EINVAL);
    assert_non_null(strstr(err.message, "window of 256, expected 1 to 255"));
    assert_int_equal(rub_word_sampler_new(corpus->vocabulary, 5, -1, 1, &sampler, &err),
                     RUB_EINVAL);
    assert_int_equal(rub_word_sampler_new(corpus->vocabulary, 5, NAN, 1, &sampler, &err),
                     RUB_EINVAL);
    rub_corpus_close(&corpus);
    idx_files_fini(&files);
}

static void without_subsampling_every_word_stays_in_its_sentence(void **state)
{
    (void)state;
    idx_files_t files;
    rub_corpus_t *corpus = open_corpus(&files);
    rub_word_sampler_t *sampler = new_sampler(corpus, 5, 0, 1);
    rub_word_slice_t *slice = rub_word_slice_new(corpus->n_tokens);
    rub_word_sampler_slice(sampler, corpus, RUB_SHUFFLED, 0, 0, corpus->n_tokens, slice);
    assert_int_equal(slice->n_words, SENTENCES * SENTENCE_WORDS);
    unsigned of_reach[6] = {0};
    for (size_t i = 0; i < slice->n_words; i++) {
        const size_t place = i % SENTENCE_WORDS;
        assert_true(slice->before[i] <= place);
        assert_true(slice->behind[i] <= SENTENCE_WORDS - 1 - place);
        if (place >= 5 && place < SENTENCE_WORDS - 5) {
            assert_int_equal(slice->before[i], slice->behind[i]);
            of_reach[slice->before[i]]++;
        } else {
            assert_true(slice->before[i] + slice->behind[i] > 0);
        }
    }
    assert_int_equal(of_reach[0], 0);
    for (size_t reach = 1; reach <= 5; reach++) { /* 3200 each, within 5 standard deviations */
        assert_in_range(of_reach[reach], 2950, 3450);
    }
    rub_word_slice_destroy(&slice);
    rub_word_sampler_destroy(&sampler);
    rub_corpus_close(&corpus);
    idx_files_fini(&files);
}

static void frequent_words_stay_as_often_as_the_formula_says(void **state)
{
    (void)state;
    idx_files_t files;
    rub_corpus_t *corpus = open_corpus(&files);
    rub_word_sampler_t *sampler = new_sampler(corpus, 5, 0.05, 7);
    rub_word_slice_t *slice = rub_word_slice_new(corpus->n_tokens);
    double stayed[FREQUENT] = {0};
    enum { EPOCHS = 5 };
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
        rub_word_sampler_slice(sampler, corpus, RUB_SHUFFLED, epoch, 0, corpus->n_tokens, slice);
        for (size_t i = 0; i < slice->n_words; i++) {
            stayed[slice->words[i]]++;
        }
    }
    for (uint32_t w = 0; w < FREQUENT; w++) {
        const double count = (double)rub_vocabulary_counts(corpus->vocabulary)[w];
        const double f = count / (double)corpus->n_words;
        const double keep = fmin(1, (sqrt(f / 0.05) + 1) * 0.05 / f);
        const double deviation = sqrt(EPOCHS * count * keep * (1 - keep)) + 1e-9;
        assert_true(fabs(stayed[w] - EPOCHS * count * keep) <= 5 * deviation);
    }
    rub_word_slice_destroy(&slice);
    rub_word_sampler_destroy(&sampler);
    rub_corpus_close(&corpus);
    idx_files_fini(&files);
}

static void a_stretch_has_the_same_words_however_the_text_is_cut(void **state)
{
    (void)state;
    idx_files_t files;
    rub_corpus_t *corpus = open_corpus(&files);
    rub_word_sampler_t *sampler = new_sampler(corpus, 3, 0.1, 3);
    rub_word_slice_t *whole = rub_word_slice_new(corpus->n_tokens);
    rub_word_slice_t *part = rub_word_slice_new(corpus->n_tokens);
    rub_word_sampler_slice(sampler, corpus, RUB_SHUFFLED, 2, 0, corpus->n_tokens, whole);
    size_t at = 0;
    for (size_t first = 0; first < corpus->n_tokens; first += 51 * 7) { /* whole sentences */
        const size_t left = corpus->n_tokens - first;
        rub_word_sampler_slice(sampler, corpus, RUB_SHUFFLED, 2, first,
                               left < 51 * 7 ? left : 51 * 7, part);
        assert_memory_equal(part->words, whole->words + at, part->n_words * sizeof(uint32_t));
        assert_memory_equal(part->before, whole->before + at, part->n_words);
        assert_memory_equal(part->behind, whole->behind + at, part->n_words);
        at += part->n_words;
    }
    assert_int_equal(at, whole->n_words);
    /* A stretch that begins inside a sentence, at an odd place: nobody looks out of it. */
    rub_word_sampler_slice(sampler, corpus, RUB_SHUFFLED, 2, 13, 21, part);
    assert_true(part->n_words > 0);
    assert_int_equal(part->before[0], 0);
    assert_int_equal(part->behind[part->n_words - 1], 0);
    rub_word_slice_destroy(&whole);
    rub_word_slice_destroy(&part);
    rub_word_sampler_destroy(&sampler);
    rub_corpus_close(&corpus);
    idx_files_fini(&files);
}

/* Places of runs, and of what a run has at the text's end and its beginning. */
static void runs_are_drawn_by_epoch_and_every_token_is_as_likely(void **state)
{
    (void)state;
    enum { TOKENS = 2500, EPOCHS = 4000, PLACE = 1234, BINS = 10 };
    idx_files_t files;
    rub_corpus_t *corpus = open_corpus(&files);
    rub_word_sampler_t *sampler = new_sampler(corpus, 5, 0, 5);
    double of_bin[BINS] = {0};
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
        const rub_word_run_t run =
            rub_word_sampler_run(sampler, RUB_REPLACED, TOKENS, epoch, PLACE, SIZE_MAX);
        const rub_word_run_t behind =
            rub_word_sampler_run(sampler, RUB_REPLACED, TOKENS, epoch, PLACE + 1, 3);
        assert_true(run.count >= 1 && run.count <= 2 * RUB_WORD_RUN - PLACE);
        assert_true(run.first + run.count <= TOKENS);
        assert_int_equal(behind.first, (run.first + 1) % TOKENS);
        assert_true(behind.count <= 3);
        of_bin[run.first * BINS / TOKENS]++;
    }
    for (size_t i = 0; i < BINS; i++) { /* within 5 standard deviations */
        assert_true(fabs(of_bin[i] - EPOCHS / BINS) <= 5 * sqrt(EPOCHS / BINS));
    }
    const rub_word_run_t kept = rub_word_sampler_run(sampler, RUB_SHUFFLED, TOKENS, 7, PLACE, 50);
    assert_int_equal(kept.first, PLACE);
    assert_int_equal(kept.count, 50);
    rub_word_sampler_destroy(&sampler);
    rub_corpus_close(&corpus);
    idx_files_fini(&files);
}

/* The text of a drawn epoch is the runs one behind the other, however it is cut; and words on both
 * sides of a run's border are no neighbours. */
static void a_drawn_epoch_is_its_runs(void **state)
{
    (void)state;
    idx_files_t files;
    rub_corpus_t *corpus = open_corpus(&files);
    rub_word_sampler_t *sampler = new_sampler(corpus, 5, 0, 5);
    const size_t n = corpus->n_tokens;
    rub_word_slice_t *whole = rub_word_slice_new(n), *part = rub_word_slice_new(n);
    rub_word_sampler_slice(sampler, corpus, RUB_REPLACED, 3, 0, n, whole);
    size_t words = 0;
    bool moved = false;
    for (size_t place = 0; place < n; place += RUB_WORD_RUN / 4) {
        const size_t count = n - place < RUB_WORD_RUN / 4 ? n - place : RUB_WORD_RUN / 4;
        rub_word_sampler_slice(sampler, corpus, RUB_REPLACED, 3, place, count, part);
        assert_memory_equal(part->words, whole->words + words, part->n_words * sizeof *part->words);
        if (place % RUB_WORD_RUN == 0 && part->n_words > 0) {
            assert_int_equal(whole->before[words], 0);
        }
        const rub_word_run_t run =
            rub_word_sampler_run(sampler, RUB_REPLACED, n, 3, place, SIZE_MAX);
        const uint32_t token = corpus->tokens[run.first];
        assert_true(token == RUB_SENTENCE_END || part->words[0] == token);
        moved = moved || run.first != place;
        words += part->n_words;
    }
    assert_int_equal(words, whole->n_words);
    assert_true(moved);
    rub_word_sampler_slice(sampler, corpus, RUB_REPLACED, 4, 0, RUB_WORD_RUN, part);
    assert_memory_not_equal(part->words, whole->words, 100 * sizeof *part->words);
    rub_word_slice_destroy(&part);
    rub_word_slice_destroy(&whole);
    rub_word_sampler_destroy(&sampler);
    rub_corpus_close(&corpus);
    idx_files_fini(&files);
}

static void negatives_follow_counts_to_the_power_three_quarters(void **state)
{
    (void)state;
    enum { DRAWS = 100000 };
    idx_files_t files;
    rub_corpus_t *corpus = open_corpus(&files);
    rub_word_sampler_t *sampler = new_sampler(corpus, 5, 0, 5);
    uint32_t *words = malloc(DRAWS * sizeof *words);
    uint32_t again[100];
    double drawn[FREQUENT] = {0};
    double sum = 0;
    rub_word_sampler_negatives(sampler, 1, 1000, DRAWS, words);
    rub_word_sampler_negatives(sampler, 1, 1000, 100, again);
    assert_memory_equal(words, again, sizeof again);
    rub_word_sampler_negatives(sampler, 2, 1000, 100, again);
    assert_memory_not_equal(words, again, sizeof again);
    for (size_t i = 0; i < DRAWS; i++) {
        drawn[words[i]]++;
    }
    const uint64_t *counts = rub_vocabulary_counts(corpus->vocabulary);
    for (size_t w = 0; w < FREQUENT; w++) {
        sum += pow((double)counts[w], 0.75);
    }
    for (size_t w = 0; w < FREQUENT; w++) {
        const double p = pow((double)counts[w], 0.75) / sum;
        assert_true(fabs(drawn[w] - DRAWS * p) <= 5 * sqrt(DRAWS * p * (1 - p)));
    }
    free(words);
    rub_word_sampler_destroy(&sampler);
    rub_corpus_close(&corpus);
    idx_files_fini(&files);
}

/* Exactly: over all columns, what each number gets is its weight's share. */
static void an_alias_table_gives_each_number_its_share(void **state)
{
    (void)state;
    enum { N = 37, LEVELS = 1000 };
    double weights[N];
    double drawn[N] = {0};
    double sum = 0;
    for (size_t i = 0; i < N; i++) {
        weights[i] = i == 5 ? 0 : 1.0 / (double)(i + 1);
        sum += weights[i];
    }
    rub_alias_table_t *table = rub_alias_table_new(weights, N);
    for (uint64_t column = 0; column < N; column++) {
        const uint64_t high = ((column << 32) + N - 1) / N; /* the first draw of the column */
        for (uint64_t level = 0; level < LEVELS; level++) {
            drawn[rub_alias_table_draw(table, high << 32 | ((level << 32) / LEVELS))]++;
        }
    }
    for (size_t i = 0; i < N; i++) { /* each column's level is rounded to 1 of LEVELS */
        assert_true(fabs(drawn[i] / (N * LEVELS) - weights[i] / sum) < 1e-3);
    }
    assert_true(drawn[5] == 0);
    rub_alias_table_destroy(&table);
    const double one = 3;
    table = rub_alias_table_new(&one, 1);
    assert_int_equal(rub_alias_table_draw(table, UINT64_MAX), 0);
    rub_alias_table_destroy(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_and_samples_outside_their_bounds_are_refused),
        cmocka_unit_test(without_subsampling_every_word_stays_in_its_sentence),
        cmocka_unit_test(frequent_words_stay_as_often_as_the_formula_says),
        cmocka_unit_test(a_stretch_has_the_same_words_however_the_text_is_cut),
        cmocka_unit_test(runs_are_drawn_by_epoch_and_every_token_is_as_likely),
        cmocka_unit_test(a_drawn_epoch_is_its_runs),
        cmocka_unit_test(negatives_follow_counts_to_the_power_three_quarters),
        cmocka_unit_test(an_alias_table_gives_each_number_its_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
