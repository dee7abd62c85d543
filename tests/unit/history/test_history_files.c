/* Histories of several processes, merged. */
#include "common/base/check.h"
#include "common/base/fs.h"
#include "tests/history/history_files.h"
#include "tests/history/history_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define HEADER "rubato-history 1 writers=2 rows=1 staleness=- durability=journal\n"
#define N_FILES 2

typedef struct folder {
    char path[64];
    char files[N_FILES][96];
    char *paths[N_FILES];
} folder_t;

static int make_folder(void **state)
{
    folder_t *self = calloc(1, sizeof(*self));
    assert_non_null(self);
    strcpy(self->path, "/tmp/rubato-history-XXXXXX");
    assert_non_null(mkdtemp(self->path));
    for (size_t i = 0; i < N_FILES; i++) {
        snprintf(self->files[i], sizeof(self->files[i]), "%s/%zu", self->path, i);
        self->paths[i] = self->files[i];
    }
    *state = self;
    return 0;
}

static int remove_folder(void **state)
{
    folder_t *self = *state;
    for (size_t i = 0; i < N_FILES; i++) {
        (void)unlink(self->files[i]);
    }
    (void)rmdir(self->path);
    free(self);
    return 0;
}

static void write_files(folder_t *self, const char *first, const char *second)
{
    assert_int_equal(rub_fs_write(self->files[0], first, strlen(first), NULL), 0);
    assert_int_equal(rub_fs_write(self->files[1], second, strlen(second), NULL), 0);
}

/* The order of events, as letters with their writers, and the law that they break. */
static rub_law_t run(folder_t *self, size_t n_files, char *order)
{
    rub_history_files_t *files = NULL;
    rub_error_t err = {0};
    if (rub_history_files_open(self->paths, n_files, &files, &err) != 0) {
        fail_msg("%s", err.message);
    }
    rub_history_t *history = rub_history_new(rub_history_files_config(files));
    rub_history_event_t event;
    size_t at = 0;
    while (rub_history_files_next(files, &event, &err)) {
        order[at++] = (char)event.kind;
        order[at++] = (char)('0' + event.writer);
        rub_history_step(history, &event);
    }
    order[at] = '\0';
    assert_int_equal(err.code, 0);
    if (rub_history_law(history) != RUB_LAW_NONE) {
        print_message("%s\n", rub_history_sentence(history));
    }
    const rub_law_t law = rub_history_law(history);
    rub_history_destroy(&history);
    rub_history_files_close(&files);
    return law;
}

static void files_are_merged_by_time_and_ties_accuse_nobody(void **state)
{
    char order[64];
    write_files(*state, HEADER "1 O 0.1 0\n5 P 0.1 1 0\n9 E 0.1 left\n",
                HEADER "2 O 1.1 0\n3 Q 1.1 1 0\n5 R 1.1 1 0 1 0\n8 E 1.1 left\n");
    assert_int_equal(run(*state, 2, order), RUB_LAW_NONE);
    assert_string_equal(order, "O0O1Q1P0R1E1E0");
}

static void a_file_that_stops_is_a_killed_process(void **state)
{
    char order[64];
    /* the last line has no end: the process died in it */
    write_files(*state, HEADER "1 O 0.1 0\n2 P 0.1 1 0\n3 A 0.1 1 0\n4 P 0.1 2 0\n5 A 0.1 2",
                HEADER "2 O 1.1 0\n8 E 1.1 left\n9 F 1.1 1 0\n");
    assert_int_equal(run(*state, 2, order), RUB_LAW_NONE);
    assert_string_equal(order, "O0D0P0O1A0P0E0E1F1");
    write_files(*state, HEADER "1 O 0.1 0\n2 P 0.1 1 0\n3 A 0.1 1 0\n4 P 0.1 2 0\n5 A 0.1 2",
                HEADER "2 O 1.1 0\n8 E 1.1 left\n9 F 1.1 0 0\n");
    assert_int_equal(run(*state, 2, order), RUB_LAW_LOST);
}

static void what_a_log_writes_is_a_history(void **state)
{
    folder_t *self = *state;
    const rub_history_config_t config = {
        .n_writers = 1, .n_rows = 1, .staleness = 2, .durability = 1};
    const float values[1] = {1};
    rub_history_log_t *log = NULL;
    rub_error_t err;
    char order[64];
    assert_int_equal(rub_history_log_open(self->files[0], &config, &log, &err), 0);
    assert_int_equal(rub_history_log_opened(log, 0, 1, 0), 0);
    assert_int_equal(rub_history_log_push(log, 1, 0), 0);
    assert_int_equal(rub_history_log_clock(log, 1), 0);
    assert_int_equal(rub_history_log_acked(log, 1, 1), 0);
    assert_int_equal(rub_history_log_ask(log, 1, 1), 0);
    assert_int_equal(rub_history_log_read(log, 1, 1, values), 0);
    assert_int_equal(rub_history_log_ended(log, RUB_HISTORY_LEFT), 0);
    assert_int_equal(rub_history_log_final(log, values), 0);
    rub_history_log_close(&log);
    assert_int_equal(run(self, 1, order), RUB_LAW_NONE);
    assert_string_equal(order, "O0P0C0A0Q0R0E0F0");
    assert_int_equal(rub_history_log_open(self->files[0], &config, &log, &err), RUB_EIO);
    assert_null(log);
}

static void files_that_do_not_belong_together_are_refused(void **state)
{
    folder_t *self = *state;
    rub_history_files_t *files = NULL;
    rub_error_t err = {0};
    write_files(self, HEADER "1 O 0.1 0\n",
                "rubato-history 1 writers=3 rows=1 staleness=- durability=journal\n");
    assert_int_equal(rub_history_files_open(self->paths, 2, &files, &err), RUB_EDATA);
    assert_non_null(strstr(err.message, self->files[1]));
    write_files(self, HEADER "1 O 0.1 0\n2 nonsense\n", HEADER);
    assert_int_equal(rub_history_files_open(self->paths, 2, &files, &err), RUB_EDATA);
    assert_non_null(strstr(err.message, "line 3"));
    write_files(self, "no newline", HEADER);
    assert_int_equal(rub_history_files_open(self->paths, 2, &files, &err), RUB_EDATA);
    assert_null(files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_are_merged_by_time_and_ties_accuse_nobody,
                                        make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_file_that_stops_is_a_killed_process, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(what_a_log_writes_is_a_history, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(files_that_do_not_belong_together_are_refused, make_folder,
                                        remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
