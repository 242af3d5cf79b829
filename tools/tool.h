// What every tool does alike: parse options, print help, and turn an error into one line and exit code 2. The library
// does not know the command line: what to do about one of its errors in terms of options is added here.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cxxopts.hpp>
#include <functional>
#include <istream>
#include <string>
#include <vector>

#include "engine/file.h"
#include "engine/text.h"
#include "kernels/error.h"
#include "tools/progress.h"

namespace flowsmith::core {

/// A number with a fraction, as the type of an option: cxxopts reads "1.5x" as the double 1.5.
struct Real {
  double value = 0;
  bool operator==(const Real&) const = default;
};

inline std::istream& operator>>(std::istream& in, Real& real) {
  if (in >> real.value && !in.eof()) in.setstate(std::ios::failbit);
  return in;
}

/// Numbers with commas between them, "0.7,1.0", the value of an option. Throws Error that says `hint` if one cannot be
/// read, is not finite or is not what `fits` accepts.
template <class Fits>
std::vector<double> parse_numbers(const std::string& option, const std::string& text, Fits&& fits,
                                  const std::string& hint) {
  std::vector<double> numbers;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    double value = 0;
    const auto [stop, error] = std::from_chars(text.data() + begin, text.data() + end, value);
    if (error != std::errc() || stop != text.data() + end || !std::isfinite(value) || !fits(value)) {
      throw Error("cannot read " + option + " " + in_quotes(text, 60) + ": " + hint);
    }
    numbers.push_back(value);
    begin = end + 1;
  }
  return numbers;
}

/// Runs body(); an Error of it is thrown on with the words of the command line that it is about in front.
template <class Body>
void naming_options(const std::string& words, Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    throw Error(words + ": " + error.what());
  }
}

/// `message` fit for a terminal: one line without control characters, which a name out of a hostile file may hold.
std::string one_line(std::string message);

/// Whether nobody reads a pipe any more, as after `flowsmith ... | head`.
bool reader_is_gone(std::FILE* stream);

/// Runs body(options) and returns the exit code: that of the body, 0 for --help, 2 for an error, which goes to stderr
/// as one line. Options that the tool does not know and arguments without an option are errors.
int run_tool(const char* name, cxxopts::Options& options, int argc, const char* const* argv,
             const std::function<int(const cxxopts::ParseResult&)>& body);

}  // namespace flowsmith::core
