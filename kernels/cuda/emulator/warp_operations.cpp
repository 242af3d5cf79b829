// Shuffles and votes.
#include <cstring>

#include "kernels/cuda/emulator/device_functions.h"
#include "kernels/cuda/emulator/warp.h"

namespace flowsmith::core::emulator {

namespace {

struct ShuffleInput {
  const void* value;
  std::size_t bytes;
  Shuffle kind;
  int argument, width;
};

/// The lane whose value `lane` gets (CUDA C++ programming guide, "Warp shuffle functions").
int source_lane(const ShuffleInput& input, int lane) {
  const int width = input.width, segment = lane & -width, within = lane & (width - 1), argument = input.argument;
  switch (input.kind) {
    case Shuffle::kIndex:
      return segment + (argument & (width - 1));
    case Shuffle::kUp:
      return within - argument >= 0 ? lane - argument : lane;
    case Shuffle::kDown:
      return within + argument < width ? lane + argument : lane;
    case Shuffle::kXor:
      break;
  }
  const int source = lane ^ argument;  // may be in an earlier segment, but not in a later one
  return source < segment + width ? source : lane;
}

void run_shuffle(const void* const* in, void* const* out, unsigned mask) {
  for_each_lane(mask, [&](int lane) {
    const auto& input = *static_cast<const ShuffleInput*>(in[lane]);
    const int source = source_lane(input, lane) & 31;
    if ((mask >> source & 1) == 0) fail("a shuffle reads from a lane that is not in its mask, found");
    const void* value = static_cast<const ShuffleInput*>(in[source])->value;
    if (input.bytes == 4) {
      std::memcpy(out[lane], value, 4);
    } else {
      std::memcpy(out[lane], value, 8);
    }
  });
}

}  // namespace

void shuffle(Shuffle kind, unsigned mask, const void* value, void* result, std::size_t bytes, int argument, int width,
             Place place) {
  if (width < 1 || width > 32 || (width & (width - 1)) != 0) fail("a shuffle whose width is no power of two up to 32");
  const ShuffleInput input{value, bytes, kind, argument, width};
  collective(mask, &input, result, run_shuffle, place);
}

unsigned ballot(unsigned mask, bool predicate, Place place) {
  unsigned result = 0;
  collective(
      mask, &predicate, &result,
      [](const void* const* in, void* const* out, unsigned lanes) {
        unsigned votes = 0;
        for_each_lane(lanes, [&](int lane) { votes |= unsigned(*static_cast<const bool*>(in[lane])) << lane; });
        for_each_lane(lanes, [&](int lane) { *static_cast<unsigned*>(out[lane]) = votes; });
      },
      place);
  return result;
}

}  // namespace flowsmith::core::emulator
