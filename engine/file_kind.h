// What a file is that is not what its reader expected.
#pragma once

#include <string>
#include <string_view>

namespace flowsmith::core {

/// "an HTML page, as a failed download leaves behind; download it again" and the like: what the beginning of the file
/// is known by, and which tool reads it; empty for what is not known, and for files that cannot be read, or not twice.
std::string known_kind(const std::string& path);

/// Whether a file that begins so (with 64 bytes) is one of flax.serialization: a map of MessagePack with a name first.
bool looks_like_flax(std::string_view start);

}  // namespace flowsmith::core
