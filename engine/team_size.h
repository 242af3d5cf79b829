// How many threads share the work of a kernel on the host.
#pragma once

#include <omp.h>

namespace flowsmith::core {

/// While one lives, parallel regions of the thread that made it have so many threads; 0 leaves them as they are. Other
/// threads of the process do not notice, nor does what this thread does later.
class TeamSize {
 public:
  explicit TeamSize(int threads) {
    if (threads == 0) return;
    const int before = omp_get_max_threads();
    if (before == threads) return;
    before_ = before;
    omp_set_num_threads(threads);
  }
  ~TeamSize() {
    if (before_ != 0) omp_set_num_threads(before_);
  }
  TeamSize(const TeamSize&) = delete;
  TeamSize& operator=(const TeamSize&) = delete;

 private:
  int before_ = 0;  ///< to be restored, unless 0
};

}  // namespace flowsmith::core
