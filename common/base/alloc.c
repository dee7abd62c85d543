/* Memory, checked for overflow.
 *
 * Everything here returns NULL (or RUB_ENOMEM) when memory is short and leaves the decision to the
 * caller: a library inside somebody's process must not abort it. Products are checked before they
 * are formed, because counts come from peers and files.
 *
 * Regions hold rows. They are mapped, not malloc'ed: fresh pages are zero without touching them,
 * and huge pages make random gathers several times faster (fewer TLB misses). A large region is
 * aligned to 2 MiB by mapping one huge page too much and giving back what stands out on both sides,
 * so rub_region_free can unmap exactly `bytes`, rounded up. */
#include "common/base/alloc.h"

#include "include/rubato.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* From a quarter of a huge page on a region gets a whole one: what it wastes is little beside what
 * a process takes, and what lies in it is found faster. */
enum { HUGE_PAGE_BYTES = 2 << 20, HUGE_FROM_BYTES = 512 << 10, PAGE_BYTES = 4096 };

void *rub_alloc(size_t bytes)
{
    return malloc(bytes > 0 ? bytes : 1); /* NULL must mean only one thing */
}

void *rub_calloc(size_t count, size_t item_bytes)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, item_bytes, &bytes)) {
        return NULL;
    }
    return calloc(1, bytes > 0 ? bytes : 1);
}

void *rub_realloc_array(void *p, size_t count, size_t item_bytes)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, item_bytes, &bytes)) {
        return NULL;
    }
    return realloc(p, bytes > 0 ? bytes : 1);
}

void *rub_alloc_aligned(size_t alignment, size_t bytes)
{
    void *p = NULL;
    if (alignment < sizeof(void *)) {
        alignment = sizeof(void *);
    }
    return posix_memalign(&p, alignment, bytes > 0 ? bytes : 1) == 0 ? p : NULL;
}

char *rub_strdup(const char *text)
{
    const size_t bytes = strlen(text) + 1;
    char *copy = rub_alloc(bytes);
    return copy == NULL ? NULL : memcpy(copy, text, bytes);
}

char *rub_sprintf(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    const int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    return length < 0 ? NULL : text;
}

void rub_free(void *p)
{
    free(p);
}

int rub_grow(void *items_p, size_t *capacity_p, size_t want, size_t item_bytes)
{
    if (want <= *capacity_p) {
        return RUB_OK;
    }
    size_t capacity = *capacity_p > 0 ? *capacity_p : 8;
    while (capacity < want) {
        if (capacity > SIZE_MAX / 2) {
            return RUB_ENOMEM;
        }
        capacity *= 2;
    }
    /* items_p is a pointer to the caller's typed pointer; memcpy reads it without breaking aliasing
     * rules. */
    void *items;
    memcpy(&items, items_p, sizeof(items));
    items = rub_realloc_array(items, capacity, item_bytes);
    if (items == NULL) {
        return RUB_ENOMEM;
    }
    memcpy(items_p, &items, sizeof(items));
    *capacity_p = capacity;
    return RUB_OK;
}

void rub_alloc_tune_process(void)
{
    mallopt(M_MMAP_THRESHOLD, 64 << 20);
    mallopt(M_TRIM_THRESHOLD, 512 << 20);
}

/* How much is mapped for a region of so many bytes; 0 when it cannot be expressed. */
static size_t region_mapped_bytes(size_t bytes)
{
    const size_t unit = bytes >= HUGE_FROM_BYTES ? HUGE_PAGE_BYTES : PAGE_BYTES;
    if (bytes > SIZE_MAX - 2 * (size_t)HUGE_PAGE_BYTES) {
        return 0;
    }
    return bytes > 0 ? (bytes + unit - 1) / unit * unit : unit;
}

static void *map_pages(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static void *map_huge_aligned(size_t bytes)
{
    uint8_t *mapped = map_pages(bytes + HUGE_PAGE_BYTES);
    if (mapped == NULL) {
        return NULL;
    }
    const size_t over = (uintptr_t)mapped % HUGE_PAGE_BYTES;
    const size_t before = over > 0 ? HUGE_PAGE_BYTES - over : 0;
    const size_t after = HUGE_PAGE_BYTES - before;
    if (before > 0) {
        munmap(mapped, before);
    }
    if (after > 0) {
        munmap(mapped + before + bytes, after);
    }
    /* Only advice: without huge pages in the kernel everything still works, more slowly. */
    (void)madvise(mapped + before, bytes, MADV_HUGEPAGE);
    return mapped + before;
}

void *rub_region_alloc(size_t bytes)
{
    const size_t mapped = region_mapped_bytes(bytes);
    if (mapped == 0) {
        return NULL;
    }
    return mapped >= HUGE_PAGE_BYTES ? map_huge_aligned(mapped) : map_pages(mapped);
}

void rub_region_free(void *region, size_t bytes)
{
    if (region != NULL) {
        munmap(region, region_mapped_bytes(bytes));
    }
}

void rub_region_drop(void *region, size_t before_bytes, size_t done_bytes)
{
    const size_t from = before_bytes / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    const size_t to = done_bytes / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    if (region != NULL && to > from) {
        (void)madvise((uint8_t *)region + from, to - from, MADV_DONTNEED); /* else later */
    }
}
