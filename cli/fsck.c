/* `rubato fsck DIR`: is what a job has left on disk whole, and if not, what is wrong and where?
 *
 * DIR is a shard's folder, a ps's or a scheduler's, or a run directory, in which all of them are
 * looked at. Each store is looked at by a child process: should a damaged file kill it after all,
 * this process says so and goes on. Nothing is changed; a store that a process holds is not looked
 * at, since it moves. The child tells what it found as one line of JSON through a pipe. */
#include "cli/commands.h"
#include "cli/fsck_store.h"
#include "common/base/alloc.h"
#include "common/base/bytes.h"
#include "common/base/error.h"
#include "common/base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STORES_LIMIT = 4096, DEPTH_LIMIT = 3 };

typedef struct fsck_list {
    char *folders[STORES_LIMIT];
    size_t n;
    size_t n_unreadable; /* folders in which stores may be */
    char unreadable[PATH_MAX];
    int why; /* errno of that, the first one */
} fsck_list_t;

/* ---- what there is to look at ---- */

static bool has(const char *folder, const char *name)
{
    char path[PATH_MAX];
    return snprintf(path, sizeof path, "%s/%s", folder, name) < (int)sizeof path &&
           rub_fs_exists(path);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What is gone meanwhile, or no folder, holds no store; what may not be looked at may. */
static void note_unreadable(fsck_list_t *list, const char *path, int why)
{
    if (why == ENOENT || why == ENOTDIR) {
        return;
    }
    if (list->n_unreadable++ == 0) {
        snprintf(list->unreadable, sizeof list->unreadable, "%s", path);
        list->why = why;
    }
}

/* Stores are where a lock, an LMDB file or a journal is; they do not nest. */
static void find_stores(const char *folder, int depth, fsck_list_t *list)
{
    if (has(folder, "data.mdb") || has(folder, "journal")) {
        if (list->n < STORES_LIMIT) {
            list->folders[list->n++] = rub_strdup(folder);
        }
        return;
    }
    DIR *entries = depth < DEPTH_LIMIT ? opendir(folder) : NULL;
    if (!entries) {
        note_unreadable(list, folder, depth < DEPTH_LIMIT ? errno : ENOENT);
        return;
    }
    for (struct dirent *entry = readdir(entries); entry; entry = readdir(entries)) {
        char path[PATH_MAX];
        struct stat status;
        if (entry->d_name[0] == '.' ||
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) >= (int)sizeof path) {
            continue;
        }
        if (lstat(path, &status) != 0) {
            note_unreadable(list, path, errno);
        } else if (S_ISDIR(status.st_mode)) {
            find_stores(path, depth + 1, list);
        }
    }
    (void)closedir(entries);
}

/* ---- the child ---- */

/* All that the child wrote. */
static char *read_pipe(int fd)
{
    rub_buf_t text;
    rub_buf_init(&text);
    char part[4096];
    for (;;) {
        const ssize_t n = read(fd, part, sizeof part);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            break;
        }
        rub_buf_append(&text, part, (size_t)n);
    }
    rub_buf_u8(&text, 0);
    char *out = text.failed ? NULL : rub_strdup((const char *)text.data);
    rub_buf_fini(&text);
    return out;
}

static json_t *death_of(const char *folder, int status)
{
    char line[200];
    if (WIFSIGNALED(status)) {
        snprintf(line, sizeof line,
                 "looking at it was ended by signal %d (%s): its files are damaged",
                 WTERMSIG(status), strsignal(WTERMSIG(status)));
    } else {
        snprintf(line, sizeof line, "looking at it ended with %d and without a word",
                 WEXITSTATUS(status));
    }
    return json_pack("{s:s, s:s, s:s, s:i, s:[s]}", "store", folder, "kind", "?", "verdict",
                     "damaged", "exit_code", rub_error_exit_code(RUB_ECORRUPT), "faults", line);
}

