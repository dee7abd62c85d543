/* Rubato in 40 lines: each worker adds one to a shared vector, period by period, and reads the sum.
 * Start one process per worker of the job: example-pull_push tcp://127.0.0.1:5555 */
#include <rubato.h>
#include <stdio.h>

enum { N = RUB_BLOCK, PERIODS = 10 };

int main(int argc, char **argv)
{
    rub_error_t err = {0};
    rub_session_t *session = NULL;
    rub_table_t table;
    static float ones[N], sum[N];
    for (int i = 0; i < N; i++) {
        ones[i] = 1.0f;
    }
    rub_options_t options;
    rub_schema_t schema;
    rub_options_defaults(&options);
    rub_schema_defaults(&schema);
    options.scheduler = argc > 1 ? argv[1] : "tcp://127.0.0.1:5555";
    schema.name = "votes";
    schema.elements = N;
    schema.optimizer = RUB_ADD; /* what is pushed is added: no learning rate, no sign */

    int rc = rub_open(&options, &session, &err);
    rc = rc ? rc : rub_table_open(session, &schema, &table, &err);
    for (int period = 0; period < PERIODS && !rc; period++) {
        rc = rub_push_range(session, table, 0, N, ones, NULL, &err);
        rc = rc ? rc : rub_clock(session, NULL, 0, &err);
    }
    rc = rc ? rc : rub_barrier(session, NULL, 0, &err); /* now everybody's votes are in */
    rc = rc ? rc : rub_pull_range(session, table, 0, N, sum, &err);
    if (!rc) {
        printf("votes: %.0f\n", (double)sum[0]);
    }
    rc = session && !rc ? rub_close(&session, true, &err) : rc;
    rub_abandon(&session);
    return rc ? (fprintf(stderr, "%s: %s\n", rub_error_name(rc), err.message), 1) : 0;
}
