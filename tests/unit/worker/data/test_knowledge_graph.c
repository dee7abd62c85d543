/* Triples there and back as numbers, and twenty and more files that are refused with their line and
 * column. */
#include "common/base/alloc.h"
#include "tests/unit/worker/data/idx_files.h"
#include "worker/data/triple_index.h"

#include <stdio.h>

typedef struct graph_files {
    idx_files_t files; /* features: triples or dictionary, labels: the other */
    rub_graph_options_t options;
    rub_knowledge_graph_t *graph;
    rub_error_t err;
} graph_files_t;

static int open_triples(graph_files_t *f, const void *text, size_t bytes, bool gzip)
{
    *f = (graph_files_t){.options = {.order = "hrt"}};
    idx_files_init(&f->files);
    write_bytes(f->files.features, gzip, text, bytes);
    f->options.files[RUB_GRAPH_TRAIN] = f->files.features;
    f->graph = (rub_knowledge_graph_t *)&f->err; /* must be set */
    return rub_knowledge_graph_open(&f->options, &f->graph, &f->err);
}

static void close_files(graph_files_t *f)
{
    rub_knowledge_graph_close(&f->graph);
    idx_files_fini(&f->files);
}

static void assert_says(const graph_files_t *f, const char *words)
{
    if (strstr(f->err.message, words) == NULL) {
        fail_msg("'%s' does not say '%s'", f->err.message, words);
    }
}

static void refuse(const char *text, size_t bytes, const char *words)
{
    graph_files_t f;
    assert_int_equal(open_triples(&f, text, bytes, false), RUB_EDATA);
    assert_null(f.graph);
    assert_says(&f, words);
    assert_says(&f, f.files.features);
    close_files(&f);
}

/* With numbers instead of names. */
static void refuse_ids(const char *text, const char *words)
{
    graph_files_t f;
    (void)open_triples(&f, "a\tb\tc", 5, false);
    rub_knowledge_graph_close(&f.graph);
    write_bytes(f.files.features, false, text, strlen(text));
    f.options.ids = true;
    assert_int_equal(rub_knowledge_graph_open(&f.options, &f.graph, &f.err), RUB_EDATA);
    assert_null(f.graph);
    assert_says(&f, words);
    close_files(&f);
}

/* With this dictionary of entities, and a good one of relations. */
static int open_closed(graph_files_t *f, const char *triples, const char *entities, bool ids)
{
    (void)open_triples(f, "a\tb\tc", 5, false);
    rub_knowledge_graph_close(&f->graph);
    char relations[sizeof f->files.features + 16];
    snprintf(relations, sizeof relations, "%s.r", f->files.features);
    write_bytes(f->files.features, false, triples, strlen(triples));
    write_bytes(f->files.labels, false, entities, strlen(entities));
    write_bytes(relations, false, "1\tlikes\n0\tis\n", 13);
    f->options.ids = ids;
    f->options.entities = f->files.labels;
    f->options.relations = relations;
    const int rc = rub_knowledge_graph_open(&f->options, &f->graph, &f->err);
    unlink(relations);
    return rc;
}

static void refuse_closed(const char *triples, const char *entities, bool ids, const char *words)
{
    graph_files_t f;
    assert_int_equal(open_closed(&f, triples, entities, ids), RUB_EDATA);
    assert_null(f.graph);
    assert_says(&f, words);
    close_files(&f);
}

