/* One file of the journal: its header, its frames, its making. Private to common/store.
 *
 * File: a header of 72 bytes, then frames. Names: "<number, 16 hex digits>.seg" in use,
 * "<number>.held" released but still read, "<counter>.free" ready for use (pre-written or
 * recycled), "<counter>.new" while being pre-written. The header is written when the segment is
 * taken into use and says where the one before it ended, so that a cut tail stays cut. */
#ifndef RUB_JOURNAL_SEGMENT_H
#define RUB_JOURNAL_SEGMENT_H

#include "include/rubato.h"

#include <stdatomic.h>
#include <stdbool.h>

#define RUB_SEGMENT_HEADER_BYTES 72u
#define RUB_FRAME_HEADER_BYTES 24u
#ifndef RUB_SEGMENT_MAPPED_FROM                       /* tests/crash maps small segments, too */
#define RUB_SEGMENT_MAPPED_FROM (64u * 1024u)         /* offset */
#define RUB_SEGMENT_MAPPED_ABOVE (4u * 1024u * 1024u) /* bytes of a segment */
#endif

typedef struct rub_segment {
    int fd;
    char *path;
    uint64_t bytes; /* of the file */
    /* ---- of a segment in use ---- */
    uint64_t number;       /* from 1, never used twice */
    uint64_t previous;     /* number of the one before; 0: none */
    uint64_t previous_end; /* offset behind the last record of the one before */
    uint64_t base_lsn;     /* of the last record before this segment; 0: none */
    uint64_t boot;         /* of the host when it was taken into use; 0: unknown */
    bool fresh;            /* held nothing but zeros when it was taken into use */
    bool whole;            /* the header was read and is good */
    uint64_t end;          /* offset behind the last record; final once another segment is in use */
    uint64_t last_lsn;     /* of the last record; base_lsn when there is none; final likewise */
    atomic_bool dirty;     /* written since the last fdatasync */
    atomic_bool header_dirty; /* the header alone, likewise */
    uint8_t *map; /* from RUB_SEGMENT_MAPPED_FROM on, to be written; NULL: pwritev writes */
    uint64_t mapped_bytes;
    uint64_t mapped_ms;    /* when */
    atomic_bool synced;    /* since it was mapped or last used again */
    bool faults_are_cheap; /* its pages are huge: a sync or write-back does not spoil the mapping */
} rub_segment_t;

/* Makes path as a file of that many zeros, all on the platter. RUB_ENOSPC or RUB_ESTORE: nothing is
 * left behind. */
int rub_segment_make(const char *path, uint64_t bytes, rub_segment_t **self_p, rub_error_t *err);
/* Opens a file of that name. number: from the name; 0: a free one, whose header is not looked at.
 * RUB_ECORRUPT: the header is of something else, or of a newer version. A torn header is no error:
 * whole is false then. */
int rub_segment_open(const char *path, uint64_t number, rub_segment_t **self_p, rub_error_t *err);
/* The same for who may read the file, and no more. */
int rub_segment_open_to_read(const char *path, uint64_t number, rub_segment_t **self_p,
                             rub_error_t *err);
/* Closes the file. NULL is fine. */
void rub_segment_close(rub_segment_t **self_p);
/* Writes the header from the members, then renames the file. */
int rub_segment_take(rub_segment_t *self, const char *path, rub_error_t *err);
/* Makes the next records cheap to write, before the segment is used (again): maps it, or leaves the
 * mapping that there is, unless writing over it would cost more than pwritev does. Never fails: a
 * segment without a mapping is written with pwritev. */
void rub_segment_map(rub_segment_t *self);
/* The mapping is so old that the kernel may have written its pages back, and that matters. */
bool rub_segment_map_is_stale(const rub_segment_t *self);
/* Puts the header of a segment in use on the platter, without its records. RUB_ESTORE. */
int rub_segment_sync_header(rub_segment_t *self, rub_error_t *err);
int rub_segment_rename(rub_segment_t *self, const char *path, rub_error_t *err);
int rub_segment_unlink(rub_segment_t *self, rub_error_t *err);
/* The whole file, 8-byte aligned, the caller's. Bytes that a shortened file lacks are zeros. */
int rub_segment_read(const rub_segment_t *self, uint8_t **data_p, rub_error_t *err);
/* So many bytes from the offset on into data; what the file lacks is zeros. RUB_ESTORE. */
int rub_segment_read_at(const rub_segment_t *self, uint64_t offset, uint8_t *data, uint64_t bytes,
                        rub_error_t *err);

typedef struct rub_framed {
    uint64_t lsn;
    uint8_t type;
    const uint8_t *payload; /* borrowed, 8-byte aligned when data is */
    uint32_t payload_bytes;
    uint64_t frame_bytes;
} rub_framed_t;

static inline uint64_t rub_frame_bytes(uint64_t payload_bytes)
{
    return RUB_FRAME_HEADER_BYTES + (payload_bytes + 7) / 8 * 8;
}

/* The first bytes of a frame, all but its CRC, and that CRC's beginning. */
uint32_t rub_frame_begin(uint8_t out[RUB_FRAME_HEADER_BYTES], uint64_t segment, uint64_t lsn,
                         uint8_t type, uint32_t payload_bytes);
void rub_frame_set_crc(uint8_t frame[RUB_FRAME_HEADER_BYTES], uint32_t crc);

/* Whether a frame could begin here: sane fields and an lsn above after_lsn. Fills record but checks
 * no CRC. */
bool rub_frame_plausible(const uint8_t *at, uint64_t left, uint64_t after_lsn,
                         rub_framed_t *record);
/* The same, and the CRC holds. */
bool rub_frame_valid(const uint8_t *at, uint64_t left, uint64_t segment, uint64_t after_lsn,
                     rub_framed_t *record);

#endif
