// Additive coupling: a worked example, the way back, a Jacobian of determinant 1, gradients, and the threaded version
// against the plain one.
#include "kernels/additive_coupling.h"
#include "tests/support/jacobian.h"
#include "tests/support/kernel_testing.h"
#include "tests/support/masks.h"

namespace flowsmith::core::testing {
namespace {

constexpr MapShape kShapes[] = {{1, 1, 1, 1}, {3, 31, 1, 3}, {31, 1, 3, 2}, {1, 1, 3, 257}};

TEST_CASE("additive coupling shifts where the mask is 0 and copies where it is 1") {
  const std::vector<double> z{0.5, 7.0, -1.0}, t{0.25, 100.0, 3.0};
  std::vector<double> up(3), down(3);
  additive_coupling_forward(up.data(), z.data(), t.data(), {1, 1, 3, 1}, {}, Reference{});
  additive_coupling_inverse(down.data(), z.data(), t.data(), {1, 1, 3, 1}, {}, Reference{});
  CHECK(up == std::vector<double>{0.75, 7.0, 2.0});
  CHECK(down == std::vector<double>{0.25, 7.0, -4.0});
}

template <class Z, class S, class Backend>
void check_round_trip(MapShape shape, Mask mask, double bound, Backend backend) {
  const auto z = random_normal<Z>(shape.size(), 1);
  const auto t = random_normal<S>(shape.size(), 2);
  std::vector<Z> z_out(z.size()), back(z.size());
  additive_coupling_forward(z_out.data(), z.data(), t.data(), shape, mask, backend);
  additive_coupling_inverse(back.data(), z_out.data(), t.data(), shape, mask, backend);
  CHECK(relative_error(back, z) < bound);
  std::vector<Z> in_place = z;
  additive_coupling_forward(in_place.data(), in_place.data(), t.data(), shape, mask, backend);
  CHECK(same_bits(in_place, z_out));
  additive_coupling_inverse(in_place.data(), in_place.data(), t.data(), shape, mask, backend);
  CHECK(same_bits(in_place, back));
}

TEST_CASE("additive_coupling_inverse undoes additive_coupling_forward, in place too") {
  for (MapShape shape : kShapes) {
    const std::vector<std::uint32_t> bits = test_bits(shape);
    for (Mask mask : kMasks) {
      mask = with_bits(mask, bits.data());
      // A rounding of z + t, one of z' - t.
      check_round_trip<double, double>(shape, mask, 1e-15, Reference{});
      check_round_trip<double, float>(shape, mask, 1e-15, Reference{});
      check_round_trip<double, float>(shape, mask, 1e-15, Cpu{});
      check_round_trip<float, float>(shape, mask, 5e-7, Reference{});
      check_round_trip<float, float>(shape, mask, 5e-7, Cpu{});
    }
  }
}

TEST_CASE("the masked part of an additive coupling is a copy of bits, whatever they are") {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const MapShape shape{1, 1, 1, 12};
  const std::vector<float> z{1, -0.0f, 1, nan, 1, inf, 1, 1e-45f, 1, -inf, 1, -nan}, t(12, 2.0f);
  const Mask mask{MaskKind::kAlternatingChannel, false};
  const auto run = [&](auto backend) {
    std::vector<float> up(12), down(12), dz(12);
    additive_coupling_forward(up.data(), z.data(), t.data(), shape, mask, backend);
    additive_coupling_inverse(down.data(), z.data(), t.data(), shape, mask, backend);
    additive_coupling_backward(Grad<float>{dz.data()}, Grad<float>{}, z.data(), shape, mask, backend);
    for (int i = 0; i < 12; i += 2) CHECK((up[i] == 3 && down[i] == -1 && dz[i] == 1));
    for (const auto* const out : {&up, &down, &dz}) {
      for (int i = 1; i < 12; i += 2) CHECK(std::memcmp(&(*out)[i], &z[i], sizeof(float)) == 0);
    }
  };
  run(Reference{});
  run(Cpu{});
}

TEST_CASE("the Jacobian of an additive coupling has determinant 1") {
  const MapShape shape{1, 3, 2, 3};
  const std::vector<std::uint32_t> bits = test_bits(shape);
  for (Mask mask : kMasks) {
    mask = with_bits(mask, bits.data());
    const auto forward = [&](const std::vector<double>& at) {
      std::vector<double> seen(at.size()), t(at.size()), out(at.size());
      conditioner_input_forward(seen.data(), at.data(), nullptr, 0, kGreyLevels, shape, mask, Reference{});
      for (std::size_t i = 0; i < t.size(); ++i) {
        for (std::size_t j = 0; j < seen.size(); ++j) t[i] += seen[j] * std::sin(double(3 * i + 5 * j));
      }
      additive_coupling_forward(out.data(), at.data(), t.data(), shape, mask, Reference{});
      return out;
    };
    CHECK(std::abs(log_abs_det_jacobian(forward, random_normal<double>(shape.size(), 1))) < kLogDetError);
  }
}

TEST_CASE("additive coupling gradients") {
  for (MapShape shape : {MapShape{1, 1, 1, 1}, {3, 3, 1, 3}, {1, 1, 31, 2}}) {
    const std::vector<std::uint32_t> bits = test_bits(shape);
    for (Mask mask : kMasks) {
      mask = with_bits(mask, bits.data());
      const auto dz_out = random_normal<double>(shape.size(), 4);
      check_gradients(
          {random_normal<double>(shape.size(), 1), random_normal<double>(shape.size(), 2)},
          [&](const Inputs& in) {
            std::vector<double> z_out(shape.size());
            additive_coupling_forward(z_out.data(), in[0].data(), in[1].data(), shape, mask, Reference{});
            return dot(z_out, dz_out);
          },
          [&](const Inputs&, const Gradients& gradients) {
            additive_coupling_backward(gradients[0], gradients[1], dz_out.data(), shape, mask, Reference{});
          });
    }
  }
}

TEMPLATE_TEST_CASE("cpu additive coupling is the reference's, bit for bit", "", float, double) {
  for (MapShape shape : {MapShape{1, 1, 1, 1}, {3, 31, 1, 3}, {31, 3, 1, 2}, {257, 9, 8, 1}, {3, 31, 31, 7}}) {
    const std::vector<std::uint32_t> bits = test_bits(shape);
    const auto z = random_normal<TestType>(shape.size(), 1);
    auto t = random_normal<float>(shape.size(), 2);
    t.front() = 1e4f;
    t.back() = -1e4f;
    for (Mask mask : kMasks) {
      mask = with_bits(mask, bits.data());
      for (GradMode mode : kGradModes) {
        const auto run = [&](auto backend) {
          std::vector<TestType> up(z.size()), down(z.size());
          additive_coupling_forward(up.data(), z.data(), t.data(), shape, mask, backend);
          additive_coupling_inverse(down.data(), z.data(), t.data(), shape, mask, backend);
          auto dz = random_normal<TestType>(z.size(), 3), in_place = z;
          auto dt = random_normal<float>(z.size(), 4), alone = dt;
          additive_coupling_backward(Grad<TestType>{dz.data(), mode}, Grad<float>{dt.data(), mode}, z.data(), shape,
                                     mask, backend);
          additive_coupling_backward(Grad<TestType>{}, Grad<float>{alone.data(), mode}, z.data(), shape, mask, backend);
          additive_coupling_backward(Grad<TestType>{in_place.data()}, Grad<float>{}, in_place.data(), shape, mask,
                                     backend);
          CHECK(same_bits(alone, dt));
          CHECK(same_bits(in_place, z));
          return outputs(up, down, dz, dt);
        };
        check_cpu(run, 0);  // one addition
      }
    }
  }
}

}  // namespace
}  // namespace flowsmith::core::testing
