#include "models/registry.h"

#include "kernels/error.h"
#include "models/bases/base.h"
#include "models/bijectors/bijector.h"
#include "models/bijectors/sequence.h"
#include "models/conditioners/conditioner.h"
#include "models/data_types.h"
#include "models/input/input_layer.h"
#include "models/transformers/transformer.h"

namespace flowsmith {

// Each of these stands in a file of the folder of its kind. A new type is one file, and one row here and below.
LayerType coupling_type();
LayerType squeeze_type();
LayerType split_type();
LayerType actnorm_type();
LayerType batch_norm_type();
LayerType diagonal_type();
LayerType invertible_conv_type();
LayerType permutation_type();

TransformerType affine_type();
TransformerType additive_type();

ConditionerType gated_resnet_type();
ConditionerType mlp_type();
ConditionerType resnet_type();
ConditionerType glow_cnn_type();
ConditionerType glow_prior_type();

DequantizationType uniform_type();
DequantizationType variational_type();

BaseType standard_normal_type();
BaseType diagonal_normal_type();
BaseType mixture_type();

namespace {

// clang-format off
const LayerType kLayers[] = {
    coupling_type(),
    squeeze_type(),
    split_type(),
    actnorm_type(),
    batch_norm_type(),
    diagonal_type(),
    invertible_conv_type(),
    permutation_type(),
};
const TransformerType kTransformers[] = {
    affine_type(),
    additive_type(),
};
const ConditionerType kConditioners[] = {
    gated_resnet_type(),
    mlp_type(),
    resnet_type(),
    glow_cnn_type(),
    glow_prior_type(),
};
const DequantizationType kDequantizations[] = {
    uniform_type(),
    variational_type(),
};
const BaseType kBases[] = {
    standard_normal_type(),
    diagonal_normal_type(),
    mixture_type(),
};
// clang-format on

template <class Types>
const auto& type_named(const Types& types, const Settings& settings) {
  const std::string name = settings.type();
  for (const auto& type : types) {
    if (type.name == name) return type;
  }
  throw Error(settings.path() + ": unknown type " + name);
}

}  // namespace

std::vector<const ComponentType*> component_types(ComponentKind kind) {
  std::vector<const ComponentType*> list;
  const auto add = [&](const auto& types) {
    for (const auto& type : types) list.push_back(&type);
  };
  switch (kind) {
    case ComponentKind::kData:
      add(data_types());
      break;
    case ComponentKind::kDequantization:
      add(kDequantizations);
      break;
    case ComponentKind::kLayer:
      list.push_back(&sequence_type());
      add(kLayers);
      break;
    case ComponentKind::kTransformer:
      add(kTransformers);
      break;
    case ComponentKind::kConditioner:
      add(kConditioners);
      break;
    case ComponentKind::kBase:
      add(kBases);
      break;
  }
  return list;
}

std::unique_ptr<Bijector> make_layer(const Settings& settings, Builder& builder) {
  return type_named(kLayers, settings).make(settings, builder);
}

std::unique_ptr<Transformer> make_transformer(const Settings& settings, Builder& builder) {
  return type_named(kTransformers, settings).make(settings, builder);
}

std::unique_ptr<Conditioner> make_conditioner(const Settings& settings, Builder& builder, int outputs) {
  return type_named(kConditioners, settings).make(settings, builder, outputs);
}

std::unique_ptr<InputLayer> make_dequantization(const Settings& settings, Builder& builder) {
  return type_named(kDequantizations, settings).make(settings, builder);
}

std::unique_ptr<Base> make_base(const Settings& settings, Builder& builder) {
  return type_named(kBases, settings).make(settings, builder);
}

}  // namespace flowsmith
