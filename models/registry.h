// Every type of layer, transformer, conditioner, dequantization and base that a configuration can name: one list each,
// in registry.cpp, to which programs may add their own.
#pragma once

#include <memory>
#include <vector>

#include "models/component.h"
#include "models/settings.h"

namespace flowsmith::core {

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

/// Adds a type to those that configurations of this process can name from now on, as `"type": "its name"`. From any
/// thread. Throws Error if the name is taken.
void register_type(LayerType type);
void register_type(TransformerType type);
void register_type(ConditionerType type);
void register_type(DequantizationType type);
void register_type(BaseType type);

/// Those of a kind; they stay where they are.
std::vector<const ComponentType*> component_types(ComponentKind kind);

std::unique_ptr<Bijector> make_layer(const Settings& settings, Builder& builder);
std::unique_ptr<Transformer> make_transformer(const Settings& settings, Builder& builder);
std::unique_ptr<Conditioner> make_conditioner(const Settings& settings, Builder& builder, int outputs);
std::unique_ptr<InputLayer> make_dequantization(const Settings& settings, Builder& builder);
std::unique_ptr<Base> make_base(const Settings& settings, Builder& builder);

}  // namespace flowsmith::core
