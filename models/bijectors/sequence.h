// A list of layers, some of them repeated, as the layers that a flow runs.
#pragma once

#include "models/bijectors/bijector.h"
#include "models/component.h"

namespace flowsmith::core {

/// "sequence": several layers that are repeated together. It has no layer of its own.
const ComponentType& sequence_type();

/// A layer in its place.
struct PlacedLayer {
  std::string name;  ///< "flows.3": with a dot behind it the prefix of its parameters
  std::unique_ptr<Bijector> bijector;
  MapShape output;  ///< n = 1
};

/// Makes the layers of a configuration's list one behind the other, with the names `prefix`FIRST, `prefix`FIRST+1, ...
/// Leaves the builder with the shape and number of latents behind them. Throws Error that names the layer that does not
/// fit.
std::vector<PlacedLayer> make_layers(const std::vector<Settings>& list, Builder& builder, const std::string& prefix,
                                     int first);

/// Whether one of them needs data to begin with.
bool needs_data(const std::vector<PlacedLayer>& layers);
/// Tells all of them that parameters have new values. Throws Error that names the layer if one is no bijection.
void weights_changed(const std::vector<PlacedLayer>& layers, const Parameters& parameters);

}  // namespace flowsmith::core
