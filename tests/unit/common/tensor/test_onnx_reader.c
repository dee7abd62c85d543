/* Graphs of ONNX that are refused, each with what is wrong in it: files that are no protobuf, and
 * graphs that have not the numbers that a model wants. */
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/tensor/onnx_reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { MOST = 200 };

static char path[] = "/tmp/rubato-onnx-reader-XXXXXX";

static int make_path(void **state)
{
    (void)state;
    const int fd = mkstemp(path);
    return fd < 0 || close(fd) != 0;
}

static int remove_path(void **state)
{
    (void)state;
    return unlink(path);
}

typedef struct case_of {
    const char *bytes;
    size_t n;
    const char *words;
} case_of_t;
#define BYTES(text) text, sizeof(text) - 1

/* Puts a field of bytes, fewer than 128, behind what is there. */
static size_t add_field(uint8_t *out, size_t at, unsigned number, const void *bytes, size_t n)
{
    assert_true(n < 128 && at + 2 + n <= MOST);
    out[at] = (uint8_t)(number << 3 | 2);
    out[at + 1] = (uint8_t)n;
    memcpy(out + at + 2, bytes, n);
    return at + 2 + n;
}

/* Opens the file and takes "w", 2 x 3 numbers, from its graph. */
static int take(const void *bytes, size_t n, float values[6], rub_error_t *err)
{
    static const rub_onnx_tensor_t wanted = {
        .name = "w", .n_dims = 2, .dims = {2, 3}, .sizes = {2, 3}, .strides = {3, 1}};
    rub_onnx_reader_t *reader = NULL;
    assert_int_equal(rub_fs_write(path, bytes, n, NULL), 0);
    int rc = rub_onnx_reader_open(path, &reader, err);
    assert_true((rc == 0) == (reader != NULL));
    rc = rc ? rc : rub_onnx_reader_take(reader, rub_onnx_text("w"), &wanted, values, err);
    rub_onnx_reader_close(&reader);
    return rc;
}

static void assert_refused(const case_of_t *it, const void *bytes, size_t n, size_t number)
{
    rub_error_t err = {0};
    float values[6];
    const int rc = take(bytes, n, values, &err);
    if (rc != RUB_EDATA || strstr(err.message, it->words) == NULL) {
        fail_msg("case %zu: %d '%s', expected '%s'", number, rc, err.message, it->words);
    }
    assert_int_equal(rub_error_exit_code(rc), 4);
}

static void what_is_no_model_is_refused_with_its_byte(void **state)
{
    (void)state;
    static const case_of_t files[] = {
        {BYTES(""), "is no model of ONNX: there is no graph at byte 0"},
        {BYTES("text"), "is no model of ONNX: protobuf ends at byte 1"}, /* no such type */
        {BYTES("\x08\x08"), "there is no graph at byte 2"},
        {BYTES("\x38\x01"), "there is no graph at byte 2"}, /* a number */
        {BYTES("\x3a"), "protobuf ends at byte 1"},
        {BYTES("\x3a\x05zz"), "protobuf ends at byte 2"},
        {BYTES("\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7fzz"), "protobuf ends at byte 10"},
        {BYTES("\x08"), "protobuf ends at byte 1"},
        {BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\1"), "protobuf ends at byte 11"},
        {BYTES("\xff"), "protobuf ends at byte 1"},
        {BYTES("\x09zzzzzzz"), "protobuf ends at byte 1"}, /* eight bytes */
        {BYTES("\x0dzzz"), "protobuf ends at byte 1"},     /* four bytes */
        {BYTES("\x3a\0\x3b"), "protobuf ends at byte 3"}, /* a group, which is gone from protobuf */
    };
    for (size_t i = 0; i < RUB_COUNT_OF(files); i++) {
        assert_refused(&files[i], files[i].bytes, files[i].n, i);
    }
}

static void numbers_that_a_model_does_not_want_are_refused_by_name(void **state)
{
    (void)state;
#define ONES "\0\0\x80\x3f\0\0\x80\x3f\0\0\x80\x3f\0\0\x80\x3f\0\0\x80\x3f"
#define RAW "\x4a\x18" ONES "\0\0\x80\x3f"
    static const case_of_t tensors[] = {
        {BYTES(""), "its graph has no numbers called 'w'"},
        {BYTES("\x42\1v" RAW), "its graph has no numbers called 'w'"},
        {BYTES("\x42\2wx" RAW), "its graph has no numbers called 'w'"},
        {BYTES("\x08"), "its graph is damaged before byte "},
        {BYTES("\x42\x09w"), "its graph is damaged before byte "},
        {BYTES("\x0a\1\xff\x42\1w"), "its graph is damaged before byte "}, /* a list of dims */
        {BYTES("\x42\1w"), "'w' is [], the model's is [2, 3]"},
        {BYTES("\x08\3\x08\2\x42\1w" RAW), "'w' is [3, 2], the model's is [2, 3]"},
        {BYTES("\x0a\3\2\3\1\x42\1w" RAW), "'w' is [2, 3, 1], the model's is [2, 3]"},
        {BYTES("\x0a\x0c\1\1\1\1\1\1\1\1\1\1\1\1\x42\1w"), "the model's is [2, 3]"},
        {BYTES("\x08\2\x08\3\x10\1\x42\1w"), "'w' has 0 bytes of type 1, expected 24 of type 1"},
        {BYTES("\x08\2\x08\3\x42\1w" RAW), "'w' has 24 bytes of type 0, expected 24 of type 1"},
        {BYTES("\x08\2\x08\3\x10\x0b\x42\1w" RAW), "'w' has 24 bytes of type 11"}, /* double */
        {BYTES("\x08\2\x08\3\x10\1\x42\1w\x4a\x14" ONES), "'w' has 20 bytes of type 1"},
        {BYTES("\x08\2\x08\3\x10\1\x42\1w\x22\x14" ONES), "'w' has 20 bytes of type 1"},
        {BYTES("\x08\2\x08\3\x10\1\x42\1w\x4a\x18" ONES "\0\0\xc0\x7f"), "finite, its 6-th"},
        {BYTES("\x08\2\x08\3\x10\1\x42\1w\x4a\x18\0\0\x80\xff" ONES), "finite, its 1-th"},
    };
    uint8_t graph[MOST], model[MOST];
    for (size_t i = 0; i < RUB_COUNT_OF(tensors); i++) {
        const size_t n = add_field(graph, 0, 5, tensors[i].bytes, tensors[i].n);
        assert_refused(&tensors[i], model, add_field(model, 0, 7, graph, n), i);
    }
    static const char good[] = "\x08\2\x08\3\x10\1\x42\1w" RAW;
    rub_error_t err = {0};
    float values[6];
    const size_t n = add_field(graph, 0, 5, good, sizeof good - 1);
    assert_int_equal(take(model, add_field(model, 0, 7, graph, n), values, &err), 0);
    assert_true(values[5] == 1.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_model_is_refused_with_its_byte),
        cmocka_unit_test(numbers_that_a_model_does_not_want_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
