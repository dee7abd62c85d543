/* Rows of a list of keys that comes again and again are looked for once, and taken from then on
 * without hash and index: of the lines of memory that a random row costs, the index's is the one
 * that has to come before the others can be asked for.
 *
 * Invariant: what is remembered is right as long as the table deletes nothing, because a row does
 * not move while its table is in use (a recovery does that, when nobody remembers anything); every
 * use compares the key all the same. A list with a row that is not there yet is sought again when
 * it comes again, a few times. */
#include "ps/row_lookup.h"

enum { TRIES = 3 };

bool rub_found_begin(const rub_ptable_t *self, const rub_rows_t *rows, size_t fetch_bytes)
{
    rub_found_rows_t *found = rows->found;
    if (!found || !found->whole) {
        return false;
    }
    if (found->n_deletes != self->n_deletes) {
        found->whole = false;
        found->tries = 0;
        return false;
    }
    for (size_t i = 0; i < rows->n_keys && i < RUB_ROWS_AHEAD; i++) {
        rub_fetch(rub_row_at(self, found->rows[i]), fetch_bytes);
    }
    return true;
}

void rub_found_seek(const rub_ptable_t *self, const rub_rows_t *rows)
{
    rub_found_rows_t *found = rows->found;
    if (!found || found->whole || found->tries == TRIES) {
        return;
    }
    rub_lookahead_t lookahead;
    size_t n_followed = 0, i = 0;
    found->tries++;
    found->n_deletes = self->n_deletes;
    rub_lookahead_open(&lookahead, self, rows->keys, rows->n_keys, sizeof(uint64_t));
    for (; i < rows->n_keys; i++) {
        const rub_probe_t *probe =
            rub_lookahead_take(&lookahead, self, rows->keys, rows->n_keys, sizeof(uint64_t), i);
        uint8_t *bytes;
        found->rows[i] = rub_probe_settle(self, probe, &bytes);
        if (found->rows[i] == RUB_INDEX_NONE) {
            return;
        }
        n_followed += i > 0 && found->rows[i] == found->rows[i - 1] + 1;
    }
    found->whole = 2 * n_followed < rows->n_keys;
    found->tries = found->whole ? found->tries : TRIES;
}
