/* Finding the files of a data set.
 *
 * Why: large data sets lie in many files, and workers must agree about which these are and in what
 * order, since examples are dealt by number. Invariant: the list depends on what is in the folders
 * and on nothing else: names are sorted by their bytes, not by the language of the host. Reference:
 * POSIX glob(3), which sorts by the locale; hence GLOB_NOSORT and our own order. */
#include "worker/data/data_files.h"

#include "common/base/alloc.h"
#include "common/base/error.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Takes path. */
static int add(rub_data_files_t *self, char *path, rub_error_t *err)
{
    if (path == NULL ||
        rub_grow(&self->paths, &self->room, self->n + 1, sizeof *self->paths) != 0) {
        rub_free(path);
        return rub_fail(err, RUB_ENOMEM, "no memory for the names of %zu data files", self->n + 1);
    }
    self->paths[self->n++] = path;
    if (self->n > RUB_DATA_FILES_LIMIT) {
        return rub_fail(err, RUB_EDATA, "data: more than %zu files are named",
                        RUB_DATA_FILES_LIMIT);
    }
    return 0;
}

static bool is_regular(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorts what came behind the first n. */
static void sort_from(rub_data_files_t *self, size_t n)
{
    if (self->n > n) {
        qsort(self->paths + n, self->n - n, sizeof *self->paths, compare_names);
    }
}

static int add_folder(rub_data_files_t *self, const char *path, rub_error_t *err)
{
    const size_t before = self->n;
    const size_t length = strlen(path);
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return rub_fail_errno(err, RUB_EDATA, errno, "data folder '%s' cannot be read", path);
    }
    int rc = 0;
    const struct dirent *entry = NULL;
    while (rc == 0 && (entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] == '.' || entry->d_name[0] == '_') {
            continue;
        }
        const char *const slash = length > 0 && path[length - 1] == '/' ? "" : "/";
        char *const file = rub_sprintf("%s%s%s", path, slash, entry->d_name);
        if (file != NULL && !is_regular(file)) {
            rub_free(file);
            continue;
        }
        rc = add(self, file, err);
    }
    closedir(folder);
    if (rc == 0 && self->n == before) {
        rc = rub_fail(err, RUB_EDATA, "data folder '%s' holds 0 files, expected at least 1", path);
    }
    sort_from(self, before);
    return rc;
}

static int add_pattern(rub_data_files_t *self, const char *pattern, rub_error_t *err)
{
    const size_t before = self->n;
    glob_t found = {0};
    int rc = 0;
    if (glob(pattern, GLOB_NOSORT, NULL, &found) == GLOB_NOSPACE) {
        rc = rub_fail(err, RUB_ENOMEM, "data files '%s': no memory", pattern);
    }
    for (size_t i = 0; rc == 0 && i < found.gl_pathc; i++) {
        if (is_regular(found.gl_pathv[i])) {
            rc = add(self, rub_strdup(found.gl_pathv[i]), err);
        }
    }
    globfree(&found);
    if (rc == 0 && self->n == before) {
        rc = rub_fail(err, RUB_EDATA, "data files '%s': no file has such a name", pattern);
    }
    sort_from(self, before);
    return rc;
}

static int add_item(rub_data_files_t *self, const char *item, rub_error_t *err)
{
    struct stat status;
    const bool there = stat(item, &status) == 0;
    if (there && S_ISDIR(status.st_mode)) {
        return add_folder(self, item, err);
    }
    if (!there && strpbrk(item, "*?[") != NULL) {
        return add_pattern(self, item, err);
    }
    return add(self, rub_strdup(item), err);
}

static int add_list(rub_data_files_t *self, const char *words, rub_error_t *err)
{
    int rc = 0;
    char *const copy = rub_strdup(words);
    if (copy == NULL) {
        return rub_fail(err, RUB_ENOMEM, "data files '%s': no memory", words);
    }
    for (char *item = copy, *next = NULL; rc == 0 && item != NULL; item = next) {
        next = strchr(item, ',');
        if (next != NULL) {
            *next++ = '\0';
        }
        rc = item[0] != '\0' ? add_item(self, item, err)
                             : rub_fail(err, RUB_EDATA, "data files '%s': one has no name", words);
    }
    rub_free(copy);
    return rc;
}

int rub_data_files_open(const char *words, rub_data_files_t **self_p, rub_error_t *err)
{
    *self_p = NULL;
    rub_data_files_t *self = rub_calloc(1, sizeof *self);
    if (self == NULL) {
        return rub_fail(err, RUB_ENOMEM, "data files '%s': no memory", words);
    }
    struct stat status;
    const int rc = strchr(words, ',') == NULL || stat(words, &status) == 0
                       ? add_item(self, words, err)
                       : add_list(self, words, err);
    if (rc != 0) {
        rub_data_files_close(&self);
    }
    *self_p = self;
    return rc;
}

int rub_data_files_spare(const char *words, const char *out, rub_error_t *err)
{
    struct stat there, read;
    if (stat(out, &there) != 0 || !S_ISREG(there.st_mode)) {
        return 0;
    }
    rub_data_files_t *files = NULL;
    int rc = rub_data_files_open(words, &files, err);
    for (size_t i = 0; rc == 0 && i < files->n; i++) {
        const char *const path = files->paths[i];
        const bool piped = strcmp(path, "-") == 0;
        if ((piped ? fstat(STDIN_FILENO, &read) : stat(path, &read)) == 0 &&
            read.st_dev == there.st_dev && read.st_ino == there.st_ino) {
            rc = rub_fail(err, RUB_ECONFIG, "'%s' would be written over data that are read, '%s'",
                          out, piped ? "standard input" : path);
        }
    }
    rub_data_files_close(&files);
    return rc;
}

void rub_data_files_close(rub_data_files_t **self_p)
{
    rub_data_files_t *self = *self_p;
    if (self == NULL) {
        return;
    }
    for (size_t i = 0; i < self->n; i++) {
        rub_free(self->paths[i]);
    }
    rub_free(self->paths);
    rub_free(self);
    *self_p = NULL;
}
