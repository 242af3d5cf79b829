#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "data/npy.h"
#include "engine/file.h"
#include "tests/data/zip_files.h"
#include "tests/support/error_of.h"
#include "tests/support/temp_dir.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;

// A .npy file with this header, padded as NumPy pads it.
std::string npy_bytes(std::string header, const std::string& data, int version = 1) {
  const std::size_t before = version == 1 ? 10 : 12;
  while ((before + header.size() + 1) % 64 != 0) header += ' ';
  header += '\n';
  std::string bytes = "\x93NUMPY";
  bytes += static_cast<char>(version);
  bytes += '\0';
  for (std::size_t i = 0; i < (version == 1 ? 2 : 4); ++i) bytes += static_cast<char>(header.size() >> (8 * i) & 0xff);
  return bytes + header + data;
}

std::string complaint(const std::string& bytes) {
  TempDir dir;
  dir.write("bad.npy", bytes);
  const std::string message = error_of([&] { read_npy(dir.file("bad.npy")); });
  CHECK_THAT(message, Contains("bad.npy"));
  return message;
}

std::string header_complaint(const std::string& header) { return complaint(npy_bytes(header, "abcdef")); }

template <class T>
void check_round_trip(const std::vector<std::int64_t>& shape, const std::vector<T>& values) {
  TempDir dir;
  write_npy<T>(dir.file("a.npy"), shape, values);
  const NamedTensor read = read_npy(dir.file("a.npy"));
  CHECK(read.name == "a.npy");
  CHECK(read.shape == shape);
  CHECK(std::vector<T>(read.as<T>().begin(), read.as<T>().end()) == values);
}

TEST_CASE("arrays written as .npy are read back", "[npy]") {
  check_round_trip<std::uint8_t>({2, 1, 3}, {0, 1, 2, 253, 254, 255});
  check_round_trip<float>({2}, {1.5f, -0.0f});
  check_round_trip<double>({}, {0.1});
  check_round_trip<double>({0, 4}, {});
}

TEST_CASE(".npy files are byte for byte those of numpy.save", "[npy]") {
  TempDir dir;
  write_npy<std::uint8_t>(dir.file("a"), std::vector<std::int64_t>{2, 3},
                          std::vector<std::uint8_t>{'a', 'b', 'c', 'd', 'e', 'f'});
  CHECK(read_text_file(dir.file("a"), 1000) ==
        npy_bytes("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }", "abcdef"));
  write_npy<float>(dir.file("b"), std::vector<std::int64_t>{1}, std::vector<float>{1.0f});
  CHECK(read_text_file(dir.file("b"), 1000) ==
        npy_bytes("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", std::string("\0\0\x80\x3f", 4)));
}

TEST_CASE("every header that NumPy may write is understood", "[npy]") {
  TempDir dir;
  const auto shape_of = [&](const std::string& bytes) {
    dir.write("a", bytes);
    return read_npy(dir.file("a")).shape;
  };
  using Shape = std::vector<std::int64_t>;
  CHECK(shape_of(npy_bytes("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }", "abcdef", 2)) == Shape{2, 3});
  CHECK(shape_of(npy_bytes("{\"shape\":(6,),\"fortran_order\":True,\"descr\":\"|u1\"}", "abcdef")) == Shape{6});
  CHECK(shape_of(npy_bytes("{'descr': '<f8', 'fortran_order': False, 'shape': (), }", "12345678")) == Shape{});
  CHECK(shape_of(npy_bytes("{ 'descr' : '|u1' , 'fortran_order' : False , 'shape' : ( 1 , 6 , ) }", "abcdef")) ==
        Shape{1, 6});
}

TEST_CASE("the one array of a .npz file is read", "[npy]") {
  const TempDir dir;
  const std::string path = dir.file("some.npz");
  const std::string rows = npy_bytes("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }", "abcdef");
  const std::string columns =
      npy_bytes("{'descr': '>u2', 'fortran_order': True, 'shape': (2, 2), }", std::string("\0\1\0\2\0\3\0\4", 8));
  for (const bool compressed : {false, true}) {  // numpy.savez and savez_compressed
    write_zip(path, {{"arr_0.npy", rows}}, compressed);
    const NamedTensor array = read_npy(path);
    CHECK(array.shape == std::vector<std::int64_t>{2, 3});
    CHECK(std::string(reinterpret_cast<const char*>(array.data.data()), array.data.size()) == "abcdef");
    write_zip(path, {{"readme.txt", "x"}, {"x.npy", columns}}, compressed);
    const NamedTensor turned = read_npy(path);
    CHECK(numbers_of(turned.dtype, turned.data) == std::vector<double>{1, 3, 2, 4});
  }
  const auto reading = [&] { return error_of([&] { read_npy(path); }); };
  write_zip(path, {{"x.npy", rows}, {"y.npy", rows}});
  CHECK_THAT(reading(), Contains("some.npz'") && Contains("2 arrays: 'x.npy', 'y.npy'") && Contains("numpy.save"));
  write_zip(path, {{"readme.txt", "x"}});
  CHECK_THAT(reading(), Contains("0 arrays;"));
  for (std::size_t size = 0; size < rows.size(); ++size) {
    write_zip(path, {{"x.npy", rows.substr(0, size)}});
    CHECK_THAT(reading(), Contains("some.npz'"));
  }
  write_zip(path, {{"x.npy", rows + "g"}});
  CHECK_THAT(reading(), Contains("7 bytes of data, not those of U8 (2, 3)"));
}

