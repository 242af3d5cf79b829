/* Trains a small flow of points and scores some, in C11. */
#include <flowsmith/flowsmith.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void check(flowsmith_status status) {
  if (status == FLOWSMITH_OK) return;
  fprintf(stderr, "from_c: %s\n", flowsmith_last_error());
  exit(2);
}

int main(void) {
  enum { kPoints = 512 };
  static double points[2 * kPoints];
  for (int i = 0; i < kPoints; ++i) { /* a spiral */
    const double angle = 0.02 * i;
    points[2 * i] = 0.1 * angle * cos(angle);
    points[2 * i + 1] = 0.1 * angle * sin(angle);
  }

  flowsmith_training_options options = FLOWSMITH_TRAINING_OPTIONS;
  options.batch_size = 64;
  options.epochs = 5;
  flowsmith_trainer* trainer = NULL;
  check(flowsmith_train_rows("moons", points, kPoints, &options, NULL, &trainer));
  flowsmith_progress progress;
  check(flowsmith_trainer_progress(trainer, &progress));
  double loss = 0;
  for (int64_t step = 0; step < progress.total_steps; ++step) check(flowsmith_trainer_step(trainer, &loss, NULL));
  printf("loss of the last step: %.3f nats\n", loss);

  const flowsmith_flow* flow = NULL;
  check(flowsmith_trainer_flow(trainer, &flow));
  double log_prob[3];
  check(flowsmith_log_prob_rows(flow, points, 3, 0, log_prob));
  printf("log p of the first points: %.3f %.3f %.3f\n", log_prob[0], log_prob[1], log_prob[2]);
  flowsmith_trainer_free(trainer);
  return 0;
}
