// Every type of layer, transformer, conditioner, dequantization and base that a configuration can name: one table each,
// in registry.cpp.
#pragma once

#include <memory>
#include <vector>

#include "models/component.h"
#include "models/settings.h"

namespace flowsmith {

class Base;
class Bijector;
class Conditioner;
class InputLayer;
class Transformer;
struct Builder;

/// A component that can be made of its settings. `make` throws Error if it does not fit the shape of z in front of it.
template <class Product, class... More>
struct MakeableType : ComponentType {
  std::unique_ptr<Product> (*make)(const Settings& settings, Builder& builder, More... more);
};

using LayerType = MakeableType<Bijector>;
/// Adds the parameters of the transformer's own, if it has any.
using TransformerType = MakeableType<Transformer>;
/// `outputs`: numbers that the network has to predict for each element of z.
using ConditionerType = MakeableType<Conditioner, int>;
using DequantizationType = MakeableType<InputLayer>;
using BaseType = MakeableType<Base>;

std::vector<const ComponentType*> component_types(ComponentKind kind);

std::unique_ptr<Bijector> make_layer(const Settings& settings, Builder& builder);
std::unique_ptr<Transformer> make_transformer(const Settings& settings, Builder& builder);
std::unique_ptr<Conditioner> make_conditioner(const Settings& settings, Builder& builder, int outputs);
std::unique_ptr<InputLayer> make_dequantization(const Settings& settings, Builder& builder);
std::unique_ptr<Base> make_base(const Settings& settings, Builder& builder);

}  // namespace flowsmith
