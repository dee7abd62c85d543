/* Page cache and platter. Every file has its content as the platter surely has it, and the changes
 * since (pending, by number of the call); an image takes from the pending ones, sector by sector, a
 * prefix in time, because a sector was written out at some moment and never comes back. Of stores
 * into a mapping it takes a prefix line by line: a page that is written out while the processor
 * stores into it has some lines of that moment and some of before. */
#include "tests/crash/disk_image.h"

#include "common/base/alloc.h"
#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/base/hash.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SECTOR = 512, PAGE = 4096, PIECE = 32 * 1024 };

typedef struct file {
    rub_disk_file_t platter;
    uint64_t *written_by; /* sector: 1 + the last call whose version the platter surely has */
    size_t n_sectors;
    size_t *pending; /* numbers of calls: writes, sizes, names */
    size_t n_pending, capacity;
} file_t;

struct rub_disk {
    const rub_disk_log_t *log;
    bool without_syncs;
    file_t *files;
    uint32_t n_files;
    size_t at;
};

static void reserve(rub_disk_file_t *file, uint64_t bytes)
{
    if (bytes > file->capacity) {
        uint8_t *data = rub_calloc(1, bytes * 2);
        RUB_ASSERT(data);
        if (file->data) {
            memcpy(data, file->data, file->bytes);
        }
        rub_free(file->data);
        file->data = data;
        file->capacity = bytes * 2;
    }
}

static void set_size(rub_disk_file_t *file, uint64_t bytes)
{
    reserve(file, bytes);
    if (bytes < file->bytes) {
        memset(file->data + bytes, 0, file->bytes - bytes);
    }
    file->bytes = bytes;
}

static void copy_file(rub_disk_file_t *to, const rub_disk_file_t *from)
{
    *to = (rub_disk_file_t){0};
    memcpy(to->name, from->name, sizeof(to->name));
    set_size(to, from->bytes);
    if (from->bytes > 0) {
        memcpy(to->data, from->data, from->bytes);
    }
}

rub_disk_t *rub_disk_new(const rub_disk_log_t *log, const rub_image_t *start, bool without_syncs)
{
    rub_disk_t *self = rub_calloc(1, sizeof(*self));
    RUB_ASSERT(self);
    self->log = log;
    self->without_syncs = without_syncs;
    self->n_files = log->n_files;
    self->files = rub_calloc(log->n_files + 1, sizeof(file_t));
    for (uint32_t i = 0; i < start->n_files; i++) {
        copy_file(&self->files[i].platter, &start->files[i]);
    }
    return self;
}

void rub_disk_destroy(rub_disk_t **self_p)
{
    rub_disk_t *self = *self_p;
    *self_p = NULL;
    for (uint32_t i = 0; self && i < self->n_files; i++) {
        rub_free(self->files[i].platter.data);
        rub_free(self->files[i].written_by);
        rub_free(self->files[i].pending);
    }
    if (self) {
        rub_free(self->files);
    }
    rub_free(self);
}

static uint64_t *written_by(file_t *file, size_t sector)
{
    if (sector >= file->n_sectors) {
        const size_t n = (sector + 1) * 2;
        uint64_t *items = rub_calloc(n, sizeof(*items));
        RUB_ASSERT(items);
        if (file->written_by) {
            memcpy(items, file->written_by, file->n_sectors * sizeof(*items));
        }
        rub_free(file->written_by);
        file->written_by = items;
        file->n_sectors = n;
    }
    return &file->written_by[sector];
}

/* The part of a write that lies in begin..end - 1. */
static void put(rub_disk_file_t *to, const rub_disk_op_t *op, uint64_t begin, uint64_t end)
{
    const uint64_t from = begin > op->offset ? begin : op->offset;
    const uint64_t until = op->offset + op->bytes < end ? op->offset + op->bytes : end;
    reserve(to, until);
    memcpy(to->data + from, op->data + (from - op->offset), until - from);
}

static void put_sector(rub_disk_file_t *to, const rub_disk_op_t *op, uint64_t sector)
{
    put(to, op, sector * SECTOR, (sector + 1) * SECTOR);
}

/* A call whose effect is on the platter from now on. */
static void settle(rub_disk_t *self, file_t *file, size_t number)
{
    const rub_disk_op_t *op = &self->log->ops[number];
    if (op->kind == RUB_DISK_SIZE) {
        set_size(&file->platter, op->offset);
        return;
    }
    if (op->offset + op->bytes > file->platter.bytes) {
        set_size(&file->platter, op->offset + op->bytes);
    }
    for (uint64_t s = op->offset / SECTOR; s * SECTOR < op->offset + op->bytes; s++) {
        uint64_t *by = written_by(file, s);
        if (number + 1 > *by) {
            put_sector(&file->platter, op, s);
            *by = number + 1;
        }
    }
}

