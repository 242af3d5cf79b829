// A normal with a learned mean and deviation for each element. Its latents are (z - mean) / deviation, which are
// N(0, 1): a line per element (kernels/channel_affine.h) in front of the standard normal.
#include "models/bases/base.h"
#include "models/bijectors/channel_scale.h"
#include "models/registry.h"

namespace flowsmith::core {
namespace {

class DiagonalNormal : public Base {
 public:
  explicit DiagonalNormal(Builder& builder)
      : scale_(builder.parameters, builder.prefix, {int(builder.shape.image_size())}) {}

  Var forward(FlowPass& pass, Var z) const override {
    const Shape shape = pass.tape.value(z).shape();
    const Var latent = scale_.forward(pass, one_row(pass, z), pass.logdet);
    gaussian_log_density(pass.tape, latent, pass.logdet);
    return pass.tape.reshape(latent, shape);
  }
  Var inverse(FlowPass& pass, Var latent) const override {
    const Shape shape = pass.tape.value(latent).shape();
    const Var row = one_row(pass, latent);
    scale_.inverse(pass, row, Var{});
    return pass.tape.reshape(row, shape);
  }
  void draw(const Parameters& parameters, const Tensor& latent, NoiseTensors noise, double temperature) const override {
    draw_normals(parameters.device(), latent, noise, temperature);
  }
  std::string description() const override { return "diagonal normal"; }

 private:
  ChannelScale scale_;
};

}  // namespace

BaseType diagonal_normal_type() {
  return {{"diagonal_normal", "a learned mean and standard deviation for each element", {}},
          [](const Settings&, Builder& builder) -> std::unique_ptr<Base> {
            return std::make_unique<DiagonalNormal>(builder);
          }};
}

}  // namespace flowsmith::core
