/* Ratings there and back as numbers, and twenty and more files that are refused with their line and
 * column; then batches of them. */
#include "common/base/alloc.h"
#include "tests/unit/worker/data/idx_files.h"
#include "worker/data/names_file.h"
#include "worker/data/rating_batch.h"
#include "worker/data/triple_reader.h"

typedef struct rating_files {
    idx_files_t files; /* features: to train on, labels: to validate on */
    rub_rating_set_options_t options;
    rub_rating_set_t *set;
    rub_rating_list_t others;
    rub_error_t err;
} rating_files_t;

static int open_ratings(rating_files_t *f, const char *text, size_t bytes, bool interactions)
{
    *f = (rating_files_t){.options = {.interactions = interactions}};
    idx_files_init(&f->files);
    write_bytes(f->files.features, false, text, bytes);
    f->options.train = f->files.features;
    f->set = (rub_rating_set_t *)&f->err; /* must be set */
    return rub_rating_set_open(&f->options, &f->set, &f->err);
}

static void close_files(rating_files_t *f)
{
    rub_rating_set_close(&f->set);
    rub_rating_list_fini(&f->others);
    idx_files_fini(&f->files);
}

static void refuse_as(const char *text, size_t bytes, bool interactions, const char *words)
{
    rating_files_t f;
    assert_int_equal(open_ratings(&f, text, bytes, interactions), RUB_EDATA);
    assert_null(f.set);
    if (strstr(f.err.message, words) == NULL || strstr(f.err.message, f.files.features) == NULL) {
        fail_msg("'%s' does not say '%s'", f.err.message, words);
    }
    close_files(&f);
}

static void refuse(const char *text, const char *words)
{
    refuse_as(text, strlen(text), false, words);
}

static void malformed_ratings_are_named_with_line_and_column(void **state)
{
    (void)state;
    char text[RUB_RATING_NAME_LIMIT + 20];
    refuse("", "hold 0 ratings to train on");
    refuse("user\titem\trating\n\n", "hold 0 ratings to train on");
    refuse("u\ti\t1\nu\ti",
           "line 2, column 4: found the line's end, expected a tab and the rating");
    refuse("u\ti\t1\nu", "line 2, column 2: found the line's end, expected a tab and the item");
    refuse("u\ti\t1\t2\t3", "line 1, column 8: found a tab, expected the line's end behind 4");
    refuse("u\ti\t1\t2\t", "line 1, column 8: found a tab, expected the line's end behind 4");
    refuse("\ti\t1", "line 1, column 1: found a tab, expected the user");
    refuse("u\t\t1", "line 1, column 3: found a tab, expected the item");
    refuse("u\ti\t", "line 1, column 5: found the line's end, expected the rating, a number");
    refuse("u\ti\t1\n\nu\ti\tgood", "line 3, column 5: found 'good', expected the rating");
    refuse("u\ti\t1x", "line 1, column 5: found '1x', expected the rating");
    refuse("u\ti\t1 ", "line 1, column 5: found '1', expected the rating");
    refuse("u\ti\tnan\nu\ti\tnan", "line 2, column 5: found 'nan', expected the rating");
    refuse("u\ti\t1e7", "line 1, column 5: found '1e7', expected a rating within +-1e+06");
    refuse("u\ti\t-1000001", "expected a rating within +-1e+06");
    refuse("u\ti\t1e999", "expected a rating within +-1e+06");
    refuse("u\ti\t1\tnow", "line 1, column 7: found 'now', expected the time, a number");
    refuse("u::i::1\nu:i:1", "line 2, column 6: found the line's end, expected '::' and the item");
    refuse("u::i::1\nu\ti\t1", "line 2, column 6: found the line's end, expected '::'");
    refuse("u,i,1\nu;i;1", "line 2, column 6: found the line's end, expected a comma and the item");
    refuse("u,\"i\",1", "line 1, column 3: found '\"i\",1', expected the name of the item without");
    refuse("u,i,1\nu,a\tb,1", "line 2, column 4: found a tab, expected the name of the item witho");
    refuse("u i", "line 1, column 4: found the line's end, expected a blank and the rating");
    refuse("u i 1 2 3", "line 1, column 8: found a blank, expected the line's end behind 4 fields");
    refuse("u\ti\xff\t1", "line 1, column 4: found byte 0xff, expected UTF-8 in the name of the i");
    refuse_as("u\0\ti\t1", 6, false, "line 1, column 2: found byte 0x00, expected UTF-8 in the na");
    refuse_as("u\ti\t1\nv", 7, true, "line 2, column 2: found the line's end, expected a tab and");
    refuse_as("u\ti\nu\ti\tx", 9, true, "line 2, column 5: found 'x', expected the rating");
    refuse_as("\x1f\x8b\x08\x01", 4, false, "");
    memset(text, 'x', sizeof text);
    memcpy(text + sizeof text - 5, "\ti\t1", 5);
    refuse(text, "line 1, column 1: found 'xxxxxxxxxxxxxxxxxxxxxxxx', expected the name of the us");
}

