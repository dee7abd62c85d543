/* Convolution as a matrix product (Chellapilla, Puri and Simard, IWFHR 2006: "im2col").
 *
 *   y[oy, ox, f] = a(b[f] + sum over ky, kx, c of x[oy s + ky - p, ox s + kx - p, c] W[ky, kx, c,
 * f])
 *
 * Every output place's window becomes a row of kernel x kernel x channels numbers; with channels
 * innermost, a line of the window is one run in memory, and the product of these rows with W (that
 * x filters) is the output as it shall lie. On the way back dW = rows^T d and the rows' gradients d
 * W^T are added onto the places they came from.
 *
 * The rows of a whole batch would fill the memory bus, so a few images are taken at a time, as many
 * as stay in the second cache; they are made anew on the way back, which is cheaper than keeping
 * them. Invariant: groups are added in the order of the images and their size depends on the shape
 * alone, so equal batches give equal bits. */
#include "worker/model/layer.h"

#include "common/base/check.h"
#include "common/base/error.h"

#include <cblas.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { FILTERS, KERNEL, STRIDE, PADDING };
enum { GROUP_ELEMENTS = 1 << 17 }; /* 512 KiB */

typedef struct geometry {
    size_t height, width, channels; /* in */
    size_t out_height, out_width;
    size_t kernel, stride, padding;
    size_t line, row;      /* numbers of a window's line, of the whole window */
    size_t rows, in_size;  /* windows of an image; its numbers */
    size_t filters, group; /* images at a time */
} geometry_t;

static geometry_t geometry_of(const rub_layer_t *self)
{
    geometry_t g = {.height = self->in.height,
                    .width = self->in.width,
                    .channels = self->in.channels,
                    .out_height = self->out.height,
                    .out_width = self->out.width,
                    .kernel = (size_t)self->arguments[KERNEL],
                    .stride = (size_t)self->arguments[STRIDE],
                    .padding = (size_t)self->arguments[PADDING],
                    .filters = self->out.channels};
    g.line = g.kernel * g.channels;
    g.row = g.kernel * g.line;
    g.rows = g.out_height * g.out_width;
    g.in_size = g.height * g.width * g.channels;
    g.group = GROUP_ELEMENTS / (g.rows * g.row);
    g.group += g.group == 0;
    return g;
}

static int conv_shape(rub_layer_t *self, size_t max_batch, rub_error_t *err)
{
    const uint32_t kernel = (uint32_t)self->arguments[KERNEL],
                   stride = (uint32_t)self->arguments[STRIDE];
    const uint32_t padding = (uint32_t)self->arguments[PADDING];
    const uint32_t height = self->in.height + 2 * padding, width = self->in.width + 2 * padding;
    RUB_UNUSED(max_batch);
    if (kernel > height || kernel > width) {
        return rub_fail(err, RUB_EINVAL,
                        "kernel %" PRIu32 " does not fit into %" PRIu32 " x %" PRIu32 " x %" PRIu32
                        " (height, width, channels) with padding %" PRIu32,
                        kernel, self->in.height, self->in.width, self->in.channels, padding);
    }
    if (padding >= kernel) {
        return rub_fail(err, RUB_EINVAL,
                        "padding %" PRIu32 ", expected less than the kernel, %" PRIu32, padding,
                        kernel);
    }
    self->out = (rub_shape_t){(height - kernel) / stride + 1, (width - kernel) / stride + 1,
                              (uint32_t)self->arguments[FILTERS]};
    const uint64_t row = (uint64_t)kernel * kernel * self->in.channels;
    const uint64_t rows = (uint64_t)self->out.height * self->out.width;
    self->weights_elements = row * self->out.channels;
    self->bias_elements = self->out.channels;
    self->fan_in = (double)row;
    self->fan_out = (double)kernel * kernel * self->out.channels;
    self->gradient_flops = 6.0 * (double)rows * (double)row * self->arguments[FILTERS];
    const uint64_t image = rows * row;
    if (image > RUB_MODEL_TABLE_LIMIT) {
        return rub_fail(err, RUB_EINVAL,
                        "%" PRIu64 " numbers in the windows of an image, at most %u", image,
                        RUB_MODEL_TABLE_LIMIT);
    }
    const geometry_t g = geometry_of(self);
    self->scratch_elements = g.group * (size_t)image;
    return 0;
}

/* The part of a window's line that lies within the image: numbers [*first_p, *last_p) of the
 * kernel. */
static void inside(const geometry_t *g, size_t ox, size_t *first_p, size_t *last_p)
{
    const size_t at = ox * g->stride; /* of the padded line */
    *first_p = at < g->padding ? g->padding - at : 0;
    const size_t end = g->width + g->padding - at;
    *last_p = end < g->kernel ? end : g->kernel;
}

