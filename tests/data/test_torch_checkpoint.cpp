#include <algorithm>
#include <catch2/catch.hpp>
#include <numeric>

#include "data/torch_checkpoint.h"
#include "engine/file.h"
#include "tests/data/torch_files.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;
using Entries = std::vector<std::pair<std::string, std::string>>;

const std::string kBytes = "abcdefghijkl";  // the storage data/0 of the checkpoints below

std::vector<NamedTensor> read_entries(const Entries& entries, bool compressed = false) {
  TempDir dir;
  write_zip(dir.file("some.ckpt"), entries, compressed);
  return read_checkpoint(dir.file("some.ckpt")).tensors;
}

std::string complaint(const Entries& entries, bool compressed = false) {
  const std::string message = error_of([&] { read_entries(entries, compressed); });
  CHECK_THAT(message, Contains("some.ckpt'"));
  return message;
}

// A state_dict with this one entry "w".
Entries checkpoint(const std::string& value) {
  return {{"a/data.pkl", pickled::file(pickled::dict({{"w", value}}))}, {"a/data/0", kBytes}};
}

Entries bytes_checkpoint(std::int64_t offset, const std::vector<std::int64_t>& shape,
                         const std::vector<std::int64_t>& stride) {
  return checkpoint(pickled::tensor(pickled::storage("ByteStorage", "0", 12), offset, shape, stride));
}

std::string read_text(const Entries& entries) {
  const auto tensors = read_entries(entries);
  REQUIRE(tensors.size() == 1);
  const auto bytes = tensors[0].as<std::uint8_t>();
  return {bytes.begin(), bytes.end()};
}

template <class T>
void check_values(const std::vector<NamedTensor>& tensors, const std::string& name, std::vector<std::int64_t> shape,
                  const std::vector<T>& values) {
  INFO(name);
  const auto found = std::find_if(tensors.begin(), tensors.end(), [&](const auto& t) { return t.name == name; });
  REQUIRE(found != tensors.end());
  CHECK(found->shape == shape);
  const std::span<const T> read = found->template as<T>();
  CHECK(std::vector<T>(read.begin(), read.end()) == values);
}

TEST_CASE("a genuine checkpoint gives its weights", "[torch_checkpoint]") {
  // Written by PyTorch itself: torch_small.py beside this file.
  const std::string name = GENERATE("torch_small.ckpt", "torch_small_legacy.pt");
  INFO(name);
  const auto tensors = read_checkpoint(std::string(FLOWSMITH_SOURCE_DIR) + "/tests/data/" + name).tensors;
  REQUIRE(tensors.size() == 11);
  CHECK(tensors[0].name == "weight");
  CHECK(tensors[1].name == "bias");
  std::vector<float> counting(24);
  std::iota(counting.begin(), counting.end(), 0.0f);
  check_values<float>(tensors, "plain", {2, 3, 4}, counting);
  // Element (k, i, j) is element (i, j, k) of "plain": 12 i + 4 j + k.
  std::vector<float> transposed;
  for (int k = 0; k < 4; ++k) {
    for (int i = 0; i < 2; ++i) {
      for (int j = 0; j < 3; ++j) transposed.push_back(static_cast<float>(12 * i + 4 * j + k));
    }
  }
  check_values<float>(tensors, "transposed", {4, 2, 3}, transposed);
  check_values<float>(tensors, "part", {2, 3}, {7, 9, 11, 13, 15, 17});
  check_values<float>(tensors, "spread", {2, 3}, {1.5, 1.5, 1.5, -2.5, -2.5, -2.5});
  check_values<double>(tensors, "double", {2}, {0.1, -1e300});
  check_values<std::int64_t>(tensors, "count", {}, {std::int64_t{1} << 40});
  check_values<std::int32_t>(tensors, "int", {2}, {-7, 8});
  check_values<std::uint8_t>(tensors, "byte", {1, 2}, {0, 255});
  check_values<float>(tensors, "empty", {0, 3}, {});
}

TEST_CASE("a bare state_dict is read like a wrapped one", "[torch_checkpoint]") {
  const std::string tensor = pickled::tensor(pickled::storage("ByteStorage", "0", 12), 0, {12}, {1});
  CHECK(read_text(checkpoint(tensor)) == kBytes);
  const std::string wrapped = pickled::dict({{"epoch", "K\x03"}, {"state_dict", pickled::dict({{"w", tensor}})}});
  CHECK(read_text({{"x/data.pkl", pickled::file(wrapped)}, {"x/data/0", kBytes}, {"x/version", "3\n"}}) == kBytes);
  CHECK(read_entries({{"a/data.pkl", pickled::file("}")}}).empty());
}