static bool is_name(const rub_disk_t *self, size_t number)
{
    return self->log->ops[number].kind == RUB_DISK_NAME;
}

/* Data calls before `begun` are on the platter. */
static void sync_data(rub_disk_t *self, file_t *file, size_t begun)
{
    size_t kept = 0;
    for (size_t i = 0; i < file->n_pending; i++) {
        if (file->pending[i] < begun && !is_name(self, file->pending[i])) {
            settle(self, file, file->pending[i]);
        } else {
            file->pending[kept++] = file->pending[i];
        }
    }
    file->n_pending = kept;
}

static void sync_names(rub_disk_t *self, size_t begun)
{
    for (uint32_t f = 0; f < self->n_files; f++) {
        file_t *file = &self->files[f];
        size_t kept = 0;
        for (size_t i = 0; i < file->n_pending; i++) {
            if (file->pending[i] < begun && is_name(self, file->pending[i])) {
                memcpy(file->platter.name, self->log->ops[file->pending[i]].name,
                       sizeof(file->platter.name));
            } else {
                file->pending[kept++] = file->pending[i];
            }
        }
        file->n_pending = kept;
    }
}

static void add_pending(file_t *file, size_t number)
{
    RUB_ASSERT(rub_grow(&file->pending, &file->capacity, file->n_pending + 1, sizeof(size_t)) == 0);
    file->pending[file->n_pending++] = number;
}

/* A sector goes out as it stands in the page cache: with all that was written to it before. */
static void settle_sectors(rub_disk_t *self, file_t *file, const rub_disk_op_t *through)
{
    const uint64_t first = through->offset / SECTOR;
    const uint64_t end = (through->offset + through->bytes + SECTOR - 1) / SECTOR;
    for (size_t i = 0; i < file->n_pending; i++) {
        const rub_disk_op_t *op = &self->log->ops[file->pending[i]];
        const bool writes = op->kind == RUB_DISK_WRITE || op->kind == RUB_DISK_WRITE_THROUGH ||
                            op->kind == RUB_DISK_STORE;
        for (uint64_t s = first; writes && s < end; s++) {
            const bool here = op->offset < (s + 1) * SECTOR && op->offset + op->bytes > s * SECTOR;
            if (here && file->pending[i] + 1 > *written_by(file, s)) {
                put_sector(&file->platter, op, s);
                *written_by(file, s) = file->pending[i] + 1;
            }
        }
    }
}

static void take(rub_disk_t *self, size_t number)
{
    const rub_disk_op_t *op = &self->log->ops[number];
    file_t *file = &self->files[op->file];
    switch (op->kind) {
    case RUB_DISK_WRITE:
    case RUB_DISK_STORE:
    case RUB_DISK_SIZE:
    case RUB_DISK_NAME:
        add_pending(file, number);
        break;
    case RUB_DISK_WRITE_THROUGH: /* its sectors go out as they stand; others may wait */
        if (self->without_syncs) {
            add_pending(file, number);
        } else {
            settle_sectors(self, file, op);
            settle(self, file, number);
        }
        break;
    case RUB_DISK_SYNC:
        if (!self->without_syncs) {
            sync_data(self, file, op->offset);
        }
        break;
    case RUB_DISK_SYNC_NAMES:
        sync_names(self, op->offset);
        break;
    default:
        break;
    }
}

void rub_disk_advance(rub_disk_t *self, size_t n_ops)
{
    for (; self->at < n_ops; self->at++) {
        take(self, self->at);
    }
}

/* ---- choosing ---- */

typedef struct choice {
    uint32_t way;
    uint64_t salt;
    size_t cut;   /* a moment: calls before it are in */
    size_t names; /* the same for names, of all files */
    uint64_t one; /* which page, of those that a file has pending */
} choice_t;

/* What an image has of a file's pending calls, and what it lacks. */
typedef struct gap {
    uint64_t lacks, has; /* the first byte that it lacks, the last that it has */
} gap_t;

