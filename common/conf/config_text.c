/* The table as text for people: --help, and the resolved configuration with where each value came
 * from.
 *
 * What rub_config_print writes is a run file itself (the run directory keeps it as config.yaml, and
 * the processes of a run are started from it), so strings are quoted and every key stands in its
 * group. */
#include "common/base/check.h"
#include "common/conf/config.h"
#include "common/conf/option.h"

#include <stdio.h>
#include <string.h>

#define RUB_HELP_COLUMN 34
#define RUB_HELP_WIDTH 100
#define RUB_COMMENT_COLUMN 44
#define RUB_VALUE_BYTES 4200

const char *rub_config_word(const rub_config_t *self, rub_option_id_t option)
{
    RUB_ASSERT(self->enum_words[option]);
    return self->enum_words[option];
}

static int print_quoted(const char *text, FILE *out)
{
    int n = 2;
    fputc('"', out);
    for (; *text; text++, n++) {
        if (*text == '"' || *text == '\\') {
            fputc('\\', out);
            n++;
        }
        fputc(*text, out);
    }
    fputc('"', out);
    return n;
}

static const char *origin_text(const rub_origin_t *origin)
{
    switch (origin->source) {
    case RUB_FROM_DEFAULT:
        return "default";
    case RUB_FROM_PROGRAM:
        return origin->where[0] ? origin->where : "chosen by train";
    case RUB_FROM_FILE:
    case RUB_FROM_ENVIRONMENT:
    case RUB_FROM_FLAG:
        break;
    }
    return origin->where;
}

void rub_config_print(const rub_config_t *self, FILE *out)
{
    const char *group = "";
    for (int i = 0; i < RUB_OPT_COUNT; i++) {
        const rub_option_t *option = &rub_option_table[i];
        if (strcmp(group, option->group) != 0) {
            group = option->group;
            fprintf(out, "%s: # %s\n", group, rub_option_group_title(group));
        }
        char value[RUB_VALUE_BYTES];
        rub_option_format(self, option, value, sizeof value);
        int column = fprintf(out, "  %s: ", option->name);
        const bool quoted = option->type == RUB_OPTION_STR || option->type == RUB_OPTION_ITEMS;
        column += quoted ? print_quoted(value, out) : fprintf(out, "%s", value);
        const int pad = column < RUB_COMMENT_COLUMN ? RUB_COMMENT_COLUMN - column : 1;
        fprintf(out, "%*s# %s\n", pad, "", origin_text(&self->origins[i]));
    }
}

/* ---- help ---- */

static const char *type_words(const rub_option_t *option)
{
    static const char *const words[] = {
        [RUB_OPTION_U64] = "N",       [RUB_OPTION_F64] = "X",
        [RUB_OPTION_BOOL] = "",       [RUB_OPTION_STR] = "TEXT",
        [RUB_OPTION_ENUM] = "WORD",   [RUB_OPTION_STALENESS] = "N|bsp|async",
        [RUB_OPTION_MS] = "DURATION", [RUB_OPTION_BYTES] = "SIZE",
        [RUB_OPTION_LIST] = "N,N...", [RUB_OPTION_ITEMS] = "ITEM,ITEM...",
    };
    return option->words[0] ? option->words : words[option->type];
}

/* The flag as people type it: dashes; a switch that is on by default is shown as what turns it off;
 * durations and sizes without their unit, for DURATION and SIZE carry one. */
static void flag_text(const rub_option_t *option, char *out, size_t out_bytes)
{
    const bool is_switch = option->type == RUB_OPTION_BOOL;
    const bool off = is_switch && strcmp(option->fallback, "true") == 0;
    snprintf(out, out_bytes, "--%s%s", off ? "no-" : "", option->name);
    const size_t n = strlen(out);
    if (option->type == RUB_OPTION_MS) {
        out[n - strlen("_ms")] = 0;
    } else if (option->type == RUB_OPTION_BYTES) {
        out[n - strlen("_bytes")] = 0;
    }
    for (char *p = out; *p; p++) {
        *p = *p == '_' ? '-' : *p;
    }
}

static void print_wrapped(const char *text, int column, FILE *out)
{
    const int width = RUB_HELP_WIDTH - RUB_HELP_COLUMN;
    while (*text) {
        fprintf(out, "%*s", RUB_HELP_COLUMN - column, "");
        int n = (int)strlen(text);
        if (n > width) {
            for (n = width; n > 0 && text[n] != ' '; n--) {
            }
            n = n > 0 ? n : width;
        }
        fprintf(out, "%.*s\n", n, text);
        text += n;
        text += *text == ' ';
        column = 0;
    }
}

static void print_flag(const rub_option_t *option, FILE *out)
{
    char flag[96], text[512], shown[32] = "";
    flag_text(option, flag, sizeof flag);
    if (option->fallback[0] && option->type != RUB_OPTION_BOOL) {
        const bool is_list = option->type == RUB_OPTION_LIST || option->type == RUB_OPTION_ITEMS;
        /* has its brackets */
        snprintf(shown, sizeof shown, is_list ? " %s" : " [%s]", option->fallback);
    }
    const bool off = option->type == RUB_OPTION_BOOL && strcmp(option->fallback, "true") == 0;
    snprintf(text, sizeof text, "%s%s%s", off ? "do not " : "", option->help, shown);
    int column = fprintf(out, "  %s %s", flag, type_words(option));
    if (column >= RUB_HELP_COLUMN) {
        fputc('\n', out);
        column = 0;
    }
    print_wrapped(text, column, out);
}

static void print_general(FILE *out)
{
    static const struct {
        const char *flag, *help;
    } lines[] = {
        {"--config FILE", "the run file (YAML); a word that ends in .yaml is it, too"},
        {"--set KEY=VALUE", "any option, whatever the command; may be repeated"},
        {"--print-config",
         "print the resolved configuration with where each value is from, and leave"},
        {"--help", "print this, and leave"},
    };
    fprintf(out, "General\n");
    for (size_t i = 0; i < RUB_COUNT_OF(lines); i++) {
        print_wrapped(lines[i].help, fprintf(out, "  %s", lines[i].flag), out);
    }
}

void rub_config_help(uint32_t command, FILE *out)
{
    print_general(out);
    const char *group = "";
    for (int i = 0; i < RUB_OPT_COUNT; i++) {
        const rub_option_t *option = &rub_option_table[i];
        if (!(option->commands & command)) {
            continue;
        }
        if (strcmp(group, option->group) != 0) {
            group = option->group;
            fprintf(out, "\n%s (%s:)\n", rub_option_group_title(group), group);
        }
        print_flag(option, out);
    }
    fprintf(
        out,
        "\nEach option is also a key of the run file, under its group, and an environment variable "
        "RUBATO_ and its name (RUBATO_STALENESS=2).\nFlags win over the environment, the "
        "environment over the file. "
        "DURATION: 250ms, 5s, 2m. SIZE: 64K, 512M.\n");
}
