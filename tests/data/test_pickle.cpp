#include <catch2/catch.hpp>

#include "data/pickle.h"
#include "tests/data/torch_files.h"
#include "tests/support/error_of.h"

namespace flowsmith::core {
namespace {

using Catch::Contains;
using Kind = PickleValue::Kind;
using namespace std::string_literals;

Pickle parse(const std::string& body) {
  const std::string bytes = "\x80\x02" + body;
  return read_pickle(std::as_bytes(std::span(bytes)), "cannot read 'x'");
}

std::string complaint(const std::string& body) {
  const std::string message = error_of([&] { parse(body); });
  CHECK_THAT(message, Catch::StartsWith("cannot read 'x': ") && Contains("; save it again as"));
  return message;
}

TEST_CASE("plain data are read", "[pickle]") {
  // {'a': [1, 300, -2, 2**40, -3, None, True, False, 0.5], 'b': ((), (1,), (1, 1), (1, 1, 1), (1, 1, 1, 1))}
  const Pickle pickle = parse(
      "}(X\x01\x00\x00\x00"
      "a](K\x01M\x2c\x01J\xfe\xff\xff\xff\x8a\x06\x00\x00\x00\x00\x00\x01\x8a\x01\xfdN\x88\x89"
      "G\x3f\xe0\x00\x00\x00\x00\x00\x00"
      "e"
      "X\x01\x00\x00\x00"
      "b()K\x01q\x05\x85h\x05h\x05\x86h\x05h\x05h\x05\x87(h\x05h\x05h\x05h\x05tt"
      "u."s);
  const PickleValue& root = pickle.at(pickle.root);
  REQUIRE(root.kind == Kind::kDict);
  const PickleValue* list = pickle.find(root, "a");
  REQUIRE(list != nullptr);
  REQUIRE(list->kind == Kind::kList);
  std::vector<std::int64_t> integers;
  std::vector<Kind> kinds;
  for (const std::uint32_t i : list->items) {
    integers.push_back(pickle.at(i).integer);
    kinds.push_back(pickle.at(i).kind);
  }
  CHECK(integers == std::vector<std::int64_t>{1, 300, -2, std::int64_t{1} << 40, -3, 0, 1, 0, 0});
  CHECK(kinds == std::vector<Kind>{Kind::kInt, Kind::kInt, Kind::kInt, Kind::kInt, Kind::kInt, Kind::kNone, Kind::kBool,
                                   Kind::kBool, Kind::kFloat});
  const PickleValue* tuples = pickle.find(root, "b");
  REQUIRE(tuples != nullptr);
  std::vector<std::size_t> sizes;
  for (const std::uint32_t i : tuples->items) sizes.push_back(pickle.at(i).items.size());
  CHECK(sizes == std::vector<std::size_t>{0, 1, 2, 3, 4});
  CHECK(pickle.find(root, "c") == nullptr);
}

TEST_CASE("numbers of up to eight bytes keep their value", "[pickle]") {
  const auto number = [](const std::string& body) {
    const Pickle pickle = parse(body + ".");
    return pickle.at(pickle.root).integer;
  };
  CHECK(number("\x8a\x00"s) == 0);
  CHECK(number("\x8a\x02\x00\x80"s) == -32768);
  CHECK(number("\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f"s) == INT64_MAX);
  CHECK(number("\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80"s) == INT64_MIN);
  CHECK_THAT(complaint("\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01."s), Contains("more than 64 bits"));
}

TEST_CASE("the later of two equal keys counts, as in Python", "[pickle]") {
  const Pickle pickle = parse(
      "}X\x01\x00\x00\x00"
      "aK\x01sX\x01\x00\x00\x00"
      "aK\x02s."s);
  CHECK(pickle.find(pickle.at(pickle.root), "a")->integer == 2);
}

TEST_CASE("an ordered dict with hidden state is a dict", "[pickle]") {
  const Pickle pickle = parse("ccollections\nOrderedDict\n)R}b."s);
  CHECK(pickle.at(pickle.root).kind == Kind::kDict);
}

TEST_CASE("values that contain themselves do no harm", "[pickle]") {
  const Pickle pickle = parse(
      "]q\x01h\x01"
      "a."s);
  CHECK(pickle.at(pickle.root).items == std::vector<std::uint32_t>{pickle.root});
}

TEST_CASE("deep nesting does no harm", "[pickle]") {
  const std::string deep = std::string(1'000'000, '(') + std::string(1'000'000, 't') + ".";
  CHECK(parse(deep).values.size() == 1'000'000);
}

TEST_CASE("no name but the few harmless ones is let in", "[pickle]") {
  CHECK_THAT(complaint("cos\nsystem\n(X\x04\x00\x00\x00truetR."s), Contains("'os system'") && Contains("run code"));
  CHECK_THAT(complaint("cposix\nsystem\n."s), Contains("'posix system'"));
  CHECK_THAT(complaint("cbuiltins\neval\n."s), Contains("'builtins eval'"));
  CHECK_THAT(complaint("c__builtin__\ngetattr\n."s), Contains("'__builtin__ getattr'"));
  CHECK_THAT(complaint("ctorch\nComplexFloatStorage\n."s), Contains("'torch ComplexFloatStorage'"));
  CHECK_THAT(complaint("ctorch\nFloatStorage.__class__\n."s), Contains("'torch FloatStorage.__class__'"));
  CHECK_THAT(complaint("ctorch.FloatStorage\n\n."s), Contains("run code"));
  CHECK_THAT(complaint("cpytorch_lightning.callbacks\nModelCheckpoint\n."s), Contains("ModelCheckpoint"));
  CHECK_THAT(complaint("cbad\x1b[31m\n" + std::string(10000, 'x') + "\n."),
             Contains("'bad?[31m xxx") && Contains("..."));
}

TEST_CASE("nothing is called", "[pickle]") {
  CHECK_THAT(complaint("ctorch\nFloatStorage\n)R."s), Contains("calls 'torch FloatStorage'"));
  CHECK_THAT(complaint("ccollections\nOrderedDict\n](K\x01K\x02\x86"
                       "e\x85R."s),
             Contains("calls 'collections OrderedDict'"));
  CHECK_THAT(complaint("X\x02\x00\x00\x00os)R."s), Contains("calls something unknown"));
  CHECK_THAT(complaint("ccollections\nOrderedDict\nNR."s), Contains("calls something unknown"));
  CHECK_THAT(complaint("ccollections\nOrderedDict\n}b."s), Contains("set the state of an object"));
  CHECK_THAT(complaint("}Nb."s), Contains("sets the state of an object"));
  CHECK_THAT(complaint("ccollections\nOrderedDict\nNa."s), Contains("append to an object"));
  CHECK_THAT(complaint("]NNs."s), Contains("set items of an object"));
  CHECK_THAT(complaint("NQ."s), Contains("persistent id"));
}

TEST_CASE("every opcode outside the list is refused", "[pickle]") {
  // INST, OBJ, NEWOBJ, EXT1, STACK_GLOBAL, PERSID, text numbers, bytes, sets, frames, pops, buffers.
  for (const unsigned char opcode :
       "io\x81\x82\x93PILSUVFgp0"
       "12dl\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x94\x95\x96\x97\x98"
       "BC\xff"s) {
    INFO(int{opcode});
    CHECK_THAT(complaint(std::string(1, static_cast<char>(opcode)) + "."),
               Contains("opcode " + std::to_string(opcode)));
  }
}

TEST_CASE("stack and memo are checked", "[pickle]") {
  for (const char* body : {".", "s.", "Ns.", "a.", "(a.", "NNs.", "R.", "NR.", "b.", "Q.", "\x85.", "N\x86.", "NN\x87.",
                           "q\x01.", "(q\x01."}) {
    INFO(body);
    complaint(body);
  }
  CHECK_THAT(complaint("t."), Contains("mark"));
  CHECK_THAT(complaint("e."), Contains("mark"));
  CHECK_THAT(complaint("}(Nu."), Contains("a key without a value"));
  CHECK_THAT(complaint("N(\x85."), Contains("more values than it has"));  // the value lies below the mark
  CHECK_THAT(complaint("h\x07."), Contains("recalls"));
  CHECK_THAT(complaint("j\xff\xff\xff\xff."), Contains("recalls"));
  CHECK_THAT(complaint("NN."), Contains("does not end"));
  CHECK_THAT(complaint("(N."), Contains("does not end"));
  CHECK_THAT(complaint("N.N"), Contains("does not end"));
}

TEST_CASE("a pickle cut anywhere is refused", "[pickle]") {
  const std::string whole =
      "}(X\x01\x00\x00\x00"
      "aK\x01X\x01\x00\x00\x00"
      "bM\x2c\x01q\x01r\x02\x00\x00\x00X\x01\x00\x00\x00"
      "c"
      "ccollections\nOrderedDict\n)RX\x01\x00\x00\x00"
      "dG\x3f\xe0\x00\x00\x00\x00\x00\x00u."s;
  parse(whole);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    INFO(size);
    CHECK_THAT(complaint(whole.substr(0, size)), Contains("cut off"));
  }
  CHECK_THAT(complaint("X\xff\xff\xff\xff"
                       "abc."),
             Contains("cut off"));
}

TEST_CASE("other protocols are refused", "[pickle]") {
  for (const std::string& bytes : {"\x80\x04N."s, "N."s, "(dp0\n."s}) {
    CHECK_THAT(error_of([&] { read_pickle(std::as_bytes(std::span(bytes)), "x"); }), Contains("protocol 2"));
  }
}

TEST_CASE("too many values are refused", "[pickle]") {
  CHECK_THAT(complaint(std::string(2'000'001, 'N') + "."), Contains("2 million"));
}

TEST_CASE("one long tuple in a million calls takes no memory", "[pickle]") {
  // 100,000 references each to a tuple of 100,000 values: copies would take 40 GB.
  std::string body = "(" + std::string(100'000, 'N') +
                     "tq\x01"
                     "ctorch._utils\n_rebuild_tensor_v2\nq\x02(";
  for (int i = 0; i < 100'000; ++i) body += "h\x02h\x01R";
  const Pickle pickle = parse(body + "t\x87.");
  CHECK(pickle.at(pickle.root).items.size() == 3);
}

TEST_CASE("a pickle with any one byte changed is read or refused, never worse", "[pickle]") {
  const std::string storage = pickled::storage("FloatStorage", "0", 4);
  const std::string whole =
      pickled::file(pickled::dict({{"w", pickled::tensor(storage, 0, {2, 2}, {2, 1})}, {"n", "K\x01q\x01h\x01\x86"}}));
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      std::string bytes = whole;
      bytes[at] = static_cast<char>(value);
      try {
        const Pickle pickle = read_pickle(std::as_bytes(std::span(bytes)), "x");
        REQUIRE(pickle.root < pickle.values.size());
      } catch (const Error&) {
      }
    }
  }
}

}  // namespace
}  // namespace flowsmith::core
