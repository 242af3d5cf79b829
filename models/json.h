// JSON texts that nobody vouches for.
#pragma once

#include <exception>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace flowsmith::core {

/// What an exception of the JSON library says, without its name for the case.
std::string json_reason(const std::exception& error);

/// The value of a text. Throws Error if it is not JSON, or has lists and objects inside each other far deeper than
/// anything of ours: the library copies and writes values by recursion, which such a text would let run out of stack.
nlohmann::ordered_json parse_json(std::string_view text);

}  // namespace flowsmith::core