static void expect_set(const char *text, size_t n, double mean)
{
    rating_files_t f;
    if (open_ratings(&f, text, strlen(text), false) != 0) {
        fail_msg("%s", f.err.message);
    }
    assert_int_equal(f.set->train.n, n);
    assert_true(f.set->mean == mean);
    assert_string_equal(rub_vocabulary_word(f.set->users, 0), "ann");
    assert_string_equal(rub_vocabulary_word(f.set->items, 0), "1:b c");
    close_files(&f);
}

static void every_separator_heading_and_time_is_read(void **state)
{
    (void)state;
    expect_set("ann\t1:b c\t2.5\t978300760\r\nbob\t1:b c\t3\t978300760\nann\tz\t.5", 3, 2);
    expect_set("ann::1:b c::2.5::978300760\nbob::1:b c::3::0\nann::z::.5::1", 3, 2);
    expect_set(
        "userId,movieId,rating,timestamp\nann,1:b c,2.5,978300760\n\nbob,1:b c,3,1\nann,z,.5,1", 3,
        2);
    rating_files_t f;
    assert_int_equal(open_ratings(&f, "  ann  x 1 \nbob\tx 2  7\n", 23, false), 0);
    assert_int_equal(f.set->train.n, 2);
    assert_true(f.set->mean == 1.5);
    assert_int_equal(rub_vocabulary_size(f.set->items), 1);
    close_files(&f);
}

static void what_was_chosen_needs_no_rating_and_may_be_too_little(void **state)
{
    (void)state;
    static const char text[] = "a\tx\na\ty\t4\nb\tx\t2\nb\tz\t-3\n";
    rating_files_t f;
    assert_int_equal(open_ratings(&f, text, strlen(text), true), 0);
    assert_int_equal(f.set->train.n, 4);
    assert_true(f.set->train.items[0].value == 1);
    rub_rating_set_close(&f.set);
    f.options.least = 2;
    assert_int_equal(rub_rating_set_open(&f.options, &f.set, &f.err), 0);
    assert_int_equal(f.set->train.n, 2);
    assert_int_equal(rub_vocabulary_size(f.set->items), 2);
    close_files(&f);
}

static void names_are_those_of_training_and_others_have_no_number(void **state)
{
    (void)state;
    static const char text[] = "a\tx\t1\nb\ty\t2\nb\tx\t3\nb\tx\t3\n";
    static const char test[] = "nobody\tx\t1\nb\tnothing\t2\nb\tx\t5\na\ty\t4\n";
    rating_files_t f;
    assert_int_equal(open_ratings(&f, text, strlen(text), false), 0);
    write_bytes(f.files.labels, false, test, strlen(test));
    const rub_rating_options_t file = {.path = f.files.labels};
    assert_int_equal(rub_rating_set_read(f.set, &file, &f.others, &f.err), 0);
    assert_string_equal(rub_vocabulary_word(f.set->users, 0), "b"); /* the most frequent */
    assert_int_equal(rub_vocabulary_size(f.set->users), 2);
    const rub_rating_t *rows = f.others.items;
    assert_int_equal(f.others.n, 4);
    assert_true(rows[0].user == 0 && rows[0].item == 0 && rows[0].value == 5);
    assert_true(rows[1].user == 0 && rows[1].item == RUB_NO_WORD);
    assert_true(rows[2].user == 1 && rows[2].item == 1);
    assert_true(rows[3].user == RUB_NO_WORD && rows[3].item == 0);
    size_t n = 0;
    const uint32_t *known = rub_rating_set_known(f.set, 0, &n);
    assert_int_equal(n, 3);
    assert_true(known[0] == 0 && known[1] == 0 && known[2] == 1);
    rub_rating_list_fini(&f.others);
    write_bytes(f.files.labels, false, "\n", 1);
    assert_int_equal(rub_rating_set_read(f.set, &file, &f.others, &f.err), RUB_EDATA);
    close_files(&f);
}

