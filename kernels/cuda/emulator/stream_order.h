// Whether copies and fills on different streams come one after the other. The emulator does them in the order in which
// the host asks for them; a GPU may do two in either order, or at once, unless an event lies between them for which the
// second one's stream waits, or the host has waited for the first. Each stream counts its copies and fills and knows
// how far the others have come: a vector clock (Fidge 1988, Mattern 1989).
#pragma once

#include <cstddef>
#include <map>

namespace flowsmith::core::emulator {

struct Stream;

/// Per stream, by its number: so many of its copies and fills are over.
using Progress = std::map<unsigned, std::size_t>;

/// What is over according to either.
void merge(Progress& known, const Progress& other);

/// The stream comes to a copy or fill that reads or writes this memory. Throws if one of another stream, of which this
/// one does not know that it is over, touches it as well, and one of the two writes.
void touch(Stream& stream, const void* memory, std::size_t bytes, bool writes);

/// The host has waited for these: whatever is put on any stream from now on comes after them.
void host_knows(const Progress& over);
/// The host has waited for all.
void host_knows_all();
/// The memory is freed, which a GPU does when nobody uses it any more.
void forget_touches(const void* memory, std::size_t bytes);

}  // namespace flowsmith::core::emulator
