#include "data/torch_checkpoint.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "data/torch_container.h"
#include "engine/file.h"
#include "kernels/error.h"

namespace flowsmith::core {
namespace {

using Kind = PickleValue::Kind;

constexpr std::size_t kMaxRank = 16;

class CheckpointReader {
 public:
  explicit CheckpointReader(std::unique_ptr<InputFile> file)
      : what_("cannot read " + in_quotes(file->path())),
        container_(open_torch_container(std::move(file))),
        pickle_(container_->pickle()) {}

  Checkpoint read(const std::string& key) {
    const PickleValue& root = pickle_.at(pickle_.root);
    std::set<std::uint32_t> seen;
    find_sets(pickle_.root, "", seen, 0);
    Checkpoint result;
    const PickleValue* const dict = chosen(root, key, result.key);
    if (dict == nullptr || dict->kind != Kind::kDict) {
      throw Error(what_ + ": it holds no state_dict; save it as torch.save(model.state_dict(), file)");
    }
    for (const auto& [place, set] : sets_) {
      if (set != dict) result.others.push_back(place);
    }
    result.tensors = tensors_of(dict);
    strip_wrappers(result.tensors);
    return result;
  }

 private:
  /// Dicts of nothing but tensors, with the keys that lead to them.
  void find_sets(std::uint32_t index, const std::string& place, std::set<std::uint32_t>& seen, int depth) {
    constexpr int kDeepest = 8;
    const PickleValue& dict = pickle_.at(index);
    if (dict.kind != Kind::kDict || depth > kDeepest || !seen.insert(index).second) return;
    if (holds(dict, true)) {
      sets_.emplace_back(place, &dict);
      return;
    }
    for (std::size_t i = 0; i < dict.items.size(); i += 2) {
      const PickleValue& key = pickle_.at(dict.items[i]);
      if (key.kind != Kind::kString) continue;  // as in the state of an optimizer
      find_sets(dict.items[i + 1], place.empty() ? key.text : place + "." + key.text, seen, depth + 1);
    }
  }

  /// Whether `all` values of a dict are tensors under strings, and it has some; or any of them.
  bool holds(const PickleValue& dict, bool all) const {
    std::size_t count = 0;
    for (std::size_t i = 0; i < dict.items.size(); i += 2) {
      count += pickle_.at(dict.items[i]).kind == Kind::kString && pickle_.at(dict.items[i + 1]).kind == Kind::kTensor;
    }
    return count > 0 && (!all || 2 * count == dict.items.size());
  }

  const PickleValue* chosen(const PickleValue& root, const std::string& key, std::string& place) const {
    if (!key.empty()) {
      std::string all;
      for (const auto& [name, set] : sets_) {
        all += (all.empty() ? "" : ", ") + in_quotes(name);
        if (name != key) continue;
        place = name;
        return set;
      }
      throw Error(what_ + ": there are no weights under " + in_quotes(key) + "; there are " +
                  (all.empty() ? "none" : "some under " + all));
    }
    if (root.kind != Kind::kDict) return nullptr;
    const PickleValue* const inner = pickle_.find(root, "state_dict");
    if (inner != nullptr && (inner->kind != Kind::kDict || sets_.empty() || holds(*inner, false))) {
      place = "state_dict";
      return inner;
    }
    if (sets_.empty() || holds(root, false)) return &root;
    for (const std::string_view usual : {"state_dict", "model_state_dict", "model", "net", "module"}) {
      for (const auto& [name, set] : sets_) {
        if (name != usual && !name.ends_with("." + std::string(usual))) continue;
        place = name;
        return set;
      }
    }
    place = sets_[0].first;
    return sets_[0].second;
  }

  static void strip_wrappers(std::vector<NamedTensor>& tensors) {
    for (bool again = !tensors.empty(); again;) {
      again = false;
      for (const std::string_view wrapper : {"module.", "_orig_mod.", "model.", "net."}) {
        const bool all = std::all_of(tensors.begin(), tensors.end(), [&](const NamedTensor& tensor) {
          return tensor.name.size() > wrapper.size() && tensor.name.starts_with(wrapper);
        });
        if (!all) continue;
        for (NamedTensor& tensor : tensors) tensor.name.erase(0, wrapper.size());
        again = true;
      }
    }
  }

  std::vector<NamedTensor> tensors_of(const PickleValue* dict) {
    std::vector<NamedTensor> tensors;
    std::set<std::string_view> names;
    for (std::size_t i = 0; i < dict->items.size(); i += 2) {
      const PickleValue& key = pickle_.at(dict->items[i]);
      const PickleValue& value = pickle_.at(dict->items[i + 1]);
      if (key.kind != Kind::kString) {
        throw Error(what_ + ": a key of its state_dict is no string; save only the state_dict of a model");
      }
      const std::string what = what_ + ": entry " + in_quotes(key.text);
      if (!names.insert(key.text).second) throw Error(what + " comes twice in the state_dict; save it again");
      if (value.kind != Kind::kTensor) {
        throw Error(what + " of the state_dict is no tensor; save only the state_dict of a model");
      }
      tensors.push_back(tensor(key.text, value, what));
    }
    return tensors;
  }

  struct Storage {
    std::string dtype;
    std::span<const std::byte> bytes;
  };

  [[noreturn]] static void malformed(const std::string& what, const std::string& why) {
    throw Error(what + " " + why + "; save it again with torch.save");
  }

