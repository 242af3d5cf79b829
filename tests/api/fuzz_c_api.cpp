// A fuzz target for the arguments of the C functions: bytes choose a function and what it is given, NULL, absurd sizes and
// garbage included. What is given is always something that a caller may give, so nothing may be read or written beside the
// buffers, nothing may leave as an exception, and a status must come back. The tests feed it random bytes
// (test_fuzz_c_api.cpp), tests/fuzz_c_api.sh libFuzzer's.
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "flowsmith/flowsmith.h"
#include "tests/api/small_flows.h"

namespace flowsmith {
namespace {

/// Takes decisions out of bytes; 0 behind their end.
class Choices {
 public:
  Choices(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}

  std::uint8_t byte() {
    if (left_ == 0) return 0;
    --left_;
    return *data_++;
  }
  template <class T>
  T one_of(std::initializer_list<T> list) {
    return list.begin()[byte() % list.size()];
  }
  template <class T>
  T bits() {
    unsigned char bytes[sizeof(T)];
    for (unsigned char& b : bytes) b = byte();
    T value;
    std::memcpy(&value, bytes, sizeof value);
    return value;
  }
  std::string text() {
    std::string text(byte() % 64, '\0');
    for (char& c : text) c = char(byte());
    return text;
  }
  bool any() const { return left_ > 0; }

 private:
  const std::uint8_t* data_;
  std::size_t left_;
};

constexpr std::size_t kRoom = 4096;  // more than any call that is not refused reaches: 7 examples, 100 apart

/// Flows and trainers that live as long as the process, as libFuzzer calls it a million times.
struct World {
  flowsmith_flow *rows = nullptr, *images = nullptr;
  flowsmith_trainer* trainer = nullptr;
  std::vector<double> points = api_testing::some_rows(8);

