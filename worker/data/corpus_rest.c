/* Reading the parts of a text that others have counted, as far as they are wanted.
 *
 * Where each part's tokens lie is known from the counts, so every token has its place before it is
 * read, and places are the same for all. Invariant: of each part the first `filled` tokens are
 * there, and `open` says whether a word stands before the next one in its sentence. */
#include "worker/data/corpus_rest.h"

#include "common/base/alloc.h"
#include "common/base/error.h"

#include <inttypes.h>

typedef struct rest_part {
    size_t first, n_tokens, filled;
    bool open;
    rub_part_reader_t *reader; /* NULL: nothing was read, or all */
} rest_part_t;

struct rub_corpus_rest {
    const rub_text_parts_t *parts;
    uint32_t n_parts;
    rest_part_t items[];
};

int rub_corpus_rest_new(const rub_text_parts_t *parts, const rub_word_merge_t *merge,
                        rub_corpus_rest_t **self_p, rub_error_t *err)
{
    rub_corpus_rest_t *self = rub_calloc(1, sizeof *self + merge->n_parts * sizeof *self->items);
    *self_p = self;
    if (self == NULL) {
        return rub_fail(err, RUB_ENOMEM, "text file '%s': no memory for its parts",
                        rub_text_parts_path(parts));
    }
    self->parts = parts;
    self->n_parts = merge->n_parts;
    for (uint32_t i = 0; i < merge->n_parts; i++) {
        const rub_merged_part_t *part = &merge->parts[i];
        self->items[i] = (rest_part_t){.first = (size_t)part->first_token,
                                       .n_tokens = (size_t)part->n_tokens,
                                       .open = part->open};
    }
    return 0;
}

void rub_corpus_rest_destroy(rub_corpus_rest_t **self_p)
{
    rub_corpus_rest_t *self = *self_p;
    if (self == NULL) {
        return;
    }
    for (uint32_t i = 0; i < self->n_parts; i++) {
        rub_part_reader_close(&self->items[i].reader);
    }
    rub_free(self);
    *self_p = NULL;
}

static int changed(const rub_corpus_rest_t *self, uint32_t part, rub_error_t *err)
{
    return rub_fail(err, RUB_EDATA,
                    "text file '%s': part %" PRIu32 " of %" PRIu32
                    " has other words than when it was counted, %zu tokens were expected",
                    rub_text_parts_path(self->parts), part + 1, self->n_parts,
                    self->items[part].n_tokens);
}

/* The next token of a part: a settled word, or an end, which is a token behind a word alone. false:
 * the part has no place for it. */
static bool put(rest_part_t *part, uint32_t token, uint32_t *tokens)
{
    if (token == RUB_NO_WORD && !part->open) {
        return true;
    }
    if (part->filled == part->n_tokens) {
        return false;
    }
    tokens[part->first + part->filled++] = token;
    part->open = token != RUB_NO_WORD;
    return true;
}

int rub_corpus_rest_take(rub_corpus_rest_t *self, uint32_t part, const rub_word_part_t *counted,
                         const uint32_t *numbers, uint32_t *tokens, rub_error_t *err)
{
    rest_part_t *item = &self->items[part];
    bool fits = true;
    for (size_t i = 0; i < counted->n_tokens && fits; i++) {
        const uint32_t token = counted->tokens[i];
        const uint32_t number = token == RUB_NO_WORD ? RUB_NO_WORD : numbers[token];
        if (token == RUB_NO_WORD || number != RUB_NO_WORD) {
            fits = put(item, number, tokens);
        }
    }
    return fits && item->filled == item->n_tokens ? 0 : changed(self, part, err);
}

/* Reads a part until so many of its tokens are there. */
static int fill(rub_corpus_rest_t *self, uint32_t part, size_t wanted,
                const rub_vocabulary_t *vocabulary, uint32_t *tokens, rub_error_t *err)
{
    rest_part_t *item = &self->items[part];
    int rc = item->reader ? 0 : rub_part_reader_open(self->parts, part, &item->reader, err);
    while (rc == 0 && item->filled < wanted) {
        rub_text_kind_t kind = RUB_TEXT_END;
        const char *word = NULL;
        size_t bytes = 0;
        rc = rub_part_reader_next(item->reader, &kind, &word, &bytes, err);
        if (rc == 0 && kind == RUB_TEXT_END) {
            rc = changed(self, part, err);
        } else if (rc == 0) {
            const bool is_word = kind == RUB_TEXT_WORD;
            const uint32_t token =
                is_word ? rub_vocabulary_find(vocabulary, word, bytes) : RUB_NO_WORD;
            if (!is_word || token != RUB_NO_WORD) {
                (void)put(item, token, tokens); /* wanted is at most what there is place for */
            }
        }
    }
    if (rc != 0 || item->filled == item->n_tokens) {
        rub_part_reader_close(&item->reader);
    }
    return rc;
}

int rub_corpus_rest_reach(rub_corpus_rest_t *self, size_t first, size_t count,
                          const rub_vocabulary_t *vocabulary, uint32_t *tokens, rub_error_t *err)
{
    const size_t last = first + count;
    int rc = 0;
    for (uint32_t i = 0; i < self->n_parts && rc == 0; i++) {
        const rest_part_t *part = &self->items[i];
        const size_t end =
            part->first + part->n_tokens < last ? part->first + part->n_tokens : last;
        if (first < part->first + part->n_tokens && end > part->first &&
            part->filled < end - part->first) {
            rc = fill(self, i, end - part->first, vocabulary, tokens, err);
        }
    }
    return rc;
}
