/* Written by tests/golden/make_optimizers.py with torch 1.13.0a0: do not edit. */
#ifndef RUB_GOLDEN_OPTIMIZERS_H
#define RUB_GOLDEN_OPTIMIZERS_H

#include "include/rubato.h"

enum { GOLDEN_STEPS = 20, GOLDEN_WEIGHTS = 7 };

static const float golden_start[GOLDEN_WEIGHTS] = {0x1.41d3f40000000p+0f, -0x1.ffa15a0000000p+0f, 0x1.19fbcc0000000p+1f, -0x1.0eb0540000000p+0f, 0x1.4bbcf80000000p+0f, -0x1.6d9f3c0000000p+1f, 0x1.240e2a0000000p+0f};

static const float golden_gradients[GOLDEN_STEPS][GOLDEN_WEIGHTS] = {
    {-0x1.cb47a60000000p-5f, 0x1.7e67ca0000000p-1f, -0x1.d8ea480000000p+0f, 0x1.9109580000000p+0f, -0x1.8afc720000000p-4f, 0x1.5c5a900000000p-1f, -0x1.17b0180000000p-3f},
    {-0x1.84326a0000000p-2f, 0x1.da398c0000000p-2f, 0x1.a626a40000000p-1f, -0x1.9ec7fc0000000p-3f, -0x1.38e7f60000000p-3f, 0x1.5f13e40000000p-1f, -0x1.bd9d4a0000000p-1f},
    {-0x1.83aea40000000p+0f, 0x1.9476200000000p-2f, -0x1.5754680000000p-1f, -0x1.eb9b700000000p+0f, -0x1.a0cba40000000p-1f, -0x1.ded1e40000000p-2f, -0x1.3175b80000000p+0f},
    {-0x1.7e121c0000000p+0f, 0x1.2c23180000000p-5f, 0x0.0p+0f, -0x1.dd745a0000000p-3f, -0x1.7cb89e0000000p-1f, 0x1.8a3bd20000000p-2f, 0x1.6f39880000000p-1f},
    {-0x1.3335fa0000000p-2f, 0x1.16deb20000000p-1f, 0x1.0af9e40000000p+0f, -0x1.a7d8c60000000p-3f, -0x1.a0851c0000000p-1f, 0x1.63fe840000000p-2f, 0x1.faf9420000000p-3f},
    {0x1.194bcc0000000p+0f, -0x1.48da4a0000000p+0f, -0x1.52beee0000000p-1f, -0x1.ad24380000000p-1f, -0x1.bbe8660000000p+0f, 0x1.02f01e0000000p-3f, 0x1.0e3c5a0000000p-1f},
    {-0x1.7a42b00000000p-1f, 0x1.62b9c40000000p+0f, 0x1.a4d3440000000p-1f, 0x1.41377e0000000p-1f, 0x1.9b591a0000000p-2f, 0x1.e94d860000000p-1f, -0x1.54fca20000000p+0f},
    {0x1.3a54fc0000000p-1f, 0x1.349f2a0000000p-1f, -0x1.c489340000000p+0f, 0x1.635bdc0000000p-2f, -0x1.006e740000000p-2f, 0x1.9023be0000000p-1f, -0x1.c199840000000p-2f},
    {-0x1.2adbb40000000p-6f, 0x1.5f14780000000p-2f, -0x1.c0a5600000000p-1f, 0x1.327b420000000p-1f, -0x1.adede20000000p-4f, 0x1.f84d5e0000000p-2f, -0x1.0b2e4a0000000p-1f},
    {0x1.16114e0000000p+0f, 0x1.35dd080000000p-1f, -0x1.6c98620000000p-3f, 0x1.438fe40000000p-1f, 0x1.427f500000000p+0f, 0x1.ca8a7a0000000p+0f, -0x1.92d5e60000000p+0f},
    {0x1.c429da0000000p-1f, 0x1.dc3aec0000000p-2f, -0x1.80742a0000000p-4f, -0x1.01b4cc0000000p+0f, 0x1.41d71c0000000p+0f, -0x1.4301420000000p+0f, 0x1.2246ae0000000p-1f},
    {0x1.4d47380000000p+0f, -0x1.9983ee0000000p+0f, -0x1.35c73c0000000p-2f, -0x1.4f28d60000000p+0f, 0x1.f3d2a40000000p-3f, 0x1.83ae160000000p+0f, 0x1.0303e20000000p+1f},
    {-0x1.c732820000000p+0f, -0x1.265fb80000000p-1f, 0x1.6837100000000p-1f, 0x1.9451c40000000p+0f, 0x1.af51d80000000p-2f, -0x1.7e07a20000000p-1f, 0x1.30433e0000000p-2f},
    {-0x1.1049fc0000000p-6f, -0x1.a142d00000000p-3f, -0x1.780c980000000p-1f, 0x1.8c8dd20000000p-2f, 0x1.3b44cc0000000p-2f, -0x1.7cdcec0000000p-4f, -0x1.c604540000000p-3f},
    {-0x1.48f04a0000000p+0f, -0x1.f1d8080000000p-2f, 0x1.34d9e20000000p+0f, -0x1.8643680000000p-3f, -0x1.7090000000000p+0f, 0x1.559e0c0000000p+0f, 0x1.0f7ef20000000p-1f},
    {0x1.0dd5cc0000000p+1f, 0x1.000cc20000000p-4f, -0x1.d875320000000p-2f, -0x1.7298d80000000p+0f, 0x1.52e7120000000p+0f, 0x1.48e5c00000000p+1f, -0x1.a451960000000p-1f},
    {-0x1.4b4f120000000p-1f, 0x1.313fa80000000p-1f, -0x1.a9230a0000000p-1f, -0x1.150d400000000p-2f, -0x1.663bda0000000p-2f, 0x1.8921be0000000p-3f, 0x1.1846060000000p+0f},
    {0x1.698e2e0000000p-6f, 0x1.d67b620000000p-1f, -0x1.adf75a0000000p-2f, 0x1.4faa6c0000000p-2f, -0x1.11b1600000000p+1f, -0x1.732fcc0000000p+0f, 0x1.9781f60000000p-1f},
    {-0x1.2e28100000000p-1f, 0x1.28ea9c0000000p-1f, 0x1.15ae260000000p-1f, 0x1.5280de0000000p+0f, 0x1.9fabfe0000000p-1f, 0x1.04598c0000000p+0f, -0x1.c967e00000000p-4f},
    {-0x1.6585a20000000p-1f, -0x1.768ee00000000p-1f, -0x1.f3c1ca0000000p-2f, -0x1.213c7c0000000p+0f, -0x1.184a860000000p-1f, -0x1.7b29b00000000p-4f, 0x1.01a6900000000p-2f},
};

