/* Features some at a time are those of the whole data set, and a file that is not as long as its
 * header says is refused when its end is come to. */
#include "tests/unit/worker/data/idx_fixture.h"
#include "worker/data/idx_stream.h"

#include <math.h>

enum { N = 5, WIDTH = 3 };

/* N x WIDTH features, more or fewer bytes of them. */
static void write_features(uint8_t type, bool gzip, int more)
{
    uint8_t data[4 + 8 + 4 * N * WIDTH + 16] = {0, 0, type, 2, 0, 0, 0, N, 0, 0, 0, WIDTH};
    const size_t item = type == 0x08 ? 1 : 4;
    for (size_t i = 0; i < N * WIDTH; i++) {
        const float value = (float)i - 2.5f;
        uint32_t word;
        memcpy(&word, &value, sizeof word);
        uint8_t *at = data + 12 + item * i;
        at[0] = item == 1 ? (uint8_t)(17 * i) : (uint8_t)(word >> 24);
        for (size_t k = 1; k < item; k++) {
            at[k] = (uint8_t)(word >> (24 - 8 * k));
        }
    }
    write_bytes(files.features, gzip, data, (size_t)((int)(12 + item * N * WIDTH) + more));
}

static int read_all(size_t most, float x[N * WIDTH], rub_error_t *err)
{
    rub_idx_stream_t *stream = NULL;
    size_t n = 1, at = 0;
    int rc = rub_idx_stream_open(files.features, &stream, err);
    while (rc == 0 && n > 0) {
        float rows[N * WIDTH];
        assert_int_equal(rub_idx_stream_width(stream), WIDTH);
        rc = rub_idx_stream_next(stream, most, rows, &n, err);
        assert_true(rc != 0 || n <= most);
        for (size_t i = 0; rc == 0 && i < n * WIDTH; i++) {
            x[at++] = rows[i];
        }
    }
    assert_true(rc != 0 || at == N * WIDTH);
    rub_idx_stream_close(&stream);
    return rc;
}

static void a_file_that_is_shorter_or_longer_than_its_header_says_is_refused(void **state)
{
    (void)state;
    float x[N * WIDTH];
    for (int more = -1; more <= 1; more += 2) {
        rub_error_t err = {0};
        write_features(0x08, false, more);
        assert_int_equal(read_all(2, x, &err), RUB_EDATA);
        assert_non_null(strstr(err.message, files.features));
    }
}

static void what_has_no_features_is_refused(void **state)
{
    (void)state;
    rub_error_t err = {0};
    float x[N * WIDTH];
    write_features(0x0c, false, 0); /* int32 */
    assert_int_equal(read_all(2, x, &err), RUB_EDATA);
    write_bytes(files.features, false, "text", 4);
    assert_int_equal(read_all(2, x, &err), RUB_EDATA);
}

static void slices_of_any_size_are_the_same_features(void **state)
{
    (void)state;
    const uint8_t types[] = {0x08, 0x0d};
    for (size_t t = 0; t < 2; t++) {
        for (size_t most = 1; most <= N + 1; most++) {
            rub_error_t err = {0};
            float x[N * WIDTH];
            write_features(types[t], most % 2 == 0, 0);
            assert_int_equal(read_all(most, x, &err), 0);
            for (size_t i = 0; i < N * WIDTH; i++) {
                const float expected =
                    types[t] == 0x08 ? (float)(uint8_t)(17 * i) / 255.0f : (float)i - 2.5f;
                assert_true(x[i] == expected);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_that_is_shorter_or_longer_than_its_header_says_is_refused),
        cmocka_unit_test(what_has_no_features_is_refused),
        cmocka_unit_test(slices_of_any_size_are_the_same_features),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
