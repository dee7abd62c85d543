/* Walking an LMDB file by hand.
 *
 * Invariant: no offset, count or page number of the file is used before it was compared with what
 * it may be; nothing is mapped. After a walk without a fault every page that LMDB can reach from
 * its newest root lies in the file, is what its parent says, is reached once, and is not on the
 * list of free pages: so LMDB reads and reuses only what it should.
 *
 * Format (lmdb 0.9, mdb.c): pages 0 and 1 are metas, the one with the greater transaction counts.
 * A page begins with {u64 number, u16 pad, u16 flags, u16 lower, u16 upper}; 2-byte offsets of
 * nodes follow; a node is {u16 lo, u16 hi, u16 flags, u16 key bytes, key, data}; large data stands
 * on overflow pages of its own, whose header says how many they are. */
#include "common/store/lmdb_pages.h"

#include "common/base/alloc.h"
#include "common/base/bytes.h"
#include "common/base/error.h"
#include "common/base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PAGE_HEAD = 16,
    NODE_HEAD = 8,
    META_BYTES = 136, /* magic, version, address, map size, two roots, last page, transaction */
    ROOT_BYTES = 48,
    DEPTH_LIMIT = 32,
    KEY_LIMIT = 511,
    PAGE_LEAST = 512,
    PAGE_MOST = 32768,
    IS_BRANCH = 1,
    IS_LEAF = 2,
    IS_OVERFLOW = 4,
    IS_META = 8,
    NODE_BIG = 1,
    ROOT_INTEGER_KEY = 8,
    ROOT_ODD = 0x77, /* flags that no root of ours has: fixed map, reversed, duplicates */
    VERSION = 1
};
#define META_MAGIC 0xBEEFC0DEu
#define NO_PAGE UINT64_MAX
#define MAP_MOST (UINT64_C(1) << 46)

typedef struct root {
    uint64_t entries, page;
    uint32_t depth;
    uint16_t flags;
} root_t;

typedef struct meta {
    uint64_t map_bytes;
    uint32_t page_bytes;
    root_t roots[2]; /* free pages, the database */
    uint64_t last_page, transaction;
} meta_t;

/* A branch or leaf page on the way down. */
typedef struct level {
    uint64_t number;
    uint8_t *page;
    uint32_t n, next;
} level_t;

typedef struct walk {
    const char *path;
    int fd;
    uint64_t file_bytes;
    meta_t meta;
    const rub_pages_visit_t *visit;
    rub_pages_report_t *report;
    rub_error_t *err; /* the first fault */
    uint8_t *used;    /* a bit per page: 1 when reached or free */
    level_t levels[DEPTH_LIMIT];
    uint8_t *value; /* of the node being looked at */
    size_t value_capacity;
    uint8_t last_key[KEY_LIMIT];
    size_t last_key_bytes;
    bool any_key;
    uint8_t least_key[KEY_LIMIT]; /* that the next leaf may begin with, by its parents */
    size_t least_key_bytes;
    uint64_t entries;
    int failed; /* cannot go on */
} walk_t;

/* ---- faults ---- */

/* Counts a fault; the walk ends with it unless somebody collects them. */
static void take_fault(walk_t *self, const rub_error_t *fault)
{
    if (self->report->n_faults++ == 0) {
        *self->err = *fault;
    }
    if (self->visit->fault && fault->code == RUB_ECORRUPT) {
        self->visit->fault(self->visit->context, fault);
    } else {
        self->failed = fault->code;
    }
}

static void note(walk_t *self, int code, const char *message)
{
    rub_error_t fault;
    (void)rub_fail(&fault, code, "store %s: %s", self->path, message);
    take_fault(self, &fault);
}

#define FAULT(self, page, ...)                                                                     \
    do {                                                                                           \
        rub_error_t what, where;                                                                   \
        (void)rub_fail(&what, RUB_ECORRUPT, __VA_ARGS__);                                          \
        (void)rub_fail(&where, RUB_ECORRUPT, "page %llu at offset %llu is damaged: %s",            \
                       (unsigned long long)(page),                                                 \
                       (unsigned long long)(page) * (self)->meta.page_bytes, what.message);        \
        note(self, RUB_ECORRUPT, where.message);                                                   \
    } while (0)

