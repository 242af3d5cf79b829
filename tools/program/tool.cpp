#include "tools/tool.h"

#include <poll.h>

#include <algorithm>
#include <cctype>
#include <csignal>
#include <exception>
#include <new>

#include "engine/version.h"
#include "tools/program/manual.h"

namespace flowsmith::core {
namespace {

/// "cannot read '--lr fast': expected a number". The exception of cxxopts does not name the option, so this parses ever
/// longer beginnings of the command line until one fails in that way, and then tries what the option would take.
std::string unreadable_value(cxxopts::Options& options, int argc, const char* const* argv) {
  const auto reads = [&](std::vector<const char*> words) {
    words.insert(words.begin(), argv[0]);
    try {
      options.parse(int(words.size()), words.data());
      return true;
    } catch (const cxxopts::exceptions::exception&) {
      return false;
    }
  };
  const auto expected = [&](const std::string& option) -> std::string {
    const auto takes = [&](const std::string& value) {
      const std::string word = option + "=" + value;
      return option.starts_with("--") ? reads({word.c_str()}) : reads({option.c_str(), value.c_str()});
    };
    if (takes("0.5")) return "a number";
    if (takes("true")) return "true or false";
    if (!takes("-1")) return "a whole number of 0 to 18446744073709551615";
    return takes("4294967296") ? "a whole number" : "a whole number of at most 2147483647";
  };
  bool cut = false;  // the beginning before this one ended between an option and its value
  for (int n = 2; n <= argc; ++n) {
    try {
      options.parse(n, argv);
      cut = false;
    } catch (const cxxopts::exceptions::incorrect_argument_type&) {
      const std::string last = argv[n - 1],
                        option = cut ? argv[n - 2] : last.substr(0, last.starts_with("--") ? last.find('=') : 2);
      return "cannot read '" + (cut ? option + " " : "") + last + "': expected " + expected(option);
    } catch (const cxxopts::exceptions::exception&) {
      cut = true;
    }
  }
  return std::string("cannot read '") + argv[argc - 1] + "': see --help";
}

/// The words of the command line, with -n for the --n that people write too: the parser takes one letter behind two
/// dashes for an error.
std::vector<std::string> words_of(int argc, const char* const* argv) {
  std::vector<std::string> words(argv, argv + argc);
  for (std::size_t i = 1; i < words.size() && words[i] != "--"; ++i) {
    std::string& word = words[i];
    if (word.size() < 3 || !word.starts_with("--") || !std::isalpha(static_cast<unsigned char>(word[2]))) continue;
    if (word.size() == 3) {
      word.erase(0, 1);
    } else if (word[3] == '=') {
      const std::string value = word.substr(4);
      word = word.substr(1, 2);
      words.insert(words.begin() + std::ptrdiff_t(i) + 1, value);
    }
  }
  return words;
}

/// What to do where memory is short.
std::string hint_for_memory(const cxxopts::Options& options) {
  return options.help().find("--batch-size") != std::string::npos ? "; --batch-size makes it smaller"
                                                                  : "; end other programs, or take a smaller file";
}

}  // namespace

std::string one_line(std::string message) {
  constexpr std::size_t kLongest = 5000;  // room for a path of any length
  if (message.size() > kLongest) message = message.substr(0, kLongest) + "...";
  for (char& c : message) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return message;
}

bool reader_is_gone(std::FILE* stream) {
  pollfd pipe{fileno(stream), POLLOUT, 0};
  return ::poll(&pipe, 1, 0) == 1 && (pipe.revents & POLLERR) != 0;
}

int run_tool(const char* name, cxxopts::Options& options, int argc, const char* const* argv,
             const std::function<int(const cxxopts::ParseResult&)>& body) {
  const std::vector<std::string> words = words_of(argc, argv);
  std::vector<const char*> pointers;
  for (const std::string& word : words) pointers.push_back(word.c_str());
  argc = int(pointers.size());
  argv = pointers.data();
  const auto fail = [&](const std::string& message) {
    std::fflush(stdout);
    std::fprintf(stderr, "%s: %s\n", name, one_line(message).c_str());
    return 2;
  };
  constexpr int kWidest = 100;  // longer lines are hard to read
  const auto width = std::size_t(std::min(terminal_columns(stdout), kWidest));
  options.set_width(width);
  options.add_options()("h,help", "Show this help")("version", "Show the version of the program");
  // Not for people, and so in no help: what manual pages and the completion of shells are made from.
  const std::string only = argc == 2 ? argv[1] : "";
  if (only == "--manual" || only == "--completions") {
    std::fputs((only == "--manual" ? manual_page(argv[0], options) : completion_lines(options)).c_str(), stdout);
    return 0;
  }
  try {
    const cxxopts::ParseResult parsed = options.parse(argc, argv);
    int code = 0;
    if (parsed.count("help") > 0) {
      std::fputs(wrapped(options.help(), width).c_str(), stdout);  // cxxopts breaks no description
    } else if (parsed.count("version") > 0) {
      std::printf("flowsmith %s\n", std::string(version()).c_str());
    } else if (!parsed.unmatched().empty()) {
      return fail("unexpected argument '" + parsed.unmatched().front() + "': see --help");
    } else {
      for (const auto& given : parsed.arguments()) {
        if (given.value().empty()) return fail("--" + given.key() + " is empty: give it a value, or leave it out");
      }
      code = body(parsed);
    }
    // A full disk must not look like success.
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
      if (reader_is_gone(stdout)) return 128 + SIGPIPE;  // quietly: that is how people end a program
      return fail("cannot write all of the output: is the disk full?");
    }
    return code;
  } catch (const cxxopts::exceptions::incorrect_argument_type&) {
    return fail(unreadable_value(options, argc, argv));
  } catch (const cxxopts::exceptions::exception& error) {
    return fail(std::string(error.what()) + ": see --help");
  } catch (const ConvLibraryError& error) {
    return fail(std::string(error.what()) + "; --conv fused does without these libraries");
  } catch (const OutOfMemory& error) {
    return fail(error.what() + hint_for_memory(options));
  } catch (const Error& error) {
    return fail(error.what());
  } catch (const std::bad_alloc&) {
    return fail("out of memory" + hint_for_memory(options));
  } catch (const std::exception& error) {
    return fail(error.what());
  }
}

}  // namespace flowsmith::core
