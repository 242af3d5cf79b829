#include "data/pickle.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "engine/file.h"
#include "kernels/error.h"

namespace flowsmith::core {
namespace {

using Kind = PickleValue::Kind;
using Index = std::uint32_t;

constexpr std::size_t kMaxValues = 2'000'000;
constexpr std::string_view kOrderedDict = "collections OrderedDict";
constexpr std::string_view kRebuildTensor = "torch._utils _rebuild_tensor_v2";
constexpr std::array<std::string_view, 12> kAllowed = {
    kOrderedDict,         kRebuildTensor,          "torch FloatStorage", "torch DoubleStorage",
    "torch HalfStorage",  "torch BFloat16Storage", "torch LongStorage",  "torch IntStorage",
    "torch ShortStorage", "torch CharStorage",     "torch ByteStorage",  "torch BoolStorage"};

// The opcodes, named as in Python's pickletools.
enum Opcode : std::uint8_t {
  kMark = '(',
  kStop = '.',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kNone = 'N',
  kBinPersid = 'Q',
  kReduce = 'R',
  kBinUnicode = 'X',
  kAppend = 'a',
  kBuild = 'b',
  kGlobal = 'c',
  kAppends = 'e',
  kBinFloat = 'G',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTuple = 't',
  kSetItems = 'u',
  kEmptyTuple = ')',
  kEmptyList = ']',
  kEmptyDict = '}',
  kProto = 0x80,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
};

class Reader {
 public:
  Reader(std::span<const std::byte> bytes, const std::string& what) : bytes_(bytes), what_(what) {}

  Pickle read(std::size_t* size) {
    if (next_byte() != kProto || next_byte() != 2) refuse("its pickle is not of protocol 2");
    while (true) {
      const std::uint8_t opcode = next_byte();
      if (opcode == kStop) break;
      step(opcode);
    }
    pickle_.root = pop();
    if (size != nullptr) *size = position_;
    if (!stack_.empty() || !marks_.empty() || (size == nullptr && position_ != bytes_.size())) {
      refuse("its pickle does not end where it stops");
    }
    return std::move(pickle_);
  }

 private:
  [[noreturn]] void refuse(const std::string& why) const {
    throw Error(what_ + ": " + why + "; save it again as torch.save({'state_dict': model.state_dict()}, file)");
  }

  std::string_view take(std::size_t n) {
    if (n > bytes_.size() - position_) refuse("its pickle is cut off");
    const auto* start = reinterpret_cast<const char*>(bytes_.data()) + position_;
    position_ += n;
    return {start, n};
  }
  std::uint8_t next_byte() { return static_cast<std::uint8_t>(take(1)[0]); }

  // n little-endian bytes, n <= 8.
  std::uint64_t number(std::size_t n) {
    std::uint64_t value = 0;
    int shift = 0;
    for (const char c : take(n)) {
      value |= std::uint64_t{static_cast<std::uint8_t>(c)} << shift;
      shift += 8;
    }
    return value;
  }

  std::string line() {
    const std::size_t start = position_;
    while (next_byte() != '\n') {
    }
    return {reinterpret_cast<const char*>(bytes_.data()) + start, position_ - start - 1};
  }

  PickleValue& push(Kind kind) {
    if (pickle_.values.size() == kMaxValues) refuse("its pickle holds more than 2 million values");
    stack_.push_back(static_cast<Index>(pickle_.values.size()));
    PickleValue& value = pickle_.values.emplace_back();
    value.kind = kind;
    return value;
  }
  void push_integer(Kind kind, std::int64_t integer) { push(kind).integer = integer; }

  // Values below the last mark are out of reach until the mark is taken.
  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  Index pop() {
    if (stack_.size() <= floor()) refuse("its pickle takes more values than it has");
    const Index top = stack_.back();
    stack_.pop_back();
    return top;
  }
  std::vector<Index> pop_several(std::size_t n) {
    if (stack_.size() - floor() < n) refuse("its pickle takes more values than it has");
    std::vector<Index> items(stack_.end() - static_cast<std::ptrdiff_t>(n), stack_.end());
    stack_.resize(stack_.size() - n);
    return items;
  }
  std::vector<Index> pop_to_mark() {
    if (marks_.empty()) refuse("its pickle takes a mark that is not there");
    std::vector<Index> items = pop_several(stack_.size() - marks_.back());
    marks_.pop_back();
    return items;
  }
  PickleValue& top(Kind kind, const std::string& action) {
    if (stack_.size() <= floor()) refuse("its pickle takes more values than it has");
    PickleValue& value = pickle_.values[stack_.back()];
    if (value.kind != kind) refuse("its pickle would " + action + " an object that is not plain data");
    return value;
  }
  void push_tuple(std::vector<Index> items) { push(Kind::kTuple).items = std::move(items); }

  void extend_list(const std::vector<Index>& items) {
    auto& list = top(Kind::kList, "append to").items;
    list.insert(list.end(), items.begin(), items.end());
  }
  void extend_dict(const std::vector<Index>& items) {
    if (items.size() % 2 != 0) refuse("its pickle has a key without a value");
    auto& dict = top(Kind::kDict, "set items of").items;
    dict.insert(dict.end(), items.begin(), items.end());
  }

