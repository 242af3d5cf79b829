// Bytes in the letters of base64 (RFC 4648), as data: addresses hold them.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace flowsmith::core {

std::string base64(std::span<const std::byte> bytes);

/// A PNG file as an address that holds it whole.
std::string png_address(std::span<const std::byte> file);

}  // namespace flowsmith::core
