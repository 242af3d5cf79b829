// Which program this is.
#pragma once

#include <string_view>

namespace flowsmith {

/// "0.1.0", and the commit that was built where that is known: "0.1.0 (commit 65eff50)".
std::string_view version();

}  // namespace flowsmith
