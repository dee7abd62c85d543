/* Run files: any text becomes a configuration or a sentence; what is printed loads again. */
#include "common/conf/config.h"
#include "common/conf/yaml_entries.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static int load(rub_config_t *config, const char *path)
{
    char flag[] = "--config";
    char value[64];
    char *const arguments[] = {flag, value};
    rub_error_t err = {0};
    (void)snprintf(value, sizeof(value), "%s", path);
    rub_config_init(config);
    const int rc = rub_config_load(config, RUB_FOR_TRAIN, 2, arguments, NULL, &err);
    RUB_ASSERT(rc == 0 || rc == RUB_ECONFIG);
    RUB_ASSERT(rc == 0 || err.message[0] != '\0');
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char printed[1 << 16];
    rub_config_t config;
    if (load(&config, rub_fuzz_file(0, data, size)) == 0) {
        FILE *out = fmemopen(printed, sizeof(printed), "w");
        RUB_ASSERT(out);
        rub_config_print(&config, out);
        const long bytes = ftell(out);
        (void)fclose(out);
        rub_config_t again;
        if (bytes > 0 && (size_t)bytes < sizeof(printed) - 1) {
            RUB_ASSERT(load(&again, rub_fuzz_file(1, (const uint8_t *)printed, (size_t)bytes)) ==
                       0);
            rub_config_fini(&again);
        }
    }
    rub_config_fini(&config);
    return 0;
}
