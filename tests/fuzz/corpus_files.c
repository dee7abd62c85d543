/* Seeds that are files: a journal's segments whole, torn, with a hole and damaged; parts and
 * manifests of snapshots; IDX, packed too; LIBSVM and Criteo; run files. Made by writing the real
 * thing and reading it back. */
#include "tests/fuzz/corpus_files.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/crc32c.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/store/journal_segment.h"
#include "common/store/snapshot_file.h"
#include "common/store/snapshot_manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

static const char *folder;
static bool checking;
static size_t n_stale;

void rub_corpus_folder(const char *path, bool check)
{
    folder = path;
    checking = check;
}

size_t rub_corpus_stale(void)
{
    return n_stale;
}

static void check_seed(const char *path, const void *data, size_t bytes)
{
    char *found = NULL;
    size_t n_found = 0;
    const int rc = rub_fs_read(path, 1 << 20, &found, &n_found, NULL);
    if (rc || n_found != bytes || (bytes > 0 && memcmp(found, data, bytes) != 0)) {
        fprintf(stderr, "%s: %s\n", path, rc ? "is missing" : "is not what the encoders make");
        n_stale++;
    }
    rub_free(found);
}

void rub_corpus_save(const char *target, const char *name, const void *data, size_t bytes)
{
    char path[4096];
    rub_error_t err = {0};
    if (checking) {
        (void)snprintf(path, sizeof(path), "%s/%s/seed-%s", folder, target, name);
        check_seed(path, data, bytes);
        return;
    }
    (void)snprintf(path, sizeof(path), "%s/%s", folder, target);
    int rc = rub_fs_mkdirs(path, &err);
    (void)snprintf(path, sizeof(path), "%s/%s/seed-%s", folder, target, name);
    rc = rc ? rc : rub_fs_write(path, data, bytes, &err);
    if (rc) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
}

void rub_corpus_save_buf(const char *target, const char *name, rub_buf_t *buf)
{
    rub_corpus_save(target, name, buf->data, buf->bytes);
    rub_buf_reset(buf);
}

static void put_frame(rub_buf_t *out, uint64_t segment, uint64_t lsn, uint8_t type,
                      const void *payload, uint32_t bytes)
{
    uint8_t head[RUB_FRAME_HEADER_BYTES];
    const uint8_t zeros[8] = {0};
    const uint32_t padding = (8 - bytes % 8) % 8;
    uint32_t crc = rub_frame_begin(head, segment, lsn, type, bytes);
    crc = rub_crc32c(rub_crc32c(crc, payload, bytes), zeros, padding);
    rub_frame_set_crc(head, crc);
    rub_buf_append(out, head, sizeof(head));
    rub_buf_append(out, payload, bytes);
    rub_buf_append(out, zeros, padding);
}

static void put_segment(rub_buf_t *out, uint64_t number, uint64_t base_lsn, uint64_t previous_end)
{
    char path[] = "/tmp/rub-corpus-XXXXXX";
    (void)close(mkstemp(path));
    rub_segment_t *segment = NULL;
    RUB_ASSERT(rub_segment_make(path, 512, &segment, NULL) == 0);
    segment->number = number;
    segment->previous = number - 1;
    segment->previous_end = previous_end;
    segment->base_lsn = base_lsn;
    segment->boot = 7;
    RUB_ASSERT(rub_segment_take(segment, path, NULL) == 0);
    uint8_t *bytes = NULL;
    RUB_ASSERT(rub_segment_read(segment, &bytes, NULL) == 0);
    rub_buf_append(out, bytes, RUB_SEGMENT_HEADER_BYTES);
    rub_free(bytes);
    RUB_ASSERT(rub_segment_unlink(segment, NULL) == 0);
    rub_segment_close(&segment);
}

