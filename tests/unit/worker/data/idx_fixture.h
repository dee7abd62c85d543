/* For a test program whose tests each have a folder of their own, and files in it: set-up and
 * tear-down of a test. */
#ifndef TEST_IDX_FIXTURE_H
#define TEST_IDX_FIXTURE_H

#include "tests/unit/worker/data/idx_files.h"

static idx_files_t files;

static inline int make_files(void **state)
{
    (void)state;
    idx_files_init(&files);
    return 0;
}

static inline int remove_files(void **state)
{
    (void)state;
    idx_files_fini(&files);
    return 0;
}

#endif
