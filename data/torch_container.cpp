#include "data/torch_container.h"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <utility>

#include "data/zip_file.h"
#include "engine/file.h"
#include "engine/file_kind.h"
#include "engine/safetensors.h"
#include "kernels/error.h"

namespace flowsmith::core {
namespace {

using namespace std::literals;
using Kind = PickleValue::Kind;

constexpr std::uint64_t kMaxPickle = 16 << 20;
constexpr std::string_view kPickleName = "/data.pkl";
constexpr std::string_view kZipStart = "PK\x03\x04"sv;
// The pickle of a long number that nothing else begins with.
constexpr std::string_view kLegacyStart = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."sv;

std::string text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class ZipContainer : public TorchContainer {
 public:
  explicit ZipContainer(std::unique_ptr<InputFile> file) : file_(std::move(file)), zip_(*file_) {
    const std::string what = "cannot read " + in_quotes(file_->path());
    find_prefix(what);
    if (const auto order = zip_.entry(prefix_ + "/byteorder", 16); order && text(*order) != "little") {
      throw Error(what + ": it was saved on a big-endian machine; save it again on a little-endian one");
    }
    pickle_ = read_pickle(*zip_.entry(prefix_ + std::string(kPickleName), kMaxPickle), what);
  }

  const Pickle& pickle() const override { return pickle_; }
  std::optional<std::vector<std::byte>> storage(const std::string& key) override {
    return zip_.entry(prefix_ + "/data/" + key, kMaxCheckpointBytes);
  }

 private:
  // torch.save puts everything below one folder, whose name is up to the one who saves.
  void find_prefix(const std::string& what) {
    int found = 0;
    for (const std::string& name : zip_.names()) {
      if (!name.ends_with(kPickleName) || name.find('/') != name.size() - kPickleName.size()) continue;
      prefix_ = name.substr(0, name.size() - kPickleName.size());
      ++found;
    }
    if (found != 1) {
      throw Error(what + ": it is a zip file with " + (found == 0 ? "no" : "more than one") +
                  " data.pkl, so no PyTorch checkpoint; save it with torch.save");
    }
  }

  std::unique_ptr<InputFile> file_;
  ZipFile zip_;
  std::string prefix_;
  Pickle pickle_;
};

// Five pickles: the number that tells the format, its version 1001, facts about the machine, what was saved, and the
// keys of the storages. Then each of those: its number of elements in 8 bytes, and the elements.
class LegacyContainer : public TorchContainer {
 public:
  explicit LegacyContainer(InputFile& file) : what_("cannot read " + in_quotes(file.path())) {
    if (file.size() > kMaxCheckpointBytes + kMaxPickle) fail("has more than 1 GiB");
    bytes_.resize(file.size());
    file.read_exactly(bytes_);
    rest_ = std::span<const std::byte>(bytes_).subspan(kLegacyStart.size());
    const Pickle version = next_pickle(), machine = next_pickle();
    if (version.at(version.root).integer != 1001) fail("is of an unknown version");
    const PickleValue& facts = machine.at(machine.root);
    const PickleValue* const little = facts.kind == Kind::kDict ? machine.find(facts, "little_endian") : nullptr;
    if (little == nullptr || little->kind != Kind::kBool) fail("does not say in which order its bytes are");
    if (little->integer == 0) fail("was saved on a big-endian machine");
    pickle_ = next_pickle();
    find_storages();
  }

  const Pickle& pickle() const override { return pickle_; }
  std::optional<std::vector<std::byte>> storage(const std::string& key) override {
    const auto found = storages_.find(key);
    if (found == storages_.end()) return std::nullopt;
    return std::vector<std::byte>(found->second.begin(), found->second.end());
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    throw Error(what_ + ": it " + why + "; save it again with torch.save");
  }

  Pickle next_pickle() {
    std::size_t size = 0;
    Pickle pickle = read_pickle(rest_.first(std::min<std::size_t>(rest_.size(), kMaxPickle)), what_, &size);
    rest_ = rest_.subspan(size);
    return pickle;
  }

