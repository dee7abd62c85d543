/* cut-journal FOLDER INCARNATION:NUMBER: what a power loss does to a journal, at its worst: every
 * record behind that lsn is zeros, and segments that hold nothing else are gone. Prints how many
 * records went. For tests/fleet/test_power_loss.sh, while no process holds the journal. */
#include "common/base/alloc.h"
#include "common/store/journal_segment.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Zeros behind the last record that stays. Returns how many went. */
static unsigned long cut(rub_segment_t *segment, uint64_t last_lsn)
{
    uint8_t *data = NULL;
    rub_error_t err;
    if (rub_segment_read(segment, &data, &err) != 0) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    uint64_t at = RUB_SEGMENT_HEADER_BYTES, before = segment->base_lsn, end = 0;
    unsigned long n = 0;
    rub_framed_t record;
    while (at < segment->bytes &&
           rub_frame_valid(data + at, segment->bytes - at, segment->number, before, &record)) {
        if (record.lsn > last_lsn) {
            end = end ? end : at;
            n++;
        }
        before = record.lsn;
        at += record.frame_bytes;
    }
    if (n > 0 && segment->base_lsn >= last_lsn) {
        (void)unlink(segment->path);
    } else if (n > 0) {
        memset(data + end, 0, at - end);
        if (pwrite(segment->fd, data + end, at - end, (off_t)end) != (ssize_t)(at - end)) {
            perror(segment->path);
            exit(1);
        }
    }
    rub_free(data);
    return n;
}

int main(int argc, char **argv)
{
    unsigned long long incarnation = 0, number = 0;
    if (argc != 3 || sscanf(argv[2], "%llu:%llu", &incarnation, &number) != 2) {
        fprintf(stderr, "usage: %s JOURNAL INCARNATION:NUMBER\n", argv[0]);
        return 2;
    }
    DIR *folder = opendir(argv[1]);
    unsigned long n = 0;
    for (struct dirent *entry = folder ? readdir(folder) : NULL; entry; entry = readdir(folder)) {
        char path[4096];
        rub_segment_t *segment = NULL;
        rub_error_t err;
        if (strlen(entry->d_name) != 20 || strcmp(entry->d_name + 16, ".seg") != 0) {
            continue;
        }
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        if (rub_segment_open(path, strtoull(entry->d_name, NULL, 16), &segment, &err) != 0) {
            fprintf(stderr, "%s\n", err.message);
            return 1;
        }
        n += segment->whole ? cut(segment, (uint64_t)incarnation << 40 | number) : 0;
        rub_segment_close(&segment);
    }
    if (!folder) {
        perror(argv[1]);
        return 1;
    }
    (void)closedir(folder);
    printf("%lu\n", n);
    return 0;
}
