/* rubato-crash: power losses and rot against a shard's store.
 *
 *   rubato-crash [images --images N [--seed S] [--control] [--json]]
 *   rubato-crash corruptions --runs N [--seed S] [--json]
 *
 * A recording is some work of a shard over real files, with a kill now and then. `images` goes
 * through its calls and builds disks that a power loss could leave at each, and on one of them the
 * next recording begins, since what a power loss leaves unseen may show at the second or third one;
 * `corruptions` damages the store that is left at the end. Every disk is opened in a child. Ends
 * with 1 when a promise is broken; with --control, where syncs do nothing, when none is. Without
 * arguments it makes 400 images of shards whose checkpoints depend on nothing but the journal's
 * chain, and ends with the first promise that is broken: for tests/mutants.
 *
 * The threads of a recording are real, so a seed repeats the choices but not the interleaving; a
 * disk that broke a promise is kept and its folder printed.
 *
 * Many stores have segments that are written through mappings, from their fifth page on here, so
 * that disks stay small (CMakeLists.txt). A disk whose journal has something behind a hole is also
 * opened as if the host had not been started again: what a killed process leaves has no holes, so
 * this is refused as damage, or serves just the same.
 */
#include "tests/crash/damage.h"
#include "tests/crash/shard_driver.h"
#include "tests/crash/verdict.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/base/timing.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    IMAGES_PER_RECORDING = 400,
    RECORDINGS_LEAST = 20, /* fewer images are of fewer recordings */
    RECORDINGS_OF_A_STORE = 3,
    KEPT_LIMIT = 10,
    HOLES_FOR_SURE = 50 /* some of so many are noticed in the same boot */
};

typedef struct run {
    bool corruptions, control, json;
    bool first; /* ends with the first promise that is broken; checkpoints are exact */
    uint64_t wanted, seed;
    char place[64]; /* the folder of this run, in memory */
    rub_rng_t rng;
    uint64_t n, n_recordings, n_calls, n_barriers;
    uint64_t n_stored_bytes;         /* through mappings */
    uint64_t n_holes, n_damage_seen; /* disks with a hole; refused as damage in their own boot */
    uint64_t n_same_boot;            /* disks opened in their own boot */
    uint64_t verdicts[RUB_VERDICT_COUNT];
    uint64_t by_damage[RUB_DAMAGE_KINDS][RUB_VERDICT_COUNT];
    uint64_t n_shortened; /* corruptions: the journal's end is gone, with all that vouched for it */
    uint32_t n_kept;
    uint64_t boot;
} run_t;

/* One recording: what was there, what was done, what was promised. */
typedef struct recording {
    rub_ledger_plan_t plan;
    rub_image_t start, middle, end;
    rub_disk_log_t log;
    rub_ledger_reach_t promised_before, given;
    rub_ledger_reach_t promised; /* at the end */
    bool drained;
    uint64_t boot;
} recording_t;

static uint64_t n_broken(const run_t *run)
{
    const uint64_t *v = run->verdicts;
    return v[RUB_VERDICT_LOST] + v[RUB_VERDICT_WRONG] + v[RUB_VERDICT_HUNG] + v[RUB_VERDICT_DIED] +
           (run->corruptions ? 0 : v[RUB_VERDICT_REFUSED]);
}

static bool wants_more(const run_t *run)
{
    return run->n < run->wanted && !(run->first && n_broken(run) > 0);
}

static void folder_of(const run_t *run, const char *name, char out[128])
{
    (void)snprintf(out, 128, "%s/%s", run->place, name);
}

static void fail(const char *what, const rub_error_t *err)
{
    fprintf(stderr, "rubato-crash: %s: %s\n", what, err->message);
    exit(70);
}

static void raise_reach(rub_ledger_reach_t *reach, const rub_ledger_reach_t *by)
{
    for (uint32_t u = 0; u < RUB_LEDGER_RANKS; u++) {
        reach->seq[u] = by->seq[u] > reach->seq[u] ? by->seq[u] : reach->seq[u];
    }
}

