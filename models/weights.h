// Weight files: safetensors with the tutorial's state_dict names and OIHW shapes, so that PyTorch reads them as they
// are. Masks are buffers that can be computed; a file may hold them (PyTorch's do), and then they must be right.
#pragma once

#include "models/flow.h"

namespace flowsmith {

/// Which model the tensors of a file are: from the metadata `model`, `edition`, `height`, `width` if present,
/// otherwise from names, shapes and masks; how many couplings it has, from names. Throws Error naming `path` if it is
/// none of ours.
ModelSpec recognise_model(const SafetensorsFile& file, const std::string& path);

/// The number in a field of the metadata: T is int, std::int64_t or double. Throws Error naming `path` and the field if
/// it is missing or no (finite) number.
template <class T>
T metadata_number(const SafetensorsFile& file, const std::string& key, const std::string& path);

/// The shortest text that metadata_number() reads back to the same bits.
std::string number_text(double value);

/// Metadata that recognise_model() reads.
std::map<std::string, std::string> model_metadata(const ModelSpec& spec);

/// One file tensor for each parameter of the flow, F32, from a span shaped like its values.
std::vector<NamedTensor> export_parameters(const Parameters& parameters, const Tensor& span,
                                           const std::string& prefix = "");

/// The inverse: fills `span` from the tensors named prefix + name. Throws Error naming `path` and the tensor if one
/// is missing or has another type or shape.
void import_parameters(const Parameters& parameters, const Tensor& span, const SafetensorsFile& file,
                       const std::string& path, const std::string& prefix = "");

/// Loads a whole weight file into a flow: import_parameters, and every other tensor must be a right mask, one of
/// `ignored`, or an optimizer's ("adam.", in checkpoints). Throws Error naming `path`.
void load_weights(Flow& flow, const SafetensorsFile& file, const std::string& path,
                  std::span<const std::string_view> ignored = {});

}  // namespace flowsmith