TEST_CASE("weights are found under whatever keys people save them", "[torch_checkpoint]") {
  const std::string tensor = pickled::tensor(pickled::storage("ByteStorage", "0", 12), 0, {12}, {1});
  const auto set = [&](const std::string& name) { return pickled::dict({{name, tensor}}); };
  TempDir dir;
  const auto read = [&](const std::string& root, const std::string& key = "") {
    write_zip(dir.file("some.ckpt"), {{"a/data.pkl", pickled::file(root)}, {"a/data/0", kBytes}});
    return read_checkpoint(dir.file("some.ckpt"), key);
  };
  const auto name_of = [&](const std::string& root, const std::string& key = "") {
    const Checkpoint checkpoint = read(root, key);
    REQUIRE(checkpoint.tensors.size() == 1);
    return checkpoint.key + ":" + checkpoint.tensors[0].name;
  };
  using pickled::dict;
  CHECK(name_of(set("w")) == ":w");
  CHECK(name_of(dict({{"model_state_dict", set("w")}, {"epoch", "K\x03"}})) == "model_state_dict:w");
  CHECK(name_of(dict({{"state_dict", dict({{"model", set("w")}})}})) == "state_dict.model:w");
  CHECK(name_of(dict({{"model", dict({{"state_dict", set("w")}, {"epoch", "K\x03"}})}})) == "model.state_dict:w");
  CHECK(name_of(dict({{"whatever", set("w")}})) == "whatever:w");
  // Wrappers put words before all names, and before the words of others.
  for (const std::string before : {"module.", "_orig_mod.", "model.", "net.", "module._orig_mod.", "model.module."}) {
    CHECK(name_of(dict({{"state_dict", set(before + "flows.1.w")}})) == "state_dict:flows.1.w");
  }
  const std::string mixed = pickled::dict({{"model.w", tensor}, {"flows.w", tensor}});
  CHECK(read(mixed).tensors[0].name == "model.w");

  // Several sets: the likeliest, and the others by name.
  const std::string both = dict({{"ema", set("e")}, {"model", set("w")}, {"optimizer", dict({{"state", "}"}})}});
  CHECK(name_of(both) == "model:w");
  CHECK(read(both).others == std::vector<std::string>{"ema"});
  CHECK(name_of(both, "ema") == "ema:e");
  CHECK_THAT(error_of([&] { read(both, "mea"); }), Contains("'mea'") && Contains("'ema', 'model'"));
  // Values that contain themselves do not keep the reader.
  CHECK_THAT(error_of([&] { read("}q\x01X" + pickled::word(1) + "ah\x01s"); }), Contains("no tensor"));
}

TEST_CASE("checkpoints hold numbers of every type", "[torch_checkpoint]") {
  const auto numbers = [&](const std::string& type, const std::string& bytes, std::int64_t count) {
    const std::string tensor = pickled::tensor(pickled::storage(type, "0", count), 0, {count}, {1});
    const NamedTensor read =
        read_entries({{"a/data.pkl", pickled::file(pickled::dict({{"w", tensor}}))}, {"a/data/0", bytes}})[0];
    return numbers_of(read.dtype, read.data);
  };
  using namespace std::literals;
  CHECK(numbers("HalfStorage", "\x00\x3c\x00\xc0"s, 2) == std::vector<double>{1, -2});
  CHECK(numbers("BFloat16Storage", "\x80\x3f\x00\xc0"s, 2) == std::vector<double>{1, -2});
  CHECK(numbers("ShortStorage", "\xfe\xff"s, 1) == std::vector<double>{-2});
  CHECK(numbers("CharStorage", "\xfe"s, 1) == std::vector<double>{-2});
  CHECK(numbers("BoolStorage", "\x01\x00"s, 2) == std::vector<double>{1, 0});
}

