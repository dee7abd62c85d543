/* Reading a journal that is not ours: one that another thread appends to, or one that nobody uses.
 * Nothing is cut, renamed or synced, and no judgement about a torn tail changes the files. */
#ifndef RUB_JOURNAL_READ_H
#define RUB_JOURNAL_READ_H

#include "common/store/journal_file.h"

/* Where journal_keep puts the segments that recovery no longer needs: a folder in the journal's. */
#define RUB_JOURNAL_KEPT_FOLDER "kept"

/* Visits, in order, all records with from_lsn <= lsn <= to_lsn of the segments in folder and in its
 * folder of kept ones. to_lsn UINT64_MAX: to the end, which nobody may be writing then. Otherwise
 * to_lsn must be a record that was written before the call, and its segments and all from from_lsn
 * on must be held until the return (rub_journal_hold); others may come and go. visit: as for
 * rub_journal_replay. *last_lsn_p (may be NULL): of the last record seen. RUB_ECORRUPT: segments
 * are missing or damaged (names segment and offset), or the journal ends before to_lsn.
 * RUB_ESTORE, RUB_ENOMEM. Blocks. */
int rub_journal_read(const char *folder, uint64_t from_lsn, uint64_t to_lsn,
                     rub_journal_visit_t visit, void *context, uint64_t *last_lsn_p,
                     rub_error_t *err);

/* What a look at a whole journal found. */
typedef struct rub_journal_findings {
    uint64_t n_segments, n_spare, file_bytes;
    uint64_t base_lsn, last_lsn; /* of the last record before the first segment; of the last one */
    uint64_t n_records, record_bytes;
    uint64_t torn_bytes; /* of an unfinished write at the end, which the next opening cuts off */
    char end_path[256];  /* the segment of the last record, and the offset behind it; "" for none */
    uint64_t end_offset;
    bool rebooted; /* the host was started again since it was written: its end may be missing */
} rub_journal_findings_t;

/* Looks at every record of the journal in folder, which nobody writes to, in order, as a recovery
 * that needs all of them would; changes nothing. redo_lsn: the store's; 0: unknown. When the host
 * was started again since any of it was written, what lies before that may be missing and is not
 * looked at. visit may be NULL. RUB_ECORRUPT, with findings up to there: a segment is missing or
 * not ours, or a record is damaged (segment and offset). RUB_ESTORE, RUB_ENOMEM; or what visit
 * returned. A folder that is not there is an empty journal. Blocks. */
int rub_journal_inspect(const char *folder, uint64_t redo_lsn, rub_journal_visit_t visit,
                        void *context, rub_journal_findings_t *findings, rub_error_t *err);

#endif
