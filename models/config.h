// A flow as data: what a JSON file says about its data, dequantization, layers and base (docs/config.md).
//
// Example:
//   FlowConfig config = FlowConfig::named("moons").with("layers.0.repeat", "16");
//   Flow flow(config);
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/types.h"
#include "models/component.h"
#include "models/settings.h"

namespace flowsmith::core {

/// How a named model is trained unless somebody says otherwise.
struct TrainingDefaults {
  std::string data;
  int epochs, batch_size;
  double lr, lr_decay, clip_norm;
};

/// What the key `training` may hold.
const std::vector<Key>& training_keys();

class FlowConfig {
 public:
  /// Checks a JSON text and fills in every default. Throws Error in one line that begins with `where` and names the
  /// layer and key: unknown keys and types, missing keys, wrong types and ranges, more than kMostLayers layers. Shapes
  /// are checked when a Flow is made of it.
  static FlowConfig parse(std::string_view text, const std::string& where);
  /// The text of a file. Throws Error naming it.
  static FlowConfig read(const std::string& path);
  /// A model that comes with the program (models/configs). Throws Error that lists them.
  static FlowConfig named(std::string_view name);
  static std::vector<std::string> names();

  /// With the value of one key changed: `path` is "layers.0.repeat", `value` a JSON value or a text. A component whose
  /// `type` is changed gets the defaults of its new type. Throws Error if there is no such key or the value is not
  /// right.
  FlowConfig with(const std::string& path, const std::string& value) const;
  /// With data of this shape. Throws Error if an image is asked for where the flow takes vectors.
  FlowConfig with_shape(int height, int width, int channels) const;
  /// With so many couplings, shared out over the layers with couplings as they are now. Throws Error if they cannot be.
  FlowConfig with_couplings(int couplings) const;
  /// Of the layers, repetitions included; those of a dequantization are not counted.
  int couplings() const;

  /// The normalised configuration: indented, or in one line as weight files keep it.
  std::string text() const;
  std::string line() const;

  std::string name() const;
  std::string description() const;
  Settings data() const;
  /// Of 8-bit images only.
  Settings dequantization() const;
  std::vector<Settings> layers() const;
  Settings base() const;
  TrainingDefaults training() const;

  /// The side that images of a dataset are padded to; 0: not at all.
  int pad() const;
  /// Whether rows and columns of a dataset's images change places.
  bool transposes() const;
  /// Whether columns of numbers are brought to mean 0 and deviation 1 first.
  bool standardizes() const;
  /// Whether examples are 8-bit images; they are real numbers otherwise.
  bool takes_images() const;
  /// Of the data, n = 1. A vector of D numbers is (1, 1, 1, D).
  MapShape data_shape() const;

  /// Whether both describe the same flow, whatever their names and training.
  bool operator==(const FlowConfig& other) const;

  static constexpr int kMostLayers = 4096;  ///< repetitions included

 private:
  explicit FlowConfig(const nlohmann::ordered_json& checked);

  std::shared_ptr<const nlohmann::ordered_json> json_;
};

}  // namespace flowsmith::core
