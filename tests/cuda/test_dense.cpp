// The fully connected layer on the GPU against the reference in double.
#include "kernels/dense.h"
#include "tests/cuda/backend_array.h"

namespace flowsmith::core::testing {
namespace {

constexpr Activation kActivations[] = {Activation::kNone, Activation::kRelu, Activation::kElu, Activation::kTanh,
                                       Activation::kLeakyRelu};

struct DenseData {
  DenseShape shape;
  std::vector<float> x, weight, bias, dy, y;

  DenseData(DenseShape s, Activation activation)
      : shape(s),
        x(random_normal<float>(s.x_size(), 1)),
        weight(random_normal<float>(s.weight_size(), 2, 1 / std::sqrt(double(s.in)))),
        bias(random_normal<float>(s.out, 3)),
        dy(random_normal<float>(s.y_size(), 4)),
        y(s.y_size()) {
    for (float& value : dy) value += 1;  // so that sums over a batch do not cancel, which would hide their digits
    dense_forward(y.data(), x.data(), weight.data(), bias.data(), activation, shape, Reference{});
  }
};

TEST_CASE("the gpu dense layer agrees with the reference") {
  for (const DenseShape shape : {DenseShape{1, 1, 1}, {3, 31, 1}, {1, 3, 31}, {31, 2, 16}, {257, 3, 2}, {3, 257, 65}}) {
    for (const Activation activation : kActivations) {
      const DenseData data(shape, activation);
      for (const GradMode mode : kGradModes) {
        CAPTURE(shape.n, shape.in, shape.out, int(activation), int(mode));
        // Sums of up to 257 terms, each off by some of their square root in roundings of 6e-8.
        check_gpu(
            [&](auto backend) {
              using T = Real<float, decltype(backend)>;
              const auto gradient = [&](std::size_t size) {
                const std::vector<T> before(size, 1);
                return mode == GradMode::kAccumulate ? put(backend, before) : blank<T>(backend, size);
              };
              auto x = put(backend, as<T>(data.x)), weight = put(backend, as<T>(data.weight));
              auto bias = put(backend, as<T>(data.bias)), dy = put(backend, as<T>(data.dy));
              auto given = put(backend, as<T>(data.y)), y = blank<T>(backend, shape.y_size());
              auto dx = gradient(data.x.size()), dw = gradient(data.weight.size()), db = gradient(data.bias.size());
              dense_forward(y.data(), x.data(), weight.data(), bias.data(), activation, shape, backend);
              dense_backward(dx.grad(mode), dw.grad(mode), db.grad(mode), dy.data(), given.data(), x.data(),
                             weight.data(), activation, shape, backend);
              return outputs(y.host(), dx.host(), dw.host(), db.host());
            },
            2e-6);
      }
    }
  }
}

TEST_CASE("the gpu dense layer follows the precision of its stream") {
  const DenseData data({33, 64, 40}, Activation::kElu);
  const DeviceArray<float> x(data.x), weight(data.weight), bias(data.bias);
  // Factors rounded to 11 and 8 bits; errors of sums of 64 such products cancel in part.
  const std::pair<NetPrecision, double> bounds[] = {{NetPrecision::kTf32, 1e-3}, {NetPrecision::kBf16, 8e-3}};
  for (const auto& [precision, bound] : bounds) {
    DeviceArray<float> y(data.y.size());
    dense_forward(y.data(), x.data(), weight.data(), bias.data(), Activation::kElu, data.shape, test_stream(precision));
    const double error = relative_error(y.host(), data.y);
    CHECK(error < bound);
    CHECK(error > 1e-5);
  }
}

TEST_CASE("gpu dense gradients that nobody asked for change nothing else, and no rows give gradients of 0") {
  const DenseData data({5, 7, 9}, Activation::kTanh);
  const DeviceArray<float> x(data.x), weight(data.weight), dy(data.dy), y(data.y);
  DeviceArray<float> dx(35), dw(63), db(9), dx1(35), dw1(63), db1(9);
  const auto backward = [&](Grad<float> a, Grad<float> b, Grad<float> c, int n = 5) {
    dense_backward(a, b, c, dy.data(), y.data(), x.data(), weight.data(), Activation::kTanh, {n, 7, 9}, test_stream());
  };
  backward(dx.grad(), dw.grad(), db.grad());
  backward(dx1.grad(), {}, {});
  backward({}, dw1.grad(), {});
  backward({}, {}, db1.grad());
  backward({}, {}, {});
  CHECK(same_bits(dx.host(), dx1.host()));
  CHECK(same_bits(dw.host(), dw1.host()));
  CHECK(same_bits(db.host(), db1.host()));
  backward(dx1.grad(), dw1.grad(), db1.grad(), 0);
  CHECK(same_bits(dx.host(), dx1.host()));
  CHECK(dw1.host() == std::vector<float>(63));
  CHECK(db1.host() == std::vector<float>(9));
}

}  // namespace
}  // namespace flowsmith::core::testing
