/* What a store asked of its disk, in order: writes, stores into mappings, sizes, names, syncs, and
 * between them what was promised to others meanwhile. record_writes.c fills it from the system
 * calls of this very process; disk_image.c makes of it the disks that a power loss could leave. */
#ifndef RUB_DISK_LOG_H
#define RUB_DISK_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUB_DISK_LINE 64u /* bytes that are stored into a mapping in one piece */

typedef enum {
    RUB_DISK_WRITE,         /* in the page cache */
    RUB_DISK_WRITE_THROUGH, /* O_DSYNC, RWF_DSYNC: on the platter when the call returns */
    RUB_DISK_STORE,         /* into a mapping: in the page cache, and cut by no call's borders */
    RUB_DISK_SIZE,
    RUB_DISK_NAME,       /* the file is now called so; empty: it has no name any more */
    RUB_DISK_SYNC,       /* fsync or fdatasync of a file: what was written before `begun` */
    RUB_DISK_SYNC_NAMES, /* of a folder */
    RUB_DISK_MARK
} rub_disk_kind_t;

typedef struct rub_disk_op {
    rub_disk_kind_t kind;
    uint32_t file;   /* MARK: rank */
    uint64_t offset; /* SIZE: the size; SYNC*: number of ops when it began; MARK: seq */
    uint64_t bytes;
    uint8_t *data; /* of a write */
    char name[96]; /* below the root; NAME, SYNC_NAMES */
} rub_disk_op_t;

typedef struct rub_disk_log {
    rub_disk_op_t *ops;
    size_t n, capacity;
    uint32_t n_files; /* numbers given */
} rub_disk_log_t;

/* From now on calls of this process on files below root (an absolute path) go into log, which the
 * caller keeps, and so does what it stores into shared mappings of them; boot_id is what the host
 * then says of its boot. One at a time; no such mapping is left when it begins. */
void rub_record_begin(rub_disk_log_t *log, const char *root, const char *boot_id);
/* A file that is there already gets its number. */
uint32_t rub_record_known(const char *name);
/* Nothing when nothing is being recorded. */
void rub_record_mark(uint32_t rank, uint64_t seq);
void rub_record_end(void);

/* Between these two, other threads wait before their next call that changes a file; the caller's
 * own calls go through. For reading a disk while its shard lives. */
void rub_record_hold(void);
void rub_record_let_go(void);

void rub_disk_log_fini(rub_disk_log_t *log);

#endif
