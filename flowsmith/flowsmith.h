/* Normalizing flows from C11: the functions of flowsmith/flow.h and trainer.h, with the same numbers.
 *
 *   flowsmith_flow* flow = NULL;
 *   if (flowsmith_load("best.safetensors", NULL, &flow) != FLOWSMITH_OK) puts(flowsmith_last_error());
 *   double nats[64];
 *   flowsmith_log_prob_images(flow, pixels, 64, 784, NULL, nats);
 *   flowsmith_free(flow);
 *
 * Arrays are the caller's. An example is dims numbers in a row: the pixels of an image, height x width x channels, or
 * the columns of a table; its latents are dims numbers too, one latent after the other. `stride` is how many elements
 * the next example is away, dims or more where several are written; 0 stands for dims. Sizes count elements.
 *
 * Every function that may fail returns a status and leaves a line for people in flowsmith_last_error(), which belongs
 * to the calling thread; what it was to write is then not to be used. A NULL where a thing is needed is
 * FLOWSMITH_INVALID_INPUT, and NULL instead of options stands for the defaults. No exception leaves the library.
 *
 * Functions that take a const flow may run in several threads at once. A flow or trainer must not be changed or freed
 * while another thread uses it. */
#ifndef FLOWSMITH_FLOWSMITH_H
#define FLOWSMITH_FLOWSMITH_H

#include <stddef.h>
#include <stdint.h>

#include "flowsmith/export.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Grows with each addition to this file; nothing in it changes or goes before version 2.0 of the library. */
#define FLOWSMITH_ABI_VERSION 1

typedef int32_t flowsmith_status;
enum {
  FLOWSMITH_OK = 0,
  FLOWSMITH_INVALID_INPUT = 1, /* an argument, a configuration or data that the call cannot take */
  FLOWSMITH_FILE = 2,          /* a file is missing, may not be read or written, or is damaged */
  FLOWSMITH_OUT_OF_MEMORY = 3,
  FLOWSMITH_NOT_FINITE = 4, /* the flow computed a value that is not finite */
  FLOWSMITH_DEVICE = 5,     /* there is no such device, or the GPU failed */
  FLOWSMITH_INTERNAL = 6    /* a fault of the library */
};

typedef struct flowsmith_flow flowsmith_flow;
typedef struct flowsmith_trainer flowsmith_trainer;

/* Structures of options begin with their size, sizeof of the structure, so that they may grow. */

typedef struct flowsmith_context {
  size_t size;
  const char* device;    /* NULL: "cpu"; or "cuda", "cuda:1", "auto", "reference" */
  const char* precision; /* NULL: "fp32"; or "bf16", on a GPU "tf32" */
  int32_t threads;       /* 0: one per core */
} flowsmith_context;

typedef struct flowsmith_score_options {
  size_t size;
  uint64_t seed;   /* of the dequantization noise of images */
  uint32_t first;  /* number of the first example, which with the seed decides its noise */
  int32_t samples; /* draws of the noise for each image, 1 or more */
} flowsmith_score_options;

typedef struct flowsmith_sample_options {
  size_t size;
  uint64_t seed;
  uint32_t first;     /* number of the first sample */
  double temperature; /* factor on the deviations of the base, 0 or more */
} flowsmith_sample_options;

typedef struct flowsmith_training_options {
  size_t size;
  uint64_t seed;
  int32_t epochs;     /* 0: as the configuration says; so below */
  int32_t batch_size; /* 0 */
  double lr;          /* 0 */
  double lr_decay;    /* 0 */
  double clip_norm;   /* below 0: as the configuration says; 0: no clipping */
  int32_t recompute;  /* 1: less memory for a third more work */
} flowsmith_training_options;

/* Filled in: the defaults, seed 42. */
#define FLOWSMITH_CONTEXT \
  { sizeof(flowsmith_context), NULL, NULL, 0 }
#define FLOWSMITH_SCORE_OPTIONS \
  { sizeof(flowsmith_score_options), 42, 0, 1 }
#define FLOWSMITH_SAMPLE_OPTIONS \
  { sizeof(flowsmith_sample_options), 42, 0, 1.0 }
#define FLOWSMITH_TRAINING_OPTIONS \
  { sizeof(flowsmith_training_options), 42, 0, 0, 0.0, 0.0, -1.0, 0 }

typedef struct flowsmith_info {
  size_t dims; /* numbers in an example, and in its latents */
  size_t parameter_count;
  size_t latent_count;
  int32_t height, width, channels; /* of an example; a row of D numbers is 1 x 1 x D */
  int32_t takes_images;            /* 1: 8-bit images; 0: rows of numbers */
} flowsmith_info;

typedef struct flowsmith_latent_info {
  char name[32]; /* "z.0", ..., "z.final" */
  size_t begin;  /* where it begins in the latents of an example */
  int32_t height, width, channels;
} flowsmith_latent_info;

typedef struct flowsmith_progress {
  int64_t steps_done, total_steps;
  double learning_rate; /* of the next step */
  int32_t steps_per_epoch;
} flowsmith_progress;

/* --- the library --- */

FLOWSMITH_API int32_t flowsmith_abi_version(void);
FLOWSMITH_API const char* flowsmith_version(void); /* "1.0.0", and the commit where it is known */
/* What went wrong in the last call of this thread that failed; never NULL, good until its next call that fails. */
FLOWSMITH_API const char* flowsmith_last_error(void);

/* --- flows --- */