static void make_journal(void)
{
    static const uint8_t zeros[64];
    const uint8_t synced[8] = {0xff, 0xff}; /* an lsn far ahead: what is missing had been synced */
    for (int variant = 0; variant < 4; variant++) {
        rub_buf_t out;
        char name[32];
        rub_buf_init(&out);
        rub_buf_append(&out, "\0\0\0", 3);
        put_segment(&out, 1, 0, 0);
        put_frame(&out, 1, 1, 1, "push of something", 17);
        put_frame(&out, 1, 2, 2, "", 0);
        const size_t end = out.bytes - 3;
        if (variant == 1) {
            rub_buf_append(&out, zeros, 48); /* a hole, and a SYNC that vouches for it */
            put_frame(&out, 1, 9, 11, synced, sizeof(synced));
        }
        if (variant == 2) { /* a torn frame */
            put_frame(&out, 1, 3, 1, zeros, 40);
            out.bytes -= 20;
        }
        const size_t cut = out.bytes - 3;
        if (variant == 3) {
            put_segment(&out, 2, 2, end);
            put_frame(&out, 2, 3, 1, "in the second one", 17);
        }
        out.data[0] = (uint8_t)variant;
        rub_put_u16(out.data + 1, (uint16_t)cut);
        (void)snprintf(name, sizeof(name), "%d", variant);
        rub_corpus_save_buf("journal", name, &out);
        rub_buf_fini(&out);
    }
}

static void save_file(const char *target, const char *name, uint8_t first, const char *path)
{
    char *data = NULL;
    size_t bytes = 0;
    rub_buf_t out;
    rub_buf_init(&out);
    RUB_ASSERT(rub_fs_read(path, 1 << 20, &data, &bytes, NULL) == 0);
    rub_buf_u8(&out, first);
    rub_buf_append(&out, data, bytes);
    rub_corpus_save_buf(target, name, &out);
    rub_buf_fini(&out);
    rub_free(data);
}

static void make_snapshot(void)
{
    char place[] = "/tmp/rub-corpus-XXXXXX";
    char path[64];
    RUB_ASSERT(mkdtemp(place));
    (void)snprintf(path, sizeof(path), "%s/shard-0", place);
    rub_snapshot_writer_t *writer = NULL;
    uint64_t bytes = 0, hash = 0;
    RUB_ASSERT(rub_snapshot_writer_open(path, RUB_SNAPSHOT_PART, &writer, NULL) == 0);
    RUB_ASSERT(rub_snapshot_writer_put(writer, 1, "a state", 7, NULL) == 0);
    RUB_ASSERT(rub_snapshot_writer_put(writer, 2, (const float[]){1, 2, 3, 4}, 4 * sizeof(float),
                                       NULL) == 0);
    RUB_ASSERT(rub_snapshot_writer_finish(writer, &bytes, &hash, NULL) == 0);
    rub_snapshot_writer_close(&writer);
    save_file("snapshot_file", "part", 1, path);
    save_file("snapshot_file", "part-repaired", 0x81, path);
    rub_manifest_part_t part = {bytes, hash, 3, 4};
    rub_manifest_rank_t rank = {0, 1, 5};
    rub_span_t state = {"scheduler", 9};
    const rub_manifest_t manifest = {.number = 1,
                                     .job = 77,
                                     .n_workers = 1,
                                     .n_shards = 1,
                                     .parts = &part,
                                     .ranks = &rank,
                                     .n_ranks = 1,
                                     .states = &state,
                                     .n_states = 1};
    RUB_ASSERT(rub_manifest_write(place, &manifest, NULL) == 0);
    (void)snprintf(path, sizeof(path), "%s/%s", place, RUB_MANIFEST_NAME);
    save_file("snapshot_file", "manifest", 0, path);
    save_file("snapshot_file", "manifest-repaired", 0x80, path);
    (void)rub_fs_remove_tree(place, NULL);
}

static void make_idx(void)
{
    const uint8_t images[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2,
                              0, 0, 0, 2, 9, 8, 7, 6, 1, 2, 3, 4};
    const uint8_t floats[] = {0, 0, 13, 2, 0, 0, 0, 2, 0, 0, 0, 1, 0x3f, 0x80, 0, 0, 0x40, 0, 0, 0};
    const uint8_t labels[] = {0, 0, 8, 1, 0, 0, 0, 2, 1, 0};
    const uint8_t words[] = {0, 0, 12, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0};
    rub_buf_t out;
    rub_buf_init(&out);
    const uint8_t head[] = {0, sizeof(images)};
    rub_buf_append(&out, head, 2);
    rub_buf_append(&out, images, sizeof(images));
    rub_buf_append(&out, labels, sizeof(labels));
    rub_corpus_save_buf("idx", "bytes", &out);
    const uint8_t second[] = {0, sizeof(floats)};
    rub_buf_append(&out, second, 2);
    rub_buf_append(&out, floats, sizeof(floats));
    rub_buf_append(&out, words, sizeof(words));
    rub_corpus_save_buf("idx", "floats", &out);
    char path[] = "/tmp/rub-corpus-XXXXXX";
    (void)close(mkstemp(path));
    gzFile zip = gzopen(path, "wb");
    RUB_ASSERT(zip);
    RUB_ASSERT(gzwrite(zip, images, sizeof(images)) > 0);
    (void)gzclose(zip);
    char *data = NULL;
    size_t bytes = 0;
    RUB_ASSERT(rub_fs_read(path, 4096, &data, &bytes, NULL) == 0);
    (void)unlink(path);
    rub_buf_u8(&out, 0);
    rub_buf_u8(&out, (uint8_t)bytes);
    rub_buf_append(&out, data, bytes);
    rub_buf_append(&out, labels, sizeof(labels));
    rub_corpus_save_buf("idx", "gzip", &out);
    rub_free(data);
    rub_buf_fini(&out);
}