/* Before which call a sector was written out. missing: the page that "all but one page" leaves. */
static size_t moment_of(const choice_t *choice, uint32_t file, uint64_t sector, size_t first,
                        size_t last, uint64_t missing)
{
    const uint64_t page = sector * SECTOR / PAGE;
    const uint64_t unit = choice->way == 3 ? page : sector;
    const uint64_t dice = rub_mix64(choice->salt ^ rub_mix64((uint64_t)file << 40 ^ unit));
    switch (choice->way) {
    case 0:
        return 0;
    case 1:
        return SIZE_MAX;
    case 2: /* in order, the last call torn */
        return choice->cut + (dice & 1);
    case 3:
    case 4: /* any version */
        return dice % 3 == 0 ? 0 : dice % 3 == 1 ? SIZE_MAX : first + dice / 3 % (last - first + 1);
    case 5: /* most are in */
        return dice % 8 ? SIZE_MAX : 0;
    case 6: /* few are in */
        return dice % 8 ? 0 : SIZE_MAX;
    default: /* all but one page */
        return page == missing ? 0 : SIZE_MAX;
    }
}

/* The page of a file that "all but one page" leaves out: one with something pending. */
static uint64_t missing_page(const rub_disk_t *self, const file_t *file, const choice_t *choice)
{
    uint64_t first = UINT64_MAX, end = 0;
    for (size_t i = 0; i < file->n_pending; i++) {
        const rub_disk_op_t *op = &self->log->ops[file->pending[i]];
        if (op->data) {
            first = op->offset / PAGE < first ? op->offset / PAGE : first;
            end = op->offset + op->bytes > end ? op->offset + op->bytes : end;
        }
    }
    const uint64_t n_pages = end > 0 ? (end + PAGE - 1) / PAGE - first : 1;
    return first + choice->one % n_pages;
}

/* Lines of a store into one sector that was written out while it happened: those of its moment, and
 * here and there others. */
static void put_lines(const choice_t *choice, const rub_disk_op_t *op, size_t number, size_t moment,
                      uint64_t sector, rub_disk_file_t *out)
{
    for (uint64_t at = sector * SECTOR; at < (sector + 1) * SECTOR; at += RUB_DISK_LINE) {
        const uint64_t dice = rub_mix64(choice->salt ^ rub_mix64(at ^ (uint64_t)number << 32));
        const bool torn = choice->way == 4 ? dice % 8 == 0 : number == moment && dice % 2;
        if (op->offset < at + RUB_DISK_LINE && op->offset + op->bytes > at &&
            (number < moment) != torn) {
            put(out, op, at, at + RUB_DISK_LINE);
        }
    }
}

static void note_gap(gap_t *gap, uint64_t at, bool is_there)
{
    gap->lacks = !is_there && at < gap->lacks ? at : gap->lacks;
    gap->has = is_there && at > gap->has ? at : gap->has;
}

/* Puts into the image what it has of a write or a store. */
static void put_some(const file_t *file, uint32_t f, const choice_t *choice,
                     const rub_disk_op_t *op, size_t number, uint64_t missing, gap_t *gap,
                     rub_disk_file_t *out)
{
    const size_t first = file->pending[0];
    const size_t last = file->pending[file->n_pending - 1];
    for (uint64_t s = op->offset / SECTOR; s * SECTOR < op->offset + op->bytes; s++) {
        const uint64_t sure = s < file->n_sectors ? file->written_by[s] : 0;
        const size_t moment = moment_of(choice, f, s, first, last, missing);
        if (number + 1 <= sure) {
            continue;
        }
        if (op->kind == RUB_DISK_STORE) {
            put_lines(choice, op, number, moment, s, out);
        } else if (number < moment) {
            put_sector(out, op, s);
        }
        note_gap(gap, s * SECTOR, number < moment);
    }
}

/* True: there is something of a record behind something that is not there. */
static bool build(const rub_disk_t *self, uint32_t f, const choice_t *choice, rub_disk_file_t *out)
{
    const file_t *file = &self->files[f];
    copy_file(out, &file->platter);
    if (file->n_pending == 0) {
        return false;
    }
    gap_t gap = {.lacks = UINT64_MAX};
    const uint64_t missing = missing_page(self, file, choice);
    const size_t first = file->pending[0];
    const size_t last = file->pending[file->n_pending - 1];
    const size_t of_size = moment_of(choice, f, UINT32_MAX, first, last, missing);
    uint64_t size = file->platter.bytes;
    for (size_t i = 0; i < file->n_pending; i++) {
        const size_t number = file->pending[i];
        const rub_disk_op_t *op = &self->log->ops[number];
        if (op->kind == RUB_DISK_NAME) {
            if (number < choice->names) {
                memcpy(out->name, op->name, sizeof(out->name));
            }
            continue;
        }
        if (op->kind == RUB_DISK_SIZE) {
            size = number < of_size ? op->offset : size;
            continue;
        }
        if (number < of_size && op->offset + op->bytes > size) {
            size = op->offset + op->bytes;
        }
        put_some(file, f, choice, op, number, missing, &gap, out);
    }
    reserve(out, size);
    out->bytes = size; /* what lies behind it is not there */
    return gap.lacks < gap.has && strstr(out->name, "/journal/") && strstr(out->name, ".seg");
}

