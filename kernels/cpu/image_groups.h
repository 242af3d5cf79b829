// How a batch is cut for sums over images, so that neither the number of threads nor their timing changes a bit.
#pragma once

#include <algorithm>

namespace flowsmith::core::cpu {

/// Weight gradients are summed in groups of neighbouring images: one thread sums a group in image order, and the
/// groups' sums are added in order. The number of groups depends on the batch alone; it bounds the threads that help.
inline int image_groups(int n) { return std::clamp(n / 8, 1, 32); }

/// First image of group `group`; that of the next group is the end.
inline int group_begin(int n, int group) { return int(static_cast<long long>(n) * group / image_groups(n)); }

}  // namespace flowsmith::core::cpu