TEST_CASE("a .npz file with any one bit changed is read or refused, never worse", "[npy]") {
  // For the sanitizers, mostly.
  const TempDir dir;
  const std::string rows =
      npy_bytes("{'descr': '|u1', 'fortran_order': False, 'shape': (20, 30), }", std::string(600, 'a'));
  const bool compressed = GENERATE(false, true);
  write_zip(dir.file("whole.npz"), {{"arr_0.npy", rows}}, compressed);
  const std::string whole = read_text_file(dir.file("whole.npz"), 100000);
  const std::vector<std::byte> expected = read_npy(dir.file("whole.npz")).data;
  std::size_t refused = 0;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ 1 << at % 8);
    dir.write("changed.npz", bytes);
    try {
      const NamedTensor read = read_npy(dir.file("changed.npz"));
      CHECK(read.data == expected);
    } catch (const Error&) {
      ++refused;
    }
  }
  // A bit of the array, compressed or not, is missed by no checksum; those of times and versions do not matter.
  CHECK(refused > whole.size() / 3);
}

TEST_CASE(".npy files of another kind are refused with the remedy", "[npy]") {
  const std::string good = npy_bytes("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }", "abcdef");
  CHECK_THAT(complaint(""), Contains("not a .npy file"));
  CHECK_THAT(complaint("PK\x03\x04 an .npz file"), Contains("no zip file"));
  CHECK_THAT(complaint("<!DOCTYPE html><html>"), Contains("an HTML page") && Contains("download it again"));
  CHECK_THAT(complaint(npy_bytes("{}", "", 4)), Contains("version"));
  CHECK_THAT(complaint(good + "g"), Contains("7 bytes of data, not those of U8 (2, 3)"));
  const auto of_type = [](const std::string& descr) {
    return header_complaint("{'descr': " + descr + ", 'fortran_order': False, 'shape': (2, 3), }");
  };
  CHECK_THAT(of_type("'<c8'"), Contains("'<c8'") && Contains("astype"));
  CHECK_THAT(of_type("'<U5'"), Contains("'<U5'") && Contains("astype"));
  CHECK_THAT(of_type("'f4'"), Contains("'f4'"));
  CHECK_THAT(of_type("''"), Contains("''"));
  CHECK_THAT(of_type("'|O'"), Contains("'|O'"));
  CHECK_THAT(of_type("[('x', '<f4')]"), Contains("records"));
}

TEST_CASE(".npy files of every type and byte order hold numbers", "[npy]") {
  TempDir dir;
  const auto numbers = [&](const std::string& descr, const std::string& data) {
    const std::size_t size = std::size_t(descr.back() - '0');
    dir.write("a", npy_bytes("{'descr': '" + descr + "', 'fortran_order': False, 'shape': (" +
                                 std::to_string(data.size() / size) + ",), }",
                             data, 3));
    const NamedTensor array = read_npy(dir.file("a"));
    return numbers_of(array.dtype, array.data);
  };
  using namespace std::literals;
  using Numbers = std::vector<double>;
  CHECK(numbers("|b1", "\0\1\2"s) == Numbers{0, 1, 1});
  CHECK(numbers("|i1", "\x01\xff\x80"s) == Numbers{1, -1, -128});
  CHECK(numbers("<u2", "\x01\x02\xff\xff"s) == Numbers{513, 65535});
  CHECK(numbers(">u2", "\x01\x02\xff\xfe"s) == Numbers{258, 65534});
  CHECK(numbers("<i2", "\xfe\xff"s) == Numbers{-2});
  CHECK(numbers(">i4", "\xff\xff\xff\xfe"s) == Numbers{-2});
  CHECK(numbers("=u4", "\x00\x00\x00\x80"s) == Numbers{2147483648.0});
  CHECK(numbers("<i8", "\xff\xff\xff\xff\xff\xff\xff\xff"s) == Numbers{-1});
  CHECK(numbers(">u8", "\0\0\0\0\0\0\1\0"s) == Numbers{256});
  // 1, -2, the largest half, the least one, and not a number.
  CHECK(numbers("<f2", "\x00\x3c\x00\xc0\xff\x7b\x01\x00"s) == Numbers{1, -2, 65504, std::ldexp(1, -24)});
  CHECK(std::isnan(numbers("<f2", "\x01\x7c"s)[0]));
  CHECK(numbers("<f2", "\x00\xfc"s)[0] == -INFINITY);
  CHECK(numbers(">f4", "\x3f\xc0\x00\x00"s) == Numbers{1.5});
  CHECK(numbers(">f8", "\xbf\xf8\0\0\0\0\0\0"s) == Numbers{-1.5});
}

