// What the race build knows of each four bytes of shared and device memory: who wrote and who read them last.
// In other builds nothing of it exists.
#pragma once

#include <cstddef>

namespace flowsmith::core::emulator {

#if defined(FLOWSMITH_EMULATOR_RACE)

inline constexpr bool kRaceChecks = true;
/// Where shared memory is.
void set_shared_arena(const char* arena, std::size_t bytes);
void begin_shadow_launch();
void begin_shadow_block();
/// The memory, of a shared variable or on the device, exists from now on and has not been written.
void allocate_shadow(const void* memory, std::size_t bytes);
void release_shadow(const void* memory, std::size_t bytes);
/// The host has written to device memory.
void write_shadow(const void* memory, std::size_t bytes);

#else

inline constexpr bool kRaceChecks = false;
inline void set_shared_arena(const char*, std::size_t) {}
inline void begin_shadow_launch() {}
inline void begin_shadow_block() {}
inline void allocate_shadow(const void*, std::size_t) {}
inline void release_shadow(const void*, std::size_t) {}
inline void write_shadow(const void*, std::size_t) {}

#endif

}  // namespace flowsmith::core::emulator
