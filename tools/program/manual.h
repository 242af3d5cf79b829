// What a tool says of itself to other programs: a manual page, and its options for the completion of shells. Both come
// from the options that --help shows.
#pragma once

#include <cxxopts.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "engine/version.h"
#include "tools/tool_list.h"

namespace flowsmith::core {

/// The options that --help shows: not those that are given without their names.
inline std::vector<cxxopts::HelpOptionDetails> shown_options(const cxxopts::Options& options) {
  const std::string help = options.help();
  std::vector<cxxopts::HelpOptionDetails> shown;
  for (const cxxopts::HelpOptionDetails& option : options.group_help("").options) {
    const std::string name = option.l.empty() ? "  -" + option.s + " " : "--" + option.l.front();
    const std::size_t at = help.find("\n  ", help.find("Usage:"));
    bool found = false;
    for (std::size_t i = help.find(name, at); i != std::string::npos && !found; i = help.find(name, i + 1)) {
      const char next = i + name.size() < help.size() ? help[i + name.size()] : '\n';
      found = option.l.empty() || next == ' ' || next == '\n';
    }
    if (found) shown.push_back(option);
  }
  return shown;
}

/// `text` as roff prints it: minus signs that can be copied, and no line that it takes for a command.
inline std::string roff_text(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool line_begins = i == 0 || text[i - 1] == '\n';
    if (line_begins && (text[i] == '.' || text[i] == '\'')) result += "\\&";
    if (text[i] == '\\') {
      result += "\\e";
    } else if (text[i] == '-') {
      result += "\\-";
    } else if (text[i] == '\n' && i + 1 < text.size() && text[i + 1] == '\n') {
      result += "\n.PP";
    } else {
      result += text[i];
    }
  }
  return result;
}

inline std::string roff_title(std::string_view page) {
  return ".TH " + roff_text(page) + " 1 \"\" \"flowsmith " + std::string(version()) + "\" \"Flowsmith\"\n";
}

/// The manual page of a tool, section 1, in roff.
inline std::string manual_page(const std::string& tool, const cxxopts::Options& options) {
  const std::string help = options.help(), usage = "Usage:\n  ";
  const std::size_t at = help.find(usage);
  const std::string description = help.substr(0, at);
  const std::size_t begin = at + usage.size();
  std::string page = roff_title("flowsmith-" + tool);
  page += ".SH NAME\nflowsmith\\-" + roff_text(tool);
  for (const ToolEntry& entry : kTools) {
    if (entry.name == tool) page += " \\- " + roff_text(entry.summary);
  }
  page += "\n.SH SYNOPSIS\n.B " + roff_text(help.substr(begin, help.find('\n', begin) - begin)) + "\n";
  page += ".SH DESCRIPTION\n" + roff_text(description) + "\n.SH OPTIONS\n";
  for (const cxxopts::HelpOptionDetails& option : shown_options(options)) {
    page += ".TP\n\\fB";
    if (!option.s.empty()) page += "\\-" + option.s;
    if (!option.s.empty() && !option.l.empty()) page += ", ";
    if (!option.l.empty()) page += "\\-\\-" + roff_text(option.l.front());
    page += "\\fR";
    if (!option.is_boolean) page += " \\fIVALUE\\fR";
    page += "\n" + roff_text(option.desc);
    const bool shown = option.has_default && !option.is_boolean && !option.default_value.empty();
    if (shown) page += " (default: " + roff_text(option.default_value) + ")";
    page += "\n";
  }
  return page +
         ".SH EXIT STATUS\n0 if all went well, 2 for input that cannot be taken, 1 if a check failed.\n"
         ".SH SEE ALSO\n.BR flowsmith (1)\n";
}

/// The manual page of the program.
inline std::string manual_page() {
  std::string page = roff_title("flowsmith") +
                     ".SH NAME\nflowsmith \\- normalizing flows: exact likelihoods, latents and samples\n"
                     ".SH SYNOPSIS\n.B flowsmith\n\\fITOOL\\fR [\\fIOPTION\\fR...]\n.SH TOOLS\n";
  for (const ToolEntry& tool : kTools) {
    page += ".TP\n\\fBflowsmith\\-" + roff_text(tool.name) + "\\fR(1)\n" + roff_text(tool.summary) + "\n";
  }
  return page +
         ".SH EXAMPLE\n.nf\nflowsmith sample\n.fi\n.PP\ndraws images from the weights that come along into "
         "samples.png.\n";
}

/// One line for each option: its name, and behind a tab what it is.
inline std::string completion_lines(const cxxopts::Options& options) {
  std::string lines;
  for (const cxxopts::HelpOptionDetails& option : shown_options(options)) {
    const std::string name = option.l.empty() ? "-" + option.s : "--" + option.l.front();
    lines += name + "\t" + option.desc.substr(0, option.desc.find('\n')) + "\n";
  }
  return lines;
}

}  // namespace flowsmith::core