static void malformed_triples_are_named_with_line_and_column(void **state)
{
    (void)state;
    char text[RUB_TRIPLE_NAME_LIMIT + 10];
    refuse("", 0, "has no triples");
    refuse("\n\n", 2, "has no triples");
    refuse("a\tb\tc\na", 7,
           "line 2, column 2: found the line's end, expected a tab and the relation");
    refuse("a\tb\tc\na\tb", 9,
           "line 2, column 4: found the line's end, expected a tab and the tail");
    refuse("a\tb\tc\td", 7,
           "line 1, column 6: found a tab, expected the line's end behind 3 fields");
    refuse("\tb\tc", 4, "line 1, column 1: found a tab, expected the head");
    refuse("a\t\tc", 4, "line 1, column 3: found a tab, expected the relation");
    refuse("a\tb\t", 4, "line 1, column 5: found the line's end, expected the tail");
    refuse("a\tb\tc\t", 6, "line 1, column 6: found a tab, expected the line's end");
    refuse("a b c", 5, "line 1, column 6: found the line's end, expected a tab and the relation");
    refuse("a\tb\tc\n\na\tb\t\xff", 13,
           "line 3, column 5: found byte 0xff, expected UTF-8 in the tail");
    refuse("a\0b\tc\td", 7, "line 1, column 2: found byte 0x00, expected UTF-8 in the head");
    refuse("a\tb\xc3\tc", 6, "line 1, column 4: found byte 0xc3, expected UTF-8 in the relation");
    refuse("\x1f\x8b\x08\x01", 4, "");
    memset(text, 'x', sizeof text);
    refuse(text, sizeof text,
           "line 1, column 1: found 'xxxxxxxxxxxxxxxxxxxxxxxx', expected a head of at most 1024");
    refuse_ids("0\t0\t-1", "line 1, column 5: found '-1', expected the number of an entity");
    refuse_ids("0\t0\t1\n0\tr\t1",
               "line 2, column 3: found 'r', expected the number of a relation");
    refuse_ids("0\t0\t1x", "line 1, column 5: found '1x'");
    refuse_ids("0\t0\t1.5", "line 1, column 5: found '1.5'");
    refuse_ids(
        "268435456\t0\t1",
        "line 1, column 1: found '268435456', expected the number of an entity, below 268435456");
    refuse_ids("99999999999999999999999\t0\t1", "line 1, column 1");
}

