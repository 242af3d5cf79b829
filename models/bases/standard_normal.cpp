// N(0, 1) for each element: kernels/prior.h.
#include "kernels/noise.h"
#include "models/bases/base.h"
#include "models/registry.h"

namespace flowsmith::core {

void draw_normals(Device device, const Tensor& latent, NoiseTensors noise, double deviation) {
  const int n = latent.map().n;
  const std::size_t per_image = latent.map().image_size();
  dispatch_device(device, [&](auto backend) {
    normal_noise(latent.data<double>(), noise.index.data<std::uint32_t>(),
                 static_cast<const NoiseStream*>(noise.stream.raw()), deviation, n, per_image, backend);
  });
}

namespace {

class StandardNormal : public Base {
 public:
  Var forward(FlowPass& pass, Var z) const override {
    gaussian_log_density(pass.tape, z, pass.logdet);
    return z;
  }
  Var inverse(FlowPass&, Var latent) const override { return latent; }
  void draw(const Parameters& parameters, const Tensor& latent, NoiseTensors noise, double temperature) const override {
    draw_normals(parameters.device(), latent, noise, temperature);
  }
  std::string description() const override { return "standard normal"; }
};

}  // namespace

BaseType standard_normal_type() {
  return {{"standard_normal", "mean 0 and standard deviation 1, independent", {}},
          [](const Settings&, Builder&) -> std::unique_ptr<Base> { return std::make_unique<StandardNormal>(); }};
}

}  // namespace flowsmith::core
