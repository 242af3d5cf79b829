#include "kernels/cpu/channel_rows.h"

#include <algorithm>

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

/// Adds the elements of a run of rows to sums that are as long as a row; without d, x - center stands in its place.
template <bool kMoments, class T>
HWY_INLINE void add_rows(double* first, double* second, const T* d, const T* x, const RowTables& tables,
                         std::size_t size) {
  const std::size_t lanes = hn::Lanes(Doubles());
  for (std::size_t row = 0; row < size; row += tables.width) {
    const std::size_t width = std::min(tables.width, size - row);
    std::size_t j = 0;
    for (; j + lanes <= width; j += lanes) {
      const DoubleVector distance = hn::Sub(load(x + row + j), load(tables.center + j));
      const DoubleVector factor = kMoments ? distance : load(d + row + j);
      hn::StoreU(hn::Add(load(first + j), factor), Doubles(), first + j);
      hn::StoreU(hn::Add(load(second + j), hn::Mul(factor, distance)), Doubles(), second + j);
    }
    for (; j < width; ++j) {
      const double distance = x[row + j] - tables.center[j];
      const double factor = kMoments ? distance : double(d[row + j]);
      first[j] += factor;
      second[j] += factor * distance;
    }
  }
}

template <class T>
HWY_INLINE void line_rows(Grad<T> to, const T* x, const RowTables& tables, std::size_t size) {
  const std::size_t lanes = hn::Lanes(Doubles());
  for (std::size_t row = 0; row < size; row += tables.width) {
    const std::size_t width = std::min(tables.width, size - row);
    std::size_t j = 0;
    for (; j + lanes <= width; j += lanes) {
      const DoubleVector distance = hn::Sub(load(x + row + j), load(tables.center + j));
      write(to, row + j, hn::Add(hn::Mul(distance, load(tables.scale + j)), load(tables.offset + j)));
    }
    for (; j < width; ++j) {
      to.write(row + j, T((x[row + j] - tables.center[j]) * tables.scale[j] + tables.offset[j]));
    }
  }
}

template <class T>
HWY_INLINE void plane_rows(Grad<T> to, const T* d, const T* x, const RowTables& tables, std::size_t size) {
  const std::size_t lanes = hn::Lanes(Doubles());
  for (std::size_t row = 0; row < size; row += tables.width) {
    const std::size_t width = std::min(tables.width, size - row);
    std::size_t j = 0;
    for (; j + lanes <= width; j += lanes) {
      const DoubleVector distance = hn::Sub(load(x + row + j), load(tables.center + j));
      const DoubleVector line = hn::Sub(hn::Mul(load(d + row + j), load(tables.scale + j)), load(tables.offset + j));
      write(to, row + j, hn::Sub(line, hn::Mul(distance, load(tables.slope + j))));
    }
    for (; j < width; ++j) {
      const double line = d[row + j] * tables.scale[j] - tables.offset[j];
      to.write(row + j, T(line - (x[row + j] - tables.center[j]) * tables.slope[j]));
    }
  }
}

// What is chosen at run time: functions of one type each.
#define FLOWSMITH_ROWS(T)                                                                                   \
  void moments_impl(double* first, double* second, const T* x, const RowTables& tables, std::size_t size) { \
    add_rows<true, T>(first, second, nullptr, x, tables, size);                                             \
  }                                                                                                         \
  void products_impl(double* first, double* second, const T* d, const T* x, const RowTables& tables,        \
                     std::size_t size) {                                                                    \
    add_rows<false>(first, second, d, x, tables, size);                                                     \
  }                                                                                                         \
  void lines_impl(Grad<T> to, const T* x, const RowTables& tables, std::size_t size) {                      \
    line_rows(to, x, tables, size);                                                                         \
  }                                                                                                         \
  void planes_impl(Grad<T> to, const T* d, const T* x, const RowTables& tables, std::size_t size) {         \
    plane_rows(to, d, x, tables, size);                                                                     \
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
  const RowTables tables{row.size(), row.data(), nullptr, nullptr, nullptr};
  const auto run = Rows<T>::moments();
  return sums_of_groups(shape, [&](double* first, double* second, std::size_t begin, std::size_t size) {
    run(first, second, x + begin, tables, size);
  });
}

template <class T>
ChannelSums channel_products(const T* d, const T* x, const ChannelValues& center, MapShape shape) {
  const ChannelValues row = along_row(center);
  const RowTables tables{row.size(), row.data(), nullptr, nullptr, nullptr};
  const auto run = Rows<T>::products();
  return sums_of_groups(shape, [&](double* first, double* second, std::size_t begin, std::size_t size) {
    run(first, second, d + begin, x + begin, tables, size);
  });
}

template <class T>
void write_channel_lines(Grad<T> to, const T* x, const ChannelValues& center, const ChannelValues& scale,
                         const ChannelValues& offset, MapShape shape) {
  const ChannelValues center_row = along_row(center), scale_row = along_row(scale), offset_row = along_row(offset);
  const RowTables tables{center_row.size(), center_row.data(), scale_row.data(), offset_row.data(), nullptr};
  const auto run = Rows<T>::lines();
  const std::size_t size = shape.image_size();
#pragma omp parallel for schedule(static) if (worth_threads(shape.size()))
  for (int n = 0; n < shape.n; ++n) run({to.data + n * size, to.mode}, x + n * size, tables, size);
}

template <class T>
void write_channel_planes(Grad<T> to, const T* d, const T* x, const ChannelValues& scale, const ChannelValues& rest,
                          const ChannelValues& center, const ChannelValues& slope, MapShape shape) {
  const ChannelValues center_row = along_row(center), scale_row = along_row(scale), rest_row = along_row(rest),
                      slope_row = along_row(slope);
  const RowTables tables{center_row.size(), center_row.data(), scale_row.data(), rest_row.data(), slope_row.data()};
  const auto run = Rows<T>::planes();
  const std::size_t size = shape.image_size();
#pragma omp parallel for schedule(static) if (worth_threads(shape.size()))
  for (int n = 0; n < shape.n; ++n) run({to.data + n * size, to.mode}, d + n * size, x + n * size, tables, size);
}

#define FLOWSMITH_INSTANTIATE(T)                                                                              \
  template ChannelSums channel_moments(const T*, const ChannelValues&, MapShape);                             \
  template ChannelSums channel_products(const T*, const T*, const ChannelValues&, MapShape);                  \
  template void write_channel_lines(Grad<T>, const T*, const ChannelValues&, const ChannelValues&,            \
                                    const ChannelValues&, MapShape);                                          \
  template void write_channel_planes(Grad<T>, const T*, const T*, const ChannelValues&, const ChannelValues&, \
                                     const ChannelValues&, const ChannelValues&, MapShape);
FLOWSMITH_INSTANTIATE(float)
FLOWSMITH_INSTANTIATE(double)
#undef FLOWSMITH_INSTANTIATE

}  // namespace flowsmith::cpu
#endif
