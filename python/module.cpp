// flowsmith._core: the public C++ API on contiguous NumPy arrays. What people call, with all its conveniences, is
// Python (python/flowsmith/__init__.py) over it. Arrays are not copied on their way in; results are NumPy arrays that
// own what C++ made. The GIL is released while a flow computes.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/function.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "flowsmith/trainer.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace flowsmith {
namespace {

using Bytes = nb::ndarray<const std::uint8_t, nb::c_contig, nb::device::cpu>;
using Doubles = nb::ndarray<const double, nb::c_contig, nb::device::cpu>;

template <class T, class Array>
std::span<const T> span_of(const Array& array) {
  return {array.data(), array.size()};
}

/// A NumPy array that owns the numbers of a vector.
template <class T>
nb::ndarray<nb::numpy, T> array_of(std::vector<T>&& values, const std::vector<std::size_t>& shape) {
  auto* const kept = new std::vector<T>(std::move(values));
  const nb::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  return {kept->data(), shape.size(), shape.data(), owner};
}

template <class T>
nb::ndarray<nb::numpy, T> row_of(std::vector<T>&& values) {
  const std::size_t n = values.size();
  return array_of(std::move(values), {n});
}

/// n examples of a shape, as n x h x w x c, or n x D where a row is meant.
std::vector<std::size_t> shape_of(std::size_t n, Shape shape, bool row) {
  if (row) return {n, shape.size()};
  return {n, std::size_t(shape.height), std::size_t(shape.width), std::size_t(shape.channels)};
}

template <class T>
nb::ndarray<nb::numpy, T> examples_of(std::vector<T>&& values, const Flow& flow) {
  const std::size_t n = values.size() / flow.dims();
  return array_of(std::move(values), shape_of(n, flow.shape(), !flow.takes_images()));
}

/// Runs fn() without the GIL.
template <class Fn>
auto released(Fn&& fn) {
  const nb::gil_scoped_release release;
  return fn();
}

using NamedArrays = std::vector<std::pair<std::string, nb::ndarray<nb::numpy, double>>>;

NamedArrays arrays_of(std::vector<Latent>&& latents) {
  NamedArrays all;
  for (Latent& one : latents) {
    const std::size_t n = one.values.size() / one.shape.size();
    all.emplace_back(one.name, array_of(std::move(one.values), shape_of(n, one.shape, false)));
  }
  return all;
}

std::vector<Latent> latents_of(const std::vector<std::pair<std::string, Doubles>>& arrays, const Flow& flow) {
  std::vector<Latent> all;
  for (const auto& [name, array] : arrays) {
    Shape shape;
    for (const LatentInfo& info : flow.latents()) {
      if (info.name == name) shape = info.shape;
    }
    all.push_back({name, shape, {array.data(), array.data() + array.size()}});
  }
  return all;
}

Context context_of(const std::string& device, int threads, const std::string& precision) {
  return {device, threads, precision};
}

/// What Python's names of the options become.
TrainingOptions options_of(std::optional<int> epochs, std::optional<int> batch_size, std::optional<double> lr,
                           std::optional<double> lr_decay, std::optional<double> clip_norm, std::uint64_t seed,
                           bool recompute) {
  return {epochs, batch_size, lr, lr_decay, clip_norm, seed, recompute};
}

}  // namespace

