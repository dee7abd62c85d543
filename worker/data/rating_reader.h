/* Ratings as text: a line `user item rating [timestamp]` each, or, where only who chose what
 * counts, `user item [rating [timestamp]]`. Between the fields stand tabs, "::" (MovieLens' .dat
 * files), commas, or blanks: the first line of each file says which, looked for in this order, and
 * all others of the file must have the same. A first line whose third field begins with a letter
 * has the names of columns, and is passed over; so are empty lines. Users and items are any text
 * without quotes and separators. Blocks on files; one thread. */
#ifndef RUB_RATING_READER_H
#define RUB_RATING_READER_H

#include "worker/data/line_reader.h"
#include "worker/data/vocabulary.h"

#define RUB_RATINGS_LIMIT UINT32_MAX /* an order holds 32-bit numbers */
#define RUB_RATING_NAME_LIMIT 1024u  /* bytes of a user or an item */
#define RUB_RATING_LIMIT 1e6         /* of a rating, up and down */
#define RUB_RATING_FIELDS_LIMIT 4u   /* of a line */

typedef struct rub_rating {
    uint32_t user, item; /* numbers of the vocabularies; RUB_NO_WORD: not among them */
    float value;         /* 1 where a line has none */
} rub_rating_t;

typedef struct rub_rating_options {
    const char *path;  /* as worker/data/data_files.h names files */
    bool interactions; /* a rating may be left off */
    double least;      /* above 0: lines with a rating below it are passed over */
    bool closed;       /* names that the vocabularies do not have become RUB_NO_WORD; otherwise they
                          are added */
    double held_out; /* of all lines this part, by draws of the seed, is another part's; 0: none */
    bool take_held_out; /* read that part alone; otherwise the rest */
    uint64_t held_out_seed;
} rub_rating_options_t;

/* What becomes of a rating; not 0 ends the reading. */
typedef int rub_rating_fn(void *context, const rub_rating_t *rating, rub_error_t *err);

/* Gives fn the ratings of all files, in their order. RUB_EDATA names file, line and column: a line
 * with fewer or more fields, a name that is empty, too long, in quotes or no UTF-8, a rating or a
 * timestamp that is no number, a rating beyond RUB_RATING_LIMIT; more names than a vocabulary has;
 * a damaged file. RUB_ENOMEM, and what fn returns. */
int rub_rating_reader_scan(const rub_rating_options_t *options, rub_vocabulary_t *users,
                           rub_vocabulary_t *items, rub_rating_fn *fn, void *context,
                           rub_error_t *err);

/* Gives fn the lines of all files (worker/data/data_files.h) as they stand, and keeps nothing of
 * them: the names of columns, if the first file has them, then every line with a rating, which may
 * be left off. Any of the latter may begin a file of its own. Refuses as above, and what would
 * then be read as something else: RUB_EDATA also for a file with another separator than the first
 * one, and, where no names of columns stand before it, for a line that has another one, which a
 * reader looks for first. RUB_ENOMEM, and what fn returns. */
int rub_rating_reader_lines(const char *path, rub_line_fn *fn, void *context, rub_error_t *err);

#endif