static void make_sparse(void)
{
    static const char *const libsvm[] = {
        "+1 1:0.5 7:-2e-3 # why\n-1 3:1\r\n\n# none\n+1",
        "0 0:1 4294967295:1\n1 5:1\n",
        "1 1:123456789.123456789 2:1e30 3:.5\n",
    };
    static const char *const criteo[] = {
        "1\t1\t-"
        "2\t\t0\t1382\t4\t15\t2\t181\t1\t2\t\t2\t68fd1e64\t80e26c9b\tfb936136\t7b4723c4\t25c83c98"
        "\t7e0ccccf\tde7995b8\t1f89b562\ta73ee510\ta8cd5504\tb2cb9c98\t37c9c164\t2824a5f6\t1adce6ef"
        "\t8ba8b39a\t891b62e7\te5ba7672\tf54016b9\t21ddcdc9\tb1252a9d\t07b5194c\t\t3a171ecb\tc5c504"
        "84"
        "\te8b83407\t9727dd16\n",
        "0\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\n",
    };
    rub_corpus_save("libsvm", "signed", libsvm[0], strlen(libsvm[0]));
    rub_corpus_save("libsvm", "ones", libsvm[1], strlen(libsvm[1]));
    rub_corpus_save("libsvm", "numbers", libsvm[2], strlen(libsvm[2]));
    rub_corpus_save("criteo", "full", criteo[0], strlen(criteo[0]));
    rub_corpus_save("criteo", "empty", criteo[1], strlen(criteo[1]));
    static const char *const csv[] = {
        "label,\"a,b\",city\r\n1,0.5,\"New\n\"\"York\"\"\"\r\n0,,\n",
        "1,2,x\n-1,1e-3,\"\"\n",
        "class,a,\"b\"\r\n1,0.5,\"-3\"\r\n\r\n0,0,1e2\n",
        "\xef\xbb\xbf\"label\",a,b\r\n1,0.5,3\r\n0,2,\r\n",
    };
    rub_corpus_save("csv", "quotes", csv[0], strlen(csv[0]));
    rub_corpus_save("csv", "plain", csv[1], strlen(csv[1]));
    rub_corpus_save("csv", "classes", csv[2], strlen(csv[2]));
    rub_corpus_save("csv", "marked", csv[3], strlen(csv[3]));
    static const char *const numbers[] = {"-1.5e-3 ", "9007199254740993", "1e23", ".5e+", "0x1p3"};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "%zu", i);
        rub_corpus_save("decimal", name, numbers[i], strlen(numbers[i]));
    }
}

static void make_run_files(void)
{
    static const char *const texts[] = {
        "name: a\nworkers: 3\nstaleness: bsp\n",
        "model: {kind: mlp, hidden: [256, 128]}\nlr: 1e-3\n",
        "net:\n  lease: 5s\n  port: 0\nstore:\n  segment: 64K\n# a comment\nseed: any\n",
        "staleness: async\nepochs: 0x10\n",
        "a: &x 1\nb: *x\n",
        "---\nworkers: 1\n---\nworkers: 2\n",
        "workers: !!int \"3\"\n\"name\": 'it''s'\n",
        "model:\n  layers: [conv: {filters: 16, kernel: 5}, relu, max_pool: 2, dense: 10]\n",
        "layers: \"[{, a: : b\"\n",
        "layers: \"{,a: : b\"\nmodel_kind: sequential\n",
        "layers:\n  - dropout: 0.1\n  - conv:\n      filters: 4\n  - {dense: 3}\n",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "%zu", i);
        rub_corpus_save("run_file", name, texts[i], strlen(texts[i]));
    }
}

