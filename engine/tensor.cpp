#include "engine/tensor.h"

namespace flowsmith::core {

std::size_t dtype_size(DType dtype) {
  switch (dtype) {
    case DType::kU8:
      return 1;
    case DType::kU32:
    case DType::kF32:
      return 4;
    case DType::kF64:
      return 8;
  }
  throw Error("unknown element type");
}

std::string dtype_name(DType dtype) {
  switch (dtype) {
    case DType::kU8:
      return "u8";
    case DType::kU32:
      return "u32";
    case DType::kF32:
      return "f32";
    case DType::kF64:
      return "f64";
  }
  throw Error("unknown element type");
}

Shape::Shape(std::initializer_list<int> dims) {
  if (dims.size() > kMaxRank) throw Error("a shape has at most four dimensions");
  for (const int dim : dims) {
    if (dim < 0) throw Error("a shape has no negative dimension");
    dims_[rank_++] = dim;
  }
}

std::size_t Shape::size() const {
  std::size_t size = 1;
  for (int i = 0; i < rank_; ++i) size *= std::size_t(dims_[i]);
  return size;
}

MapShape Shape::map() const {
  if (rank_ != 4) throw Error("feature maps have four dimensions, not the shape " + to_string());
  return {dims_[0], dims_[1], dims_[2], dims_[3]};
}

std::string Shape::to_string() const {
  std::string text = "(";
  for (int i = 0; i < rank_; ++i) text += (i ? ", " : "") + std::to_string(dims_[i]);
  return text + ")";
}

void Tensor::throw_dtype_mismatch(DType wanted) const {
  throw Error("tensor of shape " + shape_.to_string() + " holds " + dtype_name(dtype_) + ", not " + dtype_name(wanted));
}

void require(bool condition, const char* message) {
  if (!condition) throw Error(message);
}

void require_tensor(const Tensor& tensor, DType dtype, const Shape& shape, const char* what) {
  if (tensor.dtype() == dtype && tensor.shape() == shape) return;
  throw Error(std::string(what) + " is " + dtype_name(tensor.dtype()) + " " + tensor.shape().to_string() +
              ", expected " + dtype_name(dtype) + " " + shape.to_string());
}

}  // namespace flowsmith::core