  void put(std::uint64_t key) {
    if (stack_.size() <= floor()) refuse("its pickle takes more values than it has");
    memo_[key] = stack_.back();
  }
  void get(std::uint64_t key) {
    const auto found = memo_.find(key);
    if (found == memo_.end()) refuse("its pickle recalls a value it has not stored");
    stack_.push_back(found->second);
  }

  void global() {
    const std::string module = line();
    const std::string name = module + " " + line();
    if (std::find(kAllowed.begin(), kAllowed.end(), name) == kAllowed.end()) {
      refuse("it needs the Python object " + in_quotes(name, 100) +
             ", which is refused because loading it could run code");
    }
    push(Kind::kGlobal).text = name;
  }

  // Calls become data: an empty dict, or the description of a tensor. It refers to its arguments and does not copy
  // them: a small file could otherwise name one long tuple a million times.
  void reduce() {
    const Index arguments = pop();
    const PickleValue& callee = pickle_.values[pop()];
    const PickleValue& tuple = pickle_.values[arguments];
    if (callee.kind != Kind::kGlobal || tuple.kind != Kind::kTuple) refuse("its pickle calls something unknown");
    if (callee.text == kOrderedDict && tuple.items.empty()) {
      push(Kind::kDict);
    } else if (callee.text == kRebuildTensor) {
      push(Kind::kTensor).items = {arguments};
    } else {
      refuse("its pickle calls " + in_quotes(callee.text) + " in a way that is refused");
    }
  }

  void persistent_id() {
    const Index id = pop();
    if (pickle_.values[id].kind != Kind::kTuple) refuse("its pickle has a persistent id that is no tuple");
    push(Kind::kStorage).items = {id};
  }

  // torch.save hangs a dict of version numbers on the state_dict, itself a dict; it says nothing about the tensors.
  void build() {
    const PickleValue& state = pickle_.values[pop()];
    top(Kind::kDict, "set the state of");
    if (state.kind != Kind::kDict) refuse("its pickle sets the state of an object");
  }

  void step(std::uint8_t opcode) {
    switch (opcode) {
      case kMark:
        return marks_.push_back(stack_.size());
      case kNone:
        return static_cast<void>(push(Kind::kNone));
      case kNewTrue:
        return push_integer(Kind::kBool, 1);
      case kNewFalse:
        return push_integer(Kind::kBool, 0);
      case kBinInt1:
        return push_integer(Kind::kInt, static_cast<std::int64_t>(number(1)));
      case kBinInt2:
        return push_integer(Kind::kInt, static_cast<std::int64_t>(number(2)));
      case kBinInt:
        return push_integer(Kind::kInt, static_cast<std::int32_t>(number(4)));
      case kLong1:
        return long1();
      case kBinFloat:
        return take(8), static_cast<void>(push(Kind::kFloat));
      case kBinUnicode: {
        const std::string_view text = take(number(4));
        push(Kind::kString).text = text;
        return;
      }
      case kEmptyTuple:
        return push_tuple({});
      case kTuple1:
        return push_tuple(pop_several(1));
      case kTuple2:
        return push_tuple(pop_several(2));
      case kTuple3:
        return push_tuple(pop_several(3));
      case kTuple:
        return push_tuple(pop_to_mark());
      case kEmptyList:
        return static_cast<void>(push(Kind::kList));
      case kAppend:
        return extend_list(pop_several(1));
      case kAppends:
        return extend_list(pop_to_mark());
      case kEmptyDict:
        return static_cast<void>(push(Kind::kDict));
      case kSetItem:
        return extend_dict(pop_several(2));
      case kSetItems:
        return extend_dict(pop_to_mark());
      case kBinPut:
        return put(number(1));
      case kLongBinPut:
        return put(number(4));
      case kBinGet:
        return get(number(1));
      case kLongBinGet:
        return get(number(4));
      case kGlobal:
        return global();
      case kReduce:
        return reduce();
      case kBinPersid:
        return persistent_id();
      case kBuild:
        return build();
      default:
        refuse("its pickle has the opcode " + std::to_string(opcode) + ", which plain data do not need");
    }
  }

  // A whole number of up to eight bytes in two's complement.
  void long1() {
    const std::size_t n = next_byte();
    if (n > 8) refuse("its pickle has a number of more than 64 bits");
    const std::uint64_t value = number(n);
    const int spare = 64 - 8 * static_cast<int>(n);
    push_integer(Kind::kInt, n == 0 ? 0 : static_cast<std::int64_t>(value << spare) >> spare);
  }

  std::span<const std::byte> bytes_;
  const std::string& what_;
  std::size_t position_ = 0;
  Pickle pickle_;
  std::vector<Index> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, Index> memo_;
};

}  // namespace

const PickleValue* Pickle::find(const PickleValue& dict, std::string_view key) const {
  const PickleValue* found = nullptr;
  for (std::size_t i = 0; i + 1 < dict.items.size(); i += 2) {
    const PickleValue& name = at(dict.items[i]);
    if (name.kind == PickleValue::Kind::kString && name.text == key) found = &at(dict.items[i + 1]);
  }
  return found;
}

Pickle read_pickle(std::span<const std::byte> bytes, const std::string& what, std::size_t* size) {
  return Reader(bytes, what).read(size);
}

}  // namespace flowsmith::core