static void make_layer_lists(void)
{
    static const char *const texts[] = {
        "dense: 10",
        "conv: {filters: 16,kernel: 5,stride: 1,padding: 2},relu,max_pool: 2,dense: 10",
        "dropout: 0.25, layer_norm: 1e-5, flatten, avg_pool: {size: 3, stride: 2}",
        "sigmoid,tanh,elu,dense: 1e3",
        "conv: {filters: 0}",
        "dense: {units: -1, units: 2}",
        "relu: 3",
        "dropout: .99 , ,",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "%zu", i);
        rub_corpus_save("layer_list", name, texts[i], strlen(texts[i]));
    }
}

/* The first byte is min_count. */
static void make_texts(void)
{
    static const char *const texts[] = {
        "\1to be or not to be\nthat is the question\n",
        "\2 a b\ta\n\n\r\nb b \xc3\xa9 \xe2\x82\xac \xf0\x9f\x8e\xbc\n",
        "\1\xff\n",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "%zu", i);
        rub_corpus_save("text", name, texts[i], strlen(texts[i]));
    }
}

/* The first byte is odd for binary. */
static void make_word_vectors(void)
{
    static const char text[] = "02 2\na 1 -0.5\nb 1e-3 7\n";
    static const char binary[] = "12 1\na \0\0\x80\x3f\nb \0\0\0\x40\n";
    rub_corpus_save("word_vectors", "text", text, sizeof(text) - 1);
    rub_corpus_save("word_vectors", "binary", binary, sizeof(binary) - 1);
}

/* The first byte is min_count: of "is it it\nnot", cut behind "no" or whole, and of a part in the
 * middle of a sentence. */
static void make_word_parts(void)
{
    static const struct {
        const char *name, *word;
        uint32_t count;
    } words[] = {{"plain", "is", 1}, {"plain", "it", 2}, {"plain", "not", 1}, {"middle", "it", 2}};
    rub_buf_t told;
    rub_buf_init(&told);
    for (size_t from = 0; from < 4; from += 3) {
        const size_t to = from == 0 ? 3 : 4;
        rub_buf_reset(&told);
        rub_buf_u8(&told, 2);
        rub_buf_u32(&told, (uint32_t)(to - from));
        for (size_t i = from; i < to; i++) {
            rub_buf_u32(&told, words[i].count);
            rub_buf_u16(&told, (uint16_t)strlen(words[i].word));
            rub_buf_append(&told, words[i].word, strlen(words[i].word));
        }
        rub_buf_u32(&told, 0); /* the first sentence is sure */
        rub_buf_u8(&told, from == 0);
        if (from == 0) {
            rub_buf_u64(&told, 1);
            rub_buf_u32(&told, 1);
            rub_buf_u32(&told, 2); /* one of one word, which may go */
            rub_buf_u32(&told, 0);
            rub_buf_u32(&told, 2); /* and the last one, of "not" */
            rub_buf_u32(&told, 2);
        }
        rub_corpus_save_buf("word_part", words[from].name, &told);
    }
    rub_buf_fini(&told);
}

/* The first byte: weight, and 4 for words between spaces. */
static void make_bags(void)
{
    static const char tfidf[] = "3documents\t5\nant\t5\nbee\t1\nwasp\t2\n";
    static const char spaces[] = "4documents\t2\n!\t1\nAn\t2\n";
    rub_corpus_save("bag", "tfidf", tfidf, sizeof(tfidf) - 1);
    rub_corpus_save("bag", "spaces", spaces, sizeof(spaces) - 1);
}

/* The first byte: order of fields, 0x20 numbers, 0x40 a dictionary. */
static void make_triples(void)
{
    static const char *const texts[] = {
        "\14ann\tlikes\tbob\n\nbob\tis a\tcook\r\n",
        "!0\t1\t0\n7\t2\t1\n",
        "@0\tann\n2\teve\n1\tbob\n",
        "\6a\tb\tc\td\n",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "%zu", i);
        rub_corpus_save("triples", name, texts[i], strlen(texts[i]));
    }
}

void rub_corpus_make_files(void)
{
    make_triples();
    make_word_vectors();
    make_texts();
    make_bags();
    make_word_parts();
    make_journal();
    make_snapshot();
    make_idx();
    make_sparse();
    make_run_files();
    make_layer_lists();
}