TEST_CASE(".npy files in Fortran order are read in C order, piece by piece too", "[npy]") {
  TempDir dir;
  // numpy.asfortranarray(numpy.arange(12, dtype='>u2').reshape(2, 3, 2)): the first index runs fastest.
  std::string data;
  for (const char value : {0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11}) data += std::string(1, '\0') + value;
  dir.write("a", npy_bytes("{'descr': '>u2', 'fortran_order': True, 'shape': (2, 3, 2), }", data));
  const NamedTensor array = read_npy(dir.file("a"));
  CHECK(array.shape == std::vector<std::int64_t>{2, 3, 2});
  CHECK(numbers_of(array.dtype, array.data) == std::vector<double>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  NpyFile file(dir.file("a"));
  std::vector<std::byte> half(12);
  file.read(half);
  CHECK(numbers_of("U16", half) == std::vector<double>{0, 1, 2, 3, 4, 5});
  file.read(half);
  CHECK(numbers_of("U16", half) == std::vector<double>{6, 7, 8, 9, 10, 11});
  CHECK_THROWS_AS(file.read(half), Error);
}

TEST_CASE(".npy shapes must be those of the data", "[npy]") {
  const auto of_shape = [](const std::string& shape) {
    return header_complaint("{'descr': '|u1', 'fortran_order': False, 'shape': " + shape + ", }");
  };
  CHECK_THAT(of_shape("(2, 4)"), Contains("6 bytes of data, not those of U8 (2, 4)"));
  CHECK_THAT(of_shape("(1000000000000,)"), Contains("6 bytes of data"));
  CHECK_THAT(of_shape("(4294967296, 4294967296)"), Contains("impossible shape"));
  for (const char* shape : {"(-6,)", "(6)", "6", "(6.0,)", "(2 3)", "(2,, 3)", "(,)", "(99999999999999999999,)",
                            "('6',)", "(6", "[6]", "(0x6,)"}) {
    INFO(shape);
    CHECK_THAT(of_shape(shape), Contains("its header is not one of a .npy array"));
  }
  std::string many = "(";
  for (int i = 0; i < 33; ++i) many += "1, ";
  CHECK_THAT(of_shape(many + ")"), Contains("its header is not one"));
}

TEST_CASE("malformed .npy headers are refused", "[npy]") {
  const std::string d = "'descr': '|u1'", f = "'fortran_order': False", s = "'shape': (2, 3)";
  const std::vector<std::string> bad = {"",
                                        "{}",
                                        "{" + d + ", " + f + "}",
                                        "{" + d + ", " + s + "}",
                                        "{" + f + ", " + s + "}",
                                        "{" + d + ", " + d + ", " + f + ", " + s + "}",
                                        "{" + d + ", " + f + ", " + s + ", 'more': 1}",
                                        "{" + d + " " + f + ", " + s + "}",
                                        "{" + d + ", " + f + ", " + s,
                                        "{" + d + ", " + f + ", " + s + "} + 1",
                                        "{" + d + ", 'fortran_order': 0, " + s + "}",
                                        "{'descr': |u1, " + f + ", " + s + "}",
                                        "{'descr': '|u1\", " + f + ", " + s + "}",
                                        "{,}",
                                        "__import__('os').system('true')"};
  for (const std::string& header : bad) {
    INFO(header);
    CHECK_THAT(header_complaint(header), Contains("its header is not one of a .npy array"));
  }
  std::string bytes = npy_bytes("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }", "abcdef", 2);
  bytes[10] = '\x7f';  // a header of 8 MB
  CHECK_THAT(complaint(bytes), Contains("header is too long"));
}

TEST_CASE(".npy files cut anywhere are refused", "[npy]") {
  for (const int version : {1, 2}) {
    const std::string whole =
        npy_bytes("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }", "abcdef", version);
    for (std::size_t size = 0; size < whole.size(); ++size) complaint(whole.substr(0, size));
  }
}

TEST_CASE("arrays that do not fit their shape are not written", "[npy]") {
  TempDir dir;
  const std::vector<float> values(5);
  CHECK_THAT(error_of([&] {
               write_npy<float>(dir.file("a"), std::vector<std::int64_t>{2, 3}, values);
             }),
             Contains("5 values for the shape (2, 3)"));
  CHECK_THAT(error_of([&] { write_npy<float>(dir.file("none/a"), std::vector<std::int64_t>{5}, values); }),
             Contains("none/a"));
  CHECK_FALSE(std::filesystem::exists(dir.file("a")));
}

}  // namespace
}  // namespace flowsmith::core
