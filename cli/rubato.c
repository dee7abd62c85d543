/* rubato: the one program.
 *
 * A command is a row of the table below: its name, a sentence, its place among the options'
 * commands, and a function that gets the resolved configuration and returns the exit code.
 * Everything that a command may be told stands in common/conf/options.def; this file only finds the
 * row, resolves, and answers help and --print-config. */
#include "cli/bench.h"
#include "cli/commands.h"
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/priority.h"
#include "common/conf/config.h"
#include "common/conf/option.h"
#include "common/proc/signals.h"
#include "ps/ps_main.h"
#include "scheduler/scheduler_main.h"
#include "worker/train/remote_data.h"
#include "worker/train/worker_main.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct command {
    const char *name, *words, *sentence;
    uint32_t bit;
    int (*run)(rub_config_t *config);
    bool own_children; /* ends its children itself at the second Ctrl-C */
    bool takes_words;  /* beside the run file */
} command_t;

static int run_scheduler(rub_config_t *config)
{
    return rub_scheduler_main(config);
}

static int run_ps(rub_config_t *config)
{
    return rub_ps_main(config);
}

static int run_worker(rub_config_t *config)
{
    return rub_worker_main(config);
}

static int run_status(rub_config_t *config)
{
    return rub_status_main(config);
}

static int run_audit(rub_config_t *config)
{
    return rub_audit_main(config);
}

static int run_bench(rub_config_t *config)
{
    return rub_bench_main(config);
}

static int run_fsck(rub_config_t *config)
{
    return rub_fsck_main(config);
}

static int run_export(rub_config_t *config)
{
    return rub_export_main(config);
}

static int run_eval(rub_config_t *config)
{
    return rub_eval_main(config);
}

static int run_predict(rub_config_t *config)
{
    return rub_predict_main(config);
}

static int run_recommend(rub_config_t *config)
{
    return rub_recommend_main(config);
}

static const command_t commands[] = {
    {"train", "FILE", "train a run file's model with a fleet on this machine", RUB_FOR_TRAIN,
     rub_train_main, true, true},
    {"scheduler", "[FILE]", "run the scheduler of a job", RUB_FOR_SCHEDULER, run_scheduler, false,
     false},
    {"ps", "[FILE]", "run a server process that holds shards of the weights", RUB_FOR_PS, run_ps,
     false, false},
    {"worker", "FILE", "run a worker that trains", RUB_FOR_WORKER, run_worker, false, false},
    {"status", "[RUN|FILE]", "show what a running job is doing", RUB_FOR_STATUS, run_status, false,
     true},
    {"doctor", "[RUN|FILE]", "look at a plan, a run or a running job, and name what is wrong",
     RUB_FOR_TRAIN, rub_doctor_main, false, true},
    {"snapshot", "ACTION ...", "save, ls, verify, restore: the snapshots of a run",
     RUB_FOR_SNAPSHOT, rub_snapshot_main, false, true},
    {"fsck", "DIR", "is what shards and scheduler keep on disk whole? Changes nothing",
     RUB_FOR_FSCK, run_fsck, false, true},
    {"audit", "RUN", "did any read of a run break its bound?", RUB_FOR_AUDIT, run_audit, false,
     true},
    {"replay", "RUN", "are a run's stored rows what follows from its journals?", RUB_FOR_REPLAY,
     rub_replay_main, false, true},
    {"eval", "MODEL", "measure a trained model on data, or word vectors on tests of words",
     RUB_FOR_EVAL, run_eval, false, true},
    {"predict", "MODEL", "a file of examples in, a file of predictions out", RUB_FOR_PREDICT,
     run_predict, false, true},
    {"recommend", "MODEL USER...", "the items that a factorization of ratings puts first for users",
     RUB_FOR_RECOMMEND, run_recommend, false, true},
    {"export", "RUN|SNAPSHOT",
     "write a trained model as safetensors, npz, npy, word2vec, tsv or onnx", RUB_FOR_EXPORT,
     run_export, false, true},
    {"neighbours", "VECTORS|RUN WORD...", "the words whose vectors are nearest", RUB_FOR_NEIGHBOURS,
     rub_neighbours_main, false, true},
    {"data", "ACTION FILES ...", "inspect, convert, split: data files", RUB_FOR_DATA, rub_data_main,
     false, true},
    {"bench", "WHAT [CASE] [FILE]",
     "measure this machine: pushpull, train, durability, recover, staleness, codecs, store",
     RUB_FOR_BENCH, run_bench, false, true},
};

