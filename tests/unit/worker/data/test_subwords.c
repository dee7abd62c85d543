/* N-grams are fastText's: the ids below are those that gensim's reader of fastText's models
 * computes (gensim.models.fasttext.ft_ngram_hashes, 4.2), which are fastText's. */
#include "worker/data/subwords.h"

#include "common/base/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 16 };

typedef struct known {
    const char *word;
    uint32_t minn, maxn, buckets;
    size_t n;
    uint32_t ids[MOST];
} known_t;

static const known_t known[] = {
    {"the", 3, 6, 2000000, 6, {1151151, 409726, 1648960, 861980, 60934, 816280}},
    {"a", 3, 6, 2000000, 1, {1087600}},
    {"naïve",
     3,
     6,
     2000000,
     14,
     {1806890, 1907692, 878190, 933201, 1590546, 1719404, 832043, 156687, 356832, 1223007, 1505331,
      1711570, 1788548, 1088654}},
    {"żółć",
     3,
     6,
     2000000,
     10,
     {587728, 1737591, 1652554, 1585308, 969109, 195788, 316022, 400945, 1617821, 957719}},
    {"the", 1, 2, 1000, 7, {941, 267, 89, 791, 254, 744, 490}},
    {"a", 1, 2, 1000, 3, {750, 220, 806}},
    {"żółć", 1, 2, 1000, 9, {458, 724, 746, 683, 744, 822, 931, 108, 742}},
};

static void lengths_and_buckets_outside_their_limits_are_refused(void **state)
{
    (void)state;
    const rub_subword_spec_t bad[] = {
        {0, 6, 10}, {7, 6, 10}, {3, 17, 10}, {3, 6, 0}, {3, 6, RUB_SUBWORD_BUCKETS_LIMIT + 1}};
    const rub_subword_spec_t none = {9, 0, 0}, good = {3, 6, 2000000};
    rub_error_t err = {0};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(rub_subword_spec_check(&bad[i], &err), RUB_EINVAL);
        assert_non_null(strstr(err.message, i < 3 ? "n-grams of" : "buckets, expected 1 to"));
    }
    assert_int_equal(rub_subword_spec_check(&none, &err), 0);
    assert_int_equal(rub_subword_spec_check(&good, &err), 0);
}

static void ids_are_those_of_fasttext(void **state)
{
    (void)state;
    uint32_t *ids = rub_calloc(RUB_SUBWORDS_OF_LIMIT, sizeof *ids);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const rub_subword_spec_t spec = {known[i].minn, known[i].maxn, known[i].buckets};
        assert_int_equal(rub_subwords_of(&spec, known[i].word, strlen(known[i].word), ids),
                         known[i].n);
        assert_memory_equal(ids, known[i].ids, known[i].n * sizeof *ids);
    }
    rub_free(ids);
}

static void the_longest_word_has_room(void **state)
{
    (void)state;
    const rub_subword_spec_t spec = {1, 16, 1000};
    char word[RUB_TEXT_WORD_LIMIT];
    uint32_t *ids = rub_calloc(RUB_SUBWORDS_OF_LIMIT, sizeof *ids);
    memset(word, 'a', sizeof word);
    /* 1026 places, of each 16 but near the end, less the two signs. */
    assert_int_equal(rub_subwords_of(&spec, word, sizeof word, ids), 1026 * 16 - 15 * 8 - 2);
    memset(word, '\xbf', sizeof word); /* no text, but no harm either: all inside a character */
    assert_int_equal(rub_subwords_of(&spec, word, sizeof word, ids), 1);
    rub_free(ids);
}

static void a_vocabulary_numbers_the_buckets_that_it_meets(void **state)
{
    (void)state;
    static const char *const words[] = {"the", "there", "a", "then"};
    const rub_subword_spec_t spec = {3, 6, 2000000};
    rub_vocabulary_t *vocabulary = rub_vocabulary_new();
    rub_subwords_t *subwords = NULL;
    rub_error_t err = {0};
    uint32_t number = 0;
    uint32_t *ids = rub_calloc(RUB_SUBWORDS_OF_LIMIT, sizeof *ids);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(rub_vocabulary_add(vocabulary, words[i], strlen(words[i]), &number, &err),
                         0);
    }
    assert_int_equal(rub_subwords_new(&spec, vocabulary, &subwords, &err), 0);
    for (uint32_t w = 0; w < 4; w++) {
        const size_t n = rub_subwords_of(&spec, words[w], strlen(words[w]), ids);
        assert_int_equal(subwords->first[w + 1] - subwords->first[w], n);
        for (size_t i = 0; i < n; i++) {
            const uint32_t gram = subwords->grams[subwords->first[w] + i];
            assert_true(gram < subwords->n_buckets);
            assert_int_equal(subwords->buckets[gram], ids[i]);
        }
    }
    for (size_t i = 1; i < subwords->n_buckets; i++) {
        assert_true(subwords->buckets[i - 1] < subwords->buckets[i]);
    }
    assert_true(subwords->n_buckets < subwords->first[4]); /* "<th" is one for three words */
    assert_int_equal(subwords->most, 14);
    rub_subwords_destroy(&subwords);
    rub_vocabulary_destroy(&vocabulary);
    rub_free(ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths_and_buckets_outside_their_limits_are_refused),
        cmocka_unit_test(ids_are_those_of_fasttext),
        cmocka_unit_test(the_longest_word_has_room),
        cmocka_unit_test(a_vocabulary_numbers_the_buckets_that_it_meets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