static char *grid(size_t n_users, size_t n_items)
{
    char *text = malloc(n_users * n_items * 24 + 1);
    size_t used = 0;
    for (size_t u = 0; u < n_users; u++) {
        for (size_t i = 0; i < n_items; i++) {
            used += (size_t)sprintf(text + used, "u%zu\ti%zu\t%zu\n", u, i, 1 + (u + i) % 5);
        }
    }
    return text;
}

static void a_part_that_is_held_out_is_the_rest_of_training(void **state)
{
    (void)state;
    char *text = grid(40, 20);
    rating_files_t f;
    assert_int_equal(open_ratings(&f, text, strlen(text), false), 0);
    rub_rating_set_close(&f.set);
    f.options.held_out = 0.25;
    f.options.seed = 3;
    assert_int_equal(rub_rating_set_open(&f.options, &f.set, &f.err), 0);
    const rub_rating_options_t file = {
        .path = f.files.features, .held_out = 0.25, .take_held_out = true, .held_out_seed = 3};
    assert_int_equal(rub_rating_set_read(f.set, &file, &f.others, &f.err), 0);
    assert_int_equal(f.set->train.n + f.others.n, 800);
    assert_true(f.others.n > 150 && f.others.n < 250);
    for (size_t i = 0; i < f.others.n; i++) { /* none of them is known from training */
        size_t n = 0;
        const uint32_t *known = rub_rating_set_known(f.set, f.others.items[i].user, &n);
        for (size_t k = 0; k < n; k++) {
            assert_true(known[k] != f.others.items[i].item);
        }
    }
    free(text);
    close_files(&f);
}

static void names_come_back_from_a_dictionary(void **state)
{
    (void)state;
    rating_files_t f;
    rub_vocabulary_t *names = rub_vocabulary_new();
    size_t n = 0;
    char room[16];
    assert_int_equal(open_ratings(&f, "a b,x,1\nc,x,1\nc,y,2", 19, false), 0);
    assert_int_equal(rub_names_save(f.set->users, f.files.labels, &f.err), 0);
    assert_int_equal(rub_triple_reader_dictionary(f.files.labels, names, &n, &f.err), 0);
    assert_int_equal(n, 2);
    assert_string_equal(rub_vocabulary_word(names, 0), "c");
    assert_string_equal(rub_vocabulary_word(names, 1), "a b");
    assert_string_equal(rub_name_as_word("a b\tc", room), "a_b_c");
    rub_vocabulary_destroy(&names);
    close_files(&f);
}

/* ---- batches ---- */

static void assert_batch(const rub_rating_batch_t *b, const rub_rating_set_t *set, size_t first)
{
    const size_t m = b->plan.uniform + b->plan.from_chunk;
    for (size_t i = 0; i < b->n; i++) {
        const rub_rating_t *rating = &set->train.items[first + i];
        assert_int_equal(b->user_keys[b->users[i]], rating->user);
        assert_int_equal(b->item_keys[b->items[i]], rating->item);
        const uint32_t *negatives = b->negatives + i / b->plan.chunk * m;
        size_t n_known = 0, n_skips = 0;
        const uint32_t *known = rub_rating_set_known(set, rating->user, &n_known);
        for (size_t j = 0; j < m; j++) {
            bool is_known = false, is_skipped = false;
            for (size_t k = 0; k < n_known; k++) {
                is_known = is_known || known[k] == b->item_keys[negatives[j]];
            }
            for (size_t s = b->skip_starts[i]; s < b->skip_starts[i + 1]; s++) {
                is_skipped = is_skipped || b->skips[s] == j;
            }
            n_skips += is_known;
            assert_true(is_known == is_skipped);
        }
        assert_int_equal(b->skip_starts[i + 1] - b->skip_starts[i], n_skips);
    }
    for (size_t a = 0; a < b->n_items; a++) {
        for (size_t c = 0; c < a; c++) {
            assert_true(b->item_keys[a] != b->item_keys[c]);
        }
    }
}

