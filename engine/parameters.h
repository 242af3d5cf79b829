// All parameters of a flow in one flat span, with their gradients in another: the optimizer, the gradient
// norm and a checkpoint each see one array.
#pragma once

#include <string>
#include <vector>

#include "engine/arena.h"
#include "engine/device.h"
#include "kernels/noise.h"

namespace flowsmith {

/// How a parameter lies in memory, compared to weight files.
enum class ParameterLayout {
  kPlain,       ///< as in the file
  kConvWeight,  ///< file: [out][in][ky][kx] (OIHW, as PyTorch), memory: [ky][kx][in][out]
};

/// Where initial values come from.
struct ParameterInit {
  double centre = 0;  ///< value = centre + spread * U(-1, 1)
  double spread = 0;
};

struct Parameter {
  std::string name;  ///< the tutorial's state_dict name
  std::vector<std::int64_t> file_shape;
  ParameterLayout layout = ParameterLayout::kPlain;
  ParameterInit init;
  Shape shape;             ///< in memory
  std::size_t offset = 0;  ///< of its first element in the flat spans
};

class Parameters {
 public:
  Parameters(Device device, DType dtype) : device_(device), dtype_(dtype), arena_(device) {}

  /// Adds a parameter and returns its number; only before allocate().
  int add(std::string name, std::vector<std::int64_t> file_shape, ParameterLayout layout, ParameterInit init);

  /// Gives all parameters their memory, filled with zeros.
  void allocate();

  /// Fills every parameter from the stream {seed, kWeights, draw = its number}, elements in file order.
  void initialize(std::uint64_t seed);

  int count() const { return int(parameters_.size()); }
  const Parameter& operator[](int i) const { return parameters_[i]; }
  std::size_t element_count() const { return element_count_; }  ///< without the padding of the spans

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
};

}  // namespace flowsmith
