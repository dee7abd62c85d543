/* Memory that is checked for overflow. All return NULL when memory is short; the caller turns that
 * into RUB_ENOMEM. */
#ifndef RUB_ALLOC_H
#define RUB_ALLOC_H

#include <stddef.h>

void *rub_alloc(size_t bytes);                     /* uninitialised */
void *rub_calloc(size_t count, size_t item_bytes); /* zeroed; NULL if the product overflows */
void *rub_realloc_array(void *p, size_t count, size_t item_bytes); /* p stays valid on failure */
void *rub_alloc_aligned(size_t alignment, size_t bytes);           /* freed with rub_free */
char *rub_strdup(const char *text);
char *rub_sprintf(const char *format, ...) __attribute__((format(printf, 1, 2))); /* caller frees */
void rub_free(void *p);

/* Grows *items_p so that it holds at least want items: doubles *capacity_p. 0 or RUB_ENOMEM
 * (nothing changed). */
int rub_grow(void *items_p, size_t *capacity_p, size_t want, size_t item_bytes);

/* Raises glibc's mmap and trim thresholds, so that received frames do not page-fault afresh each
 * time. Called once by programs at start, never by the library. */
void rub_alloc_tune_process(void);

/* A large zeroed region, huge-page advised, for rows; released whole with rub_region_free. NULL
 * when short. */
void *rub_region_alloc(size_t bytes);
void rub_region_free(void *region, size_t bytes);
/* For who uses a region up from its front: bytes [0, done_bytes) are not used any more. Gives the
 * huge pages back that lie wholly in them and did not lie in [0, before_bytes), which was told the
 * time before. The region is freed as ever. */
void rub_region_drop(void *region, size_t before_bytes, size_t done_bytes);

#endif
