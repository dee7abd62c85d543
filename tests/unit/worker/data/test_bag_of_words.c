/* Bags of words are scikit-learn's (tests/golden/bags.txt), also by a vocabulary that went through
 * a file; and files that are none are refused with their line. */
#include "common/base/fs.h"
#include "tests/unit/worker/data/idx_files.h"
#include "worker/data/bag_of_words.h"

#include <inttypes.h>
#include <math.h>

enum { TEXTS_MOST = 16, TEXT_MOST = 200 };

static char texts[TEXTS_MOST][TEXT_MOST];
static size_t n_texts;

static void read_texts(FILE *file)
{
    char line[TEXT_MOST + 8];
    n_texts = 0;
    for (long at = 0; fgets(line, sizeof line, file) != NULL; at = ftell(file)) {
        if (strncmp(line, "text ", 5) != 0) {
            assert_int_equal(fseek(file, at, SEEK_SET), 0);
            return;
        }
        line[strcspn(line, "\n")] = '\0';
        strcpy(texts[n_texts++], line + 5);
    }
}

static void compare_texts(rub_bag_t *bag, FILE *file, long rows)
{
    rub_error_t err = {0};
    assert_int_equal(fseek(file, rows, SEEK_SET), 0);
    for (size_t i = 0; i < n_texts; i++) {
        const rub_bag_feature_t *features = NULL;
        size_t n = 0, expected = 0;
        assert_int_equal(rub_bag_features(bag, texts[i], strlen(texts[i]), &features, &n, &err), 0);
        assert_int_equal(fscanf(file, "%zu", &expected), 1);
        assert_int_equal(n, expected);
        for (size_t k = 0; k < n; k++) {
            uint64_t index = 0;
            double value = 0;
            assert_int_equal(fscanf(file, "%" SCNu64 " %lf", &index, &value), 2);
            assert_int_equal(features[k].index, index);
            assert_true(fabs((double)features[k].value - value) < 1e-6);
        }
    }
}

static rub_bag_spec_t spec_of(const char *weight, int spaces, uint64_t least, uint64_t most)
{
    static const char *const names[] = {"count", "binary", "tf", "tfidf"};
    rub_bag_spec_t spec = {.spaces = spaces != 0, .min_documents = least, .max_features = most};
    while (strcmp(names[spec.weight], weight) != 0) {
        spec.weight++;
    }
    return spec;
}

static void bags_are_those_of_scikit_learn(void **state)
{
    (void)state;
    idx_files_t files;
    rub_error_t err = {0};
    FILE *file = fopen("tests/golden/bags.txt", "r");
    char weight[16];
    int spaces = 0, cases = 0;
    uint64_t least = 0, most = 0;
    size_t n_words = 0;
    assert_non_null(file);
    idx_files_init(&files);
    read_texts(file);
    while (fscanf(file, " case %15s %d %" SCNu64 " %" SCNu64 " %zu", weight, &spaces, &least, &most,
                  &n_words) == 5) {
        const rub_bag_spec_t spec = spec_of(weight, spaces, least, most);
        const long rows = ftell(file);
        rub_bag_t *bag = NULL, *again = NULL;
        assert_int_equal(rub_bag_new(&spec, &bag, &err), 0);
        for (size_t i = 0; i < n_texts; i++) {
            assert_int_equal(rub_bag_count(bag, texts[i], strlen(texts[i]), &err), 0);
        }
        assert_int_equal(rub_bag_settle(bag, &err), 0);
        assert_int_equal(rub_bag_size(bag), n_words);
        compare_texts(bag, file, rows);
        assert_int_equal(rub_bag_save(bag, files.features, &err), 0);
        assert_int_equal(rub_bag_open(&spec, files.features, &again, &err), 0);
        compare_texts(again, file, rows);
        rub_bag_destroy(&bag);
        rub_bag_destroy(&again);
        cases++;
    }
    assert_int_equal(cases, 16);
    idx_files_fini(&files);
    fclose(file);
}

