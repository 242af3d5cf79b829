// What the page of flowsmith explore asks a flow: questions and answers as JSON.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "models/flow.h"
#include "models/interchange/example_files.h"
#include "tools/pictures/plane_view.h"

namespace flowsmith::core {

/// A question that cannot be answered as it is: the page is told why.
class BadQuestion : public Error {
 public:
  using Error::Error;
};

class Explorer {
 public:
  /// `examples` are pictures to begin with, or points over which the density is drawn; of a flow of images or of the
  /// plane. Throws Error for other flows.
  Explorer(Flow flow, ExamplePiece examples);

  /// `question` is one of, with the keys of `asked` behind it:
  ///   info                             what the flow is: kind, shape, latents, number of examples
  ///   example      number              pixels of an example
  ///   score        pixels, samples     bits_per_dim with 1 to 8 noise samples, as flowsmith score gives it to the only
  ///   image
  ///                                    of an array; gradient of log p by z; pixels that its latents decode to
  ///   sample       seed, temperatures  pixels of a sample
  ///   between      a, b, t             pixels of the image at t on the arc between the latents of two images
  ///   change       pixels, latent, channel, by   pixels after `by` is added to a channel of a latent
  ///   density                          of the plane: left, bottom, side, cells, values
  ///   point        x                   log_prob, and where the point is behind each layer
  /// Throws BadQuestion, or NotFinite where the flow makes something that is not finite.
  nlohmann::json answer(const std::string& question, const nlohmann::json& asked);

 private:
  Flow flow_;
  ExamplePiece examples_;
  PlotSquare square_;
};

}  // namespace flowsmith::core
