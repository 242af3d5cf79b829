#include "models/data_types.h"

namespace flowsmith::core {
namespace {

constexpr int kLargestSide = 1024;
constexpr int kMostDims = 1024;  ///< of a vector

Key side_key(const char* name, const char* meaning) {
  return integer_key(name, std::nullopt, 1, kLargestSide, meaning);
}

const ComponentType kDataTypes[] = {
    {"image8",
     "8-bit images; the score is in bits per dimension",
     {side_key("height", "rows"), side_key("width", "columns"), integer_key("channels", 1, 1, 3, "1: grey, 3: colour"),
      integer_key("levels", 256, 2, 256, "values of a pixel that the flow tells apart, a power of two: 32 are 5 bits"),
      integer_key("pad", 0, 0, kLargestSide,
                  "images of a dataset are centred on black up to this side; 0: as they are"),
      flag_key("transpose", false, "images of a dataset are stored column by column: rows and columns change places"),
      flag_key("flatten", false, "the layers see an image as one vector of height x width x channels numbers")}},
    {"vector",
     "vectors of numbers; the score is in nats",
     {integer_key("dims", std::nullopt, 1, kMostDims, "numbers in a vector"),
      flag_key("standardize", false,
               "subtract the mean of the training data from each column and divide by its standard deviation")}},
    {"map",
     "feature maps of numbers; the score is in nats",
     {side_key("height", "rows"), side_key("width", "columns"),
      integer_key("channels", std::nullopt, 1, 4096, "numbers in a pixel")}},
};

}  // namespace

std::span<const ComponentType> data_types() { return kDataTypes; }

}  // namespace flowsmith::core
