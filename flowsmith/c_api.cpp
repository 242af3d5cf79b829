// The C functions over the C++ classes: handles, strides, and exceptions turned into a status and a line for people.
#include <algorithm>
#include <climits>
#include <cstring>
#include <new>
#include <optional>

#include "flowsmith/flowsmith.h"
#include "flowsmith/trainer.h"

/// A flow of its own, or that of a trainer.
struct flowsmith_flow {
  std::optional<flowsmith::Flow> own;
  const flowsmith::Flow* flow = nullptr;
};

struct flowsmith_trainer {
  flowsmith::Trainer trainer;
  flowsmith_flow view;
};

namespace {

using flowsmith::Error, flowsmith::ErrorCode, flowsmith::Flow, flowsmith::Trainer;

/// The last line of a thread. It has a fixed size, so that saying that memory is short takes none.
thread_local char last_error[1024] = "";

flowsmith_status fail(flowsmith_status status, const char* message) {
  std::strncpy(last_error, message, sizeof last_error - 1);
  return status;
}

/// Runs body(); what it throws becomes the status.
template <class Body>
flowsmith_status run(Body&& body) noexcept {
  try {
    body();
    return FLOWSMITH_OK;
  } catch (const Error& error) {
    return fail(flowsmith_status(error.code()), error.what());
  } catch (const std::bad_alloc&) {
    return fail(FLOWSMITH_OUT_OF_MEMORY, "out of memory: give fewer examples at a time");
  } catch (const std::exception& error) {
    return fail(FLOWSMITH_INTERNAL, error.what());
  } catch (...) {
    return fail(FLOWSMITH_INTERNAL, "fault in flowsmith: an unknown exception");
  }
}

template <class T>
T& required(T* pointer, const char* name) {
  if (pointer == nullptr) throw Error(std::string(name) + " is NULL: give one");
  return *pointer;
}

/// Where a handle goes, which is NULL until there is one.
template <class Handle>
Handle*& place_for(Handle** handle, const char* name) {
  Handle*& place = required(handle, name);
  place = nullptr;
  return place;
}

const Flow& flow_of(const flowsmith_flow* flow) { return *required(flow, "flow").flow; }

/// The caller's options, with defaults for what its version of the structure does not have.
template <class Options>
Options filled(const Options* given, Options options) {
  if (given == nullptr) return options;
  if (given->size < sizeof(given->size)) throw Error("the size of the options is not set: begin with their macro");
  std::memcpy(&options, given, std::min(given->size, sizeof options));
  return options;
}

flowsmith::Context context_of(const flowsmith_context* given) {
  const flowsmith_context all = filled(given, FLOWSMITH_CONTEXT);
  flowsmith::Context context;
  if (all.device != nullptr) context.device = all.device;
  if (all.precision != nullptr) context.precision = all.precision;
  context.threads = all.threads;
  return context;
}

flowsmith::TrainingOptions training_of(const flowsmith_training_options* given) {
  const flowsmith_training_options all = filled(given, FLOWSMITH_TRAINING_OPTIONS);
  flowsmith::TrainingOptions options;
  if (all.epochs != 0) options.epochs = all.epochs;
  if (all.batch_size != 0) options.batch_size = all.batch_size;
  if (all.lr != 0) options.lr = all.lr;
  if (all.lr_decay != 0) options.lr_decay = all.lr_decay;
  if (!(all.clip_norm < 0)) options.clip_norm = all.clip_norm;
  options.seed = all.seed;
  options.recompute = all.recompute != 0;
  return options;
}

/// The elements from the first example to the end of the last one. Throws Error unless they can be counted.
std::size_t extent(std::size_t count, std::size_t dims, std::size_t& stride) {
  if (stride == 0) stride = dims;
  if (count > INT_MAX) throw Error("there are at most " + std::to_string(INT_MAX) + " examples in a call");
  if (count == 0) return 0;
  if (count > 1 && stride > (SIZE_MAX / sizeof(double) - dims) / (count - 1)) {
    throw Error("the stride is too large for so many examples");
  }
  return (count - 1) * stride + dims;
}

/// Examples of the caller, one behind the other: as they lie, or a copy.
template <class T>
class Examples {
 public:
  Examples(const T* data, std::size_t count, std::size_t dims, std::size_t stride, const char* name) {
    extent(count, dims, stride);
    if (count == 0) return;
    required(data, name);
    if (stride != dims && count > 1) {
      copy_.resize(count * dims);
      for (std::size_t i = 0; i < count; ++i) std::copy_n(data + i * stride, dims, &copy_[i * dims]);
      data = copy_.data();
    }
    all_ = {data, count * dims};
  }