/* One to three lives of a shard, killed or stopped in order. */
static void live(run_t *run, const char *folder, recording_t *rec)
{
    const uint64_t n_lives = 1 + rub_rng_below(&run->rng, 3);
    rub_error_t err = {0};
    for (uint64_t i = 0; i < n_lives; i++) {
        rub_driver_t *driver = NULL;
        rub_ledger_reach_t reach;
        if (rub_driver_open(folder, &rec->plan, &driver, &err) != 0 ||
            rub_driver_hello(driver, &reach, &err) != 0 ||
            rub_driver_work(driver, 20 + (uint32_t)rub_rng_below(&run->rng, 150), &run->rng,
                            &err) != 0) {
            fail("a recording", &err);
        }
        const bool last = i + 1 == n_lives;
        rec->drained = rub_rng_below(&run->rng, 3) == 0;
        raise_reach(&rec->given, rub_driver_given(driver));
        raise_reach(&rec->promised, rub_driver_synced(driver));
        if (rec->drained) { /* all of it is in LMDB */
            raise_reach(&rec->promised, rub_driver_given(driver));
        }
        if (last && run->corruptions) {
            rub_record_hold();
            rub_image_read(folder, &rec->middle); /* before the last sync, trim and so on */
            rub_record_let_go();
        }
        rub_driver_close(&driver, rec->drained);
    }
}

/* start: the disk to begin with, taken over; empty: none. */
static void record(run_t *run, rub_image_t *start, const rub_ledger_plan_t *plan,
                   const rub_ledger_reach_t *promised, const rub_ledger_reach_t *given,
                   recording_t *rec)
{
    char folder[128], boot[64];
    folder_of(run, "recording", folder);
    (void)snprintf(boot, sizeof(boot), "boot-%llu", (unsigned long long)++run->boot);
    *rec = (recording_t){.plan = *plan, .promised_before = *promised, .given = *given};
    RUB_ASSERT(rub_fs_remove_tree(folder, NULL) == 0);
    rub_image_write(start, folder);
    rub_image_fini(start);
    rub_image_read(folder, &rec->start);
    rub_record_begin(&rec->log, folder, boot);
    for (uint32_t i = 0; i < rec->start.n_files; i++) {
        RUB_ASSERT(rub_record_known(rec->start.files[i].name) == i);
    }
    live(run, folder, rec);
    rub_record_end();
    rub_image_read(folder, &rec->end);
    run->n_recordings++;
    run->n_calls += rec->log.n;
    rec->boot = run->boot;
    for (size_t i = 0; i < rec->log.n; i++) {
        const rub_disk_op_t *op = &rec->log.ops[i];
        run->n_stored_bytes += op->kind == RUB_DISK_STORE ? op->bytes : 0;
    }
}

static void drop(recording_t *rec)
{
    rub_image_fini(&rec->start);
    rub_image_fini(&rec->middle);
    rub_image_fini(&rec->end);
    rub_disk_log_fini(&rec->log);
}

/* The boot of whoever opens a disk next. */
static void set_boot(uint64_t number)
{
    rub_disk_log_t none;
    char boot[64];
    (void)snprintf(boot, sizeof(boot), "boot-%llu", (unsigned long long)number);
    rub_record_begin(&none, "/nowhere", boot);
    rub_record_end();
}

static void reboot(run_t *run)
{
    set_boot(++run->boot);
}

static bool is_broken(const run_t *run, const rub_verdict_t *verdict)
{
    return verdict->kind == RUB_VERDICT_LOST || verdict->kind == RUB_VERDICT_WRONG ||
           verdict->kind == RUB_VERDICT_HUNG || verdict->kind == RUB_VERDICT_DIED ||
           (verdict->kind == RUB_VERDICT_REFUSED && !run->corruptions);
}

static rub_verdict_t open_disk(run_t *run, const rub_image_t *image, const recording_t *rec,
                               const rub_ledger_reach_t *promised, bool go_on)
{
    char folder[128];
    folder_of(run, "disk", folder);
    RUB_ASSERT(rub_fs_remove_tree(folder, NULL) == 0);
    rub_image_write(image, folder);
    return rub_verdict_of(folder, &rec->plan, promised, &rec->given, go_on);
}

/* As if the host had not been started again. Who takes a hole for the journal's end there, with
 * good records behind it, would lose what a killed process had written. */