TEST_CASE("offsets and strides pick the elements of the storage", "[torch_checkpoint]") {
  CHECK(read_text(bytes_checkpoint(3, {4}, {2})) == "dfhj");
  CHECK(read_text(bytes_checkpoint(0, {3, 4}, {4, 1})) == kBytes);
  CHECK(read_text(bytes_checkpoint(0, {4, 3}, {1, 4})) == "aeibfjcgkdhl");
  CHECK(read_text(bytes_checkpoint(1, {2, 2, 2}, {6, 3, 1})) == "bcefhikl");
  CHECK(read_text(bytes_checkpoint(11, {}, {})) == "l");
  CHECK(read_text(bytes_checkpoint(11, {2, 3}, {0, 0})) == "llllll");
  CHECK(read_text(bytes_checkpoint(0, {2, 1, 3}, {4, 99, 2})) == "aceegi");
  // The stride of a dimension of one element is never taken, whatever it is.
  CHECK(read_text(bytes_checkpoint(0, {2, 1, 3}, {4, INT64_MAX, 2})) == "aceegi");
  CHECK(read_text(bytes_checkpoint(12, {0, 5}, {5, 1})).empty());
}

TEST_CASE("tensors that reach outside their storage are refused", "[torch_checkpoint]") {
  for (const auto& entries :
       {bytes_checkpoint(0, {13}, {1}), bytes_checkpoint(1, {12}, {1}), bytes_checkpoint(12, {}, {}),
        bytes_checkpoint(-1, {2}, {1}), bytes_checkpoint(0, {3, 4}, {5, 1}), bytes_checkpoint(INT64_MAX, {2}, {1}),
        bytes_checkpoint(0, {2}, {INT64_MAX}), bytes_checkpoint(1, {2, 2}, {INT64_MAX, 1}),
        bytes_checkpoint(0, {4}, {INT64_MAX / 2})}) {
    CHECK_THAT(complaint(entries), Contains("'w'") && Contains("outside its storage"));
  }
  CHECK_THAT(complaint(bytes_checkpoint(11, {2}, {-1})), Contains("'w'") && Contains("negative"));
  CHECK_THAT(complaint(bytes_checkpoint(0, {-2}, {1})), Contains("'w'") && Contains("negative"));
  CHECK_THAT(complaint(bytes_checkpoint(0, {2, 2}, {1})), Contains("'w'") && Contains("one stride per dimension"));
  CHECK_THAT(complaint(bytes_checkpoint(0, std::vector<std::int64_t>(17, 1), std::vector<std::int64_t>(17, 1))),
             Contains("'w'") && Contains("16 dimensions"));
}

TEST_CASE("tensors that would fill the memory are refused", "[torch_checkpoint]") {
  CHECK_THAT(complaint(bytes_checkpoint(0, {1 << 20, 1 << 20}, {0, 0})), Contains("'w'") && Contains("1 GiB"));
  CHECK_THAT(complaint(bytes_checkpoint(0, {INT64_MAX, 3}, {0, 0})), Contains("'w'") && Contains("impossible shape"));
  // 2^60 elements of 8 bytes: 0 bytes modulo 2^63.
  CHECK_THAT(complaint({{"a/data.pkl",
                         pickled::file(pickled::dict({{"w", pickled::tensor(pickled::storage("LongStorage", "0", 1), 0,
                                                                            {std::int64_t{1} << 60}, {0})}}))},
                        {"a/data/0", "12345678"}}),
             Contains("'w'") && Contains("1 GiB"));
}

TEST_CASE("storages must be those of the file", "[torch_checkpoint]") {
  const auto of_storage = [](const std::string& storage) {
    return complaint(checkpoint(pickled::tensor(storage, 0, {1}, {1})));
  };
  CHECK_THAT(of_storage(pickled::storage("ByteStorage", "7", 12)), Contains("storage 7") && Contains("missing"));
  CHECK_THAT(of_storage(pickled::storage("ByteStorage", "../../etc/passwd", 12)), Contains("no number"));
  CHECK_THAT(of_storage(pickled::storage("ByteStorage", "", 12)), Contains("no number"));
  CHECK_THAT(of_storage(pickled::storage("ByteStorage", "0", 13)), Contains("13 elements") && Contains("12 bytes"));
  CHECK_THAT(of_storage(pickled::storage("FloatStorage", "0", 12)), Contains("12 elements") && Contains("12 bytes"));
  CHECK_THAT(of_storage(pickled::storage("ByteStorage", "0", -1)), Contains("-1 elements"));
  CHECK_THAT(of_storage(pickled::storage("DoubleStorage", "0", 1)), Contains("12 bytes"));
  CHECK_THAT(of_storage(pickled::storage("ComplexFloatStorage", "0", 6)), Contains("'torch ComplexFloatStorage'"));
  CHECK_THAT(of_storage(pickled::tuple({pickled::text("storage")}) + "Q"), Contains("not described"));
  CHECK_THAT(of_storage(pickled::tuple({pickled::text("module"), "ctorch\nByteStorage\n", pickled::text("0"),
                                        pickled::text("cpu"), pickled::integer(12)}) +
                        "Q"),
             Contains("torch storage"));
  CHECK_THAT(of_storage(pickled::tuple({pickled::text("storage"), "ccollections\nOrderedDict\n", pickled::text("0"),
                                        pickled::text("cpu"), pickled::integer(12)}) +
                        "Q"),
             Contains("torch storage"));
  CHECK_THAT(of_storage("N"), Contains("'w'") && Contains("not described"));
}

