// The reverse-mode tape.
//
// An op computes its value, and if a gradient will be asked for, records a node: a small plain struct with
// what its backward needs, and a function `void backward(Tape&) const`. backward() walks the nodes from
// the last to the first. Values, gradients and nodes lie in arenas that the next start() takes back.
#pragma once

#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#include "engine/arena.h"
#include "engine/device_memory.h"
#include "engine/dispatch.h"

namespace flowsmith::core {

/// Handle of a value on a tape; valid until the tape's next start(). Var{} is none.
struct Var {
  int id = -1;

  explicit operator bool() const { return id >= 0; }
};

class Tape {
 public:
  explicit Tape(Device device) : device_(device), arena_(device) {}

  /// Forgets everything. With `recording`, ops record nodes and their memory is not given back before the next
  /// start; without, ops only compute, couplings may work in place, and a TapeScope gives memory back early.
  void start(bool recording);

  /// Forgets everything and gives its memory back to the system.
  void give_back() {
    start(false);
    arena_.give_back();
  }

  /// With `recompute`, ops that can rebuild their input from their output keep nothing for backward (recompute() tells
  /// them). Stays until it is set again.
  void set_recompute(bool recompute) { recompute_ = recompute; }

  Device device() const { return device_; }
  bool recording() const { return recording_; }
  bool recompute() const { return recording_ && recompute_; }
  Arena& arena() { return arena_; }

  /// A value from outside that has no gradient.
  Var constant(Tensor value) { return add(value, {}, false); }

  /// A value from outside whose gradient goes to `grad` (same type and shape), which need not be cleared.
  Var leaf(Tensor value, Tensor grad) { return add(value, grad, true); }

  /// Uninitialised memory for an op's result.
  Var output(DType dtype, const Shape& shape, bool needs_grad) {
    return add(arena_.tensor(dtype, shape), {}, needs_grad && recording_);
  }

  /// What an op is about to write over v, which backward must put back: a variable with the memory of v, for value and
  /// gradient. The gradient of v then overwrites that of the result.
  Var in_place(Var v);

  /// v seen in another shape of as many elements: the same memory, for value and gradient. Nothing but the result may
  /// use v from then on.
  Var reshape(Var v, const Shape& shape);

  const Tensor& value(Var v) const { return variables_[v.id].value; }
  bool needs_grad(Var v) const { return v && variables_[v.id].needs_grad; }

  /// The elements of an operand that may be left out: null then.
  template <class T>
  T* data_or_null(Var v) const {
    return v ? value(v).template data<T>() : nullptr;
  }

  /// The elements of a tensor on the tape's device, which must hold T.
  template <class T>
  std::vector<T> read(const Tensor& tensor) const {
    return download<T>(device_, tensor);
  }

  /// Where an op adds its share of the gradient of v: overwrites for the first op of a backward pass that
  /// asks, accumulates for the others. Null if v needs no gradient, or is none.
  template <class T>
  Grad<T> grad(Var v);

  /// The finished gradient of v; zeros if nothing depended on it.
  Tensor finished_grad(Var v);

  template <class Node>
  void record(const Node& node) {
    static_assert(std::is_trivially_copyable_v<Node> && std::is_trivially_destructible_v<Node>,
                  "nodes live in an arena that never destroys them");
    void* const memory = nodes_memory_.allocate(sizeof(Node));
    const Node* const stored = new (memory) Node(node);
    nodes_.push_back({[](const void* n, Tape& tape) { static_cast<const Node*>(n)->backward(tape); }, stored});
  }

  /// For the backward of a node: records what `work` computes, walks back through it at once and takes its memory back.
  /// Gradients that are not its own must have their memory before.
  template <class Work>
  void backward_through(Work&& work);

  /// Host memory that lasts until the next start(), for what a node points to.
  void* node_memory(std::size_t bytes) { return nodes_memory_.allocate(bytes); }

  /// Computes the gradient of the scalar f64 `loss` for every variable that needs one.
  void backward(Var loss);

 private:
  friend class TapePause;

  struct ReshapeNode {
    Var result, v;
    void backward(Tape& tape) const {
      require(!tape.variables_[v.id].written, "a reshaped value was used beside its other shape");
      tape.finished_grad(result);
      tape.variables_[v.id].written = true;
    }
  };

  struct Variable {
    Tensor value, grad;
    bool needs_grad = false;
    bool written = false;  ///< the gradient holds at least one op's share
  };
  struct Node {
    void (*backward)(const void* node, Tape& tape);
    const void* node;
  };

  Var add(Tensor value, Tensor grad, bool needs_grad);
  Tensor& allocated_grad(Var v);
  void walk_back(std::size_t first_node);

  Device device_;
  bool recording_ = false;
  bool recompute_ = false;
  Arena arena_;         ///< values and gradients
  Arena nodes_memory_;  ///< host memory of the nodes
  std::vector<Variable> variables_;
  std::vector<Node> nodes_;
};

template <class T>
Grad<T> Tape::grad(Var v) {
  if (!needs_grad(v)) return {};
  T* const data = allocated_grad(v).template data<T>();
  const bool written = std::exchange(variables_[v.id].written, true);
  return {data, written ? GradMode::kAccumulate : GradMode::kOverwrite};
}

template <class Work>
void Tape::backward_through(Work&& work) {
  const Arena::Mark values = arena_.mark(), nodes = nodes_memory_.mark();
  const std::size_t first_variable = variables_.size(), first_node = nodes_.size();
  work();
  walk_back(first_node);
  nodes_.resize(first_node);
  variables_.resize(first_variable);
  nodes_memory_.release(nodes);
  arena_.release(values);
}

/// Records nothing while it lives.
class TapePause {
 public:
  explicit TapePause(Tape& tape) : tape_(tape), before_(std::exchange(tape.recording_, false)) {}
  ~TapePause() { tape_.recording_ = before_; }
  TapePause(const TapePause&) = delete;
  TapePause& operator=(const TapePause&) = delete;

 private:
  Tape& tape_;
  bool before_;
};

/// While not recording, gives back at the end of the scope the memory of ops inside it.
class TapeScope {
 public:
  explicit TapeScope(Tape& tape) : tape_(tape), mark_(tape.arena().mark()) {}
  ~TapeScope() {
    if (!tape_.recording()) tape_.arena().release(mark_);
  }
  TapeScope(const TapeScope&) = delete;
  TapeScope& operator=(const TapeScope&) = delete;

 private:
  Tape& tape_;
  Arena::Mark mark_;
};

}  // namespace flowsmith::core
