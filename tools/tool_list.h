// The subcommands of the program `flowsmith`, in the order in which its help shows them: one file of tools/ each. The
// script ./flow reads names and summaries from this file.
#pragma once

namespace flowsmith::core {

int train_tool(int argc, char** argv);
int score_tool(int argc, char** argv);
int eval_tool(int argc, char** argv);
int sample_tool(int argc, char** argv);
int encode_tool(int argc, char** argv);
int decode_tool(int argc, char** argv);
int transform_tool(int argc, char** argv);
int ledger_tool(int argc, char** argv);
int health_tool(int argc, char** argv);
int masks_tool(int argc, char** argv);
int latents_tool(int argc, char** argv);
int interpolate_tool(int argc, char** argv);
int dequant_tool(int argc, char** argv);
int plane_tool(int argc, char** argv);
int scale_curve_tool(int argc, char** argv);
int explore_tool(int argc, char** argv);
int curves_tool(int argc, char** argv);
int movie_tool(int argc, char** argv);
int report_tool(int argc, char** argv);
int info_tool(int argc, char** argv);
int import_tool(int argc, char** argv);
int parity_tool(int argc, char** argv);
int gradcheck_tool(int argc, char** argv);
int bench_tool(int argc, char** argv);

struct ToolEntry {
  const char* name;
  const char* summary;
  /// Like main(), argv[0] being the name of the tool. Returns the exit code.
  int (*run)(int argc, char** argv);
};

// clang-format off
inline constexpr ToolEntry kTools[] = {
    {"train", "learn a flow from images or numbers", train_tool},
    {"score", "log-likelihood of each example, as a table", score_tool},
    {"eval", "bits per dimension, or nats, of weights on a dataset", eval_tool},
    {"sample", "draw images or numbers from a trained flow", sample_tool},
    {"encode", "images to latents", encode_tool},
    {"decode", "latents back to the same images", decode_tool},
    {"transform", "the layers of a flow as a function on arrays", transform_tool},
    {"ledger", "where the bits of a score come from", ledger_tool},
    {"health", "how the layers of a flow compute, and which goes wrong", health_tool},
    {"masks", "pictures of the masks of a flow's couplings", masks_tool},
    {"latents", "samples that share latents, and the latents of data beside a normal", latents_tool},
    {"interpolate", "rows of images between pairs, through their latents", interpolate_tool},
    {"dequant", "what dequantization does to discrete values and pixels", dequant_tool},
    {"plane", "density, layers and grid of a flow of the plane", plane_tool},
    {"scale-curve", "how a coupling's log-scale is bounded", scale_curve_tool},
    {"explore", "a page in the browser where one plays with a flow", explore_tool},
    {"curves", "learning curves of runs in one chart", curves_tool},
    {"movie", "the samples of a run as a film", movie_tool},
    {"report", "one HTML page about a training run", report_tool},
    {"info", "layers, shapes and parameter counts of a flow", info_tool},
    {"import", "a PyTorch or Flax checkpoint of the tutorial to a weight file", import_tool},
    {"parity", "replay training steps on given inputs", parity_tool},
    {"gradcheck", "check every gradient against finite differences", gradcheck_tool},
    {"bench", "time kernels, training, scoring and sampling", bench_tool},
};
// clang-format on

}  // namespace flowsmith::core
