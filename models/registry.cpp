#include "models/registry.h"

#include <deque>
#include <mutex>

#include "kernels/error.h"
#include "models/bases/base.h"
#include "models/bijectors/bijector.h"
#include "models/bijectors/sequence.h"
#include "models/conditioners/conditioner.h"
#include "models/data_types.h"
#include "models/input/input_layer.h"
#include "models/transformers/transformer.h"

namespace flowsmith::core {

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

/// The types of a kind. One may be added at any time and none is taken away, so pointers to them stay good.
template <class Type>
class TypeList {
 public:
  TypeList(ComponentKind kind, std::initializer_list<Type> types) : kind_(kind), types_(types) {}

  void add(Type type) {
    const std::lock_guard guard(lock_);
    bool taken = kind_ == ComponentKind::kLayer && type.name == sequence_type().name;
    for (const Type& other : types_) taken = taken || other.name == type.name;
    if (taken)
      throw Error("there is a " + component_kind_name(kind_) + " " + type.name + " already: name it otherwise");
    types_.push_back(std::move(type));
  }

  const Type& named_by(const Settings& settings) const {
    const std::string name = settings.type();
    const std::lock_guard guard(lock_);
    for (const Type& type : types_) {
      if (type.name == name) return type;
    }
    throw Error(settings.path() + ": unknown type " + name);
  }

  void list(std::vector<const ComponentType*>& all) const {
    const std::lock_guard guard(lock_);
    for (const Type& type : types_) all.push_back(&type);
  }

 private:
  mutable std::mutex lock_;
  ComponentKind kind_;
  std::deque<Type> types_;
};

// clang-format off
TypeList<LayerType>& layers() {
  static TypeList<LayerType> all{ComponentKind::kLayer, {
      coupling_type(),
      squeeze_type(),
      split_type(),
      actnorm_type(),
      batch_norm_type(),
      diagonal_type(),
      invertible_conv_type(),
      permutation_type(),
  }};
  return all;
}

TypeList<TransformerType>& transformers() {
  static TypeList<TransformerType> all{ComponentKind::kTransformer, {
      affine_type(),
      additive_type(),
  }};
  return all;
}

TypeList<ConditionerType>& conditioners() {
  static TypeList<ConditionerType> all{ComponentKind::kConditioner, {
      gated_resnet_type(),
      mlp_type(),
      resnet_type(),
      glow_cnn_type(),
      glow_prior_type(),
  }};
  return all;
}

TypeList<DequantizationType>& dequantizations() {
  static TypeList<DequantizationType> all{ComponentKind::kDequantization, {
      uniform_type(),
      variational_type(),
  }};
  return all;
}

TypeList<BaseType>& bases() {
  static TypeList<BaseType> all{ComponentKind::kBase, {
      standard_normal_type(),
      diagonal_normal_type(),
      mixture_type(),
  }};
  return all;
}
// clang-format on

}  // namespace

void register_type(LayerType type) { layers().add(std::move(type)); }
void register_type(TransformerType type) { transformers().add(std::move(type)); }
void register_type(ConditionerType type) { conditioners().add(std::move(type)); }
void register_type(DequantizationType type) { dequantizations().add(std::move(type)); }
void register_type(BaseType type) { bases().add(std::move(type)); }

std::vector<const ComponentType*> component_types(ComponentKind kind) {
  std::vector<const ComponentType*> all;
  switch (kind) {
    case ComponentKind::kData:
      for (const ComponentType& type : data_types()) all.push_back(&type);
      break;
    case ComponentKind::kDequantization:
      dequantizations().list(all);
      break;
    case ComponentKind::kLayer:
      all.push_back(&sequence_type());
      layers().list(all);
      break;
    case ComponentKind::kTransformer:
      transformers().list(all);
      break;
    case ComponentKind::kConditioner:
      conditioners().list(all);
      break;
    case ComponentKind::kBase:
      bases().list(all);
      break;
  }
  return all;
}

std::unique_ptr<Bijector> make_layer(const Settings& settings, Builder& builder) {
  return layers().named_by(settings).make(settings, builder);
}

std::unique_ptr<Transformer> make_transformer(const Settings& settings, Builder& builder) {
  return transformers().named_by(settings).make(settings, builder);
}

std::unique_ptr<Conditioner> make_conditioner(const Settings& settings, Builder& builder, int outputs) {
  return conditioners().named_by(settings).make(settings, builder, outputs);
}

std::unique_ptr<InputLayer> make_dequantization(const Settings& settings, Builder& builder) {
  return dequantizations().named_by(settings).make(settings, builder);
}

std::unique_ptr<Base> make_base(const Settings& settings, Builder& builder) {
  return bases().named_by(settings).make(settings, builder);
}

}  // namespace flowsmith::core
