/* Names by number, for files that other programs read: dictionaries as DGL-KE has them, which
 * rub_triple_reader_dictionary (triple_reader.h) reads again, and names as words of word2vec's
 * files. */
#ifndef RUB_NAMES_FILE_H
#define RUB_NAMES_FILE_H

#include "worker/data/vocabulary.h"

/* Writes a line `number<TAB>name` for each name, which has no tabs, in one step. RUB_ESTORE,
 * RUB_ENOSPC, RUB_ENOMEM. Blocks. */
int rub_names_save(const rub_vocabulary_t *names, const char *path, rub_error_t *err);

/* The name as one word: white space is '_'. room: for all of it and its end; returned. */
const char *rub_name_as_word(const char *name, char *room);

#endif
