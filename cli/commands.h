/* The commands that live in cli; those of the roles have their headers beside them. */
#ifndef RUB_COMMANDS_H
#define RUB_COMMANDS_H

#include "common/conf/config.h"

/* `rubato train FILE`: a whole job on this machine, from start to result. config is changed: the
 * free port, the run directory. Returns the process's exit code. */
int rub_train_main(rub_config_t *config);

/* `rubato status`: what the scheduler at config->scheduler says of its job. 75 when nobody answers
 * within 3 s. */
int rub_status_main(const rub_config_t *config);

/* `rubato doctor [FILE|RUN]`: looks at a plan, a run directory, or a running job, and at this
 * machine; changes nothing. 0 when there is no problem, else the exit code of the first one. */
int rub_doctor_main(rub_config_t *config);

/* `rubato audit RUN`: from the workers' logs of pulls and the shards' journals, whether any read
 * broke its bound. 0: none; 1: some; 4: nothing to check. */
int rub_audit_main(const rub_config_t *config);

/* `rubato snapshot save|ls|verify|restore ...`: what can be done with a run's snapshots. */
int rub_snapshot_main(rub_config_t *config);

/* `rubato replay RUN`: the run once more from its journals (journal_keep: all), compared bit for
 * bit with what is stored. 1 when a row differs. */
int rub_replay_main(rub_config_t *config);

/* `rubato fsck DIR`: whether what a job left on disk is whole; changes nothing. 0: all is; 74:
 * something is damaged; 77: a process holds a store; 2: there is no store. */
int rub_fsck_main(const rub_config_t *config);

/* `rubato neighbours VECTORS WORD...`: for each word those whose vectors are nearest. 2: a word
 * that the file does not have; 4: the file is malformed. */
int rub_neighbours_main(rub_config_t *config);

/* `rubato data inspect|convert|split ...`: looks at data files, and makes others of them. 4: a file
 * is malformed. */
int rub_data_main(rub_config_t *config);

/* `rubato export RUN|SNAPSHOT`: the trained model as a file that other programs read. */
int rub_export_main(const rub_config_t *config);

/* `rubato eval RUN|SNAPSHOT|VECTORS`: the figures of a model on data, or of word vectors on tests
 * of words. */
int rub_eval_main(const rub_config_t *config);

/* `rubato predict RUN|SNAPSHOT --data FILE`: a line for each example. */
int rub_predict_main(const rub_config_t *config);

/* `rubato recommend RUN|SNAPSHOT USER...`: for each user the items that come first. 2: a user whom
 * the training data do not have. */
int rub_recommend_main(const rub_config_t *config);

#endif
