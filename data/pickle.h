// A reader of the pickles inside PyTorch checkpoints that cannot run anything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace flowsmith::core {

struct PickleValue {
  enum class Kind {
    kNone,
    kBool,
    kInt,
    kFloat,
    kString,
    kTuple,
    kList,
    kDict,
    kGlobal,   ///< a name of the allow-list; text is "module name"
    kStorage,  ///< a persistent id; its one item is a tuple
    kTensor,   ///< a call of torch._utils._rebuild_tensor_v2, not carried out; its one item is the arguments' tuple
  };
  Kind kind = Kind::kNone;
  std::int64_t integer = 0;
  std::string text;
  /// Indices into Pickle::values. For a dict: key, value, key, value, ...
  std::vector<std::uint32_t> items;
};

/// The values of a pickle. They refer to each other by index, so values that contain themselves are no danger to a
/// reader that does not follow them without end.
struct Pickle {
  std::vector<PickleValue> values;
  std::uint32_t root = 0;

  const PickleValue& at(std::uint32_t index) const { return values[index]; }
  /// The value last stored under the string `key` of a dict, or nullptr.
  const PickleValue* find(const PickleValue& dict, std::string_view key) const;
};

/// Reads a pickle of protocol 2, the one torch.save writes. Only the opcodes that plain data and tensors need are
/// known. The only names it may mention are collections.OrderedDict, torch._utils._rebuild_tensor_v2 and the torch
/// storages of floats (Float, Double, Half, BFloat16) and integers (Long to Byte, Bool); they stand for data and are
/// never called. Neither depth nor cycles matter: nothing here recurses. Throws an Error that starts with `what` and
/// says what was refused: other names, other opcodes, truncation, stack and memo errors, more than 2 million values.
/// The pickle must end where the bytes do, unless `size` asks how many of them it is.
Pickle read_pickle(std::span<const std::byte> bytes, const std::string& what, std::size_t* size = nullptr);

}  // namespace flowsmith::core
