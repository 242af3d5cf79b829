// What every executable of tools/ does alike: parse options, print help, and turn an error into one line and exit
// code 2.
#pragma once

#include <cstdio>
#include <cxxopts.hpp>
#include <new>
#include <string>

#include "engine/error.h"

namespace flowsmith {

/// Runs body(options) and returns the exit code: that of the body, 0 for --help, 2 for an error, which goes to stderr
/// as one line. Options that the tool does not know and arguments without an option are errors.
template <class Body>
int run_tool(const char* name, cxxopts::Options& options, int argc, char** argv, Body&& body) {
  const auto fail = [&](const std::string& message) {
    std::fflush(stdout);
    std::fprintf(stderr, "%s: %s\n", name, message.c_str());
    return 2;
  };
  options.set_width(100);
  options.add_options()("h,help", "Show this help");
  try {
    const cxxopts::ParseResult parsed = options.parse(argc, argv);
    if (parsed.count("help") > 0) {
      std::fputs(options.help().c_str(), stdout);
      return 0;
    }
    if (!parsed.unmatched().empty()) {
      return fail("unexpected argument '" + parsed.unmatched().front() + "': see --help");
    }
    const int code = body(parsed);
    // A full disk or a closed pipe must not look like success.
    if (std::fflush(stdout) != 0) return fail("cannot write the output");
    return code;
  } catch (const cxxopts::exceptions::exception& error) {
    return fail(std::string(error.what()) + ": see --help");
  } catch (const Error& error) {
    return fail(error.what());
  } catch (const std::bad_alloc&) {
    return fail("out of memory: choose a smaller batch");
  }
}

}  // namespace flowsmith
