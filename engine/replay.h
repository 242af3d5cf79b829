// Work of a fixed shape that is done again and again. On a GPU it becomes a graph: one call of the host instead of
// hundreds of launches.
#pragma once

#include <functional>
#include <memory>

#include "engine/device.h"

namespace flowsmith::core {

class Replay {
 public:
  /// On a host device, and without Device::graphs, every run does the work itself.
  explicit Replay(Device device);
  ~Replay();
  Replay(Replay&&) noexcept;
  Replay& operator=(Replay&&) noexcept;

  /// Does `prepare` and then `work`, which must do the same with the same addresses each time: what varies lies in
  /// device memory. On a GPU the first run does both (memory finds its final size there), the second captures `work`,
  /// and from then on neither is called again: the graph is launched.
  void run(const std::function<void()>& prepare, const std::function<void()>& work);

  /// Kernels, copies and fills of the graph; 0 before there is one.
  std::size_t node_count() const;

 private:
  class Graph;
  std::unique_ptr<Graph> graph_;
  bool warm_ = false;
};

}  // namespace flowsmith::core
