/* The disks that a power loss could leave: a model of page cache and platter, moved along a log of
 * writes (disk_log.h).
 *
 * On the platter is for sure what a sync that has returned covers. Of everything written since,
 * each sector of 512 bytes holds any of its versions, each file any of its lengths, each name is
 * any of those it had. That is more than ext4 allows itself. The kernel may write a mapped page out
 * while somebody stores into it, so of a sector with stores even each line of 64 bytes holds any
 * version. */
#ifndef RUB_DISK_IMAGE_H
#define RUB_DISK_IMAGE_H

#include "tests/crash/disk_log.h"

#include "common/base/rng.h"

typedef struct rub_disk rub_disk_t;

/* A file of a disk: its content, and its name below the root (empty: none). */
typedef struct rub_disk_file {
    char name[96];
    uint8_t *data;
    uint64_t bytes, capacity;
} rub_disk_file_t;

typedef struct rub_image {
    rub_disk_file_t *files;
    uint32_t n_files;
    bool has_hole; /* a file of the journal lacks something before what it has */
} rub_image_t;

/* start: what was there when the recording began, in the order of the log's numbers (borrowed).
 * without_syncs: the control: a disk that ignores every sync. */
rub_disk_t *rub_disk_new(const rub_disk_log_t *log, const rub_image_t *start, bool without_syncs);
void rub_disk_destroy(rub_disk_t **self_p);
/* As of the first n_ops calls; n_ops never falls. */
void rub_disk_advance(rub_disk_t *self, size_t n_ops);
/* One possible disk; the way of choosing (0..RUB_IMAGE_WAYS-1) and the rng decide which. */
#define RUB_IMAGE_WAYS 8u
void rub_disk_image(const rub_disk_t *self, uint32_t way, rub_rng_t *rng, rub_image_t *image);

void rub_image_fini(rub_image_t *image);
/* Writes the named files below folder (made, with shard-0/journal), which must not be there. */
void rub_image_write(const rub_image_t *image, const char *folder);
/* Reads shard-0 below folder, in which nobody changes anything meanwhile (rub_record_hold). */
void rub_image_read(const char *folder, rub_image_t *image);

#endif
