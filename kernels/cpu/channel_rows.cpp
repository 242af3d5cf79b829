#include "kernels/cpu/channel_rows.h"

#include <algorithm>

#include "kernels/cpu/image_groups.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd_dispatch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/channel_rows.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/activation-inl.h"

HWY_BEFORE_NAMESPACE();
namespace flowsmith::core::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Doubles = hn::ScalableTag<double>;
template <class T>
using Elements = hn::Rebind<T, Doubles>;  // as many
using DoubleVector = hn::Vec<Doubles>;

HWY_INLINE DoubleVector load(const double* from) { return hn::LoadU(Doubles(), from); }
HWY_INLINE DoubleVector load(const float* from) { return hn::PromoteTo(Doubles(), hn::LoadU(Elements<float>(), from)); }

HWY_INLINE DoubleVector rounded(Doubles, DoubleVector value) { return value; }
HWY_INLINE auto rounded(Elements<float> d, DoubleVector value) { return hn::DemoteTo(d, value); }

/// What the loops over vectors know; rows with elu and tanh are computed element by element.
constexpr bool vectorised(Activation activation) {
  return activation != Activation::kElu && activation != Activation::kTanh;
}

/// As activate(), so that not a number stays that.
template <Activation kActivation, class D>
HWY_INLINE hn::Vec<D> activated(D d, hn::Vec<D> y) {
  const hn::Vec<D> zero = hn::Zero(d);
  if constexpr (kActivation == Activation::kRelu) return hn::IfThenZeroElse(hn::Lt(y, zero), y);
  if constexpr (kActivation == Activation::kLeakyRelu) {
    return hn::IfThenElse(hn::Gt(y, zero), y, hn::Mul(y, hn::Set(d, hn::TFromD<D>(kLeakySlope))));
  }
  return y;
}

/// Writes act(value), where value is rounded first.
template <Activation kActivation, class T>
HWY_INLINE void write(Grad<T> to, std::size_t at, DoubleVector value) {
  const Elements<T> d;
  auto result = activated<kActivation>(d, rounded(d, value));
  if (to.mode == GradMode::kAccumulate) result = hn::Add(hn::LoadU(d, to.data + at), result);
  hn::StoreU(result, d, to.data + at);
}

/// A double rounds to a T above 0 if it is above this: half the least float is a tie, which goes to 0.
template <class T>
inline constexpr double kRoundsToZero = sizeof(T) == sizeof(double) ? 0.0 : 0x1p-150;

/// *d * act' at the line rounded to T, where `distance` is x - center.
template <Activation kActivation, class T>
HWY_INLINE DoubleVector before_activation(const T* d, DoubleVector distance, const RowTables& tables, std::size_t j) {
  if constexpr (kActivation == Activation::kNone) return load(d);
  const DoubleVector line = hn::Add(hn::Mul(distance, load(tables.scale + j)), load(tables.offset + j));
  const auto positive = hn::Gt(line, hn::Set(Doubles(), kRoundsToZero<T>));
  const double below = kActivation == Activation::kRelu ? 0.0 : double(T(kLeakySlope));
  return hn::Mul(load(d), hn::IfThenElse(positive, hn::Set(Doubles(), 1.0), hn::Set(Doubles(), below)));
}
template <Activation kActivation, class T>
HWY_INLINE double before_activation(const T* d, double distance, const RowTables& tables, std::size_t j) {
  if constexpr (kActivation == Activation::kNone) return *d;
  const T line = T(distance * tables.scale[j] + tables.offset[j]);
  return double(*d) * core::activation_derivative(kActivation, core::activate(kActivation, line));
}

