/* A fleet within the test's process, and one session with it. */
#ifndef TEST_ONE_SESSION_H
#define TEST_ONE_SESSION_H

#include "include/rubato_inproc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static inline void one_session_open(const rub_inproc_options_t *wanted, rub_inproc_t **fleet_p,
                                    rub_session_t **session_p)
{
    rub_error_t err = {0};
    rub_options_t options;
    if (rub_inproc_start(wanted, fleet_p, &err) != 0) {
        fail_msg("%s", err.message);
    }
    rub_options_defaults(&options);
    options.scheduler = rub_inproc_address(*fleet_p);
    options.zmq_context = rub_inproc_context(*fleet_p);
    if (rub_open(&options, session_p, &err) != 0) {
        fail_msg("%s", err.message);
    }
}

static inline void one_session_close(rub_inproc_t **fleet_p, rub_session_t **session_p)
{
    assert_int_equal(rub_close(session_p, false, NULL), 0);
    assert_int_equal(rub_inproc_stop(fleet_p, NULL), 0);
}

#endif
