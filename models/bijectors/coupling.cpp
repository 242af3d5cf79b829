// A coupling layer: mask, conditioner, transformer (NICE, Dinh et al. 2015; RealNVP, Dinh et al. 2017, section 3).
// docs/math/coupling.md.
//
// While the tape says recompute(), a coupling works in place as it does when nothing is recorded, and keeps nothing. In
// backward it has its output. The part that conditions the network is a copy of the input: the network runs again on
// it, this time recorded, the inverse rebuilds the rest of the input up to rounding, and backward goes through that one
// network and gives its memory back. So memory does not grow with the number of couplings. Rounding adds up from the
// last coupling in place to the first (docs/math/coupling.md): largest_drift() measures it.
#include "models/bijectors/bijector.h"
#include "models/conditioners/conditioner.h"
#include "models/registry.h"
#include "models/transformers/transformer.h"

namespace flowsmith::core {
namespace {

constexpr std::string_view kMaskNames[] = {"checkerboard", "channel", "alternating", "list"};  // as MaskKind

class Coupling : public Bijector {
 public:
  Coupling(const Settings& settings, Builder& builder)
      : prefix_(builder.prefix), shape_(builder.shape), mask_memory_(builder.parameters.device()) {
    set_mask(settings, builder);
    transformer_ = make_transformer(settings.component("transformer"), builder);
    Builder network = builder;
    network.prefix += "network.";
    conditioner_ = make_conditioner(settings.component("conditioner"), network, transformer_->parameters_per_element());
  }

  Var forward(FlowPass& pass, Var x) const override {
    Tape& tape = pass.tape;
    if (!tape.recompute()) return transform(pass, x);
    const Tensor memory = tape.value(x);
    if (pass.rebuilt.empty() || pass.rebuilt.back().rebuilt.raw() != memory.raw()) {
      const Tensor kept = tape.arena().tensor(memory.dtype(), memory.shape());
      copy(tape.device(), kept.raw(), memory.raw(), memory.bytes());
      pass.rebuilt.push_back({kept, memory});
    }
    const Var z = tape.in_place(x);
    {
      const TapePause pause(tape);
      transform(pass, x);
    }
    tape.record(Rebuild{this, pass.parameters, pass.network_type, pass.image, pass.levels, z, x, pass.logdet,
                        pass.batch_statistics});
    return z;
  }

  Var inverse(FlowPass& pass, Var z) const override {
    const TapeScope scope(pass.tape);
    transformer_->inverse(pass, z, predict(pass, z), mask_);
    return z;
  }

  Var initialize(FlowPass& pass, Parameters& parameters, Var x) const override {
    const TapeScope scope(pass.tape);
    return transformer_->forward(pass, x, conditioner_->initialize(pass, parameters, seen(pass, x), mask_), mask_);
  }
  bool needs_data() const override { return conditioner_->needs_data(); }
  bool uses_batch_statistics() const override { return conditioner_->uses_batch_statistics(); }
  void weights_changed(const Parameters& parameters) override { conditioner_->weights_changed(parameters); }

  std::optional<double> largest_logdet(const Parameters& parameters) const override {
    double sum = 0;
    for (int k = 0; k < shape_.c; ++k) {
      const std::optional<double> largest = transformer_->largest_log_scale(parameters, k);
      if (!largest) return std::nullopt;
      sum += *largest * double(transformed_[k]);
    }
    return sum;
  }

  std::vector<NamedMask> masks() const override { return {{prefix_ + "mask", mask_, shape_}}; }

  std::string description() const override {
    return "coupling, " + transformer_->description() + ", " + std::string(kMaskNames[int(mask_.kind)]) + " mask" +
           (mask_.invert ? " inverted" : "") + ", " + conditioner_->description();
  }

 private:
  /// The node of a coupling that kept nothing.
  struct Rebuild {
    const Coupling* layer;
    ParameterVars parameters;
    DType network_type;
    Tensor image;
    int levels;
    Var z, x, logdet;  ///< z is x, written over
    bool batch_statistics;