static void open_in_its_boot(run_t *run, const rub_image_t *image, const recording_t *rec,
                             const rub_ledger_reach_t *promised, rub_verdict_t *verdict)
{
    set_boot(rec->boot);
    const rub_verdict_t same = open_disk(run, image, rec, promised, false);
    set_boot(run->boot);
    run->n_same_boot++;
    if (same.kind == RUB_VERDICT_REFUSED && same.code == RUB_ECORRUPT) {
        run->n_damage_seen++;
    } else if (same.kind != verdict->kind ||
               memcmp(&same.reach, &verdict->reach, sizeof(same.reach)) != 0) {
        verdict->kind = RUB_VERDICT_WRONG;
        (void)snprintf(verdict->sentence, sizeof(verdict->sentence),
                       "in its own boot it is %s: %.300s", rub_verdict_names[same.kind],
                       same.sentence);
    }
}

/* Writes the disk, has it judged, and keeps it when a promise was broken. */
static rub_verdict_t judge(run_t *run, const rub_image_t *image, const recording_t *rec,
                           const rub_ledger_reach_t *promised, const char *what)
{
    char kept[128];
    rub_verdict_t verdict = open_disk(run, image, rec, promised, rub_rng_below(&run->rng, 8) == 0);
    run->n_holes += image->has_hole;
    if (image->has_hole && verdict.kind == RUB_VERDICT_FINE && !run->control &&
        rub_rng_below(&run->rng, 2)) {
        open_in_its_boot(run, image, rec, promised, &verdict);
    }
    run->n++;
    run->verdicts[verdict.kind]++;
    if (is_broken(run, &verdict) && !run->control && run->n_kept < KEPT_LIMIT) {
        (void)snprintf(kept, sizeof(kept), "/tmp/rubato-crash-%d-%u", (int)getpid(), run->n_kept++);
        if (!run->first) {
            (void)rub_fs_remove_tree(kept, NULL);
            rub_image_write(image, kept);
        }
        fprintf(stderr, "rubato: disk %llu (%s, %s, %s): %s: %s%s%s\n", (unsigned long long)run->n,
                what, rec->plan.bsp ? "bsp" : "async",
                rec->plan.sync     ? "sync"
                : rec->plan.mapped ? "mapped"
                                   : "journal",
                rub_verdict_names[verdict.kind], verdict.sentence, run->first ? "" : "; kept in ",
                run->first ? "" : kept);
    }
    return verdict;
}

static int by_place(const void *a, const void *b)
{
    const size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return x < y ? -1 : x > y;
}

/* Where to cut the power: right before syncs end, where most is in the air, and anywhere. */
static size_t places(run_t *run, const rub_disk_log_t *log, size_t out[IMAGES_PER_RECORDING])
{
    const size_t wanted = run->wanted / RECORDINGS_LEAST + 1;
    size_t n = 0;
    for (; n < wanted && n < IMAGES_PER_RECORDING; n++) {
        out[n] = rub_rng_below(&run->rng, log->n + 1);
        for (size_t i = out[n]; n % 2 && i < log->n; i++) {
            if (log->ops[i].kind == RUB_DISK_SYNC || log->ops[i].kind == RUB_DISK_WRITE_THROUGH) {
                out[n] = i + rub_rng_below(&run->rng, 2);
                break;
            }
        }
    }
    qsort(out, n, sizeof(*out), by_place);
    return n;
}

/* All power losses of one recording; the disk that the next one begins with, and its promises. */
static void cut_power(run_t *run, const recording_t *rec, rub_image_t *next,
                      rub_ledger_reach_t *next_promised)
{
    size_t at[IMAGES_PER_RECORDING];
    const size_t n = places(run, &rec->log, at);
    const size_t chosen = rub_rng_below(&run->rng, n);
    rub_disk_t *disk = rub_disk_new(&rec->log, &rec->start, run->control);
    rub_ledger_reach_t promised = rec->promised_before;
    size_t seen = 0;
    for (size_t i = 0; i < rec->log.n; i++) {
        run->n_barriers += rec->log.ops[i].kind == RUB_DISK_SYNC;
    }
    for (size_t i = 0; i < n && wants_more(run); i++) {
        for (; seen < at[i]; seen++) {
            const rub_disk_op_t *op = &rec->log.ops[seen];
            if (op->kind == RUB_DISK_MARK && op->offset > promised.seq[op->file]) {
                promised.seq[op->file] = op->offset;
            }
        }
        rub_disk_advance(disk, at[i]);
        char what[64];
        const uint32_t way = (uint32_t)rub_rng_below(&run->rng, RUB_IMAGE_WAYS);
        (void)snprintf(what, sizeof(what), "recording %llu, call %zu of %zu, way %u",
                       (unsigned long long)run->n_recordings, at[i], rec->log.n, way);
        rub_image_t image;
        rub_disk_image(disk, way, &run->rng, &image);
        const rub_verdict_t verdict = judge(run, &image, rec, &promised, what);
        if (i == chosen && verdict.kind == RUB_VERDICT_FINE) {
            rub_image_fini(next);
            *next = image;
            *next_promised = promised;
        } else {
            rub_image_fini(&image);
        }
    }
    rub_disk_destroy(&disk);
}

