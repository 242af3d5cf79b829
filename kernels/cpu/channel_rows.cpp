#include "kernels/cpu/channel_rows.h"

#include <algorithm>
#include <type_traits>

#include "kernels/activation_math.h"
#include "kernels/cpu/image_groups.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd_dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/channel_rows.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace flowsmith::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Doubles = hn::ScalableTag<double>;
using Floats = hn::Rebind<float, Doubles>;  // as many
using DoubleVector = hn::Vec<Doubles>;

HWY_INLINE DoubleVector load(const double* from) { return hn::LoadU(Doubles(), from); }
HWY_INLINE DoubleVector load(const float* from) { return hn::PromoteTo(Doubles(), hn::LoadU(Floats(), from)); }

HWY_INLINE void write(Grad<double> to, std::size_t at, DoubleVector value) {
  if (to.mode == GradMode::kAccumulate) value = hn::Add(load(to.data + at), value);
  hn::StoreU(value, Doubles(), to.data + at);
}
HWY_INLINE void write(Grad<float> to, std::size_t at, DoubleVector value) {
  auto rounded = hn::DemoteTo(Floats(), value);
  if (to.mode == GradMode::kAccumulate) rounded = hn::Add(hn::LoadU(Floats(), to.data + at), rounded);
  hn::StoreU(rounded, Floats(), to.data + at);
}

/// Whether loops over vectors know the activation; rows of others are computed element by element.
constexpr bool vectorised(Activation activation) {
  return activation == Activation::kNone || activation == Activation::kRelu;
}

/// d * act', where `distance` is x - center.
template <Activation kActivation>
HWY_INLINE DoubleVector before_activation(DoubleVector d, DoubleVector distance, const RowTables& tables,
                                          std::size_t j) {
  if constexpr (kActivation == Activation::kRelu) {
    const DoubleVector line = hn::Add(hn::Mul(distance, load(tables.scale + j)), load(tables.offset + j));
    const DoubleVector one = hn::Set(Doubles(), 1.0);
    return hn::Mul(d, hn::IfThenElseZero(hn::Gt(line, hn::Zero(Doubles())), one));  // not a number stays that
  }
  return d;
}
template <class T>
double before_activation(T d, double distance, const RowTables& tables, std::size_t j) {
  if (tables.activation == Activation::kNone) return double(d);
  const T line = T(distance * tables.scale[j] + tables.offset[j]);
  return double(d) * activation_derivative(tables.activation, activate(tables.activation, line));
}

/// Adds the elements of a run of rows to sums that are as long as a row; without d, x - center stands in its place.
template <bool kMoments, Activation kActivation, class T>
HWY_INLINE void add_rows(double* first, double* second, const T* d, const T* x, const RowTables& tables,
                         std::size_t size) {
  const std::size_t lanes = hn::Lanes(Doubles());
  for (std::size_t row = 0; row < size; row += tables.width) {
    const std::size_t width = std::min(tables.width, size - row);
    std::size_t j = 0;
    for (; vectorised(kActivation) && j + lanes <= width; j += lanes) {
      const DoubleVector distance = hn::Sub(load(x + row + j), load(tables.center + j));
      const DoubleVector factor =
          kMoments ? distance : before_activation<kActivation>(load(d + row + j), distance, tables, j);
      hn::StoreU(hn::Add(load(first + j), factor), Doubles(), first + j);
      hn::StoreU(hn::Add(load(second + j), hn::Mul(factor, distance)), Doubles(), second + j);
    }
    for (; j < width; ++j) {
      const double distance = x[row + j] - tables.center[j];
      const double factor = kMoments ? distance : before_activation(d[row + j], distance, tables, j);
      first[j] += factor;
      second[j] += factor * distance;
    }
  }
}

template <Activation kActivation, class T>
HWY_INLINE void line_rows(Grad<T> to, const T* x, const RowTables& tables, std::size_t size) {
  const std::size_t lanes = hn::Lanes(Doubles());
  for (std::size_t row = 0; row < size; row += tables.width) {
    const std::size_t width = std::min(tables.width, size - row);
    std::size_t j = 0;
    for (; vectorised(kActivation) && j + lanes <= width; j += lanes) {
      const DoubleVector distance = hn::Sub(load(x + row + j), load(tables.center + j));
      DoubleVector line = hn::Add(hn::Mul(distance, load(tables.scale + j)), load(tables.offset + j));
      if constexpr (kActivation == Activation::kRelu) {
        line = hn::IfThenZeroElse(hn::Lt(line, hn::Zero(Doubles())), line);  // not a number stays that
      }
      write(to, row + j, line);
    }
    for (; j < width; ++j) {
      const T line = T((x[row + j] - tables.center[j]) * tables.scale[j] + tables.offset[j]);
      to.write(row + j, activate(tables.activation, line));
    }
  }
}