  std::span<const T> all() const { return all_; }

 private:
  std::vector<T> copy_;
  std::span<const T> all_;
};

/// Where the caller wants examples.
template <class T>
class Place {
 public:
  Place(T* data, std::size_t count, std::size_t dims, std::size_t stride, const char* name)
      : data_(data), count_(count), dims_(dims), stride_(stride) {
    extent(count, dims, stride_);
    if (count == 0) return;
    required(data, name);
    if (stride_ < dims) throw Error(std::string("the stride of ") + name + " is smaller than an example");
  }

  void write(std::span<const T> values) const {
    for (std::size_t i = 0; i < count_; ++i) std::copy_n(&values[i * dims_], dims_, data_ + i * stride_);
  }
  T* example(std::size_t i) const { return data_ + i * stride_; }

 private:
  T* data_;
  std::size_t count_, dims_, stride_;
};

template <class T>
void log_prob(const Flow& flow, const T* data, std::size_t count, std::size_t stride,
              const flowsmith::ScoreOptions& options, double* out) {
  const Examples<T> examples(data, count, flow.dims(), stride, "the array of examples");
  if (count > 0) required(out, "log_prob");
  const std::vector<double> nats = flow.log_prob(examples.all(), options);
  std::copy(nats.begin(), nats.end(), out);
}

/// The latents of each example one after the other.
void write_latents(const std::vector<flowsmith::Latent>& latents, std::size_t count, const Place<double>& place) {
  for (std::size_t i = 0; i < count; ++i) {
    double* to = place.example(i);
    for (const flowsmith::Latent& one : latents) {
      to = std::copy_n(&one.values[i * one.shape.size()], one.shape.size(), to);
    }
  }
}

std::vector<flowsmith::Latent> read_latents(const Flow& flow, std::span<const double> rows, std::size_t count) {
  std::vector<flowsmith::Latent> latents;
  std::size_t begin = 0;
  for (const flowsmith::LatentInfo& info : flow.latents()) {
    flowsmith::Latent one{info.name, info.shape, {}};
    one.values.reserve(count * info.shape.size());
    for (std::size_t i = 0; i < count; ++i) {
      const auto from = rows.begin() + std::ptrdiff_t(i * flow.dims() + begin);
      one.values.insert(one.values.end(), from, from + std::ptrdiff_t(info.shape.size()));
    }
    begin += info.shape.size();
    latents.push_back(std::move(one));
  }
  return latents;
}

flowsmith::SampleOptions sample_options(const flowsmith_sample_options* given, std::size_t count) {
  const flowsmith_sample_options all = filled(given, FLOWSMITH_SAMPLE_OPTIONS);
  flowsmith::SampleOptions options;
  options.count = int(count);
  options.temperature = all.temperature;
  options.seed = all.seed;
  options.first = all.first;
  return options;
}

void write_text(const std::string& text, char* out, std::size_t capacity, std::size_t* length) {
  if (length != nullptr) *length = text.size();
  if (capacity == 0) return;
  required(out, "text");
  const std::size_t n = std::min(text.size(), capacity - 1);
  std::copy_n(text.data(), n, out);
  out[n] = '\0';
}

template <class T>
flowsmith_status train(const char* config, const T* data, std::size_t count, const flowsmith_training_options* options,
                       const flowsmith_context* context, flowsmith_trainer** trainer) {
  return run([&] {
    flowsmith_trainer*& place = place_for(trainer, "trainer");
    const std::string text = &required(config, "config");
    const flowsmith::Shape shape = flowsmith::config_shape(text);
    const Examples<T> examples(data, count, shape.size(), 0, "the array of examples");
    auto made = std::make_unique<flowsmith_trainer>(
        Trainer(text, examples.all(), training_of(options), context_of(context)), flowsmith_flow{});
    made->view.flow = &made->trainer.flow();
    place = made.release();
  });
}

flowsmith_status keep(flowsmith_flow** flow, auto&& make) {
  return run([&] {
    flowsmith_flow*& place = place_for(flow, "flow");
    auto made = std::make_unique<flowsmith_flow>();
    made->own.emplace(make());
    made->flow = &*made->own;
    place = made.release();
  });
}

}  // namespace