static const struct {
    const char *name, *optimizer;
    rub_hyper_t hyper;
    int exact; /* same operations in the same order: equal bits */
    float end[GOLDEN_WEIGHTS];
} golden_cases[] = {
    {"sgd", "sgd", {.lr = 0.05, .momentum = 0.0, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-08, .weight_decay = 0.0}, 1,
     {0x1.608cb00000000p+0f, -0x1.12262a0000000p+1f, 0x1.34cd4a0000000p+1f, -0x1.fa5f660000000p-1f, 0x1.7427740000000p+0f, -0x1.a5b3640000000p+1f, 0x1.2634c60000000p+0f}},
    {"sgd with weight decay", "sgd", {.lr = 0.05, .momentum = 0.0, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-08, .weight_decay = 0.125}, 1,
     {0x1.3826560000000p+0f, -0x1.e4b5e60000000p+0f, 0x1.11b5e80000000p+1f, -0x1.bc5e020000000p-1f, 0x1.49ea260000000p+0f, -0x1.7748ae0000000p+1f, 0x1.013a580000000p+0f}},
    {"add", "add", {.lr = 0.05, .momentum = 0.0, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-08, .weight_decay = 0.0}, 1,
     {-0x1.249ab00000000p+0f, 0x1.bb74c40000000p-1f, -0x1.fcc46e0000000p+0f, -0x1.365e700000000p+1f, -0x1.dc94940000000p+0f, 0x1.79f9de0000000p+2f, 0x1.f2141e0000000p-1f}},
    {"momentum", "momentum", {.lr = 0.05, .momentum = 0.9, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-08, .weight_decay = 0.0}, 1,
     {0x1.fad10e0000000p+0f, -0x1.8ce1400000000p+1f, 0x1.cc70f40000000p+1f, -0x1.5b55280000000p-1f, 0x1.2722ae0000000p+1f, -0x1.68f5400000000p+2f, 0x1.cb4a0e0000000p+0f}},
    {"momentum with weight decay", "momentum", {.lr = 0.05, .momentum = 0.5, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-08, .weight_decay = 0.125}, 1,
     {0x1.24dd8a0000000p+0f, -0x1.d216b40000000p+0f, 0x1.0a3a400000000p+1f, -0x1.75fd820000000p-1f, 0x1.41ffba0000000p+0f, -0x1.82fa620000000p+1f, 0x1.cd406e0000000p-1f}},
    {"adagrad", "adagrad", {.lr = 0.1, .momentum = 0.0, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-10, .weight_decay = 0.0}, 0,
     {0x1.90ab000000000p+0f, -0x1.223b660000000p+1f, 0x1.2db6620000000p+1f, -0x1.0b1a020000000p+0f, 0x1.b735a60000000p+0f, -0x1.aa1fc60000000p+1f, 0x1.5d93100000000p+0f}},
    {"adagrad with weight decay", "adagrad", {.lr = 0.1, .momentum = 0.0, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-10, .weight_decay = 0.125}, 0,
     {0x1.46dff60000000p+0f, -0x1.0574a00000000p+1f, 0x1.1730100000000p+1f, -0x1.ee85080000000p-1f, 0x1.5a80940000000p+0f, -0x1.8631ea0000000p+1f, 0x1.1448e20000000p+0f}},
    {"adam", "adam", {.lr = 0.01, .momentum = 0.0, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-08, .weight_decay = 0.0}, 0,
     {0x1.4fb1660000000p+0f, -0x1.099fba0000000p+1f, 0x1.20d4300000000p+1f, -0x1.0dffb20000000p+0f, 0x1.5f4a6a0000000p+0f, -0x1.7cd1a80000000p+1f, 0x1.316c2c0000000p+0f}},
    {"adam with weight decay", "adam", {.lr = 0.01, .momentum = 0.0, .beta1 = 0.8, .beta2 = 0.99, .epsilon = 1e-06, .weight_decay = 0.125}, 0,
     {0x1.40b80c0000000p+0f, -0x1.011b460000000p+1f, 0x1.196bd00000000p+1f, -0x1.07ca520000000p+0f, 0x1.4c0a880000000p+0f, -0x1.728a640000000p+1f, 0x1.220c760000000p+0f}},
};

#endif