NB_MODULE(_core, m) {
  m.doc() = "The C++ side of flowsmith; use the package itself.";

  static PyObject* error_type = nullptr;
  error_type = PyErr_NewExceptionWithDoc("flowsmith.Error", "What flowsmith raises: one line that says what to do.",
                                         PyExc_RuntimeError, nullptr);
  m.attr("Error") = nb::borrow(error_type);
  nb::register_exception_translator([](const std::exception_ptr& pointer, void*) {
    try {
      std::rethrow_exception(pointer);
    } catch (const Error& error) {
      switch (error.code()) {
        case ErrorCode::kInvalidInput:
          PyErr_SetString(PyExc_ValueError, error.what());
          break;
        case ErrorCode::kFile:
          PyErr_SetString(PyExc_OSError, error.what());
          break;
        case ErrorCode::kOutOfMemory:
          PyErr_SetString(PyExc_MemoryError, error.what());
          break;
        default:
          PyErr_SetString(error_type, error.what());
      }
    }
  });

  m.def("version", &library_version);
  m.def("config_names", &config_names);
  m.def("config_text", &config_text, "name_or_json"_a);
  m.def("config_with", &config_with, "name_or_json"_a, "path"_a, "value"_a);
  m.def("config_for", [](const std::string& config, int height, int width, int channels) {
    return config_for(config, {height, width, channels});
  });
  m.def("config_shape", [](const std::string& config) {
    const Shape shape = config_shape(config);
    return std::make_tuple(shape.height, shape.width, shape.channels);
  });

  nb::class_<Flow>(m, "Flow")
      .def_static("load",
                  [](const std::string& path, const std::string& device, int threads, const std::string& precision) {
                    return released([&] { return Flow::load(path, context_of(device, threads, precision)); });
                  })
      .def_static(
          "from_config",
          [](const std::string& config, std::uint64_t seed, const std::string& device, int threads,
             const std::string& precision) {
            return released([&] { return Flow::from_config(config, seed, context_of(device, threads, precision)); });
          })
      .def("log_prob_images",
           [](const Flow& flow, const Bytes& images, int samples, std::uint64_t seed, std::uint32_t first) {
             return row_of(released([&] {
               return flow.log_prob(span_of<std::uint8_t>(images), {samples, seed, first});
             }));
           })
      .def("log_prob_rows",
           [](const Flow& flow, const Doubles& rows) {
             return row_of(released([&] { return flow.log_prob(span_of<double>(rows)); }));
           })
      .def("bits_per_dim",
           [](const Flow& flow, const Bytes& images, int samples, std::uint64_t seed, std::uint32_t first) {
             return row_of(released([&] {
               return flow.bits_per_dim(span_of<std::uint8_t>(images), {samples, seed, first});
             }));
           })
      .def("encode_images",
           [](const Flow& flow, const Bytes& images, std::uint64_t seed, std::uint32_t first) {
             return arrays_of(released([&] { return flow.encode(span_of<std::uint8_t>(images), {seed, first}); }));
           })
      .def("encode_rows",
           [](const Flow& flow, const Doubles& rows) {
             return arrays_of(released([&] { return flow.encode(span_of<double>(rows)); }));
           })
      .def("decode_images",
           [](const Flow& flow, const std::vector<std::pair<std::string, Doubles>>& latents) {
             const std::vector<Latent> all = latents_of(latents, flow);
             return examples_of(released([&] { return flow.decode_images(all); }), flow);
           })
      .def("decode_rows",
           [](const Flow& flow, const std::vector<std::pair<std::string, Doubles>>& latents) {
             const std::vector<Latent> all = latents_of(latents, flow);
             return examples_of(released([&] { return flow.decode_rows(all); }), flow);
           })
      .def("sample_images",
           [](const Flow& flow, int count, const std::vector<double>& temperatures, std::uint64_t seed,
              std::uint32_t first) {
             const SampleOptions options{count, 1, temperatures, seed, first};
             return examples_of(released([&] { return flow.sample_images(options); }), flow);
           })
      .def("sample_rows",
           [](const Flow& flow, int count, const std::vector<double>& temperatures, std::uint64_t seed,
              std::uint32_t first) {
             const SampleOptions options{count, 1, temperatures, seed, first};
             return examples_of(released([&] { return flow.sample_rows(options); }), flow);
           })
      .def(
          "transform",
          [](const Flow& flow, const Doubles& from, bool inverse) {
            Transformed found = released([&] {
              return inverse ? flow.inverse_transform(span_of<double>(from)) : flow.transform(span_of<double>(from));
            });
            const std::size_t n = found.logdet.size();
            return std::make_pair(array_of(std::move(found.values), {n, flow.dims()}), row_of(std::move(found.logdet)));
          })
      .def("save", [](const Flow& flow, const std::string& path) { released([&] { flow.save(path); }); })
      .def("state",
           [](const Flow& flow) {
             std::vector<std::tuple<std::string, nb::ndarray<nb::numpy, double>, bool>> all;
             for (StateArray& one : flow.state()) {
               const std::vector<std::size_t> shape(one.shape.begin(), one.shape.end());
               all.emplace_back(one.name, array_of(std::move(one.values), shape), one.is_parameter);
             }
             return all;
           })
      .def("set_state",
           [](Flow& flow, const std::vector<std::pair<std::string, Doubles>>& arrays) {
             std::vector<StateArray> all;
             for (const auto& [name, array] : arrays) {
               StateArray one{name, {}, {array.data(), array.data() + array.size()}};
               for (std::size_t i = 0; i < array.ndim(); ++i) one.shape.push_back(std::int64_t(array.shape(i)));
               all.push_back(std::move(one));
             }
             flow.set_state(all);
           })
      .def_prop_ro("name", &Flow::name)
      .def_prop_ro("config", &Flow::config)
      .def_prop_ro("summary", &Flow::summary)
      .def_prop_ro("takes_images", &Flow::takes_images)
      .def_prop_ro("dims", &Flow::dims)
      .def_prop_ro("parameter_count", &Flow::parameter_count)
      .def_prop_ro("shape",
                   [](const Flow& flow) {
                     const Shape shape = flow.shape();
                     return std::make_tuple(shape.height, shape.width, shape.channels);
                   })
      .def_prop_ro("latents", [](const Flow& flow) {
        std::vector<std::pair<std::string, std::tuple<int, int, int>>> all;
        for (const LatentInfo& info : flow.latents()) {
          all.emplace_back(info.name, std::make_tuple(info.shape.height, info.shape.width, info.shape.channels));
        }
        return all;
      });

  nb::class_<Trainer>(m, "Trainer")
      // The arrays are kept by the Python object.
      .def(
          "__init__",
          [](Trainer* self, const std::string& config, const nb::ndarray<nb::c_contig, nb::device::cpu, nb::ro>& data,
             std::optional<int> epochs, std::optional<int> batch_size, std::optional<double> lr,
             std::optional<double> lr_decay, std::optional<double> clip_norm, std::uint64_t seed, bool recompute,
             const std::string& device, int threads, const std::string& precision) {
            const TrainingOptions options = options_of(epochs, batch_size, lr, lr_decay, clip_norm, seed, recompute);
            const Context context = context_of(device, threads, precision);
            const bool bytes = data.dtype() == nb::dtype<std::uint8_t>();
            if (!bytes && data.dtype() != nb::dtype<double>()) throw Error("data are uint8 images or float64 rows");
            const void* const first = data.data();
            const std::size_t size = data.size();
            released([&] {
              if (bytes) {
                new (self) Trainer(config, std::span(static_cast<const std::uint8_t*>(first), size), options, context);
              } else {
                new (self) Trainer(config, std::span(static_cast<const double*>(first), size), options, context);
              }
            });
          },
          nb::keep_alive<1, 3>(), "config"_a, "data"_a, "epochs"_a.none(), "batch_size"_a.none(), "lr"_a.none(),
          "lr_decay"_a.none(), "clip_norm"_a.none(), "seed"_a, "recompute"_a, "device"_a, "threads"_a, "precision"_a)
      .def("step",
           [](Trainer& trainer) {
             const StepResult result = released([&] { return trainer.step(); });
             return std::make_pair(result.loss, result.gradient_norm);
           })
      .def_prop_ro("done", &Trainer::done)
      .def_prop_ro("steps_done", &Trainer::steps_done)
      .def_prop_ro("total_steps", &Trainer::total_steps)
      .def_prop_ro("steps_per_epoch", &Trainer::steps_per_epoch)
      .def_prop_ro("learning_rate", &Trainer::learning_rate)
      .def_prop_ro("flow", &Trainer::flow, nb::rv_policy::reference_internal)
      .def("checkpoint", &Trainer::checkpoint)
      .def("resume", &Trainer::resume);
}

}  // namespace flowsmith