template <Activation kActivation, class T>
HWY_INLINE void plane_rows(Grad<T> to, const T* d, const T* x, const RowTables& tables, std::size_t size) {
  const std::size_t lanes = hn::Lanes(Doubles());
  for (std::size_t row = 0; row < size; row += tables.width) {
    const std::size_t width = std::min(tables.width, size - row);
    std::size_t j = 0;
    for (; vectorised(kActivation) && j + lanes <= width; j += lanes) {
      const DoubleVector distance = hn::Sub(load(x + row + j), load(tables.center + j));
      const DoubleVector gradient = before_activation<kActivation>(load(d + row + j), distance, tables, j);
      const DoubleVector line = hn::Sub(hn::Mul(gradient, load(tables.factor + j)), load(tables.rest + j));
      write(to, row + j, hn::Sub(line, hn::Mul(distance, load(tables.slope + j))));
    }
    for (; j < width; ++j) {
      const double distance = x[row + j] - tables.center[j];
      const double gradient = before_activation(d[row + j], distance, tables, j);
      to.write(row + j, T(gradient * tables.factor[j] - tables.rest[j] - distance * tables.slope[j]));
    }
  }
}

/// Calls run with the activation as a constant; of those that are not vectorised one stands for all.
template <class Run>
HWY_INLINE void with_activation(Activation activation, const Run& run) {
  if (activation == Activation::kNone) return run(std::integral_constant<Activation, Activation::kNone>());
  if (activation == Activation::kRelu) return run(std::integral_constant<Activation, Activation::kRelu>());
  run(std::integral_constant<Activation, Activation::kElu>());
}

// What is chosen at run time: functions of one type each.
#define FLOWSMITH_ROWS(T)                                                                                   \
  void moments_impl(double* first, double* second, const T* x, const RowTables& tables, std::size_t size) { \
    add_rows<true, Activation::kNone, T>(first, second, nullptr, x, tables, size);                          \
  }                                                                                                         \
  void products_impl(double* first, double* second, const T* d, const T* x, const RowTables& tables,        \
                     std::size_t size) {                                                                    \
    with_activation(tables.activation, [&](auto activation) HWY_ATTR {                                      \
      add_rows<false, activation()>(first, second, d, x, tables, size);                                     \
    });                                                                                                     \
  }                                                                                                         \
  void lines_impl(Grad<T> to, const T* x, const RowTables& tables, std::size_t size) {                      \
    with_activation(tables.activation,                                                                      \
                    [&](auto activation) HWY_ATTR { line_rows<activation()>(to, x, tables, size); });       \
  }                                                                                                         \
  void planes_impl(Grad<T> to, const T* d, const T* x, const RowTables& tables, std::size_t size) {         \
    with_activation(tables.activation,                                                                      \
                    [&](auto activation) HWY_ATTR { plane_rows<activation()>(to, d, x, tables, size); });   \
  }
