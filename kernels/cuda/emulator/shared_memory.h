// The shared memory of the block that runs: one arena in which every variable is followed by a gap.
#pragma once

#include <cstddef>

namespace flowsmith::core::emulator {

inline constexpr std::size_t kStaticSharedBytes = 48 * 1024;  ///< what a block may declare
inline constexpr std::size_t kSharedBytes = 227 * 1024;       ///< with what its launch asks for

class SharedMemory {
 public:
  static constexpr std::size_t kArenaBytes = 512 * 1024;

  SharedMemory();
  SharedMemory(const SharedMemory&) = delete;

  /// No variables but the dynamic one, of so many bytes.
  void begin_kernel(std::size_t dynamic_bytes);
  /// Poisons the variables that earlier blocks have shown to exist.
  void begin_block(unsigned char poison);
  /// The variable of this key, made on its first use. Null: more than kStaticSharedBytes or kSharedBytes are used.
  void* variable(const void* key, std::size_t bytes);
  void* dynamic() const { return dynamic_bytes_ == 0 ? nullptr : arena_; }

  const char* arena() const { return arena_; }

 private:
  struct Variable {
    const void* key;
    char* memory;
    std::size_t bytes;
  };
  static constexpr int kMaxVariables = 64;
  char* append(const void* key, std::size_t bytes);

  char* arena_;
  std::size_t used_ = 0, dynamic_bytes_ = 0, static_bytes_ = 0;
  unsigned char poison_ = 0;
  Variable variables_[kMaxVariables];
  int count_ = 0;
};

}  // namespace flowsmith::core::emulator
