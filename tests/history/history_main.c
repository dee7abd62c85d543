/* rubato-history [--json] FILE...: merges what the processes of a fleet have logged over a ledger
 * table, and says whether every law held. Exit 0: yes; 1: a law was broken, named with the read
 * that shows it; 2: usage; 4: a file that is no history. */
#include "common/base/error.h"
#include "tests/history/history_files.h"

#include <inttypes.h>
#include <string.h>

static int report(const rub_history_t *history, uint64_t n_events, bool json)
{
    const rub_law_t law = rub_history_law(history);
    printf(json ? "{\"events\":%" PRIu64 ",\"pushes\":%" PRIu64 ",\"reads\":%" PRIu64
                  ",\"law\":\"%s\"}\n"
                : "%" PRIu64 " events, %" PRIu64 " pushes, %" PRIu64
                  " reads judged; broken law: %s\n",
           n_events, rub_history_pushes(history), rub_history_reads(history), rub_law_name(law));
    if (law != RUB_LAW_NONE) {
        fprintf(stderr, "rubato-history: %s: %s\n", rub_law_name(law),
                rub_history_sentence(history));
    }
    return law == RUB_LAW_NONE ? 0 : 1;
}

int main(int argc, char **argv)
{
    const bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
    const int first = json ? 2 : 1;
    if (argc <= first || argv[first][0] == '-') {
        fprintf(stderr, "usage: rubato-history [--json] FILE...\n");
        return 2;
    }
    rub_error_t err = {0};
    rub_history_files_t *files = NULL;
    rub_history_t *history = NULL;
    uint64_t n_events = 0;
    int code = 4;
    if (rub_history_files_open(argv + first, (size_t)(argc - first), &files, &err) != 0) {
        goto out;
    }
    history = rub_history_new(rub_history_files_config(files));
    if (!history) {
        rub_fail(&err, RUB_ENOMEM, "no memory for the history");
        goto out;
    }
    rub_history_event_t event;
    while (rub_history_files_next(files, &event, &err) && rub_history_step(history, &event)) {
        n_events++;
    }
    if (err.code == 0) {
        code = report(history, n_events, json);
    }
out:
    if (err.code != 0) {
        fprintf(stderr, "rubato-history: %s\n", err.message);
    }
    rub_history_destroy(&history);
    rub_history_files_close(&files);
    return code;
}