/* Exactly so many bytes, or a failure that ends the walk. */
static bool read_at(walk_t *self, uint64_t offset, void *data, size_t bytes)
{
    rub_error_t why = {0};
    const int rc = rub_fs_pread(self->fd, data, bytes, offset, &why);
    if (rc != 0) {
        note(self, rc == RUB_EDATA ? RUB_ECORRUPT : RUB_ESTORE, why.message);
    }
    return rc == 0;
}

/* ---- metas ---- */

static void read_root(const uint8_t *in, root_t *root)
{
    root->flags = rub_get_u16(in + 4);
    root->depth = rub_get_u16(in + 6);
    root->entries = rub_get_u64(in + 32);
    root->page = rub_get_u64(in + 40);
}

/* False with a fault, which ends the walk: nothing can be said of the rest. */
static bool read_meta(walk_t *self, uint64_t number, uint64_t offset, meta_t *meta)
{
    uint8_t in[PAGE_HEAD + META_BYTES];
    rub_error_t line = {0};
    if (offset + sizeof(in) > self->file_bytes) {
        (void)rub_fail(&line, RUB_ECORRUPT,
                       "%llu bytes are no store: it ends before its second page",
                       (unsigned long long)self->file_bytes);
    } else if (!read_at(self, offset, in, sizeof(in))) {
        return false;
    } else if (rub_get_u32(in + PAGE_HEAD) != META_MAGIC) {
        (void)rub_fail(&line, RUB_ECORRUPT,
                       "not a store of rubato: meta page %llu at offset %llu "
                       "has no LMDB in it",
                       (unsigned long long)number, (unsigned long long)offset);
    } else if (rub_get_u32(in + PAGE_HEAD + 4) != VERSION) {
        (void)rub_fail(&line, RUB_ECORRUPT, "LMDB data version %u, this program reads %d",
                       rub_get_u32(in + PAGE_HEAD + 4), VERSION);
    }
    if (line.code) {
        note(self, RUB_ECORRUPT, line.message);
        self->failed = RUB_ECORRUPT;
        return false;
    }
    const uint8_t *at = in + PAGE_HEAD + 24;
    meta->map_bytes = rub_get_u64(at - 8);
    meta->page_bytes = rub_get_u32(at);
    read_root(at, &meta->roots[0]);
    read_root(at + ROOT_BYTES, &meta->roots[1]);
    meta->last_page = rub_get_u64(at + 2 * (size_t)ROOT_BYTES);
    meta->transaction = rub_get_u64(at + 2 * (size_t)ROOT_BYTES + 8);
    return true;
}

static bool is_page_size(uint32_t bytes)
{
    return bytes >= PAGE_LEAST && bytes <= PAGE_MOST && (bytes & (bytes - 1)) == 0;
}

/* What LMDB takes from a meta without a question. */
static bool is_plain(const meta_t *meta)
{
    return meta->map_bytes < MAP_MOST && meta->roots[1].flags == 0 &&
           (meta->roots[0].flags & (ROOT_ODD | ROOT_INTEGER_KEY)) == ROOT_INTEGER_KEY;
}

static bool read_metas(walk_t *self)
{
    meta_t first, second;
    if (!read_meta(self, 0, 0, &first)) {
        return false;
    }
    if (is_page_size(first.page_bytes) && !read_meta(self, 1, first.page_bytes, &second)) {
        return false;
    }
    if (!is_page_size(first.page_bytes) || second.page_bytes != first.page_bytes) {
        note(self, RUB_ECORRUPT,
             "its two meta pages are damaged: the sizes of a page do not agree");
        self->failed = RUB_ECORRUPT;
        return false;
    }
    self->meta = first.transaction < second.transaction ? second : first;
    /* Each transaction writes over the older of the two. */
    const uint64_t apart = first.transaction < second.transaction
                               ? second.transaction - first.transaction
                               : first.transaction - second.transaction;
    const uint64_t pages = self->file_bytes / first.page_bytes;
    if (apart > 1 || !is_plain(&first) || !is_plain(&second) || self->meta.last_page < 1 ||
        self->meta.last_page / 2 > pages + (1u << 20)) {
        rub_error_t line;
        (void)rub_fail(&line, 0,
                       "its meta pages are damaged: transactions %llu and %llu, %llu pages "
                       "in a file of %llu",
                       (unsigned long long)first.transaction,
                       (unsigned long long)second.transaction,
                       (unsigned long long)self->meta.last_page + 1, (unsigned long long)pages);
        note(self, RUB_ECORRUPT, line.message);
        self->failed = RUB_ECORRUPT;
        return false;
    }
    return true;
}

