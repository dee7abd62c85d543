/* What beginnings of files look like. */
#include "worker/data/format_guess.h"

#include "common/base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define TABS_13 "\t\t\t\t\t\t\t\t\t\t\t\t\t"

static void every_format_is_known_by_its_beginning(void **state)
{
    RUB_UNUSED(state);
    static const struct {
        const char *text, *format;
    } rows[] = {
        {"1 3:1 7:0.5\n", "libsvm"},
        {"# a comment\n\n-1\t2:1\n", "libsvm"},
        {"0" TABS_13 TABS_13 TABS_13 "\n", "criteo"},
        {"2" TABS_13 TABS_13 TABS_13 "\n", "tsv"},
        {"label\tprice\n1\t2\n", "tsv"},
        {"label,price\n", "csv"},
        {"1,2,3\r\n", "csv"},
        {"\xef\xbb\xbf"
         "1 3:1 7:0.5\n",
         "libsvm"},
        {"\xef\xbb\xbfuserId,movieId,rating,timestamp\r\n", "ratings"},
        {"It was, they said, a bright day.\n", "text"},
        {"word\n", "text"},
        {"1::1193::5::978300760\n", "ratings"},
        {"anna::nocturne no. 2::4.5\n", "text"}, /* a blank: prose */
        {"anna::nocturne::4.5\n", "ratings"},
        {"196\t242\t3\t881250949\n", "ratings"},
        {"u1\ti 5\t4.5\t881250949000\r\n", "ratings"},
        {"userId,movieId,rating,timestamp\r\n", "ratings"},
        {"1,31,2.5,1260759144\n", "ratings"},
        {"1\t5\t3\t17\n", "tsv"}, /* no time */
        {"1\t5\t881250949\n", "tsv"},
        {"1,31,x,1260759144\n", "csv"},
        {"1,31,2.5,1260759144,7\n", "csv"},
        {"label,price,rating,city\n", "csv"},
        {"a\tb\trating\n", "tsv"},
        {"cat.n.1\thypernym\tfeline.n.1\nfeline.n.1\thypernym\tcarnivore.n.1\n", "triples"},
        {"a b\tis\t2nd\r\n2nd\tis\td\r\n", "triples"},
        {"city\tkind\tlabel\nbonn\tsmall\t1\n", "tsv"}, /* names, and a row */
        {"city\tkind\tlabel\nbonn\tsmall\t-1e3\r\n", "tsv"},
        {"bonn\tsmall\t1\noslo\tlarge\t0\n", "tsv"},
        {"1\tis\t2\n2\tis\t3\n", "tsv"}, /* numbers might be anything */
        {"a\tis\tb\n", "tsv"},           /* names alone */
        {"a\tis\tb\nc\t\td\n", "tsv"},   /* an empty field */
        {"a\tis\tb\nc\tis\t\n", "tsv"},
        {"a\tis\tb\nc\tis\td\te\n", "tsv"},
        {"see std::vector\n", "text"},
        {"std::vector\n", "text"},
        {"1 2 3\n", "text"},
        {"1\n", "text"},
        {"1,2", "text"}, /* a line that does not end here */
        {"", "text"},
        {"\x93NUMPY\1", "npy"},
        {"PK\3\4......", "npy"},
    };
    for (size_t i = 0; i < RUB_COUNT_OF(rows); i++) {
        const char *const found = rub_format_of(rows[i].text, strlen(rows[i].text));
        if (strcmp(found, rows[i].format) != 0) {
            fail_msg("'%s' is %s, expected %s", rows[i].text, found, rows[i].format);
        }
    }
    assert_string_equal(rub_format_of("\0\0\x08\x03", 4), "idx");
}

static void what_cannot_be_looked_at_is_refused(void **state)
{
    RUB_UNUSED(state);
    const char *format = NULL;
    rub_error_t err = {0};
    assert_int_equal(rub_format_guess("-", &format, &err), RUB_ECONFIG);
    assert_int_equal(rub_format_guess("/nowhere/at/all", &format, &err), RUB_EDATA);
    assert_non_null(strstr(err.message, "/nowhere/at/all"));
    assert_int_equal(rub_format_guess("x.npz:y", &format, &err), 0);
    assert_string_equal(format, "npy");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_is_known_by_its_beginning),
        cmocka_unit_test(what_cannot_be_looked_at_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
