#include "models/json.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "kernels/error.h"

namespace flowsmith::core {

std::string json_reason(const std::exception& error) {
  constexpr std::size_t kLongest = 200;  // it quotes the text
  std::string reason = error.what();
  // The library begins with its name, the kind and a number, in brackets.
  if (reason.starts_with('[')) reason.erase(0, std::min(reason.find("] ") + 2, reason.size()));
  return reason.substr(0, kLongest);
}

nlohmann::ordered_json parse_json(std::string_view text) {
  using Json = nlohmann::ordered_json;
  constexpr int kDeepest = 64;
  const auto not_deep = [](int depth, Json::parse_event_t, Json&) {
    if (depth > kDeepest) throw Error("is nested more than " + std::to_string(kDeepest) + " deep");
    return true;
  };
  try {
    return Json::parse(text, not_deep);
  } catch (const nlohmann::json::exception& error) {
    throw Error("is not JSON (" + json_reason(error) + ")");
  }
}

}  // namespace flowsmith::core
