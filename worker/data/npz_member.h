/* One member of a zip archive, as NumPy's .npz is: stored or deflated. Reads from its beginning to
 * its end. One thread; blocks on the file. */
#ifndef RUB_NPZ_MEMBER_H
#define RUB_NPZ_MEMBER_H

#include "include/rubato.h"

typedef struct rub_npz_member rub_npz_member_t;

/* name: of an array, without ".npy"; NULL or "": the archive's only member. Keeps path until close.
 * RUB_EDATA: the file cannot be read, is no archive, is damaged or cut; there is no such member, or
 * more than one and no name (the sentence lists some); a member is encrypted, or compressed
 * otherwise. RUB_ENOMEM. */
int rub_npz_member_open(const char *path, const char *name, rub_npz_member_t **self_p,
                        rub_error_t *err);
void rub_npz_member_close(rub_npz_member_t **self_p); /* NULL is fine */

/* Exactly so many bytes; RUB_EDATA when the member has fewer, or is damaged. */
int rub_npz_member_read(rub_npz_member_t *self, void *data, size_t bytes, rub_error_t *err);
/* The member must end here, and its checksum be right. */
int rub_npz_member_expect_end(rub_npz_member_t *self, rub_error_t *err);

#endif
