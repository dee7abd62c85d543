/* Workers of a fleet in this process count a text together: all come to what one reader comes to,
 * each part is read once, and who never counts, or was killed while he told it, keeps nobody. */
#include "common/base/crc32c.h"
#include "include/rubato_inproc.h"
#include "worker/train/word_counting.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { WORKERS = 3, LINES = 4000, MIN_COUNT = 3 };

typedef struct member {
    rub_inproc_t *fleet;
    rub_session_t *session;
    rub_text_parts_t *parts;
    rub_corpus_t *corpus;
    uint64_t counted; /* bytes, by its own words */
    pthread_t thread;
} member_t;

typedef struct world {
    char path[64];
    rub_inproc_t *fleet;
    member_t members[WORKERS];
    rub_corpus_t *whole;
    uint64_t bytes;
} world_t;

static void *open_session(void *argument)
{
    member_t *self = argument;
    rub_options_t options;
    rub_options_defaults(&options);
    options.scheduler = rub_inproc_address(self->fleet);
    options.zmq_context = rub_inproc_context(self->fleet);
    return rub_open(&options, &self->session, NULL) == 0 ? self : NULL;
}

static void *count(void *argument)
{
    member_t *self = argument;
    char *said = NULL;
    size_t said_bytes = 0;
    rub_log_t log;
    rub_error_t err = {0};
    FILE *out = open_memstream(&said, &said_bytes);
    rub_log_init(&log, out, RUB_LOG_INFO, "test");
    const int rc =
        rub_word_counting_run(self->session, self->parts, MIN_COUNT, &log, &self->corpus, &err);
    (void)fclose(out);
    const char *at = said ? strstr(said, "counted ") : NULL;
    self->counted = at ? strtoull(at + strlen("counted "), NULL, 10) : UINT64_MAX;
    if (rc != 0) {
        fprintf(stderr, "%s\n", err.message);
    }
    free(said);
    return rc == 0 ? self : NULL;
}

static void together(member_t *members, size_t n, void *(*work)(void *))
{
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(pthread_create(&members[i].thread, NULL, work, &members[i]), 0);
    }
    for (size_t i = 0; i < n; i++) {
        void *result = NULL;
        assert_int_equal(pthread_join(members[i].thread, &result), 0);
        assert_ptr_equal(result, &members[i]);
    }
}

static void world_init(world_t *self)
{
    rub_inproc_options_t options;
    memset(self, 0, sizeof *self);
    strcpy(self->path, "/tmp/rubato-counting-XXXXXX");
    FILE *out = fdopen(mkstemp(self->path), "w");
    assert_non_null(out);
    for (unsigned i = 0; i < LINES; i++) {
        fprintf(out, "the word%u of a line %u\n", i % 1700, i * i % 97);
    }
    self->bytes = (uint64_t)ftell(out);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(rub_corpus_open(self->path, MIN_COUNT, &self->whole, NULL), 0);
    rub_inproc_options_defaults(&options);
    options.workers = WORKERS;
    options.shards = 2;
    options.staleness = 4;
    assert_int_equal(rub_inproc_start(&options, &self->fleet, NULL), 0);
    for (size_t i = 0; i < WORKERS; i++) {
        self->members[i].fleet = self->fleet;
        assert_int_equal(rub_text_parts_open(self->path, &self->members[i].parts, NULL), 0);
    }
    together(self->members, WORKERS, open_session);
}

static void world_fini(world_t *self)
{
    for (size_t i = 0; i < WORKERS; i++) {
        member_t *member = &self->members[i];
        rub_corpus_close(&member->corpus);
        rub_text_parts_close(&member->parts);
        assert_int_equal(rub_close(&member->session, false, NULL), 0);
    }
    assert_int_equal(rub_inproc_stop(&self->fleet, NULL), 0);
    rub_corpus_close(&self->whole);
    unlink(self->path);
}