TEST_CASE("what is no state_dict is refused", "[torch_checkpoint]") {
  const auto of_root = [](const std::string& root) { return complaint({{"a/data.pkl", pickled::file(root)}}); };
  CHECK_THAT(of_root("N"), Contains("no state_dict"));
  CHECK_THAT(of_root(pickled::dict({{"state_dict", "]"}})), Contains("no state_dict"));
  CHECK_THAT(of_root(pickled::dict({{"epoch", "K\x03"}})), Contains("'epoch'") && Contains("no tensor"));
  CHECK_THAT(of_root(pickled::dict({{"bad\nname", "N"}})), Contains("'bad?name'"));
  CHECK_THAT(of_root("}K\x01Ns"), Contains("is no string"));
  CHECK_THAT(of_root(pickled::dict({{"w", "ctorch._utils\n_rebuild_tensor_v2\n)R"}})), Contains("not described"));
  const std::string tensor = pickled::tensor(pickled::storage("ByteStorage", "0", 12), 0, {12}, {1});
  CHECK_THAT(
      complaint({{"a/data.pkl", pickled::file(pickled::dict({{"w", tensor}, {"w", tensor}}))}, {"a/data/0", kBytes}}),
      Contains("'w'") && Contains("twice"));
}

TEST_CASE("a checkpoint that would run code is refused by name", "[torch_checkpoint]") {
  CHECK_THAT(complaint(checkpoint("cos\nsystem\n" + pickled::tuple({pickled::text("true")}) + "R")),
             Contains("'os system'") && Contains("run code"));
  CHECK_THAT(complaint(checkpoint("ctorch.nn.modules.linear\nLinear\n)\x81}b")),
             Contains("torch.nn.modules.linear Linear"));
}

TEST_CASE("files that are no checkpoint are refused", "[torch_checkpoint]") {
  TempDir dir;
  const std::string path = dir.file("some.ckpt");
  const auto reading = [&] { return error_of([&] { read_checkpoint(path); }); };
  CHECK_THAT(reading(), Contains("some.ckpt'") && Contains("No such file"));
  dir.write("some.ckpt", "\x80\x02\x8a\nl\xfc\x9c\x46\xf9 nearly the old format of torch.save");
  CHECK_THAT(reading(), Contains("some.ckpt'") && Contains("a pickle that torch.save did not write"));
  dir.write("some.ckpt", "<!DOCTYPE html><html>");
  CHECK_THAT(reading(), Contains("an HTML page") && Contains("download it again"));
  write_safetensors(dir.file("some.ckpt"), {{{"a", "b"}}, {}});
  CHECK_THAT(reading(), Contains("a safetensors file already") && !Contains("torch.save"));
  dir.write("some.ckpt", "");
  CHECK_THAT(reading(), Contains("some.ckpt'"));
  CHECK_THAT(error_of([&] { read_checkpoint(dir.path().string()); }), Contains("it is a folder"));
  CHECK_THAT(complaint({{"readme.txt", "x"}}), Contains("no data.pkl"));
  CHECK_THAT(complaint({{"data.pkl", pickled::file("}")}}), Contains("no data.pkl"));
  CHECK_THAT(complaint({{"a/b/data.pkl", pickled::file("}")}}), Contains("no data.pkl"));
  CHECK_THAT(complaint({{"a/data.pkl", pickled::file("}")}, {"b/data.pkl", pickled::file("}")}}),
             Contains("more than one"));
  CHECK_THAT(complaint({{"a/data.pkl", "\x80\x02}("}}), Contains("cut off"));
}

