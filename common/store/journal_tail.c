/* Two slots, each in a sector of its own and written in turn, so that a torn one leaves the other.
 * Every note was true when it was written and stays so, because lsns are never given twice and the
 * journal never loses what was on the platter: the highest that checks out counts. The one
 * exception is a journal that is trimmed, whose note goes first. */
#include "common/store/journal_tail.h"

#include "common/base/alloc.h"
#include "common/base/bytes.h"
#include "common/base/crc32c.h"
#include "common/base/error.h"
#include "common/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

static const uint8_t magic[8] = {'R', 'U', 'B', 'T', 'A', 'I', 'L', '\n'};
enum { TAIL_VERSION = 1, SLOTS = 2, SLOT_BYTES = 512, NOTE_BYTES = 24 };

/* magic 8 | version u32 | crc u32 of all the rest | lsn u64 */
static void note_write(uint64_t lsn, uint8_t out[NOTE_BYTES])
{
    memcpy(out, magic, sizeof(magic));
    rub_put_u32(out + 8, TAIL_VERSION);
    rub_put_u32(out + 12, 0);
    rub_put_u64(out + 16, lsn);
    rub_put_u32(out + 12, rub_crc32c(0, out, NOTE_BYTES));
}

/* 0 for what does not check out. */
static uint64_t note_read(const uint8_t *in, uint32_t *version_p)
{
    uint8_t copy[NOTE_BYTES];
    memcpy(copy, in, NOTE_BYTES);
    rub_put_u32(copy + 12, 0);
    if (memcmp(in, magic, sizeof(magic)) != 0 ||
        rub_crc32c(0, copy, NOTE_BYTES) != rub_get_u32(in + 12)) {
        return 0;
    }
    *version_p = rub_get_u32(in + 8);
    return rub_get_u64(in + 16);
}

static char *path_in(const char *folder, rub_error_t *err)
{
    char *path = rub_sprintf("%s/tail", folder);
    if (!path) {
        (void)rub_fail(err, RUB_ENOMEM, "no memory for a path in %s", folder);
    }
    return path;
}

static void open_note(rub_tail_t *self, const char *folder)
{
    char *path = path_in(folder, NULL);
    if (path) {
        self->fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    }
    rub_free(path);
}

void rub_tail_note(rub_tail_t *self, const char *folder, uint64_t lsn)
{
    uint8_t note[NOTE_BYTES];
    if (lsn <= self->lsn) {
        return;
    }
    if (self->fd < 0) {
        open_note(self, folder);
    }
    note_write(lsn, note);
    if (self->fd >= 0 &&
        rub_fs_pwrite(self->fd, note, sizeof(note), (uint64_t)self->slot * SLOT_BYTES, NULL) == 0) {
        self->lsn = lsn;
        self->slot = (self->slot + 1) % SLOTS;
    }
}

void rub_tail_close(rub_tail_t *self)
{
    if (self->fd >= 0) {
        (void)close(self->fd);
    }
    *self = RUB_TAIL_CLOSED;
}

int rub_tail_remove(rub_tail_t *self, const char *folder, rub_error_t *err)
{
    rub_tail_close(self);
    char *path = path_in(folder, err);
    if (!path) {
        return RUB_ENOMEM;
    }
    int rc = 0;
    if (unlink(path) == 0) {
        rc = rub_fs_sync_folder(folder, err) ? rub_wrap(err, RUB_ESTORE, "journal") : 0;
    } else if (errno != ENOENT) {
        rc = rub_fail_errno(err, RUB_ESTORE, errno, "cannot remove %s", path);
    }
    rub_free(path);
    return rc;
}

int rub_tail_check(const char *folder, uint64_t last_lsn, rub_error_t *err)
{
    char *path = path_in(folder, err);
    char *data = NULL;
    size_t bytes = 0;
    int rc = path ? 0 : RUB_ENOMEM;
    if (rc || !rub_fs_exists(path)) {
        goto out;
    }
    rc = rub_fs_read(path, SLOTS * SLOT_BYTES, &data, &bytes, err);
    if (rc) {
        rc = rub_wrap(err,
                      rc == RUB_ELIMIT   ? RUB_ECORRUPT
                      : rc == RUB_ENOMEM ? RUB_ENOMEM
                                         : RUB_ESTORE,
                      "the journal's note");
        goto out;
    }
    for (size_t at = 0; at + NOTE_BYTES <= bytes && !rc; at += SLOT_BYTES) {
        uint32_t version = TAIL_VERSION;
        const uint64_t lsn = note_read((const uint8_t *)data + at, &version);
        if (version != TAIL_VERSION) {
            rc = rub_fail(err, RUB_ECORRUPT, "%s: format version %u, this program reads %d", path,
                          version, TAIL_VERSION);
        } else if (lsn > last_lsn) {
            rc = rub_fail(err, RUB_ECORRUPT,
                          "the journal in %s is damaged: it ends with lsn %" PRIu64
                          ", it had been synced up to %" PRIu64,
                          folder, last_lsn, lsn);
        }
    }
out:
    rub_free(data);
    rub_free(path);
    return rc;
}
