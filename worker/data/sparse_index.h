/* Where the examples of large files stand: files cut into blocks of whole lines, with how many
 * examples each holds, so that examples can be dealt by number and read where they are. */
#ifndef RUB_SPARSE_INDEX_H
#define RUB_SPARSE_INDEX_H

#include "worker/data/data_files.h"
#include "worker/data/sparse_reader.h"

typedef struct rub_sparse_block {
    uint64_t offset;       /* in the file's (decompressed) content */
    uint64_t lines_before; /* in the file */
    uint64_t first_number; /* of its first example, over all files and parts */
    uint32_t file;         /* of the list */
    uint32_t bytes;
    uint32_t n_examples; /* of the part that is wanted, >= 1 */
} rub_sparse_block_t;

/* What a file was like when it was indexed. */
typedef struct rub_sparse_stamp {
    uint64_t device, number, bytes, changed_ns;
    bool packed; /* compressed: its blocks are best read in order */
} rub_sparse_stamp_t;

typedef struct rub_sparse_index {
    rub_data_files_t *files;
    rub_sparse_stamp_t *stamps; /* of each file */
    rub_sparse_block_t *blocks; /* in the order of files and lines */
    size_t n_blocks, room;
    uint64_t n_examples; /* of all blocks, >= 1 */
} rub_sparse_index_t;

/* Reads all files once; lines are counted, not parsed. Blocks have block_bytes or a line more.
 * reader->begin is called for each file. RUB_EDATA: as rub_sparse_set_open says of whole files.
 * RUB_ENOMEM. Blocks on the files. *self_p is the caller's, NULL on failure. */
int rub_sparse_index_open(const rub_sparse_reader_t *reader, rub_sparse_parse_t *parse,
                          uint32_t block_bytes, rub_sparse_index_t **self_p, rub_error_t *err);
void rub_sparse_index_close(rub_sparse_index_t **self_p); /* NULL is fine */

/* RUB_EDATA: the file is another one than when it was indexed, or was written to. */
int rub_sparse_index_unchanged(const rub_sparse_index_t *self, size_t file, rub_error_t *err);

#endif