namespace of_float {
FLOWSMITH_ROWS(float)
}
namespace of_double {
FLOWSMITH_ROWS(double)
}
#undef FLOWSMITH_ROWS

}  // namespace flowsmith::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace flowsmith::cpu {
namespace {

/// Pixels of a row: of few channels so many that rows are whole vectors of 8 doubles and not too short.
std::size_t row_width(int c) {
  constexpr int kEnough = 64, kLanes = 8;
  return c >= kEnough ? c : std::size_t(c) * kLanes * ((kLanes + c - 1) / c);
}

/// The values of the channels, repeated along a row.
ChannelValues along_row(const ChannelValues& values) {
  ChannelValues row(row_width(int(values.size())));
  for (std::size_t j = 0; j < row.size(); ++j) row[j] = values[j % values.size()];
  return row;
}

/// The tables of a line.
struct LineRows {
  explicit LineRows(const ChannelLine& line)
      : center(along_row(line.center)), scale(along_row(line.scale)), offset(along_row(line.offset)) {
    tables = {center.size(), center.data(), scale.data(), offset.data(), line.activation, nullptr, nullptr, nullptr};
  }
  ChannelValues center, scale, offset;
  RowTables tables;
};

/// add(first, second, begin, size): adds that run of elements to two sums along a row.
template <class Add>
ChannelSums sums_of_groups(MapShape shape, const Add& add) {
  const int groups = image_groups(shape.n);
  const std::size_t width = row_width(shape.c);
  ChannelValues partials(groups * 2 * width);
#pragma omp parallel for schedule(static) if (groups > 1 && worth_threads(shape.size()))
  for (int group = 0; group < groups; ++group) {
    double* const first = partials.data() + group * 2 * width;
    const std::size_t begin = group_begin(shape.n, group) * shape.image_size();
    const std::size_t end = group_begin(shape.n, group + 1) * shape.image_size();
    add(first, first + width, begin, end - begin);
  }
  ChannelSums sums{ChannelValues(shape.c), ChannelValues(shape.c)};
  for (int group = 0; group < groups; ++group) {
    const double* const first = partials.data() + group * 2 * width;
    for (std::size_t j = 0; j < width; ++j) {
      sums.first[j % shape.c] += first[j];
      sums.second[j % shape.c] += first[width + j];
    }
  }
  return sums;
}

/// The functions for T of the instruction set in use.
template <class T>
struct Rows;
#define FLOWSMITH_CHOOSE_ROWS(T)                                                  \
  template <>                                                                     \
  struct Rows<T> {                                                                \
    static auto moments() { return &FLOWSMITH_DISPATCH(of_##T::moments_impl); }   \
    static auto products() { return &FLOWSMITH_DISPATCH(of_##T::products_impl); } \
    static auto lines() { return &FLOWSMITH_DISPATCH(of_##T::lines_impl); }       \
    static auto planes() { return &FLOWSMITH_DISPATCH(of_##T::planes_impl); }     \
  };
FLOWSMITH_CHOOSE_ROWS(float)
FLOWSMITH_CHOOSE_ROWS(double)
#undef FLOWSMITH_CHOOSE_ROWS

}  // namespace

template <class T>
ChannelSums channel_moments(const T* x, const ChannelValues& center, MapShape shape) {
  const ChannelValues row = along_row(center);
  RowTables tables{};
  tables.width = row.size(), tables.center = row.data();
  const auto run = Rows<T>::moments();
  return sums_of_groups(shape, [&](double* first, double* second, std::size_t begin, std::size_t size) {
    run(first, second, x + begin, tables, size);
  });
}

template <class T>
ChannelSums channel_products(const T* d, const T* x, const ChannelLine& line, MapShape shape) {
  const LineRows rows(line);
  const auto run = Rows<T>::products();
  return sums_of_groups(shape, [&](double* first, double* second, std::size_t begin, std::size_t size) {
    run(first, second, d + begin, x + begin, rows.tables, size);
  });
}

template <class T>
void write_channel_lines(Grad<T> to, const T* x, const ChannelLine& line, MapShape shape) {
  const LineRows rows(line);
  const auto run = Rows<T>::lines();
  const std::size_t size = shape.image_size();
#pragma omp parallel for schedule(static) if (worth_threads(shape.size()))
  for (int n = 0; n < shape.n; ++n) run({to.data + n * size, to.mode}, x + n * size, rows.tables, size);
}

template <class T>
void write_channel_planes(Grad<T> to, const T* d, const T* x, const ChannelLine& line, const ChannelValues& factor,
                          const ChannelValues& rest, const ChannelValues& slope, MapShape shape) {
  LineRows rows(line);
  const ChannelValues factor_row = along_row(factor), rest_row = along_row(rest), slope_row = along_row(slope);
  rows.tables.factor = factor_row.data(), rows.tables.rest = rest_row.data(), rows.tables.slope = slope_row.data();
  const auto run = Rows<T>::planes();
  const std::size_t size = shape.image_size();
#pragma omp parallel for schedule(static) if (worth_threads(shape.size()))
  for (int n = 0; n < shape.n; ++n) run({to.data + n * size, to.mode}, d + n * size, x + n * size, rows.tables, size);
}

#define FLOWSMITH_INSTANTIATE(T)                                                                            \
  template ChannelSums channel_moments(const T*, const ChannelValues&, MapShape);                           \
  template ChannelSums channel_products(const T*, const T*, const ChannelLine&, MapShape);                  \
  template void write_channel_lines(Grad<T>, const T*, const ChannelLine&, MapShape);                       \
  template void write_channel_planes(Grad<T>, const T*, const T*, const ChannelLine&, const ChannelValues&, \
                                     const ChannelValues&, const ChannelValues&, MapShape);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::cpu
#endif