static void malformed_dictionaries_are_named_with_line_and_column(void **state)
{
    (void)state;
    static const char triple[] = "ann\tis\tbob";
    static const struct {
        const char *entities, *words;
    } bad[] = {
        {"", "has no names"},
        {"\n\r\n", "has no names"},
        {"0\tann\n2\tbob\n", "line 2, column 1: expected each number once, from 0 to 1"},
        {"1\tann\n2\tbob\n", "line 2, column 1: expected each number once, from 0 to 1"},
        {"0\tann\n0\tbob\n", "line 2, column 1: expected another number than that of line 1"},
        {"0\tann\n\n\n0\tbob\n", "line 4, column 1: expected another number than that of line 1"},
        {"0\tann\n1\tann\n", "line 2, column 1: expected another name than that of line 1"},
        {"1\tann\n0\tann\n", "line 1, column 1: expected another name than that of line 2"},
        {"ann\t0\n", "line 1, column 1: found 'ann', expected the number of a name"},
        {"-1\tann\n", "line 1, column 1: found '-1', expected the number of a name"},
        {"+1\tann\n", "line 1, column 1: found '+1', expected the number of a name"},
        {"0x0\tann\n", "line 1, column 1: found '0x0', expected the number of a name"},
        {"0.0\tann\n", "line 1, column 1: found '0.0', expected the number of a name"},
        {" 0\tann\n", "line 1, column 1: found a blank, expected the number of a name"},
        {"268435456\tann\n", "line 1, column 1: found '268435456', expected the number of a name"},
        {"0\tann\n99999999999999999999999\tbob\n", "line 2, column 1: found '99999999999999999999"},
        {"0\n", "line 1, column 2: found the line's end, expected a tab and the name"},
        {"0 ann\n", "line 1, column 6: found the line's end, expected a tab and the name"},
        {"0\t\n", "line 1, column 3: found the line's end, expected the name"},
        {"\tann\n", "line 1, column 1: found a tab, expected the number"},
        {"0\tann\tx\n", "line 1, column 6: found a tab, expected the line's end behind 2"},
        {"0\tann\n1\tb\xff\n", "line 2, column 4: found byte 0xff, expected UTF-8 in the name"},
        {"0\tann\n1\t\xed\xa0\x80\n", "line 2, column 3: found byte 0xed, expected UTF-8 in the"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        refuse_closed(triple, bad[i].entities, false, bad[i].words);
    }
}

static void triples_of_names_that_no_dictionary_has_are_refused(void **state)
{
    (void)state;
    static const char good[] = "0\tann\n1\tbob\n";
    refuse_closed("ann\tis\tbob\nann\tis\teve", good, false,
                  "line 2, column 8: found 'eve', expected one of the 2 names");
    refuse_closed("ann\thates\tbob", good, false,
                  "line 1, column 5: found 'hates', expected one of the 2 names");
    refuse_closed("0\t0\t2", good, true,
                  "line 1, column 5: found '2', expected the number of an entity, below 2");
    refuse_closed("0\t2\t1", good, true,
                  "line 1, column 3: found '2', expected the number of a relation, below 2");
}

static void orders_that_are_none_and_half_a_dictionary_are_refused(void **state)
{
    (void)state;
    static const char *const orders[] = {"", "hr", "hrr", "hrtt", "abc"};
    for (size_t i = 0; i < 5; i++) {
        graph_files_t f;
        assert_int_equal(open_triples(&f, "a\tb\tc", 5, false), 0);
        rub_knowledge_graph_close(&f.graph);
        f.options.order = orders[i];
        assert_int_equal(rub_knowledge_graph_open(&f.options, &f.graph, &f.err), RUB_EINVAL);
        f.options.order = "htr";
        f.options.relations = f.files.labels;
        assert_int_equal(rub_knowledge_graph_open(&f.options, &f.graph, &f.err), RUB_EINVAL);
        assert_says(&f, "a dictionary of relations alone, expected both or none");
        f.options.files[RUB_GRAPH_TRAIN] = "/nonexistent/triples";
        f.options.relations = NULL;
        assert_int_equal(rub_knowledge_graph_open(&f.options, &f.graph, &f.err), RUB_EDATA);
        close_files(&f);
    }
}

static void names_are_numbered_as_they_come_in_every_order_of_fields(void **state)
{
    (void)state;
    static const char *const orders[] = {"hrt", "htr", "rht", "rth", "thr", "trh"};
    static const char *const texts[] = {"a b\tis\tc\r\n\nc\twas\ta b\n", "a b\tc\tis\nc\ta b\twas",
                                        "is\ta b\tc\nwas\tc\ta b",       "is\tc\ta b\nwas\ta b\tc",
                                        "c\ta b\tis\na b\tc\twas",       "c\tis\ta b\na b\twas\tc"};
    for (size_t i = 0; i < 6; i++) {
        graph_files_t f;
        (void)open_triples(&f, texts[i], strlen(texts[i]), i % 2 == 1);
        rub_knowledge_graph_close(&f.graph);
        f.options.order = orders[i];
        assert_int_equal(rub_knowledge_graph_open(&f.options, &f.graph, &f.err), 0);
        const rub_triple_list_t *train = &f.graph->parts[RUB_GRAPH_TRAIN];
        assert_int_equal(train->n, 2);
        assert_int_equal(f.graph->n_entities, 2);
        assert_int_equal(f.graph->n_relations, 2);
        const uint32_t a = rub_vocabulary_find(f.graph->entities, "a b", 3);
        assert_int_equal(train->items[0].head, a);
        assert_int_equal(train->items[0].tail, 1 - a);
        assert_int_equal(train->items[1].tail, a);
        assert_int_equal(train->items[1].relation, 1);
        char name[RUB_ENTITY_NAME_BYTES];
        rub_knowledge_graph_name(f.graph, a, name);
        assert_string_equal(name, "a_b");
        close_files(&f);
    }
}

static void dictionaries_give_their_numbers_and_ids_need_none(void **state)
{
    (void)state;
    graph_files_t f;
    char name[RUB_ENTITY_NAME_BYTES];
    assert_int_equal(open_closed(&f, "bob\tlikes\tann", "1\tbob\n2\teve\n0\tann\n", false), 0);
    assert_int_equal(f.graph->n_entities, 3);
    assert_int_equal(f.graph->parts[0].items[0].head, 1);
    assert_int_equal(f.graph->parts[0].items[0].relation, 1);
    assert_int_equal(f.graph->parts[0].items[0].tail, 0);
    close_files(&f);
    assert_int_equal(open_closed(&f, "1\t0\t2", "1\tbob\n2\teve\n0\tann\n", true), 0);
    rub_knowledge_graph_name(f.graph, f.graph->parts[0].items[0].tail, name);
    assert_string_equal(name, "eve");
    close_files(&f);
    (void)open_triples(&f, "7\t0\t2", 5, false);
    rub_knowledge_graph_close(&f.graph);
    f.options.ids = true;
    assert_int_equal(rub_knowledge_graph_open(&f.options, &f.graph, &f.err), 0);
    assert_int_equal(f.graph->n_entities, 8);
    rub_knowledge_graph_name(f.graph, 7, name);
    assert_string_equal(name, "7");
    close_files(&f);
}

static void the_index_finds_what_completes_a_triple_in_all_parts(void **state)
{
    (void)state;
    graph_files_t f;
    static const char train[] = "a\tr\tb\na\tr\tc\na\ts\td\nx\tr\tb\n",
                      test[] = "a\tr\te\na\tr\tb\n";
    (void)open_triples(&f, train, strlen(train), false);
    rub_knowledge_graph_close(&f.graph);
    write_bytes(f.files.labels, false, test, strlen(test));
    f.options.files[RUB_GRAPH_TEST] = f.files.labels;
    assert_int_equal(rub_knowledge_graph_open(&f.options, &f.graph, &f.err), 0);
    rub_triple_index_t *index = rub_triple_index_new(f.graph);
    assert_non_null(index);
    const rub_triple_t *triple = &f.graph->parts[RUB_GRAPH_TRAIN].items[0];
    size_t n = 0;
    const uint32_t *tails = rub_triple_index_tails(index, triple, &n);
    assert_int_equal(n, 4); /* b, b, c, e */
    for (size_t i = 1; i < n; i++) {
        assert_true(tails[i - 1] <= tails[i]);
    }
    (void)rub_triple_index_heads(index, triple, &n);
    assert_int_equal(n, 3); /* a, a, x */
    const rub_triple_t nobody = {.head = triple->tail, .relation = 1, .tail = triple->tail};
    (void)rub_triple_index_tails(index, &nobody, &n);
    assert_int_equal(n, 0);
    rub_triple_index_destroy(&index);
    close_files(&f);
}

static void triples_that_are_added_may_name_only_who_is_known(void **state)
{
    (void)state;
    graph_files_t f;
    static const char train[] = "a\tr\tb\nb\ts\tc\n", strange[] = "a\tr\tc\na\tr\td\n",
                      known[] = "c\ts\ta\n";
    assert_int_equal(open_triples(&f, train, strlen(train), false), 0);
    write_bytes(f.files.labels, false, strange, strlen(strange));
    assert_int_equal(
        rub_knowledge_graph_add(f.graph, "hrt", false, RUB_GRAPH_TEST, f.files.labels, &f.err),
        RUB_EDATA);
    assert_says(&f, "line 2, column 5: found 'd', expected one of the 3 names that are known");
    assert_int_equal(
        rub_knowledge_graph_add(f.graph, "hrr", false, RUB_GRAPH_TEST, f.files.labels, &f.err),
        RUB_EINVAL);
    write_bytes(f.files.labels, false, known, strlen(known));
    assert_int_equal(
        rub_knowledge_graph_add(f.graph, "hrt", false, RUB_GRAPH_TRAIN, f.files.labels, &f.err), 0);
    assert_int_equal(f.graph->parts[RUB_GRAPH_TRAIN].n, 3);
    assert_int_equal(f.graph->parts[RUB_GRAPH_TRAIN].items[2].head, 2);
    assert_int_equal(f.graph->parts[RUB_GRAPH_TRAIN].items[2].relation, 1);
    assert_int_equal(f.graph->n_entities, 3);
    close_files(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_triples_are_named_with_line_and_column),
        cmocka_unit_test(malformed_dictionaries_are_named_with_line_and_column),
        cmocka_unit_test(triples_of_names_that_no_dictionary_has_are_refused),
        cmocka_unit_test(orders_that_are_none_and_half_a_dictionary_are_refused),
        cmocka_unit_test(names_are_numbered_as_they_come_in_every_order_of_fields),
        cmocka_unit_test(dictionaries_give_their_numbers_and_ids_need_none),
        cmocka_unit_test(triples_that_are_added_may_name_only_who_is_known),
        cmocka_unit_test(the_index_finds_what_completes_a_triple_in_all_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