static void a_batch_has_rows_once_and_knows_which_negatives_are_none(void **state)
{
    (void)state;
    static const rub_rating_plan_t plans[] = {{5, 4, 6, 3}, {5, 7, 1, 0}, {6, 64, 0, 2}};
    char *text = grid(10, 40); /* all but ten lines are left out */
    rating_files_t f;
    uint32_t order[400];
    for (uint32_t i = 0; i < 400; i++) {
        order[i] = i;
    }
    assert_int_equal(open_ratings(&f, text, strlen(text), true), 0);
    rub_rating_set_close(&f.set);
    f.options.least = 4;
    assert_int_equal(rub_rating_set_open(&f.options, &f.set, &f.err), 0);
    for (size_t p = 0; p < 3; p++) {
        rub_rating_batch_t *one = rub_rating_batch_new(&plans[p], f.set, 50);
        rub_rating_batch_t *two = rub_rating_batch_new(&plans[p], f.set, 50);
        assert_int_equal(rub_rating_batch_fill(one, f.set, order, 1, 0, 50, &f.err), 0);
        assert_batch(one, f.set, 0);
        assert_int_equal(rub_rating_batch_fill(two, f.set, order, 1, 100, 31, &f.err), 0);
        assert_batch(two, f.set, 100);
        assert_int_equal(two->n_chunks, (31 + plans[p].chunk - 1) / plans[p].chunk);
        assert_int_equal(rub_rating_batch_fill(two, f.set, order, 1, 0, 50, &f.err), 0);
        const size_t drawn = one->n_chunks * (plans[p].uniform + plans[p].from_chunk);
        assert_memory_equal(one->negatives, two->negatives, drawn * sizeof *one->negatives);
        assert_int_equal(one->n_items, two->n_items);
        assert_memory_equal(one->item_keys, two->item_keys, one->n_items * sizeof(uint64_t));
        rub_rating_batch_destroy(&one);
        rub_rating_batch_destroy(&two);
    }
    free(text);
    close_files(&f);
}

static void a_batch_of_ratings_draws_nothing(void **state)
{
    (void)state;
    static const uint32_t order[] = {2, 0, 1};
    const rub_rating_plan_t plan = {.chunk = 2};
    rating_files_t f;
    assert_int_equal(open_ratings(&f, "a\tx\t1\nb\ty\t2\nb\tx\t3", 17, false), 0);
    rub_rating_batch_t *batch = rub_rating_batch_new(&plan, f.set, 3);
    assert_int_equal(rub_rating_batch_fill(batch, f.set, order, 0, 0, 3, &f.err), 0);
    assert_int_equal(batch->n_users, 2);
    assert_int_equal(batch->n_items, 2);
    assert_int_equal(batch->n_chunks, 2);
    assert_true(batch->values[0] == 3 && batch->values[1] == 1);
    rub_rating_batch_destroy(&batch);
    close_files(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_ratings_are_named_with_line_and_column),
        cmocka_unit_test(every_separator_heading_and_time_is_read),
        cmocka_unit_test(what_was_chosen_needs_no_rating_and_may_be_too_little),
        cmocka_unit_test(names_are_those_of_training_and_others_have_no_number),
        cmocka_unit_test(a_part_that_is_held_out_is_the_rest_of_training),
        cmocka_unit_test(names_come_back_from_a_dictionary),
        cmocka_unit_test(a_batch_has_rows_once_and_knows_which_negatives_are_none),
        cmocka_unit_test(a_batch_of_ratings_draws_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
