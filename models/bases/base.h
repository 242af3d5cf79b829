// The density of what comes out of the last layer.
#pragma once

#include "models/bijectors/bijector.h"

namespace flowsmith::core {

class Base {
 public:
  virtual ~Base() = default;

  /// The final latent of z; adds log p(z) to pass.logdet.
  virtual Var forward(FlowPass& pass, Var z) const = 0;
  /// z of the final latent.
  virtual Var inverse(FlowPass& pass, Var latent) const = 0;
  /// Fills `latent`, f64 (n,h,w,c) of the parameters' device, with latents whose z follow the density; `temperature` is
  /// a factor on standard deviations. The latent of an image does not depend on its batch.
  virtual void draw(const Parameters& parameters, const Tensor& latent, NoiseTensors noise,
                    double temperature) const = 0;

  virtual std::string description() const = 0;
};

/// latent (n,h,w,c) f64 ~ N(0, deviation^2): the draw of a standard normal base, and of every split.
void draw_normals(Device device, const Tensor& latent, NoiseTensors noise, double deviation);

}  // namespace flowsmith::core