static void what_can_not_be_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"", "has 0 words, expected at least 1"},
        {"documents\t3\n", "has 0 words, expected at least 1"},
        {"\ndocuments\t3\na\t1\n",
         "line 1, column 1: found the line's end, expected a word, a tab"},
        {"words\t3\na\t1\n", "line 1, column 1: found 'words', expected 'documents"},
        {"a\t1\n", "line 1, column 1: found 'a', expected 'documents"},
        {"documents 3\na\t1\n", "line 1, column 1: found 'documents', expected a word, a tab"},
        {"documents\t-1\n", "line 1, column 1: found 'documents', expected a word, a tab"},
        {"documents\tthree\n", "line 1, column 1: found 'documents', expected a word, a tab"},
        {"documents\t3\na\n", "line 2, column 1: found 'a', expected a word, a tab"},
        {"documents\t3\n\na\t1\n",
         "line 2, column 1: found the line's end, expected a word, a tab"},
        {"documents\t3\n\t1\n", "line 2, column 1: found a tab, expected a word, a tab"},
        {"documents\t3\na\t\n", "line 2, column 1: found 'a', expected a word, a tab"},
        {"documents\t3\na\t0\n", "line 2, column 1: found 'a', expected a word, a tab"},
        {"documents\t3\na\t-1\n", "line 2, column 1: found 'a', expected a word, a tab"},
        {"documents\t3\na\xff\t1\n", "line 2, column 1: found 'a', expected a word, a tab"},
        {"documents\t3\na\t1.5\n", "line 2, column 1: found 'a', expected a word, a tab"},
        {"documents\t3\na\t1x\n", "line 2, column 1: found 'a', expected a word, a tab"},
        {"documents\t3\na\t1\t1\n", "line 2, column 1: found 'a', expected a word, a tab"},
        {"documents\t3\na\t99999999999999999999\n", "line 2, column 1: found 'a', expected a word"},
        {"documents\t3\na\t4\n", "line 2, column 1: found 'a', expected words in the order"},
        {"documents\t3\nb\t1\na\t1\n", "line 3, column 1: found 'a', expected words in the order"},
        {"documents\t3\nb\t1\nb\t1\n", "line 3, column 1: found 'b', expected words in the order"},
    };
    idx_files_t files;
    rub_error_t err = {0};
    rub_bag_t *bag = (rub_bag_t *)&err;
    const rub_bag_spec_t hashed = {.weight = RUB_BAG_TFIDF, .hash_bits = 18};
    const rub_bag_spec_t rare = {.min_documents = 2};
    assert_int_equal(rub_bag_new(&hashed, &bag, &err), RUB_ECONFIG);
    assert_null(bag);
    idx_files_init(&files);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        write_bytes(files.features, false, bad[i].text, strlen(bad[i].text));
        const int rc = rub_bag_open(&rare, files.features, &bag, &err);
        assert_null(bag);
        if (rc != RUB_EDATA) {
            fail_msg("'%s' is not refused: %d", bad[i].text, rc);
        }
        if (strstr(err.message, bad[i].says) == NULL) {
            fail_msg("'%s' does not say '%s'", err.message, bad[i].says);
        }
    }
    assert_int_equal(rub_bag_new(&rare, &bag, &err), 0);
    assert_int_equal(rub_bag_count(bag, "once only", 9, &err), 0);
    assert_int_equal(rub_bag_settle(bag, &err), RUB_EDATA);
    assert_non_null(strstr(err.message, "none of the 2 words of 1 texts stands in 2 of them"));
    rub_bag_destroy(&bag);
    idx_files_fini(&files);
}

static void hashed_words_need_no_vocabulary_and_keep_their_place(void **state)
{
    (void)state;
    const rub_bag_spec_t spec = {.weight = RUB_BAG_COUNT, .hash_bits = 10};
    const rub_bag_feature_t *features = NULL;
    rub_error_t err = {0};
    rub_bag_t *bag = NULL;
    size_t n = 0;
    assert_int_equal(rub_bag_new(&spec, &bag, &err), 0);
    assert_int_equal(rub_bag_features(bag, "Caf\xc3\xa9 cAf\xc3\xa9", 11, &features, &n, &err), 0);
    assert_int_equal(n, 1);
    assert_true(features[0].value == 2);
    assert_true(features[0].index >= 1 && features[0].index <= 1024);
    const uint64_t index = features[0].index;
    assert_int_equal(rub_bag_features(bag, "no\tcaf\xc3\xa9", 8, &features, &n, &err), 0);
    assert_int_equal(n, 2);
    assert_true(features[0].index == index || features[1].index == index);
    assert_int_equal(rub_bag_features(bag, " ", 1, &features, &n, &err), 0);
    assert_int_equal(n, 0);
    rub_bag_destroy(&bag);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_can_not_be_is_refused),
        cmocka_unit_test(bags_are_those_of_scikit_learn),
        cmocka_unit_test(hashed_words_need_no_vocabulary_and_keep_their_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