    void backward(Tape& tape) const {
      // Their memory must outlast what is recorded here; that of x is z's, and parameters have their own.
      tape.finished_grad(z);
      tape.finished_grad(logdet);
      tape.backward_through([&] {
        FlowPass pass{tape, parameters, network_type, logdet, {}, false};
        pass.image = image;
        pass.levels = levels;
        pass.batch_statistics = batch_statistics;
        layer->transformer_->rebuild(pass, z, x, layer->predict(pass, x), layer->mask_);
      });
    }
  };

  void set_mask(const Settings& settings, const Builder& builder) {
    mask_.invert = settings.flag("invert") != (settings.flag("alternate") && builder.repetition % 2 == 1);
    std::vector<int> list;
    if (settings.is_list("mask")) {
      list = settings.integers("mask");
      if (list.size() != shape_.image_size()) {
        throw Error("its mask has " + std::to_string(list.size()) + " numbers for " +
                    std::to_string(shape_.image_size()) + " elements: give one for each");
      }
      const std::vector<std::uint32_t> bits = mask_bits({list.begin(), list.end()});
      const Tensor memory = mask_memory_.tensor(DType::kU32, Shape{int(bits.size())});
      upload(mask_memory_.device(), memory, bits.data());
      mask_.kind = MaskKind::kList;
      mask_.bits = memory.data<std::uint32_t>();
    } else {
      while (kMaskNames[int(mask_.kind)] != settings.text("mask")) mask_.kind = MaskKind(int(mask_.kind) + 1);
    }
    transformed_.assign(shape_.c, 0);
    std::size_t ones = 0;
    for (std::size_t i = 0; i < shape_.image_size(); ++i) {
      const int k = int(i % shape_.c), x = int(i / shape_.c % shape_.w), y = int(i / shape_.c / shape_.w);
      // The bits of a list may lie where the host cannot read them.
      const bool one = list.empty() ? mask_value(mask_, y, x, k, shape_) : (list[i] != 0) != mask_.invert;
      ones += one;
      transformed_[k] += !one;
    }
    if (shape_.image_size() > 1 && (ones == 0 || ones == shape_.image_size())) {
      throw Error(std::string("its mask ") + (ones == 0 ? "lets nothing through" : "lets everything through") +
                  " for z of shape " + Shape(shape_).to_string() + ": choose another mask");
    }
  }

  /// What the network sees: what the mask leaves of x, and the image.
  Var seen(const FlowPass& pass, Var x) const {
    return conditioner_input(pass.tape, x, pass.image, mask_, pass.network_type, pass.levels);
  }

  /// The parameters of the transformer for what the mask leaves of x.
  Var predict(FlowPass& pass, Var x) const { return conditioner_->forward(pass, seen(pass, x), mask_); }

  Var transform(FlowPass& pass, Var x) const {
    const TapeScope scope(pass.tape);
    return transformer_->forward(pass, x, predict(pass, x), mask_);
  }

  std::string prefix_;
  MapShape shape_;                        ///< n = 1
  Arena mask_memory_;                     ///< of a list
  std::vector<std::size_t> transformed_;  ///< elements of an image in each channel that the mask does not let through
  Mask mask_;
  std::unique_ptr<Transformer> transformer_;
  std::unique_ptr<Conditioner> conditioner_;
};

std::unique_ptr<Bijector> make(const Settings& settings, Builder& builder) {
  return std::make_unique<Coupling>(settings, builder);
}

}  // namespace

LayerType coupling_type() {
  return {{"coupling",
           "a mask lets a part of z through; a network sees it and says how the rest is transformed",
           {mask_key("mask", "checkerboard", {"checkerboard", "channel", "alternating"},
                     "1: let through, 0: transformed. checkerboard: (y + x) mod 2; channel: the first half of the "
                     "channels; alternating: every second channel; or a list with a number for each element, NHWC"),
            flag_key("invert", false, "swap the 0 and 1 of the mask"),
            flag_key("alternate", false, "swap them in every second repetition"),
            component_key("transformer", R"("affine")", ComponentKind::kTransformer, "what is done to the rest"),
            component_key("conditioner", std::nullopt, ComponentKind::kConditioner, "the network")}},
          make};
}

}  // namespace flowsmith::core
