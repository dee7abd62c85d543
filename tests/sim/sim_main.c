/* build/rubato-sim --seeds A..B | --seed N: runs each seed; exit 1 when a law was broken, with the
 * command that repeats the seed. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_summary.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int usage(void)
{
    fprintf(stderr,
            "usage: rubato-sim --seeds A..B [--jobs N] [--json] [--twice] [--cover] [SCENARIO]\n"
            "       rubato-sim --seed N [--trace | --shrink] [SCENARIO]\n"
            "  --jobs N    on N processes\n"
            "  --twice     each seed twice: its two histories must be the same\n"
            "  --cover     fails unless every kind of fault and answer happened at least once\n"
            "  --shrink    looks for a smaller scenario that breaks the same law\n"
            "SCENARIO: --profile quiet|network|power|pause|chaos, --without KIND,..., "
            "--only-faults I,...,\n"
            "  --workers N, --shards N, --epochs N, --steps N (at most), --no-guests\n"
            "kinds of faults:");
    for (unsigned kind = 0; rub_sim_fault_name(kind); kind++) {
        fprintf(stderr, " %s", rub_sim_fault_name(kind));
    }
    fprintf(stderr, "\n");
    return 2;
}

static bool read_number(const char *text, uint64_t *out)
{
    char *end = NULL;
    *out = strtoull(text, &end, 10);
    return end != text && *end == '\0' && text[0] >= '0' && text[0] <= '9';
}

static bool read_range(const char *text, uint64_t *first, uint64_t *last)
{
    char *end = NULL;
    *first = *last = strtoull(text, &end, 10);
    if (end == text || *end == '\0') {
        return end != text;
    }
    return strncmp(end, "..", 2) == 0 && read_number(end + 2, last) && *last >= *first;
}

static bool read_kind(const char *word, size_t length, uint64_t *bits)
{
    for (unsigned kind = 0; rub_sim_fault_name(kind); kind++) {
        const char *name = rub_sim_fault_name(kind);
        if (strlen(name) == length && strncmp(name, word, length) == 0) {
            *bits |= UINT64_C(1) << kind;
            return true;
        }
    }
    return false;
}

static bool read_index(const char *word, size_t length, uint64_t *bits)
{
    char digits[4] = "";
    uint64_t index = SIM_FAULTS;
    if (length < sizeof(digits)) {
        memcpy(digits, word, length);
    }
    if (!read_number(digits, &index) || index >= SIM_FAULTS) {
        return false;
    }
    *bits |= UINT64_C(1) << index;
    return true;
}

static bool read_list(const char *text, bool (*read_word)(const char *, size_t, uint64_t *),
                      uint64_t *bits)
{
    for (const char *at = text; *at != '\0';) {
        const size_t length = strcspn(at, ",");
        if (!read_word(at, length, bits)) {
            return false;
        }
        at += length + (at[length] == ',');
    }
    return true;
}

/* Options with a value. */
static bool read_option(const char *name, const char *value, rub_sim_options_t *options,
                        rub_sim_range_t *range)
{
    static const struct {
        const char *name;
        size_t offset;
    } sizes[] = {{"--workers", offsetof(rub_sim_options_t, workers)},
                 {"--shards", offsetof(rub_sim_options_t, shards)},
                 {"--epochs", offsetof(rub_sim_options_t, epochs)},
                 {"--steps", offsetof(rub_sim_options_t, steps)}};
    uint64_t number = 0;
    for (size_t i = 0; i < RUB_COUNT_OF(sizes); i++) {
        if (strcmp(name, sizes[i].name) == 0 && read_number(value, &number) && number < 1000) {
            const uint32_t size = (uint32_t)number;
            memcpy((char *)options + sizes[i].offset, &size, sizeof(size));
            return true;
        }
    }
    if (strcmp(name, "--jobs") == 0 && read_number(value, &number) && number >= 1 &&
        number <= SIM_JOBS_LIMIT) {
        range->jobs = (unsigned)number;
        return true;
    }
    if (strcmp(name, "--seed") == 0 || strcmp(name, "--seeds") == 0) {
        range->given = read_range(value, &range->first, &range->last);
        return range->given;
    }
    return (strcmp(name, "--profile") == 0 && rub_sim_read_profile(value, &options->profile)) ||
           (strcmp(name, "--without") == 0 && read_list(value, read_kind, &options->without)) ||
           (strcmp(name, "--only-faults") == 0 &&
            read_list(value, read_index, &options->only_faults));
}

static bool read_switch(const char *name, rub_sim_options_t *options, rub_sim_range_t *range)
{
    const struct {
        const char *name;
        bool *to;
    } switches[] = {{"--trace", &options->trace}, {"--no-guests", &options->no_guests},
                    {"--json", &range->json},     {"--twice", &range->twice},
                    {"--cover", &range->cover},   {"--shrink", &range->shrink}};
    for (size_t i = 0; i < RUB_COUNT_OF(switches); i++) {
        if (strcmp(name, switches[i].name) == 0) {
            *switches[i].to = true;
            return true;
        }
    }
    return false;
}

int main(int argc, char **argv)
{
    rub_sim_options_t options = {0};
    rub_sim_range_t range = {.jobs = 1};
    for (int i = 1; i < argc; i++) {
        if (read_switch(argv[i], &options, &range)) {
            continue;
        }
        if (i + 1 >= argc || !read_option(argv[i], argv[i + 1], &options, &range)) {
            return usage();
        }
        i++;
    }
    return range.given ? rub_sim_range(&options, &range) : usage();
}
