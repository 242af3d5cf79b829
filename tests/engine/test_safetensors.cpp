#include <catch2/catch.hpp>
#include <cstring>
#include <limits>
#include <string>

#include "engine/file.h"
#include "engine/safetensors.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;

template <class T>
NamedTensor tensor_of(const std::string& name, std::vector<std::int64_t> shape, std::vector<T> values) {
  return NamedTensor::of<T>(name, std::move(shape), std::span<const T>(values));
}

std::string file_bytes(const std::string& header, const std::string& data, std::int64_t claim_more = 0) {
  std::string bytes(8, '\0');
  const std::uint64_t size = header.size() + static_cast<std::uint64_t>(claim_more);
  std::memcpy(bytes.data(), &size, 8);
  return bytes + header + data;
}

// What reading this content complains of.
std::string complaint(const std::string& bytes) {
  TempDir dir;
  dir.write("bad.safetensors", bytes);
  const std::string message = error_of([&] { read_safetensors(dir.file("bad.safetensors")); });
  CHECK_THAT(message, Contains("bad.safetensors"));
  return message;
}

std::string complaint(const std::string& header, const std::string& data) {
  return complaint(file_bytes(header, data));
}

// A header of one tensor "t" of four F32 with this replaced.
std::string complaint_with(const std::string& part, const std::string& replacement) {
  std::string header = R"({"t":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}})";
  const std::size_t at = header.find(part);
  REQUIRE(at != std::string::npos);
  return complaint(header.replace(at, part.size(), replacement), std::string(16, 'x'));
}

TEST_CASE("safetensors written are read back bit by bit, in order", "[safetensors]") {
  TempDir dir;
  const std::string path = dir.file("a.safetensors");
  const float nan = std::numeric_limits<float>::quiet_NaN();
  SafetensorsFile out;
  out.metadata = {{"format", "pt"}, {"note", "a \"quoted\"\nline, gr\xc3\xbcn"}};
  out.tensors = {tensor_of<float>("z.weight", {2, 3}, {1, 2, 3, 4, 5, nan}),
                 tensor_of<std::uint8_t>("a", {3}, {7, 8, 9}),
                 tensor_of<double>("scalar", {}, {-0.0}),
                 tensor_of<std::int64_t>("empty", {0, 5}, {}),
                 tensor_of<std::int32_t>("i32", {1}, {-4}),
                 tensor_of<std::int64_t>("step \xe2\x9c\x93", {2}, {std::int64_t{1} << 62, -1})};
  write_safetensors(path, out);
  const SafetensorsFile in = read_safetensors(path);
  CHECK(in.metadata == out.metadata);
  REQUIRE(in.tensors.size() == out.tensors.size());
  for (std::size_t i = 0; i < in.tensors.size(); ++i) {
    CHECK(in.tensors[i].name == out.tensors[i].name);
    CHECK(in.tensors[i].dtype == out.tensors[i].dtype);
    CHECK(in.tensors[i].shape == out.tensors[i].shape);
    CHECK(in.tensors[i].data == out.tensors[i].data);
  }
  CHECK(in.find("z.weight")->as<float>()[4] == 5.0f);
  CHECK(in.find("nothing") == nullptr);
}

TEST_CASE("the bytes of a safetensors file are those of the specification", "[safetensors]") {
  TempDir dir;
  write_safetensors(dir.file("a"), {{{"k", "v"}}, {tensor_of<std::uint8_t>("t", {2, 1}, {65, 66})}});
  std::string header = R"({"__metadata__":{"k":"v"},"t":{"dtype":"U8","shape":[2,1],"data_offsets":[0,2]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  CHECK(read_text_file(dir.file("a"), 1000) == file_bytes(header, "AB"));
  write_safetensors(dir.file("b"), {});
  CHECK(read_text_file(dir.file("b"), 1000) == file_bytes("{}      ", ""));
  CHECK(read_safetensors(dir.file("b")).tensors.empty());
}