int32_t flowsmith_abi_version(void) { return FLOWSMITH_ABI_VERSION; }

const char* flowsmith_version(void) {
  static const std::string version = flowsmith::library_version();
  return version.c_str();
}

const char* flowsmith_last_error(void) { return last_error; }

flowsmith_status flowsmith_load(const char* path, const flowsmith_context* context, flowsmith_flow** flow) {
  return keep(flow, [&] { return Flow::load(&required(path, "path"), context_of(context)); });
}

flowsmith_status flowsmith_from_config(const char* config, uint64_t seed, const flowsmith_context* context,
                                       flowsmith_flow** flow) {
  return keep(flow, [&] { return Flow::from_config(&required(config, "config"), seed, context_of(context)); });
}

void flowsmith_free(flowsmith_flow* flow) {
  // A trainer's flow goes with the trainer.
  if (flow != nullptr && flow->own) delete flow;
}

flowsmith_status flowsmith_save(const flowsmith_flow* flow, const char* path) {
  return run([&] { flow_of(flow).save(&required(path, "path")); });
}

flowsmith_status flowsmith_get_info(const flowsmith_flow* flow, flowsmith_info* info) {
  return run([&] {
    const Flow& of = flow_of(flow);
    const flowsmith::Shape shape = of.shape();
    required(info, "info") = {of.dims(),   of.parameter_count(), of.latents().size(),      shape.height,
                              shape.width, shape.channels,       of.takes_images() ? 1 : 0};
  });
}

flowsmith_status flowsmith_get_latent_info(const flowsmith_flow* flow, size_t index, flowsmith_latent_info* info) {
  return run([&] {
    const std::vector<flowsmith::LatentInfo> all = flow_of(flow).latents();
    flowsmith_latent_info& out = required(info, "info");
    if (index >= all.size()) {
      throw Error("there is no latent " + std::to_string(index) + ": the flow has " + std::to_string(all.size()));
    }
    out = {};
    for (std::size_t k = 0; k < index; ++k) out.begin += all[k].shape.size();
    std::strncpy(out.name, all[index].name.c_str(), sizeof out.name - 1);
    out.height = all[index].shape.height;
    out.width = all[index].shape.width;
    out.channels = all[index].shape.channels;
  });
}

flowsmith_status flowsmith_get_config(const flowsmith_flow* flow, char* text, size_t capacity, size_t* length) {
  return run([&] { write_text(flow_of(flow).config(), text, capacity, length); });
}

flowsmith_status flowsmith_get_summary(const flowsmith_flow* flow, char* text, size_t capacity, size_t* length) {
  return run([&] { write_text(flow_of(flow).summary(), text, capacity, length); });
}

flowsmith_status flowsmith_log_prob_images(const flowsmith_flow* flow, const uint8_t* images, size_t count,
                                           size_t stride, const flowsmith_score_options* options, double* out) {
  return run([&] {
    const flowsmith_score_options all = filled(options, FLOWSMITH_SCORE_OPTIONS);
    log_prob(flow_of(flow), images, count, stride, {all.samples, all.seed, all.first}, out);
  });
}

flowsmith_status flowsmith_log_prob_rows(const flowsmith_flow* flow, const double* rows, size_t count, size_t stride,
                                         double* out) {
  return run([&] { log_prob(flow_of(flow), rows, count, stride, {}, out); });
}

flowsmith_status flowsmith_encode_images(const flowsmith_flow* flow, const uint8_t* images, size_t count, size_t stride,
                                         const flowsmith_score_options* options, double* latents,
                                         size_t latent_stride) {
  return run([&] {
    const Flow& of = flow_of(flow);
    const Examples<std::uint8_t> examples(images, count, of.dims(), stride, "images");
    const Place<double> place(latents, count, of.dims(), latent_stride, "latents");
    const flowsmith_score_options all = filled(options, FLOWSMITH_SCORE_OPTIONS);
    write_latents(of.encode(examples.all(), {all.seed, all.first}), count, place);
  });
}

flowsmith_status flowsmith_encode_rows(const flowsmith_flow* flow, const double* rows, size_t count, size_t stride,
                                       double* latents, size_t latent_stride) {
  return run([&] {
    const Flow& of = flow_of(flow);
    const Examples<double> examples(rows, count, of.dims(), stride, "rows");
    const Place<double> place(latents, count, of.dims(), latent_stride, "latents");
    write_latents(of.encode(examples.all()), count, place);
  });
}