/* ---- pages ---- */

/* Marks [number, number + n); false with a fault when it is not to be had. parent: who points
 * there. */
static bool claim(walk_t *self, uint64_t parent, uint64_t number, uint64_t n, bool in_file)
{
    const uint64_t last = self->meta.last_page;
    if (number < 2 || number > last || n - 1 > last - number) {
        FAULT(self, parent, "it points to page %llu, there are %llu", (unsigned long long)number,
              (unsigned long long)last + 1);
        return false;
    }
    if (in_file && (number + n) * self->meta.page_bytes > self->file_bytes) {
        FAULT(self, parent,
              "it points to page %llu, which is beyond the end of the file (%llu bytes)",
              (unsigned long long)number, (unsigned long long)self->file_bytes);
        return false;
    }
    for (uint64_t i = number; i < number + n; i++) {
        if (self->used[i / 8] >> (i % 8) & 1) {
            FAULT(self, parent, "it points to page %llu, which is in use or free elsewhere",
                  (unsigned long long)i);
            return false;
        }
        self->used[i / 8] |= (uint8_t)(1u << (i % 8));
    }
    return true;
}

/* Checks the header and the offsets of a branch or leaf page; false with a fault. */
static bool check_page(walk_t *self, uint64_t number, const uint8_t *page, uint16_t flags,
                       uint32_t *n_p)
{
    const uint32_t lower = rub_get_u16(page + 12), upper = rub_get_u16(page + 14);
    if (rub_get_u64(page) != number || rub_get_u16(page + 10) != flags) {
        FAULT(self, number, "it says it is page %llu with flags 0x%x, expected flags 0x%x",
              (unsigned long long)rub_get_u64(page), rub_get_u16(page + 10), flags);
        return false;
    }
    if (lower < PAGE_HEAD || lower % 2 != 0 || upper < lower || upper > self->meta.page_bytes) {
        FAULT(self, number, "its bounds are %u and %u of %u", lower, upper, self->meta.page_bytes);
        return false;
    }
    *n_p = (lower - PAGE_HEAD) / 2;
    for (uint32_t i = 0; i < *n_p; i++) {
        const uint32_t at = rub_get_u16(page + PAGE_HEAD + 2 * (size_t)i);
        if (at < upper || at + NODE_HEAD > self->meta.page_bytes ||
            at + NODE_HEAD + rub_get_u16(page + at + 6) > self->meta.page_bytes) {
            FAULT(self, number, "its node %u lies outside of it", i);
            return false;
        }
    }
    return true;
}

static int compare_keys(const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes,
                        bool numbers)
{
    if (numbers) {
        const uint64_t x = rub_get_u64(a), y = rub_get_u64(b);
        return x < y ? -1 : x > y;
    }
    const int order = memcmp(a, b, a_bytes < b_bytes ? a_bytes : b_bytes);
    return order ? order : a_bytes < b_bytes ? -1 : a_bytes > b_bytes;
}

static bool is_key(size_t bytes, bool numbers)
{
    return bytes > 0 && bytes <= KEY_LIMIT && (!numbers || bytes == 8);
}

/* Keys ascend over the whole tree, within what the branches say; those of free pages are numbers.
 */
static bool check_key(walk_t *self, uint64_t number, const uint8_t *key, size_t bytes, bool numbers)
{
    if (!is_key(bytes, numbers)) {
        FAULT(self, number, "it has a key of %zu bytes", bytes);
        return false;
    }
    const bool ascends = !self->any_key || compare_keys(self->last_key, self->last_key_bytes, key,
                                                        bytes, numbers) < 0;
    const bool inside =
        self->least_key_bytes == 0 ||
        compare_keys(self->least_key, self->least_key_bytes, key, bytes, numbers) <= 0;
    if (!ascends || !inside) {
        FAULT(self, number, "its keys do not ascend");
        return false;
    }
    memcpy(self->last_key, key, bytes);
    self->last_key_bytes = bytes;
    self->any_key = true;
    return true;
}

/* The key in front of a branch's child i > 0: above all before, and not above what is under it. */
static bool check_separator(walk_t *self, const level_t *level, uint32_t i, bool numbers)
{
    const uint8_t *node = level->page + rub_get_u16(level->page + PAGE_HEAD + 2 * (size_t)i);
    const size_t bytes = rub_get_u16(node + 6);
    if (i == 0) {
        return true;
    }
    if (!is_key(bytes, numbers) ||
        (self->any_key && compare_keys(self->last_key, self->last_key_bytes, node + NODE_HEAD,
                                       bytes, numbers) >= 0)) {
        FAULT(self, level->number, "its keys do not ascend");
        return false;
    }
    memcpy(self->least_key, node + NODE_HEAD, bytes);
    self->least_key_bytes = bytes;
    return true;
}

