// A batch of examples, and its way into the memory of a flow's device.
#pragma once

#include "engine/arena.h"
#include "kernels/noise.h"

namespace flowsmith::core {

/// Examples of a flow's size, one after the other, and the number that each has in its data set: the number keys its
/// noise, so an example scores the same in any batch.
struct Batch {
  const std::uint8_t* pixels = nullptr;  ///< of 8-bit images, NHWC
  const std::uint32_t* index = nullptr;
  int n = 0;
  const double* values = nullptr;  ///< instead of pixels, where the flow takes numbers

  /// n examples from the begin-th on; `size` is that of one.
  Batch slice(std::size_t size, int begin, int count) const;
};

/// Where dequantization noise comes from: a counter-based stream, or (to replay somebody else's run) given
/// values in [0, 1], as many as pixels.
struct DequantizationNoise {
  NoiseStream stream;
  const float* values = nullptr;

  DequantizationNoise slice(std::size_t size, int begin) const;
};

/// A batch and its noise in the memory of a flow's device: a pass that reads them can be captured and replayed.
struct BatchTensors {
  Tensor data;    ///< u8 images, or numbers in the type of the path (n,h,w,c)
  Tensor index;   ///< u32 (n)
  Tensor stream;  ///< the bytes of a NoiseStream
  Tensor noise;   ///< given noise (n,h,w,c) in the type of the path; none: drawn from the stream
  Tensor block;   ///< u8: the memory in which all of them lie, so that one copy brings a batch
};

/// What a batch consists of, which decides its layout.
struct BatchLayout {
  MapShape shape;  ///< of all examples, as the first layer sees them
  bool images = true;
  DType path = DType::kF32;  ///< the type of z
  bool given_noise = false;

  std::size_t bytes() const { return place(nullptr).block.size(); }
  /// A batch in `memory` of that size: of the flow's device, or of the host on its way there.
  BatchTensors place(void* memory) const;
  /// The same in memory of the arena.
  BatchTensors allocate(Arena& arena) const { return place(arena.allocate(bytes())); }
  /// Fills a batch in `memory` of the host.
  void write(void* memory, Batch batch, DequantizationNoise noise) const;
  /// Fills a batch in memory of the device.
  void upload(Device device, const BatchTensors& tensors, Batch batch, DequantizationNoise noise) const;
};

}  // namespace flowsmith::core