  const PickleValue& item(const PickleValue& value, std::size_t i, Kind kind, const std::string& what) const {
    if (i >= value.items.size() || pickle_.at(value.items[i]).kind != kind) {
      malformed(what, "is not described the way torch.save describes a tensor");
    }
    return pickle_.at(value.items[i]);
  }

  std::vector<std::int64_t> integers(const PickleValue& tuple, const std::string& what) const {
    if (tuple.items.size() > kMaxRank) malformed(what, "has more than 16 dimensions");
    std::vector<std::int64_t> numbers;
    for (std::size_t i = 0; i < tuple.items.size(); ++i) {
      numbers.push_back(item(tuple, i, Kind::kInt, what).integer);
      if (numbers.back() < 0) malformed(what, "has a negative size or stride");
    }
    return numbers;
  }

  void charge(std::uint64_t bytes, const std::string& what) {
    if (bytes > kMaxCheckpointBytes - used_) malformed(what, "takes the checkpoint past 1 GiB");
    used_ += bytes;
  }

  Storage storage(const PickleValue& reference, const std::string& what) {
    const auto [dtype, key, count] = torch_storage_id(pickle_, reference, what);
    auto found = storages_.find(key);
    if (found == storages_.end()) {
      auto bytes = container_->storage(key);
      if (!bytes) malformed(what, "needs the storage " + key + ", which is missing");
      charge(bytes->size(), what);
      found = storages_.emplace(key, std::move(*bytes)).first;
    }
    const std::size_t size = dtype_size(dtype);
    const std::size_t held = found->second.size();
    if (count < 0 || held % size != 0 || held / size != static_cast<std::uint64_t>(count)) {
      malformed(what, "needs " + std::to_string(count) + " elements of storage " + key + ", which has " +
                          std::to_string(held) + " bytes");
    }
    return {dtype, found->second};
  }

  // _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks): element (i, j, ...) is number
  // offset + i * stride[0] + j * stride[1] + ... of the storage.
  NamedTensor tensor(const std::string& name, const PickleValue& value, const std::string& what) {
    const PickleValue& arguments = item(value, 0, Kind::kTuple, what);
    const Storage from = storage(item(arguments, 0, Kind::kStorage, what), what);
    const std::int64_t offset = item(arguments, 1, Kind::kInt, what).integer;
    NamedTensor result{name, from.dtype, integers(item(arguments, 2, Kind::kTuple, what), what), {}};
    const std::vector<std::int64_t> stride = integers(item(arguments, 3, Kind::kTuple, what), what);
    if (stride.size() != result.shape.size()) malformed(what, "has not one stride per dimension");
    const std::int64_t count = element_count(result.shape, what);
    const std::size_t size = dtype_size(result.dtype);
    check_reach(result.shape, stride, offset, count, from.bytes.size() / size, what);
    if (static_cast<std::uint64_t>(count) > kMaxCheckpointBytes) malformed(what, "takes the checkpoint past 1 GiB");
    charge(static_cast<std::uint64_t>(count) * size, what);
    result.data.resize(static_cast<std::size_t>(count) * size);
    if (count > 0) gather(result, stride, from.bytes.subspan(static_cast<std::size_t>(offset) * size), size);
    return result;
  }

  static void check_reach(const std::vector<std::int64_t>& shape, const std::vector<std::int64_t>& stride,
                          std::int64_t offset, std::int64_t count, std::size_t held, const std::string& what) {
    std::int64_t last = offset;
    bool inside = offset >= 0;
    for (std::size_t i = 0; count > 0 && i < shape.size(); ++i) {
      std::int64_t reach = 0;
      if (__builtin_mul_overflow(shape[i] - 1, stride[i], &reach) || __builtin_add_overflow(last, reach, &last)) {
        inside = false;
        break;
      }
    }
    if (count > 0 && (!inside || static_cast<std::uint64_t>(last) >= held)) {
      malformed(what, "reaches outside its storage of " + std::to_string(held) + " elements");
    }
  }

  // Copies run by run, a run being one step of the last dimension that is not contiguous with those after it.
  static void gather(NamedTensor& to, const std::vector<std::int64_t>& stride, std::span<const std::byte> from,
                     std::size_t size) {
    std::size_t rank = to.shape.size();
    std::int64_t run = 1;
    while (rank > 0 && (stride[rank - 1] == run || to.shape[rank - 1] == 1)) run *= to.shape[--rank];
    const std::size_t run_bytes = static_cast<std::size_t>(run) * size;
    std::vector<std::int64_t> index(rank, 0);
    std::int64_t at = 0;
    for (std::size_t done = 0; done < to.data.size(); done += run_bytes) {
      std::memcpy(to.data.data() + done, from.data() + static_cast<std::size_t>(at) * size, run_bytes);
      // Never steps past the last element: a stride of a dimension of 1 may be any number.
      for (std::size_t i = rank; i-- > 0;) {
        if (index[i] + 1 < to.shape[i]) {
          ++index[i];
          at += stride[i];
          break;
        }
        at -= stride[i] * index[i];
        index[i] = 0;
      }
    }
  }

  std::string what_;
  std::unique_ptr<TorchContainer> container_;
  const Pickle& pickle_;
  std::vector<std::pair<std::string, const PickleValue*>> sets_;  ///< dicts of tensors, by the keys that lead to them
  std::map<std::string, std::vector<std::byte>> storages_;
  std::uint64_t used_ = 0;
};

}  // namespace

Checkpoint read_torch_checkpoint(std::unique_ptr<InputFile> file, const std::string& key) {
  return CheckpointReader(std::move(file)).read(key);
}

}  // namespace flowsmith::core
