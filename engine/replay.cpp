#include "engine/replay.h"

#include "engine/dispatch.h"
#include "engine/trace.h"

namespace flowsmith::core {

/// A GpuGraph of either kind of device.
class Replay::Graph {
 public:
  virtual ~Graph() = default;
  virtual bool captured() const = 0;
  virtual void capture(const std::function<void()>& work) = 0;
  virtual void launch() const = 0;
  virtual std::size_t node_count() const = 0;
};

namespace {

template <class Base, Gpu G>
class GraphOf final : public Base {
 public:
  bool captured() const override { return bool(graph_); }
  void capture(const std::function<void()>& work) override { graph_ = GpuGraph<G>(work); }
  void launch() const override { graph_.launch(); }
  std::size_t node_count() const override { return graph_.node_count(); }

 private:
  GpuGraph<G> graph_;
};

}  // namespace

Replay::Replay(Device device) {
  dispatch_device(device, [&](auto stream) {
    using Stream = decltype(stream);
    if constexpr (Gpu<Stream>) {
      if (device.graphs) graph_ = std::make_unique<GraphOf<Graph, Stream>>();
    }
  });
}

Replay::~Replay() = default;
Replay::Replay(Replay&&) noexcept = default;
Replay& Replay::operator=(Replay&&) noexcept = default;

void Replay::run(const std::function<void()>& prepare, const std::function<void()>& work) {
  if (graph_ == nullptr || !warm_) {
    prepare();
    work();
    warm_ = true;
    return;
  }
  if (!graph_->captured()) {
    prepare();
    graph_->capture(work);
  }
  const TraceRange range("launch graph");
  graph_->launch();
}

std::size_t Replay::node_count() const { return graph_ == nullptr ? 0 : graph_->node_count(); }

}  // namespace flowsmith::core
