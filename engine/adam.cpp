#include "engine/adam.h"

#include "engine/dispatch.h"
#include "engine/trace.h"

namespace flowsmith::core {

Adam::Adam(const Parameters& parameters) : parameters_(parameters), arena_(parameters.device()) {
  m_ = arena_.tensor(parameters.dtype(), parameters.values().shape());
  v_ = arena_.tensor(parameters.dtype(), parameters.values().shape());
  fill_zero(parameters.device(), m_);
  fill_zero(parameters.device(), v_);
  squared_norm_ = arena_.tensor(DType::kF64, Shape{});
  inputs_ = arena_.tensor(DType::kU8, Shape{int(sizeof(AdamInputs))});
  steps_taken_ = arena_.tensor(DType::kU8, Shape{int(sizeof step_count_)});
  fill_zero(parameters.device(), steps_taken_);
}

void Adam::prepare(std::int64_t step, AdamOptions options, double max_norm) {
  const AdamInputs inputs{options, step, max_norm};
  upload(parameters_.device(), inputs_.raw(), &inputs, sizeof inputs);
}

void Adam::step(const Tensor& loss) {
  const TraceRange range("adam");
  dispatch_network(parameters_.device(), parameters_.dtype(), [&](auto stream, auto zero) {
    using T = decltype(zero);
    T* const values = parameters_.values().data<T>();
    T *const m = m_.data<T>(), *const v = v_.data<T>();
    const T* const grads = parameters_.grads().data<T>();
    double* const norm = squared_norm_.data<double>();
    core::squared_norm(norm, grads, m_.size(), stream);
    adam_step(values, m, v, static_cast<std::int64_t*>(steps_taken_.raw()), grads, norm, loss.data<double>(),
              static_cast<const AdamInputs*>(inputs_.raw()), m_.size(), stream);
  });
}

void Adam::set_step_count(std::int64_t count) {
  step_count_ = count;
  upload(parameters_.device(), steps_taken_.raw(), &count, sizeof count);
}

}  // namespace flowsmith::core
