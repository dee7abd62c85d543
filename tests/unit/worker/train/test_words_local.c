/* The local loop of word vectors learns, and says so by its loss; what a run file may not ask for
 * is refused by the task. */
#include "common/base/fs.h"
#include "worker/train/words_local.h"

#include "common/base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { SENTENCES = 2000, WORDS = 10, TOPICS = 5, OF_TOPIC = 8 };

typedef struct fixture {
    char folder[64];
    char text[96];
    rub_config_t config;
} fixture_t;

static void set(fixture_t *f, rub_option_id_t option, const char *value)
{
    rub_error_t err = {0};
    if (rub_config_set(&f->config, option, value, RUB_FROM_PROGRAM, "test", &err) != 0) {
        fail_msg("%s", err.message);
    }
}

/* Each sentence has a topic, and words of this topic alone. */
static void set_up(fixture_t *f)
{
    rub_error_t err = {0};
    rub_rng_t rng;
    char *text = malloc(SENTENCES * WORDS * 8);
    size_t used = 0;
    strcpy(f->folder, "/tmp/rubato-words-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->text, sizeof f->text, "%s/text", f->folder);
    rub_rng_init(&rng, 1, 1);
    for (unsigned s = 0; s < SENTENCES; s++) {
        const unsigned topic = (unsigned)rub_rng_below(&rng, TOPICS);
        for (unsigned i = 0; i < WORDS; i++) {
            used += (size_t)sprintf(text + used, "%u%c%c", topic,
                                    'a' + (char)rub_rng_below(&rng, OF_TOPIC),
                                    i + 1 < WORDS ? ' ' : '\n');
        }
    }
    assert_int_equal(rub_fs_write(f->text, text, used, &err), 0);
    free(text);
    rub_config_init(&f->config);
    assert_int_equal(rub_config_load(&f->config, RUB_FOR_WORKER, 0, NULL, NULL, &err), 0);
    set(f, RUB_OPT_model_kind, "skipgram");
    set(f, RUB_OPT_data_format, "text");
    set(f, RUB_OPT_train_file, f->text);
    set(f, RUB_OPT_optimizer, "add");
    set(f, RUB_OPT_dim, "16");
    set(f, RUB_OPT_sample, "0");
    set(f, RUB_OPT_batch, "3000");
    set(f, RUB_OPT_lr, "0.05");
}

static void tear_down(fixture_t *f)
{
    rub_config_fini(&f->config);
    unlink(f->text);
    rmdir(f->folder);
}

static void assert_refused(fixture_t *f, int code, const char *words)
{
    const rub_update_t update = {0};
    rub_error_t err = {0};
    rub_task_t *task = (rub_task_t *)&err;
    assert_int_equal(rub_words_task_open(&f->config, &update, &task, &err), code);
    assert_null(task);
    if (strstr(err.message, words) == NULL) {
        fail_msg("'%s' does not say '%s'", err.message, words);
    }
}

static void what_a_task_can_not_do_is_refused(void **state)
{
    (void)state;
    fixture_t f;
    set_up(&f);
    set(&f, RUB_OPT_batch, "1000000");
    assert_refused(&f, RUB_ECONFIG, "batch: 1000000, the text has 22000 tokens");
    set(&f, RUB_OPT_batch, "3000");
    set(&f, RUB_OPT_maxn, "2");
    assert_refused(&f, RUB_EINVAL, "n-grams of 3 to 2 characters");
    set(&f, RUB_OPT_maxn, "0");
    set(&f, RUB_OPT_optimizer, "sgd");
    assert_refused(&f, RUB_ECONFIG, "optimizer: sgd, skipgram steps on the worker");
    set(&f, RUB_OPT_optimizer, "add");
    set(&f, RUB_OPT_schedule, "cosine");
    assert_refused(&f, RUB_ECONFIG, "schedule: cosine, skipgram's rate falls linearly by itself");
    set(&f, RUB_OPT_schedule, "constant");
    set(&f, RUB_OPT_vectors, "/nonexistent/vectors.txt");
    assert_refused(&f, RUB_ECONFIG, "vectors: /nonexistent/vectors.txt can not be written");
    set(&f, RUB_OPT_vectors, "");
    set(&f, RUB_OPT_test_file, "/nonexistent/text");
    assert_refused(&f, RUB_EDATA, "/nonexistent/text");
    set(&f, RUB_OPT_train_file, "");
    assert_refused(&f, RUB_ECONFIG, "train_file is not set");
    set(&f, RUB_OPT_data_format, "idx");
    assert_refused(&f, RUB_ECONFIG, "data_format: idx, skipgram trains on text");
    tear_down(&f);
}

static double loss_after(fixture_t *f, const char *epochs, uint64_t seed)
{
    const rub_update_t update = {0};
    rub_error_t err = {0};
    rub_task_t *task = NULL;
    double tokens_per_s = 0, loss = 0;
    set(f, RUB_OPT_epochs, epochs);
    assert_int_equal(rub_words_task_open(&f->config, &update, &task, &err), 0);
    const rub_words_task_t *words = rub_words_task_of(task);
    assert_non_null(words);
    if (rub_words_local_run(words, f->config.batch, seed, &tokens_per_s, &loss, &err) != 0) {
        fail_msg("%s", err.message);
    }
    assert_true(tokens_per_s > 0);
    rub_task_close(&task);
    return loss;
}

/* At first every pair costs 6 log 2 = 4.16. A pair's word is one of 8, of the 40 that negatives are
 * drawn from one in 5 is of its topic. */
static void the_loss_falls_and_follows_from_the_seed(void **state)
{
    (void)state;
    fixture_t f;
    set_up(&f);
    const double one = loss_after(&f, "1", 1);
    const double four = loss_after(&f, "4", 1);
    assert_true(one < 4.15);
    assert_true(four < 3.0);
    assert_true(four < one);
    assert_true(loss_after(&f, "4", 1) == four);
    assert_true(loss_after(&f, "4", 2) != four);
    tear_down(&f);
}

static void runs_of_the_text_are_drawn_where_that_is_asked_for(void **state)
{
    (void)state;
    fixture_t f;
    set_up(&f);
    const double kept = loss_after(&f, "4", 1);
    set(&f, RUB_OPT_sampling, "in_order"); /* a text keeps its order anyway */
    assert_true(loss_after(&f, "4", 1) == kept);
    set(&f, RUB_OPT_sampling, "replacement");
    const double drawn = loss_after(&f, "4", 1);
    assert_true(drawn < 3.0 && drawn != kept);
    assert_true(loss_after(&f, "4", 1) == drawn);
    assert_true(loss_after(&f, "4", 2) != drawn);
    tear_down(&f);
}

/* At first every word costs 4.16, as a pair does. */
static void cbow_learns_too_and_from_ngrams(void **state)
{
    (void)state;
    fixture_t f;
    set_up(&f);
    set(&f, RUB_OPT_model_kind, "cbow");
    const double four = loss_after(&f, "4", 1);
    assert_true(four > 0 && four < 3.0);
    assert_true(loss_after(&f, "4", 1) == four);
    set(&f, RUB_OPT_maxn, "2"); /* words are "3c": its topic is an n-gram */
    set(&f, RUB_OPT_minn, "1");
    const double with_ngrams = loss_after(&f, "4", 1);
    assert_true(with_ngrams > 0 && with_ngrams < 3.0 && with_ngrams != four);
    tear_down(&f);
}

static void a_rate_that_is_far_too_large_is_told_as_divergence(void **state)
{
    (void)state;
    fixture_t f;
    const rub_update_t update = {0};
    rub_error_t err = {0};
    rub_task_t *task = NULL;
    double tokens_per_s = 0, loss = 0;
    set_up(&f);
    set(&f, RUB_OPT_lr, "1e6");
    assert_int_equal(rub_words_task_open(&f.config, &update, &task, &err), 0);
    assert_int_equal(
        rub_words_local_run(rub_words_task_of(task), 3000, 1, &tokens_per_s, &loss, &err),
        RUB_EDIVERGED);
    assert_non_null(strstr(err.message, "try a smaller lr"));
    rub_task_close(&task);
    tear_down(&f);
}

static void the_rate_falls_linearly_and_never_to_nothing(void **state)
{
    (void)state;
    rub_corpus_t corpus = {.n_tokens = 1000};
    const rub_words_task_t task = {.train = &corpus, .lr = 0.5, .epochs = 4};
    assert_true(rub_words_task_rate(&task, 0, 0) == 0.5f);
    assert_true(rub_words_task_rate(&task, 2, 0) == 0.25f);
    assert_true(rub_words_task_rate(&task, 3, 500) == 0.0625f);
    assert_true(rub_words_task_rate(&task, 4, 0) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_task_can_not_do_is_refused),
        cmocka_unit_test(the_loss_falls_and_follows_from_the_seed),
        cmocka_unit_test(runs_of_the_text_are_drawn_where_that_is_asked_for),
        cmocka_unit_test(cbow_learns_too_and_from_ngrams),
        cmocka_unit_test(a_rate_that_is_far_too_large_is_told_as_divergence),
        cmocka_unit_test(the_rate_falls_linearly_and_never_to_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
