/* Word vectors, binary when the first byte is odd, else text; plain or gzip. What opens has as many
 * words as values for them, each word once and each value finite. */
#include "tests/fuzz/fuzz.h"
#include "worker/data/word_vectors.h"

#include <math.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    rub_word_vectors_t *vectors = NULL;
    rub_error_t err = {0};
    const char *path = rub_fuzz_file(0, data + 1, size - 1);
    if (rub_word_vectors_open(path, data[0] % 2 != 0, &vectors, &err) != 0) {
        RUB_ASSERT(!vectors);
        RUB_ASSERT(err.message[0] != '\0');
        return 0;
    }
    RUB_ASSERT(vectors->n_words == rub_vocabulary_size(vectors->words));
    for (uint32_t i = 0; i < vectors->n_words; i++) {
        const char *word = rub_vocabulary_word(vectors->words, i);
        RUB_ASSERT(rub_vocabulary_find(vectors->words, word, strlen(word)) == i);
        for (uint32_t k = 0; k < vectors->width; k++) {
            RUB_ASSERT(isfinite(vectors->values[(size_t)i * vectors->width + k]));
        }
    }
    rub_word_vectors_close(&vectors);
    return 0;
}