static const command_t *find_command(const char *name)
{
    for (size_t i = 0; i < RUB_COUNT_OF(commands); i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

static void print_command(FILE *out, const char *name, const char *words, const char *sentence)
{
    enum { COLUMN = 37 };
    const int column = fprintf(out, "  rubato %s %s", name, words);
    fprintf(out, "%*s%s\n", column < COLUMN ? COLUMN - column : 1, "", sentence);
}

static void print_commands(FILE *out)
{
    fprintf(out, "rubato %s: a parameter server with bounded staleness\n\n", rub_version());
    for (size_t i = 0; i < RUB_COUNT_OF(commands); i++) {
        print_command(out, commands[i].name, commands[i].words, commands[i].sentence);
    }
    print_command(out, "help", "[COMMAND]", "what a command can be told");
    print_command(out, "version", "", "the version");
    fprintf(out, "\nExit codes: 0 ok, 1 run failed, 2 usage or configuration, 4 data, 74 storage,\n"
                 "75 try again (peers missing), 77 refused, 130 and 143 interrupted.\n");
}

/* What a command's flags do not say. */
static const struct {
    const char *name, *text;
} manuals[] = {
    {"status", "RUN is the run directory of 'rubato train'; else the job at --scheduler is asked, "
               "and 75 says\n"
               "that none answers. 'heard' says how long ago the scheduler last heard somebody.\n"},
    {"doctor",
     "  rubato doctor                        this machine, and the job at the default address\n"
     "  rubato doctor run.yaml [flags]       a plan, as 'rubato train' with the same words sees "
     "it\n"
     "  rubato doctor runs/NAME              a run directory, and its job if it still runs\n"
     "  rubato doctor --scheduler ADDRESS    a running job: who is missing, silent or out of "
     "reach\n"
     "\n"
     "It changes nothing, and takes no place in a job. Exit codes: 0 no problem (notes are none),\n"
     "else that of the first problem, as the run would have ended.\n"},
    {"bench",
     "  train                  fleets beside the local loop, examples/s; FILE names other data: "
     "of\n"
     "                         networks, words, graphs, ratings or clicks\n"
     "  pushpull [CASE...]     pushes and pulls beside raw libzmq and an ideal server; the options "
     "of a\n"
     "                         call make a case of one's own\n"
     "  durability [CASE...]   what journal, snapshots and checkpoints cost\n"
     "  recover [CASE...]      from kill -9 of a ps, or of the scheduler, to work again\n"
     "  staleness [CASE...]    waiting and loss over bounds, with a slow worker\n"
     "  codecs [CASE...]       bytes on the wire and accuracy\n"
     "  store [CASE...]        rows in memory, beside bare loops over an array\n"
     "  ideal ADDRESS          the ideal server alone, until a signal comes\n\n"
     "A case that there is not is answered with those that there are. Only ratios within one run "
     "travel\n"
     "to another machine. Fleets live in a folder under /tmp, which stays only after a failure. "
     "Exit\n"
     "codes: 0 measured; 1 with --check, a bar was missed; else as of a run.\n"},
    {"neighbours",
     "VECTORS is a file in word2vec's text format, or its binary one when its name ends "
     "in .bin; .gz is\n"
     "read as it is. 'rubato train --vectors' writes both. RUN is the run directory of a "
     "training of\n"
     "words, of a graph (WORD: an entity) or of ratings (an item), or a snapshot. Words "
     "that a text never\n"
     "had are made of their n-grams (maxn). Names of entities stand in the run's "
     "train_file, which is\n"
     "read again and must be what it was. --best takes the run's best epoch. By cosine, "
     "the nearest\n"
     "first. With --json a line for each word. Exit codes: 2 a word is not there, 4 a "
     "file is malformed or\n"
     "can not be read.\n"},
    {"data",
     "  inspect FILES [LABELS]   format, examples, features, labels, values, the first rows; of "
     "idx "
     "and\n"
     "                           npy features alone, or with the file of their labels\n"
     "  convert FILES OUT        examples of any format as LIBSVM; OUT - is standard output. Keys "
     "that\n"
     "                           are hashes become indices from 1; idx and npy want "
     "--train-labels\n"
     "  split FILES FOLDER       whole lines, dealt by --seed to train, valid and test, as --parts "
     "says:\n"
     "                           sparse examples, ratings, triples (TSV), or text, whose lines are "
     "sentences;\n"
     "                           idx and npy with their --train-labels\n\n"
     "FILES is a file, a folder, a pattern, several with commas between, or - for standard "
     "input, or\n"
     "behind http://, https:// or s3:// (kept in --data-cache); plain, .gz or .zst. Sparse "
     "examples are\n"
     "never held in memory, nor are lines that split reads. Without --data-format the file's "
     "beginning\n"
     "decides; triples are not recognized by it, nor are ratings with neither '::' nor a time. "
     "What is\n"
     "written has its name only once it is whole. Exit codes: 2 usage, 4 a file is malformed (its "
     "line\n"
     "and column are named), 74 it cannot be written.\n"},
    {"snapshot",
     "  save [RUN]                     an exact cut of the running job, while it trains\n"
     "  ls RUN                         the whole ones; one given up, or not yet whole, is not "
     "listed\n"
     "  verify SNAPSHOT                reads and checks every byte (0: whole, 74: damaged)\n"
     "  restore SNAPSHOT --to DIR      stores for a fleet that is started by hand, of --ps times\n"
     "                                 --shards shards, --workers and --staleness; what is not "
     "told\n"
     "                                 is as it was\n\n"
     "A SNAPSHOT is a folder, RUN/snapshots/000001. 'rubato train FILE --resume SNAPSHOT' goes on\n"
     "from one. Periodic ones: --snapshot-interval and --snapshots-kept of 'rubato train'.\n"},
    {"eval",
     "MODEL is a run directory or a snapshot, as of 'rubato help export'. What model it is and how "
     "its\n"
     "data are read, the run's configuration says; a snapshot that lies elsewhere needs the run "
     "file\n"
     "once more. The data are those of --data, or the run's own test data, or what it held out\n"
     "(held_out). With --pairs or --analogies MODEL may also be a file of word vectors.\n"
     "  --pairs       lines 'word word score': Spearman's rank correlation with the cosines\n"
     "  --analogies   lines of four words, ': name' for sections (questions-words.txt): 3CosAdd\n"
     "Exit codes: 2 not that model, or no data told; 4 there is no MODEL, or data are not there "
     "or\n"
     "malformed; 74 the model is damaged.\n"},
    {"predict",
     "MODEL as of 'rubato help eval'. --data is a file as the run's test data, without labels "
     "where\n"
     "those are a file of their own; - is standard input, and -o - (or no -o) standard output. A "
     "line\n"
     "for each example: the probability of a click, or the most likely class; --predictions says\n"
     "which. Probabilities of several classes stand side by side, with tabs between.\n"},
    {"recommend",
     "MODEL as of 'rubato help eval', of model_kind mf, mf_bpr or mf_logistic. For each user the "
     "items\n"
     "with the highest rating, score or probability are said, but those that the user has in the\n"
     "training data, which are read again. Exit codes: 2 not that model, or no such user; 4 "
     "there is\n"
     "no MODEL, or data are not there or malformed; 74 the model is damaged.\n"},
    {"export",
     "RUN is a run directory: when it has ended, what its shards have stored, otherwise its "
     "latest\n"
     "snapshot. Unless --format says it, the end of -o's name does. All tables are written, or "
     "the\n"
     "one that --table names; npy, word2vec and tsv take one (of word vectors: words/in). Rows of "
     "a\n"
     "hashed table stand in the order of their keys, which are a tensor of their own, NAME.keys.\n"
     "onnx holds networks; of one from a list of layers, the head of train_images, or of --data, "
     "says\n"
     "how large images are. -o - writes to standard output. Exit codes: 2 nothing to export, 4 it "
     "is\n"
     "not there, 74 it is damaged.\n"},
    {"audit",
     "RUN was trained with --pull-log --journal-keep all. What its workers logged of each pull is\n"
     "held against the shards' journals. Exit codes: 0 no read broke its bound, 1 one did, 4 "
     "there\n"
     "are no logs of pulls.\n"},
    {"replay", "RUN was trained with --journal-keep all. Nothing is changed. Exit codes: 0 equal, "
               "bit for bit;\n"
               "1 a shard differs, which is named; 74 a store or journal is damaged.\n"},
    {"fsck",
     "DIR is a run directory, the store of a ps (ps-0), of one shard (ps-0/shard-0), or of a\n"
     "scheduler. Every page and value of LMDB is read and its checksum compared, every record of\n"
     "the journal, and then the recovery that a ps would do is done in memory. Each store is "
     "looked\n"
     "at by a process of its own. What is wrong is named with file and offset; an unfinished "
     "write\n"
     "at the journal's end is normal after a kill and is no fault.\n\n"
     "Exit codes: 0 all is whole, 74 something is damaged, 77 a process holds a store (it is\n"
     "named), 2 there is no store in DIR, 1 it could not be looked at.\n\n"
     "A damaged shard is refused by a ps, too (74): start the job again, or restore a snapshot.\n"},
};

static void print_help(const command_t *command, FILE *out)
{
    fprintf(out, "rubato %s %s [flags]: %s\n\n", command->name, command->words, command->sentence);
    rub_config_help(command->bit, out);
    for (size_t i = 0; i < RUB_COUNT_OF(manuals); i++) {
        if (strcmp(manuals[i].name, command->name) == 0) {
            fprintf(out, "\n%s", manuals[i].text);
        }
    }
}

static int usage_error(const char *fact, const char *name)
{
    const char *nearest = commands[0].name;
    for (size_t i = 1; i < RUB_COUNT_OF(commands); i++) {
        if (rub_edit_distance(name, commands[i].name) < rub_edit_distance(name, nearest)) {
            nearest = commands[i].name;
        }
    }
    fprintf(stderr,
            "rubato: %s '%s'; the nearest known command is '%s', 'rubato help' lists them all\n",
            fact, name, nearest);
    return rub_error_exit_code(RUB_EINVAL);
}

static int help_main(int n, char **words)
{
    if (n == 0 || strcmp(words[0], "--help") == 0) {
        print_commands(stdout);
        return 0;
    }
    const command_t *command = find_command(words[0]);
    if (!command) {
        return usage_error("no help for", words[0]);
    }
    print_help(command, stdout);
    return 0;
}

static int run_command(const command_t *command, int n, char **arguments)
{
    rub_config_t config;
    rub_error_t err = {0};
    rub_config_init(&config);
    int code = 0;
    const int rc = rub_config_load(&config, command->bit, n, arguments, environ, &err);
    if (rc != 0) {
        fprintf(stderr, "rubato %s: %s\n", command->name, err.message);
        code = rub_error_exit_code(rc);
        goto out;
    }
    if (config.wants_help) {
        print_help(command, stdout);
        goto out;
    }
    if (config.wants_print_config) {
        rub_config_print(&config, stdout);
        goto out;
    }
    if (config.n_words > 0 && !command->takes_words) {
        fprintf(stderr, "rubato %s: '%s' is not a run file; those end in .yaml or .yml\n",
                command->name, config.words[0]);
        code = rub_error_exit_code(RUB_ECONFIG);
        goto out;
    }
    rub_alloc_tune_process();
    rub_priority_prompt();
    rub_signals_install(!command->own_children);
    rub_remote_data_ends_by(rub_signals_count());
    code = command->run(&config);
    if (code == rub_error_exit_code(RUB_EINTR) && rub_signals_exit_code() != 0) {
        code = rub_signals_exit_code(); /* which signal it was */
    }
out:
    rub_config_fini(&config);
    return code;
}

/* A file that is opened while one of them is closed gets its number: a store that is written with
 * what people are told, or a lock that is read as standard input. What stands there instead fails
 * as a closed one does. */
static void fill_closed_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) {
            (void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
        }
    }
}

int main(int argc, char **argv)
{
    fill_closed_streams();
    if (argc < 2) {
        print_commands(stderr);
        return rub_error_exit_code(RUB_EINVAL);
    }
    const char *name = argv[1];
    int code;
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        code = help_main(argc - 2, argv + 2);
    } else if (strcmp(name, "version") == 0 || strcmp(name, "--version") == 0) {
        printf("rubato %s\n", rub_version());
        code = 0;
    } else {
        const command_t *command = find_command(name);
        code = command ? run_command(command, argc - 2, argv + 2) : usage_error("no command", name);
    }
    /* A full disk or a closed pipe behind standard output is a failure, not silence. */
    if (fflush(stdout) != 0 && code == 0) {
        perror("rubato: standard output");
        code = 1;
    }
    return code;
}
