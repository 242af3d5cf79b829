// Invertible linear layers on the tape: exact round trips, and log-determinants against the Jacobian.
#include <catch2/catch.hpp>

#include "kernels/linear_algebra.h"
#include "kernels/permute.h"
#include "tests/autograd/tape_testing.h"
#include "tests/support/jacobian.h"

namespace flowsmith::core::testing {
namespace {

template <class T>
Tensor tensor_of(Tape& tape, const Shape& shape, const std::vector<T>& values) {
  const Tensor tensor = tape.arena().tensor(DTypeOf<T>::value, shape);
  upload(tape.device(), tensor, values.data());
  return tensor;
}

template <class T>
Var constant(Tape& tape, const Shape& shape, const std::vector<T>& values) {
  return tape.constant(tensor_of(tape, shape, values));
}

/// A rotation with some stretch, condition number about 10, in float as weights are.
std::vector<float> test_weight(int c) {
  const auto rotation = random_rotation(c, 1);
  std::vector<float> weight(rotation.begin(), rotation.end());
  for (int i = 0; i < c; ++i) {
    for (int j = 0; j < c; ++j) weight[i * c + j] *= float(std::pow(10.0, double(i) / c));
  }
  return weight;
}

std::vector<double> bytes(std::size_t size) {
  std::vector<double> values(size);
  for (std::size_t i = 0; i < size; ++i) values[i] = double(i * 37 % 256);
  return values;
}

constexpr Device kDevices[] = {Device::kReference, Device::kCpu, Device::kEmulated};

}  // namespace

TEST_CASE("images come back from a channel matrix, and the logdet returns to 0") {
  for (const Device device : kDevices) {
    for (const MapShape map : {MapShape{2, 3, 5, 3}, {2, 3, 2, 12}, {3, 1, 1, 48}}) {
      for (const bool recording : {false, true}) {
        CAPTURE(device_name(device), map.c, recording);
        Tape tape(device);
        tape.start(recording);
        const std::vector<double> pixels = bytes(map.size());
        const std::vector<float> values = test_weight(map.c);
        const Var x = constant(tape, map, pixels), weight = constant(tape, Shape{map.c, map.c}, values);
        const Var logdet = constant(tape, Shape{map.n}, std::vector<double>(map.n));
        const Var z = channel_matmul(tape, x, weight, logdet);
        CHECK((z.id == x.id) == !recording);
        const double expected =
            double(map.pixels()) * log_abs_det(std::vector<double>(values.begin(), values.end()), map.c);
        for (double sum : tape.read<double>(tape.value(logdet))) CHECK(sum == Approx(expected).epsilon(1e-12));
        const Var back = channel_matmul_inverse(tape, z, weight, logdet);
        CHECK((back.id == z.id) == !recording);
        const std::vector<double> got = tape.read<double>(tape.value(back));
        // 1e-16 times numbers of some hundred, the condition and some ten terms.
        for (std::size_t i = 0; i < pixels.size(); ++i) CHECK(std::abs(got[i] - pixels[i]) < 1e-11);
        for (double sum : tape.read<double>(tape.value(logdet))) CHECK(sum == 0);
      }
    }
  }
}

TEST_CASE("the logdet of a channel matrix is that of the Jacobian, from the weight and from its LU factors") {
  const MapShape map{1, 2, 3, 3};
  const int c = map.c;
  const std::vector<double> weight = random_rotation(c, 2);
  PluFactors f = plu_of(weight, c);
  for (double& log_scale : f.log_scale) log_scale += 0.3;
  Tape tape(Device::kReference);
  std::vector<double> logdet;
  for (const bool factors : {false, true}) {
    const auto layer = [&](const std::vector<double>& x) {
      tape.start(false);
      const Var z = constant(tape, map, x), sums = constant(tape, Shape{1}, std::vector<double>(1));
      if (factors) {
        const Var log_scale = constant(tape, Shape{c}, f.log_scale);
        const Var composed =
            compose_plu(tape, tensor_of(tape, Shape{c}, f.permutation), constant(tape, Shape{c, c}, f.lower),
                        constant(tape, Shape{c, c}, f.upper), log_scale, tensor_of(tape, Shape{c}, f.sign));
        add_shared_logdet(tape, log_scale, double(map.pixels()), sums);
        channel_matmul(tape, z, composed, Var{});
      } else {
        std::vector<double> stretched = weight;
        for (int j = 0; j < c; ++j) stretched[j] *= 3;
        channel_matmul(tape, z, constant(tape, Shape{c, c}, stretched), sums);
      }
      logdet = to_doubles(tape.value(sums));
      return to_doubles(tape.value(z));
    };
    const double numeric = log_abs_det_jacobian(layer, bytes(map.size()));
    CHECK(logdet[0] == Approx(double(map.pixels()) * (factors ? 0.3 * c : std::log(3.0))).epsilon(1e-9));
    CHECK(logdet[0] == Approx(numeric).margin(kLogDetError).epsilon(0));
  }
}

TEST_CASE("a permutation is undone bit for bit, in place while nothing is recorded") {
  const MapShape map{2, 3, 5, 12};
  for (const Device device : kDevices) {
    for (const bool recording : {false, true}) {
      Tape tape(device);
      tape.start(recording);
      const Var x = constant(tape, map, bytes(map.size()));
      const Tensor order = tensor_of(tape, Shape{map.c}, random_order(map.c, 3));
      const Var z = permute(tape, x, order);
      CHECK((z.id == x.id) == !recording);
      CHECK(tape.read<double>(tape.value(z)) != bytes(map.size()));
      CHECK(tape.read<double>(tape.value(unpermute(tape, z, order))) == bytes(map.size()));
    }
  }
}

}  // namespace flowsmith::core::testing
