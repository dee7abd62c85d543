/* Ratings in memory: those to train on, the names of users and items, and which items each user
 * has; and lists of others with the same numbers, to validate and to test with. Numbers are by how
 * often a name occurs in training, the most frequent first; who and what do not occur there have
 * none. Does not change once it is open: any number of threads may read it. */
#ifndef RUB_RATING_SET_H
#define RUB_RATING_SET_H

#include "worker/data/rating_reader.h"

typedef struct rub_rating_list {
    rub_rating_t *items;
    size_t n, room;
} rub_rating_list_t;

typedef struct rub_rating_set_options {
    const char *train; /* files */
    bool interactions; /* as in rub_rating_options_t */
    double least;
    double held_out; /* this part of train is left out */
    uint64_t seed;   /* of held_out */
} rub_rating_set_options_t;

typedef struct rub_rating_set {
    rub_rating_list_t train;         /* in the files' order */
    rub_vocabulary_t *users, *items; /* settled */
    double mean;                     /* of the training ratings */
    size_t *starts;                  /* users + 1: user u has known[starts[u] .. starts[u + 1]) */
    uint32_t *known;                 /* items, ascending; one may stand there twice */
} rub_rating_set_t;

/* Reads the files whole. Keeps nothing of the options. RUB_EDATA: what rating_reader.h says, or
 * nothing to train on. RUB_ENOMEM. Blocks. *set_p is the caller's, NULL on failure. */
int rub_rating_set_open(const rub_rating_set_options_t *options, rub_rating_set_t **set_p,
                        rub_error_t *err);
void rub_rating_set_close(rub_rating_set_t **set_p); /* NULL is fine */

/* Reads other ratings: by user, then by item; RUB_NO_WORD comes last. file: closed is taken for
 * true. *list: empty; the caller's (rub_rating_list_fini), also on failure. Errors as above. */
int rub_rating_set_read(const rub_rating_set_t *self, const rub_rating_options_t *file,
                        rub_rating_list_t *list, rub_error_t *err);
void rub_rating_list_fini(rub_rating_list_t *self);

/* The items that this user has in training, ascending; *n_p of them. user: a number. */
static inline const uint32_t *rub_rating_set_known(const rub_rating_set_t *self, uint32_t user,
                                                   size_t *n_p)
{
    *n_p = self->starts[user + 1] - self->starts[user];
    return self->known + self->starts[user];
}

#endif
