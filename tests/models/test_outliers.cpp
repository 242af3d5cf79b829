// Telling one kind of data from another.
#include <catch2/catch.hpp>
#include <cmath>
#include <random>
#include <vector>

#include "models/analysis/outliers.h"
#include "tests/support/error_of.h"

namespace flowsmith::core {
namespace {

using Numbers = std::vector<double>;

TEST_CASE("AUROC of cases that can be counted by hand", "[analysis]") {
  CHECK(auroc(Numbers{1, 2}, Numbers{3, 4}) == 1);
  CHECK(auroc(Numbers{3, 4}, Numbers{1, 2}) == 0);
  CHECK(auroc(Numbers{1, 1}, Numbers{1, 1, 1}) == 0.5);
  // Of the six pairs of {1, 3} and {2, 3, 4} larger are 1<2, 1<3, 1<4, 3<4, and 3 = 3 is half: 4.5 of 6.
  CHECK(auroc(Numbers{1, 3}, Numbers{2, 3, 4}) == 4.5 / 6);
  CHECK(auroc(Numbers{-INFINITY, 0}, Numbers{INFINITY}) == 1);
  CHECK_FALSE(error_of([] { auroc(Numbers{}, Numbers{1}); }).empty());
  CHECK_FALSE(error_of([] { auroc(Numbers{1}, Numbers{NAN}); }).empty());
}

TEST_CASE("AUROC is the share of pairs in the right order", "[analysis]") {
  std::mt19937 random(7);
  for (const int size : {1, 3, 31, 257}) {
    std::uniform_int_distribution<int> few(0, 20);  // so that there are equal ones
    Numbers data, outliers;
    for (int i = 0; i < size; ++i) data.push_back(few(random));
    for (int i = 0; i < 2 * size; ++i) outliers.push_back(few(random) + 3);
    double right = 0;
    for (const double a : data) {
      for (const double b : outliers) right += b > a ? 1 : b == a ? 0.5 : 0;
    }
    CHECK(auroc(data, outliers) == Approx(right / double(data.size() * outliers.size())).epsilon(1e-12));
  }
}

TEST_CASE("what is simple takes zlib few bits, and noise more than all", "[analysis]") {
  std::vector<std::uint8_t> flat(784, 7), noise;
  std::mt19937 random(1);
  for (int i = 0; i < 784; ++i) noise.push_back(std::uint8_t(random() % 256));
  CHECK(complexity(flat) < 0.2);
  CHECK(complexity(noise) > 8);
  CHECK(complexity(noise) < 8.2);  // stored, with a few bytes around
}

}  // namespace
}  // namespace flowsmith::core
