/* Layers and refusals of the configuration, as a user meets them: files on disk, flags,
 * environment. */
#include "common/base/check.h"
#include "common/conf/config.h"
#include "common/conf/option.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct fixture {
    char folder[64], file[128];
    rub_config_t config;
    rub_error_t err;
} fixture_t;

static int make(void **state)
{
    fixture_t *f = calloc(1, sizeof *f);
    strcpy(f->folder, "/tmp/rub-conf-XXXXXX");
    if (!mkdtemp(f->folder)) {
        return -1;
    }
    snprintf(f->file, sizeof f->file, "%s/run.yaml", f->folder);
    rub_config_init(&f->config);
    *state = f;
    return 0;
}

static int drop(void **state)
{
    fixture_t *f = *state;
    rub_config_fini(&f->config);
    unlink(f->file);
    rmdir(f->folder);
    free(f);
    return 0;
}

static void write_file(fixture_t *f, const char *text)
{
    FILE *out = fopen(f->file, "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

/* Loads for train with the arguments (NULL at the end) and environment. */
static int load(fixture_t *f, const char *const *arguments, const char *const *environment)
{
    int n = 0;
    while (arguments[n]) {
        n++;
    }
    rub_config_fini(&f->config);
    rub_config_init(&f->config);
    memset(&f->err, 0, sizeof f->err);
    return rub_config_load(&f->config, RUB_FOR_TRAIN, n, (char *const *)arguments,
                           (char *const *)environment, &f->err);
}

static void expect_refusal(fixture_t *f, const char *const *arguments, const char *sentence)
{
    assert_int_equal(load(f, arguments, NULL), RUB_ECONFIG);
    if (!strstr(f->err.message, sentence)) {
        fail_msg("'%s' does not say '%s'", f->err.message, sentence);
    }
}

/* The file's text is refused with a sentence that holds this one behind "run.yaml". */
static void expect_file_refusal(fixture_t *f, const char *text, const char *sentence)
{
    char whole[512];
    write_file(f, text);
    snprintf(whole, sizeof whole, "%s%s", f->file, sentence);
    expect_refusal(f, (const char *[]){f->file, NULL}, whole);
}

static void expect_set_refusal(fixture_t *f, const char *set, const char *sentence)
{
    expect_refusal(f, (const char *[]){"--set", set, NULL}, sentence);
}

static void defaults_are_what_the_table_says(void **state)
{
    fixture_t *f = *state;
    assert_int_equal(load(f, (const char *[]){NULL}, NULL), 0);
    assert_int_equal(f->config.workers, 2);
    assert_int_equal(f->config.staleness, 4);
    assert_int_equal(f->config.redo_limit_bytes, 0);
    assert_int_equal(f->config.join_timeout_ms, 60000);
    assert_true(f->config.rank == RUB_RANK_ANY);
    assert_int_equal(f->config.hidden.n_items, 1);
    assert_string_equal(rub_config_word(&f->config, RUB_OPT_durability), "journal");
    assert_int_equal(f->config.origins[RUB_OPT_seed].source, RUB_FROM_DEFAULT);
}

static void file_nests_by_group_and_schema_gives_types(void **state)
{
    fixture_t *f = *state;
    write_file(f, "name: 1e-4\nstaleness: bsp\nmodel: {kind: mlp, hidden: [256, 128]}\n"
                  "train:\n  lr: 1e-4\n  prefetch: no\n  optimizer: adam\njoin_timeout: 5\n"
                  "lease_ms: 250\nstore: {redo_limit: 2G}\n");
    assert_int_equal(load(f, (const char *[]){f->file, NULL}, NULL), 0);
    assert_string_equal(f->config.name, "1e-4");
    assert_int_equal(f->config.staleness, 0);
    assert_string_equal(rub_config_word(&f->config, RUB_OPT_model_kind), "mlp");
    assert_int_equal(f->config.hidden.n_items, 2);
    assert_int_equal(f->config.hidden.items[1], 128);
    assert_true(f->config.lr == 1e-4);
    assert_false(f->config.prefetch);
    assert_int_equal(f->config.optimizer, RUB_ADAM);
    assert_int_equal(f->config.join_timeout_ms, 5000);
    assert_int_equal(f->config.lease_ms, 250);
    assert_true(f->config.redo_limit_bytes == UINT64_C(2) << 30);
}

/* What any of these files says is one text, in flow style. */
static void lists_of_items_become_text_and_name_the_kind_of_model(void **state)
{
    fixture_t *f = *state;
    static const char *const files[] = {
        "model: {layers: [conv: {filters: 16, kernel: 5}, relu, dropout: 0.1, dense: 10]}\n",
        "model:\n  layers:\n    - conv:\n        filters: 16\n        kernel: 5\n    - relu\n"
        "    - dropout: 0.1\n    - {dense: 10}\n",
        "layers: \"conv: {filters: 16,kernel: 5},relu,dropout: 0.1,dense: 10\"\n",
        "model: {kind: sequential, layers: [conv: {filters: 16,kernel: 5}, relu, dropout: 0.1, "
        "dense: 10]}\n"};
    for (size_t i = 0; i < RUB_COUNT_OF(files); i++) {
        rub_config_fini(&f->config);
        rub_config_init(&f->config);
        write_file(f, files[i]);
        assert_int_equal(load(f, (const char *[]){f->file, NULL}, NULL), 0);
        assert_string_equal(f->config.layers,
                            "conv: {filters: 16,kernel: 5},relu,dropout: 0.1,dense: 10");
        assert_string_equal(rub_config_word(&f->config, RUB_OPT_model_kind), "sequential");
    }
}

static void lists_of_items_that_can_not_be_are_refused(void **state)
{
    fixture_t *f = *state;
    expect_file_refusal(f, "layers: [dense: 3, [relu]]\n", ":1: a list stands where a key");
    expect_file_refusal(f, "layers: [dense: {units: {deep: 3}}]\n",
                        ":1: nested deeper than 'list:");
    expect_file_refusal(f, "layers:\n  - {dense: 3, relu: 1}\n",
                        ":2: an item of a list is a value, or one key with its value");
    expect_file_refusal(f, "layers: [{}]\n", ":1: an item of a list is a value");
    expect_file_refusal(f, "layers: [dense: \"3, relu\"]\n", ":1: a key or a value within a list");
    expect_file_refusal(f, "layers: [{{a: 1}: 2}]\n", ":1: nested deeper than 'list:");
    expect_file_refusal(f, "hidden: [dense: 3]\n", ":1: hidden: 'dense: 3' is not a list");
    expect_set_refusal(f, "layers=[dense: 3", "layers: '[dense: 3' is not a list of items");
    expect_set_refusal(f, "layers=dense: 3 # ten", "is not a list of items");
    expect_file_refusal(f, "model: {kind: mlp, layers: [dense: 10]}\n",
                        ":1: layers: are for model_kind sequential, but it is mlp");
    expect_set_refusal(f, "model_kind=sequential", "layers: none, sequential wants at least one");
}

static void flag_wins_over_environment_over_file(void **state)
{
    fixture_t *f = *state;
    write_file(f, "epochs: 1\nbatch: 1\nseed: 1\nworkers: 1\n");
    const char *environment[] = {"HOME=/", "RUBATO_BATCH=2", "RUBATO_SEED=2", "RUBATO_WORKERS=2",
                                 NULL};
    const char *arguments[] = {"--config", f->file, "--seed=3", "--set", "job.workers=4", NULL};
    assert_int_equal(load(f, arguments, environment), 0);
    assert_int_equal(f->config.epochs, 1);
    assert_int_equal(f->config.batch, 2);
    assert_int_equal(f->config.seed, 3);
    assert_int_equal(f->config.workers, 4);
    assert_string_equal(f->config.origins[RUB_OPT_batch].where, "RUBATO_BATCH");
    assert_string_equal(f->config.origins[RUB_OPT_seed].where, "--seed");
}

static void switches_turn_on_and_off(void **state)
{
    fixture_t *f = *state;
    assert_int_equal(
        load(f, (const char *[]){"--json", "--no-prefetch", "--progress=off", NULL}, NULL), 0);
    assert_true(f->config.json);
    assert_false(f->config.prefetch);
    assert_false(f->config.progress);
    expect_refusal(f, (const char *[]){"--no-seed", NULL}, "--no-seed: only a switch");
}

static void staleness_is_a_number_bsp_or_async(void **state)
{
    fixture_t *f = *state;
    char text[24];
    assert_int_equal(load(f, (const char *[]){"--staleness", "async", NULL}, NULL), 0);
    assert_true(f->config.staleness == RUB_ASYNC);
    assert_string_equal(rub_staleness_text(RUB_ASYNC, text, sizeof text), "async");
    assert_string_equal(rub_staleness_text(0, text, sizeof text), "bsp");
    assert_string_equal(rub_staleness_text(7, text, sizeof text), "7");
    expect_set_refusal(f, "staleness=ssp", "staleness: 'ssp' is not a whole number, bsp or async");
    expect_set_refusal(f, "staleness=-1", "'-1' is not a whole number");
    expect_set_refusal(f, "staleness=4294967296", "above the greatest, 4294967295");
}

static void unknown_keys_name_the_line_and_the_nearest_key(void **state)
{
    fixture_t *f = *state;
    expect_file_refusal(f, "seed: 1\nstalness: 4\n",
                        ":2: unknown key 'stalness'; the nearest known key is 'staleness'");
    expect_file_refusal(f, "model:\n  knid: mlp\n",
                        ":2: unknown key 'knid'; the nearest known key is 'kind'");
    expect_file_refusal(f, "train: {seed: 7}\n",
                        ":1: 'seed' stands in 'train' but belongs to 'job'");
    expect_file_refusal(f, "modle: {kind: mlp}\n",
                        ":1: unknown group 'modle'; the nearest known group is 'model'");
    expect_file_refusal(f, "model: mlp\n", ":1: 'model' is a group, not an option");
    expect_set_refusal(f, "epoch=3",
                       "--set epoch=3: unknown key 'epoch'; the nearest known key is 'epochs'");
    expect_refusal(f, (const char *[]){"--wrokers", "3", NULL},
                   "--wrokers: unknown key 'wrokers'; the nearest known key is 'workers'");
    assert_int_equal(load(f, (const char *[]){NULL}, (const char *[]){"RUBATO_SEDE=1", NULL}),
                     RUB_ECONFIG);
    assert_non_null(strstr(
        f->err.message,
        "environment variable RUBATO_SEDE: unknown key 'sede'; the nearest known key is 'seed'"));
}

/* Loaded it may be: so are the configurations of runs that have ended. */
static void who_starts_a_job_refuses_a_reduce_that_its_staleness_has_no_use_for(void **state)
{
    fixture_t *f = *state;
    char whole[512];
    write_file(f, "staleness: 4\nreduce: sum\n");
    assert_int_equal(load(f, (const char *[]){f->file, NULL}, NULL), 0);
    assert_int_equal(rub_config_check_reduce(&f->config, &f->err), RUB_ECONFIG);
    snprintf(whole, sizeof whole,
             "%s:2: reduce: sum, but staleness is 4, where each push is a step of its own; "
             "expected bsp",
             f->file);
    assert_string_equal(f->err.message, whole);
    assert_int_equal(load(f, (const char *[]){f->file, "--reduce", "mean", NULL}, NULL), 0);
    assert_int_equal(rub_config_check_reduce(&f->config, &f->err), 0); /* the default */
    assert_int_equal(load(f, (const char *[]){f->file, "--staleness", "bsp", NULL}, NULL), 0);
    assert_int_equal(rub_config_check_reduce(&f->config, &f->err), 0);
}

static void values_out_of_range_say_line_key_fact_and_bound(void **state)
{
    fixture_t *f = *state;
    expect_file_refusal(f, "train:\n  batch: 0\n", ":2: batch: 0 is below the least, 1");
    expect_file_refusal(f, "port: 65536\n", ":1: port: 65536 is above the greatest, 65535");
    expect_file_refusal(f, "hidden: [256, 0]\n", ":1: hidden: 0 is below the least, 1");
    expect_file_refusal(f, "momentum: 1.5\n", ":1: momentum: 1.5 is above the greatest, 1");
    expect_set_refusal(f, "lease_ms=1", "lease_ms: 1 is below the least, 100");
    expect_set_refusal(f, "seed=18446744073709551616", "is not a whole number");
    expect_set_refusal(f, "epochs=-3", "epochs: -3 is below the least, 1");
    expect_set_refusal(f, "classes=65537", "classes: 65537 is above the greatest, 65536");
    expect_set_refusal(f, "epochs=-3x", "'-3x' is not a whole number");
}

static void values_of_the_wrong_type_are_refused(void **state)
{
    fixture_t *f = *state;
    expect_set_refusal(f, "batch=12x", "batch: '12x' is not a whole number");
    expect_set_refusal(f, "batch=1e3", "is not a whole number");
    expect_set_refusal(f, "batch=", "the value is empty where a whole number is wanted");
    expect_set_refusal(f, "lr=fast", "lr: 'fast' is not a number");
    expect_set_refusal(f, "lr=nan", "'nan' is not a number");
    expect_set_refusal(f, "lr=1e999", "is not a number");
    expect_set_refusal(f, "lr=0x10", "is not a number");
    expect_set_refusal(f, "prefetch=maybe", "'maybe' is not true or false");
    expect_set_refusal(f, "optimizer=adamax",
                       "'adamax' is not one of sgd|add|momentum|adagrad|adam|nesterov|rmsprop|"
                       "adadelta|adamw|amsgrad|rowwise_adagrad|ftrl");
    expect_set_refusal(f, "lease=5 parsecs", "is not a duration");
    expect_set_refusal(f, "lease=0.0001s", "is not a duration");
    expect_set_refusal(f, "redo_limit=1Q", "is not a size");
    expect_set_refusal(f, "hidden=1,,2", "is not a list");
    expect_set_refusal(f, "hidden=[1,2", "is not a list");
    expect_set_refusal(f, "hidden=1,2,3,4,5,6,7,8,9,1,1,1,1,1,1,1,1", "more than 16 items");
    expect_set_refusal(f, "name=", "at least 1 byte");
    expect_set_refusal(f, "name=a\tb", "control character (0x09)");
    expect_file_refusal(f, "batch: [1, 2]\n", ":1: batch: a list stands where one value is wanted");
}

static void files_that_are_not_run_files_are_refused(void **state)
{
    fixture_t *f = *state;
    expect_file_refusal(f, "a: [1\nb: 2\n", ":2: ");
    expect_file_refusal(f, "- 1\n", ":1: a list stands where a key");
    expect_file_refusal(f, "hello\n", ":1: a run file is a mapping");
    expect_file_refusal(f, "seed: 1\nseed: 2\n", ":2: seed stands already in line 1");
    expect_file_refusal(f, "seed: &a 1\n", ":1: anchors and tags");
    expect_file_refusal(f, "seed: !!int 1\n", ":1: anchors and tags");
    expect_file_refusal(f, "seed: *a\n", ":1: aliases");
    expect_file_refusal(f, "seed: 1\n---\nseed: 2\n", ":2: a second document");
    expect_file_refusal(f, "train: {lr: {deep: 1}}\n", ":1: nested deeper");
    expect_file_refusal(f, "name: \"a\\0b\"\n", ":1: a value holds a zero byte");
    unlink(f->file);
    expect_refusal(f, (const char *[]){f->file, NULL}, "run file: ");
}

static void an_empty_file_is_all_defaults(void **state)
{
    fixture_t *f = *state;
    write_file(f, "# nothing\n");
    assert_int_equal(load(f, (const char *[]){f->file, NULL}, NULL), 0);
    assert_int_equal(f->config.batch, 128);
}

static void flags_are_refused_when_malformed_or_foreign(void **state)
{
    fixture_t *f = *state;
    expect_refusal(f, (const char *[]){"--seed", NULL}, "--seed: its value is missing");
    expect_refusal(f, (const char *[]){"-q", NULL}, "'-q' is not a flag");
    expect_refusal(f, (const char *[]){"--rank", "1", NULL},
                   "--rank is not a flag of this command (help says which are)");
    expect_refusal(f, (const char *[]){"--set", "batch", NULL}, "--set batch: wants key=value");
    expect_refusal(f, (const char *[]){"a.yaml", "b.yaml", NULL}, "two run files");
    const char *words[RUB_WORDS_LIMIT + 2] = {NULL};
    for (unsigned i = 0; i <= RUB_WORDS_LIMIT; i++) {
        words[i] = "word";
    }
    expect_refusal(f, words, "more than 24 arguments");
}

static void options_that_contradict_each_other_are_refused(void **state)
{
    fixture_t *f = *state;
    expect_set_refusal(f, "scheduler=localhost:1",
                       "scheduler: 'localhost:1' is not of the form tcp://host:port");
    expect_set_refusal(f, "scheduler=tcp://:1", "is not of the form tcp://host:port");
    expect_set_refusal(f, "scheduler=tcp://host:99999", "'99999' is not a port from 0 to 65535");
    expect_set_refusal(f, "scheduler=tcp://host:1x", "'1x' is not a port from 0 to 65535");
    expect_set_refusal(f, "train_images=x", "train_images and train_labels go together");
    expect_set_refusal(f, "valid_images=x", "valid_images and valid_labels go together");
    expect_set_refusal(f, "valid_labels=x", "valid_images and valid_labels go together");
    expect_refusal(f, (const char *[]){"--ps", "200", "--shards", "2", NULL},
                   "above the limit of 256");
    expect_refusal(f, (const char *[]){"--workers", "2048", "--ps", "256", NULL},
                   "2048 workers and 256 shards do not fit into one message; at most 1457 workers");
    expect_refusal(f, (const char *[]){"--workers", "2049", NULL}, "2048");
    rub_config_fini(&f->config);
    rub_config_init(&f->config);
    const char *arguments[] = {"--ps", "2", "--first-shard", "2"};
    assert_int_equal(
        rub_config_load(&f->config, RUB_FOR_PS, 4, (char *const *)arguments, NULL, &f->err),
        RUB_ECONFIG);
    assert_non_null(strstr(f->err.message, "shards 2 to 2 do not fit a job of 2 shards"));
}

static void print_config_loads_to_the_same_values(void **state)
{
    fixture_t *f = *state;
    const char *arguments[] = {
        "--set",       "hidden=[3,5]",
        "--set",       "lr=0.1",
        "--set",       "name=a \"b\" \\c # d: é",
        "--staleness", "async",
        "--set",       "redo_limit=3G",
        "--set",       "rank=2",
        "--layers",    "conv: {filters: 4, padding: 1}, layer_norm, {,: dense: 3",
        NULL};
    assert_int_equal(load(f, arguments, NULL), 0);
    FILE *out = fopen(f->file, "w");
    rub_config_print(&f->config, out);
    fclose(out);
    rub_config_t again;
    rub_config_init(&again);
    const char *file = f->file;
    assert_int_equal(rub_config_load(&again, RUB_FOR_TRAIN, 1, (char *const *)&file, NULL, &f->err),
                     0);
    for (int i = 0; i < RUB_OPT_COUNT; i++) {
        char a[4200], b[4200];
        rub_option_format(&f->config, &rub_option_table[i], a, sizeof a);
        rub_option_format(&again, &rub_option_table[i], b, sizeof b);
        assert_string_equal(a, b);
        /* train works n_shards out anew, whatever the file says */
        assert_int_equal(again.origins[i].source,
                         i == RUB_OPT_n_shards ? RUB_FROM_PROGRAM : RUB_FROM_FILE);
    }
    assert_string_equal(again.name, "a \"b\" \\c # d: é");
    assert_true(again.lr == 0.1);
    rub_config_fini(&again);
}

static void help_shows_only_the_flags_of_the_command(void **state)
{
    RUB_UNUSED(state);
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    rub_config_help(RUB_FOR_PS, out);
    fclose(out);
    assert_non_null(strstr(text, "--first-shard N"));
    assert_non_null(strstr(text, "--join-timeout DURATION"));
    assert_non_null(strstr(text, "none|journal|sync"));
    assert_null(strstr(text, "--epochs"));
    free(text);
}

static void edit_distance_counts_edits(void **state)
{
    RUB_UNUSED(state);
    assert_int_equal(rub_edit_distance("", ""), 0);
    assert_int_equal(rub_edit_distance("", "abc"), 3);
    assert_int_equal(rub_edit_distance("kitten", "sitting"), 3);
    assert_int_equal(rub_edit_distance("flaw", "lawn"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(defaults_are_what_the_table_says, make, drop),
        cmocka_unit_test_setup_teardown(file_nests_by_group_and_schema_gives_types, make, drop),
        cmocka_unit_test_setup_teardown(lists_of_items_become_text_and_name_the_kind_of_model, make,
                                        drop),
        cmocka_unit_test_setup_teardown(lists_of_items_that_can_not_be_are_refused, make, drop),
        cmocka_unit_test_setup_teardown(flag_wins_over_environment_over_file, make, drop),
        cmocka_unit_test_setup_teardown(switches_turn_on_and_off, make, drop),
        cmocka_unit_test_setup_teardown(staleness_is_a_number_bsp_or_async, make, drop),
        cmocka_unit_test_setup_teardown(unknown_keys_name_the_line_and_the_nearest_key, make, drop),
        cmocka_unit_test_setup_teardown(
            who_starts_a_job_refuses_a_reduce_that_its_staleness_has_no_use_for, make, drop),
        cmocka_unit_test_setup_teardown(values_out_of_range_say_line_key_fact_and_bound, make,
                                        drop),
        cmocka_unit_test_setup_teardown(values_of_the_wrong_type_are_refused, make, drop),
        cmocka_unit_test_setup_teardown(files_that_are_not_run_files_are_refused, make, drop),
        cmocka_unit_test_setup_teardown(an_empty_file_is_all_defaults, make, drop),
        cmocka_unit_test_setup_teardown(flags_are_refused_when_malformed_or_foreign, make, drop),
        cmocka_unit_test_setup_teardown(options_that_contradict_each_other_are_refused, make, drop),
        cmocka_unit_test_setup_teardown(print_config_loads_to_the_same_values, make, drop),
        cmocka_unit_test(help_shows_only_the_flags_of_the_command),
        cmocka_unit_test(edit_distance_counts_edits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