static void check(const world_t *self, member_t *member)
{
    const rub_corpus_t *whole = self->whole;
    rub_corpus_t *corpus = member->corpus;
    assert_int_equal(corpus->n_tokens, whole->n_tokens);
    assert_int_equal(rub_corpus_reach(corpus, 0, whole->n_tokens, NULL), 0);
    assert_memory_equal(corpus->tokens, whole->tokens, whole->n_tokens * sizeof *whole->tokens);
    for (uint32_t i = 0; i < rub_vocabulary_size(whole->vocabulary); i++) {
        assert_string_equal(rub_vocabulary_word(corpus->vocabulary, i),
                            rub_vocabulary_word(whole->vocabulary, i));
    }
}

static void each_counts_its_share_and_all_have_the_whole(void **state)
{
    (void)state;
    world_t self;
    uint64_t counted = 0;
    world_init(&self);
    together(self.members, WORKERS, count);
    for (size_t i = 0; i < WORKERS; i++) {
        check(&self, &self.members[i]);
        counted += self.members[i].counted;
    }
    assert_true(counted >= self.bytes);
    if (counted > self.bytes) { /* somebody stood still for longer than the others' patience */
        print_message("%llu bytes were read of %llu\n", (unsigned long long)counted,
                      (unsigned long long)self.bytes);
    }
    world_fini(&self);
}

/* What a rank owes that never counts, others count; when it comes it finds all of it. */
static void nobody_waits_for_one_who_does_not_count(void **state)
{
    (void)state;
    world_t self;
    world_init(&self);
    together(self.members + 1, WORKERS - 1, count);
    together(self.members, 1, count);
    assert_int_equal(self.members[0].counted, 0);
    for (size_t i = 0; i < WORKERS; i++) {
        check(&self, &self.members[i]);
    }
    world_fini(&self);
}

/* The first row of a text of bytes, as worker/train/byte_rows.c lays it. */
static void first_row(const rub_buf_t *text, float row[512])
{
    uint8_t bytes[1022];
    rub_put_u64(bytes, text->bytes);
    rub_put_u32(bytes + 8, rub_crc32c(0, text->data, text->bytes));
    assert_true(text->bytes > sizeof bytes);
    memcpy(bytes + 12, text->data, sizeof bytes - 12);
    row[0] = 1;
    for (size_t i = 1; i < 512; i++) {
        row[i] = rub_get_u16(bytes + 2 * (i - 1));
    }
}

/* Somebody was killed between two messages of what he told of a part: the part is there in pieces,
 * and who tells it again does not tell it twice. */
static void what_was_told_by_half_is_told_again(void **state)
{
    (void)state;
    const uint64_t key = 0; /* of part 0 */
    world_t self;
    char name[64];
    float row[512];
    rub_table_t table = 0;
    rub_schema_t schema;
    rub_word_part_t *part = NULL;
    rub_buf_t told;
    world_init(&self);
    rub_buf_init(&told);
    rub_text_parts_cut(self.members[2].parts, 2 * WORKERS); /* as all will do */
    rub_word_counting_table(self.members[2].parts, MIN_COUNT, name);
    assert_int_equal(rub_word_part_count(self.members[2].parts, 0, NULL, &part, NULL), 0);
    rub_word_part_write(part, MIN_COUNT, &told);
    first_row(&told, row);
    rub_schema_defaults(&schema);
    schema.name = name;
    schema.kind = RUB_HASHED;
    schema.width = 512;
    schema.optimizer = RUB_ADD;
    assert_int_equal(rub_table_open(self.members[2].session, &schema, &table, NULL), 0);
    assert_int_equal(rub_push(self.members[2].session, table, &key, 1, row, NULL, NULL), 0);
    assert_int_equal(rub_flush(self.members[2].session, NULL), 0);
    together(self.members, WORKERS, count);
    for (size_t i = 0; i < WORKERS; i++) {
        check(&self, &self.members[i]);
    }
    rub_word_part_destroy(&part);
    rub_buf_fini(&told);
    world_fini(&self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_counts_its_share_and_all_have_the_whole),
        cmocka_unit_test(nobody_waits_for_one_who_does_not_count),
        cmocka_unit_test(what_was_told_by_half_is_told_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