  World() {
    flowsmith_training_options options = FLOWSMITH_TRAINING_OPTIONS;
    options.batch_size = 4;
    flowsmith_context one_thread = FLOWSMITH_CONTEXT;
    one_thread.threads = 1;
    const std::string row = api_testing::row_config(), image = api_testing::image_config();
    if (flowsmith_from_config(row.c_str(), 1, &one_thread, &rows) != FLOWSMITH_OK ||
        flowsmith_from_config(image.c_str(), 1, &one_thread, &images) != FLOWSMITH_OK ||
        flowsmith_train_rows(row.c_str(), points.data(), 8, &options, &one_thread, &trainer) != FLOWSMITH_OK) {
      std::abort();
    }
  }
};

/// One call; whether its status is one that the header names.
bool call(Choices& choose, World& world) {
  // The buffers are on the heap, where AddressSanitizer sees their ends.
  std::vector<double> in(kRoom), out(kRoom), more(kRoom);
  std::vector<std::uint8_t> bytes(kRoom), bytes_out(kRoom);
  for (std::size_t i = 0; i < 32; ++i) in[i] = choose.byte() % 4 == 0 ? choose.bits<double>() : choose.byte() / 64.0 - 2;
  for (std::size_t i = 0; i < 64; ++i) bytes[i] = choose.byte();

  const flowsmith_flow* const flow = choose.one_of<const flowsmith_flow*>({nullptr, world.rows, world.images});
  flowsmith_trainer* const trainer = choose.one_of<flowsmith_trainer*>({nullptr, world.trainer});
  const auto maybe = [&](auto* pointer) { return choose.byte() % 8 == 0 ? nullptr : pointer; };
  const std::size_t count = choose.one_of<std::size_t>({0, 1, 2, 3, 7, SIZE_MAX, std::size_t{1} << 40, SIZE_MAX / 2});
  const auto stride = [&] { return choose.one_of<std::size_t>({0, 1, 2, 5, 63, 64, 65, 100, SIZE_MAX, SIZE_MAX / 8}); };
  const auto size = [&](std::size_t right) {
    return choose.one_of<std::size_t>({right, right, 0, 1, sizeof(std::size_t), right / 2});
  };

  flowsmith_score_options score = FLOWSMITH_SCORE_OPTIONS;
  score.size = size(sizeof score);
  score.seed = choose.bits<std::uint64_t>();
  score.first = choose.bits<std::uint32_t>();
  score.samples = choose.one_of<std::int32_t>({1, 2, 0, -1, INT32_MIN});
  flowsmith_sample_options sample = FLOWSMITH_SAMPLE_OPTIONS;
  sample.size = size(sizeof sample);
  sample.first = choose.bits<std::uint32_t>();
  sample.temperature = choose.byte() % 2 == 0 ? choose.bits<double>() : 1.0;
  const std::string text = choose.text();
  flowsmith_context context = FLOWSMITH_CONTEXT;
  context.size = size(sizeof context);
  context.device = maybe(text.c_str());
  context.threads = choose.one_of<std::int32_t>({1, 0, -1, INT32_MAX});
  flowsmith_flow* made = nullptr;
  flowsmith_trainer* made_trainer = nullptr;
  const flowsmith_flow* view = nullptr;
  flowsmith_info info;
  flowsmith_latent_info latent;
  flowsmith_progress progress;
  std::size_t length = 0;
  char line[40];
  const std::size_t capacity = choose.one_of<std::size_t>({0, 1, 2, sizeof line});

  flowsmith_status status = FLOWSMITH_OK;
  switch (choose.byte() % 20) {
    case 0:
      status = flowsmith_log_prob_images(flow, maybe(bytes.data()), count, stride(), maybe(&score), maybe(out.data()));
      break;
    case 1:
      status = flowsmith_log_prob_rows(flow, maybe(in.data()), count, stride(), maybe(out.data()));
      break;
    case 2:
      status = flowsmith_encode_images(flow, maybe(bytes.data()), count, stride(), maybe(&score), maybe(out.data()),
                                       stride());
      break;
    case 3:
      status = flowsmith_encode_rows(flow, maybe(in.data()), count, stride(), maybe(out.data()), stride());
      break;
    case 4:
      status = flowsmith_decode_images(flow, maybe(in.data()), count, stride(), maybe(bytes_out.data()), stride());
      break;
    case 5:
      status = flowsmith_decode_rows(flow, maybe(in.data()), count, stride(), maybe(out.data()), stride());
      break;
    case 6:
      status = flowsmith_sample_images(flow, count, maybe(&sample), maybe(bytes_out.data()), stride());
      break;
    case 7:
      status = flowsmith_sample_rows(flow, count, maybe(&sample), maybe(out.data()), stride());
      break;
    case 8:
      status = flowsmith_transform(flow, choose.byte() % 3 - 1, maybe(in.data()), count, stride(), maybe(out.data()),
                                   stride(), maybe(more.data()));
      break;
    case 9:
      status = flowsmith_get_info(flow, maybe(&info));
      break;
    case 10:
      status = flowsmith_get_latent_info(flow, count, maybe(&latent));
      break;
    case 11:
      status = flowsmith_get_config(flow, maybe(line), capacity, maybe(&length));
      break;
    case 12:
      status = flowsmith_get_summary(flow, maybe(line), capacity, maybe(&length));
      break;
    case 13:
      status = flowsmith_from_config(maybe(text.c_str()), 1, maybe(&context), maybe(&made));
      break;
    case 14:
      status = flowsmith_load(maybe(text.c_str()), maybe(&context), maybe(&made));
      break;
    case 15:
      status = flowsmith_train_rows(maybe(text.c_str()), maybe(in.data()), count, nullptr, maybe(&context),
                                    maybe(&made_trainer));
      break;
    case 16:
      status = flowsmith_trainer_step(trainer, maybe(&out[0]), maybe(&out[1]));
      break;
    case 17:
      status = flowsmith_trainer_progress(trainer, maybe(&progress));
      break;
    case 18:
      status = flowsmith_trainer_flow(trainer, maybe(&view));
      break;
    case 19:
      status = flowsmith_trainer_resume(trainer, maybe(text.c_str()));
      break;
  }
  flowsmith_free(made);
  flowsmith_trainer_free(made_trainer);
  const bool said = status == FLOWSMITH_OK || std::strlen(flowsmith_last_error()) > 0;
  return said && status >= FLOWSMITH_OK && status < FLOWSMITH_INTERNAL;
}

}  // namespace
}  // namespace flowsmith

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static flowsmith::World world;
  flowsmith::Choices choose(data, size);
  while (choose.any()) {
    if (!flowsmith::call(choose, world)) std::abort();
  }
  return 0;
}