/* Makes a leaf node's data readable, in place or read into self->value. NULL with a fault; *read_p:
 * false when it stands on pages of its own that nobody wants to see. */
static const uint8_t *node_data(walk_t *self, uint64_t number, const uint8_t *page,
                                const uint8_t *node, bool wanted, size_t *bytes_p, bool *read_p)
{
    const uint32_t page_bytes = self->meta.page_bytes;
    const size_t bytes = (size_t)rub_get_u16(node) | (size_t)rub_get_u16(node + 2) << 16;
    const uint8_t *data = node + NODE_HEAD + rub_get_u16(node + 6);
    const uint16_t flags = rub_get_u16(node + 4);
    const size_t room = (size_t)(page + page_bytes - data);
    *bytes_p = bytes;
    *read_p = true;
    if (flags == 0 && bytes <= room) {
        return data;
    }
    if (flags != NODE_BIG || room < 8) {
        FAULT(self, number, "it has a value of %zu bytes with flags 0x%x, %zu bytes are left",
              bytes, flags, room);
        return NULL;
    }
    const uint64_t first = rub_get_u64(data);
    const uint64_t n = (PAGE_HEAD - 1 + (uint64_t)bytes) / page_bytes + 1;
    uint8_t head[PAGE_HEAD];
    if (!claim(self, number, first, n, true) ||
        !read_at(self, first * page_bytes, head, sizeof(head))) {
        return NULL;
    }
    if (rub_get_u64(head) != first || rub_get_u16(head + 10) != IS_OVERFLOW ||
        rub_get_u32(head + 12) != n) {
        FAULT(self, first, "it does not begin a value of %llu pages", (unsigned long long)n);
        return NULL;
    }
    self->report->n_used += n;
    *read_p = wanted;
    if (!wanted) {
        return data;
    }
    if (rub_grow(&self->value, &self->value_capacity, bytes + 1, 1) != 0) {
        note(self, RUB_ENOMEM, "no memory for a value");
        return NULL;
    }
    return read_at(self, first * page_bytes + PAGE_HEAD, self->value, bytes) ? self->value : NULL;
}

/* A list of free pages: a count and their numbers. */
static void take_free(walk_t *self, uint64_t number, const uint8_t *data, size_t bytes)
{
    const uint64_t n = bytes >= 8 ? rub_get_u64(data) : UINT64_MAX;
    if (bytes % 8 != 0 || n > bytes / 8 - (bytes >= 8)) {
        FAULT(self, number, "a list of free pages of %zu bytes has %llu", bytes,
              (unsigned long long)n);
        return;
    }
    for (uint64_t i = 1; i <= n && !self->failed; i++) {
        if (!claim(self, number, rub_get_u64(data + 8 * i), 1, false)) {
            return;
        }
        self->report->n_free++;
    }
}

static void visit_leaf(walk_t *self, const level_t *level, bool numbers)
{
    for (uint32_t i = 0; i < level->n && !self->failed; i++) {
        const uint8_t *node = level->page + rub_get_u16(level->page + PAGE_HEAD + 2 * (size_t)i);
        const size_t key_bytes = rub_get_u16(node + 6);
        self->entries++;
        if (!check_key(self, level->number, node + NODE_HEAD, key_bytes, numbers)) {
            continue;
        }
        size_t bytes = 0;
        bool read = false;
        const bool wanted = numbers || (self->visit->value && self->visit->all);
        const uint8_t *data =
            node_data(self, level->number, level->page, node, wanted, &bytes, &read);
        if (!data) {
            continue;
        }
        if (numbers) {
            take_free(self, level->number, data, bytes);
            continue;
        }
        self->report->n_values++;
        self->report->value_bytes += bytes;
        rub_error_t err = {0};
        if (read && self->visit->value &&
            self->visit->value(self->visit->context, node + NODE_HEAD, key_bytes, data, bytes,
                               &err) < 0) {
            take_fault(self, &err);
        }
    }
}