// The format before PyTorch 1.6 around a pickle whose tensors lie in the storage data/0.
std::string legacy_file(const std::string& pickle, const std::string& little = "\x88", const std::string& keys = "0") {
  const std::string magic("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);
  const std::string count = std::string(1, char(kBytes.size())) + std::string(7, '\0');
  return magic + pickled::file(pickled::integer(1001)) + pickled::file(pickled::dict({{"little_endian", little}})) +
         pickle + pickled::file("](" + pickled::text(keys) + "e") + count + kBytes;
}

TEST_CASE("the format before PyTorch 1.6 is read, and refused where it is damaged", "[torch_checkpoint]") {
  TempDir dir;
  const std::string path = dir.file("old.pt");
  const std::string pickle = bytes_checkpoint(0, {3, 4}, {1, 3})[0].second;
  const auto reading = [&](const std::string& bytes) {
    dir.write("old.pt", bytes);
    return error_of([&] { read_checkpoint(path); });
  };
  const std::string whole = legacy_file(pickle);
  dir.write("old.pt", whole);
  const auto tensors = read_checkpoint(path).tensors;
  REQUIRE(tensors.size() == 1);
  check_values<std::uint8_t>(tensors, "w", {3, 4}, {'a', 'd', 'g', 'j', 'b', 'e', 'h', 'k', 'c', 'f', 'i', 'l'});
  CHECK_THAT(reading(legacy_file(pickle, "\x89")), Contains("old.pt'") && Contains("big-endian"));
  CHECK_THAT(reading(legacy_file(pickle, "N")), Contains("in which order"));
  CHECK_THAT(reading(legacy_file(pickle, "\x88", "1")), Contains("a storage that nothing in it mentions"));
  CHECK_THAT(reading(whole + "x"), Contains("goes on behind its end"));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CHECK_THAT(reading(whole.substr(0, size)), Contains("cut off") || Contains("no checkpoint"));
  }
}

TEST_CASE("the byte order must be little", "[torch_checkpoint]") {
  Entries entries = bytes_checkpoint(0, {12}, {1});
  entries.emplace_back("a/byteorder", "little");
  CHECK(read_text(entries) == kBytes);
  entries.back().second = "big";
  CHECK_THAT(complaint(entries), Contains("big-endian"));
}

TEST_CASE("a compressed checkpoint is read, and does not swell beyond what is meant", "[torch_checkpoint]") {
  Entries entries = bytes_checkpoint(0, {12}, {1});
  const auto tensors = read_entries(entries, true);
  REQUIRE(tensors.size() == 1);
  CHECK(tensors[0].shape == std::vector<std::int64_t>{12});
  entries[0].second.insert(2, std::string(17'000'000, 'N'));
  CHECK_THAT(complaint(entries, true), Contains("'a/data.pkl'") && Contains("17000") && Contains("too many"));
}

TEST_CASE("a damaged or cut checkpoint is refused", "[torch_checkpoint]") {
  TempDir dir;
  const std::string path = dir.file("some.ckpt");
  write_zip(path, bytes_checkpoint(0, {12}, {1}));
  const std::string whole = read_text_file(path, 100000);
  const std::size_t at = whole.find(kBytes);
  REQUIRE(at != std::string::npos);
  std::string damaged = whole;
  damaged[at] ^= 1;
  dir.write("some.ckpt", damaged);
  CHECK_THAT(error_of([&] { read_checkpoint(path); }), Contains("'a/data/0'") && Contains("damaged"));
  for (std::size_t size = 0; size < whole.size(); size += 7) {
    dir.write("some.ckpt", whole.substr(0, size));
    error_of([&] { read_checkpoint(path); });
  }
}

TEST_CASE("a checkpoint with any one bit changed is read or refused, never worse", "[torch_checkpoint]") {
  // For the sanitizers, mostly: the bytes of the zip structure and of the pickle, each with one of its bits changed.
  TempDir dir;
  const std::string path = dir.file("some.ckpt");
  const bool legacy = GENERATE(false, true);
  write_zip(path, bytes_checkpoint(0, {3, 4}, {1, 3}));
  const std::string whole =
      legacy ? legacy_file(bytes_checkpoint(0, {3, 4}, {1, 3})[0].second) : read_text_file(path, 100000);
  std::size_t refused = 0;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ 1 << at % 8);
    dir.write("some.ckpt", bytes);
    try {
      read_checkpoint(path);
    } catch (const Error&) {
      ++refused;
    }
  }
  // In the zip file the pickle and the storage are more than half, and their checksums leave no bit unnoticed.
  CHECK(refused > whole.size() / (legacy ? 4 : 2));
}

}  // namespace
}  // namespace flowsmith::core
