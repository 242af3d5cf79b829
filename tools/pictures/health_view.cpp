#include "tools/pictures/health_view.h"

namespace flowsmith::core {

Figure health_figure(const std::vector<Flow::LayerHealth>& layers) {
  BarChart scales{.title = "Log-scales of couplings",
                  .unit = "log dz/dx",
                  .legend = {{"largest: stretches", Ink::kVermilion}, {"smallest: shrinks", Ink::kBlue}}};
  BarChart bounds{.title = "Log-determinant as a share of its bound", .unit = "", .legend = {}};
  for (const Flow::LayerHealth& layer : layers) {
    if (layer.log_scale) {
      scales.bars.push_back({layer.name + ", largest", layer.log_scale->second, Ink::kVermilion});
      scales.bars.push_back({"smallest", layer.log_scale->first, Ink::kBlue});
    }
    if (layer.share_of_bound) bounds.bars.push_back({layer.name, *layer.share_of_bound, Ink::kGreen});
  }
  Figure figure{.title = "Layers under load",
                .description =
                    "Bars of the smallest and largest log-scale of each coupling, and of how near its "
                    "log-determinant is to the bound",
                .panels = {},
                .columns = 2,
                .panel_width = 460};
  if (!scales.bars.empty()) figure.panels.push_back(std::move(scales));
  if (!bounds.bars.empty()) figure.panels.push_back(std::move(bounds));
  return figure;
}

}  // namespace flowsmith::core