/* Reads a page of the tree into the level; false with a fault. */
static bool enter(walk_t *self, uint64_t parent, uint64_t number, uint32_t depth, uint32_t deepest)
{
    level_t *level = &self->levels[depth];
    const uint16_t flags = depth + 1 == deepest ? IS_LEAF : IS_BRANCH;
    if (!level->page) {
        level->page = rub_alloc(self->meta.page_bytes);
        if (!level->page) {
            note(self, RUB_ENOMEM, "no memory for a page");
            return false;
        }
    }
    level->number = number;
    level->next = 0;
    if (!claim(self, parent, number, 1, true) ||
        !read_at(self, number * self->meta.page_bytes, level->page, self->meta.page_bytes)) {
        return false;
    }
    self->report->n_used++;
    return check_page(self, number, level->page, flags, &level->n);
}

static uint64_t child_of(const level_t *level, uint32_t i)
{
    const uint8_t *node = level->page + rub_get_u16(level->page + PAGE_HEAD + 2 * (size_t)i);
    return (uint64_t)rub_get_u16(node) | (uint64_t)rub_get_u16(node + 2) << 16 |
           (uint64_t)rub_get_u16(node + 4) << 32;
}

static void walk_tree(walk_t *self, const root_t *root, bool numbers)
{
    self->any_key = false;
    self->least_key_bytes = 0;
    self->entries = 0;
    const uint64_t faults = self->report->n_faults;
    if (root->page == NO_PAGE && root->depth == 0) {
        return;
    }
    if (root->depth < 1 || root->depth > DEPTH_LIMIT) {
        FAULT(self, self->meta.transaction % 2, "a tree of depth %u", root->depth);
        return;
    }
    uint32_t depth = 0;
    bool inside = enter(self, self->meta.transaction % 2, root->page, 0, root->depth);
    while (inside && !self->failed) {
        level_t *level = &self->levels[depth];
        if (depth + 1 == root->depth) {
            visit_leaf(self, level, numbers);
            level->next = level->n;
        }
        if (level->next < level->n) {
            const uint32_t i = level->next++;
            const uint64_t child = child_of(level, i);
            if (!check_separator(self, level, i, numbers)) {
                continue;
            }
            depth += enter(self, level->number, child, depth + 1, root->depth);
        } else if (depth > 0) {
            depth--;
        } else {
            inside = false;
        }
    }
    if (!self->failed && self->report->n_faults == faults && self->entries != root->entries) {
        FAULT(self, self->meta.transaction % 2, "it counts %llu entries, there are %llu",
              (unsigned long long)root->entries, (unsigned long long)self->entries);
    }
}

static void walk_file(walk_t *self)
{
    if (!read_metas(self)) {
        return;
    }
    self->report->transaction = self->meta.transaction;
    self->report->page_bytes = self->meta.page_bytes;
    self->report->n_pages = self->meta.last_page + 1;
    self->report->n_used = 2;
    self->used = rub_calloc((size_t)(self->meta.last_page / 8 + 1), 1);
    if (!self->used) {
        note(self, RUB_ENOMEM, "no memory to walk it");
        return;
    }
    walk_tree(self, &self->meta.roots[1], false);
    if (!self->failed) {
        walk_tree(self, &self->meta.roots[0], true);
    }
}

int rub_pages_walk(const char *path, const rub_pages_visit_t *visit, rub_pages_report_t *report,
                   rub_error_t *err)
{
    rub_pages_report_t unasked;
    struct stat status;
    rub_error_t first = {0};
    walk_t self = {
        .path = path, .visit = visit, .report = report ? report : &unasked, .err = &first};
    *self.report = (rub_pages_report_t){0};
    self.fd = open(path, O_RDONLY | O_CLOEXEC);
    if (self.fd < 0 && errno == ENOENT) {
        return 0;
    }
    int rc = 0;
    if (self.fd < 0 || fstat(self.fd, &status) != 0) {
        rc = rub_fail_errno(err, RUB_ESTORE, errno, "cannot open %s", path);
    } else if (status.st_size > 0) {
        self.file_bytes = (uint64_t)status.st_size;
        walk_file(&self);
        rc = self.report->n_faults > 0 ? first.code : 0;
        if (rc && err) {
            *err = first;
        }
    }
    if (self.fd >= 0) {
        (void)close(self.fd);
    }
    for (size_t i = 0; i < DEPTH_LIMIT; i++) {
        rub_free(self.levels[i].page);
    }
    rub_free(self.value);
    rub_free(self.used);
    return rc;
}