flowsmith_status flowsmith_decode_images(const flowsmith_flow* flow, const double* latents, size_t count,
                                         size_t latent_stride, uint8_t* images, size_t stride) {
  return run([&] {
    const Flow& of = flow_of(flow);
    const Examples<double> examples(latents, count, of.dims(), latent_stride, "latents");
    const Place<std::uint8_t> place(images, count, of.dims(), stride, "images");
    place.write(of.decode_images(read_latents(of, examples.all(), count)));
  });
}

flowsmith_status flowsmith_decode_rows(const flowsmith_flow* flow, const double* latents, size_t count,
                                       size_t latent_stride, double* rows, size_t stride) {
  return run([&] {
    const Flow& of = flow_of(flow);
    const Examples<double> examples(latents, count, of.dims(), latent_stride, "latents");
    const Place<double> place(rows, count, of.dims(), stride, "rows");
    place.write(of.decode_rows(read_latents(of, examples.all(), count)));
  });
}

flowsmith_status flowsmith_sample_images(const flowsmith_flow* flow, size_t count,
                                         const flowsmith_sample_options* options, uint8_t* images, size_t stride) {
  return run([&] {
    const Flow& of = flow_of(flow);
    const Place<std::uint8_t> place(images, count, of.dims(), stride, "images");
    place.write(of.sample_images(sample_options(options, count)));
  });
}

flowsmith_status flowsmith_sample_rows(const flowsmith_flow* flow, size_t count,
                                       const flowsmith_sample_options* options, double* rows, size_t stride) {
  return run([&] {
    const Flow& of = flow_of(flow);
    const Place<double> place(rows, count, of.dims(), stride, "rows");
    place.write(of.sample_rows(sample_options(options, count)));
  });
}

flowsmith_status flowsmith_transform(const flowsmith_flow* flow, int32_t inverse, const double* from, size_t count,
                                     size_t from_stride, double* to, size_t to_stride, double* logdet) {
  return run([&] {
    const Flow& of = flow_of(flow);
    const Examples<double> examples(from, count, of.dims(), from_stride, "from");
    const Place<double> place(to, count, of.dims(), to_stride, "to");
    const flowsmith::Transformed found =
        inverse != 0 ? of.inverse_transform(examples.all()) : of.transform(examples.all());
    place.write(found.values);
    if (logdet != nullptr) std::copy(found.logdet.begin(), found.logdet.end(), logdet);
  });
}

flowsmith_status flowsmith_train_images(const char* config, const uint8_t* images, size_t count,
                                        const flowsmith_training_options* options, const flowsmith_context* context,
                                        flowsmith_trainer** trainer) {
  return train(config, images, count, options, context, trainer);
}

flowsmith_status flowsmith_train_rows(const char* config, const double* rows, size_t count,
                                      const flowsmith_training_options* options, const flowsmith_context* context,
                                      flowsmith_trainer** trainer) {
  return train(config, rows, count, options, context, trainer);
}

void flowsmith_trainer_free(flowsmith_trainer* trainer) { delete trainer; }

flowsmith_status flowsmith_trainer_step(flowsmith_trainer* trainer, double* loss, double* gradient_norm) {
  return run([&] {
    const flowsmith::StepResult result = required(trainer, "trainer").trainer.step();
    if (loss != nullptr) *loss = result.loss;
    if (gradient_norm != nullptr) *gradient_norm = result.gradient_norm;
  });
}

flowsmith_status flowsmith_trainer_progress(const flowsmith_trainer* trainer, flowsmith_progress* progress) {
  return run([&] {
    const Trainer& of = required(trainer, "trainer").trainer;
    required(progress, "progress") = {of.steps_done(), of.total_steps(), of.learning_rate(), of.steps_per_epoch()};
  });
}

flowsmith_status flowsmith_trainer_flow(const flowsmith_trainer* trainer, const flowsmith_flow** flow) {
  return run([&] { place_for(flow, "flow") = &required(trainer, "trainer").view; });
}

flowsmith_status flowsmith_trainer_checkpoint(const flowsmith_trainer* trainer, const char* path) {
  return run([&] { required(trainer, "trainer").trainer.checkpoint(&required(path, "path")); });
}

flowsmith_status flowsmith_trainer_resume(flowsmith_trainer* trainer, const char* path) {
  return run([&] { required(trainer, "trainer").trainer.resume(&required(path, "path")); });
}