/* With durability sync a real shard does not map its segments either. */
static rub_ledger_plan_t new_plan(run_t *run)
{
    const uint64_t dice = rub_rng_u64(&run->rng);
    const bool chain = run->first || dice % 4 == 0;
    const bool sync = !chain && (dice & 8);
    return (rub_ledger_plan_t){.bsp = dice & 16,
                               .sync = sync,
                               .mapped = !sync && (dice & 32),
                               .redo_limit_bytes = dice & 64 ? 32 * 1024 : 1u << 30,
                               .interval_ms = chain || (dice & 128) ? 40 : 400,
                               .sweeps = !chain && (dice & 256),
                               .patient = chain || (dice & 512)};
}

static void run_images(run_t *run)
{
    rub_image_t next = {0};
    rub_ledger_reach_t promised = {0}, given = {0};
    rub_ledger_plan_t plan = {0};
    while (wants_more(run)) {
        recording_t rec;
        if (run->n_recordings % RECORDINGS_OF_A_STORE == 0) {
            rub_image_fini(&next);
            promised = given = (rub_ledger_reach_t){0};
            plan = new_plan(run);
        }
        record(run, &next, &plan, &promised, &given, &rec);
        reboot(run);
        given = rec.given;
        promised = rec.promised_before;
        cut_power(run, &rec, &next, &promised);
        if (next.n_files == 0) {
            promised = given = (rub_ledger_reach_t){0};
        }
        drop(&rec);
    }
    rub_image_fini(&next);
}

/* ---- corruptions ---- */

static void copy_image(const rub_image_t *from, rub_image_t *to)
{
    *to = (rub_image_t){.n_files = from->n_files};
    to->files = rub_calloc(from->n_files + 1, sizeof(*to->files));
    RUB_ASSERT(to->files);
    for (uint32_t i = 0; i < from->n_files; i++) {
        to->files[i] = from->files[i];
        to->files[i].data = rub_alloc(from->files[i].bytes + 1);
        to->files[i].capacity = from->files[i].bytes;
        memcpy(to->files[i].data, from->files[i].data, from->files[i].bytes);
    }
}

static void run_corruptions(run_t *run)
{
    while (run->n < run->wanted) {
        recording_t rec;
        rub_image_t none = {0};
        const rub_ledger_reach_t zero = {0};
        const rub_ledger_plan_t plan = new_plan(run);
        record(run, &none, &plan, &zero, &zero, &rec);
        for (int i = 0; i < IMAGES_PER_RECORDING && run->n < run->wanted; i++) {
            char what[RUB_DAMAGE_TEXT];
            rub_image_t image;
            const uint32_t kind = (uint32_t)rub_rng_below(&run->rng, RUB_DAMAGE_KINDS);
            copy_image(&rec.end, &image);
            rub_damage_do(kind, &rec.middle, &run->rng, &image, what);
            reboot(run);
            const rub_verdict_t verdict =
                judge(run, &image, &rec, rec.drained ? &rec.promised : &zero, what);
            run->by_damage[kind][verdict.kind]++;
            for (uint32_t u = 0; u < RUB_LEDGER_RANKS && verdict.kind == RUB_VERDICT_FINE; u++) {
                if (verdict.reach.seq[u] < rec.promised.seq[u]) {
                    run->n_shortened++;
                    break;
                }
            }
            rub_image_fini(&image);
        }
        drop(&rec);
    }
}

/* ---- telling ---- */

