/* Who exports rows must be able to say whose they are, also when a name has blanks: so dictionaries
 * have the number first and a tab behind it. */
#include "worker/data/names_file.h"

#include "common/base/whole_file.h"

#include <stdio.h>
#include <string.h>

int rub_names_save(const rub_vocabulary_t *names, const char *path, rub_error_t *err)
{
    rub_whole_file_t *file = NULL;
    int rc = rub_whole_file_open(path, &file, err);
    if (rc) {
        return rc;
    }
    FILE *const out = rub_whole_file_stream(file);
    const size_t n = rub_vocabulary_size(names);
    for (uint32_t i = 0; i < n && !ferror(out); i++) {
        fprintf(out, "%u\t%s\n", i, rub_vocabulary_word(names, i));
    }
    return rub_whole_file_finish(&file, err);
}

const char *rub_name_as_word(const char *name, char *room)
{
    const size_t n = strlen(name);
    for (size_t i = 0; i <= n; i++) {
        const bool blank = name[i] == ' ' || (name[i] >= '\t' && name[i] <= '\r');
        room[i] = blank ? '_' : name[i];
    }
    return room;
}
