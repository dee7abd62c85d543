/* Writes click logs in LIBSVM's format as fast as a disk takes them, for runs on more data than
 * memory holds: click_rows FOLDER GIGABYTES [FILES]. (scripts/clicks-data writes what is more like
 * the world, at a hundredth of the speed.)
 *
 * A row has 39 features with value 1, of 39 columns with vocabularies from 8 to 131,072; low
 * numbers are frequent. The log-odds of a click are a constant and the sum of one weight per
 * feature, drawn from its index; so a model can learn them, and a test file can tell. Every number
 * is a function of the row's, so files differ and a folder written twice is the same. */
#include "common/base/hash.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { COLUMNS = 39, ROW_BYTES_MOST = 2 + COLUMNS * 12, BUFFER_BYTES = 1 << 20 };

static double unit(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    return (double)(rub_mix64(*state) >> 11) * 0x1p-53;
}

/* Uniform from -0.5 to 0.5, times what makes the odds spread over a few units. */
static double weight_of(uint32_t index)
{
    return ((double)(rub_mix64(index) >> 11) * 0x1p-53 - 0.5) * 0.8;
}

static char *write_index(char *at, uint32_t index)
{
    char digits[10];
    unsigned n = 0;
    do {
        digits[n++] = (char)('0' + index % 10);
        index /= 10;
    } while (index > 0);
    *at++ = ' ';
    while (n > 0) {
        *at++ = digits[--n];
    }
    *at++ = ':';
    *at++ = '1';
    return at;
}

static char *write_row(char *at, uint64_t row)
{
    uint64_t state = rub_mix64(row + 1);
    char *const label = at++;
    double odds = -1.2;
    uint32_t first = 1;
    for (unsigned column = 0; column < COLUMNS; column++) {
        const uint32_t size = 8u << column % 15;
        const double u = unit(&state);
        const uint32_t index = first + (uint32_t)(u * u * u * size);
        odds += weight_of(index);
        at = write_index(at, index);
        first += size;
    }
    *label = unit(&state) < 1 / (1 + exp(-odds)) ? '1' : '0';
    *at++ = '\n';
    return at;
}

/* Rows from *row_p on, until the file has that many bytes. */
static int write_file(const char *path, uint64_t bytes, uint64_t *row_p)
{
    static char buffer[BUFFER_BYTES + ROW_BYTES_MOST];
    FILE *const file = fopen(path, "w");
    if (!file) {
        return -1;
    }
    int rc = 0;
    for (uint64_t written = 0; rc == 0 && written < bytes;) {
        char *at = buffer;
        while (at < buffer + BUFFER_BYTES && written + (uint64_t)(at - buffer) < bytes) {
            at = write_row(at, (*row_p)++);
        }
        const size_t n = (size_t)(at - buffer);
        rc = fwrite(buffer, 1, n, file) == n ? 0 : -1;
        written += n;
    }
    return fclose(file) == 0 ? rc : -1;
}

int main(int argc, char **argv)
{
    const double gigabytes = argc > 2 ? strtod(argv[2], NULL) : 0;
    const unsigned long files = argc > 3 ? strtoul(argv[3], NULL, 10) : 8;
    if (argc > 4 || !(gigabytes > 0) || files == 0 || files > 10000) {
        (void)fprintf(stderr, "usage: click_rows FOLDER GIGABYTES [FILES]\n");
        return 2;
    }
    uint64_t row = 0;
    int rc = 0;
    (void)mkdir(argv[1], 0777);
    for (unsigned long i = 0; rc == 0 && i < files; i++) {
        char path[4096];
        (void)snprintf(path, sizeof path, "%s/rows-%04lu.svm", argv[1], i);
        rc = write_file(path, (uint64_t)(gigabytes * 1e9 / (double)files), &row);
        if (rc) {
            perror(path);
        }
    }
    printf("%" PRIu64 " rows\n", row);
    return rc ? 1 : 0;
}