/// add_rows for kVectors vectors of columns from j on, whose sums stay in registers over the rows.
template <int kVectors, bool kMoments, Activation kActivation, class T>
HWY_INLINE void add_columns(double* first, double* second, const T* d, const T* x, const RowTables& tables,
                            std::size_t rows, std::size_t j) {
  const std::size_t lanes = hn::Lanes(Doubles());
  DoubleVector sum[kVectors], product[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) sum[v] = load(first + j + v * lanes), product[v] = load(second + j + v * lanes);
  for (std::size_t row = 0; row < rows; ++row) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const std::size_t column = j + v * lanes, at = row * tables.width + column;
      const DoubleVector distance = hn::Sub(load(x + at), load(tables.center + column));
      const DoubleVector factor =
          kMoments ? distance : before_activation<kActivation>(d + at, distance, tables, column);
      sum[v] = hn::Add(sum[v], factor);
      product[v] = hn::Add(product[v], hn::Mul(factor, distance));
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    hn::StoreU(sum[v], Doubles(), first + j + v * lanes);
    hn::StoreU(product[v], Doubles(), second + j + v * lanes);
  }
}

/// Adds the elements of a run of rows to sums that are as long as a row; without d, x - center stands in its place.
template <bool kMoments, Activation kActivation, class T>
HWY_INLINE void add_rows(double* first, double* second, const T* d, const T* x, const RowTables& tables,
                         std::size_t size) {
  const std::size_t lanes = hn::Lanes(Doubles()), width = tables.width;
  const std::size_t most = std::max<std::size_t>(1, 2048 / width) * width;  // they stay in the first-level cache
  for (std::size_t begin = 0; begin < size; begin += most) {
    const std::size_t count = std::min(most, size - begin), rows = count / width;
    const T *const part = x + begin, *const part_d = kMoments ? nullptr : d + begin;
    std::size_t j = 0;
    if (vectorised(kActivation)) {
      for (; j + 4 * lanes <= width; j += 4 * lanes) {
        add_columns<4, kMoments, kActivation>(first, second, part_d, part, tables, rows, j);
      }
      for (; j + lanes <= width; j += lanes) {
        add_columns<1, kMoments, kActivation>(first, second, part_d, part, tables, rows, j);
      }
    }
    const auto add_elements = [&](std::size_t row, std::size_t column, std::size_t end) {
      for (; column < end; ++column) {
        const std::size_t at = row * width + column;
        const double distance = part[at] - tables.center[column];
        const double factor =
            kMoments ? distance : before_activation<kActivation>(part_d + at, distance, tables, column);
        first[column] += factor;
        second[column] += factor * distance;
      }
    };
    for (std::size_t row = 0; j < width && row < rows; ++row) add_elements(row, j, width);
    add_elements(rows, 0, count - rows * width);  // the last row may end early
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
      write<kActivation>(to, row + j, hn::Add(hn::Mul(distance, load(tables.scale + j)), load(tables.offset + j)));
    }
    for (; j < width; ++j) {
      const T line = T((x[row + j] - tables.center[j]) * tables.scale[j] + tables.offset[j]);
      to.write(row + j, core::activate(kActivation, line));
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
      const DoubleVector gradient = before_activation<kActivation>(d + row + j, distance, tables, j);
      const DoubleVector line = hn::Sub(hn::Mul(gradient, load(tables.factor + j)), load(tables.rest + j));
      write<Activation::kNone>(to, row + j, hn::Sub(line, hn::Mul(distance, load(tables.slope + j))));
    }
    for (; j < width; ++j) {
      const double distance = x[row + j] - tables.center[j];
      const double gradient = before_activation<kActivation>(d + row + j, distance, tables, j);
      to.write(row + j, T(gradient * tables.factor[j] - tables.rest[j] - distance * tables.slope[j]));
    }
  }
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

}  // namespace flowsmith::core::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace flowsmith::core::cpu {
namespace {

/// Elements of a row: one pixel if its channels fill vectors of 8 doubles, or nearly, and otherwise so many pixels that
/// the row does and is not too short.
std::size_t row_width(int c) {
  constexpr int kEnough = 64, kLanes = 8;
  return c >= kEnough || (c >= kEnough / 2 && c % kLanes == 0) ? c : std::size_t(c) * kLanes * ((kLanes + c - 1) / c);
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

}  // namespace flowsmith::core::cpu
#endif
