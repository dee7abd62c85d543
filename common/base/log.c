/* Log lines for people.
 *
 * A line is built in a local buffer and leaves in one fwrite under the stream's own lock, so lines
 * of several threads never mix, and it is flushed at once: after a kill -9 the last line is in the
 * file. Line ends inside a sentence become blanks, so that one event is one line whatever a peer
 * put into its name. Too long lines are cut. */
#include "common/base/log.h"

#include "common/base/timing.h"

#include <stdarg.h>
#include <string.h>

static const char *const LEVEL_NAMES[] = {"error", "warn ", "info ", "debug"};

void rub_log_init(rub_log_t *self, FILE *out, rub_log_level_t level, const char *who)
{
    *self = (rub_log_t){.out = out, .level = level};
    (void)snprintf(self->who, sizeof(self->who), "%s", who);
}

void rub_log(const rub_log_t *self, rub_log_level_t level, const char *format, ...)
{
    if (self == NULL || self->out == NULL || level > self->level) {
        return;
    }
    char line[1200];
    char sentence[1024];
    char when[32];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(sentence, sizeof(sentence), format, arguments);
    va_end(arguments);
    for (char *c = sentence; *c != '\0'; c++) {
        if (*c == '\n' || *c == '\r') {
            *c = ' ';
        }
    }
    rub_wall_text(when, sizeof(when));
    (void)snprintf(line, sizeof(line), "%s %s %s: %s\n", when, LEVEL_NAMES[level], self->who,
                   sentence);
    (void)fwrite(line, 1, strlen(line), self->out);
    (void)fflush(self->out);
}
