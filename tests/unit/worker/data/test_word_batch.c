/* Rows are each word and each negative once, words first, and each n-gram of the words once. */
#include "tests/unit/worker/data/idx_files.h"
#include "worker/data/word_batch.h"

enum { TOKENS = 3000, BLOCK = 8, SHARED = 6 };

static void assert_ngrams(const rub_word_batch_t *batch, const rub_subwords_t *subwords)
{
    assert_true(batch->n_grams <= subwords->n_buckets);
    for (size_t row = 0; row < batch->n_in; row++) {
        const size_t word = batch->keys[row], at = batch->first_gram[row];
        const size_t n = batch->first_gram[row + 1] - at;
        assert_int_equal(n, subwords->first[word + 1] - subwords->first[word]);
        for (size_t i = 0; i < n; i++) {
            const uint32_t gram = subwords->grams[subwords->first[word] + i];
            assert_true(batch->grams[at + i] < batch->n_grams);
            assert_int_equal(batch->gram_keys[batch->grams[at + i]], subwords->buckets[gram]);
        }
    }
    for (size_t i = 0; i < batch->n_grams; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_true(batch->gram_keys[i] != batch->gram_keys[j]);
        }
    }
}

static void each_word_is_one_row_and_words_come_before_negatives(void **state)
{
    (void)state;
    idx_files_t files;
    rub_error_t err = {0};
    rub_corpus_t *corpus = NULL;
    rub_word_sampler_t *sampler = NULL;
    char *text = malloc(TOKENS * 8);
    size_t used = 0;
    for (unsigned i = 0; i < TOKENS; i++) {
        used += (size_t)sprintf(text + used, "w%u%c", i * i % 211, i % 13 == 12 ? '\n' : ' ');
    }
    idx_files_init(&files);
    write_bytes(files.features, false, text, used);
    assert_int_equal(rub_corpus_open(files.features, 1, &corpus, &err), 0);
    assert_int_equal(rub_word_sampler_new(corpus->vocabulary, 3, 0.01, 1, &sampler, &err), 0);
    const size_t n_words = rub_vocabulary_size(corpus->vocabulary);
    const rub_subword_spec_t spec = {2, 3, 50};
    rub_subwords_t *subwords = NULL;
    assert_int_equal(rub_subwords_new(&spec, corpus->vocabulary, &subwords, &err), 0);
    const size_t n_numbers = n_words + subwords->n_buckets;
    uint32_t *row_of = malloc(n_numbers * sizeof *row_of);
    uint32_t *clean = malloc(n_numbers * sizeof *clean);
    uint32_t negatives[2 * TOKENS];
    memset(row_of, 0xff, n_numbers * sizeof *row_of);
    memset(clean, 0xff, n_numbers * sizeof *clean);
    rub_word_batch_t *batch = rub_word_batch_new(500, n_words, BLOCK, SHARED, subwords);
    rub_word_slice_t *slice = rub_word_slice_new(500);
    for (size_t first = 0; first + 500 <= corpus->n_tokens; first += 499) {
        const size_t count = first % 2 == 0 ? 500 : 17;
        rub_word_batch_fill(batch, sampler, corpus, RUB_IN_ORDER, 4, first, count, row_of);
        rub_word_sampler_slice(sampler, corpus, RUB_SHUFFLED, 4, first, count, slice);
        assert_int_equal(batch->slice->n_words, slice->n_words);
        assert_int_equal(batch->n_negatives, (slice->n_words + BLOCK - 1) / BLOCK * SHARED);
        rub_word_sampler_negatives(sampler, 4, first, batch->n_negatives, negatives);
        assert_true(batch->n_in <= batch->n_out);
        assert_true(batch->n_out <= n_words);
        for (size_t i = 0; i < slice->n_words; i++) {
            assert_true(batch->rows[i] < batch->n_in);
            assert_int_equal(batch->keys[batch->rows[i]], slice->words[i]);
        }
        for (size_t i = 0; i < batch->n_negatives; i++) {
            assert_true(batch->negatives[i] < batch->n_out);
            assert_int_equal(batch->keys[batch->negatives[i]], negatives[i]);
        }
        for (size_t i = 0; i < batch->n_out; i++) {
            for (size_t j = 0; j < i; j++) {
                assert_true(batch->keys[i] != batch->keys[j]);
            }
        }
        assert_ngrams(batch, subwords);
        assert_memory_equal(row_of, clean, n_numbers * sizeof *row_of);
    }
    rub_word_slice_destroy(&slice);
    rub_word_batch_destroy(&batch);
    rub_word_sampler_destroy(&sampler);
    rub_subwords_destroy(&subwords);
    rub_corpus_close(&corpus);
    free(text);
    free(row_of);
    free(clean);
    idx_files_fini(&files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_word_is_one_row_and_words_come_before_negatives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
