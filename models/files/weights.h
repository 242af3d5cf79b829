// Weight files: safetensors with PyTorch's state_dict names and OIHW shapes (the tutorial's names for its models), and
// the flow's configuration in their metadata. Masks are buffers that can be computed; a file may hold them (PyTorch's
// do), and then they must be right.
#pragma once

#include "engine/safetensors.h"
#include "models/flow.h"

namespace flowsmith::core {

/// The flow whose weights a file holds: from the metadata `config`, or, for files that PyTorch or earlier versions
/// wrote, one of the tutorial's (models/files/tutorial_files.h). Throws Error naming `path` if it is none of ours.
FlowConfig config_of(const SafetensorsFile& file, const std::string& path);

/// The number in a field of the metadata: T is int, std::int64_t or double. Throws Error naming `path` and the field if
/// it is missing or no (finite) number.
template <class T>
T metadata_number(const SafetensorsFile& file, const std::string& key, const std::string& path);

/// The shortest text that metadata_number() reads back to the same bits.
std::string number_text(double value);

/// A flow for the weights of a file, which it does not load yet. Throws Error naming `path`, also if the file is far
/// too small for so large a flow: what a configuration says must not decide how much memory is taken.
Flow flow_for(const FlowConfig& config, const SafetensorsFile& file, const std::string& path, Device device);
/// The same with the configuration of the file.
Flow flow_for(const SafetensorsFile& file, const std::string& path, Device device = Device::kCpu);

/// Writes the origin into the metadata `data` and `seed`, beside the `version` of the program.
void set_origin(SafetensorsFile& file, const Origin& origin);
std::optional<Origin> origin_of(const SafetensorsFile& file);

/// Metadata that config_of() reads.
std::map<std::string, std::string> config_metadata(const FlowConfig& config);

/// Configuration, parameters and states of a flow.
SafetensorsFile weights_file(const Flow& flow);

/// One file tensor for each parameter of the flow, F32, from a span shaped like its values.
std::vector<NamedTensor> export_parameters(const Parameters& parameters, const Tensor& span,
                                           const std::string& prefix = "");

/// The inverse: fills `span` from the tensors named prefix + name, of type F32, or F64, F16 or BF16, which are
/// converted. Throws Error naming `path` and the tensor if one is missing or has another type or shape.
void import_parameters(const Parameters& parameters, const Tensor& span, const SafetensorsFile& file,
                       const std::string& path, const std::string& prefix = "");

/// The same for the states beside them, F64.
std::vector<NamedTensor> export_states(const Parameters& parameters);
void import_states(Parameters& parameters, const SafetensorsFile& file, const std::string& path);

/// Loads a whole weight file into a flow: its parameters and states, and every other tensor must be a right mask, one
/// of `ignored`, or an optimizer's ("adam.", in checkpoints). Throws Error naming `path`.
void load_weights(Flow& flow, const SafetensorsFile& file, const std::string& path,
                  std::span<const std::string_view> ignored = {});

}  // namespace flowsmith::core