/* What a process of its own finds in the folder. NULL: there is no memory, or no process. */
static json_t *look_at(const char *folder)
{
    int ends[2];
    if (pipe(ends) != 0) {
        return NULL;
    }
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        (void)close(ends[0]);
        json_t *found = rub_fsck_store(folder);
        FILE *out = fdopen(ends[1], "w");
        const bool told = out && found && json_dumpf(found, out, JSON_COMPACT) == 0;
        _exit(told && fclose(out) == 0 ? 0 : 1);
    }
    (void)close(ends[1]);
    if (child < 0) { /* that says nothing about the store */
        (void)close(ends[0]);
        return NULL;
    }
    char *text = read_pipe(ends[0]);
    (void)close(ends[0]);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    json_t *found = text ? json_loads(text, 0, NULL) : NULL;
    rub_free(text);
    return found ? found : death_of(folder, status);
}

/* ---- what people hear ---- */

static const char *text_of(const json_t *store, const char *key)
{
    const char *text = json_string_value(json_object_get(store, key));
    return text ? text : "";
}

static void tell(const json_t *store, FILE *out)
{
    const json_t *lines = json_object_get(store, "lines");
    const json_t *faults = json_object_get(store, "faults");
    fprintf(out, "%s: %s\n", text_of(store, "store"), text_of(store, "title"));
    for (size_t i = 0; i < json_array_size(lines); i++) {
        fprintf(out, "  %s\n", json_string_value(json_array_get(lines, i)));
    }
    for (size_t i = 0; i < json_array_size(faults); i++) {
        fprintf(out, "  WRONG: %s\n", json_string_value(json_array_get(faults, i)));
    }
    fprintf(out, "  %s\n", text_of(store, "verdict"));
}

static int code_of(const json_t *store)
{
    return (int)json_integer_value(json_object_get(store, "exit_code"));
}

static void print_json(json_t *stores, int exit_code)
{
    size_t i;
    json_t *store;
    json_array_foreach(stores, i, store)
    {
        json_object_del(store, "lines");
        json_object_del(store, "title");
    }
    json_t *root = json_pack("{s:b, s:i, s:O}", "clean", exit_code == 0, "exit_code", exit_code,
                             "stores", stores);
    json_dumpf(root, stdout, JSON_COMPACT);
    fputc('\n', stdout);
    json_decref(root);
}

/* Looks at all of them. What is damaged counts more than what can not be looked at. */
static int look_at_all(fsck_list_t *list, bool people, json_t *stores)
{
    const int damaged = rub_error_exit_code(RUB_ECORRUPT);
    int exit_code = 0;
    qsort(list->folders, list->n, sizeof *list->folders, by_name);
    for (size_t i = 0; i < list->n; i++) {
        json_t *store = list->folders[i] ? look_at(list->folders[i]) : NULL;
        int code = rub_error_exit_code(RUB_ENOMEM);
        if (store) {
            code = code_of(store);
            if (people) {
                tell(store, stdout);
            }
            json_array_append_new(stores, store);
        } else {
            fprintf(stderr, "rubato fsck: no memory, or no process, to look at a store\n");
        }
        exit_code = exit_code == 0 || code == damaged ? code : exit_code;
        rub_free(list->folders[i]);
    }
    return exit_code;
}

int rub_fsck_main(const rub_config_t *config)
{
    if (config->n_words != 1) {
        fprintf(stderr,
                "rubato fsck: %u folders were named, expected one: a run directory, or the store "
                "of a ps, a shard or a scheduler\n",
                config->n_words);
        return rub_error_exit_code(RUB_ECONFIG);
    }
    fsck_list_t *list = rub_calloc(1, sizeof *list);
    json_t *stores = json_array();
    int exit_code = rub_error_exit_code(RUB_ENOMEM);
    if (list && stores) {
        find_stores(config->words[0], 0, list);
        exit_code = list->n > 0 ? look_at_all(list, !config->json, stores)
                                : rub_error_exit_code(RUB_ECONFIG);
    }
    if (list && list->n_unreadable > 0) {
        fprintf(stderr, "rubato fsck: %zu of the folders can not be read, the first is '%s': %s\n",
                list->n_unreadable, list->unreadable, strerror(list->why));
        exit_code = list->n > 0 && exit_code != 0 ? exit_code : rub_error_exit_code(RUB_EIO);
    }
    if (list && list->n == 0 && list->n_unreadable == 0) {
        fprintf(stderr, "rubato fsck: there is no store in %s%s\n", config->words[0],
                rub_fs_exists(config->words[0]) ? "" : ", which does not exist");
    } else if (config->json) {
        print_json(stores, exit_code);
    }
    json_decref(stores);
    rub_free(list);
    return exit_code;
}
