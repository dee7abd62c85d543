/* Standard input as training data.
 *
 * Why a copy: standard input is read once, by one process. A worker that was killed and is started
 * again reads its data again, and so does a second worker, a second epoch, and who measures the run
 * later; so what is read once is kept, as is what lies behind an address. A run that streams
 * without a copy would have to give all that up. Bytes stay as they come: what is compressed stays
 * so. */
#include "cli/piped_data.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/proc/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COPY_NAME "standard-input"
#define BLOCK_BYTES ((size_t)1 << 20)

enum { LOOK_MS = 100 }; /* for signals, while nothing comes */

bool rub_piped_data_wanted(const rub_config_t *config)
{
    return strcmp(config->train_file, "-") == 0;
}

/* Up to a block; *got_p 0: the end. Who writes there may take for ever; who waits may not want to.
 */
static int read_some(void *block, size_t *got_p, rub_error_t *err)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    int ready = 0;
    *got_p = 0;
    while (ready == 0 || (ready < 0 && errno == EINTR)) {
        if (*rub_signals_count() > 0) {
            return rub_fail(err, RUB_EINTR,
                            "train_file: interrupted while standard input was read");
        }
        ready = poll(&input, 1, LOOK_MS);
    }
    const ssize_t got = ready > 0 ? read(STDIN_FILENO, block, BLOCK_BYTES) : -1;
    *got_p = got > 0 ? (size_t)got : 0;
    return got >= 0 ? 0
                    : rub_fail_errno(err, RUB_EDATA, errno,
                                     "train_file: standard input can not be read");
}

static int copy(int fd, const char *path, uint64_t *bytes_p, rub_error_t *err)
{
    uint8_t *const block = rub_alloc(BLOCK_BYTES);
    size_t got = 1;
    int rc = block ? 0 : rub_fail(err, RUB_ENOMEM, "train_file: no memory for standard input");
    *bytes_p = 0;
    while (rc == 0 && got > 0) {
        rub_error_t cause = {0};
        rc = read_some(block, &got, err);
        if (rc == 0 && got > 0 && (rc = rub_fs_pwrite(fd, block, got, *bytes_p, &cause)) != 0) {
            rc = rub_fail(err, rc == RUB_ENOSPC ? rc : RUB_ESTORE,
                          "train_file: standard input does not go to '%s' behind byte %" PRIu64
                          ": %s",
                          path, *bytes_p, cause.message);
        }
        *bytes_p += got;
    }
    rub_free(block);
    return rc;
}

int rub_piped_data_take(const rub_run_folder_t *folder, rub_config_t *config, FILE *people,
                        rub_error_t *err)
{
    char path[PATH_MAX], whole[PATH_MAX];
    uint64_t bytes = 0;
    rub_run_folder_file(folder, COPY_NAME, path);
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) {
        return rub_fail_errno(err, RUB_ESTORE, errno, "train_file: cannot make '%s'", path);
    }
    fprintf(people, "standard input goes to %s, to its end\n", path);
    (void)fflush(people);
    int rc = copy(fd, path, &bytes, err);
    if (close(fd) != 0 && rc == 0) {
        rc = rub_fail_errno(err, RUB_ESTORE, errno, "train_file: cannot write '%s'", path);
    }
    if (rc == 0 && bytes == 0) {
        rc = rub_fail(err, RUB_EDATA, "train_file: standard input is empty");
    }
    if (rc == 0 && !realpath(path, whole)) {
        rc = rub_fail_errno(err, RUB_ESTORE, errno, "train_file: cannot find '%s'", path);
    }
    if (rc == 0) {
        fprintf(people, "it had %" PRIu64 " bytes\n", bytes);
        (void)fflush(people); /* before what is wrong with it is said on standard error */
        rc = rub_config_set(config, RUB_OPT_train_file, whole, RUB_FROM_PROGRAM, "", err);
    }
    if (rc != 0) {
        (void)unlink(path);
    }
    return rc;
}

void rub_piped_data_drop(const rub_run_folder_t *folder)
{
    char path[PATH_MAX];
    (void)unlink(rub_run_folder_file(folder, COPY_NAME, path));
}
