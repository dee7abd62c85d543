/* The resolved configuration of a process: one member per row of options.def, so that users write
 * config->staleness.
 *
 * Layers, strongest first: flags (--name value, --set key=value), environment (RUBATO_NAME), run
 * file (YAML), the table's defaults. All of them speak the table's types; an unknown key is an
 * error that names the nearest known one; a bad value is an error that names where it stands, the
 * key, the fact and the bound. */
#ifndef RUB_CONFIG_H
#define RUB_CONFIG_H

#include "common/base/arena.h"
#include "include/rubato.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* The commands that an option belongs to. */
enum {
    RUB_FOR_TRAIN = 1u << 0,
    RUB_FOR_SCHEDULER = 1u << 1,
    RUB_FOR_PS = 1u << 2,
    RUB_FOR_WORKER = 1u << 3,
    RUB_FOR_STATUS = 1u << 4,
    RUB_FOR_BENCH = 1u << 5,
    RUB_FOR_AUDIT = 1u << 6,
    RUB_FOR_SNAPSHOT = 1u << 7,
    RUB_FOR_REPLAY = 1u << 8,
    RUB_FOR_FSCK = 1u << 9,
    RUB_FOR_NEIGHBOURS = 1u << 10,
    RUB_FOR_EXPORT = 1u << 11,
    RUB_FOR_EVAL = 1u << 12,
    RUB_FOR_PREDICT = 1u << 13,
    RUB_FOR_DATA = 1u << 15,
    RUB_FOR_RECOMMEND = 1u << 16,
};

#define RUB_LIST_LIMIT 16u
#define RUB_WORDS_LIMIT 24u
#define RUB_RANK_ANY UINT64_MAX /* config->rank when none is wanted */

typedef struct rub_u64_list {
    uint64_t items[RUB_LIST_LIMIT];
    uint32_t n_items;
} rub_u64_list_t;

/* RUB_OPT_staleness ... RUB_OPT_COUNT: an option's number. */
#define RUB_GROUP(group, title)
#define RUB_OPTION(type, group, name, ...) RUB_OPT_##name,
typedef enum rub_option_id {
#include "common/conf/options.def"
    RUB_OPT_COUNT
} rub_option_id_t;
#undef RUB_OPTION

typedef enum {
    RUB_FROM_DEFAULT = 0,
    RUB_FROM_FILE = 1,
    RUB_FROM_ENVIRONMENT = 2,
    RUB_FROM_FLAG = 3,
    RUB_FROM_PROGRAM = 4, /* decided by train: a free port, the run directory */
} rub_source_t;

typedef struct rub_origin {
    rub_source_t source;
    const char *where; /* "run.yaml:7", "RUBATO_SEED", "--seed"; "" for defaults. The config's. */
} rub_origin_t;

#define RUB_TYPE_U64 uint64_t
#define RUB_TYPE_F64 double
#define RUB_TYPE_BOOL bool
#define RUB_TYPE_STR const char *   /* the config's; "" when empty, never NULL */
#define RUB_TYPE_ENUM int           /* index into the row's words */
#define RUB_TYPE_STALENESS uint64_t /* RUB_ASYNC: no bound */
#define RUB_TYPE_MS uint64_t
#define RUB_TYPE_BYTES uint64_t
#define RUB_TYPE_LIST rub_u64_list_t
#define RUB_TYPE_ITEMS                                                                             \
    const char * /* without brackets; the config's; "" when empty, never NULL                      \
                  */
#define RUB_OPTION(type, group, name, ...) RUB_TYPE_##type name;
typedef struct rub_config {
#include "common/conf/options.def"
    rub_origin_t origins[RUB_OPT_COUNT];
    const char *enum_words[RUB_OPT_COUNT]; /* of ENUM options: rub_config_word */
    const char *file;                      /* the run file, "" when there is none */
    const char
        *words[RUB_WORDS_LIMIT]; /* arguments that are not flags, the run file not among them */
    uint32_t n_words;
    bool wants_help;         /* --help was among the flags: nothing else was looked at */
    bool wants_print_config; /* --print-config */
    rub_arena_t arena;       /* of all strings */
} rub_config_t;
#undef RUB_OPTION
#undef RUB_GROUP

void rub_config_init(rub_config_t *self);
void rub_config_fini(rub_config_t *self);

/* Resolves everything for `command` (one RUB_FOR_*). arguments: what follows the command's name, n
 * of them; environment: "NAME=value" strings ended by NULL, only RUBATO_* are looked at; may be
 * NULL. A word that ends in .yaml or .yml, and the value of --config, is the run file. Fills what
 * follows from other options (n_shards). RUB_ECONFIG with a sentence; RUB_EINVAL never; RUB_ENOMEM.
 * Call once on an initialised config. Blocks on the file. */
int rub_config_load(rub_config_t *self, uint32_t command, int n, char *const *arguments,
                    char *const *environment, rub_error_t *err);

/* Sets one option from text, as a flag would; where is copied. RUB_ECONFIG. */
int rub_config_set(rub_config_t *self, rub_option_id_t option, const char *text,
                   rub_source_t source, const char *where, rub_error_t *err);

/* The word for an ENUM option's present value: rub_config_word(config, RUB_OPT_model_kind) is
 * "mlp". The config's. */
const char *rub_config_word(const rub_config_t *self, rub_option_id_t option);

/* Whether the ps listens on Unix sockets of its host ("listen: ipc"). */
bool rub_config_listens_on_ipc(const rub_config_t *self);
/* The interface for what goes through tcp all the same, the scheduler: listen, or the loopback. The
 * config's, or static. */
const char *rub_config_tcp_interface(const rub_config_t *self);

/* For who starts a job: another reduce than the default means something under bsp alone. Not among
 * what load checks, since that reads the configurations of runs that have ended, too. RUB_ECONFIG.
 */
int rub_config_check_reduce(const rub_config_t *self, rub_error_t *err);

/* "bsp", "4", "async" into out (at least 24 bytes); returns out. */
const char *rub_staleness_text(uint64_t staleness, char *out, size_t out_bytes);

/* Writes the resolved configuration as YAML that loads to the same values, each line with its
 * origin in a comment. */
void rub_config_print(const rub_config_t *self, FILE *out);

/* Writes the flags of a command, by group, with defaults and sentences. */
void rub_config_help(uint32_t command, FILE *out);

#endif
