/* The instruction sets that this folder's loops are compiled for, and which of them this CPU runs:
 * one answer for all tables of loops. The compiler's run-time library has asked the CPU before
 * main; looking at its answer is a load and a test, so nothing is kept here. Private to
 * common/num. */
#ifndef RUB_ISA_H
#define RUB_ISA_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of a register of the set that a file is compiled for. */
#if defined(__AVX512F__)
#define RUB_ISA_REGISTER_BYTES 64
#elif defined(__AVX__)
#define RUB_ISA_REGISTER_BYTES 32
#else
#define RUB_ISA_REGISTER_BYTES 16
#endif

/* In the order in which a table of loops lists them, plain C first, each wider than the last. */
typedef enum { RUB_ISA_PLAIN, RUB_ISA_AVX2, RUB_ISA_AVX512 } rub_isa_t;

static inline bool rub_isa_runs(rub_isa_t isa)
{
#ifdef __x86_64__
    switch (isa) {
    case RUB_ISA_AVX512:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
    case RUB_ISA_AVX2:
        return __builtin_cpu_supports("avx2");
    default:
        break;
    }
#endif
    return isa == RUB_ISA_PLAIN;
}

/* The widest. */
static inline rub_isa_t rub_isa_best(void)
{
    return rub_isa_runs(RUB_ISA_AVX512) ? RUB_ISA_AVX512
           : rub_isa_runs(RUB_ISA_AVX2) ? RUB_ISA_AVX2
                                        : RUB_ISA_PLAIN;
}

#endif
