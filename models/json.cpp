#include "models/json.h"

#include <nlohmann/json.hpp>
#include <string>

#include "kernels/error.h"

namespace flowsmith {

nlohmann::ordered_json parse_json(std::string_view text) {
  using Json = nlohmann::ordered_json;
  constexpr int kDeepest = 64;
  constexpr std::size_t kLongestReason = 200;  // it quotes the text
  const auto not_deep = [](int depth, Json::parse_event_t, Json&) {
    if (depth > kDeepest) throw Error("is nested more than " + std::to_string(kDeepest) + " deep");
    return true;
  };
  try {
    return Json::parse(text, not_deep);
  } catch (const nlohmann::json::exception& error) {
    throw Error("is not JSON (" + std::string(error.what()).substr(0, kLongestReason) + ")");
  }
}

}  // namespace flowsmith