TEST_CASE("a header in any order is read in the order of the data", "[safetensors]") {
  TempDir dir;
  const std::string header = R"( {"b":{"data_offsets":[1,3],"shape":[2],"dtype":"U8"},)"
                             R"("e":{"dtype":"F32","shape":[0],"data_offsets":[1,1]},)"
                             R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"__metadata__":{}} )";
  dir.write("a", file_bytes(header, "xyz"));
  const SafetensorsFile in = read_safetensors(dir.file("a"));
  REQUIRE(in.tensors.size() == 3);
  CHECK(in.tensors[0].name == "a");
  CHECK(in.tensors[1].name == "e");
  CHECK(in.find("b")->as<std::uint8_t>()[1] == 'z');
}

TEST_CASE("a tensor is viewed only as what it is", "[safetensors]") {
  const NamedTensor tensor = tensor_of<float>("net.weight", {2}, {1, 2});
  CHECK(tensor.as<float>().size() == 2);
  CHECK_THAT(error_of([&] { tensor.as<double>(); }), Contains("'net.weight'") && Contains("F32") && Contains("F64"));
  CHECK_THAT(error_of([&] { tensor_of<float>("t", {2, 2}, {1, 2}); }), Contains("'t'") && Contains("(2, 2)"));
}

TEST_CASE("safetensors with a broken frame are refused", "[safetensors]") {
  CHECK_THAT(complaint(""), Contains("too short"));
  CHECK_THAT(complaint("1234567"), Contains("too short"));
  CHECK_THAT(complaint(file_bytes("{}", "", 1)), Contains("header of 3 bytes"));
  CHECK_THAT(complaint(std::string(8, '\xff') + "{}"), Contains("header of 18446744073709551615 bytes"));
  CHECK_THAT(complaint(file_bytes("", "")), Contains("not valid JSON"));
  CHECK_THAT(complaint("{\"t\":", ""), Contains("not valid JSON"));
  CHECK_THAT(complaint("{} {}", ""), Contains("not valid JSON"));
  CHECK_THAT(complaint("{\"\xff\":{}}", ""), Contains("not valid JSON"));
  CHECK_THAT(complaint(std::string("{}\0{}", 5), ""), Contains("zero byte"));
  CHECK_THAT(complaint("[]", ""), Contains("a list"));
  CHECK_THAT(complaint("7", ""), Contains("a number"));
  CHECK_THAT(complaint(std::string(100000, '['), ""), Contains("a list"));
  CHECK_THAT(complaint("{}", "x"), Contains("1 bytes follow"));
}

TEST_CASE("safetensors with a header over 100 MB are refused before it is read", "[safetensors]") {
  TempDir dir;
  dir.write("a", file_bytes("", "", 100'000'001));
  std::filesystem::resize_file(dir.file("a"), 200'000'000);  // sparse: takes no space
  CHECK_THAT(error_of([&] { read_safetensors(dir.file("a")); }), Contains("header of 100000001 bytes"));
}

