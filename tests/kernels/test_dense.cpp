// The fully connected layer: its formula, its gradients, and the host's kernels against the plain ones.
#include "kernels/activation_math.h"
#include "kernels/dense.h"
#include "tests/support/host_values.h"
#include "tests/support/kernel_testing.h"
#include "tests/support/simd_targets.h"

namespace flowsmith::core::testing {
namespace {

constexpr Activation kActivations[] = {Activation::kNone, Activation::kRelu, Activation::kElu, Activation::kTanh,
                                       Activation::kLeakyRelu};

struct DenseData {
  DenseShape shape;
  std::vector<float> x, weight, bias, dy;

  explicit DenseData(DenseShape s)
      : shape(s),
        x(random_normal<float>(s.x_size(), 1)),
        weight(random_normal<float>(s.weight_size(), 2, 1 / std::sqrt(double(s.in)))),
        bias(random_normal<float>(s.out, 3)),
        dy(random_normal<float>(s.y_size(), 4)) {
    for (float& value : dy) value += 1;  // so that sums over a batch do not cancel, which would hide their digits
  }

  /// y, dx, dweight, dbias; the gradients start from 1. Backward gets the reference's y: where rounding decides on
  /// which side of 0 it is, a derivative jumps.
  template <class Backend>
  Outputs run(Backend backend, Activation activation, GradMode mode) const {
    using T = Real<float, Backend>;
    std::vector<T> y(dy.size()), dx(x.size(), 1), dweight(weight.size(), 1), dbias(bias.size(), 1);
    const std::vector<T> in = as<T>(x), w = as<T>(weight), b = as<T>(bias), out = as<T>(dy);
    std::vector<float> given(dy.size());
    dense_forward(given.data(), x.data(), weight.data(), bias.data(), activation, shape, Reference{});
    dense_forward(y.data(), in.data(), w.data(), b.data(), activation, shape, backend);
    dense_backward(Grad<T>{dx.data(), mode}, Grad<T>{dweight.data(), mode}, Grad<T>{dbias.data(), mode}, out.data(),
                   as<T>(given).data(), in.data(), w.data(), activation, shape, backend);
    return outputs(y, dx, dweight, dbias);
  }
};

TEST_CASE("a dense layer multiplies rows by [in][out], adds the bias and activates") {
  const std::vector<double> x{1, 2, 3, -1, 0, 1}, weight{1, 10, 2, 20, 3, 30}, bias{-14, 5};
  std::vector<double> y(4);
  dense_forward(y.data(), x.data(), weight.data(), bias.data(), Activation::kNone, {2, 3, 2}, Reference{});
  CHECK(y == std::vector<double>{0, 145, -12, 25});
  dense_forward(y.data(), x.data(), weight.data(), bias.data(), Activation::kLeakyRelu, {2, 3, 2}, Reference{});
  CHECK(y == std::vector<double>{0, 145, -0.12, 25});
}

TEST_CASE("dense gradients") {
  for (const DenseShape shape : {DenseShape{1, 1, 1}, {3, 31, 1}, {1, 3, 31}, {3, 5, 7}}) {
    for (const Activation activation : kActivations) {
      const auto dy = random_normal<double>(shape.y_size(), 1);
      check_gradients(
          {random_normal<double>(shape.x_size(), 2), random_normal<double>(shape.weight_size(), 3),
           random_normal<double>(shape.out, 4)},
          [&](const Inputs& in) {
            std::vector<double> y(dy.size());
            dense_forward(y.data(), in[0].data(), in[1].data(), in[2].data(), activation, shape, Reference{});
            return dot(y, dy);
          },
          [&](const Inputs& in, const Gradients& gradients) {
            std::vector<double> y(dy.size());
            dense_forward(y.data(), in[0].data(), in[1].data(), in[2].data(), activation, shape, Reference{});
            dense_backward(gradients[0], gradients[1], gradients[2], dy.data(), y.data(), in[0].data(), in[1].data(),
                           activation, shape, Reference{});
          });
    }
  }
}

/// Sizes below, at and beside the lanes and the tiles of every instruction set, more rows than a chunk, and sums in one
/// part and in several.
constexpr DenseShape kShapes[] = {{1, 1, 1},     {3, 31, 1},      {1, 3, 31},   {31, 2, 16},  {257, 3, 2},
                                  {3, 257, 257}, {5, 16, 24},     {31, 31, 33}, {1, 300, 8},  {193, 64, 65},
                                  {20, 257, 1},  {128, 256, 256}, {7, 100, 49}, {400, 20, 40}};

TEST_CASE("the Cpu dense layer agrees with the plain one on every instruction set and number of threads") {
  for_each_simd_target([] {
    for (const DenseShape& shape : kShapes) {
      const DenseData data(shape);
      for (const Activation activation : kActivations) {
        for (const GradMode mode : kGradModes) {
          CAPTURE(shape.n, shape.in, shape.out, int(activation), int(mode));
          // Sums of up to 400 terms, each off by some of their square root in roundings of 6e-8.
          check_cpu([&](auto backend) { return data.run(backend, activation, mode); }, 2e-6);
        }
      }
    }
  });
}

TEST_CASE("a row has the same bits alone and in a batch of the Cpu dense layer") {
  for_each_simd_target([] {
    for (const DenseShape shape : {DenseShape{257, 300, 70}, {9, 31, 2}, {200, 5, 257}}) {
      const DenseData data(shape);
      std::vector<float> batch(shape.y_size()), dx(shape.x_size()), row(shape.out), dx_row(shape.in);
      dense_forward(batch.data(), data.x.data(), data.weight.data(), data.bias.data(), Activation::kElu, shape, Cpu{});
      dense_backward({dx.data()}, {}, {}, data.dy.data(), batch.data(), data.x.data(), data.weight.data(),
                     Activation::kElu, shape, Cpu{});
      for (const int i : {0, shape.n / 2, shape.n - 1}) {
        const float* const x = data.x.data() + std::size_t(i) * shape.in;
        const std::size_t at = std::size_t(i) * shape.out;
        const DenseShape one{1, shape.in, shape.out};
        dense_forward(row.data(), x, data.weight.data(), data.bias.data(), Activation::kElu, one, Cpu{});
        dense_backward({dx_row.data()}, {}, {}, data.dy.data() + at, row.data(), x, data.weight.data(),
                       Activation::kElu, one, Cpu{});
        CHECK(same_bits(row, std::vector<float>(batch.begin() + at, batch.begin() + at + shape.out)));
        const auto from = dx.begin() + std::size_t(i) * shape.in;
        CHECK(same_bits(dx_row, std::vector<float>(from, from + shape.in)));
      }
    }
  });
}

TEST_CASE("the Cpu dense layer writes only the gradients that were asked for") {
  const DenseShape shape{33, 40, 20};
  const DenseData data(shape);
  std::vector<float> y(shape.y_size());
  dense_forward(y.data(), data.x.data(), data.weight.data(), data.bias.data(), Activation::kTanh, shape, Cpu{});
  std::vector<float> dx(data.x.size()), dw(data.weight.size()), db(data.bias.size()), dx1(dx), dw1(dw), db1(db);
  const auto backward = [&](Grad<float> x, Grad<float> w, Grad<float> b) {
    dense_backward(x, w, b, data.dy.data(), y.data(), data.x.data(), data.weight.data(), Activation::kTanh, shape,
                   Cpu{});
  };
  backward({dx.data()}, {dw.data()}, {db.data()});
  backward({dx1.data()}, {}, {});
  backward({}, {dw1.data()}, {});
  backward({}, {}, {db1.data()});
  backward({}, {}, {});
  CHECK(same_bits(dx, dx1));
  CHECK(same_bits(dw, dw1));
  CHECK(same_bits(db, db1));
}

TEST_CASE("NaN and the ends of the range stay in their row of a dense layer, and no rows give gradients of 0") {
  const DenseShape shape{5, 3, 9};
  DenseData data(shape);
  data.x[3] = std::numeric_limits<float>::quiet_NaN();
  data.x[6] = 1e4f;
  data.x[7] = -1e4f;
  for_each_simd_target([&] {
    for (const Activation activation : kActivations) {
      std::vector<float> y(shape.y_size());
      dense_forward(y.data(), data.x.data(), data.weight.data(), data.bias.data(), activation, shape, Cpu{});
      for (int e = 0; e < shape.n * shape.out; ++e) CHECK(std::isnan(y[e]) == (e / shape.out == 1));
      std::vector<float> dw(shape.weight_size(), 7), db(shape.out, 7);
      dense_backward({}, {dw.data()}, {db.data()}, nullptr, nullptr, nullptr, data.weight.data(), activation,
                     {0, shape.in, shape.out}, Cpu{});
      CHECK(dw == std::vector<float>(dw.size(), 0));
      CHECK(db == std::vector<float>(db.size(), 0));
    }
  });
}

}  // namespace
}  // namespace flowsmith::core::testing
