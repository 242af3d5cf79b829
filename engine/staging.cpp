#include "engine/staging.h"

#include <cstring>
#include <vector>

#include "engine/dispatch.h"
#include "kernels/cuda/staging.h"

namespace flowsmith::core {
namespace {

class HostStaging final : public Staging {
 public:
  std::byte* begin(std::size_t bytes) override {
    block_.resize(bytes);
    return block_.data();
  }
  void send() override {}
  void take(void* to) override { std::memcpy(to, block_.data(), block_.size()); }

 private:
  std::vector<std::byte> block_;
};

template <Gpu G>
class StagingOf final : public Staging {
 public:
  std::byte* begin(std::size_t bytes) override { return staging_.begin(bytes); }
  void send() override { staging_.send(); }
  void take(void* to) override { staging_.take(to); }

 private:
  GpuStaging<G> staging_;
};

}  // namespace

std::unique_ptr<Staging> Staging::make(Device device) {
  std::unique_ptr<Staging> staging;
  dispatch_device(device, [&](auto stream) {
    using Stream = decltype(stream);
    if constexpr (Gpu<Stream>) {
      staging = std::make_unique<StagingOf<Stream>>();
    } else {
      staging = std::make_unique<HostStaging>();
    }
  });
  return staging;
}

}  // namespace flowsmith::core