TEST_CASE("files of other kinds are called what they are, with what reads them", "[safetensors]") {
  const std::pair<std::string, std::string> kinds[] = {
      {"<!DOCTYPE html>\n<html><body>404</body></html>", "an HTML page"},
      {"\n <HTML><head></head></HTML>", "an HTML page"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"},
      {"PK\x03\x04 and so on", "a zip file; flow import reads"},
      {"\x80\x04\x95 and so on", "a pickle; flow import reads those of torch.save"},
      {"\x93NUMPY\x01 and so on", "an array of NumPy"},
      {"\x89PNG\r\n and so on", "a PNG picture"},
      {"\x1f\x8b\x08 and so on", "gunzip"}};
  for (const auto& [bytes, what] : kinds) {
    INFO(what);
    TempDir dir;
    dir.write("w.safetensors", bytes);
    CHECK_THAT(error_of([&] { read_safetensors(dir.file("w.safetensors")); }),
               Contains("w.safetensors") && Contains("no safetensors file but ") && Contains(what));
  }
}

TEST_CASE("headers of any length are read, also those that begin like a pickle", "[safetensors]") {
  for (const int around : {640, 8192, 65536, 100'000}) {  // 640 is 80 02 in little-endian bytes, as a pickle begins
    for (const int size : {around - 1, around, around + 1}) {
      TempDir dir;
      std::string header = R"({"t":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})";
      header.resize(std::size_t(size), ' ');
      dir.write("a", file_bytes(header, "AB"));
      CHECK(read_safetensors(dir.file("a")).find("t")->as<std::uint8_t>()[1] == 'B');
    }
  }
}

TEST_CASE("safetensors with bad entries are refused by name", "[safetensors]") {
  CHECK_THAT(complaint_with("\"F32\"", "\"F8_E4M3\""), Contains("'t'") && Contains("'F8_E4M3'"));
  CHECK_THAT(complaint_with("\"F32\"", "4"), Contains("'t'") && Contains("a number in its dtype"));
  CHECK_THAT(complaint_with("\"F32\"", "null"), Contains("'t'") && Contains("null"));
  CHECK_THAT(complaint_with("\"F32\"", "\"F64\""), Contains("'t'") && Contains("16 bytes") && Contains("F64 (2, 2)"));
  CHECK_THAT(complaint_with("\"dtype\":\"F32\",", ""), Contains("'t'") && Contains("no dtype"));
  CHECK_THAT(complaint_with("\"shape\":[2,2],", ""), Contains("'t'") && Contains("no shape"));
  CHECK_THAT(complaint_with(",\"data_offsets\":[0,16]", ""), Contains("'t'") && Contains("no data_offsets"));
  CHECK_THAT(complaint_with("\"shape\"", "\"dtype\":\"F32\",\"shape\""), Contains("its dtype twice"));
  CHECK_THAT(complaint_with("\"shape\"", "\"strides\":[1],\"shape\""), Contains("unknown field 'strides'"));
  CHECK_THAT(complaint_with("[2,2]", "[2,3]"), Contains("16 bytes") && Contains("(2, 3)"));
  CHECK_THAT(complaint_with("[2,2]", "[-2,-2]"), Contains("'t'") && Contains("negative number in its shape"));
  CHECK_THAT(complaint_with("[2,2]", "[2.0,2]"), Contains("'t'") && Contains("not whole"));
  CHECK_THAT(complaint_with("[2,2]", "[[2],2]"), Contains("'t'") && Contains("a list"));
  CHECK_THAT(complaint_with("[2,2]", "4"), Contains("'t'") && Contains("a number in its shape"));
  // 2^32 * 2^32 is 0 modulo 2^64, and 2^62 * 4 bytes too: products must not wrap around.
  CHECK_THAT(complaint_with("[2,2]", "[4294967296,4294967296]"), Contains("'t'") && Contains("impossible shape"));
  CHECK_THAT(complaint_with("[2,2]", "[4611686018427387904]"), Contains("'t'") && Contains("16 bytes"));
  CHECK_THAT(complaint_with("[2,2]", "[18446744073709551615]"), Contains("'t'") && Contains("impossible shape"));
  CHECK_THAT(complaint_with("[2,2]", "[18446744073709551616]"), Contains("'t'") && Contains("too large"));
  std::string many = "[1";
  for (int i = 0; i < 40; ++i) many += ",1";
  CHECK_THAT(complaint_with("[2,2]", many + "]"), Contains("'t'") && Contains("more than 32"));
  CHECK_THAT(complaint_with("[0,16]", "[0,-16]"), Contains("'t'") && Contains("negative"));
  CHECK_THAT(complaint_with("[0,16]", "[16,0]"), Contains("'t'") && Contains("no [begin, end]"));
  CHECK_THAT(complaint_with("[0,16]", "[0,16,16]"), Contains("'t'") && Contains("no [begin, end]"));
  CHECK_THAT(complaint_with("[2,2],\"data_offsets\":[0,16]", "[4,2],\"data_offsets\":[0,32]"),
             Contains("'t'") && Contains("ends at byte 32 of 16"));
  CHECK_THAT(complaint_with("[0,16]", "[4,20]"), Contains("'t'") && Contains("hole"));
  CHECK_THAT(complaint_with("[0,16]", "[0,12]"), Contains("'t'") && Contains("12 bytes"));
  CHECK_THAT(complaint_with("[0,16]", "[0,18446744073709551615]"), Contains("'t'") && Contains("551615 bytes"));
  CHECK_THAT(complaint_with("{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}", "5"),
             Contains("'t'") && Contains("a number"));
  CHECK_THAT(complaint_with("{\"t\"", "{\"bad\\nname\":{},\"t\""), Contains("'bad?name'"));
}

TEST_CASE("safetensors whose names or data collide are refused", "[safetensors]") {
  const std::string one = R"("dtype":"U8","shape":[4],"data_offsets":)";
  CHECK_THAT(complaint("{\"a\":{" + one + "[0,4]},\"a\":{" + one + "[4,8]}}", "abcdefgh"), Contains("'a' comes twice"));
  CHECK_THAT(complaint("{\"a\":{" + one + "[0,4]},\"b\":{" + one + "[2,6]}}", "abcdef"),
             Contains("'b'") && Contains("overlaps"));
  CHECK_THAT(complaint("{\"a\":{" + one + "[0,4]},\"b\":{" + one + "[0,4]}}", "abcd"), Contains("overlaps"));
  CHECK_THAT(complaint("{\"a\":{" + one + "[0,4]},\"b\":{" + one + "[5,9]}}", "abcdefghi"),
             Contains("'b'") && Contains("hole"));
}

TEST_CASE("safetensors metadata holds unique strings only", "[safetensors]") {
  CHECK_THAT(complaint(R"({"__metadata__":{"k":1}})", ""), Contains("metadata 'k'") && Contains("a number"));
  CHECK_THAT(complaint(R"({"__metadata__":{"k":{"a":"b"}}})", ""), Contains("metadata 'k'") && Contains("an object"));
  CHECK_THAT(complaint(R"({"__metadata__":{"k":"a","k":"b"}})", ""), Contains("metadata 'k' comes twice"));
  CHECK_THAT(complaint(R"({"__metadata__":{},"__metadata__":{}})", ""), Contains("comes twice"));
  CHECK_THAT(complaint(R"({"__metadata__":"text"})", ""), Contains("a string"));
}

TEST_CASE("every truncation of a safetensors file is refused", "[safetensors]") {
  TempDir dir;
  write_safetensors(dir.file("whole"), {{{"k", "v"}}, {tensor_of<float>("t", {3}, {1, 2, 3})}});
  const std::string whole = read_text_file(dir.file("whole"), 1000);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    dir.write("cut", whole.substr(0, size));
    CHECK_THAT(error_of([&] { read_safetensors(dir.file("cut")); }), Contains("/cut'"));
  }
}

TEST_CASE("safetensors that could not be read back are not written", "[safetensors]") {
  TempDir dir;
  const std::string path = dir.file("a");
  const auto writing = [&](SafetensorsFile content) { return error_of([&] { write_safetensors(path, content); }); };
  const NamedTensor t = tensor_of<float>("t", {2}, {1, 2});
  CHECK_THAT(writing({{}, {t, t}}), Contains("'t'") && Contains("taken"));
  CHECK_THAT(writing({{}, {tensor_of<float>("__metadata__", {0}, {})}}), Contains("'__metadata__'"));
  CHECK_THAT(writing({{}, {{"t", "F8_E4M3", {0}, {}}}}), Contains("'F8_E4M3'"));
  CHECK_THAT(writing({{}, {{"t", "F32", {2}, std::vector<std::byte>(7)}}}), Contains("7 bytes"));
  CHECK_THAT(writing({{}, {{"t", "F32", {-2}, {}}}}), Contains("impossible shape"));
  CHECK_THAT(writing({{}, {{"t\xff", "F32", {0}, {}}}}), Contains("not UTF-8"));
  CHECK_THAT(writing({{{"k", "\xff"}}, {}}), Contains("not UTF-8"));
  CHECK_FALSE(std::filesystem::exists(path));
  CHECK_THAT(error_of([&] { write_safetensors(dir.file("none/a"), {}); }), Contains("none/a"));
}

}  // namespace
}  // namespace flowsmith::core
