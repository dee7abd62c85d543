/* Each kind is something that has happened to somebody's disk: a flipped bit, a byte, a sector of
 * garbage, a page of zeros, a file cut short, two files that changed places, a file of last week, a
 * copy under another name, a file that is gone. */
#include "tests/crash/damage.h"

#include "common/base/alloc.h"
#include "common/base/check.h"

#include <stdio.h>
#include <string.h>

const char *const rub_damage_names[RUB_DAMAGE_KINDS] = {
    "bit", "byte", "sector", "zero_page", "cut", "swap", "stale", "copy", "gone"};

/* A file with a name and content; the lock is nobody's data. */
static rub_disk_file_t *pick(const rub_image_t *image, rub_rng_t *rng, const char *ending)
{
    for (int i = 0; i < 1000; i++) {
        rub_disk_file_t *file = &image->files[rub_rng_below(rng, image->n_files)];
        if (file->name[0] && file->bytes > 0 && strstr(file->name, ending) &&
            strcmp(file->name, "shard-0/lock") != 0) {
            return file;
        }
    }
    return NULL;
}

/* Half of the time near content rather than anywhere: a file's end is mostly zeros. */
static uint64_t place_in(const rub_disk_file_t *file, rub_rng_t *rng)
{
    uint64_t at = rub_rng_below(rng, file->bytes);
    if (rub_rng_below(rng, 4)) {
        for (int i = 0; i < 200 && file->data[at] == 0; i++) {
            at = rub_rng_below(rng, file->bytes);
        }
    }
    return at;
}

static void swap_content(rub_disk_file_t *a, rub_disk_file_t *b)
{
    const rub_disk_file_t kept = *a;
    a->data = b->data;
    a->bytes = b->bytes;
    a->capacity = b->capacity;
    b->data = kept.data;
    b->bytes = kept.bytes;
    b->capacity = kept.capacity;
}

static void take_content(rub_disk_file_t *to, const rub_disk_file_t *from)
{
    uint8_t *data = rub_alloc(from->bytes + 1);
    RUB_ASSERT(data);
    memcpy(data, from->data, from->bytes);
    rub_free(to->data);
    to->data = data;
    to->bytes = to->capacity = from->bytes;
}

static rub_disk_file_t *named(const rub_image_t *image, const char *name)
{
    for (uint32_t i = 0; i < image->n_files; i++) {
        if (strcmp(image->files[i].name, name) == 0) {
            return &image->files[i];
        }
    }
    return NULL;
}

/* A segment as it once was, also one that the journal has long let go of. */
static void put_back(const rub_image_t *old, rub_rng_t *rng, rub_image_t *image, char *what)
{
    const rub_disk_file_t *from = pick(old, rng, rub_rng_below(rng, 4) ? ".seg" : "data.mdb");
    if (!from) {
        return;
    }
    rub_disk_file_t *to = named(image, from->name);
    if (!to) {
        image->files = rub_realloc_array(image->files, image->n_files + 1, sizeof(*to));
        RUB_ASSERT(image->files);
        to = &image->files[image->n_files++];
        *to = (rub_disk_file_t){0};
        memcpy(to->name, from->name, sizeof(to->name));
    }
    take_content(to, from);
    (void)snprintf(what, RUB_DAMAGE_TEXT, "stale %s", from->name);
}

static void damage_bytes(uint32_t kind, rub_disk_file_t *file, rub_rng_t *rng, char *what)
{
    const uint64_t at = place_in(file, rng);
    const uint64_t size = kind == 2 ? 512 : 4096;
    const uint64_t from = at / size * size;
    const uint64_t n = file->bytes - from < size ? file->bytes - from : size;
    (void)snprintf(what, RUB_DAMAGE_TEXT, "%s at %llu of %s (%llu bytes)", rub_damage_names[kind],
                   (unsigned long long)at, file->name, (unsigned long long)file->bytes);
    switch (kind) {
    case 0:
        file->data[at] ^= (uint8_t)(1u << rub_rng_below(rng, 8));
        break;
    case 1:
        file->data[at] = (uint8_t)rub_rng_u32(rng);
        break;
    case 2:
        for (uint64_t i = 0; i < n; i++) {
            file->data[from + i] = (uint8_t)rub_rng_u32(rng);
        }
        break;
    case 3:
        memset(file->data + from, 0, n);
        break;
    default:
        file->bytes = at;
        break;
    }
}

void rub_damage_do(uint32_t kind, const rub_image_t *old, rub_rng_t *rng, rub_image_t *image,
                   char *what)
{
    (void)snprintf(what, RUB_DAMAGE_TEXT, "nothing");
    rub_disk_file_t *file = pick(image, rng, rub_rng_below(rng, 2) ? ".seg" : "");
    rub_disk_file_t *other = pick(image, rng, ".seg");
    if (!file) {
        return;
    }
    switch (kind) {
    case 5:
        if (other && other != file) {
            swap_content(file, other);
            (void)snprintf(what, RUB_DAMAGE_TEXT, "%s and %s swapped", file->name, other->name);
        }
        break;
    case 6:
        put_back(old, rng, image, what);
        break;
    case 7:
        if (other && other != file) {
            take_content(file, other);
            (void)snprintf(what, RUB_DAMAGE_TEXT, "%s is a copy of %s", file->name, other->name);
        }
        break;
    case 8:
        (void)snprintf(what, RUB_DAMAGE_TEXT, "%s is gone", file->name);
        file->name[0] = '\0';
        break;
    default:
        damage_bytes(kind, file, rng, what);
    }
}
