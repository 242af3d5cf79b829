// All parameters of a flow in one flat span, with their gradients in another: the optimizer, the gradient
// norm and a checkpoint each see one array.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/arena.h"
#include "engine/device.h"
#include "kernels/noise.h"

namespace flowsmith::core {

/// How a parameter lies in memory, compared to weight files.
enum class ParameterLayout {
  kPlain,         ///< as in the file, seen as one row
  kMatrix,        ///< as in the file, which has two dimensions
  kConvWeight,    ///< file: [out][in][ky][kx] (OIHW, as PyTorch), memory: [ky][kx][in][out]
  kLinearWeight,  ///< file: [out][in] (PyTorch's Linear), memory: [in][out]
};

/// Where initial values come from.
struct ParameterInit {
  double centre = 0;  ///< value = centre + spread * U(-1, 1)
  double spread = 0;
  /// Instead: all values, in file order, as a function of the seed.
  std::function<std::vector<double>(std::uint64_t seed)> values = nullptr;
};

struct Parameter {
  std::string name;  ///< the tutorial's state_dict name
  std::vector<std::int64_t> file_shape;
  ParameterLayout layout = ParameterLayout::kPlain;
  ParameterInit init;
  Shape shape;             ///< in memory
  std::size_t offset = 0;  ///< of its first element in the flat spans
};

/// What a flow keeps beside its parameters: saved with them and not learned, such as running statistics.
struct State {
  std::string name;
  std::vector<std::int64_t> file_shape;
  std::function<std::vector<double>(std::uint64_t seed)> init;
};

class Parameters {
 public:
  Parameters(Device device, DType dtype) : device_(device), dtype_(dtype), arena_(device) {}

  /// Adds a parameter and returns its number; only before allocate().
  int add(std::string name, std::vector<std::int64_t> file_shape, ParameterLayout layout, ParameterInit init);
  /// Adds a state and returns its number among the states.
  int add_state(std::string name, std::vector<std::int64_t> file_shape,
                std::function<std::vector<double>(std::uint64_t seed)> init);

  /// Gives all parameters their memory, filled with zeros.
  void allocate();

  /// Fills every parameter from the stream {seed, kWeights, draw = its number}, elements in file order, or as its
  /// init says, and every state.
  void initialize(std::uint64_t seed);

  /// Adds deviation * N(0, 1) to every parameter, from the streams that initialize() takes, of image 1.
  void jitter(std::uint64_t seed, double deviation);

  int count() const { return int(parameters_.size()); }
  const Parameter& operator[](int i) const { return parameters_[i]; }
  std::size_t element_count() const { return element_count_; }  ///< without the padding of the spans

  int state_count() const { return int(states_.size()); }
  const State& state(int i) const { return states_[i]; }
  Tensor state_values(int i) const { return state_values_[i]; }  ///< f64, one row, whatever the type of the parameters
  void set_state(int i, const std::vector<double>& values);

  Tensor value(int i) const { return view(values_, i); }
  Tensor grad(int i) const { return view(grads_, i); }
  Tensor values() const { return values_; }  ///< the flat span; padding is zero
  Tensor grads() const { return grads_; }

  Device device() const { return device_; }
  DType dtype() const { return dtype_; }

  /// Copies parameter i between a flat span shaped like values() (the values, or an optimizer's moments)
  /// and an array in file order.
  void to_file_order(const Tensor& span, int i, float* out) const;
  void from_file_order(const Tensor& span, int i, const float* in) const;

 private:
  Tensor view(const Tensor& span, int i) const;

  Device device_;
  DType dtype_;
  Arena arena_;
  std::vector<Parameter> parameters_;
  Tensor values_, grads_;
  std::size_t span_size_ = 0, element_count_ = 0;
  std::vector<State> states_;
  std::vector<Tensor> state_values_;
};

}  // namespace flowsmith::core