/* Reads a weight file. On failure *flow is NULL; so below. */
FLOWSMITH_API flowsmith_status flowsmith_load(const char* path, const flowsmith_context* context,
                                              flowsmith_flow** flow);
/* A new flow with random weights. `config`: the name of a model, such as "moons", or a JSON text (docs/config.md). */
FLOWSMITH_API flowsmith_status flowsmith_from_config(const char* config, uint64_t seed,
                                                     const flowsmith_context* context, flowsmith_flow** flow);
FLOWSMITH_API void flowsmith_free(flowsmith_flow* flow); /* of NULL, or a trainer's: nothing */
/* Writes a weight file: whole or not at all. */
FLOWSMITH_API flowsmith_status flowsmith_save(const flowsmith_flow* flow, const char* path);

FLOWSMITH_API flowsmith_status flowsmith_get_info(const flowsmith_flow* flow, flowsmith_info* info);
FLOWSMITH_API flowsmith_status flowsmith_get_latent_info(const flowsmith_flow* flow, size_t index,
                                                         flowsmith_latent_info* info);
/* The configuration as JSON, and the layers as a table for people. At most `capacity` bytes are written, the last of
 * them 0; *length, which may be NULL, becomes that of the whole text without it. `text` may be NULL where capacity is
 * 0. */
FLOWSMITH_API flowsmith_status flowsmith_get_config(const flowsmith_flow* flow, char* text, size_t capacity,
                                                    size_t* length);
FLOWSMITH_API flowsmith_status flowsmith_get_summary(const flowsmith_flow* flow, char* text, size_t capacity,
                                                     size_t* length);

/* log p(x) in nats of each of `count` examples. */
FLOWSMITH_API flowsmith_status flowsmith_log_prob_images(const flowsmith_flow* flow, const uint8_t* images,
                                                         size_t count, size_t stride,
                                                         const flowsmith_score_options* options, double* log_prob);
FLOWSMITH_API flowsmith_status flowsmith_log_prob_rows(const flowsmith_flow* flow, const double* rows, size_t count,
                                                       size_t stride, double* log_prob);
/* Examples to latents, and back: images come back exactly. Of `options` the seed and `first` count. */
FLOWSMITH_API flowsmith_status flowsmith_encode_images(const flowsmith_flow* flow, const uint8_t* images, size_t count,
                                                       size_t stride, const flowsmith_score_options* options,
                                                       double* latents, size_t latent_stride);
FLOWSMITH_API flowsmith_status flowsmith_encode_rows(const flowsmith_flow* flow, const double* rows, size_t count,
                                                     size_t stride, double* latents, size_t latent_stride);
FLOWSMITH_API flowsmith_status flowsmith_decode_images(const flowsmith_flow* flow, const double* latents, size_t count,
                                                       size_t latent_stride, uint8_t* images, size_t stride);
FLOWSMITH_API flowsmith_status flowsmith_decode_rows(const flowsmith_flow* flow, const double* latents, size_t count,
                                                     size_t latent_stride, double* rows, size_t stride);
FLOWSMITH_API flowsmith_status flowsmith_sample_images(const flowsmith_flow* flow, size_t count,
                                                       const flowsmith_sample_options* options, uint8_t* images,
                                                       size_t stride);
FLOWSMITH_API flowsmith_status flowsmith_sample_rows(const flowsmith_flow* flow, size_t count,
                                                     const flowsmith_sample_options* options, double* rows,
                                                     size_t stride);
/* The layers as a function, x to z, or z to x if `inverse` is not 0, with log |det| of that direction (may be NULL).
 * Base and dequantization take no part. */
FLOWSMITH_API flowsmith_status flowsmith_transform(const flowsmith_flow* flow, int32_t inverse, const double* from,
                                                   size_t count, size_t from_stride, double* to, size_t to_stride,
                                                   double* logdet);

/* --- training --- */

/* Of `count` examples one behind the other, which stay where they are while the trainer lives. */
FLOWSMITH_API flowsmith_status flowsmith_train_images(const char* config, const uint8_t* images, size_t count,
                                                      const flowsmith_training_options* options,
                                                      const flowsmith_context* context, flowsmith_trainer** trainer);
FLOWSMITH_API flowsmith_status flowsmith_train_rows(const char* config, const double* rows, size_t count,
                                                    const flowsmith_training_options* options,
                                                    const flowsmith_context* context, flowsmith_trainer** trainer);
FLOWSMITH_API void flowsmith_trainer_free(flowsmith_trainer* trainer); /* its flow goes too; of NULL: nothing */
/* One batch. `loss`, bits per dimension of images and nats of numbers, and `gradient_norm` may be NULL. */
FLOWSMITH_API flowsmith_status flowsmith_trainer_step(flowsmith_trainer* trainer, double* loss, double* gradient_norm);
FLOWSMITH_API flowsmith_status flowsmith_trainer_progress(const flowsmith_trainer* trainer,
                                                          flowsmith_progress* progress);
/* The flow as it is now: it follows the steps, belongs to the trainer, and must not be used while a step runs. */
FLOWSMITH_API flowsmith_status flowsmith_trainer_flow(const flowsmith_trainer* trainer, const flowsmith_flow** flow);
/* All that it takes to go on, whole or not at all; a weight file too. */
FLOWSMITH_API flowsmith_status flowsmith_trainer_checkpoint(const flowsmith_trainer* trainer, const char* path);
FLOWSMITH_API flowsmith_status flowsmith_trainer_resume(flowsmith_trainer* trainer, const char* path);

#ifdef __cplusplus
}
#endif

#endif