static void tell(const run_t *run, uint64_t elapsed_ms)
{
    const uint64_t *v = run->verdicts;
    const double each_ms = run->n ? (double)elapsed_ms / (double)run->n : 0;
    printf(
        run->json
            ? "{\"%s\":%llu,\"seed\":%llu,\"control\":%s,\"recordings\":%llu,\"calls\":%llu,"
              "\"barriers\":%llu,\"fine\":%llu,\"refused\":%llu,\"lost\":%llu,\"wrong\":%llu,"
              "\"died\":%llu,\"hung\":%llu,\"shortened\":%llu,\"stored_bytes\":%llu,"
              "\"holes\":%llu,\"in_their_boot\":%llu,\"damage_seen\":%llu,\"ms_each\":%.2f}\n"
            : "%s %llu, seed %llu, control %s: %llu recordings of %llu calls, %llu barriers; fine "
              "%llu, refused %llu, lost %llu, wrong %llu, died %llu, hung %llu, shortened %llu; "
              "%llu bytes stored through mappings; holes %llu, of %llu opened in their own boot "
              "%llu refused as damage; %.2f ms each\n",
        run->corruptions ? "runs" : "images", (unsigned long long)run->n,
        (unsigned long long)run->seed, run->control ? "true" : "false",
        (unsigned long long)run->n_recordings, (unsigned long long)run->n_calls,
        (unsigned long long)run->n_barriers, (unsigned long long)v[RUB_VERDICT_FINE],
        (unsigned long long)v[RUB_VERDICT_REFUSED], (unsigned long long)v[RUB_VERDICT_LOST],
        (unsigned long long)v[RUB_VERDICT_WRONG], (unsigned long long)v[RUB_VERDICT_DIED],
        (unsigned long long)v[RUB_VERDICT_HUNG], (unsigned long long)run->n_shortened,
        (unsigned long long)run->n_stored_bytes, (unsigned long long)run->n_holes,
        (unsigned long long)run->n_same_boot, (unsigned long long)run->n_damage_seen, each_ms);
    for (uint32_t k = 0; run->corruptions && !run->json && k < RUB_DAMAGE_KINDS; k++) {
        printf("  %-10s", rub_damage_names[k]);
        for (uint32_t i = 0; i < RUB_VERDICT_COUNT; i++) {
            printf(" %s %llu", rub_verdict_names[i], (unsigned long long)run->by_damage[k][i]);
        }
        printf("\n");
    }
}

static int parse(run_t *run, int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "images") != 0 && strcmp(argv[1], "corruptions") != 0) {
        return 64;
    }
    run->corruptions = argc > 1 && strcmp(argv[1], "corruptions") == 0;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--control") == 0 && !run->corruptions) {
            run->control = true;
        } else if (strcmp(argv[i], "--json") == 0) {
            run->json = true;
        } else if (i + 1 < argc && strcmp(argv[i], run->corruptions ? "--runs" : "--images") == 0) {
            run->wanted = strtoull(argv[++i], NULL, 10);
        } else if (i + 1 < argc && strcmp(argv[i], "--seed") == 0) {
            run->seed = strtoull(argv[++i], NULL, 10);
        } else {
            return 64;
        }
    }
    return run->wanted == 0 ? 64 : 0;
}

int main(int argc, char **argv)
{
    static run_t run = {.wanted = 400, .seed = 1};
    run.first = argc < 2;
    if (parse(&run, argc, argv) != 0) {
        fprintf(stderr, "usage: rubato-crash [images --images N [--seed S] [--control] [--json]]\n"
                        "       rubato-crash corruptions --runs N [--seed S] [--json]\n");
        return 64;
    }
    struct stat stat_of;
    const bool in_memory = stat("/dev/shm", &stat_of) == 0;
    (void)snprintf(run.place, sizeof(run.place), "%s/rubato-crash-XXXXXX",
                   in_memory ? "/dev/shm" : "/tmp");
    RUB_ASSERT(mkdtemp(run.place));
    rub_rng_init(&run.rng, run.seed, 0);
    const uint64_t began_ms = rub_now_ms();
    if (run.corruptions) {
        run_corruptions(&run);
    } else {
        run_images(&run);
    }
    tell(&run, rub_now_ms() - began_ms);
    (void)rub_fs_remove_tree(run.place, NULL);
    if (run.n_same_boot >= HOLES_FOR_SURE && run.n_damage_seen == 0) {
        fprintf(stderr, "rubato-crash: no hole was taken for damage in its own boot\n");
        return 1;
    }
    if (!run.corruptions && n_broken(&run) == 0 && in_memory && run.n_stored_bytes == 0 &&
        run.n_recordings >= 6 * RECORDINGS_OF_A_STORE) {
        fprintf(stderr, "rubato-crash: nothing was stored through a mapping\n");
        return 1;
    }
    return run.control ? n_broken(&run) == 0 : n_broken(&run) > 0;
}
