// A tensor is a typed view of memory that somebody else owns: an Arena, or the Parameters of a flow.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "kernels/error.h"
#include "kernels/types.h"

namespace flowsmith::core {

enum class DType { kU8, kU32, kF32, kF64 };

std::size_t dtype_size(DType dtype);
std::string dtype_name(DType dtype);  ///< "u8", "u32", "f32", "f64"

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<std::uint8_t> {
  static constexpr DType value = DType::kU8;
};
template <>
struct DTypeOf<std::uint32_t> {
  static constexpr DType value = DType::kU32;
};
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::kF32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::kF64;
};

/// Up to four dimensions, outermost first; feature maps are (n, h, w, c).
class Shape {
 public:
  static constexpr int kMaxRank = 4;

  Shape() = default;
  /// Throws Error on more than four dimensions or a negative one.
  Shape(std::initializer_list<int> dims);
  Shape(MapShape map) : Shape{map.n, map.h, map.w, map.c} {}  // NOLINT: feature maps are shapes

  int rank() const { return rank_; }
  int operator[](int i) const { return dims_[i]; }
  std::size_t size() const;       ///< number of elements; 1 for a scalar
  MapShape map() const;           ///< throws Error unless the rank is 4
  std::string to_string() const;  ///< "(128, 28, 28, 1)"
  bool operator==(const Shape&) const = default;

 private:
  std::array<int, kMaxRank> dims_{};
  int rank_ = 0;
};

class Tensor {
 public:
  Tensor() = default;
  Tensor(void* data, DType dtype, Shape shape) : data_(data), dtype_(dtype), shape_(shape) {}

  DType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  MapShape map() const { return shape_.map(); }
  std::size_t size() const { return shape_.size(); }
  std::size_t bytes() const { return size() * dtype_size(dtype_); }
  explicit operator bool() const { return data_ != nullptr; }
  void* raw() const { return data_; }

  /// Contiguous elements; throws Error if T is not the tensor's type.
  template <class T>
  T* data() const {
    if (DTypeOf<T>::value != dtype_) throw_dtype_mismatch(DTypeOf<T>::value);
    return static_cast<T*>(data_);
  }

 private:
  [[noreturn]] void throw_dtype_mismatch(DType wanted) const;

  void* data_ = nullptr;
  DType dtype_ = DType::kF32;
  Shape shape_;
};

/// Throws Error(message) unless `condition` holds.
void require(bool condition, const char* message);

/// Throws Error unless `tensor` has this type and shape; `what` names it in the message.
void require_tensor(const Tensor& tensor, DType dtype, const Shape& shape, const char* what);

}  // namespace flowsmith::core
