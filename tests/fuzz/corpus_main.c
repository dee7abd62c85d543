/* Runs a fuzz target over files and folders of them, where the compiler has no fuzzer: every build
 * holds every input that was ever interesting. With --mutate N each file is also run N times with
 * a few bytes changed, the same ones each time.
 *
 * Prints how many inputs there were; none is a failure. */
#include "common/base/rng.h"
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static uint64_t n_inputs, n_mutations;

static void mutate(const uint8_t *data, size_t size)
{
    rub_rng_t rng;
    rub_rng_init(&rng, size, n_inputs);
    for (uint64_t i = 0; i < n_mutations && size > 0; i++) {
        const size_t kept = rub_rng_below(&rng, 4) ? size : 1 + rub_rng_below(&rng, size);
        uint8_t *copy = malloc(kept); /* exact, so that a sanitizer sees one byte too far */
        RUB_ASSERT(copy);
        memcpy(copy, data, kept);
        for (uint64_t n = 1 + rub_rng_below(&rng, 8); n > 0; n--) {
            copy[rub_rng_below(&rng, kept)] = (uint8_t)rub_rng_u32(&rng);
        }
        (void)LLVMFuzzerTestOneInput(copy, kept);
        free(copy);
        n_inputs++;
    }
}

static int run_file(const char *path)
{
    FILE *in = fopen(path, "rb");
    struct stat stat;
    if (!in || fstat(fileno(in), &stat) != 0) {
        fprintf(stderr, "%s: cannot be read\n", path);
        return 1;
    }
    const size_t size = (size_t)stat.st_size;
    uint8_t *data = malloc(size ? size : 1);
    RUB_ASSERT(data);
    RUB_ASSERT(fread(data, 1, size, in) == size);
    (void)fclose(in);
    (void)LLVMFuzzerTestOneInput(data, size);
    n_inputs++;
    mutate(data, size);
    free(data);
    return 0;
}

static int run_folder(const char *path)
{
    DIR *folder = opendir(path);
    if (!folder) {
        return run_file(path);
    }
    int rc = 0;
    for (struct dirent *entry = readdir(folder); entry && !rc; entry = readdir(folder)) {
        char file[4096];
        if (entry->d_name[0] != '.') {
            (void)snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
            rc = run_file(file);
        }
    }
    (void)closedir(folder);
    return rc;
}

int main(int argc, char **argv)
{
    int rc = 0;
    for (int i = 1; i < argc && !rc; i++) {
        if (strcmp(argv[i], "--mutate") == 0 && i + 1 < argc) {
            n_mutations = strtoull(argv[++i], NULL, 10);
        } else {
            rc = run_folder(argv[i]);
        }
    }
    printf("%llu inputs\n", (unsigned long long)n_inputs);
    return rc || n_inputs == 0;
}
