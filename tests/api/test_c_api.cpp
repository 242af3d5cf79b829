// The C functions: the numbers of the C++ classes, strides, and every argument that may be NULL or absurd.
#include <cstring>
#include <thread>

#include "flowsmith/flowsmith.h"
#include "tests/api/api_testing.h"

namespace flowsmith {
namespace {

using namespace api_testing;
using Catch::Contains;

/// A flow as C has it, with the weights of the C++ one.
struct Both {
  explicit Both(Flow made) : flow(std::move(made)) {
    flow.save(dir.file("w"));
    REQUIRE(flowsmith_load(dir.file("w").c_str(), nullptr, &c) == FLOWSMITH_OK);
  }
  ~Both() { flowsmith_free(c); }

  core::TempDir dir;
  Flow flow;
  flowsmith_flow* c = nullptr;
};

TEST_CASE("C gives the numbers of C++", "[c]") {
  const Both images(image_flow()), rows(row_flow(3));
  const std::vector<std::uint8_t> pixels = some_images(5);
  std::vector<double> nats(5), want;
  flowsmith_score_options score = FLOWSMITH_SCORE_OPTIONS;
  score.samples = 3;
  score.first = 2;
  CHECK(flowsmith_log_prob_images(images.c, pixels.data(), 5, 0, &score, nats.data()) == FLOWSMITH_OK);
  CHECK(nats == images.flow.log_prob(pixels, {.samples = 3, .first = 2}));
  CHECK(flowsmith_log_prob_images(images.c, pixels.data(), 5, 64, nullptr, nats.data()) == FLOWSMITH_OK);
  CHECK(nats == images.flow.log_prob(pixels));
  const std::vector<double> table = some_rows(5, 3);
  CHECK(flowsmith_log_prob_rows(rows.c, table.data(), 5, 0, nats.data()) == FLOWSMITH_OK);
  CHECK(nats == rows.flow.log_prob(table));

  std::vector<double> latents(5 * 64), back(15);
  std::vector<std::uint8_t> again(5 * 64);
  CHECK(flowsmith_encode_images(images.c, pixels.data(), 5, 0, nullptr, latents.data(), 0) == FLOWSMITH_OK);
  flowsmith_latent_info info;
  REQUIRE(flowsmith_get_latent_info(images.c, 1, &info) == FLOWSMITH_OK);
  CHECK(std::string(info.name) == "z.final");
  const Latent last = images.flow.encode(pixels)[1];
  CHECK(latents[64 + info.begin] == last.values[last.shape.size()]);
  CHECK(flowsmith_decode_images(images.c, latents.data(), 5, 0, again.data(), 0) == FLOWSMITH_OK);
  CHECK(again == pixels);
  CHECK(flowsmith_encode_rows(rows.c, table.data(), 5, 0, latents.data(), 0) == FLOWSMITH_OK);
  CHECK(flowsmith_decode_rows(rows.c, latents.data(), 5, 0, back.data(), 0) == FLOWSMITH_OK);
  CHECK(back == rows.flow.decode_rows(rows.flow.encode(table)));

  flowsmith_sample_options sample = FLOWSMITH_SAMPLE_OPTIONS;
  sample.seed = 8;
  sample.temperature = 0.5;
  CHECK(flowsmith_sample_images(images.c, 5, &sample, again.data(), 0) == FLOWSMITH_OK);
  CHECK(again == images.flow.sample_images({.count = 5, .temperature = 0.5, .seed = 8}));
  CHECK(flowsmith_sample_rows(rows.c, 5, nullptr, back.data(), 0) == FLOWSMITH_OK);
  CHECK(back == rows.flow.sample_rows({.count = 5}));

  std::vector<double> logdet(5);
  for (const bool inverse : {false, true}) {
    CHECK(flowsmith_transform(rows.c, inverse, table.data(), 5, 0, back.data(), 0, logdet.data()) == FLOWSMITH_OK);
    const Transformed found = inverse ? rows.flow.inverse_transform(table) : rows.flow.transform(table);
    CHECK(back == found.values);
    CHECK(logdet == found.logdet);
  }
}

TEST_CASE("examples may lie apart", "[c]") {
  const Both rows(row_flow(3));
  const std::vector<double> table = some_rows(4, 3);
  std::vector<double> wide(4 * 7, NAN), nats(4), out(4 * 5, -1.0);
  for (std::size_t i = 0; i < 4; ++i) std::copy_n(&table[3 * i], 3, &wide[7 * i]);
  CHECK(flowsmith_log_prob_rows(rows.c, wide.data(), 4, 7, nats.data()) == FLOWSMITH_OK);
  CHECK(nats == rows.flow.log_prob(table));
  CHECK(flowsmith_transform(rows.c, 0, wide.data(), 4, 7, out.data(), 5, nullptr) == FLOWSMITH_OK);
  const std::vector<double> z = rows.flow.transform(table).values;
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(std::equal(&out[5 * i], &out[5 * i + 3], &z[3 * i]));
    CHECK((out[5 * i + 3] == -1 && out[5 * i + 4] == -1));  // what lies between is not touched
  }
  CHECK(flowsmith_transform(rows.c, 0, wide.data(), 4, 7, out.data(), 2, nullptr) == FLOWSMITH_INVALID_INPUT);
}

TEST_CASE("C trains, saves and goes on", "[c]") {
  const core::TempDir dir;
  const std::vector<double> rows = some_rows(20);
  flowsmith_training_options options = FLOWSMITH_TRAINING_OPTIONS;
  options.batch_size = 8;
  options.epochs = 2;
  options.lr = 0.01;
  flowsmith_trainer *one = nullptr, *two = nullptr;
  const std::string config = row_config();
  REQUIRE(flowsmith_train_rows(config.c_str(), rows.data(), 20, &options, nullptr, &one) == FLOWSMITH_OK);
  REQUIRE(flowsmith_train_rows(config.c_str(), rows.data(), 20, &options, nullptr, &two) == FLOWSMITH_OK);
  Trainer want(config, rows, {.epochs = 2, .batch_size = 8, .lr = 0.01});
  double loss = 0, norm = 0;
  for (int i = 0; i < 2; ++i) {
    REQUIRE(flowsmith_trainer_step(one, &loss, &norm) == FLOWSMITH_OK);
    const StepResult result = want.step();
    CHECK(loss == result.loss);
    CHECK(norm == result.gradient_norm);
  }
  CHECK(flowsmith_trainer_checkpoint(one, dir.file("c").c_str()) == FLOWSMITH_OK);
  CHECK(flowsmith_trainer_resume(two, dir.file("c").c_str()) == FLOWSMITH_OK);
  flowsmith_progress progress;
  CHECK(flowsmith_trainer_progress(two, &progress) == FLOWSMITH_OK);
  CHECK(progress.steps_done == 2);
  CHECK(progress.total_steps == 4);
  CHECK(progress.steps_per_epoch == 2);
  CHECK(progress.learning_rate == want.learning_rate());
  const flowsmith_flow* flow = nullptr;
  REQUIRE(flowsmith_trainer_flow(two, &flow) == FLOWSMITH_OK);
  std::vector<double> nats(20);
  CHECK(flowsmith_log_prob_rows(flow, rows.data(), 20, 0, nats.data()) == FLOWSMITH_OK);
  CHECK(nats == want.flow().log_prob(rows));
  flowsmith_free(const_cast<flowsmith_flow*>(flow));  // a trainer's: nothing happens
  CHECK(flowsmith_save(flow, dir.file("w").c_str()) == FLOWSMITH_OK);
  CHECK(Flow::load(dir.file("w")).log_prob(rows) == nats);
  flowsmith_trainer_free(one);
  flowsmith_trainer_free(two);

  const std::vector<std::uint8_t> pixels = some_images(10);
  flowsmith_trainer* images = nullptr;
  REQUIRE(flowsmith_train_images(image_config().c_str(), pixels.data(), 10, &options, nullptr, &images) ==
          FLOWSMITH_OK);
  CHECK(flowsmith_trainer_step(images, nullptr, nullptr) == FLOWSMITH_OK);
  flowsmith_trainer_free(images);
}

TEST_CASE("C says what a flow is", "[c]") {
  const Both both(image_flow());
  flowsmith_info info;
  REQUIRE(flowsmith_get_info(both.c, &info) == FLOWSMITH_OK);
  CHECK(info.dims == 64);
  CHECK(info.height == 8);
  CHECK(info.takes_images == 1);
  CHECK(info.latent_count == 2);
  CHECK(info.parameter_count == both.flow.parameter_count());
  std::size_t length = 0;
  CHECK(flowsmith_get_config(both.c, nullptr, 0, &length) == FLOWSMITH_OK);
  CHECK(length == both.flow.config().size());
  std::vector<char> text(length + 1, 'x');
  CHECK(flowsmith_get_config(both.c, text.data(), text.size(), nullptr) == FLOWSMITH_OK);
  CHECK(both.flow.config() == text.data());
  CHECK(flowsmith_get_summary(both.c, text.data(), 5, &length) == FLOWSMITH_OK);
  CHECK(std::string(text.data()) == "flow");
  CHECK(flowsmith_abi_version() == FLOWSMITH_ABI_VERSION);
  CHECK(std::string(flowsmith_version()) == library_version());
}

TEST_CASE("NULL where a thing is needed is refused in a line", "[c]") {
  const Both both(row_flow(2)), images(image_flow());
  flowsmith_flow* flow = nullptr;
  flowsmith_trainer* trainer = nullptr;
  const flowsmith_flow* view = nullptr;
  flowsmith_latent_info latent;
  flowsmith_info info;
  flowsmith_progress progress;
  std::vector<double> x(4), y(4);
  std::vector<std::uint8_t> pixels(128);
  double* const none = nullptr;
  std::uint8_t* const no_pixels = nullptr;
  const auto refused = [](flowsmith_status status) {
    CHECK(status == FLOWSMITH_INVALID_INPUT);
    CHECK(std::strlen(flowsmith_last_error()) > 10);
    CHECK(std::strchr(flowsmith_last_error(), '\n') == nullptr);
  };
  refused(flowsmith_load(nullptr, nullptr, &flow));
  refused(flowsmith_load("w", nullptr, nullptr));
  refused(flowsmith_from_config(nullptr, 1, nullptr, &flow));
  refused(flowsmith_from_config("moons", 1, nullptr, nullptr));
  refused(flowsmith_save(nullptr, "w"));
  refused(flowsmith_save(both.c, nullptr));
  refused(flowsmith_get_info(nullptr, &info));
  refused(flowsmith_get_info(both.c, nullptr));
  refused(flowsmith_get_latent_info(nullptr, 0, &latent));
  refused(flowsmith_get_latent_info(both.c, 0, nullptr));
  refused(flowsmith_get_latent_info(both.c, 1, &latent));
  refused(flowsmith_get_config(nullptr, nullptr, 0, nullptr));
  refused(flowsmith_get_config(both.c, nullptr, 10, nullptr));
  refused(flowsmith_get_summary(nullptr, nullptr, 0, nullptr));
  refused(flowsmith_log_prob_images(nullptr, pixels.data(), 1, 0, nullptr, y.data()));
  refused(flowsmith_log_prob_images(images.c, nullptr, 1, 0, nullptr, y.data()));
  refused(flowsmith_log_prob_images(images.c, pixels.data(), 1, 0, nullptr, nullptr));
  refused(flowsmith_log_prob_rows(nullptr, x.data(), 1, 0, y.data()));
  refused(flowsmith_log_prob_rows(both.c, nullptr, 1, 0, y.data()));
  refused(flowsmith_log_prob_rows(both.c, x.data(), 1, 0, nullptr));
  refused(flowsmith_log_prob_rows(images.c, x.data(), 0, 0, y.data()));
  refused(flowsmith_encode_images(nullptr, pixels.data(), 1, 0, nullptr, y.data(), 0));
  refused(flowsmith_encode_images(images.c, nullptr, 1, 0, nullptr, y.data(), 0));
  refused(flowsmith_encode_images(images.c, pixels.data(), 1, 0, nullptr, nullptr, 0));
  refused(flowsmith_encode_rows(nullptr, x.data(), 1, 0, y.data(), 0));
  refused(flowsmith_encode_rows(both.c, none, 1, 0, y.data(), 0));
  refused(flowsmith_encode_rows(both.c, x.data(), 1, 0, none, 0));
  refused(flowsmith_decode_images(nullptr, x.data(), 1, 0, pixels.data(), 0));
  refused(flowsmith_decode_images(images.c, none, 1, 0, pixels.data(), 0));
  refused(flowsmith_decode_images(images.c, x.data(), 1, 0, no_pixels, 0));
  refused(flowsmith_decode_rows(nullptr, x.data(), 1, 0, y.data(), 0));
  refused(flowsmith_decode_rows(both.c, none, 1, 0, y.data(), 0));
  refused(flowsmith_decode_rows(both.c, x.data(), 1, 0, none, 0));
  refused(flowsmith_sample_images(nullptr, 1, nullptr, pixels.data(), 0));
  refused(flowsmith_sample_images(images.c, 1, nullptr, no_pixels, 0));
  refused(flowsmith_sample_rows(nullptr, 1, nullptr, y.data(), 0));
  refused(flowsmith_sample_rows(both.c, 1, nullptr, none, 0));
  refused(flowsmith_transform(nullptr, 0, x.data(), 1, 0, y.data(), 0, nullptr));
  refused(flowsmith_transform(both.c, 0, none, 1, 0, y.data(), 0, nullptr));
  refused(flowsmith_transform(both.c, 0, x.data(), 1, 0, none, 0, nullptr));
  refused(flowsmith_train_rows(nullptr, x.data(), 2, nullptr, nullptr, &trainer));
  refused(flowsmith_train_rows("moons", none, 2, nullptr, nullptr, &trainer));
  refused(flowsmith_train_rows("moons", x.data(), 2, nullptr, nullptr, nullptr));
  refused(flowsmith_train_images("simple", no_pixels, 2, nullptr, nullptr, &trainer));
  refused(flowsmith_trainer_step(nullptr, nullptr, nullptr));
  refused(flowsmith_trainer_progress(nullptr, &progress));
  refused(flowsmith_trainer_flow(nullptr, &view));
  refused(flowsmith_trainer_checkpoint(nullptr, "c"));
  refused(flowsmith_trainer_resume(nullptr, "c"));
  flowsmith_free(nullptr);
  flowsmith_trainer_free(nullptr);
  CHECK((flow == nullptr && trainer == nullptr && view == nullptr));
  // Nothing is needed of nothing.
  CHECK(flowsmith_log_prob_rows(both.c, nullptr, 0, 0, nullptr) == FLOWSMITH_OK);
  CHECK(flowsmith_sample_rows(both.c, 0, nullptr, none, 0) == FLOWSMITH_OK);
}

TEST_CASE("absurd numbers are refused before memory is touched", "[c]") {
  const Both both(row_flow(2));
  double x[4] = {}, y[4] = {};
  CHECK(flowsmith_log_prob_rows(both.c, x, SIZE_MAX, 0, y) == FLOWSMITH_INVALID_INPUT);
  CHECK(flowsmith_log_prob_rows(both.c, x, 2, SIZE_MAX, y) == FLOWSMITH_INVALID_INPUT);
  CHECK(flowsmith_sample_rows(both.c, std::size_t{1} << 40, nullptr, y, 0) == FLOWSMITH_INVALID_INPUT);
  CHECK(flowsmith_transform(both.c, 1, x, 2, SIZE_MAX / 8, y, 0, nullptr) == FLOWSMITH_INVALID_INPUT);
  flowsmith_score_options score = {};  // its size is 0
  std::uint8_t pixel = 0;
  CHECK(flowsmith_log_prob_images(both.c, &pixel, 1, 0, &score, y) == FLOWSMITH_INVALID_INPUT);
  CHECK_THAT(flowsmith_last_error(), Contains("size"));
  // A caller of an earlier version, whose structure ends behind the seed.
  score = FLOWSMITH_SCORE_OPTIONS;
  score.size = offsetof(flowsmith_score_options, first);
  score.samples = -5;
  const Both images(image_flow());
  const std::vector<std::uint8_t> pixels = some_images(1);
  CHECK(flowsmith_log_prob_images(images.c, pixels.data(), 1, 0, &score, y) == FLOWSMITH_OK);
  CHECK(y[0] == images.flow.log_prob(pixels)[0]);
}

TEST_CASE("the line of an error belongs to its thread", "[c]") {
  flowsmith_flow* flow = nullptr;
  CHECK(flowsmith_load("/nowhere/one", nullptr, &flow) == FLOWSMITH_FILE);
  std::thread([&] {
    CHECK(std::string(flowsmith_last_error()).empty());
    flowsmith_flow* other = nullptr;
    CHECK(flowsmith_from_config("no such model", 0, nullptr, &other) == FLOWSMITH_INVALID_INPUT);
    CHECK_THAT(flowsmith_last_error(), Contains("no such model"));
  }).join();
  CHECK_THAT(flowsmith_last_error(), Contains("/nowhere/one"));
}

}  // namespace
}  // namespace flowsmith