void rub_disk_image(const rub_disk_t *self, uint32_t way, rub_rng_t *rng, rub_image_t *image)
{
    size_t oldest = self->at;
    for (uint32_t f = 0; f < self->n_files; f++) {
        const file_t *file = &self->files[f];
        oldest = file->n_pending && file->pending[0] < oldest ? file->pending[0] : oldest;
    }
    choice_t choice = {.way = way,
                       .salt = rub_rng_u64(rng),
                       .cut = oldest + rub_rng_below(rng, self->at - oldest + 1),
                       .one = rub_rng_u64(rng) >> 32};
    choice.names = way == 0   ? 0
                   : way == 1 ? SIZE_MAX
                   : way == 2 ? choice.cut
                              : oldest + rub_rng_below(rng, self->at - oldest + 1);
    *image = (rub_image_t){.n_files = self->n_files};
    image->files = rub_calloc(self->n_files + 1, sizeof(rub_disk_file_t));
    for (uint32_t f = 0; f < self->n_files; f++) {
        if (build(self, f, &choice, &image->files[f])) {
            image->has_hole = true;
        }
    }
}

/* ---- images as files ---- */

void rub_image_fini(rub_image_t *image)
{
    for (uint32_t i = 0; i < image->n_files; i++) {
        rub_free(image->files[i].data);
    }
    rub_free(image->files);
    *image = (rub_image_t){0};
}

/* Zeros need not be written: what is left out reads as such. */
static void write_file(const char *path, const rub_disk_file_t *file)
{
    static const uint8_t zeros[PIECE];
    const int out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    RUB_ASSERT(out >= 0);
    RUB_ASSERT(ftruncate(out, (off_t)file->bytes) == 0);
    for (uint64_t at = 0; at < file->bytes; at += PIECE) {
        const uint64_t left = file->bytes - at;
        const size_t bytes = left < PIECE ? (size_t)left : PIECE;
        if (memcmp(file->data + at, zeros, bytes) != 0) {
            RUB_ASSERT(pwrite(out, file->data + at, bytes, (off_t)at) == (ssize_t)bytes);
        }
    }
    RUB_ASSERT(close(out) == 0);
}

void rub_image_write(const rub_image_t *image, const char *folder)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/shard-0/journal", folder);
    RUB_ASSERT(rub_fs_mkdirs(path, NULL) == 0);
    for (uint32_t i = 0; i < image->n_files; i++) {
        const rub_disk_file_t *file = &image->files[i];
        if (file->name[0] == '\0') {
            continue;
        }
        (void)snprintf(path, sizeof(path), "%s/%s", folder, file->name);
        write_file(path, file);
    }
}

static void read_folder(const char *folder, const char *below, rub_image_t *image, size_t *capacity)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, below);
    DIR *dir = opendir(path);
    RUB_ASSERT(dir);
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        if (entry->d_type != DT_REG || strstr(entry->d_name, "-lock")) {
            continue;
        }
        RUB_ASSERT(rub_grow(&image->files, capacity, image->n_files + 1, sizeof(rub_disk_file_t)) ==
                   0);
        rub_disk_file_t *file = &image->files[image->n_files++];
        *file = (rub_disk_file_t){0};
        RUB_ASSERT((size_t)snprintf(file->name, sizeof(file->name), "%s/%.60s", below,
                                    entry->d_name) < sizeof(file->name));
        (void)snprintf(path, sizeof(path), "%s/%s", folder, file->name);
        char *data = NULL;
        size_t bytes = 0;
        rub_error_t err = {0};
        if (rub_fs_read(path, SIZE_MAX / 2, &data, &bytes, &err) != 0) {
            fprintf(stderr, "rubato-crash: a disk can not be read: %s\n", err.message);
            exit(70);
        }
        set_size(file, bytes);
        if (bytes > 0) {
            memcpy(file->data, data, bytes);
        }
        rub_free(data);
    }
    (void)closedir(dir);
}

void rub_image_read(const char *folder, rub_image_t *image)
{
    size_t capacity = 0;
    *image = (rub_image_t){0};
    read_folder(folder, "shard-0", image, &capacity);
    read_folder(folder, "shard-0/journal", image, &capacity);
}
