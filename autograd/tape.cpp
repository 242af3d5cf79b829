#include "autograd/tape.h"

#include "engine/trace.h"
#include "kernels/fill.h"

namespace flowsmith::core {

void Tape::start(bool recording) {
  recording_ = recording;
  arena_.reset();
  nodes_memory_.reset();
  variables_.clear();
  nodes_.clear();
}

void Tape::backward(Var loss) {
  const TraceRange range("backward");
  require(recording_, "backward needs a tape that was started with recording on");
  require_tensor(value(loss), DType::kF64, Shape{}, "a loss");
  require(needs_grad(loss), "the loss does not depend on anything that needs a gradient");
  dispatch_device(device_, [&](auto stream) { fill(grad<double>(loss).data, 1.0, 1, stream); });
  walk_back(0);
  // A leaf that no op wrote to must not keep what the last step left in it.
  for (int id = 0; id < int(variables_.size()); ++id) {
    if (variables_[id].needs_grad && variables_[id].grad) finished_grad({id});
  }
}

void Tape::walk_back(std::size_t first_node) {
  for (std::size_t i = nodes_.size(); i-- > first_node;) nodes_[i].backward(nodes_[i].node, *this);
}

Var Tape::in_place(Var v) { return add(value(v), needs_grad(v) ? allocated_grad(v) : Tensor{}, recording_); }

Var Tape::reshape(Var v, const Shape& shape) {
  const Tensor& in = value(v);
  require(in.size() == shape.size(), "a value and its other shape differ in their number of elements");
  const Tensor out(in.raw(), in.dtype(), shape);
  if (!recording_ || !needs_grad(v)) return add(out, {}, false);
  const Var result = add(out, Tensor(allocated_grad(v).raw(), in.dtype(), shape), true);
  record(ReshapeNode{result, v});
  return result;
}

Tensor Tape::finished_grad(Var v) {
  const Tensor grad = allocated_grad(v);
  if (!std::exchange(variables_[v.id].written, true)) fill_zero(device_, grad);
  return grad;
}

Var Tape::add(Tensor value, Tensor grad, bool needs_grad) {
  variables_.push_back({value, grad, needs_grad, false});
  return {int(variables_.size()) - 1};
}

Tensor& Tape::allocated_grad(Var v) {
  Variable& variable = variables_[v.id];
  if (!variable.grad) variable.grad = arena_.tensor(variable.value.dtype(), variable.value.shape());
  return variable.grad;
}

}  // namespace flowsmith::core