  void find_storages() {
    std::map<std::string, std::size_t> element_sizes;
    for (const PickleValue& value : pickle_.values) {
      if (value.kind != Kind::kStorage) continue;
      const TorchStorageId id = torch_storage_id(pickle_, value, what_);
      element_sizes[id.key] = dtype_size(id.dtype);
    }
    const Pickle keys = next_pickle();
    if (keys.at(keys.root).kind != Kind::kList) fail("has no list of its storages");
    for (const std::uint32_t index : keys.at(keys.root).items) {
      const auto size = element_sizes.find(keys.at(index).text);
      if (size == element_sizes.end()) fail("has a storage that nothing in it mentions");
      std::uint64_t count = 0;
      for (std::size_t i = 0; i < 8 && i < rest_.size(); ++i) count |= std::uint64_t(rest_[i]) << (8 * i);
      if (rest_.size() < 8 || count > (rest_.size() - 8) / size->second) fail("is cut off");
      storages_[size->first] = rest_.subspan(8, count * size->second);
      rest_ = rest_.subspan(8 + count * size->second);
    }
    if (!rest_.empty()) fail("goes on behind its end");
  }

  std::string what_;
  std::vector<std::byte> bytes_;
  std::span<const std::byte> rest_;
  Pickle pickle_;
  std::map<std::string, std::span<const std::byte>> storages_;
};

// The type of elements of a storage, "torch FloatStorage", as safetensors calls it, "F32"; empty if it is none.
std::string torch_dtype(const std::string& storage_type) {
  static constexpr std::pair<std::string_view, std::string_view> kTypes[] = {
      {"torch FloatStorage", "F32"},     {"torch DoubleStorage", "F64"}, {"torch HalfStorage", "F16"},
      {"torch BFloat16Storage", "BF16"}, {"torch LongStorage", "I64"},   {"torch IntStorage", "I32"},
      {"torch ShortStorage", "I16"},     {"torch CharStorage", "I8"},    {"torch ByteStorage", "U8"},
      {"torch BoolStorage", "BOOL"}};
  const auto* type =
      std::find_if(std::begin(kTypes), std::end(kTypes), [&](auto t) { return t.first == storage_type; });
  return type == std::end(kTypes) ? "" : std::string(type->second);
}

}  // namespace

TorchStorageId torch_storage_id(const Pickle& pickle, const PickleValue& reference, const std::string& what) {
  const auto fail = [&](const std::string& why) { throw Error(what + " " + why + "; save it again with torch.save"); };
  const PickleValue& tuple = pickle.at(reference.items.at(0));
  constexpr Kind kKinds[] = {Kind::kString, Kind::kGlobal, Kind::kString, Kind::kString, Kind::kInt};
  bool right = tuple.kind == Kind::kTuple && tuple.items.size() >= std::size(kKinds);
  for (std::size_t i = 0; right && i < std::size(kKinds); ++i) right = pickle.at(tuple.items[i]).kind == kKinds[i];
  if (!right) fail("is not described the way torch.save describes a tensor");
  const TorchStorageId id{torch_dtype(pickle.at(tuple.items[1]).text), pickle.at(tuple.items[2]).text,
                          pickle.at(tuple.items[4]).integer};
  if (pickle.at(tuple.items[0]).text != "storage" || id.dtype.empty()) fail("is not kept in a torch storage");
  if (id.key.empty() || id.key.size() > 20 || id.key.find_first_not_of("0123456789") != std::string::npos) {
    fail("is kept under the name " + in_quotes(id.key) + ", which is no number");
  }
  // Before PyTorch 0.4 a storage could be a part of another one.
  if (tuple.items.size() > 5 && pickle.at(tuple.items[5]).kind != Kind::kNone) fail("is kept in a part of a storage");
  return id;
}

bool looks_like_torch(std::string_view start) {
  return start.starts_with(kZipStart) || start.starts_with(kLegacyStart);
}

std::unique_ptr<TorchContainer> open_torch_container(std::unique_ptr<InputFile> file) {
  const std::string& path = file->path();
  const std::string start = file->beginning(kLegacyStart.size());
  if (start == kLegacyStart) return std::make_unique<LegacyContainer>(*file);
  if (start.starts_with(kZipStart)) return std::make_unique<ZipContainer>(std::move(file));
  std::string kind = known_kind(path);
  if (start.starts_with('\x80')) kind = "a pickle that torch.save did not write; load it in Python and save it there";
  if (kLegacyStart.starts_with(start)) kind = "";  // cut off
  if (start.size() > 8 && start[8] == '{') kind = "a safetensors file already, which needs no import";
  if (kind.empty()) kind = "cut off, or no checkpoint of PyTorch or Flax; save it with torch.save";
  throw Error("cannot read " + in_quotes(path) + ": it is " + kind);
}

}  // namespace flowsmith::core
