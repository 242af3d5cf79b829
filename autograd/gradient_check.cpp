#include "autograd/gradient_check.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/noise.h"

namespace flowsmith::core {
namespace {

using Record = std::function<std::vector<Var>(Tape&)>;

// The checker's own pseudo-random numbers, apart by their draw.
constexpr std::uint64_t kSeed = 20240607;
constexpr std::uint32_t kElementsDraw = 0, kDirectionDraw = 1, kFirstWeightsDraw = 2;

std::vector<double> random_numbers(std::size_t size, std::uint32_t draw) {
  std::vector<double> numbers(size);
  const std::uint32_t index = 0;
  const NoiseStream stream{kSeed, NoisePurpose::kWeights, draw};
  uniform_noise(numbers.data(), &index, &stream, 1, size, Reference{});
  return numbers;
}

/// Runs fn(T{}) with the type of an f32 or f64 tensor.
template <class Fn>
void with_float_type(const Tensor& tensor, Fn&& fn) {
  tensor.dtype() == DType::kF32 ? fn(float{}) : fn(double{});
}

void set_values(Device device, const Tensor& tensor, std::span<const double> values) {
  with_float_type(tensor, [&](auto zero) {
    using T = decltype(zero);
    const std::vector<T> converted(values.begin(), values.end());
    upload(device, tensor, converted.data());
  });
}

/// The loss of the checker: the weighted sum of all results. It is no op of a flow and runs on the host.
struct WeightedTermNode {
  Var loss, term;
  const double* weights;