/* Runs are short, five numbers say: too short for a call of memcpy each. */
static inline void copy_run(float *restrict to, const float *restrict from, size_t n)
{
    if (n > 32) {
        memcpy(to, from, n * sizeof *to);
        return;
    }
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        memcpy(to + i, from + i, 4 * sizeof *to);
    }
    if (n & 2) {
        memcpy(to + i, from + i, 2 * sizeof *to);
        i += 2;
    }
    if (n & 1) {
        to[i] = from[i];
    }
}

static void image_to_rows(const geometry_t *g, const float *image, float *rows)
{
    for (size_t oy = 0; oy < g->out_height; oy++) {
        for (size_t ox = 0; ox < g->out_width; ox++) {
            size_t first, last;
            inside(g, ox, &first, &last);
            for (size_t ky = 0; ky < g->kernel; ky++, rows += g->line) {
                const size_t y = oy * g->stride + ky; /* padded */
                if (y < g->padding || y >= g->height + g->padding) {
                    memset(rows, 0, g->line * sizeof *rows);
                    continue;
                }
                const float *from =
                    image + ((y - g->padding) * g->width + ox * g->stride + first - g->padding) *
                                g->channels;
                if (last - first < g->kernel) {
                    memset(rows, 0, g->line * sizeof *rows);
                }
                copy_run(rows + first * g->channels, from, (last - first) * g->channels);
            }
        }
    }
}

static void add_rows_to_image(const geometry_t *g, const float *rows, float *image)
{
    for (size_t oy = 0; oy < g->out_height; oy++) {
        for (size_t ox = 0; ox < g->out_width; ox++) {
            size_t first, last;
            inside(g, ox, &first, &last);
            for (size_t ky = 0; ky < g->kernel; ky++, rows += g->line) {
                const size_t y = oy * g->stride + ky;
                if (y < g->padding || y >= g->height + g->padding) {
                    continue;
                }
                float *to =
                    image + ((y - g->padding) * g->width + ox * g->stride + first - g->padding) *
                                g->channels;
                const float *from = rows + first * g->channels;
                const size_t n = (last - first) * g->channels;
                for (size_t i = 0; i < n; i++) {
                    to[i] += from[i];
                }
            }
        }
    }
}

static size_t group_rows(const geometry_t *g, rub_layer_t *self, const float *x, size_t first,
                         size_t n, size_t *count_p)
{
    *count_p = n - first < g->group ? n - first : g->group;
    for (size_t i = 0; i < *count_p; i++) {
        image_to_rows(g, x + (first + i) * g->in_size, self->scratch + i * g->rows * g->row);
    }
    return *count_p * g->rows;
}

static const float *conv_forward(rub_layer_t *self, rub_layer_params_t params, const float *x,
                                 size_t n, const rub_layer_draw_t *draw)
{
    RUB_UNUSED(draw);
    const geometry_t g = geometry_of(self);
    const int row = (int)g.row, filters = (int)g.filters;
    size_t count = 0;
    for (size_t first = 0; first < n; first += count) {
        const size_t rows = group_rows(&g, self, x, first, n, &count);
        float *out = self->output + first * g.rows * g.filters;
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)rows, filters, row, 1.0f,
                    self->scratch, row, params.weights, filters, 0.0f, out, filters);
        self->activation->forward(out, params.bias, rows, g.filters);
    }
    return self->output;
}

static void conv_backward(rub_layer_t *self, rub_layer_params_t params, const float *x, size_t n,
                          float *delta, rub_layer_gradients_t gradients, float *below)
{
    const geometry_t g = geometry_of(self);
    const int row = (int)g.row, filters = (int)g.filters;
    size_t count = 0;
    self->activation->backward(delta, self->output, gradients.bias, n * g.rows, g.filters);
    for (size_t first = 0; first < n; first += count) {
        const size_t rows = group_rows(&g, self, x, first, n, &count);
        const float *d = delta + first * g.rows * g.filters;
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, row, filters, (int)rows, 1.0f,
                    self->scratch, row, d, filters, first == 0 ? 0.0f : 1.0f, gradients.weights,
                    filters);
        if (below == NULL) {
            continue;
        }
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)rows, row, filters, 1.0f, d,
                    filters, params.weights, filters, 0.0f, self->scratch, row);
        memset(below + first * g.in_size, 0, count * g.in_size * sizeof *below);
        for (size_t i = 0; i < count; i++) {
            add_rows_to_image(&g, self->scratch + i * g.rows * g.row,
                              below + (first + i) * g.in_size);
        }
    }
}

const rub_layer_kind_t rub_conv_layer = {
    .name = "conv",
    .arguments = {{"filters", 1, 65536, NAN, true},
                  {"kernel", 1, 1024, 3, true},
                  {"stride", 1, 1024, 1, true},
                  {"padding", 0, 1023, 0, true}},
    .weights_name = "weights",
    .shape = conv_shape,
    .forward = conv_forward,
    .backward = conv_backward,
};
