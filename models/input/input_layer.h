// The first layer of every flow, flows.0: from data to the real line.
#pragma once

#include "models/batch.h"
#include "models/bijectors/bijector.h"

namespace flowsmith::core {

class InputLayer {
 public:
  virtual ~InputLayer() = default;

  /// The examples of a batch as z, of the type `path`; adds the log-determinant to pass.logdet.
  virtual Var forward(FlowPass& pass, const BatchTensors& batch, DType path) const = 0;
  /// The data of z, which is f64: u8 pixels, or f64 numbers. Subtracts the log-determinant, if it is wanted and there
  /// is one: pixels have none.
  virtual void inverse(FlowPass& pass, Var z, const Tensor& data) const = 0;

  // As those of a Bijector.
  virtual Var initialize(FlowPass& pass, Parameters&, const BatchTensors& batch, DType path) const {
    return forward(pass, batch, path);
  }
  virtual bool needs_data() const { return false; }
  virtual void weights_changed(const Parameters&) {}
  virtual std::vector<NamedMask> masks() const { return {}; }
  virtual std::string description() const = 0;
};

/// Numbers as they are, or standardized: x -> (x - mean) / deviation for each column.
std::unique_ptr<InputLayer> make_number_input(const Settings& data, Builder& builder);
/// Sets the states of the latter.
void set_standardization(Parameters& parameters, const std::vector<double>& mean, const std::vector<double>& deviation);

}  // namespace flowsmith::core