  void backward(Tape& tape) const {
    const double dloss = tape.read<double>(tape.finished_grad(loss))[0];
    const Tensor value = tape.value(term);
    with_float_type(value, [&](auto zero) {
      using T = decltype(zero);
      const Grad<T> grad = tape.grad<T>(term);
      if (!grad) return;
      const Tensor destination(grad.data, value.dtype(), value.shape());
      std::vector<T> values = tape.read<T>(destination);
      for (std::size_t i = 0; i < values.size(); ++i) Grad<T>{values.data(), grad.mode}.write(i, T(dloss * weights[i]));
      upload(tape.device(), destination, values.data());
    });
  }
};

struct WeightedSum {
  Var loss;
  double magnitude = 0;  ///< sum of the absolute terms: what the rounding error of the loss is relative to
};

/// Sum over all results of weight * element, with weights of either sign and a size in [0.5, 1.5].
WeightedSum weighted_sum(Tape& tape, std::span<const Var> results) {
  WeightedSum sum{tape.output(DType::kF64, Shape{}, true)};
  double loss = 0;
  for (std::size_t k = 0; k < results.size(); ++k) {
    const Tensor value = tape.value(results[k]);
    auto* const weights = static_cast<double*>(tape.node_memory(value.size() * sizeof(double)));
    const std::vector<double> random = random_numbers(value.size(), kFirstWeightsDraw + std::uint32_t(k));
    const std::vector<double> elements = to_doubles(value, tape.device());
    for (std::size_t i = 0; i < value.size(); ++i) {
      const double centred = 2 * random[i] - 1;
      weights[i] = centred + std::copysign(0.5, centred);
      loss += weights[i] * elements[i];
      sum.magnitude += std::abs(weights[i] * elements[i]);
    }
    tape.record(WeightedTermNode{sum.loss, results[k], weights});
  }
  upload(tape.device(), tape.value(sum.loss), &loss);
  return sum;
}

std::vector<CheckedInput> make_tensors(Arena& arena, DType dtype, std::span<const NamedArray> arrays) {
  std::vector<CheckedInput> inputs;
  for (const NamedArray& array : arrays) {
    if (array.values.size() != array.shape.size()) {
      throw Error("input " + array.name + " has " + std::to_string(array.values.size()) + " values, its shape " +
                  array.shape.to_string() + " needs " + std::to_string(array.shape.size()));
    }
    inputs.push_back({array.name, arena.tensor(dtype, array.shape), arena.tensor(dtype, array.shape)});
    set_values(arena.device(), inputs.back().value, array.values);
  }
  return inputs;
}

/// The computation recorded twice on one set of leaves.
Record twice_on_leaves(const std::vector<CheckedInput>& inputs, const Computation& computation) {
  return [&](Tape& tape) {
    std::vector<Var> leaves;
    for (const CheckedInput& input : inputs) leaves.push_back(tape.leaf(input.value, input.grad));
    std::vector<Var> results = computation(tape, leaves);
    for (const Var v : computation(tape, leaves)) results.push_back(v);
    return results;
  };
}

/// The gradients of all inputs, and the sum they are of.
struct Gradients {
  std::vector<std::vector<double>> values;
  double magnitude;
};

Gradients gradients_of(Device device, std::span<const CheckedInput> inputs, const Record& record) {
  // An op that accumulates where it should overwrite must not find zeros there.
  for (const CheckedInput& input : inputs) {
    const std::vector<double> nan(input.grad.size(), std::numeric_limits<double>::quiet_NaN());
    set_values(device, input.grad, nan);
  }
  Tape tape(device);
  tape.start(true);
  const WeightedSum sum = weighted_sum(tape, record(tape));
  tape.backward(sum.loss);
  Gradients gradients{{}, sum.magnitude};
  for (const CheckedInput& input : inputs) gradients.values.push_back(to_doubles(input.grad, device));
  return gradients;
}

/// The numbers of the elements to check, each once, in a fixed random order.
std::vector<std::size_t> chosen_elements(std::size_t size, std::size_t max_elements) {
  std::vector<std::size_t> chosen(size);
  for (std::size_t i = 0; i < size; ++i) chosen[i] = i;
  if (size <= max_elements) return chosen;
  const std::vector<double> random = random_numbers(max_elements, kElementsDraw);
  for (std::size_t i = 0; i < max_elements; ++i) std::swap(chosen[i], chosen[i + std::size_t(random[i] * (size - i))]);
  chosen.resize(max_elements);
  return chosen;
}

/// A direction of length 1.
std::vector<double> random_direction(std::size_t size) {
  std::vector<double> direction = random_numbers(size, kDirectionDraw);
  double squares = 0;
  for (double& value : direction) {
    value = 2 * value - 1;
    squares += value * value;
  }
  for (double& value : direction) value /= std::sqrt(squares);
  return direction;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// distance / scale; 0 if the distance is 0, and infinite rather than not a number.
double relative(double distance, double scale) {
  if (distance == 0) return 0;
  const double error = distance / scale;
  return std::isfinite(error) ? error : std::numeric_limits<double>::infinity();
}

/// A derivative twice: from backward and from differences with this step.
struct Derivative {
  std::string where;
  double backward, difference, step;
};

class DifferenceChecker {
 public:
  DifferenceChecker(const Record& record, double direction_step)
      : record_(record), direction_step_(direction_step), tape_(Device::kReference) {}

  GradientCheck check(const CheckedInput& input, const std::vector<double>& gradient, double magnitude,
                      std::size_t max_elements) {
    std::vector<Derivative> derivatives;
    double* const values = input.value.data<double>();
    for (const std::size_t i : chosen_elements(gradient.size(), max_elements)) {
      const double kept = values[i];
      const auto loss_at = [&](double step) {
        values[i] = kept + step;
        return loss();
      };
      derivatives.push_back(
          {"element " + std::to_string(i), gradient[i], difference(loss_at, kDifferenceStep), kDifferenceStep});
      values[i] = kept;
    }
    if (gradient.size() > max_elements) {
      const std::vector<double> kept = to_doubles(input.value), direction = random_direction(kept.size());
      const auto loss_at = [&](double step) {
        for (std::size_t i = 0; i < kept.size(); ++i) values[i] = kept[i] + step * direction[i];
        return loss();
      };
      derivatives.push_back(
          {"a random direction", dot(gradient, direction), difference(loss_at, direction_step_), direction_step_});
      std::copy(kept.begin(), kept.end(), values);
    }
    return worst(input.name, gradient, derivatives, magnitude);
  }

 private:
  /// Recorded even though no gradient is wanted: otherwise a coupling would write over its input.
  double loss() {
    tape_.start(true);
    return *tape_.value(weighted_sum(tape_, record_(tape_)).loss).data<double>();
  }

  template <class LossAt>
  static double difference(const LossAt& loss_at, double step) {
    const double above = loss_at(step);
    return (above - loss_at(-step)) / (2 * step);
  }

  static GradientCheck worst(const std::string& name, const std::vector<double>& gradient,
                             const std::vector<Derivative>& derivatives, double magnitude) {
    double largest = 0;
    for (const double value : gradient) largest = std::max(largest, std::abs(value));
    for (const Derivative& d : derivatives) largest = std::max(largest, std::abs(d.difference));
    const double rounding = 10 * std::numeric_limits<double>::epsilon() * magnitude;  // of a chain of some ten ops
    GradientCheck check{name, gradient.size(), 0, ""};
    for (const Derivative& d : derivatives) {
      const double floor = std::max(largest / 100, rounding / d.step / kGradientBound);
      const double scale = std::max({std::abs(d.backward), std::abs(d.difference), floor});
      const double error = relative(std::abs(d.backward - d.difference), scale);
      if (error <= check.error && !check.where.empty()) continue;
      check.where = d.where;
      check.error = error;
    }
    return check;
  }

  const Record& record_;
  double direction_step_;
  Tape tape_;
};

double norm(const std::vector<double>& a) { return std::sqrt(dot(a, a)); }

}  // namespace

std::vector<GradientCheck> check_gradients(std::span<const CheckedInput> inputs, const Record& record,
                                           std::size_t max_elements, double direction_step) {
  const Gradients gradients = gradients_of(Device::kReference, inputs, record);
  DifferenceChecker checker(record, direction_step);
  std::vector<GradientCheck> checks;
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    checks.push_back(checker.check(inputs[k], gradients.values[k], gradients.magnitude, max_elements));
  }
  return checks;
}

std::vector<GradientCheck> check_gradients(std::span<const NamedArray> arrays, const Computation& computation,
                                           std::size_t max_elements) {
  Arena arena;
  const std::vector<CheckedInput> inputs = make_tensors(arena, DType::kF64, arrays);
  return check_gradients(inputs, twice_on_leaves(inputs, computation), max_elements);
}

std::vector<GradientCheck> compare_gradients(Device device, std::span<const NamedArray> arrays,
                                             const Computation& computation) {
  std::vector<NamedArray> rounded(arrays.begin(), arrays.end());
  std::vector<std::string> names;
  for (NamedArray& array : rounded) {
    names.push_back(array.name);
    for (double& value : array.values) value = float(value);
  }
  Arena arena(device), exact_arena(Device::kReference);
  const std::vector<CheckedInput> inputs = make_tensors(arena, DType::kF32, rounded);
  const std::vector<CheckedInput> exact_inputs = make_tensors(exact_arena, DType::kF64, rounded);
  const Gradients gradients = gradients_of(device, inputs, twice_on_leaves(inputs, computation));
  const Gradients expected = gradients_of(Device::kReference, exact_inputs, twice_on_leaves(exact_inputs, computation));
  return compare_gradients(names, gradients.values, expected.values);
}

std::vector<GradientCheck> compare_gradients(std::span<const std::string> names,
                                             std::span<const std::vector<double>> gradients,
                                             std::span<const std::vector<double>> expected) {
  double largest = 0;  // root mean square
  for (const auto& e : expected) largest = std::max(largest, norm(e) / std::sqrt(double(e.size())));
  std::vector<GradientCheck> checks;
  for (std::size_t k = 0; k < names.size(); ++k) {
    std::vector<double> distance = gradients[k];
    for (std::size_t i = 0; i < distance.size(); ++i) distance[i] -= expected[k][i];
    const double scale = std::max(norm(expected[k]), largest / 100 * std::sqrt(double(expected[k].size())));
    checks.push_back({names[k], expected[k].size(), relative(norm(distance), scale), "all elements"});
  }
  return checks;
}

}  // namespace flowsmith::core
