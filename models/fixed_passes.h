// What passes need besides the weights, and who uses it. A pass of one batch size keeps its memory where it is, so that
// a GPU can replay it.
#pragma once

#include <atomic>
#include <mutex>

#include "engine/replay.h"
#include "models/flow.h"

namespace flowsmith::core {

/// x -> log p(x) for n examples.
struct Flow::Scoring {
  explicit Scoring(Device device) : inputs(device), tape(device), replay(device) {}

  int n = 0;
  bool given_noise = false;
  Arena inputs;
  BatchTensors batch;
  Tape tape;
  Var log_prob;
  Replay replay;
};

/// Latents -> n examples.
struct Flow::Decoding {
  explicit Decoding(Device device) : inputs(device), tape(device), replay(device) {}

  int n = 0;
  Arena inputs;
  std::vector<Tensor> latents;  ///< f64; the last one is overwritten by the pass
  Tensor index, stream;         ///< for drawing latents
  Tensor data;                  ///< what they stand for
  Tape tape;
  Var x;  ///< behind the last inverse: `data` before they are rounded to pixels
  Replay replay;
};

/// The memory of one call.
struct Flow::Workspace {
  explicit Workspace(Device device) : tape(device) {}
  void give_back() {
    scoring.reset();
    decoding.reset();
    tape.give_back();
  }

  Tape tape;  ///< for passes that are not repeated
  std::unique_ptr<Scoring> scoring;
  std::unique_ptr<Decoding> decoding;
};

/// Those that nobody uses now. There are as many in all as calls ever ran at once.
struct Flow::Workspaces {
  std::mutex lock;
  std::vector<std::unique_ptr<Workspace>> free;
  std::size_t made = 0;
  std::atomic<int> inference_batch{kInferenceBatch};
};

/// A workspace for as long as a call takes. On a GPU calls wait for each other, for the stream and the scratch memory
/// there are the process's.
class Flow::Borrowed {
 public:
  explicit Borrowed(const Flow& flow) : all_(*flow.workspaces_) {
    static std::mutex gpu;
    if (!is_host(flow.device())) turn_ = std::unique_lock(gpu);
    const std::lock_guard guard(all_.lock);
    if (all_.free.empty()) {
      all_.free.reserve(all_.made + 1);  // there is room when it comes back
      own_ = std::make_unique<Workspace>(flow.device());
      ++all_.made;
    } else {
      own_ = std::move(all_.free.back());
      all_.free.pop_back();
    }
  }
  ~Borrowed() {
    const std::lock_guard guard(all_.lock);
    all_.free.push_back(std::move(own_));
  }
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;

  Workspace& operator*() const { return *own_; }
  Workspace* operator->() const { return own_.get(); }

 private:
  Workspaces& all_;
  std::unique_lock<std::mutex> turn_;
  std::unique_ptr<Workspace> own_;
};

}  // namespace flowsmith::core
