// Kernels with a bug that the emulator must catch, each with a twin that is correct.
#pragma once

#include <vector>

namespace flowsmith::core {

/// What a build without sanitizers makes of a bug.
enum class Plain {
  kDiffers,  ///< the schedules give different bits, or NaN
  kError,    ///< the kernel fails in all of them
  kUnseen,
};

struct PlantedBug {
  const char* name;
  /// Runs the kernel, or its correct twin, and returns what it computed.
  std::vector<float> (*run)(bool planted);
  Plain plain;
  const char* message;  ///< of Plain::kError
  /// What the race build says; null: it sees no more than the plain build.
  const char* race_message;
  bool sanitizers;  ///< AddressSanitizer or UndefinedBehaviorSanitizer ends the process
};

const std::vector<PlantedBug>& planted_bugs();

}  // namespace flowsmith::core
