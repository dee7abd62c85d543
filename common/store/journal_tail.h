/* A note beside the journal's segments: so far it was on the platter. What vouches for the end of a
 * journal otherwise lies in that end itself, so damage may take both at once; then the note tells.
 * Private to common/store.
 *
 * The note is written after a sync of the journal and is not synced: it may be behind the truth,
 * never before it. */
#ifndef RUB_JOURNAL_TAIL_H
#define RUB_JOURNAL_TAIL_H

#include "include/rubato.h"

typedef struct rub_tail {
    int fd; /* -1: not open */
    uint64_t lsn;
    unsigned slot; /* where the next note goes */
} rub_tail_t;

#define RUB_TAIL_CLOSED ((rub_tail_t){.fd = -1})

/* Notes in folder that the journal is on the platter up to lsn. A note that can not be written is
 * left out: nobody depends on it. */
void rub_tail_note(rub_tail_t *self, const char *folder, uint64_t lsn);
/* Closes the file. */
void rub_tail_close(rub_tail_t *self);
/* Removes the note: from here on the journal may end earlier. On the platter when this returns.
 * RUB_ESTORE. */
int rub_tail_remove(rub_tail_t *self, const char *folder, rub_error_t *err);
/* Fails with RUB_ECORRUPT when the note in folder says that the journal, which ends with last_lsn,
 * was longer on the platter, or is of a newer format. No note, or one that does not check out, says
 * nothing. RUB_ESTORE: it can not be read; RUB_ENOMEM. */
int rub_tail_check(const char *folder, uint64_t last_lsn, rub_error_t *err);

#endif
