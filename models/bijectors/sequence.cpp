#include "models/bijectors/sequence.h"

#include <algorithm>
#include <map>

#include "models/registry.h"

namespace flowsmith::core {
namespace {

class Stack {
 public:
  Stack(Builder& builder, const std::string& prefix, int first) : builder_(builder), prefix_(prefix), number_(first) {}

  void add(const std::vector<Settings>& list) {
    for (const Settings& settings : list) {
      const int repeat = settings.integer("repeat");
      for (int i = 0; i < repeat; ++i) {
        if (settings.type() == sequence_type().name) {
          add(settings.components("layers"));
        } else {
          add(settings);
        }
      }
    }
  }

  std::vector<PlacedLayer> take() { return std::move(layers_); }

 private:
  void add(const Settings& settings) {
    const std::string name = prefix_ + std::to_string(number_++);
    builder_.prefix = name + ".";
    builder_.repetition = made_[settings.path()]++;
    try {
      std::unique_ptr<Bijector> layer = make_layer(settings, builder_);
      builder_.shape = layer->output_shape(builder_.shape);
      if (layer->latent_shape()) ++builder_.latents;
      layers_.push_back({name, std::move(layer), builder_.shape});
    } catch (const Error& error) {
      throw Error(settings.path() + " (" + settings.type() + "): " + error.what());
    }
  }

  Builder& builder_;
  std::string prefix_;
  int number_;
  std::map<std::string, int> made_;  ///< of each entry of the configuration
  std::vector<PlacedLayer> layers_;
};

}  // namespace

const ComponentType& sequence_type() {
  static const ComponentType type{
      "sequence", "several layers that are repeated together", {layers_key("layers", "in their order")}};
  return type;
}

std::vector<PlacedLayer> make_layers(const std::vector<Settings>& list, Builder& builder, const std::string& prefix,
                                     int first) {
  Stack stack(builder, prefix, first);
  stack.add(list);
  return stack.take();
}

bool needs_data(const std::vector<PlacedLayer>& layers) {
  return std::any_of(layers.begin(), layers.end(), [](const PlacedLayer& l) { return l.bijector->needs_data(); });
}

void weights_changed(const std::vector<PlacedLayer>& layers, const Parameters& parameters) {
  for (const PlacedLayer& layer : layers) {
    try {
      layer.bijector->weights_changed(parameters);
    } catch (const Error& error) {
      throw Error("layer " + layer.name + " (" + layer.bijector->description() + "): " + error.what());
    }
  }
}

}  // namespace flowsmith::core
