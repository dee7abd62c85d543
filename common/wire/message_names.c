/* Names of messages, for sentences and logs.
 *
 * Both planes share one space of numbers. The switch is generated from proto.def, so a number that
 * is given twice, in whichever plane, is a duplicate case and does not compile. */
#include "common/wire/control.h"

#define RUB_FIELD_U32(...)
#define RUB_FIELD_U64(...)
#define RUB_FIELD_F64(...)
#define RUB_FIELD_STR(...)
#define RUB_FIELD_BIN(...)
#define RUB_FIELD_LIST(...)
#define RUB_STRUCT(...)
#define RUB_END(...)
#define RUB_DATA(NAME, number, ...)                                                                \
    case (number):                                                                                 \
        return #NAME;
#define RUB_CONTROL(NAME, name, number, meaning)                                                   \
    case (number):                                                                                 \
        return #NAME;

const char *rub_message_name(uint32_t number)
{
    switch (number) {
#include "common/wire/proto.def"
    default:
        return "?";
    }
}
